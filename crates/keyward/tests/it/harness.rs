//! A folder with a home and an app in it, the program run there, and requests to what it serves.

use std::fs;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long anything may take before a test gives up on it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Where one test lives.
pub(crate) struct Sandbox {
    dir: TempDir,
}

/// What a command left.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Sandbox {
    /// Makes a sandbox without an app.
    pub(crate) fn empty() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// Makes a sandbox with the first app in `tools`.
    pub(crate) fn new() -> Self {
        let sandbox = Self::empty();
        sandbox.run(&["init", "tools"]).ok();
        sandbox
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // As editors save: the file is whole at any time.
        let beside = path.with_extension("saving");
        fs::write(&beside, text).unwrap();
        fs::rename(&beside, &path).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap()
    }

    /// Replaces a text in a file that has it.
    pub(crate) fn edit(&self, path: &str, from: &str, to: &str) {
        let text = self.read(path);
        assert!(text.contains(from), "{path} has no {from}");
        self.write(path, &text.replace(from, to));
    }

    pub(crate) fn mode(&self, path: &str) -> u32 {
        fs::metadata(self.path(path)).unwrap().permissions().mode() & 0o777
    }

    pub(crate) fn set_mode(&self, path: &str, mode: u32) {
        fs::set_permissions(self.path(path), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// The program, in the sandbox and with nothing of the environment but its home.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keyward"));
        command.args(arguments).current_dir(self.dir.path()).env_clear();
        command.env("HOME", self.path("home")).env("RUST_BACKTRACE", "1");
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Done {
        self.run_with(self.command(arguments), "")
    }

    /// Runs a command with a text on its standard input.
    pub(crate) fn run_with(&self, mut command: Command, input: &str) -> Done {
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        // A command that refuses its arguments does not read.
        drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
        let output = child.wait_with_output().unwrap();
        Done {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Serves `tools` on free ports until the returned value is dropped.
    pub(crate) fn serve(&self) -> Server {
        self.serve_with(&[])
    }

    pub(crate) fn serve_with(&self, more: &[&str]) -> Server {
        self.serve_by(self.serve_command(more))
    }

    pub(crate) fn serve_command(&self, more: &[&str]) -> Command {
        let ports = ["serve", "tools", "--listen", "127.0.0.1:0", "--manage-listen", "127.0.0.1:0"];
        self.command(&[&ports[..], &["--json"], more].concat())
    }

    pub(crate) fn serve_by(&self, command: Command) -> Server {
        self.start_by(command).ready()
    }

    /// Starts a server and does not wait until it is ready.
    pub(crate) fn start_by(&self, mut command: Command) -> Starting<'_> {
        let piped = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        let log = Log::default();
        log.follow(child.stderr.take().unwrap());
        Starting { child, log, sandbox: self }
    }
}

/// A server that has not said yet that it is ready.
pub(crate) struct Starting<'s> {
    child: Child,
    pub(crate) log: Log,
    sandbox: &'s Sandbox,
}

impl Starting<'_> {
    /// Waits until it is.
    pub(crate) fn ready(self) -> Server {
        let Self { mut child, log, sandbox } = self;
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let ready = serde_json::from_str(&line)
            .unwrap_or_else(|_| panic!("not ready: {line:?}\n{}", log.text()));
        Server { child, ready, log, token: sandbox.run(&["token"]).out.trim().to_owned() }
    }
}

impl Done {
    /// Asserts that the command did what it was asked to.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out
    }

    /// Asserts how the command failed, and that it said so in these words.
    #[track_caller]
    pub(crate) fn failed(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        for word in words {
            assert!(self.err.contains(word), "no {word:?} in {}", self.err);
        }
    }
}

/// A server that runs; it is killed when this is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) ready: Value,
    pub(crate) log: Log,
    pub(crate) token: String,
}

/// An answer over HTTP.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }
}

impl Server {
    pub(crate) fn listen(&self) -> &str {
        self.ready["listen"].as_str().unwrap()
    }

    pub(crate) fn manage_listen(&self) -> &str {
        self.ready["manageListen"].as_str().unwrap()
    }

    /// Calls an MCP method on the server `first`, with an API key.
    pub(crate) fn mcp(&self, key: &str, method: &str, params: &Value) -> Answer {
        self.mcp_on("/api/mcpservers/first/mcp", &format!("X-API-Key: {key}\r\n"), method, params)
    }

    pub(crate) fn mcp_on(&self, path: &str, headers: &str, method: &str, params: &Value) -> Answer {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let headers = format!(
            "{headers}Content-Type: application/json\r\nAccept: application/json, \
             text/event-stream\r\n"
        );
        post(self.listen(), path, &headers, &body.to_string())
    }

