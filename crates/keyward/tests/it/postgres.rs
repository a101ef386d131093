//! Serving from PostgreSQL.

mod statements;

use std::process::Command;

use pg_harness::{Cluster, Database, Ending};
use serde_json::json;

use crate::harness::{Sandbox, Server};

/// An app, a database and a master key.
struct Place {
    sandbox: Sandbox,
    database: Database<'static>,
}

impl Place {
    fn new() -> Self {
        Self::on(Cluster::shared().database())
    }

    fn on(database: Database<'static>) -> Self {
        let sandbox = Sandbox::new();
        sandbox.run(&["master-key", "master-key"]).ok();
        Self { sandbox, database }
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut command = self.sandbox.serve_command(more);
        command.args(["--master-key-file", "master-key", "--store-url", &self.database.url()]);
        command.env("KEYWARD_STORE_LEASE_S", "2");
        command
    }

    fn serve(&self) -> Server {
        self.sandbox.serve_by(self.command(&[]))
    }

    fn issue(&self) -> String {
        self.sandbox.run(&["key", "issue", "-q"]).ok().trim().to_owned()
    }
}

#[test]
fn keys_and_what_was_ended_outlive_the_process_and_its_data_folder() {
    let place = Place::new();
    let server = place.serve();
    let (ended, good) = (place.issue(), place.issue());
    assert_eq!((server.greet(&ended), server.greet(&good)), (200, 200));
    let id = place.sandbox.run(&["key", "list", "--json"]).ok();
    let id: serde_json::Value = serde_json::from_str(&id).unwrap();
    // Newest first: the second one listed was issued first.
    let id = id["value"][1]["id"].as_str().unwrap();
    place.sandbox.run(&["key", "revoke", id]).ok();
    assert_eq!((server.greet(&ended), server.greet(&good)), (401, 200));
    let token = server.token.clone();
    assert_eq!(server.stop(), 0);
    assert!(!place.sandbox.path("tools/.keyward/keyward.db").exists());

    std::fs::remove_dir_all(place.sandbox.path("tools/.keyward")).unwrap();
    let server = place.serve();
    assert_eq!(server.token, token, "the operator's token is the database's");
    assert_eq!((server.greet(&ended), server.greet(&good)), (401, 200));
    place.sandbox.run(&["access-key", "regenerate", "primary", "--yes"]).ok();
    assert_eq!(server.greet(&good), 401);
    assert_eq!(server.stop(), 0);
}

#[test]
fn what_one_process_ends_is_ended_in_the_other_when_it_answers() {
    let place = Place::new();
    let one = place.serve();
    let mut other = place.sandbox.serve_by(place.command(&["--data-dir", "other"]));
    let key = place.sandbox.run(&["key", "issue", "-q", "--data-dir", "tools/.keyward"]).ok();
    let key = key.trim();
    assert_eq!((one.greet(key), other.greet(key)), (200, 200));
    // One operator's token holds on both.
    let regenerate = |server: &Server| {
        let body = json!({ "keyType": "primary" });
        server.manage_as(&one.token, "regenerateMcpServerAccessKey", &body).status
    };
    assert_eq!(regenerate(&other), 200);
    assert_eq!((one.greet(key), other.greet(key)), (401, 401));
    // One that is killed is waited for, and holds up nobody after that.
    other.kill();
    assert_eq!(regenerate(&one), 200);
    assert_eq!(regenerate(&one), 200);
}

#[test]
fn a_database_that_restarts_is_found_again() {
    let cluster = Cluster::start(pg_harness::Durability::None, &[]);
    let database = cluster.database();
    let sandbox = Sandbox::new();
    sandbox.run(&["master-key", "master-key"]).ok();
    let url = database.url();
    let server =
        sandbox.serve_with(&["--master-key-file", "master-key", "--store-url", url.as_str()]);
    let key = sandbox.run(&["key", "issue", "-q"]).ok().trim().to_owned();
    for ending in [Ending::Fast, Ending::Crash] {
        cluster.restart(ending);
        // What was open is gone, and opened anew.
        let answer =
            server.manage("regenerateMcpServerAccessKey", &json!({ "keyType": "secondary" }));
        assert_eq!(answer.status, 200, "{answer:?}\n{}", server.log.text());
        assert_eq!(server.greet(&key), 200);
    }
    assert_eq!(server.stop(), 0);
}

