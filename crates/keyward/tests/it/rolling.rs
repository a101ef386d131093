//! Replicas behind nginx that are restarted one after the other under load, as an operator does who has an ingress
//! that honours readiness: the test is that ingress.

use std::fs;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::harness::{DEADLINE, Sandbox, Server};
use crate::readiness::{on_postgres, place, until_ready_is};
use crate::streams::subscription;

const NOT_INSTALLED: &str = "nginx is not installed, and this test starts one of its own. Install it (on Debian: \
    apt-get install nginx-light); its service need not run";

/// An nginx that passes everything on to the replicas it was told of last.
struct Nginx {
    master: Child,
    dir: PathBuf,
    generation: usize,
}

impl Nginx {
    fn start(dir: PathBuf, replicas: &[&Server]) -> Self {
        let places = ["/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/bin/nginx"];
        let program = places.into_iter().find(|path| Path::new(path).exists());
        fs::create_dir_all(&dir).unwrap();
        write_configuration(&dir, 0, replicas);
        let mut command = Command::new(program.unwrap_or_else(|| panic!("{NOT_INSTALLED}")));
        command.arg("-p").arg(&dir).arg("-c").arg(dir.join("nginx.conf"));
        command.arg("-e").arg(dir.join("error.log")).stdin(Stdio::null());
        let nginx = Self { master: command.spawn().unwrap(), dir, generation: 0 };
        nginx.await_generation();
        nginx
    }

    /// Has requests go to these replicas from now on, and those that are under way end where they are.
    fn route_to(&mut self, replicas: &[&Server]) {
        self.generation += 1;
        write_configuration(&self.dir, self.generation, replicas);
        self.signal(Signal::HUP);
        self.await_generation();
    }

    fn await_generation(&self) {
        let until = Instant::now() + DEADLINE;
        let wanted = format!("\r\n\r\n{}", self.generation);
        let request = b"GET /generation HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        while !exchange(&self.socket(), request).is_ok_and(|answer| answer.ends_with(&wanted)) {
            let log = || fs::read_to_string(self.dir.join("error.log"));
            assert!(Instant::now() < until, "nginx does not serve: {:?}", log());
            thread::yield_now();
        }
    }

    fn socket(&self) -> PathBuf {
        self.dir.join("socket")
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.master.id()).unwrap()).unwrap();
        // It may have ended by itself, which whoever asks it notices.
        kill_process(pid, signal).unwrap_or_default();
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Killed, it would leave its workers behind.
        self.signal(Signal::TERM);
        drop(self.master.wait());
    }
}

/// What docs/operate.md shows, and what a test needs besides: which replica was asked, and which configuration holds.
fn write_configuration(dir: &Path, generation: usize, replicas: &[&Server]) {
    let servers: String =
        replicas.iter().map(|replica| format!("server {};\n", replica.listen())).collect();
    let text = format!(
        "daemon off;\nworker_processes 1;\npid nginx.pid;\nevents {{}}\nhttp {{\naccess_log off;\n\
         client_body_temp_path body;\nproxy_temp_path proxy;\nfastcgi_temp_path fastcgi;\n\
         uwsgi_temp_path uwsgi;\nscgi_temp_path scgi;\nupstream keyward {{\n{servers}}}\n\
         server {{\nlisten unix:socket;\n\
         location = /generation {{ return 200 {generation}; }}\n\
         location / {{\nproxy_pass http://keyward;\nproxy_http_version 1.1;\n\
         proxy_set_header Host localhost;\nproxy_set_header Connection \"\";\nproxy_buffering off;\n\
         proxy_read_timeout 1h;\nadd_header X-Replica $upstream_addr always;\n}}\n}}\n}}\n"
    );
    fs::write(dir.join("nginx.conf"), text.replace("unix:", &format!("unix:{}/", dir.display())))
        .unwrap();
}

/// Sends a request on a connection of its own, and reads until that ends.
fn exchange(socket: &Path, request: &[u8]) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.write_all(request)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// A POST to the default server.
fn post(key: &str, connection: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST /api/mcp HTTP/1.1\r\nHost: localhost\r\nConnection: {connection}\r\nX-API-Key: \
         {key}\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n\
         Content-Length: {length}\r\n{headers}\r\n{body}"
    )
}

/// Clients that call a tool again and again.
#[derive(Default)]
struct Load {
    stops: AtomicBool,
    answered: AtomicUsize,
    failed: Mutex<Vec<Failed>>,
}

#[derive(Debug)]
struct Failed {
    began: Instant,
    answer: io::Result<String>,
}

impl Load {
    fn run(&self, socket: &Path, key: &str) {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": { "name": "Greet", "arguments": { "name": "Ada" } } });
        let request = post(key, "close", "", &body.to_string());
        while !self.stops.load(Ordering::Relaxed) {
            let began = Instant::now();
            let answer = exchange(socket, request.as_bytes());
            let is_good = |text: &String| text.starts_with("HTTP/1.1 200") && text.contains("Ada");
            if answer.as_ref().is_ok_and(is_good) {
                self.answered.fetch_add(1, Ordering::Relaxed);
            } else {
                lock(&self.failed).push(Failed { began, answer });
            }
        }
    }

    /// Waits until so many more requests have been answered.
    fn go_on_for(&self, count: usize) {
        let (wanted, until) =
            (self.answered.load(Ordering::Relaxed) + count, Instant::now() + DEADLINE);
        while self.answered.load(Ordering::Relaxed) < wanted {
            assert!(Instant::now() < until, "no requests are answered: {:?}", lock(&self.failed));
            thread::yield_now();
        }
    }
}

