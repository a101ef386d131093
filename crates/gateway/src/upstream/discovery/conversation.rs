//! A small MCP client, which lists tools in any protocol version and does nothing else.

use std::fmt;
use std::pin::pin;

use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt as _;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sse_stream::SseStream;
use store::ListedTool;
use tokio::time::timeout;

use super::Way;
use crate::limits;
use crate::refusal::CODE;
use crate::upstream::SESSION;

/// The protocol version that has neither a handshake nor sessions.
const NEWER: &str = "2026-07-28";

/// The protocol version that is offered to servers of the ones before; they choose theirs.
const OLDER: &str = "2025-11-25";

const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";

const LIST: &str = "tools/list";

/// JSON-RPC 2.0, 5.1: the server does not know the method.
const METHOD_NOT_FOUND: i64 = -32601;

/// Lists all tools of an upstream; `is_process` says that a child process is, for which Keyward
/// answers by HTTP where it cannot.
///
/// # Errors
/// Why there is no list, as the rest of a sentence about the upstream. It repeats nothing that the
/// upstream said but numbers: whoever gets credentials may repeat them.
pub(super) async fn tools<'a>(
    way: &'a Way<'a>,
    is_process: bool,
) -> Result<Vec<ListedTool>, String> {
    let newer = match Conversation::newer(way, is_process).all_tools().await {
        Ok(tools) => return Ok(tools),
        // Another protocol version would not help.
        Err(fault @ (Fault::NotAnswered(_) | Fault::TooMany | Fault::Slow)) => {
            return Err(fault.to_string());
        }
        Err(fault) => fault,
    };
    let mut older = Conversation::older(way, is_process);
    let listed = match older.initialize().await {
        Ok(has_tools) if has_tools => older.all_tools().await,
        Ok(_) => Ok(Vec::new()),
        // It knows of no handshake, so that what it said before was its answer.
        Err(Fault::Refused { .. }) => Err(newer),
        Err(fault) => Err(fault),
    };
    older.end().await;
    match listed {
        // A server that has none need not know the question.
        Err(Fault::Refused { code: METHOD_NOT_FOUND, .. }) => Ok(Vec::new()),
        listed => listed.map_err(|fault| fault.to_string()),
    }
}

