//! MCP servers that exist already, through the real process.

use std::convert::Infallible;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use futures::stream;
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::harness::{DEADLINE, Sandbox, Server, connect};

const PATH: &str = "/api/mcpservers/far/mcp";

/// A sandbox whose app has the upstream `far`.
fn sandbox(url: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    let servers = json!({ "servers": { "far": { "type": "http", "url": url } } });
    sandbox.write("tools/mcp.json", &servers.to_string());
    sandbox
}

fn ping(server: &Server, key: &str) -> crate::harness::Answer {
    server.mcp_on(PATH, &format!("X-API-Key: {key}\r\n"), "ping", &json!({}))
}

fn key(sandbox: &Sandbox, server: &Server) -> String {
    let url = format!("http://{}", server.manage_listen());
    let issued = sandbox.run(&["key", "issue", "--quiet", "--manage-url", &url]);
    issued.ok().trim().to_owned()
}

/// Runs an upstream on threads of its own until the test ends.
fn serve_with<F, B>(tls: Option<ServerConfig>, answer: F) -> SocketAddr
where
    F: Fn(Request<Incoming>) -> Response<B> + Clone + Send + Sync + 'static,
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            let acceptor = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, answer) = (acceptor.clone(), answer.clone());
                tokio::task::spawn_local(async move {
                    let service = service_fn(move |request: Request<Incoming>| {
                        let response = answer(request);
                        async move { Ok::<_, Infallible>(response) }
                    });
                    let server = auto::Builder::new(TokioExecutor::new());
                    // A connection that its client ends is no fault.
                    match acceptor {
                        None => drop(server.serve_connection(TokioIo::new(stream), service).await),
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                drop(server.serve_connection(TokioIo::new(stream), service).await);
                            }
                        }
                    }
                });
            }
        });
    });
    told.recv().unwrap()
}

#[test]
fn an_upstream_over_https_is_spoken_to_in_http_2_and_trusted_by_the_systems_roots() {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(
            vec![cert.der().clone()],
            PrivateKeyDer::Pkcs8(signing_key.serialize_der().into()),
        )
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let address = serve_with(Some(config), |request| {
        let version = json!({ "is_2": request.version() == Version::HTTP_2 });
        Response::new(Full::from(version.to_string()))
    });
    let sandbox = sandbox(&format!("https://localhost:{}/mcp", address.port()));
    sandbox.write("roots.pem", &cert.pem());

    let server = sandbox.serve();
    let answer = ping(&server, &key(&sandbox, &server));
    assert_eq!(answer.status, 502, "{answer:?}");
    assert!(answer.body.contains("certificate is not trusted"), "{answer:?}");
    drop(server);

    let mut command = sandbox.serve_command(&[]);
    command.env("SSL_CERT_FILE", sandbox.path("roots.pem"));
    let server = sandbox.serve_by(command);
    let answer = ping(&server, &key(&sandbox, &server));
    assert_eq!((answer.status, answer.json()), (200, json!({ "is_2": true })), "{answer:?}");
}

/// A body of so many chunks, made as they are taken.
fn chunks(count: usize) -> impl Body<Data = Bytes, Error = Infallible> + Send + 'static {
    let chunk = |_| Ok(Frame::data(Bytes::from(vec![b'x'; CHUNK])));
    StreamBody::new(stream::iter((0..count).map(chunk)))
}

const CHUNK: usize = 64 * 1024;

/// The most memory that a process has had, in KiB.
fn peak_kib(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// A request with a key, up to its blank line.
fn head(server: &Server, key: &str, more: &str) -> String {
    format!(
        "POST {PATH} HTTP/1.1\r\nHost: {}\r\nX-API-Key: {key}\r\nContent-Type: \
         application/json\r\nAccept: application/json, text/event-stream\r\n{more}\r\n",
        server.listen()
    )
}

#[test]
fn a_result_of_200_mib_passes_in_constant_memory() {
    const SIZE: usize = 200 * 1024 * 1024;
    let address = serve_with(None, |_| Response::new(chunks(SIZE / CHUNK)));
    let sandbox = sandbox(&format!("http://{address}/mcp"));
    let server = sandbox.serve();
    let key = key(&sandbox, &server);
    assert_eq!(ping(&server, "kwk1_x").status, 401);
    let before = peak_kib(server.id());

    let mut stream = connect(server.listen());
    let asked = head(&server, &key, "Content-Length: 2\r\nConnection: close\r\n");
    stream.write_all(format!("{asked}{{}}").as_bytes()).unwrap();
    let (mut total, mut buffer) = (0, vec![0; CHUNK]);
    loop {
        match stream.read(&mut buffer).unwrap() {
            0 => break,
            length => total += length,
        }
    }
    assert!(total > SIZE, "{total}");
    let grown = peak_kib(server.id()) - before;
    assert!(grown < 16 * 1024, "it took {grown} KiB");
}

#[test]
fn a_request_of_200_mib_passes_in_constant_memory() {
    const SIZE: usize = 200 * 1024 * 1024;
    let taken = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&taken);
    let address = serve_with(None, move |request| {
        let counting = Arc::clone(&counting);
        let mut body = request.into_body();
        tokio::task::spawn_local(async move {
            while let Some(Ok(frame)) = body.frame().await {
                let length = frame.data_ref().map_or(0, Bytes::len);
                counting.fetch_add(length, Ordering::SeqCst);
            }
        });
        Response::new(Full::from("{}"))
    });
    let sandbox = sandbox(&format!("http://{address}/mcp"));
    let server = sandbox.serve();
    let key = key(&sandbox, &server);
    assert_eq!(ping(&server, &key).status, 200);
    let before = peak_kib(server.id());
    let so_far = taken.load(Ordering::SeqCst);

    let mut stream = connect(server.listen());
    let asked = head(&server, &key, &format!("Content-Length: {SIZE}\r\n"));
    stream.write_all(asked.as_bytes()).unwrap();
    let chunk = vec![b'x'; CHUNK];
    for _ in 0..SIZE / CHUNK {
        stream.write_all(&chunk).unwrap();
    }
    while taken.load(Ordering::SeqCst) - so_far < SIZE {
        std::thread::yield_now();
    }
    let grown = peak_kib(server.id()) - before;
    assert!(grown < 16 * 1024, "it took {grown} KiB");
}

