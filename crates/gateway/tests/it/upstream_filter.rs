//! Upstreams of which a key reaches a part, or the app offers one.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderMap, Method};
use http_body_util::BodyExt as _;
use keys::{ApiKey, Slot};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::harness::{Answer, Fixture, bare, call_tool, host, message, request};

const WHOLE: &str = "/api/mcpservers/whole/mcp";
const LISTED: &str = "/api/mcpservers/listed/mcp";

type Heard = Arc<Mutex<Vec<(HeaderMap, Bytes)>>>;

/// An upstream with three tools: it lists them in JSON, or in an event if it is asked for them by
/// GET, and answers whatever else it is asked with an empty result.
async fn upstream() -> (String, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let heard = Heard::default();
    let router = Router::new().fallback(answer).with_state(Arc::clone(&heard));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (url, heard)
}

async fn answer(State(heard): State<Heard>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let tools = ["read", "write", "list"].map(|name| json!({ "name": name, "inputSchema": {} }));
    let result = json!({ "tools": tools, "nextCursor": "more" });
    let list = json!({ "jsonrpc": "2.0", "id": 7, "result": result });
    let (content_type, text) = if parts.method == Method::GET {
        ("text/event-stream", format!("id: 1\r\ndata: {list}\r\n\r\n"))
    } else if body.windows(10).any(|part| part == b"tools/list") {
        ("application/json", list.to_string())
    } else {
        ("application/json", json!({ "jsonrpc": "2.0", "id": 7, "result": {} }).to_string())
    };
    heard.lock().unwrap().push((parts.headers, body));
    Response::builder().header("content-type", content_type).body(Body::from(text)).unwrap()
}

/// The upstream as the server `whole`, and as `listed` with `read` and `list` alone.
async fn fixture(authentication: &str) -> (Fixture, Heard) {
    let (url, heard) = upstream().await;
    let servers = json!({ "servers": { "whole": { "url": url }, "listed": { "url": url } } });
    let tools = json!([{ "name": "read" }, { "name": "list" }]);
    let offered = json!({ "mcpServers": [{ "name": "listed", "tools": tools }] });
    let files = [
        ("host.json".to_owned(), host(authentication)),
        ("mcp.json".to_owned(), servers.to_string()),
        ("mcpservers.json".to_owned(), offered.to_string()),
    ];
    (Fixture::with_files(&files, "http://localhost:7071").await, heard)
}

async fn scoped(fixture: &Fixture, scopes: &[&str]) -> ApiKey {
    fixture.key_for(Slot::Primary, None, scopes).await.key
}

