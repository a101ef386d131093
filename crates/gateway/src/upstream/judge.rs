//! Which messages are allowed to a key on an upstream, and what of them is forwarded.

use std::collections::BTreeSet;
use std::sync::Arc;

use app::Upstream;
use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use keys::{Grant, Refusal};

use super::members::{Ambiguous, Members, clip, quoted, same_folded, string, write_object};
use crate::limits;
use crate::refusal::CODE;

/// JSON-RPC 2.0, 5.1.
const PARSE_ERROR: i32 = -32700;
const INVALID_REQUEST: i32 = -32600;
const METHOD_NOT_FOUND: i32 = -32601;
const INVALID_PARAMS: i32 = -32602;

/// MCP 2026-07-28, Streamable HTTP: a header does not say what the body says.
const HEADER_MISMATCH: i32 = -32020;

/// What stands in a JSON-RPC message (JSON-RPC 2.0, 4 and 5). Anything else is not forwarded.
pub(super) const ENVELOPE: &[&str] = &["jsonrpc", "id", "method", "params", "result", "error"];

/// The params by which servers decide what a message does.
pub(super) const PARAMS: &[&str] = &[
    "_meta",
    "arguments",
    "argument",
    "cursor",
    "inputResponses",
    "level",
    "name",
    "notifications",
    "ref",
    "requestId",
    "requestState",
    "task",
    "taskId",
    "uri",
];

/// Tells which tools may be seen, by their exact names.
pub(crate) type Keep = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// What applies to the messages of one caller to one upstream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filter<'a> {
    server: &'a str,
    /// None where the caller reaches the whole server.
    scoped: Option<&'a Grant>,
    /// None where the upstream's tools are all allowed.
    allowed: Option<&'a BTreeSet<String>>,
}

/// What becomes of a message.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It goes on, as this body and no other.
    Forward {
        /// The message that was judged, written anew.
        body: Bytes,
        /// Whether the answer lists tools, and is to be reduced to those allowed.
        lists_tools: bool,
    },
    /// It ends here, with this answer.
    Answer(Response<Body>),
}

/// Why a message is not forwarded.
#[derive(Debug)]
struct Fault {
    status: StatusCode,
    /// The request's id as JSON, where it is known and can be trusted.
    id: Option<String>,
    code: i32,
    message: String,
}

/// A message as it was understood.
struct Message<'a> {
    /// The id as JSON; none for a notification.
    id: Option<&'a str>,
    content: Content<'a>,
}

enum Content<'a> {
    Call {
        method: String,
        params: Option<Members<'a>>,
    },
    /// An answer: `result` or `error`, and its value.
    Answer(&'static str, &'a str),
}

impl<'a> Filter<'a> {
    /// Tells what applies, if anything does: an allow-list of tools, or a grant that is scoped to
    /// some of them. No grant is a caller whom the app lets in without a key.
    pub(crate) fn of(
        server: &'a str,
        grant: Option<&'a Grant>,
        upstream: &'a Upstream,
    ) -> Option<Self> {
        let scoped = grant.filter(|grant| !grant.whole_server(server));
        let allowed = upstream.allowed_tools();
        (scoped.is_some() || allowed.is_some()).then_some(Self { server, scoped, allowed })
    }

    /// Tells whether the tool of exactly this name may be seen and called.
    pub(crate) fn allows(&self, tool: &str) -> bool {
        self.reaches(tool) && self.offers(tool)
    }

    /// Gives [`Filter::allows`] to be kept for as long as an answer lasts.
    pub(crate) fn keep(&self) -> Keep {
        let server = self.server.to_owned();
        let scoped = self.scoped.cloned();
        let allowed = self.allowed.cloned();
        Arc::new(move |tool| {
            Filter { server: &server, scoped: scoped.as_ref(), allowed: allowed.as_ref() }
                .allows(tool)
        })
    }

    /// Judges the body of a POST. What is forwarded is what was judged, written anew: no server can
    /// read another message out of it.
    pub(crate) fn judge(&self, headers: &HeaderMap, body: &Bytes) -> Verdict {
        match self.judged(headers, body) {
            Ok(forward) => forward,
            Err(fault) => Verdict::Answer(fault.response()),
        }
    }

