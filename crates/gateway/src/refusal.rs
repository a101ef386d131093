//! Every answer that the data plane gives instead of a server's, in one exhaustive match.

use axum::body::Body;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use keys::Refusal;
use serde_json::{Value, json};
use store::Cut;
use tracing::{debug, warn};

/// The JSON-RPC code of a refusal. -32001 means a time-out to some clients, and -32020 to -32099 are
/// the protocol's.
pub(crate) const CODE: i32 = -32010;

/// JSON-RPC 2.0, 5.1: the text is not JSON, or not a request.
const PARSE_ERROR: i32 = -32700;

/// When a suspended replica may be asked again, in seconds.
const RETRY_AFTER_S: &str = "2";

/// The names that refusals are counted by.
pub(crate) const REASONS: [&str; 20] = [
    "missing",
    "repeated",
    "not_accepted",
    "malformed",
    "expired",
    "access_key_regenerated",
    "not_issued_here",
    "revoked",
    "out_of_scope",
    "access_token",
    "authentication_changed",
    "not_ours",
    "not_found",
    "method",
    "bad_request",
    "unavailable",
    "unknown_session",
    "loop",
    "upstream",
    "no_registration",
];

/// Why a request is not answered by a server.
#[derive(Debug)]
pub(crate) enum Refused {
    /// No API key, or one that is not good; says which it is in one word, and to the client.
    Unauthenticated { reason: &'static str, message: String },
    /// What was offered can never be enough here; says why.
    Forbidden { reason: &'static str, message: String },
    /// The Host or Origin header names somebody else.
    NotOurs(&'static str),
    /// Nothing lies at this path, or no such server; says what does.
    NotFound(String),
    /// Another method than those named.
    Method(&'static str),
    /// The body is larger than it may be.
    TooLarge(usize),
    /// The body took too long to arrive.
    Slow,
    /// The connection failed while the body was read.
    Broken,
    /// The body is not a JSON-RPC message.
    NotAMessage,
    /// The body's media type is not JSON.
    MediaType,
    /// The client does not take both of the answer's possible media types.
    NotAcceptable,
    /// The replica may not decide now.
    Unavailable(&'static str),
    /// The session is none that its client opened here.
    UnknownSession,
    /// The request has passed here before.
    Loop,
    /// The MCP server behind the URL gave no answer that could be passed on; says why.
    Upstream { status: StatusCode, message: String },
    /// `POST /register` where only API keys are accepted.
    NoRegistration,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self::Unauthenticated { reason: refusal.as_str(), message: refusal.to_string() }
    }
}

impl From<Cut> for Refused {
    fn from(cut: Cut) -> Self {
        match cut {
            Cut::Refused(refusal) => refusal.into(),
            Cut::AuthenticationChanged => {
                Self::Unauthenticated { reason: cut.as_str(), message: cut.to_string() }
            }
            Cut::ServerGone => Self::NotFound(cut.to_string()),
            Cut::ServerChanged => Self::Unavailable("this server was changed just now"),
            Cut::Suspended => Self::Unavailable("this replica has lost touch with its store"),
            Cut::ShuttingDown => Self::Unavailable("this server is shutting down"),
        }
    }
}

impl Refused {
    /// The MCP server behind the URL is at fault; says how.
    pub(crate) const fn bad_gateway(message: String) -> Self {
        Self::Upstream { status: StatusCode::BAD_GATEWAY, message }
    }

    /// What it is counted by: of a key the name that [`Refusal::as_str`] gives it.
    pub(crate) const fn reason(&self) -> &'static str {
        match self {
            Self::Unauthenticated { reason, .. } | Self::Forbidden { reason, .. } => reason,
            Self::NotOurs(_) => "not_ours",
            Self::NotFound(_) => "not_found",
            Self::Method(_) => "method",
            Self::TooLarge(_)
            | Self::Slow
            | Self::Broken
            | Self::NotAMessage
            | Self::MediaType
            | Self::NotAcceptable => "bad_request",
            Self::Unavailable(_) => "unavailable",
            Self::UnknownSession => "unknown_session",
            Self::Loop => "loop",
            Self::Upstream { .. } => "upstream",
            Self::NoRegistration => "no_registration",
        }
    }

    /// Tells the operator, who can help where an upstream is at fault.
    pub(crate) fn log(&self, app: &str) {
        if let Self::Upstream { message, .. } = self {
            warn!(app.name = app, "No answer for a client of {app}: {message}");
        } else {
            debug!(app.name = app, refused = ?self, "Refused a request to {app}");
        }
    }

    /// The answer; `realm` is the app's name.
    pub(crate) fn response(&self, realm: &str) -> Response<Body> {
        let (status, header, body) = match self {
            Self::Unauthenticated { message, .. } => (
                StatusCode::UNAUTHORIZED,
                Some((WWW_AUTHENTICATE, challenge(realm))),
                error(CODE, message),
            ),
            Self::Forbidden { message, .. } => (StatusCode::FORBIDDEN, None, error(CODE, message)),
            Self::NotOurs(message) => (StatusCode::FORBIDDEN, None, error(CODE, message)),
            Self::NotFound(message) => (StatusCode::NOT_FOUND, None, error(CODE, message)),
            Self::Method(allowed) => (
                StatusCode::METHOD_NOT_ALLOWED,
                Some((ALLOW, HeaderValue::from_static(allowed))),
                error(CODE, &format!("this URL takes {allowed} only")),
            ),
            Self::TooLarge(limit) => (
                StatusCode::PAYLOAD_TOO_LARGE,
                None,
                error(CODE, &format!("the request body is larger than {limit} bytes")),
            ),
            Self::Slow => (
                StatusCode::REQUEST_TIMEOUT,
                None,
                error(CODE, "the request body took too long to arrive"),
            ),
            Self::Broken => (
                StatusCode::BAD_REQUEST,
                None,
                error(CODE, "the connection failed before the request body was complete"),
            ),
            Self::NotAMessage => (
                StatusCode::BAD_REQUEST,
                None,
                error(
                    PARSE_ERROR,
                    "the request body is not a JSON-RPC message: it must be one JSON object \
                     with \"jsonrpc\": \"2.0\" and a method, in UTF-8 and nested no deeper than 127; \
                     batches are not taken",
                ),
            ),
            Self::MediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                None,
                error(CODE, "the request body must have Content-Type: application/json"),
            ),
            Self::NotAcceptable => (
                StatusCode::NOT_ACCEPTABLE,
                None,
                error(
                    CODE,
                    "the Accept header must name both application/json and text/event-stream",
                ),
            ),
            Self::Unavailable(message) => (
                StatusCode::SERVICE_UNAVAILABLE,
                Some((RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S))),
                error(CODE, &format!("{message}: try again in a moment")),
            ),
            Self::UnknownSession => (
                StatusCode::NOT_FOUND,
                None,
                error(CODE, "this session is not known: initialize a new one"),
            ),
            Self::Loop => (
                StatusCode::LOOP_DETECTED,
                None,
                error(
                    CODE,
                    "this request has passed through this server already: an entry of its mcp.json leads \
                     back to it",
                ),
            ),
            Self::Upstream { status, message } => (*status, None, error(CODE, message)),
            Self::NoRegistration => (
                StatusCode::FORBIDDEN,
                None,
                json!({
                    "error": "access_denied",
                    "error_description": "This MCP server uses API keys, not OAuth: either no key \
                        was sent, or the key is malformed, expired, revoked or derived from an access \
                        key that was regenerated. Ask whoever runs it for a new one and send it in \
                        the header X-API-Key.",
                }),
            ),
        };
        render(status, header, &body)
    }
}

/// A challenge that names the header; clients that know only Bearer leave it alone.
fn challenge(realm: &str) -> HeaderValue {
    let realm: String =
        realm.chars().filter(|c| c.is_ascii_graphic() && !matches!(c, '"' | '\\')).collect();
    HeaderValue::from_str(&format!("ApiKey realm=\"{realm}\", header=\"X-API-Key\""))
        .unwrap_or(HeaderValue::from_static("ApiKey header=\"X-API-Key\""))
}

fn error(code: i32, message: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": null, "error": { "code": code, "message": message } })
}

fn render(
    status: StatusCode,
    header: Option<(HeaderName, HeaderValue)>,
    body: &Value,
) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.extend(header);
    response
}