/// Why a question has no answer.
#[derive(Debug)]
enum Fault {
    /// The request did not get there, or its answer may not be seen.
    NotAnswered(String),
    /// An answer that is no message.
    Status { method: &'static str, status: StatusCode },
    /// A JSON-RPC error.
    Refused { method: &'static str, code: i64 },
    /// What Keyward itself answers in the place of a child process.
    Ours(String),
    /// A successful answer that holds something else than was asked for.
    Strange { method: &'static str },
    /// No whole answer in time.
    Silent { method: &'static str },
    /// Each page came in time, and all of them did not.
    Slow,
    /// The answer ended before it was whole.
    BrokenOff { method: &'static str },
    /// The answer is too large.
    TooLarge { method: &'static str },
    /// More tools, or pages of them, than are read.
    TooMany,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnswered(why) => f.write_str(why),
            Self::Status { method, status } => {
                write!(f, "answered {method} with HTTP {status}")?;
                match *status {
                    StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
                        f.write_str(": is this the path of its MCP endpoint?")
                    }
                    _ => Ok(()),
                }
            }
            Self::Refused { method, code } => {
                write!(f, "answered {method} with the JSON-RPC error {code}")
            }
            Self::Ours(message) => f.write_str(message),
            Self::Strange { method } => {
                write!(f, "answered {method} with something that MCP does not know")
            }
            Self::Silent { method } => {
                let seconds = limits::DISCOVERY_ANSWER_TIME.as_secs();
                write!(f, "did not answer {method} within {seconds} s")
            }
            Self::Slow => {
                let seconds = limits::DISCOVERY_TIME.as_secs();
                write!(f, "did not list all its tools within {seconds} s")
            }
            Self::BrokenOff { method } => write!(f, "broke off its answer to {method}"),
            Self::TooLarge { method } => {
                let most = limits::DISCOVERY_BYTES;
                write!(f, "answered {method} with more than {most} bytes")
            }
            Self::TooMany => write!(
                f,
                "lists more than {} tools, or more than {} pages of them",
                limits::LISTED_TOOLS,
                limits::LISTED_PAGES
            ),
        }
    }
}

/// What is said to one upstream in one protocol version.
struct Conversation<'a> {
    way: &'a Way<'a>,
    /// What every request says of itself; none before an older server has chosen.
    version: Option<HeaderValue>,
    session: Option<HeaderValue>,
    is_newer: bool,
    is_process: bool,
    last_id: u64,
}

#[derive(Deserialize)]
struct Message<T> {
    id: Option<Value>,
    result: Option<T>,
    error: Option<ErrorObject>,
}

#[derive(Deserialize)]
struct ErrorObject {
    code: i64,
    message: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    tools: Vec<Described>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct Described {
    name: String,
    description: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Initialized {
    protocol_version: String,
    capabilities: Capabilities,
}

#[derive(Deserialize)]
struct Capabilities {
    tools: Option<Value>,
}

impl<'a> Conversation<'a> {
    fn newer(way: &'a Way<'a>, is_process: bool) -> Self {
        let version = Some(HeaderValue::from_static(NEWER));
        Self { way, version, session: None, is_newer: true, is_process, last_id: 0 }
    }

    fn older(way: &'a Way<'a>, is_process: bool) -> Self {
        Self { way, version: None, session: None, is_newer: false, is_process, last_id: 0 }
    }

    /// Opens a session with a server of an older protocol version; says whether it has tools.
    async fn initialize(&mut self) -> Result<bool, Fault> {
        const INITIALIZE: &str = "initialize";
        let params =
            json!({ "protocolVersion": OLDER, "capabilities": {}, "clientInfo": this_program() });
        let (answer, session) = self.ask::<Initialized>(INITIALIZE, params).await?;
        self.session = session;
        let strange = |_| Fault::Strange { method: INITIALIZE };
        self.version = Some(answer.protocol_version.parse().map_err(strange)?);
        let told = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        // What matters is whether it answers afterwards.
        drop(timeout(limits::DISCOVERY_ANSWER_TIME, (self.way)(self.post(&told))).await);
        Ok(answer.capabilities.tools.is_some())
    }

    async fn all_tools(&mut self) -> Result<Vec<ListedTool>, Fault> {
        match timeout(limits::DISCOVERY_TIME, self.all_pages()).await {
            Ok(tools) => tools,
            Err(_) => Err(Fault::Slow),
        }
    }

    async fn all_pages(&mut self) -> Result<Vec<ListedTool>, Fault> {
        let mut tools = Vec::new();
        let mut cursor = None;
        for _ in 0..limits::LISTED_PAGES {
            let page = self.page(cursor).await?;
            tools.extend(page.tools.into_iter().filter_map(listed));
            if tools.len() > limits::LISTED_TOOLS {
                return Err(Fault::TooMany);
            }
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(tools);
            }
        }
        Err(Fault::TooMany)
    }

    async fn page(&mut self, cursor: Option<String>) -> Result<Page, Fault> {
        let mut params = json!({});
        if let Some(params) = params.as_object_mut() {
            params.extend(cursor.map(|cursor| ("cursor".to_owned(), cursor.into())));
            let meta = json!({
                "io.modelcontextprotocol/protocolVersion": NEWER,
                "io.modelcontextprotocol/clientInfo": this_program(),
                "io.modelcontextprotocol/clientCapabilities": {},
            });
            params.extend(self.is_newer.then(|| ("_meta".to_owned(), meta)));
        }
        Ok(self.ask::<Page>(LIST, params).await?.0)
    }

    /// Ends the session, if one was opened. The upstream would end it some day of its own accord.
    async fn end(self) {
        if self.session.is_some() {
            let mut request = self.request(Bytes::new());
            *request.method_mut() = Method::DELETE;
            drop(timeout(limits::DISCOVERY_ANSWER_TIME, (self.way)(request)).await);
        }
    }

    /// Asks for a result; gives it with the session that it came with.
    async fn ask<T: DeserializeOwned>(
        &mut self,
        method: &'static str,
        params: Value,
    ) -> Result<(T, Option<HeaderValue>), Fault> {
        self.last_id += 1;
        let id = self.last_id;
        let message = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let mut request = self.post(&message);
        if self.is_newer {
            request.headers_mut().insert(METHOD, HeaderValue::from_static(method));
        }
        let asking = async {
            let response = (self.way)(request).await.map_err(Fault::NotAnswered)?;
            let mut session = response.headers().get(SESSION).cloned();
            session.iter_mut().for_each(|session| session.set_sensitive(true));
            Ok((read(method, response, id, self.is_process).await?, session))
        };
        match timeout(limits::DISCOVERY_ANSWER_TIME, asking).await {
            Ok(answer) => answer,
            Err(_) => Err(Fault::Silent { method }),
        }
    }

    fn post(&self, message: &Value) -> Request<Bytes> {
        self.request(Bytes::from(message.to_string()))
    }

    fn request(&self, body: Bytes) -> Request<Bytes> {
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        headers.extend(self.version.clone().map(|version| (VERSION, version)));
        headers.extend(self.session.clone().map(|session| (SESSION, session)));
        request
    }
}

fn this_program() -> Value {
    json!({ "name": "keyward", "version": env!("CARGO_PKG_VERSION") })
}

/// Takes a tool up as far as it can be shown; one whose name no scope could have is nothing that
/// anybody could be told to use.
fn listed(tool: Described) -> Option<ListedTool> {
    let fits = (1..=limits::LISTED_NAME_BYTES).contains(&tool.name.len());
    let shorten = |text: String| match text.char_indices().nth(limits::LISTED_DESCRIPTION_CHARS) {
        Some((end, _)) => text.get(..end).unwrap_or_default().to_owned(),
        None => text,
    };
    fits.then(|| ListedTool { name: tool.name, description: tool.description.map(shorten) })
}

/// Reads the answer to the request `id`, which may come after other messages of a stream.
async fn read<T: DeserializeOwned>(
    method: &'static str,
    response: Response<Body>,
    id: u64,
    is_process: bool,
) -> Result<T, Fault> {
    let status = response.status();
    let kind = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
    let (is_json, is_stream) = (kind.eq_ignore_ascii_case(JSON), kind.eq_ignore_ascii_case(EVENTS));
    let body = Limited::new(response.into_body(), limits::DISCOVERY_BYTES);
    let broken = |error: &(dyn std::error::Error + 'static)| {
        let mut causes = std::iter::successors(Some(error), |cause| cause.source());
        match causes.any(|cause| cause.is::<LengthLimitError>()) {
            true => Fault::TooLarge { method },
            false => Fault::BrokenOff { method },
        }
    };
    let not_a_message = match status.is_success() {
        true => Fault::Strange { method },
        false => Fault::Status { method, status },
    };
    if is_json {
        let bytes = body.collect().await.map_err(|error| broken(&*error))?.to_bytes();
        let is_gateways =
            status == StatusCode::BAD_GATEWAY || status == StatusCode::SERVICE_UNAVAILABLE;
        if is_process
            && is_gateways
            && let Some(message) = own_message(&bytes)
        {
            return Err(Fault::Ours(message));
        }
        return match answer(method, &bytes, id) {
            Some(answer) => answer,
            None => Err(not_a_message),
        };
    }
    if !is_stream || !status.is_success() {
        return Err(not_a_message);
    }
    let mut events = pin!(SseStream::new(body.map_err(Broken)));
    while let Some(event) = events.next().await {
        let event = event.map_err(|error| match &error {
            sse_stream::Error::Body(error) => broken(&**error),
            _ => Fault::Strange { method },
        })?;
        // Notices and questions of the upstream's own come on the same stream.
        let data = event.data.unwrap_or_default();
        if let Some(answer) = answer(method, data.as_bytes(), id) {
            return answer;
        }
    }
    Err(Fault::BrokenOff { method })
}

/// The text of an error of our own: its code is no other's where its status is not a child's to choose.
fn own_message(message: &[u8]) -> Option<String> {
    let message: Message<serde::de::IgnoredAny> = serde_json::from_slice(message).ok()?;
    let error = message.error.filter(|error| error.code == i64::from(CODE))?;
    error.message
}

/// What a message answers to the request `id`; nothing if it is another's, or none at all.
fn answer<T: DeserializeOwned>(
    method: &'static str,
    message: &[u8],
    id: u64,
) -> Option<Result<T, Fault>> {
    let envelope: Message<serde::de::IgnoredAny> = serde_json::from_slice(message).ok()?;
    let is_ours = envelope.id.as_ref().and_then(Value::as_u64) == Some(id);
    match envelope {
        // A server that could not read the request does not know its id.
        Message { id: given, error: Some(ErrorObject { code, .. }), .. }
            if is_ours || given.is_none() =>
        {
            Some(Err(Fault::Refused { method, code }))
        }
        Message { result: Some(_), .. } if is_ours => {
            let whole: Result<Message<T>, _> = serde_json::from_slice(message);
            Some(whole.ok().and_then(|message| message.result).ok_or(Fault::Strange { method }))
        }
        Message { .. } => None,
    }
}

/// Why a body broke off; streams want a type for it.
#[derive(Debug, thiserror::Error)]
#[error("the body broke off")]
struct Broken(#[source] Box<dyn std::error::Error + Send + Sync>);

#[cfg(test)]
mod tests;