fn refused(answer: &Answer, code: i32) -> String {
    assert_eq!(answer.status, 200, "{answer:?}");
    let body = answer.json();
    assert_eq!((&body["id"], &body["error"]["code"]), (&json!(7), &json!(code)), "{body}");
    body["error"]["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_key_for_one_tool_of_an_upstream_sees_and_calls_it_and_no_other() {
    let (fixture, heard) = fixture("ApiKey").await;
    let key = scoped(&fixture, &["whole/read"]).await;
    assert_eq!(fixture.tool_names(WHOLE, &key).await, ["read"]);
    let list = fixture.call(WHOLE, Some(&key), &message("tools/list", json!({}))).await;
    assert_eq!(list.json()["result"]["nextCursor"], "more");
    assert_eq!(fixture.tool(WHOLE, &key, "read", json!({ "a": 1 })).await, json!({}));
    assert!(heard.lock().unwrap().iter().all(|(head, _)| head["accept-encoding"] == "identity"));

    let before = heard.lock().unwrap().len();
    for (method, name) in [
        ("tools/call", "write"),
        ("tools/call", "Read"),
        ("prompts/get", "read"),
        ("resources/list", "read"),
        ("completion/complete", "read"),
    ] {
        let asked = message(method, json!({ "name": name }));
        let text = refused(&fixture.call(WHOLE, Some(&key), &asked).await, -32010);
        assert!(text.contains("scope") && text.contains("\"whole\""), "{text}");
    }
    assert_eq!(heard.lock().unwrap().len(), before, "nothing reached the upstream");
}

#[tokio::test]
async fn an_allow_list_holds_for_keys_of_the_whole_app_and_leaves_the_rest_alone() {
    let (fixture, heard) = fixture("ApiKey").await;
    let key = fixture.key().await.key;
    assert_eq!(fixture.tool_names(WHOLE, &key).await, ["read", "write", "list"]);
    assert_eq!(fixture.tool_names(LISTED, &key).await, ["read", "list"]);
    assert_eq!(fixture.tool(WHOLE, &key, "write", json!({})).await, json!({}));
    let before = heard.lock().unwrap().len();
    let answer = fixture.call(LISTED, Some(&key), &call_tool("write", json!({}))).await;
    assert!(refused(&answer, -32602).contains("\"write\""));
    assert_eq!(heard.lock().unwrap().len(), before, "nothing reached the upstream");
    let answer = fixture.call(LISTED, Some(&key), &message("prompts/list", json!({}))).await;
    assert_eq!(answer.json()["result"], json!({}));

    let both = scoped(&fixture, &["listed/list", "listed/write"]).await;
    assert_eq!(fixture.tool_names(LISTED, &both).await, ["list"]);
}

#[tokio::test]
async fn an_allow_list_holds_for_those_who_come_without_a_key() {
    let (fixture, heard) = fixture("Anonymous").await;
    let list = fixture.call(LISTED, None, &message("tools/list", json!({}))).await;
    assert_eq!(list.json()["result"]["tools"].as_array().unwrap().len(), 2);
    let before = heard.lock().unwrap().len();
    refused(&fixture.call(LISTED, None, &call_tool("write", json!({}))).await, -32602);
    assert_eq!(heard.lock().unwrap().len(), before, "nothing reached the upstream");
}

#[tokio::test]
async fn a_stream_that_replays_a_list_is_reduced_too() {
    let (fixture, _) = fixture("ApiKey").await;
    let key = scoped(&fixture, &["whole/list"]).await;
    let mut listening = request(WHOLE, Some(&key), &Value::Null);
    *listening.method_mut() = Method::GET;
    *listening.body_mut() = Body::empty();
    let text = fixture.send(listening).await.text;
    assert!(text.starts_with("id: 1\r\ndata: {") && text.ends_with("}\r\n\r\n"), "{text}");
    assert!(text.contains("\"list\"") && !text.contains("\"read\""), "{text}");
}

#[tokio::test]
async fn what_is_forwarded_is_what_was_judged_and_what_can_be_read_twice_goes_nowhere() {
    let (fixture, heard) = fixture("ApiKey").await;
    let key = scoped(&fixture, &["whole/read"]).await;
    let send = |body: &'static str| {
        let mut asked = bare(WHOLE, Body::from(body));
        asked.headers_mut().insert("x-api-key", key.expose().parse().unwrap());
        fixture.send(asked)
    };
    let answer = send(
        r#"{ "id":7, "x":1, "method":"tools/call","params":{"n\u0061me":"read","arguments":{"a": 1.0}},"jsonrpc":"2.0"}"#,
    )
    .await;
    assert_eq!(answer.status, 200);
    let (head, body) = heard.lock().unwrap().pop().unwrap();
    assert_eq!(
        body,
        r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"read","arguments":{"a": 1.0}}}"#
    );
    assert_eq!(head["content-length"], body.len().to_string().as_str());
    for body in [
        r#"[{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"read"}}]"#,
        r#"{"jsonrpc":"2.0","id":7,"method":"ping","Method":"tools/call","params":{"name":"write"}}"#,
        r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"read","name":"write"}}"#,
        r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"read","N\u0041me":"write"}}"#,
        "{",
    ] {
        let answer = send(body).await;
        assert_eq!(answer.status, 400, "{body}");
        assert_eq!(answer.json()["id"], Value::Null);
    }
    let mut routed = request(WHOLE, Some(&key), &call_tool("read", json!({})));
    routed.headers_mut().insert("mcp-name", "write".parse().unwrap());
    let answer = fixture.send(routed).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["error"]["code"]), (400, &json!(-32020)));
    assert!(heard.lock().unwrap().is_empty(), "nothing reached the upstream");
}
