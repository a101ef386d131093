use std::sync::Arc;

use axum::body::Body;
use http::HeaderMap;
use http::request::Parts;
use keys::{AppId, Authorized, Caller, Permission};
use store::AppState;
use url::Url;

use super::admission::Host;
use super::body::{self, Members};
use super::query::Query;
use crate::error::Result;

/// A call that is for us, of an operation and an app that there are. Whether the caller may is for
/// the operation to say, before it reads the body.
#[derive(Debug)]
pub(super) struct Call<A = Arc<AppState>> {
    pub(super) caller: Caller,
    /// The app that is served, or the name of one that may be made.
    pub(super) app: A,
    pub(super) query: Query,
    /// Where the same operation can be called again; none where no such URL can be made.
    pub(super) url: Option<Url>,
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
}

impl Call {
    /// Lets the caller act on the app.
    pub(super) fn require<P: Permission>(&self) -> Result<Authorized<P>> {
        Ok(self.caller.require(self.app.id)?)
    }
}

impl Call<()> {
    /// Whether the caller has a role with whatever app there is.
    pub(super) fn require_of_all<P: Permission>(&self) -> Result<()> {
        // Roles are those of the process, for all apps alike.
        let _any: Authorized<P> = self.caller.require(AppId::from_bytes([0; 16]))?;
        Ok(())
    }
}

impl<A> Call<A> {
    /// Reads the body's object, which has no other members than these; none if there is no body.
    pub(super) async fn members(&mut self, known: &[&'static str]) -> Result<Option<Members>> {
        let body = std::mem::take(&mut self.body);
        Members::parse(&body::read(&self.headers, body).await?, known)
    }
}

/// The URL that a call came to. The scheme is not in a request, so that a proxy that does TLS has
/// to be configured; the host was checked before.
pub(super) fn page_url(head: &Parts, host: &Host, public: Option<&Url>) -> Option<Url> {
    let mut url = match public {
        Some(public) => public.clone(),
        None => Url::parse(&format!("http://{}", host.as_str())).ok()?,
    };
    let path = format!("{}{}", url.path().trim_end_matches('/'), head.uri.path());
    url.set_path(&path);
    Some(url)
}
