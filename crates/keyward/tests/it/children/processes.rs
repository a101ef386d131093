//! Processes: how they begin and end, and what they are given.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Desk, Session, kill, marked, newer, request, text, until, zombies};
use crate::harness::{Sandbox, read_until};

#[test]
fn fifty_sessions_have_a_child_each_and_go_on_when_one_is_killed() {
    let desk = Desk::new("older");
    let sessions: Vec<Session<'_>> = std::thread::scope(|scope| {
        let half = || (0..25).map(|_| desk.session()).collect::<Vec<_>>();
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(half)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let mut pids: Vec<u32> = sessions.iter().map(Session::pid).collect();
    let (victim, others) = sessions.split_first().unwrap();
    let body = request(9, "tools/call", &json!({ "name": "hang" })).to_string();
    let mut waiting = desk.open("POST", &victim.header(), &body);
    // It has read the call before this one is answered.
    assert_eq!(text(&victim.tool("echo", &json!({ "text": "here" }))), "here");
    kill(pids[0]);
    let answer = read_until(&mut waiting, "was ended by signal 9");
    assert!(answer.contains("\"id\":9") && answer.contains("-32603"), "{answer}");
    assert_eq!(victim.tool("pid", &json!({})).status, 404);
    for (other, pid) in others.iter().zip(&pids[1..]) {
        assert_eq!(other.pid(), *pid);
    }
    pids.sort_unstable();
    pids.dedup();
    assert_eq!(pids.len(), 50);
    until("a zombie is left", || zombies(desk.server.id()).is_empty());
    desk.server.log.wait_for(0, "A process of desk was ended by signal 9");
}

#[test]
fn nothing_is_left_after_a_shutdown_or_a_kill() {
    for is_kill in [false, true] {
        let desk = Desk::new("stubborn");
        for _ in 0..3 {
            let session = desk.session();
            text(&session.tool("fork", &json!({})));
            text(&session.tool("fork", &json!({ "away": true })));
        }
        text(&desk.newer_tool(1, "fork", &json!({})));
        // Of each of four: the supervisor, the server, and what it has forked.
        until("a process is missing", || desk.processes().len() == 4 + 4 + 3 + 3 + 1);
        let Desk { sandbox, mut server, .. } = desk;
        if is_kill {
            server.kill();
        } else {
            assert_eq!(server.stop(), 0);
        }
        let marker = sandbox.path("marker");
        let left = || marked(marker.to_str().unwrap());
        if !is_kill {
            assert_eq!(left(), [0; 0]);
        }
        until("a process is left", || left().is_empty());
    }
}

#[test]
fn what_a_supervisor_leaves_that_is_killed_ends_too() {
    let desk = Desk::new("stubborn");
    let session = desk.session();
    text(&session.tool("fork", &json!({})));
    let pid = session.pid();
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, rest) = stat.rsplit_once(") ").unwrap();
    kill(rest.split(' ').nth(1).unwrap().parse().unwrap());
    until("a process is left", || desk.processes().is_empty());
    until("the session is left", || session.tool("pid", &json!({})).status == 404);
    until("a zombie is left", || zombies(desk.server.id()).is_empty());
}

