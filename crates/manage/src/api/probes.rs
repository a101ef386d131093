//! What is asked of the process itself: without a token whether it lives and takes requests, and by any
//! operator what it has counted.

use std::borrow::Cow;

use axum::body::Body;
use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode};

use super::admission;
use crate::Manage;
use crate::error::{Error, Result};

/// Whether the process lives.
const LIVE: &str = "/healthz";

/// Whether the replica takes requests.
const READY: &str = "/readyz";

/// What it has counted.
const METRICS: &str = "/metrics";

/// What the log calls its reading, which is told of where it was refused.
pub(super) const METRICS_OPERATION: &str = "metrics";

/// What Prometheus calls the format.
const OPENMETRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

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

/// Answers who may know what the process has counted: every operator, since the least of their roles reads.
pub(super) fn metrics(manage: &Manage, head: &Parts) -> Option<Result<Response>> {
    if head.uri.path() != METRICS {
        return None;
    }
    if head.method != Method::GET && head.method != Method::HEAD {
        return Some(Err(Error::MethodNotAllowed { method: head.method.clone(), takes: "GET" }));
    }
    let mut response = Response::new(Body::from((manage.metrics)()));
    response.headers_mut().insert(CONTENT_TYPE, OPENMETRICS);
    Some(Ok(response))
}
