//! What a load balancer asks where it sends requests: whether this replica takes them, and nothing else.

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, StatusCode};
use store::Replica;

/// An MCP server's path ends in `/mcp`, so no app has a server here.
const PATH: &str = "/readyz";

/// Whether this is a probe. Its Host is not looked at: who probes an address has no other name for it.
pub(super) fn is_one(request: &Request) -> bool {
    request.uri().path() == PATH && matches!(*request.method(), Method::GET | Method::HEAD)
}

/// Answers it. Why a replica is not ready is its operator's matter, and told on the management listener.
pub(super) fn answer(replica: &Replica) -> Response {
    let (status, text) = match replica.readiness() {
        Ok(()) => (StatusCode::OK, "ok\n"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
    };
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
