//! Long lines, and who does not take them.

use std::io::Read as _;
use std::net::TcpStream;

use serde_json::json;

use super::{Desk, PATH, header, newer, request, text, until};
use crate::harness::{Answer, post, read_until};

const MIB: usize = 1024;

/// Asks a shared child for a large result, and leaves it there.
fn untaken(desk: &Desk) -> TcpStream {
    let large = json!({ "name": "large", "arguments": { "kib": 31 * MIB } });
    let (headers, message) = newer(7, "tools/call", &large);
    let headers = format!("Connection: close\r\n{headers}");
    let mut stream = desk.open("POST", &headers, &message.to_string());
    read_until(&mut stream, "HTTP/1.1 200 OK");
    stream
}

fn large(desk: &Desk, kib: usize) -> Answer {
    desk.newer_tool(9, "large", &json!({ "kib": kib }))
}

#[test]
fn clients_that_take_nothing_keep_memory_neither_from_others_nor_for_long() {
    let desk = Desk::new("newer");
    let first = untaken(&desk);
    let untaken: Vec<_> = std::iter::once(first).chain([untaken(&desk)]).collect();
    // The child has no more memory: what needs some fails alone.
    let refused = large(&desk, 31 * MIB);
    assert_eq!((refused.status, &refused.json()["id"]), (200, &json!(9)));
    let message = refused.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.starts_with("there is no memory for this answer now"), "{message}");
    assert_eq!(text(&desk.newer_tool(1, "echo", &json!({ "text": "still" }))), "still");
    // A session has a child of its own.
    assert_eq!(
        text(&desk.session().tool("large", &json!({ "kib": 31 * MIB }))).len(),
        31 * MIB * 1024
    );
    until("the memory does not come back", || large(&desk, 31 * MIB).json()["result"].is_object());
    // Both may be needed, and one is at least.
    let mut lost = 0;
    for mut stream in untaken {
        let mut rest = Vec::new();
        drop(stream.read_to_end(&mut rest));
        lost += usize::from(rest.len() < 31 * MIB * 1024);
    }
    assert!(lost > 0);
}

#[test]
fn a_key_of_one_tool_gets_its_results_whole_however_large() {
    let desk = Desk::new("newer");
    let manage = format!("http://{}", desk.server.manage_listen());
    let issue = ["key", "issue", "--quiet", "--manage-url", &manage, "--scope", "desk/large"];
    let desk = Desk { key: desk.sandbox.run(&issue).ok().trim().to_owned(), ..desk };
    assert_eq!(text(&large(&desk, 20 * MIB)).len(), 20 * MIB * 1024);
    let session = desk.session();
    assert_eq!(text(&session.tool("large", &json!({ "kib": 20 * MIB }))).len(), 20 * MIB * 1024);
    // As an event, too.
    let event = format!(
        "X-API-Key: {}\r\nContent-Type: application/json\r\nAccept: text/event-stream, \
         application/json\r\n{}",
        desk.key,
        session.header()
    );
    let call = json!({ "name": "large", "arguments": { "kib": 20 * MIB } });
    let body = request(3, "tools/call", &call).to_string();
    let answer = post(desk.server.listen(), PATH, &event, &body);
    let data = answer.body.strip_prefix("event: message\ndata: ").unwrap();
    let message: serde_json::Value = serde_json::from_str(data).unwrap();
    assert_eq!(message["result"]["content"][0]["text"].as_str().unwrap().len(), 20 * MIB * 1024);
}

#[test]
fn a_list_that_is_too_large_to_be_reduced_is_refused_in_words() {
    let desk = Desk::new("bloated");
    let whole = desk.newer(4, "tools/list", &json!({}));
    assert_eq!(whole.json()["result"]["tools"].as_array().unwrap().len(), 3);
    let manage = format!("http://{}", desk.server.manage_listen());
    let issue = ["key", "issue", "--quiet", "--manage-url", &manage, "--scope", "desk/pid"];
    let desk = Desk { key: desk.sandbox.run(&issue).ok().trim().to_owned(), ..desk };
    let session = desk.session();
    for answer in
        [desk.newer(4, "tools/list", &json!({})), session.request(4, "tools/list", &json!({}))]
    {
        assert_eq!((answer.status, &answer.json()["id"]), (200, &json!(4)));
        let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains("list of tools is larger than 8 MiB"), "{message}");
    }
}

#[test]
fn one_key_leaves_a_shared_child_to_the_others() {
    let desk = Desk::new("newer");
    let (headers, message) = newer(1, "tools/call", &json!({ "name": "hang" }));
    let body = message.to_string();
    let mut hanging: Vec<_> = (0..127).map(|_| desk.open("POST", &headers, &body)).collect();
    let mut refused = None;
    until("the key has as many calls as it likes", || {
        hanging.push(desk.open("POST", &headers, &body));
        let answer = desk.newer_tool(2, "pid", &json!({}));
        let is_refused = answer.status == 503;
        refused = is_refused.then_some(answer);
        is_refused
    });
    let refused = refused.unwrap();
    assert_eq!(header(&refused, "retry-after").as_deref(), Some("1"));
    let message = refused.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.starts_with("too many requests with this API key are under way"), "{message}");
    let manage = format!("http://{}", desk.server.manage_listen());
    let other = desk.sandbox.run(&["key", "issue", "--quiet", "--manage-url", &manage]);
    let desk = Desk { key: other.ok().trim().to_owned(), ..desk };
    assert_eq!(desk.newer_tool(2, "pid", &json!({})).status, 200);
    drop(hanging);
}

#[test]
fn a_program_that_prints_is_told_of_once_and_without_what_it_printed() {
    let desk = Desk::new("newer");
    assert_eq!(text(&desk.newer_tool(1, "wrong", &json!({}))), "right");
    let said = "bytes to its standard output that is no JSON-RPC message";
    desk.server.log.wait_for(0, said);
    assert_eq!(text(&desk.newer_tool(1, "wrong", &json!({}))), "right");
    let log = desk.server.log.text();
    assert_eq!(log.matches("that is no JSON-RPC message").count(), 1, "{log}");
    assert!(!log.contains("garbage"), "{log}");
}