#[test]
fn upstreams_are_listed_with_their_tools_and_without_waiting_for_those_that_are_down() {
    let address = serve_with(None, |_| {
        let tools = json!([{ "name": "find", "description": "Finds", "inputSchema": {} }]);
        let answer = json!({ "jsonrpc": "2.0", "id": 1, "result": { "tools": tools } });
        let body = Full::from(answer.to_string());
        Response::builder().header("content-type", "application/json").body(body).unwrap()
    });
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = listener.local_addr().unwrap();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let sandbox = Sandbox::new();
    let entry = |address: SocketAddr| json!({ "url": format!("http://{address}/mcp?key=hush") });
    let servers = json!({ "far": entry(address), "down": entry(nobody), "silent": entry(silent) });
    sandbox.write("tools/mcp.json", &json!({ "servers": servers }).to_string());
    let server = sandbox.serve();
    let manage_url = format!("http://{}", server.manage_listen());
    let list = |more: &[&str]| {
        sandbox.run(&[&["server", "list", "--manage-url", &manage_url], more].concat()).ok()
    };

    // A machine with much to do may take more than one list to get the first answers.
    let until = Instant::now() + DEADLINE;
    let mut text = list(&[]);
    while Instant::now() < until && text.matches("tools just now").count() > 1 {
        text = list(&[]);
    }
    assert!(!text.contains("hush"), "{text}");
    let blocks: Vec<&str> = text.split("\n\n").collect();
    let block = |name: &str| *blocks.iter().find(|block| block.starts_with(name)).unwrap();
    assert!(block("far").ends_with("\n  upstream over HTTP\n  tools: find"), "{text}");
    let down = block("down");
    assert!(down.contains("\n  upstream over HTTP, unreachable since 2"), "{text}");
    assert!(down.contains(&format!("http://{nobody}: the connection was refused")), "{text}");
    assert!(block("silent").contains("asked for its tools just now"), "{text}");

    let json: Value = serde_json::from_str(&list(&["--json"])).unwrap();
    let far = json["value"].as_array().unwrap().iter().find(|one| one["name"] == "far").unwrap();
    assert_eq!(far["tools"], json!([{ "name": "find", "description": "Finds" }]));
    assert_eq!(far["upstream"]["state"], "known");
    assert_eq!(server.stop(), 0);
    drop(listener);
}

#[test]
fn an_upstream_that_stops_midway_gives_its_client_an_error() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut buffer = [0; 4096];
            let _head = stream.read(&mut buffer).unwrap();
            let part = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: \
                        chunked\r\n\r\n9\r\ndata: 1\n\n\r\n";
            stream.write_all(part.as_bytes()).unwrap();
        }
    });
    let sandbox = sandbox(&format!("http://{address}/mcp"));
    let server = sandbox.serve();
    let key = key(&sandbox, &server);
    let mut stream = connect(server.listen());
    let asked = head(&server, &key, "Content-Length: 2\r\n");
    stream.write_all(format!("{asked}{{}}").as_bytes()).unwrap();
    let mut answer = Vec::new();
    // It ends by itself, and without the chunk that would end it well.
    drop(stream.read_to_end(&mut answer));
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.contains("data: 1\n\n"), "{answer}");
    assert!(!answer.ends_with("0\r\n\r\n"), "{answer}");
}

#[test]
fn the_log_and_the_answers_hold_no_credential_of_an_upstream() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let sandbox = Sandbox::new();
    let servers: Value = json!({ "servers": { "far": { "type": "http",
        "url": format!("http://{address}/mcp?token=querysecret"),
        "headers": { "Authorization": "Bearer headersecret" } } } });
    sandbox.write("tools/mcp.json", &servers.to_string());
    let server = sandbox.serve_with(&["--log", "trace"]);
    let key = key(&sandbox, &server);
    let answer = ping(&server, &key);
    assert_eq!(answer.status, 502);
    let listed = server.manage("listMcpServers", &json!({}));
    let log = server.log.clone();
    assert_eq!(server.stop(), 0);
    for text in [format!("{answer:?}"), format!("{listed:?}"), log.text()] {
        for secret in ["querysecret", "headersecret", key.as_str()] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}
