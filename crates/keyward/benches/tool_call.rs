//! A workflow tool's call over HTTP, next to a bare rmcp server that answers a constant.
//!
//! `cargo bench -p keyward --bench tool_call` starts both, each with one core of its own choosing
//! among the machine's but the first, which makes the load; the two take turns, so that a machine
//! whose speed drifts treats them alike. Prints a table; quote its ratios, not its absolute figures.
#![expect(clippy::print_stdout, reason = "a benchmark's output is its purpose")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark may fail loudly")]
#![expect(clippy::disallowed_methods, reason = "a benchmark has no tracker to spawn on")]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, InitializeResult,
    ServerCapabilities,
};
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use rustix::thread::{CpuSet, sched_setaffinity};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const ROUNDS: usize = 9;
const ROUND: Duration = Duration::from_secs(2);
const CONNECTIONS: [usize; 3] = [1, 16, 64];
const VERSIONS: [&str; 2] = ["2025-11-25", "2026-07-28"];

/// What both answer.
const ANSWER: &str = "the quick brown fox jumps over the lazy dog";

fn main() {
    if std::env::args().any(|argument| argument == "--bare-server") {
        return runtime().block_on(serve_bare());
    }
    let folder = tempfile::tempdir().unwrap();
    write_app(folder.path());
    // Children inherit the affinity; this process then moves to the first core.
    let cores = std::thread::available_parallelism().unwrap().get();
    pin(1..cores.max(2));
    let keyward = Contender::keyward(folder.path());
    let bare = Contender::bare();
    pin(0..1);
    println!(
        "| connections | protocol version | contender | requests/s | p50 | p99 | CPU/request |"
    );
    println!("|---|---|---|---|---|---|---|");
    let load = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for version in VERSIONS {
        for connections in CONNECTIONS {
            let mut rounds: [Vec<Round>; 2] = [Vec::new(), Vec::new()];
            for _ in 0..ROUNDS {
                for (contender, rounds) in [&bare, &keyward].into_iter().zip(&mut rounds) {
                    rounds.push(load.block_on(contender.round(connections, version)));
                }
            }
            let ratio = |figure: fn(&Round) -> f64| {
                let pairs = rounds[1].iter().zip(&rounds[0]);
                median(pairs.map(|(ours, bare)| figure(ours) / figure(bare)))
            };
            for (name, rounds) in ["bare rmcp", "Keyward"].into_iter().zip(&rounds) {
                let of = |figure: fn(&Round) -> f64| median(rounds.iter().map(figure));
                println!(
                    "| {connections} | {version} | {name} | {:.0} | {:.2} ms | {:.2} ms | {:.1} µs |",
                    of(|r| r.per_second),
                    of(|r| r.p50_ms),
                    of(|r| r.p99_ms),
                    of(|r| r.cpu_us),
                );
            }
            println!(
                "| {connections} | {version} | **ratio** | **{:.2}** | {:.2} | {:.2} | {:.2} |",
                ratio(|r| r.per_second),
                ratio(|r| r.p50_ms),
                ratio(|r| r.p99_ms),
                ratio(|r| r.cpu_us),
            );
        }
    }
}

/// What one round measured.
struct Round {
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    cpu_us: f64,
}

struct Contender {
    child: Child,
    address: String,
    path: &'static str,
    key: String,
}

impl Drop for Contender {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Contender {
    fn bare() -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let (child, ready) = start(command.arg("--bare-server"));
        let address = ready["listen"].as_str().unwrap().to_owned();
        Self { child, address, path: "/mcp", key: String::new() }
    }

    fn keyward(folder: &Path) -> Self {
        let binary = PathBuf::from(env!("CARGO_BIN_EXE_keyward"));
        let (child, ready) = start(Command::new(&binary).arg("serve").arg(folder).args([
            "--listen",
            "127.0.0.1:0",
            "--manage-listen",
            "127.0.0.1:0",
            "--json",
        ]));
        let manage = format!("http://{}", ready["manageListen"].as_str().unwrap());
        let issued = Command::new(&binary)
            .args(["key", "issue", "--json", "--manage-url", &manage, "--data-dir"])
            .arg(folder.join(".keyward"))
            .output()
            .unwrap();
        assert!(issued.status.success(), "{}", String::from_utf8_lossy(&issued.stderr));
        let issued: Value = serde_json::from_slice(&issued.stdout).unwrap();
        let key = issued["headers"]["X-API-Key"].as_str().unwrap().to_owned();
        let address = ready["listen"].as_str().unwrap().to_owned();
        Self { child, address, path: "/api/mcp", key }
    }

