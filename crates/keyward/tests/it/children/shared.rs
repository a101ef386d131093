//! Clients of 2026-07-28, which share one process.

use serde_json::json;

use super::{Desk, PATH, header, newer, text, until};
use crate::harness::{Answer, post};

#[test]
fn clients_of_a_shared_child_get_their_own_answers() {
    let desk = Desk::new("newer");
    let discovered = desk.newer(1, "server/discover", &json!({}));
    assert_eq!(discovered.json()["result"]["supportedVersions"], json!(["2026-07-28"]));
    let pid = text(&desk.newer_tool(1, "pid", &json!({})));
    std::thread::scope(|scope| {
        for client in 0..8 {
            let (desk, pid) = (&desk, &pid);
            scope.spawn(move || {
                for turn in 0..10 {
                    let said = format!("{client} {turn}");
                    // All of them use the same id.
                    let answer = desk.newer_tool(5, "echo", &json!({ "text": said }));
                    assert_eq!(answer.json()["id"], 5);
                    assert_eq!(text(&answer), said);
                }
                assert_eq!(text(&desk.newer_tool(5, "pid", &json!({}))), *pid);
            });
        }
    });
    let params = json!({ "name": "progress", "_meta": { "progressToken": "mine" } });
    let answer = desk.newer(6, "tools/call", &params);
    assert!(answer.body.contains(r#""progressToken": "mine""#), "{answer:?}");
    assert!(answer.body.contains(r#""id": 6"#), "{answer:?}");
    assert_eq!(desk.newer(1, "nothing/known", &json!({})).status, 404);
    assert_eq!(text(&desk.newer_tool(1, "wrong", &json!({}))), "right");
    assert_eq!(text(&desk.newer_tool(1, "echo", &json!({ "text": "still" }))), "still");
}

#[test]
fn a_request_that_a_shared_child_could_read_in_two_ways_does_not_reach_it() {
    let desk = Desk::new("newer");
    let (headers, message) = newer(1, "tools/call", &json!({ "name": "pid" }));
    let sent = message.to_string();
    for (place, second) in [
        (r#""id":1"#, r#""ID":7,"id":1"#),
        (r#""params":{"#, r#""Params":{},"params":{"#),
        (r#""params":{"#, r#""params":{"_Meta":{"progressToken":7},"#),
        (r#""_meta":{"#, r#""_meta":{"ProgressToken":7,"#),
        (r#""_meta":{"#, r#""_meta":{"progressToken":1,"progressToken":7,"#),
    ] {
        assert!(sent.contains(place), "{sent}");
        let body = sent.replacen(place, second, 1);
        let all = format!("{}{headers}", desk.headers());
        let answer = post(desk.server.listen(), PATH, &all, &body);
        assert_eq!(answer.status, 400, "{body} {answer:?}");
        assert_eq!(answer.json()["error"]["code"], -32600, "{answer:?}");
    }
    let (headers, message) = newer(1, "notifications/cancelled", &json!({ "requestId": 7 }));
    let answer = desk.post(&headers, &message);
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (404, &json!(-32601)));
    assert_eq!(desk.newer_tool(1, "pid", &json!({})).status, 200);
}

#[test]
fn a_client_that_goes_cancels_its_call_and_its_late_answer_reaches_nobody() {
    let desk = Desk::new("newer");
    let told = |what| text(&desk.newer_tool(1, what, &json!({})));
    assert_eq!(told("cancelled"), "[]");
    let (headers, message) = newer(1, "tools/call", &json!({ "name": "hang" }));
    let stream = desk.open("POST", &headers, &message.to_string());
    until("the child is not asked", || told("hanging") != "[]");
    drop(stream);
    until("the child is not told", || told("cancelled") == told("hanging"));
}

#[test]
fn a_shared_child_that_fails_ends_its_calls_and_is_started_again_after_a_while() {
    let desk = Desk::new("newer");
    let first = text(&desk.newer_tool(1, "pid", &json!({})));
    let answer = desk.newer_tool(4, "exit", &json!({}));
    assert_eq!(answer.json()["id"], 4);
    let message = answer.json()["error"]["message"].clone();
    assert_eq!(message, "this MCP server's process ended with exit status 3");
    let mut busy = None;
    until("it is not started again", || {
        let answer = desk.newer_tool(1, "pid", &json!({}));
        if answer.status == 503 {
            busy = header(&answer, "retry-after");
            return false;
        }
        text(&answer) != first
    });
    assert_eq!(busy.as_deref(), Some("1"));
}

#[test]
fn a_server_of_older_versions_makes_newer_clients_fall_back() {
    let desk = Desk::new("older");
    let answer = desk.newer(3, "server/discover", &json!({}));
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (404, &json!(-32601)));
    let answer = desk.newer(3, "tools/list", &json!({}));
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (400, &json!(-32022)));
    assert_eq!(text(&desk.session().tool("echo", &json!({ "text": "here" }))), "here");
    // Nothing is left of the attempt but the session's own.
    until("the attempt is left", || desk.processes().len() == 2);
}

#[test]
fn a_shared_child_logs_to_a_client_until_another_key_has_used_it() {
    let desk = Desk::new("newer");
    let manage = format!("http://{}", desk.server.manage_listen());
    let issued = desk.sandbox.run(&["key", "issue", "--quiet", "--manage-url", &manage]);
    let other = Desk { key: issued.ok().trim().to_owned(), ..desk };
    let params = json!({ "name": "log", "_meta": { "io.modelcontextprotocol/logLevel": "info" } });
    let said = |answer: &Answer| answer.body.contains("a secret of the call");
    let logged = other.newer(1, "tools/call", &params);
    assert!(said(&logged), "{logged:?}");
    let issued = other.sandbox.run(&["key", "issue", "--quiet", "--manage-url", &manage]);
    let desk = Desk { key: issued.ok().trim().to_owned(), ..other };
    let logged = desk.newer(1, "tools/call", &params);
    assert!(logged.status == 200 && !said(&logged), "{logged:?}");
}

#[test]
fn no_client_makes_a_server_one_of_older_versions_for_the_others() {
    let desk = Desk::new("newer");
    // The server refuses this, and is never asked it.
    assert_eq!(desk.newer(3, "server/discover", &json!({ "wrong": 1 })).status, 200);

    // This one knows no such method, and yet has answered without a session.
    let desk = Desk::new("older");
    assert_eq!(desk.newer_tool(1, "pid", &json!({})).status, 200);
    let answer = desk.newer(3, "server/discover", &json!({ "wrong": 1 }));
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (404, &json!(-32601)));
    assert_eq!(desk.newer_tool(1, "pid", &json!({})).status, 200);
}