    fn judged(&self, headers: &HeaderMap, body: &Bytes) -> Result<Verdict, Fault> {
        refuse_encoded(headers)?;
        let envelope = read_envelope(body)?;
        let mut message = Message::read(&envelope)?;
        let is_consistent = match &message.content {
            Content::Call { method, params } => says(headers, method, params.as_ref()),
            Content::Answer(..) => !headers.contains_key(METHOD) && !headers.contains_key(NAME),
        };
        if !is_consistent {
            return Err(message.fault(HEADER_MISMATCH, MISMATCH));
        }
        self.decide(&mut message)?;
        let body = message.write(body.len());
        let lists_tools =
            matches!(&message.content, Content::Call { method, .. } if method == "tools/list");
        Ok(Verdict::Forward { body, lists_tools })
    }

    /// Decides whether the message may go on, and takes out of it what may not.
    fn decide(&self, message: &mut Message<'_>) -> Result<(), Fault> {
        let is_notification = message.id.is_none();
        let Content::Call { method, params } = &mut message.content else { return Ok(()) };
        if method == "tools/call" {
            return self.decide_call(message);
        }
        if self.scoped.is_none() {
            // A server that folds names would take it for one that is judged.
            let looks_like = |judged| method != judged && same_folded(method.trim(), judged);
            if looks_like("tools/call") || looks_like("tools/list") {
                let text = format!("there is no method {:?}", clip(method));
                return Err(message.fault(METHOD_NOT_FOUND, &text));
            }
            return Ok(());
        }
        let reached = match method.as_str() {
            "initialize" | "ping" | "server/discover" | "logging/setLevel" | "tools/list" => true,
            "subscriptions/listen" => {
                params.as_mut().is_some_and(|params| reduce_subscription(params))
            }
            _ => is_notification && method.starts_with("notifications/"),
        };
        if reached {
            return Ok(());
        }
        let refusal = self.out_of_scope(method);
        Err(message.fault(CODE, &refusal))
    }

    fn decide_call(&self, message: &mut Message<'_>) -> Result<(), Fault> {
        const NO_NAME: &str =
            "tools/call must name the tool: send its name as the string \"name\" of params";
        let Content::Call { params, .. } = &mut message.content else { return Ok(()) };
        let Some((params, name)) =
            params.as_mut().and_then(|params| params.string("name").map(|name| (params, name)))
        else {
            return Err(message.fault(INVALID_PARAMS, NO_NAME));
        };
        params.set("name", quoted(&name));
        if !self.reaches(&name) {
            return Err(message.fault(CODE, &self.out_of_scope(&name)));
        }
        if !self.offers(&name) {
            let text =
                format!("this server has no tool {:?}: tools/list shows those it has", clip(&name));
            return Err(message.fault(INVALID_PARAMS, &text));
        }
        Ok(())
    }

    fn reaches(&self, tool: &str) -> bool {
        self.scoped.is_none_or(|grant| grant.reaches_tool(self.server, tool))
    }

    fn offers(&self, tool: &str) -> bool {
        self.allowed.is_none_or(|allowed| allowed.contains(tool))
    }

    fn out_of_scope(&self, what: &str) -> String {
        let (server, tool) = (self.server.to_owned(), Some(clip(what)));
        Refusal::OutOfScope { server, tool }.to_string()
    }
}

fn read_envelope(body: &[u8]) -> Result<Members<'_>, Fault> {
    const EXPECTED: &str = "the request body is not a JSON-RPC message: it must be one JSON object in \
                            UTF-8";
    let text = str::from_utf8(body)
        .map_err(|_source| Fault::of_body(PARSE_ERROR, format!("{EXPECTED}; it is not UTF-8")))?;
    if text.trim_ascii_start().starts_with('[') {
        let message = "batches are not taken: send each message as a request of its own";
        return Err(Fault::of_body(INVALID_REQUEST, message.to_owned()));
    }
    let envelope = Members::read(text).map_err(|source| {
        if source.is_data() {
            let most = limits::MEMBER_COUNT;
            return Fault::of_body(
                INVALID_REQUEST,
                format!("{EXPECTED}, of at most {most} members"),
            );
        }
        let (line, column) = (source.line(), source.column());
        let message = format!("{EXPECTED}; it is no JSON from line {line}, column {column} on");
        Fault::of_body(PARSE_ERROR, message)
    })?;
    envelope.refuse_ambiguous(ENVELOPE).map_err(|found| ambiguous(&found))?;
    Ok(envelope)
}

