//! Clients with sessions, which have a process each.

use std::io::Read as _;
use std::path::Path;

use serde_json::{Value, json};

use super::{Desk, PATH, request, text, until};
use crate::harness::{has_ended, read_until};

#[test]
fn a_revocation_ends_sessions_their_streams_and_their_children() {
    let desk = Desk::new("older");
    let session = desk.session();
    let pid = session.pid();
    let mut stream = desk.open("GET", &session.header(), "");
    read_until(&mut stream, "text/event-stream");
    let body = request(9, "tools/call", &json!({ "name": "hang" })).to_string();
    let mut call = desk.open("POST", &session.header(), &body);
    assert_eq!(text(&session.tool("echo", &json!({ "text": "here" }))), "here");
    let changed =
        desk.server.manage("regenerateMcpServerAccessKey", &json!({ "keyType": "primary" }));
    assert_eq!(changed.status, 200, "{changed:?}");
    assert!(has_ended(&mut stream), "the session's stream goes on");
    let mut rest = Vec::new();
    call.set_nonblocking(true).unwrap();
    let ended = call.read_to_end(&mut rest);
    assert!(ended.is_ok() || rest.starts_with(b"HTTP/1.1 401"), "{ended:?} {rest:?}");
    until("the child lives", || !Path::new(&format!("/proc/{pid}")).exists());
    until("a process is left", || desk.processes().is_empty());
}

#[test]
fn what_a_server_asks_reaches_its_client_and_the_answer_comes_back() {
    let desk = Desk::new("older");
    let session = desk.session();
    let body = request(9, "tools/call", &json!({ "name": "ask" })).to_string();
    let mut call = desk.open("POST", &session.header(), &body);
    let asked = read_until(&mut call, "sampling/createMessage");
    assert!(asked.contains("text/event-stream"), "{asked}");
    let answer = json!({ "jsonrpc": "2.0", "id": "asked", "result": { "model": "mine" } });
    assert_eq!(desk.post(&session.header(), &answer).status, 202);
    let last = read_until(&mut call, "0\r\n\r\n");
    assert!(last.contains(r#""id": 9"#) && last.contains(r#""text": "mine""#), "{last}");
}

#[test]
fn what_belongs_to_no_request_comes_on_a_stream_that_a_session_has_once() {
    let desk = Desk::new("older");
    let session = desk.session();
    // Said before anybody listens.
    assert_eq!(text(&session.tool("later", &json!({}))), "now");
    let mut stream = desk.open("GET", &session.header(), "");
    read_until(&mut stream, "desk://later");
    let mut second = desk.open("GET", &session.header(), "");
    read_until(&mut second, "HTTP/1.1 409");
    // And while somebody does.
    assert_eq!(text(&session.tool("later", &json!({}))), "now");
    read_until(&mut stream, "desk://later");
    drop(stream);
    until("the stream stays taken", || {
        let mut again = desk.open("GET", &session.header(), "");
        let mut head = [0; 12];
        again.read_exact(&mut head).unwrap();
        head.ends_with(b"200")
    });
}

#[test]
fn a_request_that_fits_into_no_session_is_refused_with_its_id() {
    let desk = Desk::new("older");
    let session = desk.session();
    let list = request(3, "tools/list", &json!({}));
    let hang = request(9, "tools/call", &json!({ "name": "hang" }));
    let waiting = desk.open("POST", &session.header(), &hang.to_string());
    assert_eq!(text(&session.tool("echo", &json!({ "text": "here" }))), "here");
    let strange = "MCP-Protocol-Version: 2031-01-01\r\n";
    for (headers, message, status) in [
        (String::new(), &list, 400),
        (format!("Mcp-Session-Id: {}\r\n", "x".repeat(64)), &list, 404),
        (session.header(), &hang, 400),
        (format!("{}{strange}", session.header()), &list, 400),
        (session.header(), &list, 200),
    ] {
        let answer = desk.post(&headers, message);
        assert_eq!(answer.status, status, "{headers} {answer:?}");
        // Of a session id that was never given out nothing is read but that.
        let expected = if status == 404 { &Value::Null } else { &message["id"] };
        assert_eq!(&answer.json()["id"], expected);
    }
    // Another key of the same app has sessions of its own.
    let manage = format!("http://{}", desk.server.manage_listen());
    let other = desk.sandbox.run(&["key", "issue", "--quiet", "--manage-url", &manage]).ok();
    let (path, id) = (PATH, session.header());
    let headers = format!("X-API-Key: {}\r\n{id}", other.trim());
    let answer = desk.server.mcp_on(path, &headers, "tools/list", &json!({}));
    assert_eq!(answer.status, 404, "{answer:?}");
    drop(waiting);
}

#[test]
fn a_session_that_its_client_ends_is_not_known_any_more() {
    let desk = Desk::new("older");
    let session = desk.session();
    let mut stream = desk.open("DELETE", &format!("{}Connection: close\r\n", session.header()), "");
    read_until(&mut stream, "HTTP/1.1 204");
    assert_eq!(session.tool("pid", &json!({})).status, 404);
    until("a process is left", || desk.processes().is_empty());
}

#[test]
fn a_key_of_one_tool_sees_no_other_whatever_ids_it_uses() {
    let desk = Desk::new("older");
    let manage = format!("http://{}", desk.server.manage_listen());
    let issue = ["key", "issue", "--quiet", "--manage-url", &manage, "--scope", "desk/pid"];
    let key = desk.sandbox.run(&issue).ok().trim().to_owned();
    let desk = Desk { key, ..desk };
    let session = desk.session();
    let listed = session.request(2, "tools/list", &json!({}));
    assert!(listed.body.contains("\"pid\"") && !listed.body.contains("\"echo\""), "{listed:?}");
    let refused = session.tool("echo", &json!({ "text": "x" }));
    assert_eq!(refused.status, 200, "{refused:?}");
    assert!(refused.body.contains("-32010") && refused.body.contains("desk"), "{refused:?}");

    // The list is asked for, taken back, and asked for again as another request's answer.
    let list = request(9, "tools/list", &json!({})).to_string();
    let taken_back = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled",
        "params": { "requestId": 9 } });
    for _ in 0..20 {
        let streams = desk.open("POST", &session.header(), &list);
        desk.post(&session.header(), &taken_back);
        let call = json!({ "name": "pid", "arguments": {} });
        let answer = desk.post(&session.header(), &request(9, "tools/call", &call));
        assert!(!answer.body.contains("\"echo\""), "{answer:?}");
        drop(streams);
    }
}

#[test]
fn messages_of_nobody_are_left_out_and_the_session_goes_on() {
    let desk = Desk::new("older");
    let session = desk.session();
    let answer = session.tool("wrong", &json!({}));
    assert_eq!(text(&answer), "right");
    assert!(!answer.body.contains("twice"), "{answer:?}");
    // The second answer may still be on its way, and is one to whoever uses its id next.
    let call = json!({ "name": "echo", "arguments": { "text": "here" } });
    assert_eq!(text(&session.request(8, "tools/call", &call)), "here");
}
