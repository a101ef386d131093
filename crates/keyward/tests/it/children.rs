//! MCP servers that are child processes, of the real process.

mod large;
mod processes;
mod sessions;
mod shared;

use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::harness::{Answer, DEADLINE, Sandbox, Server, connect, post};

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
        let mut stream = connect(address);
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