/// Refuses a body that says of itself that its bytes mean something else: a server that decodes it as
/// UTF-7, say, would read other quotation marks in it.
fn refuse_encoded(headers: &HeaderMap) -> Result<(), Fault> {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let is_json = match (types.next().map(HeaderValue::to_str), types.next()) {
        (Some(Ok(value)), None) => {
            let mut parts = value.split(';').map(|part| part.trim().to_ascii_lowercase());
            let is_plain =
                |part: String| matches!(part.as_str(), "" | "charset=utf-8" | "charset=\"utf-8\"");
            parts.next().as_deref() == Some("application/json") && parts.all(is_plain)
        }
        _ => false,
    };
    if is_json && !headers.contains_key(CONTENT_ENCODING) {
        return Ok(());
    }
    let message = "the request body must have Content-Type: application/json, be UTF-8, and not be \
                   compressed";
    let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    Err(Fault { status, ..Fault::of_body(CODE, message.to_owned()) })
}

/// Nothing of an ambiguous message can be trusted, not even its id.
fn ambiguous(found: &Ambiguous) -> Fault {
    let message = format!("the request body cannot be understood in one way only: {found}");
    Fault::of_body(INVALID_REQUEST, message)
}

impl<'a> Message<'a> {
    fn read(envelope: &'a Members<'_>) -> Result<Self, Fault> {
        let id = envelope.value("id");
        let is_id = |id: &str| match id.as_bytes().first() {
            Some(b'"') => string(id).is_some(),
            Some(b'-' | b'0'..=b'9') => true,
            Some(_) | None => false,
        };
        let invalid = |message: &str| Fault {
            status: StatusCode::BAD_REQUEST,
            id: id.filter(|id| is_id(id)).map(str::to_owned),
            code: INVALID_REQUEST,
            message: message.to_owned(),
        };
        if envelope.string("jsonrpc").as_deref() != Some("2.0") {
            return Err(invalid("the member \"jsonrpc\" must be \"2.0\""));
        }
        let answers = (envelope.value("result"), envelope.value("error"));
        let content = match (envelope.value("method"), answers) {
            (Some(method), (None, None)) => {
                let method = string(method)
                    .ok_or_else(|| invalid("the member \"method\" must be a string"))?;
                Content::Call { method, params: read_params(envelope, invalid)? }
            }
            (None, (Some(result), None)) => Content::Answer("result", result),
            (None, (None, Some(error))) => Content::Answer("error", error),
            _ => {
                return Err(invalid(
                    "a message must have exactly one of \"method\", \"result\" and \"error\"",
                ));
            }
        };
        let has_good_id = match (id, &content) {
            (Some(id), Content::Call { .. }) => is_id(id),
            (None, Content::Call { .. }) => true,
            // An error may answer a message whose id could not be read.
            (Some("null"), Content::Answer("error", _)) => true,
            (Some(id), Content::Answer(..)) => is_id(id),
            (None, Content::Answer(..)) => false,
        };
        if !has_good_id {
            return Err(invalid("the member \"id\" must be a string or a number"));
        }
        Ok(Self { id, content })
    }

    /// The answer to this message if it is refused. A notification gets the HTTP status that the
    /// protocol has for one that is not taken (Streamable HTTP, sending messages to the server): 202
    /// would say that it was.
    fn fault(&self, code: i32, message: &str) -> Fault {
        let is_request = self.id.is_some() && code != HEADER_MISMATCH;
        Fault {
            status: if is_request { StatusCode::OK } else { StatusCode::BAD_REQUEST },
            id: self.id.map(str::to_owned),
            code,
            message: message.to_owned(),
        }
    }

