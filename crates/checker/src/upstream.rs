//! The MCP server that Keyward stands before: what it says carries when it was said.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use axum::routing::get;
use futures::stream;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::task::TaskTracker;

use crate::failure::{Doing as _, Result};
use crate::history::Moment;
use crate::record::Recorder;

/// How often each stream has an event.
const EVENT_EVERY: Duration = Duration::from_millis(80);

#[derive(Clone)]
struct Upstream {
    recorder: Recorder,
    next: Arc<AtomicU64>,
}

/// Starts it on a free port of the loopback interface; gives its address.
pub(crate) async fn start(recorder: Recorder, tasks: &TaskTracker) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await.doing("the upstream cannot listen")?;
    let address = listener.local_addr().doing("the upstream has no address")?;
    let upstream = Upstream { recorder, next: Arc::default() };
    let router = Router::new().route("/mcp", get(watch).post(answer)).with_state(upstream);
    tasks.spawn(async move { axum::serve(listener, router).await });
    Ok(address)
}

async fn watch(State(upstream): State<Upstream>) -> Response {
    upstream.events()
}

async fn answer(State(upstream): State<Upstream>, body: Bytes) -> Response {
    let Ok(message) = serde_json::from_slice::<Value>(&body) else {
        return of(StatusCode::BAD_REQUEST, "text/plain", "not JSON".to_owned());
    };
    let Some(id) = message.get("id") else {
        return of(StatusCode::ACCEPTED, "text/plain", String::new());
    };
    let member = |path: &str| message.pointer(path);
    let tool = member("/params/name").and_then(Value::as_str);
    let result = match (member("/method").and_then(Value::as_str), tool) {
        (Some("tools/call"), Some("watch")) => return upstream.events(),
        (Some("tools/call"), _) => {
            let ms = member("/params/arguments/ms").and_then(Value::as_u64).unwrap_or(0);
            sleep(Duration::from_millis(ms)).await;
            json!({ "content": [], "structuredContent": upstream.stamp() })
        }
        (Some("initialize"), _) => json!({
            "protocolVersion": "2025-06-18",
            "capabilities": { "tools": {} },
            "serverInfo": { "name": "events", "version": "1" },
        }),
        _ => {
            let tool = |name| json!({ "name": name, "inputSchema": { "type": "object" } });
            json!({ "tools": [tool("watch"), tool("late")] })
        }
    };
    let body = json!({ "jsonrpc": "2.0", "id": id, "result": result });
    of(StatusCode::OK, "application/json", body.to_string())
}

fn of(status: StatusCode, media_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, axum::http::HeaderValue::from_static(media_type));
    response
}

impl Upstream {
    /// The moment comes last: nothing of what carries it can have been read before it.
    fn stamp(&self) -> Value {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        json!({ "number": number, "emitted": self.recorder.now().micros() })
    }

    /// Events without end.
    fn events(&self) -> Response {
        let mut ticks = interval(EVENT_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let events = stream::unfold((self.clone(), ticks), |(upstream, mut ticks)| async move {
            ticks.tick().await;
            let message = json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": {
                "level": "info", "data": upstream.stamp(),
            }});
            let event = Bytes::from(format!("data: {message}\n\n"));
            Some((Ok::<_, Infallible>(event), (upstream, ticks)))
        });
        of(StatusCode::OK, "text/event-stream", Body::from_stream(events))
    }
}

/// Finds what is stamped in a text: its number, and when it was made.
pub(crate) fn stamp_of(text: &str) -> Option<(u64, Moment)> {
    let after = |name: &str| {
        let (_, rest) = text.split_once(name)?;
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest.get(..end)?.parse::<u64>().ok()
    };
    Some((after("\"number\":")?, Moment::from_micros(after("\"emitted\":")?)))
}

/// Takes the whole events out of what has arrived of a stream.
pub(crate) fn take_stamps(arrived: &mut Vec<u8>) -> Vec<(u64, Moment)> {
    let Some(end) = arrived.windows(2).rposition(|two| two == b"\n\n") else { return Vec::new() };
    let whole: Vec<u8> = arrived.drain(..end + 2).collect();
    String::from_utf8_lossy(&whole).split("\n\n").filter_map(stamp_of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_taken_when_they_are_whole() {
        let event = |number: u64, emitted: u64| {
            format!("data: {{\"data\":{{\"number\":{number},\"emitted\":{emitted}}}}}\n\n")
        };
        let mut arrived = format!("{}{}data: {{\"nu", event(1, 10), event(2, 20)).into_bytes();
        let stamps = [(1, Moment::from_micros(10)), (2, Moment::from_micros(20))];
        assert_eq!(take_stamps(&mut arrived), stamps);
        assert_eq!(arrived, b"data: {\"nu");
        assert_eq!(take_stamps(&mut arrived), []);
        arrived.extend(b"mber\":3,\"emitted\":30}\n\n: a comment\n\n");
        assert_eq!(take_stamps(&mut arrived), [(3, Moment::from_micros(30))]);
    }
}