/// Ends the load, also where the test fails.
struct Stop<'l>(&'l Load);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.stops.store(true, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An event stream that says nothing of itself.
struct Stream {
    connection: UnixStream,
    /// The replica that it goes to.
    replica: String,
}

impl Stream {
    fn open(socket: &Path, key: &str) -> Self {
        let headers = "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: subscriptions/listen\r\n";
        let mut connection = UnixStream::connect(socket).unwrap();
        connection.set_read_timeout(Some(DEADLINE)).unwrap();
        let request = post(key, "keep-alive", headers, &subscription());
        connection.write_all(request.as_bytes()).unwrap();
        let mut read = String::new();
        while !read.contains("acknowledged") {
            let mut part = [0; 4096];
            let count = connection.read(&mut part).unwrap();
            assert!(count > 0, "no stream: {read}");
            read.push_str(&String::from_utf8_lossy(part.get(..count).unwrap()));
        }
        let replica = read.lines().find_map(|line| line.strip_prefix("X-Replica: ")).unwrap();
        Self { connection, replica: replica.to_owned() }
    }

    /// Reads what comes until the stream ends, in order or not.
    fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"0\r\n\r\n") {
            let mut part = [0; 4096];
            match self.connection.read(&mut part) {
                Ok(0) => break,
                Ok(count) => bytes.extend_from_slice(part.get(..count).unwrap()),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
                Err(error) => panic!("the stream does not end: {error}"),
            }
        }
        String::from_utf8(bytes).unwrap()
    }

    /// Whether it goes on and has said nothing; does not wait.
    fn is_open(&mut self) -> bool {
        self.connection.set_nonblocking(true).unwrap();
        let read = self.connection.read(&mut [0; 1]);
        self.connection.set_nonblocking(false).unwrap();
        read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }
}

/// Three replicas of one database.
struct Fleet<'s> {
    sandbox: &'s Sandbox,
    database: String,
    replicas: Vec<Server>,
}

const NAMES: [&str; 3] = ["one", "two", "three"];

impl<'s> Fleet<'s> {
    fn start(sandbox: &'s Sandbox, database: String) -> Self {
        let mut fleet = Self { sandbox, database, replicas: Vec::new() };
        fleet.replicas = NAMES.map(|name| fleet.replica(name)).into();
        fleet
    }

    fn replica(&self, name: &str) -> Server {
        let mut command = on_postgres(self.sandbox, &self.database);
        command.args(["--data-dir", name]).env("KEYWARD_STORE_LEASE_S", "5");
        // Long enough for the ingress to notice on a busy machine, and for no tool call to be cut.
        command.args(["--shutdown-drain", "3s", "--shutdown-grace", "500ms"]);
        self.sandbox.serve_by(command)
    }

    fn all(&self) -> Vec<&Server> {
        self.replicas.iter().collect()
    }

    fn all_but(&self, index: usize) -> Vec<&Server> {
        self.replicas
            .iter()
            .enumerate()
            .filter(|(at, _)| *at != index)
            .map(|(_, one)| one)
            .collect()
    }
}

#[test]
fn a_rolling_restart_fails_no_request_and_a_kill_only_those_under_way_there() {
    let (sandbox, database) = place();
    let mut fleet = Fleet::start(&sandbox, database.url());
    let mut nginx = Nginx::start(sandbox.path("nginx"), &fleet.all());
    let key = sandbox.run(&["key", "issue", "-q", "--data-dir", "one"]).ok().trim().to_owned();
    let (load, socket) = (Load::default(), nginx.socket());
    thread::scope(|scope| {
        let _stop = Stop(&load);
        for _ in 0..4 {
            scope.spawn(|| load.run(&socket, &key));
        }
        let mut streams: Vec<Stream> = (0..6).map(|_| Stream::open(&socket, &key)).collect();
        for (index, name) in NAMES.into_iter().enumerate() {
            load.go_on_for(100);
            let leaving = &fleet.replicas[index];
            let address = leaving.listen().to_owned();
            leaving.signal(Signal::TERM);
            until_ready_is(&address, 503);
            nginx.route_to(&fleet.all_but(index));
            assert_eq!(fleet.replicas[index].wait(), 0);
            // Its streams were told, and begin again elsewhere.
            for stream in streams.iter_mut().filter(|stream| stream.replica == address) {
                let rest = stream.rest();
                assert!(rest.contains(": this server is shutting down"), "{rest}");
                assert!(rest.ends_with("0\r\n\r\n"), "{rest}");
                *stream = Stream::open(&socket, &key);
            }
            fleet.replicas[index] = fleet.replica(name);
            until_ready_is(fleet.replicas[index].listen(), 200);
            nginx.route_to(&fleet.all());
        }
        load.go_on_for(100);
        assert!(lock(&load.failed).is_empty(), "{:?}", lock(&load.failed));

        let address = streams[0].replica.clone();
        let killed = fleet.replicas.iter_mut().find(|replica| replica.listen() == address).unwrap();
        killed.kill();
        let killed_at = Instant::now();
        load.go_on_for(100);
        for stream in &mut streams {
            if stream.replica == address {
                let rest = stream.rest();
                assert!(!rest.ends_with("0\r\n\r\n"), "it looks whole: {rest}");
            } else {
                assert!(stream.is_open(), "a stream of another replica");
            }
        }
        let failed = lock(&load.failed);
        for Failed { began, answer } in &*failed {
            assert!(*began < killed_at, "{answer:?} after the kill");
            let named = format!("X-Replica: {address}\r\n");
            assert!(answer.as_ref().is_ok_and(|answer| answer.contains(&named)), "{answer:?}");
        }
        assert!(failed.len() <= 4, "each client had one request under way: {failed:?}");
    });
    assert_eq!(
        database.number("SELECT count(*) FROM replicas"),
        3,
        "nobody has asked after the killed one"
    );
}