    fn write(&self, length: usize) -> Bytes {
        let mut members = vec![("jsonrpc", quoted("2.0"))];
        members.extend(self.id.map(|id| ("id", id.to_owned())));
        match &self.content {
            Content::Call { method, params } => {
                members.push(("method", quoted(method)));
                if let Some(params) = params {
                    let mut json = String::with_capacity(length);
                    params.write(&mut json);
                    members.push(("params", json));
                }
            }
            Content::Answer(name, value) => members.push((name, (*value).to_owned())),
        }
        let mut json = String::with_capacity(length);
        write_object(&mut json, members.iter().map(|(name, value)| (*name, value.as_str())));
        Bytes::from(json)
    }
}

fn read_params<'a>(
    envelope: &'a Members<'_>,
    invalid: impl Fn(&str) -> Fault,
) -> Result<Option<Members<'a>>, Fault> {
    let Some(json) = envelope.value("params").filter(|json| *json != "null") else {
        return Ok(None);
    };
    let params = Members::read(json).map_err(|_source| {
        let most = limits::MEMBER_COUNT;
        invalid(&format!("the member \"params\" must be an object of at most {most} members"))
    })?;
    params.refuse_ambiguous(PARAMS).map_err(|found| ambiguous(&found))?;
    Ok(Some(params))
}

/// Leaves of a subscription what a key that is scoped to tools may hear of: that the list of tools
/// changed. The server's acknowledgement tells the client what is left. False if nothing is.
fn reduce_subscription(params: &mut Members<'_>) -> bool {
    const TOOLS: &str = "toolsListChanged";
    let asks_for_tools = params
        .value("notifications")
        .and_then(|json| Members::read(json).ok())
        .is_some_and(|wanted| wanted.iter().any(|wanted| wanted == (TOOLS, "true")));
    if asks_for_tools {
        params.set("notifications", format!("{{{}:true}}", quoted(TOOLS)));
    }
    asks_for_tools
}

const METHOD: &str = "mcp-method";
const NAME: &str = "mcp-name";
const MISMATCH: &str = "the headers Mcp-Method and Mcp-Name, where they are sent, must stand once \
                        and say what the body says";

/// Tells whether the headers that upstreams may route by say what the body says. Whether they have to
/// be there is the upstream's to judge.
fn says(headers: &HeaderMap, method: &str, params: Option<&Members<'_>>) -> bool {
    let says_method = match single(headers, METHOD) {
        Ok(None) => true,
        Ok(Some(value)) => value == method,
        Err(Unreadable) => false,
    };
    let named_by: &[&str] = match method {
        "tools/call" => &["name"],
        _ => &["name", "uri", "taskId"],
    };
    let names = |value: &str| {
        let named = |member: &&str| params.and_then(|params| params.string(member));
        named_by.iter().filter_map(named).any(|name| name == value)
    };
    let says_name = match single(headers, NAME) {
        Ok(None) => true,
        Ok(Some(value)) => decoded(value).is_some_and(|value| names(&value)),
        Err(Unreadable) => false,
    };
    says_method && says_name
}

struct Unreadable;

fn single<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, Unreadable> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_source| Unreadable),
        (Some(_), Some(_)) => Err(Unreadable),
    }
}

/// Reads a header's value in the form that it has where the text is not plain ASCII.
fn decoded(value: &str) -> Option<String> {
    let encoded = value.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?="));
    match encoded {
        None => Some(value.to_owned()),
        Some(encoded) => String::from_utf8(STANDARD.decode(encoded).ok()?).ok(),
    }
}

impl Fault {
    /// The body as a whole is at fault.
    const fn of_body(code: i32, message: String) -> Self {
        Self { status: StatusCode::BAD_REQUEST, id: None, code, message }
    }

    fn response(&self) -> Response<Body> {
        answer(self.status, self.id.as_deref(), self.code, &self.message)
    }
}

/// A JSON-RPC error to the request with this id, which is JSON; null where there is none.
pub(super) fn answer(
    status: StatusCode,
    id: Option<&str>,
    code: i32,
    message: &str,
) -> Response<Body> {
    let mut json = String::new();
    let error = format!("{{\"code\":{code},\"message\":{}}}", quoted(message));
    let members = [("jsonrpc", "\"2.0\""), ("id", id.unwrap_or("null")), ("error", &error)];
    write_object(&mut json, members.into_iter());
    let mut response = Response::new(Body::from(json));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests;
