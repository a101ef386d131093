//! Answers of upstreams without the tools that are not allowed.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG};
use http::{HeaderMap, Response, StatusCode};
use http_body::{Body as _, Frame};
use serde_json::value::RawValue;

use super::judge::{self, Keep};
use super::members::{Members, same_folded, write_object};
use crate::limits;
use crate::refusal::CODE;

/// Headers that speak of the bytes as they were (RFC 9530 for the digests).
const OF_THE_BYTES: [&str; 4] = ["content-md5", "content-digest", "digest", "repr-digest"];

/// Reduces the tools in every tools/list result of this answer to those `keep` allows; other messages
/// pass as they are.
///
/// A JSON answer is held until it is complete, an event until its end, each within
/// [`limits::FILTERED_BYTES`]: what is larger, or cannot be understood, ends the body with an error
/// and is never passed on as it is. An answer that can hold no messages, or is compressed, is answered
/// for with 502.
pub(crate) fn reduce(response: Response<Body>, keep: Keep) -> Response<Body> {
    let headers = response.headers();
    let reader = match media_type(headers).as_deref() {
        Some("application/json") => Reader::Json(BytesMut::new()),
        Some("text/event-stream") => Reader::Events(Events::default()),
        // What is no success is shown as an error and not read as a list, and what is only accepted is
        // not read at all.
        _ if !response.status().is_success()
            || response.status() == StatusCode::ACCEPTED
            || response.body().is_end_stream() =>
        {
            return response;
        }
        _ => {
            return unusable(
                "the upstream server's answer is neither application/json nor text/event-stream",
            );
        }
    };
    let is_encoded =
        |value: &http::HeaderValue| !value.as_bytes().eq_ignore_ascii_case(b"identity");
    if headers.get_all(CONTENT_ENCODING).iter().any(is_encoded) {
        return unusable(
            "the upstream server's answer is compressed though that was not asked for",
        );
    }
    let (mut parts, body) = response.into_parts();
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.remove(ETAG);
    for name in OF_THE_BYTES {
        parts.headers.remove(name);
    }
    Response::from_parts(parts, Body::new(Reduced { body: Some(body), reader, keep }))
}

/// Reduces one message of a child as [`reduce`] does; none if it can go on as it is.
///
/// # Errors
/// Why it must not go on: whoever gets the message instead is told.
pub(crate) fn reduce_message(text: &str, keep: &Keep) -> Result<Option<String>, NotReduced> {
    if text.len() <= limits::FILTERED_BYTES {
        return reduced(text, keep).map_err(|NotJson| NotReduced::NotAMessage);
    }
    // What lists nothing is only walked over, and costs no memory.
    let lists = reduced_within(text, "result", |result| {
        reduced_within(result, "tools", |_| Ok(Some(String::new())))
    });
    match lists {
        Ok(None) => Ok(None),
        Ok(Some(_)) => Err(NotReduced::TooLarge),
        Err(NotJson) => Err(NotReduced::NotAMessage),
    }
}

/// Why a message of a child is not passed on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotReduced {
    #[error(
        "the MCP server's list of tools is larger than {} MiB, so the tools that this key may not call \
         cannot be taken out of it: ask whoever runs this MCP server",
        limits::FILTERED_BYTES / 1024 / 1024
    )]
    TooLarge,
    #[error(
        "the MCP server's answer has too many members to be looked through for tools that this key \
         may not call: ask whoever runs this MCP server"
    )]
    NotAMessage,
}

/// The media type without its parameters, in lower case. None if it is not there exactly once.
fn media_type(headers: &HeaderMap) -> Option<String> {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let essence = value.to_str().ok()?.split(';').next()?;
    Some(essence.trim().to_ascii_lowercase())
}

fn unusable(what: &str) -> Response<Body> {
    let message = format!(
        "{what}, so the tools that this key may not call cannot be taken out of it: ask whoever runs \
         this MCP server"
    );
    judge::answer(StatusCode::BAD_GATEWAY, None, CODE, &message)
}

/// Why an answer ends before its end.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the upstream's answer broke off")]
    Body(#[source] axum::Error),
    #[error(
        "the upstream's answer cannot be filtered: a message is larger than {} bytes",
        limits::FILTERED_BYTES
    )]
    TooLarge,
    #[error("the upstream's answer cannot be filtered: a message is not JSON-RPC")]
    NotAMessage,
}

/// A body without the tools that are not kept.
struct Reduced {
    /// None once it ended.
    body: Option<Body>,
    reader: Reader,
    keep: Keep,
}

enum Reader {
    Json(BytesMut),
    Events(Events),
}

impl Reader {
    /// Takes what arrived, and gives what may be passed on of it and of what came before.
    fn push(&mut self, data: &[u8], keep: &Keep) -> Result<Bytes, Failure> {
        match self {
            Self::Json(held) if held.len() + data.len() > limits::FILTERED_BYTES => {
                Err(Failure::TooLarge)
            }
            Self::Json(held) => {
                held.extend_from_slice(data);
                Ok(Bytes::new())
            }
            Self::Events(events) => events.push(data, keep),
        }
    }

