use rustix::process::Signal;
use serde_json::json;

use crate::harness::{Sandbox, Server, post};

fn tools(server: &Server, key: &str) -> Vec<String> {
    let listed = server.mcp(key, "tools/list", &json!({})).json();
    let tools = listed["result"]["tools"].as_array().unwrap();
    tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn an_edit_is_served_and_a_broken_one_keeps_the_last_good_state() {
    let sandbox = Sandbox::new();
    let server = sandbox.serve();
    let key = sandbox.run(&["key", "issue", "-q"]).ok().trim().to_owned();
    assert_eq!(tools(&server, &key), ["Greet", "SplitBill"]);

    let lines = server.log.len();
    let greet = sandbox.read("tools/Greet/workflow.json");
    sandbox.write("tools/Wave/workflow.json", &greet);
    let line = server.log.wait_for(lines, "is served");
    assert!(line.contains("tool Wave added to default"), "{line}");
    sandbox.edit("tools/mcpservers.json", "\"SplitBill\"", "\"Wave\"");
    let line = server.log.wait_for(lines, "tool Wave added to first");
    assert!(line.contains("tool SplitBill removed from first"), "{line}");
    assert_eq!(tools(&server, &key), ["Greet", "Wave"]);

    let lines = server.log.len();
    sandbox.write("tools/mcpservers.json", "{\n  \"mcpServers\": [ {\"name\": \"\"} ]\n}");
    server.log.wait_for(lines, "the last state that did stays in force");
    server.log.wait_for(lines, "mcpservers.json:2:");
    assert_eq!(tools(&server, &key), ["Greet", "Wave"]);

    let lines = server.log.len();
    sandbox.write(
        "tools/mcpservers.json",
        r#"{"mcpServers":[{"name":"first","tools":[{"name":"Wave"}]}]}"#,
    );
    server.log.wait_for(lines, "tool Greet removed from first");
    assert_eq!(tools(&server, &key), ["Wave"]);
}

#[test]
fn a_change_that_says_the_same_changes_nothing() {
    let sandbox = Sandbox::new();
    let server = sandbox.serve();
    let lines = server.log.len();
    // White space alone, then a state that does not hold, then the first one again.
    sandbox.edit("tools/host.json", "\"version\"", "\n  \"version\"");
    sandbox.write("tools/host.json", "[]");
    server.log.wait_for(lines, "stays in force");
    sandbox.write("tools/host.json", include_str!("../../template/host.json"));
    server.log.wait_for(lines, "as it was served all along");
    assert!(!server.log.text().contains("is served:"), "{}", server.log.text());
}

#[test]
fn a_hangup_has_the_folder_read_again() {
    let sandbox = Sandbox::new();
    let server = sandbox.serve();
    sandbox.write("tools/host.json", "[]");
    server.log.wait_for(0, "stays in force");
    let lines = server.log.len();
    server.signal(Signal::HUP);
    server.log.wait_for(lines, "stays in force");
}

#[test]
fn a_folder_that_is_put_in_the_place_of_the_app_folder_is_served() {
    let sandbox = Sandbox::new();
    let data = sandbox.path("data");
    std::fs::rename(sandbox.path("tools"), sandbox.path("release-1")).unwrap();
    std::os::unix::fs::symlink("release-1", sandbox.path("tools")).unwrap();
    let server = sandbox.serve_with(&["--data-dir", data.to_str().unwrap()]);
    sandbox.run(&["init", "release-2"]).ok();
    sandbox.edit("release-2/mcpservers.json", "\"first\"", "\"second\"");
    std::os::unix::fs::symlink("release-2", sandbox.path("next")).unwrap();
    std::fs::rename(sandbox.path("next"), sandbox.path("tools")).unwrap();
    server.log.wait_for(0, "server second added");
    sandbox.edit("release-2/mcpservers.json", "\"second\"", "\"third\"");
    server.log.wait_for(0, "server third added");
    // Gone for a while, then another one.
    std::fs::remove_file(sandbox.path("tools")).unwrap();
    server.log.wait_for(0, "there is no folder tools");
    std::fs::rename(sandbox.path("release-1"), sandbox.path("tools")).unwrap();
    server.log.wait_for(0, "server first added");
    let line = server.log.len();
    sandbox.edit("tools/Greet/workflow.json", "'Hi '", "'Hello '");
    server.log.wait_for(line, "files: Greet/workflow.json");
}

#[test]
fn an_app_is_never_opened_to_everyone_beyond_this_machine_without_the_word() {
    let sandbox = Sandbox::new();
    let public = ["--public-url", "https://tools.example.com"];
    let server = sandbox.serve_with(&public);
    let lines = server.log.len();
    sandbox.edit("tools/host.json", "\"ApiKey\"", "\"Anonymous\"");
    server.log.wait_for(lines, "--allow-anonymous-off-loopback");
    let call = |server: &Server| {
        let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
        let request = format!(
            "POST /api/mcp HTTP/1.1\r\nHost: tools.example.com\r\nConnection: close\r\nContent-Type: \
             application/json\r\nAccept: application/json, text/event-stream\r\nContent-Length: \
             {}\r\n\r\n{body}",
            body.len()
        );
        crate::harness::raw(server.listen(), request.as_bytes()).status
    };
    assert_eq!(call(&server), 401);
    assert_eq!(server.stop(), 0);

    let refused = sandbox.run_with(sandbox.serve_command(&public), "");
    refused.failed(3, &["Anonymous", "--allow-anonymous-off-loopback"]);
    let word = [&public[..], &["--allow-anonymous-off-loopback"]].concat();
    assert_eq!(call(&sandbox.serve_with(&word)), 200);
}

#[test]
fn an_edit_that_lets_in_everyone_or_nobody_is_warned_of() {
    let sandbox = Sandbox::new();
    let server = sandbox.serve();
    let mut was = "\"ApiKey\"";
    for (now, words) in
        [("\"Anonymous\"", "everyone, without a key"), ("\"OAuth2\"", "nobody is let in")]
    {
        let lines = server.log.len();
        sandbox.edit("tools/host.json", was, now);
        let line = server.log.wait_for(lines, words);
        assert!(line.contains("WARN"), "{line}");
        was = now;
    }
}

#[test]
fn an_app_for_everyone_is_served_on_this_machine() {
    let sandbox = Sandbox::new();
    sandbox.edit("tools/host.json", "\"ApiKey\"", "\"Anonymous\"");
    let server = sandbox.serve();
    let answer = server.mcp_on("/api/mcp", "", "tools/list", &json!({}));
    assert_eq!(answer.status, 200);
    let refused = post(server.listen(), "/api/mcp", "X-API-Key: kwk1_nonsense\r\n", "{}");
    assert!(matches!(refused.status, 401 | 403), "{refused:?}");
}
