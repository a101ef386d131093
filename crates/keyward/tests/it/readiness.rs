//! What load balancers and supervisors ask, and how a replica leaves.

use std::process::Command;

use pg_harness::{Cluster, Database, Fault, Proxy};
use rustix::process::Signal;

use crate::harness::{Answer, Sandbox, Server, raw};

/// Asks as a probe does, which knows an address and no name.
fn probe(address: &str, method: &str, path: &str) -> Answer {
    probe_as(address, "10.0.0.7", method, path)
}

fn probe_as(address: &str, host: &str, method: &str, path: &str) -> Answer {
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    raw(address, head.as_bytes())
}

/// Asks until the answer is this one. What comes in between is right as well: nobody knows the moment.
#[track_caller]
pub(crate) fn until_ready_is(address: &str, wanted: u16) -> String {
    loop {
        let answer = probe_as(address, "localhost", "GET", "/readyz");
        if answer.status == wanted {
            return answer.body;
        }
        assert!(matches!(answer.status, 200 | 503), "{answer:?}");
        std::thread::yield_now();
    }
}

/// Serves from a database, with short leases.
pub(crate) fn on_postgres(sandbox: &Sandbox, url: &str) -> Command {
    let mut command =
        sandbox.serve_command(&["--master-key-file", "master-key", "--store-url", url]);
    command.env("KEYWARD_STORE_LEASE_S", "1");
    command
}

/// An app, a master key and an empty database.
pub(crate) fn place() -> (Sandbox, Database<'static>) {
    let sandbox = Sandbox::new();
    sandbox.run(&["master-key", "master-key"]).ok();
    (sandbox, Cluster::shared().database())
}

#[test]
fn a_probe_needs_neither_a_token_nor_a_name_and_takes_no_url_from_an_app() {
    let sandbox = Sandbox::new();
    let server = sandbox.serve_with(&["--public-url", "http://localhost/readyz"]);
    for (address, path) in [
        (server.listen(), "/readyz"),
        (server.manage_listen(), "/readyz"),
        (server.manage_listen(), "/healthz"),
    ] {
        let answer = probe(address, "GET", path);
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok\n"), "{answer:?}");
        let answer = probe(address, "HEAD", path);
        assert_eq!((answer.status, answer.body.as_str()), (200, ""), "{answer:?}");
    }
    assert_eq!(probe(server.manage_listen(), "POST", "/readyz").status, 403);
    assert_eq!(probe(server.listen(), "POST", "/readyz").status, 403);
    assert_eq!(probe_as(server.listen(), "localhost", "POST", "/readyz").status, 404);
    assert_eq!(probe(server.listen(), "GET", "/healthz").status, 403);
    let key = sandbox.run(&["key", "issue", "-q"]).ok();
    let headers = format!("X-API-Key: {}\r\n", key.trim());
    let params = serde_json::json!({});
    let answer = server.mcp_on("/readyz/api/mcp", &headers, "tools/list", &params);
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[test]
fn a_replica_that_loses_the_database_is_not_ready_and_says_since_when() {
    let (sandbox, database) = place();
    let proxy = Proxy::to(&database);
    let server = sandbox.serve_by(on_postgres(&sandbox, proxy.url()));
    assert_eq!(probe(server.listen(), "GET", "/readyz").status, 200);
    proxy.arm(0, Fault::Down);
    let why = until_ready_is(server.manage_listen(), 503);
    assert!(why.starts_with("not ready: no lease since 2"), "{why}");
    let nameless = probe(server.manage_listen(), "GET", "/readyz");
    assert_eq!((nameless.status, nameless.body.as_str()), (503, "not ready\n"));
    let outside = probe(server.listen(), "GET", "/readyz");
    assert_eq!((outside.status, outside.body.as_str()), (503, "not ready\n"));
    assert_eq!(probe(server.manage_listen(), "GET", "/healthz").status, 200);
    proxy.mend();
    until_ready_is(server.listen(), 200);
}

#[test]
fn a_replica_says_that_it_is_ready_when_it_has_its_first_lease() {
    let (sandbox, database) = place();
    let url = database.url();
    assert_eq!(sandbox.serve_by(on_postgres(&sandbox, &url)).stop(), 0);
    database.run(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN RAISE EXCEPTION 'not yet'; END $$;
         CREATE TRIGGER refuse BEFORE INSERT ON replicas FOR EACH ROW EXECUTE FUNCTION refuse();",
    );
    let starting = sandbox.start_by(on_postgres(&sandbox, &url));
    starting.log.wait_for(0, "Not ready yet: no lease since");
    database.run("DROP TRIGGER refuse ON replicas;");
    let server = starting.ready();
    assert_eq!(probe(server.listen(), "GET", "/readyz").status, 200);
    assert_eq!(server.stop(), 0);
    assert_eq!(database.number("SELECT count(*) FROM replicas"), 0);
}

#[test]
fn a_replica_that_drains_serves_on_and_lets_each_connection_go_with_its_next_answer() {
    let sandbox = Sandbox::new();
    let mut server = sandbox.serve_with(&["--shutdown-drain", "1h"]);
    let key = sandbox.run(&["key", "issue", "-q"]).ok().trim().to_owned();
    server.signal(Signal::TERM);
    assert_eq!(until_ready_is(server.manage_listen(), 503), "not ready: shutting down\n");
    let answer = server.tool(&key, "Greet", &serde_json::json!({ "name": "Ada" }));
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.head.to_ascii_lowercase().contains("\r\nconnection: close"), "{answer:?}");
    sandbox.run(&["key", "list"]).ok();
    server.signal(Signal::TERM);
    assert_eq!(server.wait(), 0);

    let mut server = sandbox.serve_with(&["--shutdown-drain", "1ms"]);
    server.signal(Signal::TERM);
    assert_eq!(server.wait(), 0);
}

