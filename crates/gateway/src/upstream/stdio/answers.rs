//! What a client gets: messages as one JSON body or as an event stream, and refusals.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body::{Frame, SizeHint};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::time::{Duration, Instant, Sleep};

use super::queue::{Piece, Receiver};
use crate::limits;
use crate::refusal::CODE;

/// JSON-RPC 2.0, 5.1.
pub(super) const INVALID_REQUEST: i64 = -32600;
/// JSON-RPC 2.0, 5.1.
pub(super) const METHOD_NOT_FOUND: i64 = -32601;
/// JSON-RPC 2.0, 5.1.
pub(super) const INVALID_PARAMS: i64 = -32602;
/// JSON-RPC 2.0, 5.1.
pub(super) const INTERNAL: i64 = -32603;
/// MCP 2026-07-28: a header says something else than the body.
pub(super) const HEADER_MISMATCH: i64 = -32020;
/// MCP 2026-07-28: the protocol version is not spoken here.
pub(super) const UNSUPPORTED_VERSION: i64 = -32022;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");
const HEARTBEAT: Bytes = Bytes::from_static(b": still here\n\n");

/// What a message on its way to a client is to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Note {
    /// More follows.
    More,
    /// The request's result.
    Result,
    /// The request's error, with its code.
    Error(i64),
    /// The request has no answer, since there is nobody to give it.
    Lost,
}

/// What must be told when the client has gone, which its drop does.
pub(super) trait Waiting: Send + Unpin + 'static {
    /// The client is taking the answer.
    fn taken(&mut self) {}
}

impl Waiting for () {}

/// The text of a JSON-RPC error.
pub(super) fn error_text(id: Option<&RawValue>, code: i64, message: &str, data: &Value) -> Bytes {
    let mut error = json!({ "code": code, "message": message });
    if !data.is_null()
        && let Some(error) = error.as_object_mut()
    {
        error.insert("data".to_owned(), data.clone());
    }
    let id = id.map_or("null", RawValue::get);
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#).into()
}

/// Refuses a request, as a JSON-RPC error with its id.
pub(super) fn refuse(
    status: StatusCode,
    id: Option<&RawValue>,
    code: i64,
    message: &str,
) -> Response<Body> {
    json_body(status, Body::from(error_text(id, code, message, &Value::Null)))
}

/// Asks a client to come again.
pub(super) fn busy(id: Option<&RawValue>, after: Duration, message: &str) -> Response<Body> {
    let mut response = refuse(
        StatusCode::SERVICE_UNAVAILABLE,
        id,
        CODE.into(),
        &format!("{message}: try again later"),
    );
    let seconds = after.as_secs().saturating_add(1);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    response
}

/// Says that the process gave no answer, and why.
pub(super) fn bad_gateway(id: Option<&RawValue>, message: &str) -> Response<Body> {
    refuse(StatusCode::BAD_GATEWAY, id, CODE.into(), message)
}

/// Says that a message was taken.
pub(super) fn accepted() -> Response<Body> {
    with_status(StatusCode::ACCEPTED)
}

/// An answer without a body.
pub(super) fn with_status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// How a client wants a result that is all there is to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As a JSON body.
    Json,
    /// As an event.
    Event,
}

impl Form {
    /// Every client takes both; one that names event streams first gets one.
    pub(super) fn wanted(headers: &HeaderMap) -> Self {
        let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let first = values.flat_map(|value| value.split(',')).next();
        let essence = first.and_then(|range| range.split(';').next()).unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case("text/event-stream") { Self::Event } else { Self::Json }
    }
}

/// Answers with what arrives: one body if the first message is the last and comes soon, an event
/// stream otherwise, or if a client wants its result so.
pub(super) async fn respond(
    mut messages: Receiver<Note>,
    waiting: impl Waiting,
    head_within: Duration,
    form: Form,
    status: impl Fn(i64) -> StatusCode,
) -> Response<Body> {
    let first = match tokio::time::timeout(head_within, messages.recv()).await {
        Ok(Some(first)) => Some(first),
        // It ended without a message: so does the stream.
        Ok(None) | Err(_) => None,
    };
    let status = match &first {
        Some(Piece { note: Note::Result, .. }) if form == Form::Json => StatusCode::OK,
        Some(Piece { note: Note::Error(code), .. }) => status(*code),
        Some(Piece { note: Note::Lost, .. }) => StatusCode::BAD_GATEWAY,
        Some(Piece { note: Note::Result | Note::More, .. }) | None => {
            return events(messages, first, waiting);
        }
    };
    json_body(status, Body::new(Whole { piece: first, waiting }))
}