#[test]
fn a_server_that_is_removed_ends_with_all_its_processes() {
    let (older, newer) = (Desk::new("older"), Desk::new("newer"));
    let session = older.session();
    assert_eq!(session.tool("pid", &json!({})).status, 200);
    assert_eq!(newer.newer_tool(1, "pid", &json!({})).status, 200);
    for desk in [&older, &newer] {
        assert!(!desk.processes().is_empty());
        desk.sandbox.write("tools/mcp.json", r#"{ "servers": {} }"#);
        until("its processes have ended", || desk.processes().is_empty());
    }
    assert_eq!(session.tool("pid", &json!({})).status, 404);
}

#[test]
fn a_process_that_ends_leaves_the_one_of_the_entry_that_came_after_it() {
    let desk = Desk::new("stubborn");
    let pid = || text(&desk.newer_tool(1, "pid", &json!({})));
    let first = pid();
    let (script, marker) = (desk.sandbox.path("desk.py"), desk.sandbox.path("marker"));
    let entry = json!({ "command": "python3", "args": [script, marker, "newer"] });
    desk.sandbox.write("tools/mcp.json", &json!({ "servers": { "desk": entry } }).to_string());
    until("the new entry holds", || {
        let answer = desk.newer_tool(1, "pid", &json!({}));
        // One that is under way when the entry changes is asked to come again.
        answer.status != 503 && text(&answer) != first
    });
    let second = pid();
    // It does not end when it is asked to, so that it ends while the other is in use.
    desk.server.log.wait_for(0, "A process of desk has ended");
    assert!(!Path::new(&format!("/proc/{first}")).exists());
    assert_eq!(pid(), second);
}

#[test]
fn a_child_sees_of_the_environment_what_every_child_does_and_what_its_entry_names() {
    let desk = Desk::new("older");
    let seen: Value =
        serde_json::from_str(&text(&desk.session().tool("environment", &json!({})))).unwrap();
    // Python, and what finds it, may add to it.
    for name in ["DESK", "HOME", "PATH"] {
        assert!(seen[name].is_string(), "no {name} in {seen}");
    }
    for name in ["SECRET_OF_THE_SERVICE", "RUST_BACKTRACE"] {
        assert!(seen[name].is_null(), "{name} in {seen}");
    }
}

#[test]
fn a_line_without_end_ends_the_child_and_not_the_server() {
    let desk = Desk::new("older");
    let session = desk.session();
    let answer = session.tool("long", &json!({}));
    let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("a line of more than 32 MiB"), "{message}");
    assert_eq!(session.tool("pid", &json!({})).status, 404);
    assert_eq!(text(&desk.session().tool("echo", &json!({ "text": "here" }))), "here");
    let status = fs::read_to_string(format!("/proc/{}/status", desk.server.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kib < 200 * 1024, "{kib} KiB");
}

#[test]
fn what_cannot_be_started_is_said_without_its_arguments() {
    let beside = Sandbox::empty();
    beside.write("plain", "");
    let plain = beside.path("plain");
    for (entry, said) in [
        (json!({ "command": "no-such-program", "args": ["hidden-argument"] }), "no such program"),
        (json!({ "command": plain, "args": ["hidden-argument"] }), "may not be executed"),
        (
            json!({ "command": "python3", "args": ["hidden-argument"], "cwd": "/no/such/folder" }),
            "the folder that it is to run in does not exist",
        ),
    ] {
        let desk = Desk::of(Sandbox::new(), &entry);
        let answer = desk.initialize();
        assert_eq!(answer.status, 502, "{answer:?}");
        let body = answer.json();
        assert_eq!(body["id"], 1);
        let message = body["error"]["message"].as_str().unwrap();
        assert!(message.contains(said), "{message}");
        desk.server.log.wait_for(0, said);
        let log = desk.server.log.text();
        assert!(!format!("{answer:?}{log}").contains("hidden-argument"), "{log}");
    }
}

#[test]
fn a_program_that_is_not_there_is_told_of_before_anybody_needs_it() {
    let desk = Desk::of(Sandbox::new(), &json!({ "command": "no-such-program" }));
    let said =
        "desk cannot be started as things are: there is no program `no-such-program` in PATH";
    desk.server.log.wait_for(0, said);
    let skipped = desk.server.log.len();
    let entry = json!({ "command": "/no/such/program", "args": ["hidden-argument"] });
    let servers = json!({ "servers": { "desk": entry } });
    desk.sandbox.write("tools/mcp.json", &servers.to_string());
    desk.server.log.wait_for(skipped, "there is no program `/no/such/program` at that path");
    // Nothing of it has changed meanwhile, and it is served.
    let manage = format!("http://{}", desk.server.manage_listen());
    desk.sandbox.run(&["key", "issue", "--quiet", "--manage-url", &manage]).ok();
    assert_eq!(desk.initialize().status, 502);
    let log = desk.server.log.text();
    assert_eq!(log.matches("there is no program `/no/such/program`").count(), 1, "{log}");
    assert!(!log.contains("hidden-argument"), "{log}");
}

#[test]
fn a_child_that_ends_at_once_or_is_deaf_holds_nobody_up() {
    let desk = Desk::of(Sandbox::new(), &json!({ "command": "false" }));
    let answer = desk.initialize();
    let error = answer.json()["error"].clone();
    assert_eq!((answer.status, &error["code"]), (502, &json!(-32010)), "{answer:?}");
    assert_eq!(error["message"], "this MCP server's process ended with exit status 1");
    until("it is started again and again", || desk.initialize().status == 503);

    let desk = Desk::new("deaf");
    // Nobody waits for an answer; what is said fills the pipe and then the queue.
    let large = "x".repeat(3 * 1024 * 1024);
    let params = json!({ "name": "echo", "arguments": { "text": large } });
    let (headers, message) = newer(1, "server/discover", &json!({}));
    let waiting = desk.open("POST", &headers, &message.to_string());
    let mut open = Vec::new();
    until("everything is taken", || {
        let (headers, message) = newer(1, "prompts/get", &params);
        let mut stream = desk.open("POST", &headers, &message.to_string());
        stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        let mut head = [0; 12];
        let is_full = stream.read_exact(&mut head).is_ok() && head.ends_with(b"503");
        open.push(stream);
        is_full
    });
    drop(waiting);
}