#[test]
fn a_replica_that_stands_still_is_listed_and_waited_for_by_name() {
    let (sandbox, database) = place();
    let url = database.url();
    let named = |name: &str, data_dir: &str| {
        let mut command = on_postgres(&sandbox, &url);
        command.args(["--data-dir", data_dir]).env("KEYWARD_STORE_REPLICA_NAME", name);
        command.env("KEYWARD_STORE_LEASE_S", "3");
        sandbox.serve_by(command)
    };
    let one = named("web-1", "one");
    let other = named("web-2", "two");
    let list = || sandbox.run(&["replica", "list", "--data-dir", "one"]).ok();
    let lines = list();
    let lines: Vec<&str> = lines.lines().collect();
    assert!(lines[1].starts_with("web-1 (asked)") && lines[2].starts_with("web-2  "), "{lines:?}");
    other.signal(Signal::STOP);
    let arguments = ["access-key", "regenerate", "primary", "--yes", "--data-dir", "one"];
    let done = sandbox.run(&arguments);
    assert!(done.err.contains("Waiting for web-2 (heard of "), "{done:?}");
    assert!(
        !done.err.contains("web-1") && done.err.contains("for a lease of 3s at most"),
        "{done:?}"
    );
    done.ok();
    assert!(!list().contains("web-2"), "it was dismissed");
    other.signal(Signal::CONT);
    // It asks for a lease anew as soon as it notices.
    until_ready_is(other.listen(), 200);
    while !list().contains("web-2") {}
    assert_eq!((one.stop(), other.stop()), (0, 0));
}

#[test]
fn the_only_process_on_the_embedded_store_is_listed_by_itself() {
    let sandbox = Sandbox::new();
    let _server = sandbox.serve();
    let listed = sandbox.run(&["replica", "list", "--json"]).ok();
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let [only] = listed["value"].as_array().unwrap().as_slice() else { panic!("{listed}") };
    assert!(only["thisOne"] == true && only["lease"].is_null() && only["id"].is_null(), "{only}");
}

/// Reads one number of the metrics.
#[track_caller]
fn metric(server: &Server, name: &str) -> f64 {
    let text = metrics(server, &server.token);
    assert_eq!(text.status, 200, "{text:?}");
    let line = text.body.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.and_then(|value| value.parse().ok())
        .unwrap_or_else(|| panic!("no {name} in {}", text.body))
}

fn metrics(server: &Server, token: &str) -> Answer {
    let head = format!(
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer \
         {token}\r\n\r\n"
    );
    raw(server.manage_listen(), head.as_bytes())
}

#[test]
fn a_replica_counts_what_it_admits_refuses_and_changes_and_tells_operators_alone() {
    let (sandbox, database) = place();
    let server = sandbox.serve_by(on_postgres(&sandbox, &database.url()));
    let key = sandbox.run(&["key", "issue", "-q"]).ok().trim().to_owned();
    assert_eq!(server.greet(&key), 200);
    assert_eq!(server.greet(&key), 200);
    assert_eq!(server.greet("kwk1_nonsense"), 401);
    sandbox.run(&["access-key", "regenerate", "primary", "--yes"]).ok();
    assert_eq!(server.greet(&key), 401);
    for (name, count) in [
        ("ready", 1.0),
        ("open_responses", 0.0),
        ("requests_admitted_total", 2.0),
        ("api_keys_accepted_total", 2.0),
        ("requests_refused_total{reason=\"malformed\"}", 1.0),
        ("requests_refused_total{reason=\"access_key_regenerated\"}", 1.0),
        ("change_wait_seconds_count", 1.0),
        ("changes_not_in_force_total{reason=\"not_yet\"}", 0.0),
        ("lease_renewals_total{result=\"failed\"}", 0.0),
        ("replicas_dismissed_total", 0.0),
    ] {
        assert_eq!(
            metric(&server, &format!("keyward_{name}")).to_bits(),
            f64::to_bits(count),
            "{name}"
        );
    }
    let revision = metric(&server, "keyward_revision_settled");
    assert!(revision > 0.0 && metric(&server, "keyward_revision_installed") >= revision);
    assert!(metric(&server, "keyward_lease_left_seconds") <= 1.0);
    assert!(metric(&server, "keyward_lease_renewals_total{result=\"granted\"}") >= 1.0);
    let text = metrics(&server, &server.token).body;
    assert!(text.ends_with("# EOF\n") && !text.contains("kwk1_"), "{text}");
    assert_eq!(metrics(&server, "kwo1_nobody").status, 401);
    assert_eq!(metrics(&server, &key).status, 401);
    assert_eq!(probe(server.listen(), "GET", "/metrics").status, 403);
}