/// Answers with one message.
pub(super) fn whole(status: StatusCode, piece: Piece<Note>) -> Response<Body> {
    json_body(status, Body::new(Whole { piece: Some(piece), waiting: () }))
}

/// An event stream of what arrives.
pub(super) fn events(
    messages: Receiver<Note>,
    first: Option<Piece<Note>>,
    waiting: impl Waiting,
) -> Response<Body> {
    let mut response = Response::new(Body::new(Events {
        messages,
        first,
        ended: false,
        beat: Box::pin(tokio::time::sleep(limits::HEARTBEAT)),
        waiting,
    }));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, EVENT_STREAM);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Some proxies hold streams back unless told not to.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

fn json_body(status: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// One message as a body.
struct Whole<W> {
    piece: Option<Piece<Note>>,
    waiting: W,
}

impl<W: Waiting> http_body::Body for Whole<W> {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        this.waiting.taken();
        Poll::Ready(this.piece.take().map(|piece| Ok(Frame::data(piece.text))))
    }

    fn is_end_stream(&self) -> bool {
        self.piece.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let length = self.piece.as_ref().map_or(0, |piece| piece.text.len());
        SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
    }
}

/// Messages as server-sent events, until the last one.
struct Events<W> {
    messages: Receiver<Note>,
    first: Option<Piece<Note>>,
    ended: bool,
    beat: Pin<Box<Sleep>>,
    waiting: W,
}

impl<W: Waiting> http_body::Body for Events<W> {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        this.waiting.taken();
        if this.ended {
            return Poll::Ready(None);
        }
        let piece = match this.first.take() {
            Some(first) => Poll::Ready(Some(first)),
            None => this.messages.poll_recv(cx),
        };
        match piece {
            Poll::Ready(Some(piece)) => {
                this.ended = piece.note != Note::More;
                this.beat.as_mut().reset(Instant::now() + limits::HEARTBEAT);
                Poll::Ready(Some(Ok(Frame::data(event(&piece.text)))))
            }
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending if this.beat.as_mut().poll(cx).is_ready() => {
                this.beat.as_mut().reset(Instant::now() + limits::HEARTBEAT);
                // Polled again at once, so that the new instant has a waker.
                cx.waker().wake_by_ref();
                Poll::Ready(Some(Ok(Frame::data(HEARTBEAT))))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

/// Frames one line as an event. A carriage return would end it: between a message's members it is
/// as good as a space, and elsewhere it cannot be.
fn event(line: &[u8]) -> Bytes {
    const HEAD: &[u8] = b"event: message\ndata: ";
    let mut event = BytesMut::with_capacity(HEAD.len() + line.len() + 2);
    event.extend_from_slice(HEAD);
    event.extend(line.iter().map(|byte| if *byte == b'\r' { b' ' } else { *byte }));
    event.extend_from_slice(b"\n\n");
    event.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_event_whatever_is_in_it() {
        let expected = &b"event: message\ndata: {\"a\": \"\\r\",  1}\n\n"[..];
        assert_eq!(event(b"{\"a\": \"\\r\",\r 1}"), expected);
    }

    #[test]
    fn a_client_gets_an_event_if_it_names_event_streams_first() {
        for (accept, form) in [
            ("application/json, text/event-stream", Form::Json),
            ("text/event-stream, application/json", Form::Event),
            ("Text/Event-Stream;q=1,application/json", Form::Event),
            ("*/*", Form::Json),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(Form::wanted(&headers), form, "{accept}");
        }
        assert_eq!(Form::wanted(&HeaderMap::new()), Form::Json);
    }

    #[test]
    fn an_error_says_what_it_answers() {
        let id: &RawValue = serde_json::from_str(r#""a""#).unwrap();
        let text = error_text(Some(id), -1, "no \"m\"", &json!({ "x": 1 }));
        let expected =
            r#"{"jsonrpc":"2.0","id":"a","error":{"code":-1,"message":"no \"m\"","data":{"x":1}}}"#;
        assert_eq!(text, expected);
        let text = error_text(None, -1, "", &Value::Null);
        assert_eq!(text, r#"{"jsonrpc":"2.0","id":null,"error":{"code":-1,"message":""}}"#);
    }
}
