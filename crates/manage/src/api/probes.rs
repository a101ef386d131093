//! What probes ask without a token: whether the process lives, and whether it takes requests.

use std::borrow::Cow;

use axum::body::Body;
use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode};

use super::admission;
use crate::Manage;

/// Whether the process lives.
const LIVE: &str = "/healthz";

/// Whether the replica takes requests.
const READY: &str = "/readyz";

/// Answers a probe, if this is one. Its Host may be any, since who probes an address has no other name for
/// it; but only who has ours learns why the replica is not ready.
pub(super) fn answer(manage: &Manage, head: &Parts) -> Option<Response> {
    if !matches!(head.method, Method::GET | Method::HEAD) {
        return None;
    }
    let (status, text): (_, Cow<'_, str>) = match head.uri.path() {
        LIVE => (StatusCode::OK, "ok".into()),
        READY => match manage.replica.readiness() {
            Ok(()) => (StatusCode::OK, "ok".into()),
            Err(why) => {
                let may_know = admission::check_host(head, &manage.settings.allowed_hosts)
                    .and_then(|host| admission::check_origin(head, &host));
                let text = match may_know {
                    Ok(()) => format!("not ready: {why}").into(),
                    Err(_) => "not ready".into(),
                };
                (StatusCode::SERVICE_UNAVAILABLE, text)
            }
        },
        _ => return None,
    };
    let mut response = Response::new(Body::from(format!("{text}\n")));
    *response.status_mut() = status;
    let media_type = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    Some(response)
}
