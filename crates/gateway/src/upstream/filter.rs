//! Answers that show only the tools that may be seen.

use axum::body::Body;
use http::Response;

use super::judge::Keep;
use crate::refusal::Refused;

/// Reduces the tools in an answer to those that `keep` allows.
pub(crate) fn reduce(_: Response<Body>, _: Keep) -> Response<Body> {
    Refused::Forbidden("this key reaches only a part of this server".to_owned()).response("")
}
