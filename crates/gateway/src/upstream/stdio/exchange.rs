//! What becomes of one request: which child it goes to, and what its client gets.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use serde_json::json;
use serde_json::value::RawValue;
use tokio::time::Duration;

use super::answers::{self, METHOD_NOT_FOUND, Note, Taste, UNSUPPORTED_VERSION};
use super::children::{Children, NoChild};
use super::headers::{self, Fault, Lifecycle};
use super::message::{Kind, Message};
use super::plain;
use super::process::Listener as _;
use super::queue::{self, NotTaken};
use super::session::{self, Unclaimed};
use super::shared::{self, NotCalled, Shared};
use crate::limits;
use crate::refusal::{CODE, Refused};
use crate::upstream::judge::Keep;
use crate::upstream::{Route, SESSION};

impl Children {
    pub(super) fn without_message(
        self: &Arc<Self>,
        route: &Route,
        method: &Method,
        headers: &HeaderMap,
        keep: Option<Keep>,
    ) -> Result<Response<Body>, Refused> {
        match headers::lifecycle(headers, None) {
            Ok(Lifecycle::Sessions) => {}
            Ok(Lifecycle::Stateless) => return Err(Refused::Method("POST")),
            Err(fault) => return Ok(bad_request(None, &fault)),
        }
        if *method == Method::GET && !headers::accepts(headers, "text/event-stream") {
            return Err(Refused::NotAcceptable);
        }
        let Some(id) = headers.get(SESSION) else {
            // A GET is how some clients find out whether there are streams at all.
            let text = "the header Mcp-Session-Id is missing";
            let fault = Fault { code: answers::INVALID_REQUEST, message: text.to_owned() };
            return Ok(bad_request(None, &fault));
        };
        let session = self.session(route, id).ok_or(Refused::UnknownSession)?;
        if *method == Method::GET {
            return Ok(session.get(keep));
        }
        self.end_session(&session);
        Ok(answers::with_status(StatusCode::NO_CONTENT))
    }

    pub(super) async fn in_session(
        self: &Arc<Self>,
        route: &Route,
        headers: &HeaderMap,
        message: &Message<'_>,
        body: &Bytes,
        taste: Taste,
    ) -> Response<Body> {
        let raw_id = match &message.kind {
            Kind::Request { raw_id, .. } => Some(*raw_id),
            Kind::Notification { .. } | Kind::Response { .. } => None,
        };
        if let Some(id) = headers.get(SESSION) {
            return match self.session(route, id) {
                Some(session) => {
                    session
                        .post(message, body, limits::HEAD_TIME, taste, (), |_| StatusCode::OK)
                        .await
                }
                None => session::unknown(raw_id),
            };
        }
        match &message.kind {
            Kind::Request { method, .. } if method == "initialize" => {}
            _ => {
                let text = "the header Mcp-Session-Id is missing: a session begins with initialize";
                let fault = Fault { code: answers::INVALID_REQUEST, message: text.to_owned() };
                return bad_request(raw_id, &fault);
            }
        }
        let session = match self.open_session(route) {
            Ok(session) => session,
            Err(why) => return no_child(raw_id, &why),
        };
        let unclaimed = Unclaimed::new(Arc::clone(&session));
        let failed = AtomicBool::new(false);
        let status = |_| {
            failed.store(true, Ordering::Relaxed);
            StatusCode::OK
        };
        // The head tells whether there is a session, so that the child's word is waited for.
        let within = limits::START_TIME + limits::HEAD_TIME;
        let mut response = session.post(message, body, within, taste, unclaimed, status).await;
        if failed.into_inner() {
            session.stop.cancel();
        } else if response.status() == StatusCode::OK
            && let Ok(id) = HeaderValue::from_str(&session.id)
        {
            response.headers_mut().insert(SESSION, id);
        }
        response
    }

    pub(super) async fn stateless(
        self: &Arc<Self>,
        route: &Route,
        headers: &HeaderMap,
        message: &Message<'_>,
        taste: Taste,
    ) -> Response<Body> {
        let Kind::Request { raw_id, method, params, .. } = &message.kind else {
            // What a notification names is not known by that name to anyone else.
            return answers::accepted();
        };
        let invalid = |text: String| {
            bad_request(Some(raw_id), &Fault { code: answers::INVALID_REQUEST, message: text })
        };
        if method == "initialize" || method.starts_with("notifications/") {
            // A lenient server would act on it, for everybody.
            let text = format!("{method} is no request of this protocol version");
            return answers::refuse(StatusCode::NOT_FOUND, Some(raw_id), METHOD_NOT_FOUND, &text);
        }
        let text = match plain::plain(message.text) {
            Ok(text) => text,
            Err(why) => return invalid(why),
        };
        let version = match headers::check(headers, method, params) {
            Ok(version) => version,
            Err(fault) => return bad_request(Some(raw_id), &fault),
        };
        let Some(message) = Message::read(text.as_bytes()) else {
            return invalid("the request is not one JSON-RPC message".to_owned());
        };
        let shared = match self.shared(route) {
            Ok(shared) => shared,
            Err(NoChild::Older) => return older(raw_id, method, &version),
            Err(why) => return no_child(Some(raw_id), &why),
        };
        if method == "tools/call" {
            let annotations = shared.annotations(&version).await;
            if let Err(fault) = annotations.check(headers, params) {
                return bad_request(Some(raw_id), &fault);
            }
        }
        if method == "server/discover" && !shared.is_proved() {
            return self.discover(&shared, route, raw_id, &version, taste.keep).await;
        }
        let (messages, caller) = match shared.call(route, &message) {
            Ok(called) => called,
            Err(why) => return not_called(raw_id, &why),
        };
        let within = shared::head_within(method);
        answers::respond(messages, caller, within, taste, shared::status).await
    }

