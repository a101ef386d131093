//! An MCP server as small and quick as one can be: one tool, `echo`, on one thread.
//!
//! It speaks 2025-11-25 (with sessions for who asks for one by `initialize`) and 2026-07-28, and
//! answers a GET with a stream that stays open and silent. It listens on a free port of loopback and
//! prints one line of JSON that says where.

use std::convert::Infallible;
use std::error::Error;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::net::TcpSocket;

const SESSION: &str = "mcp-session-id";
const NEWER: &str = "2026-07-28";
const OLDER: &str = "2025-11-25";
const SERVER: &str = r#"{"name":"bench-upstream","version":"1.0.0"}"#;
const TOOLS: &str = concat!(
    r#"[{"name":"echo","description":"Gives back what it is given.","inputSchema":"#,
    r#"{"type":"object","properties":{"message":{"type":"string"}},"required":["message"]}}]"#,
);

/// How many sessions were opened; they are numbered from 1.
static SESSION_COUNT: AtomicU64 = AtomicU64::new(0);

type Answer = Response<Either<Full<Bytes>, Silence>>;

/// What a message is looked at for; what it carries besides is skipped.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<&'a str>,
    #[serde(borrow, default)]
    params: Params<'a>,
}

#[derive(Deserialize, Default)]
struct Params<'a> {
    #[serde(borrow, default)]
    name: Option<&'a str>,
    #[serde(borrow, default)]
    arguments: Arguments<'a>,
}

#[derive(Deserialize, Default)]
struct Arguments<'a> {
    #[serde(borrow, default)]
    message: Option<&'a RawValue>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(([127, 0, 0, 1], 0).into())?;
    let listener = socket.listen(4096)?;
    println!(r#"{{"listen":"{}"}}"#, listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let service = service_fn(async |request| Ok::<_, Infallible>(answer(request).await));
            let server = hyper::server::conn::http1::Builder::new();
            drop(server.serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

async fn answer(request: Request<Incoming>) -> Answer {
    let (head, body) = request.into_parts();
    if is_unknown_session(&head.headers) {
        return json(StatusCode::NOT_FOUND, error("null", -32001, "no such session"));
    }
    match head.method {
        Method::POST => {}
        Method::GET => return stream(),
        Method::DELETE => return empty(StatusCode::NO_CONTENT),
        _ => {
            let mut answer = empty(StatusCode::METHOD_NOT_ALLOWED);
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, POST, DELETE"));
            return answer;
        }
    }
    let Ok(body) = body.collect().await.map(|body| body.to_bytes()) else {
        return empty(StatusCode::BAD_REQUEST);
    };
    let is_newer = head.headers.get("mcp-protocol-version").is_some_and(|v| v == NEWER);
    match serde_json::from_slice(&body) {
        Ok(message) => respond(&message, is_newer),
        Err(_) => json(StatusCode::BAD_REQUEST, error("null", -32700, "not a JSON-RPC message")),
    }
}

fn respond(message: &Message<'_>, is_newer: bool) -> Answer {
    let (Some(id), Some(method)) = (message.id, message.method) else {
        return empty(StatusCode::ACCEPTED);
    };
    let id = id.get();
    let kind = if is_newer { r#""resultType":"complete","# } else { "" };
    let result = match method {
        "tools/call" if message.params.name == Some("echo") => {
            let text = message.params.arguments.message.map_or(r#""""#, RawValue::get);
            format!(r#"{{{kind}"content":[{{"type":"text","text":{text}}}]}}"#)
        }
        "tools/list" => {
            let caching = if is_newer { r#","ttlMs":0,"cacheScope":"private""# } else { "" };
            format!(r#"{{{kind}"tools":{TOOLS}{caching}}}"#)
        }
        "initialize" => return initialize(id),
        "server/discover" => format!(
            r#"{{{kind}"supportedVersions":["{NEWER}","{OLDER}"],"capabilities":{{"tools":{{}}}},"serverInfo":{SERVER},"ttlMs":0,"cacheScope":"private"}}"#
        ),
        "ping" => "{}".to_owned(),
        "tools/call" => return json(StatusCode::OK, error(id, -32602, "no such tool")),
        _ => return json(StatusCode::OK, error(id, -32601, "no such method")),
    };
    json(StatusCode::OK, format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#))
}

fn initialize(id: &str) -> Answer {
    let session = SESSION_COUNT.fetch_add(1, Ordering::Relaxed) + 1;
    let mut answer = json(
        StatusCode::OK,
        format!(
            r#"{{"jsonrpc":"2.0","id":{id},"result":{{"protocolVersion":"{OLDER}","capabilities":{{"tools":{{}}}},"serverInfo":{SERVER}}}}}"#
        ),
    );
    answer.headers_mut().insert(SESSION, HeaderValue::from(session));
    answer
}

/// Whether the request names a session that was never opened here: so a run sees whether a proxy
/// gives back the id that the upstream chose.
fn is_unknown_session(headers: &HeaderMap) -> bool {
    let Some(named) = headers.get(SESSION) else { return false };
    let number = named.to_str().ok().and_then(|text| text.parse::<u64>().ok());
    !number.is_some_and(|n| (1..=SESSION_COUNT.load(Ordering::Relaxed)).contains(&n))
}

fn error(id: &str, code: i32, message: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":"{message}"}}}}"#)
}

fn json(status: StatusCode, text: String) -> Answer {
    let mut answer = Response::new(Either::Left(Full::from(text)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Either::Left(Full::default()));
    *answer.status_mut() = status;
    answer
}

fn stream() -> Answer {
    let mut answer = Response::new(Either::Right(Silence { opening: Some(": open\n\n") }));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    answer
}

/// One comment, so that the client sees the stream open, and then nothing for ever.
struct Silence {
    opening: Option<&'static str>,
}

impl Body for Silence {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.opening.take() {
            Some(text) => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(text.as_bytes()))))),
            None => Poll::Pending,
        }
    }
}
