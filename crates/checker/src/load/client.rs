use std::time::Duration;

use fastrand::Rng;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::Way;
use super::ring::Held;
use crate::history::Answer;
use crate::record::Recorder;
use crate::upstream::stamp_of;

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Longer than a process is stopped.
const ANSWERS_WITHIN: Duration = Duration::from_secs(20);

/// Longer than any change may take.
const CHANGES_WITHIN: Duration = Duration::from_secs(80);

/// What a client asks.
#[derive(Clone, Copy, Debug)]
pub(super) enum Question {
    /// A workflow's tool.
    Greet,
    /// The list of tools of a server of workflows.
    Tools,
    /// A tool of the upstream, which takes so long.
    Late { ms: u64 },
}

impl Question {
    pub(super) fn any(rng: &mut Rng) -> Self {
        match rng.u8(0..4) {
            0 => Self::Greet,
            1 => Self::Tools,
            _ => Self::Late { ms: rng.u64(0..250) },
        }
    }

    const fn server(self) -> &'static str {
        match self {
            Self::Greet | Self::Tools => "first",
            Self::Late { .. } => "events",
        }
    }

    fn message(self) -> Value {
        let call = |name, arguments: Value| {
            json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call",
                "params": { "name": name, "arguments": arguments } })
        };
        match self {
            Self::Greet => call("Greet", json!({ "name": "Ada" })),
            Self::Tools => json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" }),
            Self::Late { ms } => call("late", json!({ "ms": ms })),
        }
    }
}

/// An answer of the management plane.
pub(super) struct Managed {
    pub(super) status: StatusCode,
    pub(super) body: String,
}

/// Whoever has connections of its own.
pub(super) struct Client(reqwest::Client);

impl Client {
    pub(super) fn new() -> Self {
        let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(2);
        Self(client.build().unwrap_or_default())
    }

    fn request(&self, method: Method, way: &Way, server: &str, held: &Held) -> RequestBuilder {
        let url = format!("{}/api/mcpservers/{server}/mcp", way.data);
        let key = HeaderValue::from_str(held.expose()).map(|mut key| {
            key.set_sensitive(true);
            key
        });
        let request = self.0.request(method, url);
        let request = request.header(ACCEPT, "application/json, text/event-stream");
        match key {
            Ok(key) => request.header(API_KEY, key),
            Err(_) => request,
        }
    }

    /// Asks once and takes down what came; says whether it was let in.
    pub(super) async fn ask(
        &self,
        recorder: &Recorder,
        way: &Way,
        held: &Held,
        question: Question,
    ) -> bool {
        let request = self
            .request(Method::POST, way, question.server(), held)
            .header(CONTENT_TYPE, "application/json")
            .body(question.message().to_string());
        let began = recorder.now();
        let asked = (held.record, way.via, began);
        let answering = async {
            let response = request.send().await.ok()?;
            let status = response.status();
            Some((status, response.text().await.unwrap_or_default()))
        };
        let Ok(Some((status, body))) = timeout(ANSWERS_WITHIN, answering).await else {
            recorder.answered(asked, Answer::Unavailable, None);
            return false;
        };
        let answer = read(status, &body);
        recorder.answered(asked, answer, stamp_of(&body).map(|(_, emitted)| emitted));
        answer == Answer::Admitted(200)
    }

    /// Opens a stream of the upstream's events, as the older protocol versions do or as the answer to a
    /// call.
    pub(super) async fn open(&self, way: &Way, held: &Held, by_get: bool) -> Option<Response> {
        let request = if by_get {
            self.request(Method::GET, way, "events", held)
        } else {
            let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call",
                "params": { "name": "watch", "arguments": {} } });
            self.request(Method::POST, way, "events", held)
                .header(CONTENT_TYPE, "application/json")
                .body(call.to_string())
        };
        timeout(ANSWERS_WITHIN, request.send()).await.ok()?.ok()
    }

    /// Calls a management operation. `Err` says whether anything was sent.
    pub(super) async fn manage(
        &self,
        way: &Way,
        token: &str,
        operation: &str,
        parameters: &str,
        body: &Value,
    ) -> Result<Managed, NoAnswer> {
        let Way { manage, query, .. } = way;
        let url = format!(
            "{manage}/runtime/webhooks/workflow/api/management/{operation}?{query}{parameters}"
        );
        let request = self.0.post(url).bearer_auth(token).json(body);
        let answering = async {
            let response = request.send().await?;
            let status = response.status();
            Ok(Managed { status, body: response.text().await? })
        };
        match timeout(CHANGES_WITHIN, answering).await {
            Ok(Ok(managed)) => Ok(managed),
            Ok(Err(error)) => {
                let error: reqwest::Error = error;
                Err(if error.is_connect() { NoAnswer::NotSent } else { NoAnswer::Lost })
            }
            Err(_) => Err(NoAnswer::Lost),
        }
    }
}

/// Why a call of the management plane had no answer.
pub(super) enum NoAnswer {
    NotSent,
    Lost,
}

/// What an answer says of the key. A JSON-RPC error under a gateway's status is Keyward's word about an
/// upstream that it has asked, so the key was good; without it the status is nginx's own.
pub(super) fn read(status: StatusCode, body: &str) -> Answer {
    let is_ours = body.contains("\"jsonrpc\"");
    match status.as_u16() {
        status @ (401 | 403) => Answer::Refused(status),
        503 => Answer::Unavailable,
        502 | 504 if !is_ours => Answer::Unavailable,
        status => Answer::Admitted(status),
    }
}
