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

use super::message::{Kind, Message};
use super::queue::{Lost, Piece, Receiver, Text};
use crate::limits;
use crate::refusal::CODE;
use crate::upstream::filter::{self, NotReduced};
use crate::upstream::judge::Keep;

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

/// How a client is to get what a child says.
pub(super) struct Taste {
    pub(super) form: Form,
    /// Which tools it may see, if not all.
    pub(super) keep: Option<Keep>,
}

/// Says that there was no memory for an answer.
pub(super) fn no_memory(raw_id: &RawValue) -> Piece<Note> {
    let text = "there is no memory for this answer now, since other clients have not read theirs: try \
                again later";
    Piece::new(error_text(Some(raw_id), CODE.into(), text, &Value::Null), Note::Error(CODE.into()))
}

/// Answers with what arrives: one body if the first message is the last and comes soon, an event
/// stream otherwise, or if a client wants its result so.
pub(super) async fn respond(
    mut messages: Receiver<Note>,
    waiting: impl Waiting,
    head_within: Duration,
    taste: Taste,
    status: impl Fn(i64) -> StatusCode,
) -> Response<Body> {
    let first = match tokio::time::timeout(head_within, messages.recv()).await {
        Ok(Some(first)) => Some(first),
        // It ended without a message: so does the stream.
        Ok(None) | Err(_) => None,
    };
    let Taste { form, keep } = taste;
    let status = match &first {
        Some(Piece { note: Note::Result, .. }) if form == Form::Json => StatusCode::OK,
        Some(Piece { note: Note::Error(code), .. }) => status(*code),
        Some(Piece { note: Note::Lost, .. }) => StatusCode::BAD_GATEWAY,
        Some(Piece { note: Note::Result | Note::More, .. }) | None => {
            return events(messages, first, keep, waiting);
        }
    };
    let text = first.map_or(Text::Short(Bytes::new()), |piece| shown(piece, keep.as_ref()));
    json_body(status, Body::new(Whole { text, waiting }))
}

/// Answers with one message.
pub(super) fn whole(status: StatusCode, piece: Piece<Note>, keep: Option<&Keep>) -> Response<Body> {
    json_body(status, Body::new(Whole { text: shown(piece, keep), waiting: () }))
}

/// What a client sees of a message.
fn shown(mut piece: Piece<Note>, keep: Option<&Keep>) -> Text {
    if let (Some(keep), Some(text)) = (keep, piece.text()) {
        let message = Message::read(&text);
        let reduced = message.as_ref().map_or(Err(NotReduced::NotAMessage), |message| {
            filter::reduce_message(message.text, keep)
        });
        match reduced {
            Ok(None) => {}
            Ok(Some(reduced)) => piece.replace(reduced.into()),
            Err(why) => {
                let id = message.and_then(|message| match message.kind {
                    Kind::Response { raw_id, .. } => Some(raw_id),
                    Kind::Request { .. } | Kind::Notification { .. } => None,
                });
                let text = error_text(id, CODE.into(), &why.to_string(), &Value::Null);
                piece.replace(text);
            }
        }
    }
    piece.into_text()
}

/// An event stream of what arrives.
pub(super) fn events(
    messages: Receiver<Note>,
    first: Option<Piece<Note>>,
    keep: Option<Keep>,
    waiting: impl Waiting,
) -> Response<Body> {
    let mut response = Response::new(Body::new(Events {
        messages,
        first,
        under_way: None,
        keep,
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
    text: Text,
    waiting: W,
}

impl<W: Waiting> http_body::Body for Whole<W> {
    type Data = Bytes;
    type Error = Lost;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Lost>>> {
        let this = self.get_mut();
        this.waiting.taken();
        Poll::Ready(this.text.next().map(|part| part.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.text.left() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(u64::try_from(self.text.left()).unwrap_or(u64::MAX))
    }
}

/// Messages as server-sent events, until the last one.
struct Events<W> {
    messages: Receiver<Note>,
    first: Option<Piece<Note>>,
    /// What is left of a long message of which its client has the beginning.
    under_way: Option<Text>,
    keep: Option<Keep>,
    ended: bool,
    beat: Pin<Box<Sleep>>,
    waiting: W,
}

impl<W: Waiting> http_body::Body for Events<W> {
    type Data = Bytes;
    type Error = Lost;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Lost>>> {
        let this = self.get_mut();
        this.waiting.taken();
        if let Some(text) = &mut this.under_way {
            let part = text.next().unwrap_or(Ok(Bytes::new()));
            this.beat.as_mut().reset(Instant::now() + limits::HEARTBEAT);
            if text.left() == 0 || part.is_err() {
                this.under_way = None;
            }
            let is_last = this.under_way.is_none();
            return Poll::Ready(Some(part.map(|part| Frame::data(event(&part, false, is_last)))));
        }
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
                let mut text = shown(piece, this.keep.as_ref());
                let part = text.next().unwrap_or(Ok(Bytes::new()));
                let is_last = text.left() == 0;
                this.under_way = (!is_last && part.is_ok()).then_some(text);
                Poll::Ready(Some(part.map(|part| Frame::data(event(&part, true, is_last)))))
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

/// Frames one line, or a part of it, as an event. A carriage return would end it: between a message's
/// members it is as good as a space, and elsewhere it cannot be.
fn event(part: &[u8], is_first: bool, is_last: bool) -> Bytes {
    const HEAD: &[u8] = b"event: message\ndata: ";
    let mut event = BytesMut::with_capacity(HEAD.len() + part.len() + 2);
    if is_first {
        event.extend_from_slice(HEAD);
    }
    event.extend(part.iter().map(|byte| if *byte == b'\r' { b' ' } else { *byte }));
    if is_last {
        event.extend_from_slice(b"\n\n");
    }
    event.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_event_whatever_is_in_it() {
        let expected = &b"event: message\ndata: {\"a\": \"\\r\",  1}\n\n"[..];
        assert_eq!(event(b"{\"a\": \"\\r\",\r 1}", true, true), expected);
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