    /// Calls a tool of the server `first`.
    pub(crate) fn tool(&self, key: &str, tool: &str, arguments: &Value) -> Answer {
        self.mcp(key, "tools/call", &json!({ "name": tool, "arguments": arguments }))
    }

    /// Greets with a key, and gives the HTTP status.
    pub(crate) fn greet(&self, key: &str) -> u16 {
        self.tool(key, "Greet", &json!({ "name": "Ada" })).status
    }

    /// Calls a management operation with the operator's token.
    pub(crate) fn manage(&self, operation: &str, body: &Value) -> Answer {
        self.manage_as(&self.token, operation, body)
    }

    pub(crate) fn manage_as(&self, token: &str, operation: &str, body: &Value) -> Answer {
        let path = format!("/runtime/webhooks/workflow/api/management/{operation}");
        let headers =
            format!("Authorization: Bearer {token}\r\nContent-Type: application/json\r\n");
        post(self.manage_listen(), &path, &headers, &body.to_string())
    }

    /// The process's id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Ends it as a supervisor does, and gives its exit code.
    pub(crate) fn stop(mut self) -> i32 {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> i32 {
        let status = self.child.wait().unwrap();
        status.code().unwrap_or(-1)
    }

    /// Ends it as a power failure does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The lines that a process writes to standard error, as they come.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<(Mutex<Vec<String>>, Condvar)>);

impl Log {
    fn follow(&self, stderr: impl std::io::Read + Send + 'static) {
        let log = self.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines() {
                let (lines, more) = &*log.0;
                lines.lock().unwrap().push(line.unwrap());
                more.notify_all();
            }
        });
    }

    /// How many lines there are, to wait for one after these.
    pub(crate) fn len(&self) -> usize {
        self.0.0.lock().unwrap().len()
    }

    /// Waits for a line after the first `skipped` that has this text.
    #[track_caller]
    pub(crate) fn wait_for(&self, skipped: usize, text: &str) -> String {
        let (lines, more) = &*self.0;
        let until = Instant::now() + DEADLINE;
        let mut lines = lines.lock().unwrap();
        loop {
            if let Some(line) = lines.iter().skip(skipped).find(|line| line.contains(text)) {
                return line.clone();
            }
            let left = until.checked_duration_since(Instant::now());
            let left = left.unwrap_or_else(|| panic!("no {text:?} in {lines:#?}"));
            lines = more.wait_timeout(lines, left).unwrap().0;
        }
    }

    pub(crate) fn text(&self) -> String {
        self.0.0.lock().unwrap().join("\n")
    }
}

/// Sends a POST on a connection of its own.
pub(crate) fn post(address: &str, path: &str, headers: &str, body: &str) -> Answer {
    let length = body.len();
    raw(
        address,
        format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: \
             {length}\r\n{headers}\r\n{body}"
        )
        .as_bytes(),
    )
}

/// A connection, on which nothing is waited for longer than the deadline.
pub(crate) fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// Reads until the text has come; gives what was read.
pub(crate) fn read_until(stream: &mut TcpStream, wanted: &str) -> String {
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
/// Whether the end of a stream arrives: what the server has written may be on its way for a moment.
pub(crate) fn ends(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    while !bytes.ends_with(b"0\r\n\r\n") {
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(count) => bytes.extend_from_slice(&part[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(error) => panic!("{error}"),
        }
    }
    true
}

pub(crate) fn has_ended(stream: &mut TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => true,
        Err(error) if error.kind() == ErrorKind::WouldBlock => bytes.ends_with(b"0\r\n\r\n"),
        Err(error) => panic!("{error}"),
    }
}

/// Sends bytes, and reads an answer until the connection ends.
pub(crate) fn raw(address: &str, request: &[u8]) -> Answer {
    let mut stream = connect(address);
    // The server may answer and close before it has read everything.
    drop(stream.write_all(request));
    let mut bytes = Vec::new();
    drop(stream.read_to_end(&mut bytes));
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if chunked { unchunked(body) } else { body.to_owned() };
    Answer { status, head: head.to_owned(), body }
}

fn unchunked(mut text: &str) -> String {
    let mut body = String::new();
    while let Some((length, rest)) = text.split_once("\r\n") {
        let length = usize::from_str_radix(length.trim(), 16).unwrap_or(0);
        let Some(chunk) = rest.get(..length).filter(|chunk| !chunk.is_empty()) else { break };
        body.push_str(chunk);
        text = rest.get(length + 2..).unwrap_or_default();
    }
    body
}

/// Every file below a folder, with its bytes.
pub(crate) fn files_below(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            let bytes = fs::read(&path).unwrap();
            files.push((path, bytes));
        }
    }
    files
}