#[test]
fn a_master_key_must_be_given() {
    let place = Place::new();
    let url = place.database.url();
    let without = place.sandbox.serve_command(&["--store-url", &url]);
    let refused = place.sandbox.run_with(without, "");
    let words = ["--store-url", "keyward master-key", "--master-key-file", "KEYWARD_MASTER_KEY"];
    refused.failed(3, &words);
    assert!(!place.sandbox.path("tools/.keyward/master-key").exists());

    drop(place.serve());
    place.sandbox.run(&["master-key", "another"]).ok();
    assert_eq!(place.sandbox.mode("another"), 0o600);
    place.sandbox.run(&["master-key", "another"]).failed(3, &["another is there already"]);
    let arguments = ["--store-url", url.as_str(), "--master-key-file", "another"];
    let refused = place.sandbox.run_with(place.sandbox.serve_command(&arguments), "");
    refused.failed(3, &["cannot be opened", "--master-key-file"]);
}

#[test]
fn a_password_is_neither_taken_on_the_command_line_nor_shown_anywhere() {
    let sandbox = Sandbox::empty();
    sandbox.run(&["master-key", "master-key"]).ok();
    let url = "postgres://ada:s3cret@127.0.0.1:1/keyward";
    for arguments in [&["serve", "tools", "--store-url", url][..], &["config", "show", url]] {
        let refused = sandbox.run(arguments);
        refused.failed(2, &["on the command line", "KEYWARD_STORE_PASSWORD_FILE"]);
        assert!(!refused.err.contains("s3cret"), "{refused:?}");
    }
    sandbox.write("keyward.toml", &format!("[store]\nurl = \"{url}\"\nmax_connections = 1\n"));
    let check = |also: &[&str]| {
        let arguments = [&["--config", "keyward.toml", "config", "show"], also].concat();
        let mut command = sandbox.command(&arguments);
        command.env("PATH", std::env::var_os("PATH").unwrap());
        sandbox.run_with(command, "")
    };
    let refused = check(&[]);
    let words = ["keyward.toml:2:7", "chmod 640", "master key", "keyward.toml:3:19", "2 or more"];
    refused.failed(3, &words);
    assert!(!refused.err.contains("s3cret"), "{refused:?}");
    sandbox.write("keyward.toml", &format!("[store]\nurl = \"{url}\"\nmax_connections = 20\n"));
    sandbox.set_mode("keyward.toml", 0o640);
    let shown = check(&["--master-key-file", "master-key"]).ok();
    assert!(shown.contains("postgres://ada:REDACTED@127.0.0.1:1/keyward"), "{shown}");
    assert!(shown.contains("store.max_connections = 20") && !shown.contains("s3cret"), "{shown}");
}

#[test]
fn a_database_that_cannot_be_reached_is_told_without_the_password() {
    let sandbox = Sandbox::new();
    sandbox.run(&["master-key", "master-key"]).ok();
    sandbox.write("password", "s3cret");
    sandbox.set_mode("password", 0o600);
    let mut command = sandbox.serve_command(&["--master-key-file", "master-key", "--log", "trace"]);
    command.env("KEYWARD_STORE_URL", "postgres://ada@127.0.0.1:1/keyward");
    command.env("KEYWARD_STORE_PASSWORD_FILE", "password");
    let refused = sandbox.run_with(command, "");
    let place = "cannot open the store in postgres://ada:REDACTED@127.0.0.1:1/keyward: ";
    refused.failed(1, &[place]);
    assert_eq!(refused.err.matches("Connection refused").count(), 1, "{refused:?}");
    assert!(!refused.err.contains("s3cret"), "{refused:?}");
    sandbox.set_mode("password", 0o644);
    let mut command = sandbox.serve_command(&["--master-key-file", "master-key"]);
    command.env("KEYWARD_STORE_URL", "postgres://ada@127.0.0.1:1/keyward");
    command.env("KEYWARD_STORE_PASSWORD_FILE", "password");
    sandbox.run_with(command, "").failed(3, &["chmod 640"]);
}

#[test]
fn an_access_key_that_a_replica_does_not_decide_by_yet_is_listed_with_that_replica() {
    let place = Place::new();
    let _server = place.serve();
    let list = || place.sandbox.run(&["access-key", "list"]).ok();
    assert!(list().lines().skip(1).all(|line| line.ends_with("  yes")), "{}", list());
    place.database.run(
        "INSERT INTO replicas VALUES ('b', 1, 1000, 0, 'old', 'web-2', '1', \
         (EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::bigint - 7200000)",
    );
    let lagging = "not on web-2 (at revision 0, heard of 2h";
    assert!(list().lines().skip(1).all(|line| line.contains(lagging)), "{}", list());
    let json: serde_json::Value =
        serde_json::from_str(&place.sandbox.run(&["access-key", "list", "--json"]).ok()).unwrap();
    let row = &json["value"][0];
    assert_eq!((&row["inForce"], &row["lagging"][0]["id"]), (&json!(false), &json!("b")));
    // The next change waits for it once, and dismisses it.
    place.sandbox.run(&["access-key", "regenerate", "primary", "--yes"]).ok();
    assert!(list().lines().skip(1).all(|line| line.ends_with("  yes")), "{}", list());
}