    /// Gives what is left when nothing more arrives.
    fn finish(&mut self, keep: &Keep) -> Result<Bytes, Failure> {
        match self {
            Self::Json(held) => {
                let held = std::mem::take(held).freeze();
                if held.is_empty() {
                    return Ok(held);
                }
                let text = str::from_utf8(&held).map_err(|_source| Failure::NotAMessage)?;
                let reduced = reduced(text, keep).map_err(|NotJson| Failure::NotAMessage)?;
                Ok(reduced.map_or_else(|| held.clone(), Bytes::from))
            }
            Self::Events(events) => {
                let mut out = BytesMut::new();
                events.end_event(&mut out, keep)?;
                Ok(out.freeze())
            }
        }
    }
}

impl http_body::Body for Reduced {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let this = self.get_mut();
        loop {
            let Some(body) = &mut this.body else { return Poll::Ready(None) };
            let passed = match std::task::ready!(Pin::new(body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => this.reader.push(&data, &this.keep),
                    // Trailers speak of the bytes as they were.
                    Err(_trailers) => continue,
                },
                Some(Err(source)) => Err(Failure::Body(source)),
                None => {
                    this.body = None;
                    this.reader.finish(&this.keep)
                }
            };
            match passed {
                Ok(data) if data.is_empty() => {}
                Ok(data) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Err(failure) => {
                    this.body = None;
                    return Poll::Ready(Some(Err(failure)));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_none()
    }
}

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Splits an event stream into its events (HTML, 9.2.6, "Interpreting an event stream").
#[derive(Default)]
struct Events {
    /// The event under way, as it arrived.
    held: BytesMut,
    /// The length of its line under way.
    line: usize,
    /// Whether the last byte was a CR, to which an LF may belong.
    after_cr: bool,
    /// Whether the first event has begun, before which a byte order mark may stand.
    begun: bool,
}

impl Events {
    fn push(&mut self, data: &[u8], keep: &Keep) -> Result<Bytes, Failure> {
        let mut out = BytesMut::new();
        let mut rest = data;
        while let Some(first) = rest.first() {
            if std::mem::take(&mut self.after_cr) && *first == b'\n' {
                // It ends no line of its own, and belongs to what the CR ended.
                let end = if self.held.is_empty() { &mut out } else { &mut self.held };
                end.extend_from_slice(b"\n");
                rest = rest.get(1..).unwrap_or_default();
                continue;
            }
            let (line, after) = split_line(rest);
            self.line += line.len();
            let (end, after) = after.split_at(after.len().min(1));
            self.hold(line)?;
            self.hold(end)?;
            rest = after;
            if end.is_empty() {
                break;
            }
            self.after_cr = end == b"\r";
            if std::mem::take(&mut self.line) == 0 {
                self.end_event(&mut out, keep)?;
            }
        }
        Ok(out.freeze())
    }

    fn hold(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if self.held.len() + bytes.len() > limits::FILTERED_BYTES {
            return Err(Failure::TooLarge);
        }
        self.held.extend_from_slice(bytes);
        Ok(())
    }

    /// Passes the event under way on, reduced.
    fn end_event(&mut self, out: &mut BytesMut, keep: &Keep) -> Result<(), Failure> {
        let held = self.held.split();
        let is_first = !std::mem::replace(&mut self.begun, true);
        let (mark, event) = match held.split_at_checked(BYTE_ORDER_MARK.len()) {
            Some((BYTE_ORDER_MARK, event)) if is_first => (BYTE_ORDER_MARK, event),
            _ => (&[][..], &held[..]),
        };
        out.extend_from_slice(mark);
        let data = data(event);
        if data.is_empty() {
            out.extend_from_slice(event);
            return Ok(());
        }
        let reduced = match str::from_utf8(&data).map(|text| reduced(text, keep)) {
            Ok(Ok(reduced)) => reduced,
            // Clients read messages out of events of this type alone.
            _ if !is_message(event) => None,
            _ => return Err(Failure::NotAMessage),
        };
        match reduced {
            None => out.extend_from_slice(event),
            Some(json) => rewrite(event, &json, out),
        }
        Ok(())
    }
}

/// Splits before the end of the first line.
fn split_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
    bytes.split_at(end.unwrap_or(bytes.len()))
}

/// Walks over the lines of an event, each with its end.
fn lines(event: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = event;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (line, after) = split_line(rest);
        let end = match after {
            [b'\r', b'\n', ..] => 2,
            [_, ..] => 1,
            [] => 0,
        };
        let (end, after) = after.split_at(end);
        rest = after;
        Some((line, end))
    })
}

/// Splits a line into its field's name and value.
fn field(line: &[u8]) -> (&[u8], &[u8]) {
    match line.iter().position(|byte| *byte == b':') {
        None => (line, b""),
        Some(colon) => {
            let (name, value) = line.split_at(colon);
            let value = value.strip_prefix(b":").unwrap_or(value);
            (name, value.strip_prefix(b" ").unwrap_or(value))
        }
    }
}

