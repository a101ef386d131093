//! MCP servers that are child processes, of the real process.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::harness::{Answer, DEADLINE, Sandbox, Server, post};

const DESK: &str = include_str!("children/desk.py");
const PATH: &str = "/api/mcpservers/desk/mcp";

/// A served app with the server `desk`, which behaves so.
struct Desk {
    sandbox: Sandbox,
    server: Server,
    key: String,
}

/// A client's session.
struct Session<'a> {
    desk: &'a Desk,
    id: String,
}

impl Desk {
    fn new(behaviour: &str) -> Self {
        let sandbox = Sandbox::new();
        sandbox.write("desk.py", DESK);
        let script = sandbox.path("desk.py");
        let script = script.to_str().unwrap();
        let marker = sandbox.path("marker");
        let entry = json!({ "command": "python3", "args": [script, marker, behaviour],
            "env": { "DESK": "1" } });
        Self::of(sandbox, &entry)
    }

    fn of(sandbox: Sandbox, entry: &Value) -> Self {
        sandbox.write("tools/mcp.json", &json!({ "servers": { "desk": entry } }).to_string());
        let mut command = sandbox.serve_command(&[]);
        // Python is looked for in it.
        command.env("PATH", std::env::var_os("PATH").unwrap());
        command.env("SECRET_OF_THE_SERVICE", "1");
        let server = sandbox.serve_by(command);
        let manage = format!("http://{}", server.manage_listen());
        let issued = sandbox.run(&["key", "issue", "--quiet", "--manage-url", &manage]);
        Self { key: issued.ok().trim().to_owned(), sandbox, server }
    }

    /// A POST with these headers more, on a connection of its own.
    fn post(&self, headers: &str, message: &Value) -> Answer {
        let headers = format!("{}{headers}", self.headers());
        post(self.server.listen(), PATH, &headers, &message.to_string())
    }

    fn headers(&self) -> String {
        format!(
            "X-API-Key: {}\r\nContent-Type: application/json\r\nAccept: application/json, \
             text/event-stream\r\n",
            self.key
        )
    }

    fn initialize(&self) -> Answer {
        let params = json!({ "protocolVersion": "2025-06-18", "capabilities": {},
            "clientInfo": { "name": "test", "version": "1" } });
        self.post("", &request(1, "initialize", &params))
    }

    fn session(&self) -> Session<'_> {
        let answer = self.initialize();
        assert_eq!(answer.status, 200, "{answer:?}");
        let id = header(&answer, "mcp-session-id").unwrap_or_else(|| panic!("{answer:?}"));
        Session { desk: self, id }
    }

    /// A request of 2026-07-28.
    fn newer(&self, id: u32, method: &str, params: &Value) -> Answer {
        let (headers, message) = newer(id, method, params);
        self.post(&headers, &message)
    }

    fn newer_tool(&self, id: u32, name: &str, arguments: &Value) -> Answer {
        self.newer(id, "tools/call", &json!({ "name": name, "arguments": arguments }))
    }

    /// Sends a request and gives the connection, on which nothing was read.
    fn open(&self, method: &str, headers: &str, body: &str) -> TcpStream {
        let address = self.server.listen();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let length = body.len();
        let request = format!(
            "{method} {PATH} HTTP/1.1\r\nHost: {address}\r\n{}{headers}Content-Length: \
             {length}\r\n\r\n{body}",
            self.headers()
        );
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }

    /// The processes that the test's own marker stands in the command line of.
    fn processes(&self) -> Vec<u32> {
        marked(self.sandbox.path("marker").to_str().unwrap())
    }
}

impl Session<'_> {
    fn header(&self) -> String {
        format!("Mcp-Session-Id: {}\r\n", self.id)
    }

    fn request(&self, id: u32, method: &str, params: &Value) -> Answer {
        self.desk.post(&self.header(), &request(id, method, params))
    }

    fn tool(&self, name: &str, arguments: &Value) -> Answer {
        self.request(7, "tools/call", &json!({ "name": name, "arguments": arguments }))
    }

    /// The id of its child.
    fn pid(&self) -> u32 {
        text(&self.tool("pid", &json!({}))).parse().unwrap()
    }
}

fn request(id: u32, method: &str, params: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

fn newer(id: u32, method: &str, params: &Value) -> (String, Value) {
    let mut params = params.clone();
    let meta = params.get("_meta").cloned().unwrap_or_else(|| json!({}));
    let mut all = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    all.as_object_mut().unwrap().extend(meta.as_object().unwrap().clone());
    let name = params["name"].as_str().map(|name| format!("Mcp-Name: {name}\r\n"));
    params["_meta"] = all;
    let name = name.unwrap_or_default();
    let headers = format!("MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: {method}\r\n{name}");
    (headers, request(id, method, &params))
}

fn header(answer: &Answer, name: &str) -> Option<String> {
    let lines = answer.head.lines().filter_map(|line| line.split_once(':'));
    let mut values = lines.filter(|(known, _)| known.eq_ignore_ascii_case(name));
    values.next().map(|(_, value)| value.trim().to_owned())
}

/// The text that a tool answered with.
#[track_caller]
fn text(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{answer:?}");
    let body = answer.json();
    let text = body["result"]["content"][0]["text"].as_str();
    text.unwrap_or_else(|| panic!("{body}")).to_owned()
}

/// Every process whose command line has this text.
fn marked(text: &str) -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let has = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.windows(text.len()).any(|part| part == text.as_bytes())
    };
    pids.filter(has).collect()
}

/// The children of a process that have ended and were not waited for.
fn zombies(parent: u32) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let stats = entries.filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
    stats
        .filter(|stat| {
            let (_, rest) = stat.rsplit_once(") ").unwrap_or_default();
            rest.starts_with(&format!("Z {parent} "))
        })
        .collect()
}

#[track_caller]
fn until(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

fn kill(pid: u32) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
}

/// Reads until the text has come; gives what was read.
fn read_until(stream: &mut TcpStream, wanted: &str) -> String {
    let mut read = String::new();
    while !read.contains(wanted) {
        let mut part = [0; 4096];
        let count = stream.read(&mut part).unwrap();
        assert!(count > 0, "no {wanted} in {read}");
        read.push_str(&String::from_utf8_lossy(part.get(..count).unwrap()));
    }
    read
}

/// Whether the end of the stream has arrived already; does not wait for it.
fn has_ended(stream: &mut TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => true,
        Err(error) if error.kind() == ErrorKind::WouldBlock => bytes.ends_with(b"0\r\n\r\n"),
        Err(error) => panic!("{error}"),
    }
}

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
    let cancelled = || text(&desk.newer_tool(1, "cancelled", &json!({})));
    assert_eq!(cancelled(), "[]");
    let (headers, message) = newer(1, "tools/call", &json!({ "name": "hang" }));
    let stream = desk.open("POST", &headers, &message.to_string());
    // The call is on its way: it is answered in order.
    assert_eq!(text(&desk.newer_tool(1, "echo", &json!({ "text": "here" }))), "here");
    drop(stream);
    until("the child is not told", || cancelled() != "[]");
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
