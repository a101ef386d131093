//! Input that nobody sends by mistake: each is answered with a 4xx or a closed connection, in bounded
//! memory, and the server goes on serving.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::harness::{Answer, DEADLINE, Sandbox, Server, raw};

/// More than a server with some connections needs, far less than what is thrown at it.
const MEMORY_KIB: u64 = 256 * 1024;

const GIB: u64 = 1 << 30;

/// One connection that writes `head`, then `chunk` for up to `count` times, and reads what comes back.
fn pour(address: &str, head: &str, chunk: &[u8], count: u64) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    let mut poured = 0;
    while poured < count && stream.write_all(chunk).is_ok() {
        poured += 1;
    }
    assert!(poured < count, "the server took all of it");
    let mut bytes = Vec::new();
    drop(stream.read_to_end(&mut bytes));
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Answer { status, head: text, body: String::new() }
}

fn assert_refused(answer: &Answer, what: &str) {
    assert!(answer.status == 0 || (400..500).contains(&answer.status), "{what}: {answer:?}");
}

fn head(address: &str, path: &str, credential: &str, length: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{credential}Content-Type: \
         application/json\r\nAccept: application/json, text/event-stream\r\n{length}\r\n\r\n"
    )
}

/// The most memory that the process has had, in KiB (proc(5), `VmHWM`).
fn peak_kib(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn hostile_input_is_refused_in_bounded_memory_and_serving_goes_on() {
    let sandbox = Sandbox::new();
    let server = sandbox.serve();
    let key = sandbox.run(&["key", "issue", "-q"]).ok();
    let key = key.trim();
    let with_key = format!("X-API-Key: {key}\r\n");
    let with_token = format!("Authorization: Bearer {}\r\n", server.token);
    let operation = "/runtime/webhooks/workflow/api/management/listMcpServerUrl";
    let planes = [
        (server.listen(), "/api/mcp", with_key.as_str()),
        (server.listen(), "/api/mcp", ""),
        (server.manage_listen(), operation, with_token.as_str()),
        (server.manage_listen(), operation, ""),
    ];

    // Slow sockets stay open all the while.
    let slow: Vec<TcpStream> = (0..100)
        .map(|index| {
            let (address, path, credential) = planes[index % planes.len()];
            let mut stream = TcpStream::connect(address).unwrap();
            let head = head(address, path, credential, "Content-Length: 100");
            let sent = if index < 50 { head.get(..20).unwrap() } else { &head };
            stream.write_all(sent.as_bytes()).unwrap();
            stream
        })
        .collect();

    let filler = vec![b' '; 64 * 1024];
    let mut chunk = b"10000\r\n".to_vec();
    chunk.extend(&filler);
    chunk.extend(b"\r\n");
    let deep = "[".repeat(100_000);
    let key_of_a_mib = format!("X-API-Key: kwk1_{}\r\n", "A".repeat(1 << 20));
    for (address, path, credential) in planes {
        let declared = head(address, path, credential, &format!("Content-Length: {GIB}"));
        assert_refused(&pour(address, &declared, &filler, GIB / 65_536), "a body of 1 GiB");
        let chunked = head(address, path, credential, "Transfer-Encoding: chunked");
        assert_refused(&pour(address, &chunked, &chunk, GIB / 65_536), "1 GiB in chunks");

        let length = |body: &[u8]| format!("Content-Length: {}", body.len());
        for (what, body) in [
            ("nested 100,000 deep", deep.as_bytes()),
            ("objects nested 100,000 deep", "{\"a\":".repeat(100_000).as_bytes()),
            ("invalid UTF-8", b"{\"a\":\"\xff\xfe\"}".as_slice()),
            ("a NUL", b"\0".as_slice()),
        ] {
            let mut request = head(address, path, credential, &length(body)).into_bytes();
            request.extend(body);
            assert_refused(&raw(address, &request), what);
        }
        for path in
            ["/../../etc/passwd", "/api/mcpservers/../mcp", "/%2e%2e/%2e%2e", "/api/mcp\u{ff}", "*"]
        {
            let request = head(address, path, credential, "Content-Length: 0");
            assert_refused(&raw(address, request.as_bytes()), path);
        }
        for credential in [&key_of_a_mib, "X-API-Key: \u{1}\r\n", "X-API-Key: ключ\r\n"] {
            let request = head(address, path, credential, "Content-Length: 0");
            assert_refused(&raw(address, request.as_bytes()), "a key that is none");
        }
        assert_eq!(server.greet(key), 200);
    }
    drop(slow);
    assert!(peak_kib(&server) < MEMORY_KIB, "{} KiB", peak_kib(&server));
    assert_eq!(server.stop(), 0);
}

#[test]
fn a_body_that_stops_half_way_costs_its_own_connection_alone() {
    let sandbox = Sandbox::new();
    let server = sandbox.serve();
    let key = sandbox.run(&["key", "issue", "-q"]).ok();
    let with_key = format!("X-API-Key: {}\r\n", key.trim());
    let head = head(server.listen(), "/api/mcp", &with_key, "Content-Length: 1000");
    for _ in 0..50 {
        let mut stream = TcpStream::connect(server.listen()).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(b"{\"jsonrpc\":").unwrap();
        stream.shutdown(std::net::Shutdown::Both).unwrap();
    }
    assert_eq!(server.greet(key.trim()), 200);
}