/// What the event's data lines say, with line feeds between them.
fn data(event: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    for (number, line) in lines_of(event, b"data").enumerate() {
        if number > 0 {
            data.push(b'\n');
        }
        data.extend_from_slice(line);
    }
    data
}

fn lines_of<'e>(event: &'e [u8], wanted: &'e [u8]) -> impl Iterator<Item = &'e [u8]> {
    lines(event)
        .map(|(line, _end)| field(line))
        .filter(move |(name, _)| *name == wanted)
        .map(|it| it.1)
}

fn is_message(event: &[u8]) -> bool {
    let name = lines_of(event, b"event").last();
    name.is_none_or(|name| name.is_empty() || name == b"message")
}

/// Writes the event with other data in the place of its first data line.
fn rewrite(event: &[u8], json: &str, out: &mut BytesMut) {
    let mut written = false;
    for (line, end) in lines(event) {
        if field(line).0 != b"data" {
            out.extend_from_slice(line);
            out.extend_from_slice(end);
            continue;
        }
        if std::mem::replace(&mut written, true) {
            continue;
        }
        // JSON that was written over several lines keeps its white space.
        for part in json.split('\n') {
            out.extend_from_slice(b"data: ");
            out.extend_from_slice(part.as_bytes());
            out.extend_from_slice(if end.is_empty() { b"\n" } else { end });
        }
    }
}

/// Something is not JSON, or not in the bounds within which it is looked at.
#[derive(Debug)]
struct NotJson;

/// Takes the tools that are not kept out of a message, or each of a batch. None if it can go on as it
/// is: it lists no tools, or all of them are kept.
///
/// Members that stand twice, or are `result`, `tools` or `name` but for their case, all count: whichever
/// of them a client reads, it was judged.
fn reduced(text: &str, keep: &Keep) -> Result<Option<String>, NotJson> {
    match text.trim_ascii_start().as_bytes().first() {
        Some(b'{') => reduced_within(text, "result", |result| {
            reduced_within(result, "tools", |tools| reduced_tools(tools, keep))
        }),
        Some(b'[') => reduced_elements(text, |message| {
            // A batch holds messages and no batches, and an upstream could nest them without end.
            if message.trim_ascii_start().starts_with('[') {
                return Err(NotJson);
            }
            reduced(message, keep).map(Change::from)
        }),
        _ => serde_json::from_str::<&RawValue>(text).map(|_| None).map_err(|_source| NotJson),
    }
}

/// Changes the values of an object's members of this name. What is no object stays as it is.
fn reduced_within(
    json: &str,
    name: &str,
    change: impl Fn(&str) -> Result<Option<String>, NotJson>,
) -> Result<Option<String>, NotJson> {
    if !json.trim_ascii_start().starts_with('{') {
        return Ok(None);
    }
    let members = Members::read(json).map_err(|_source| NotJson)?;
    let mut changed = false;
    let mut values = Vec::new();
    for (given, value) in members.iter() {
        let new = if same_folded(given, name) { change(value)? } else { None };
        changed |= new.is_some();
        values.push((given, new.unwrap_or_else(|| value.to_owned())));
    }
    Ok(changed.then(|| {
        let mut json = String::with_capacity(json.len());
        write_object(&mut json, values.iter().map(|(name, value)| (*name, value.as_str())));
        json
    }))
}

/// What becomes of an element of a list.
enum Change {
    Kept,
    Replaced(String),
    Dropped,
}

impl From<Option<String>> for Change {
    fn from(new: Option<String>) -> Self {
        new.map_or(Self::Kept, Self::Replaced)
    }
}

/// Changes the elements of a list.
fn reduced_elements(
    json: &str,
    change: impl Fn(&str) -> Result<Change, NotJson>,
) -> Result<Option<String>, NotJson> {
    let elements: Vec<&RawValue> = serde_json::from_str(json).map_err(|_source| NotJson)?;
    let mut changed = false;
    let mut list = String::with_capacity(json.len());
    for element in elements {
        let new = change(element.get())?;
        changed |= !matches!(new, Change::Kept);
        let element = match &new {
            Change::Kept => element.get(),
            Change::Replaced(new) => new,
            Change::Dropped => continue,
        };
        list.push(if list.is_empty() { '[' } else { ',' });
        list.push_str(element);
    }
    if list.is_empty() {
        list.push('[');
    }
    list.push(']');
    Ok(changed.then_some(list))
}

fn reduced_tools(json: &str, keep: &Keep) -> Result<Option<String>, NotJson> {
    if !json.trim_ascii_start().starts_with('[') {
        return Ok(None);
    }
    reduced_elements(json, |tool| {
        Ok(if is_kept(tool, keep) { Change::Kept } else { Change::Dropped })
    })
}

/// Tells whether a tool stays: by each name that it could be taken to have.
fn is_kept(tool: &str, keep: &Keep) -> bool {
    let Ok(members) = Members::read(tool) else { return false };
    let mut named = false;
    for (name, value) in members.iter().filter(|(name, _)| same_folded(name, "name")) {
        named |= name == "name";
        if !super::members::string(value).is_some_and(|tool| keep(&tool)) {
            return false;
        }
    }
    named
}

#[cfg(test)]
mod tests;
