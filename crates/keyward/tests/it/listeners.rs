use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::Instant;

use rustix::process::Signal;
use serde_json::json;

use crate::harness::{DEADLINE, Sandbox, Server, raw};

/// Adds a workflow that answers after a minute, and lets the server `first` offer it.
fn with_slow_tool(sandbox: &Sandbox) {
    let workflow = json!({
        "definition": {
            "$schema": "https://schema.management.azure.com/providers/Microsoft.Logic/schemas/2016-06-01/workflowdefinition.json#",
            "contentVersion": "1.0.0.0",
            "triggers": { "manual": { "type": "Request", "kind": "Http", "inputs": {} } },
            "actions": {
                "Wait": { "type": "Wait", "inputs": { "interval": { "count": 1, "unit": "Minute" } }, "runAfter": {} },
                "Response": { "type": "Response", "kind": "Http", "inputs": { "statusCode": 200, "body": "late" }, "runAfter": { "Wait": ["Succeeded"] } }
            },
            "outputs": {}
        },
        "kind": "Stateless"
    });
    sandbox.write("tools/Slow/workflow.json", &workflow.to_string());
    sandbox.edit("tools/mcpservers.json", "\"SplitBill\"", "\"Slow\"");
}

/// Begins a call of the slow tool, and returns when the server works on it.
fn slow_call(sandbox: &Sandbox, server: &Server) -> TcpStream {
    let key = sandbox.run(&["key", "issue", "-q"]).ok();
    let body =
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"Slow","arguments":{}}}"#;
    let mut stream = TcpStream::connect(server.listen()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let head = format!(
        "POST /api/mcpservers/first/mcp HTTP/1.1\r\nHost: {}\r\nX-API-Key: {}\r\nContent-Type: \
         application/json\r\nAccept: application/json, text/event-stream\r\nExpect: \
         100-continue\r\nContent-Length: {}\r\n\r\n",
        server.listen(),
        key.trim(),
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    // The server asks for the body once the call was admitted.
    let mut asked = [0; 25];
    stream.read_exact(&mut asked).unwrap();
    assert!(asked.starts_with(b"HTTP/1.1 100 Continue"));
    stream.write_all(body.as_bytes()).unwrap();
    stream
}

#[test]
fn an_idle_server_ends_in_order_when_it_is_told_to() {
    let sandbox = Sandbox::new();
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = sandbox.serve();
        let _idle = TcpStream::connect(server.listen()).unwrap();
        server.signal(signal);
        assert_eq!(server.wait(), 0);
    }
}

#[test]
fn what_is_open_after_the_grace_is_cut() {
    let sandbox = Sandbox::new();
    with_slow_tool(&sandbox);
    let mut server = sandbox.serve_with(&["--shutdown-grace", "50ms"]);
    let begun = Instant::now();
    let mut stream = slow_call(&sandbox, &server);
    server.signal(Signal::TERM);
    assert_eq!(server.wait(), 0);
    let mut answer = String::new();
    drop(stream.read_to_string(&mut answer));
    assert!(!answer.contains("late"), "{answer}");
    // The tool alone takes a minute.
    assert!(begun.elapsed() < DEADLINE);
}

#[test]
fn a_second_signal_ends_everything_at_once() {
    let sandbox = Sandbox::new();
    with_slow_tool(&sandbox);
    let mut server = sandbox.serve_with(&["--shutdown-grace", "1h"]);
    let _stream = slow_call(&sandbox, &server);
    server.signal(Signal::TERM);
    server.log.wait_for(0, "Ending: requests");
    server.signal(Signal::TERM);
    assert_eq!(server.wait(), 0);
    server.log.wait_for(0, "Ending at once");
}

#[test]
fn requests_beyond_every_bound_are_refused_and_others_served_all_the_while() {
    let sandbox = Sandbox::new();
    let server = sandbox.serve();
    let key = sandbox.run(&["key", "issue", "-q"]).ok();
    for address in [server.listen(), server.manage_listen()] {
        let head = format!("POST /api/mcp HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
        let many = format!("{head}{}\r\n", "X-Filler: 1\r\n".repeat(100_000));
        let long = format!("{head}X-API-Key: kwk1_{}\r\n\r\n", "A".repeat(1 << 20));
        for request in [many.as_bytes(), long.as_bytes(), b"\x00\xff\x00\xff\r\n\r\n"] {
            let answer = raw(address, request);
            assert!(answer.status == 0 || (400..500).contains(&answer.status), "{answer:?}");
        }
        assert_eq!(server.greet(key.trim()), 200);
    }
}

#[test]
fn connections_to_the_mcp_servers_leave_descriptors_to_management() {
    let sandbox = Sandbox::new();
    let serve = sandbox.serve_command(&[]);
    let mut limited = Command::new("/bin/sh");
    // The soft limit is raised to the hard one.
    limited.args(["-c", "ulimit -Sn 100; ulimit -Hn 128; exec \"$0\" \"$@\""]);
    limited.arg(serve.get_program()).args(serve.get_args());
    limited.current_dir(sandbox.path("")).env_clear().env("HOME", sandbox.path("home"));
    let server = sandbox.serve_by(limited);
    server.log.wait_for(0, "take 64 connections at once");

    // More than there are descriptors, and no more than a short queue of the kernel holds.
    let open: Vec<TcpStream> =
        (0..150).map(|_| TcpStream::connect(server.listen()).unwrap()).collect();
    for _ in 0..20 {
        let answer = server.manage("listMcpServerUrl", &json!({}));
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.id())).unwrap();
    let open_files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(open_files.matches("128").count(), 2, "{open_files}");
    assert!(!server.log.text().contains("Cannot accept"), "{}", server.log.text());
    drop(open);
    // Those who waited are let in.
    let key = sandbox.run(&["key", "issue", "-q"]).ok();
    assert_eq!(server.greet(key.trim()), 200);
}