    fn request(&self, version: &str) -> Vec<u8> {
        let mut params = json!({ "name": "Answer", "arguments": { "text": "x" } });
        if version == "2026-07-28" {
            params["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": version,
                "io.modelcontextprotocol/clientInfo": { "name": "bench", "version": "1" },
                "io.modelcontextprotocol/clientCapabilities": {},
            });
        }
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params })
            .to_string();
        format!(
            "POST {} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             accept: application/json, text/event-stream\r\nmcp-protocol-version: {version}\r\n\
             mcp-method: tools/call\r\nmcp-name: Answer\r\nx-api-key: {}\r\ncontent-length: {}\r\n\r\n{body}",
            self.path, self.key, body.len(),
        )
        .into_bytes()
    }

    async fn round(&self, connections: usize, version: &str) -> Round {
        let request: Arc<[u8]> = self.request(version).into();
        let cpu_before = cpu_time(self.child.id());
        let began = Instant::now();
        let clients: Vec<_> = (0..connections)
            .map(|_| {
                tokio::spawn(client(self.address.clone(), Arc::clone(&request), began + ROUND))
            })
            .collect();
        let mut times = Vec::new();
        for client in clients {
            times.extend(client.await.unwrap());
        }
        let (elapsed, cpu) = (began.elapsed(), cpu_time(self.child.id()) - cpu_before);
        times.sort();
        let at = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1e3;
        let count = f64::from(u32::try_from(times.len()).unwrap());
        Round {
            per_second: count / elapsed.as_secs_f64(),
            p50_ms: at(50),
            p99_ms: at(99),
            cpu_us: cpu.as_secs_f64() * 1e6 / count,
        }
    }
}

/// Calls over one connection until `end`, and gives how long each call took.
async fn client(address: String, request: Arc<[u8]>, end: Instant) -> Vec<Duration> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut buffer = vec![0; 16 * 1024];
    let mut times = Vec::new();
    while Instant::now() < end {
        let sent = Instant::now();
        stream.write_all(&request).await.unwrap();
        let mut filled = 0;
        while !is_whole(&buffer[..filled]) {
            let read = stream.read(&mut buffer[filled..]).await.unwrap();
            assert!(read > 0, "closed: {}", String::from_utf8_lossy(&buffer[..filled]));
            filled += read;
        }
        times.push(sent.elapsed());
    }
    times
}

/// Whether a response of known length is complete; fails on any that is not the answer.
fn is_whole(response: &[u8]) -> bool {
    let Some(head) = response.windows(4).position(|part| part == b"\r\n\r\n") else { return false };
    let text = std::str::from_utf8(&response[..head]).unwrap().to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.unwrap().parse().unwrap();
    let body = &response[head + 4..];
    let is_whole = body.len() == length;
    if is_whole {
        let is_answer = body.windows(ANSWER.len()).any(|part| part == ANSWER.as_bytes());
        assert!(is_answer, "{text}\n{}", String::from_utf8_lossy(body));
    }
    is_whole
}

fn start(command: &mut Command) -> (Child, Value) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    (child, serde_json::from_str(&line).unwrap())
}

/// User and system time of a process so far (proc(5), /proc/PID/stat, fields 14 and 15, in ticks of
/// 10 ms).
fn cpu_time(process: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn pin(cores: std::ops::Range<usize>) {
    let mut set = CpuSet::new();
    cores.for_each(|core| set.set(core));
    if sched_setaffinity(None, &set).is_err() {
        println!("(cannot pin to cores here: the load and the server share them)");
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}

fn write_app(folder: &Path) {
    let write = |path: &str, content: Value| {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content.to_string()).unwrap();
    };
    write(
        "host.json",
        json!({ "version": "2.0", "extensions": { "workflow": {
        "McpServerEndpoints": { "enable": true, "authentication": { "type": "ApiKey" } } } } }),
    );
    write(
        "Answer/workflow.json",
        json!({ "kind": "Stateless", "definition": {
            "triggers": { "When": { "type": "Request", "kind": "Http", "inputs": { "schema": {
                "type": "object", "properties": { "text": { "type": "string" } } } } } },
            "actions": {
                "Compose": { "type": "Compose", "runAfter": {}, "inputs": ANSWER },
                "Respond": { "type": "Response", "runAfter": { "Compose": ["Succeeded"] },
                    "inputs": { "statusCode": 200, "body": "@outputs('Compose')" } },
            },
        }}),
    );
}

/// The least that rmcp can be asked for: no key, no schema, a constant.
#[derive(Clone)]
struct Constant;

impl ServerHandler for Constant {
    fn get_info(&self) -> InitializeResult {
        InitializeResult::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn call_tool(
        &self,
        _request: CallToolRequestParams,
        _cx: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        Ok(CallToolResult::success(vec![ContentBlock::text(ANSWER)]).into())
    }
}

async fn serve_bare() {
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true);
    let sessions = Arc::new(NeverSessionManager::default());
    let service = StreamableHttpService::new(|| Ok(Constant), sessions, config);
    let router = axum::Router::new().route(
        "/mcp",
        axum::routing::any(move |request: axum::extract::Request| {
            let service = service.clone();
            async move { service.handle(request).await.map(axum::body::Body::new) }
        }),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", json!({ "listen": listener.local_addr().unwrap().to_string() }));
    axum::serve(listener, router).await.unwrap();
}
