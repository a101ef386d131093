//! Whether a message may pass, and what of it is passed on.

use std::sync::Arc;

use app::Upstream;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Response};
use keys::Grant;

use crate::refusal::Refused;

/// What a key may do on an upstream of which it does not reach all.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    server: String,
    grant: Option<Grant>,
    upstream: Arc<Upstream>,
}

/// What becomes of a message.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It is passed on in this form.
    Forward { body: Bytes, lists_tools: bool },
    /// It is answered with this instead.
    Answer(Response<Body>),
}

/// Says of a tool's name whether it may be seen.
pub(crate) type Keep = Arc<dyn Fn(&str) -> bool + Send + Sync>;

impl Filter {
    /// None where nothing is to be filtered.
    pub(crate) fn of(
        server: &str,
        grant: Option<&Grant>,
        upstream: &Arc<Upstream>,
    ) -> Option<Self> {
        let whole = grant.is_none_or(|grant| grant.whole_server(server));
        (!whole || upstream.allowed_tools().is_some()).then(|| Self {
            server: server.to_owned(),
            grant: grant.cloned(),
            upstream: Arc::clone(upstream),
        })
    }

    pub(crate) fn keep(&self) -> Keep {
        let Self { server, grant, upstream } = self.clone();
        Arc::new(move |tool| {
            upstream.allows_tool(tool)
                && grant.as_ref().is_none_or(|grant| grant.reaches_tool(&server, tool))
        })
    }

    pub(crate) fn judge(&self, _: &HeaderMap, _: &Bytes) -> Verdict {
        Verdict::Answer(
            Refused::Forbidden("this key reaches only a part of this server".to_owned())
                .response(&self.server),
        )
    }
}
