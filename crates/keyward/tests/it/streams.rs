//! What a client of the real process sees of its open streams when their key ends.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, SystemTime};

use keys::Timestamp;
use serde_json::json;

use crate::harness::{Sandbox, Server, connect, ends, has_ended, read_until};

/// An event stream whose subscription was acknowledged.
fn listen(server: &Server, key: &str) -> TcpStream {
    listen_at(server, "/api/mcp", key)
}

/// The message that opens one.
pub(crate) fn subscription() -> String {
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": {
        "notifications": { "toolsListChanged": true },
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "1" },
            "io.modelcontextprotocol/clientCapabilities": {},
        },
    }});
    message.to_string()
}

/// The same of the server at a path.
pub(crate) fn listen_at(server: &Server, path: &str, key: &str) -> TcpStream {
    let body = subscription();
    let address = server.listen();
    let mut stream = connect(address);
    let length = body.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nX-API-Key: {key}\r\nContent-Type: \
         application/json\r\nAccept: application/json, text/event-stream\r\nMCP-Protocol-Version: \
         2026-07-28\r\nMcp-Method: subscriptions/listen\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    read_until(&mut stream, "acknowledged");
    stream
}

#[expect(clippy::disallowed_methods, reason = "the process under test has the machine's clock")]
fn unix_time() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap()
}

#[test]
fn streams_have_ended_for_their_clients_when_the_call_that_ends_their_key_returns() {
    let sandbox = Sandbox::new();
    let server = sandbox.serve();
    for operation in ["regenerateMcpServerAccessKey", "revokeMcpApiKey"] {
        let issued = server.manage("listMcpServerUrl?getApikey=true", &json!({})).json();
        let key = issued["headers"]["X-API-Key"].as_str().unwrap();
        let kept = sandbox.run(&["key", "issue", "-q", "--key-type", "secondary"]).ok();
        let mut streams: Vec<_> = (0..100).map(|_| listen(&server, key)).collect();
        let mut other = listen(&server, kept.trim());
        let body = match operation {
            "revokeMcpApiKey" => json!({ "id": issued["apiKey"]["id"] }),
            _ => json!({ "keyType": "primary" }),
        };
        assert_eq!(server.manage(operation, &body).status, 200);
        let open = streams.iter_mut().map(ends).filter(|ends| !ends).count();
        assert_eq!(open, 0, "streams still open after {operation}");
        assert!(!has_ended(&mut other), "a stream of the other access key");
    }
}

#[test]
fn a_stream_ends_by_itself_when_its_key_expires_and_not_before() {
    let sandbox = Sandbox::new();
    let server = sandbox.serve();
    let now = unix_time();
    let last = now + Duration::from_millis(1500);
    let not_after = Timestamp::from_unix_ms(i64::try_from(last.as_millis()).unwrap());
    let body = json!({ "notAfter": not_after.to_string() });
    let issued = server.manage("listMcpServerUrl?getApikey=true", &body).json();
    let key = issued["headers"]["X-API-Key"].as_str().unwrap();
    let mut stream = listen(&server, key);
    let text = read_until(&mut stream, "0\r\n\r\n");
    let ended = unix_time();
    assert!(ended.as_millis() > last.as_millis(), "valid up to and including its instant");
    assert!(text.contains(&format!("expired at {not_after}")), "{text}");
}