    /// Answers the question whether a child speaks a version without sessions. Whatever one says that
    /// does not, the client must come to know that it is to begin a session.
    async fn discover(
        &self,
        shared: &Arc<Shared>,
        route: &Route,
        raw_id: &RawValue,
        version: &str,
        keep: Option<Keep>,
    ) -> Response<Body> {
        // The question is ours, so that no client's can be one that every server refuses.
        let params = shared::own_params(version);
        let text = format!(
            r#"{{"jsonrpc":"2.0","id":{raw_id},"method":"server/discover","params":{params}}}"#
        );
        let called = Message::read(text.as_bytes())
            .map_or(Err(NotCalled::Over), |message| shared.call(route, &message));
        let (mut messages, caller) = match called {
            Ok(called) => called,
            Err(why) => return not_called(raw_id, &why),
        };
        let within = if shared.has_heard() { limits::START_TIME } else { limits::DISCOVER_TIME };
        let first = tokio::time::timeout(within, messages.recv()).await.ok().flatten();
        match first {
            Some(piece) if piece.note == Note::Result => {
                shared.prove();
                answers::whole(StatusCode::OK, piece, keep.as_ref())
            }
            Some(piece) if piece.note == Note::Lost => {
                answers::whole(StatusCode::BAD_GATEWAY, piece, keep.as_ref())
            }
            Some(piece) if piece.note == Note::Error(CODE.into()) => {
                answers::whole(StatusCode::OK, piece, keep.as_ref())
            }
            Some(piece)
                if matches!(piece.note, Note::Error(code)
                    if shared::status(code) == StatusCode::BAD_REQUEST) =>
            {
                shared.prove();
                answers::whole(StatusCode::BAD_REQUEST, piece, keep.as_ref())
            }
            refused => {
                drop(caller);
                // One that says nothing may be busy, and one that has answered without a session
                // needs none.
                if refused.is_some() && version == headers::NEWER && !shared.has_answered() {
                    self.note_older(shared);
                }
                older(raw_id, "server/discover", "")
            }
        }
    }
}

fn no_child(id: Option<&RawValue>, why: &NoChild) -> Response<Body> {
    match why {
        NoChild::Later(after, text) => answers::busy(id, *after, text),
        NoChild::Failed(ending) => {
            answers::bad_gateway(id, &format!("this MCP server's process {ending}"))
        }
        NoChild::Older => answers::busy(id, Duration::ZERO, "this MCP server needs a session"),
    }
}

fn not_called(id: &RawValue, why: &NotCalled) -> Response<Body> {
    let text = match why {
        NotCalled::TooMany => "too many requests are under way at this MCP server",
        NotCalled::TooManyOfKey => {
            "too many requests with this API key are under way at this MCP server"
        }
        NotCalled::Over | NotCalled::NotHeard(NotTaken::Gone) => {
            "this MCP server's process has just ended"
        }
        NotCalled::NotHeard(NotTaken::Full) => "this MCP server does not read its requests",
    };
    answers::busy(Some(id), Duration::ZERO, text)
}

/// Tells a client that a server speaks older versions only.
fn older(id: &RawValue, method: &str, requested: &str) -> Response<Body> {
    let text = "this MCP server speaks protocol versions that begin with initialize only";
    if method == "server/discover" {
        return answers::refuse(StatusCode::NOT_FOUND, Some(id), METHOD_NOT_FOUND, text);
    }
    let data = json!({ "supported": headers::OLDER, "requested": requested });
    let text = answers::error_text(Some(id), UNSUPPORTED_VERSION, text, &data);
    let piece = queue::Piece::new(text, Note::Error(UNSUPPORTED_VERSION));
    answers::whole(StatusCode::BAD_REQUEST, piece, None)
}

pub(super) fn bad_request(id: Option<&RawValue>, fault: &Fault) -> Response<Body> {
    answers::refuse(StatusCode::BAD_REQUEST, id, fault.code, &fault.message)
}
