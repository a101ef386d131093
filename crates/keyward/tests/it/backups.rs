//! Backups, and what is restored from them.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use pg_harness::Cluster;
use serde_json::{Value, json};

use crate::harness::{Sandbox, Server};

const RESTORE: [&str; 4] = ["restore", "backup.jsonl", "--data-dir", "new"];
const KEPT: [&str; 2] = ["--keep-access-keys", "--revive-ended-keys"];

fn issue(sandbox: &Sandbox, label: &str) -> String {
    sandbox.run(&["key", "issue", "-q", "--label", label]).ok().trim().to_owned()
}

/// A data folder with nothing but the master key of the first one.
fn new_folder(sandbox: &Sandbox) {
    fs::create_dir(sandbox.path("new")).unwrap();
    sandbox.set_mode("new", 0o700);
    fs::copy(sandbox.path("tools/.keyward/master-key"), sandbox.path("new/master-key")).unwrap();
}

fn serve_new(sandbox: &Sandbox) -> Server {
    // Where the first one was, so that every command finds it.
    fs::rename(sandbox.path("tools/.keyward"), sandbox.path("old")).unwrap();
    fs::rename(sandbox.path("new"), sandbox.path("tools/.keyward")).unwrap();
    sandbox.serve()
}

fn register(sandbox: &Sandbox) -> Vec<Value> {
    let list = sandbox.run(&["key", "list", "--json", "--limit", "1000"]).ok();
    let list: Value = serde_json::from_str(&list).unwrap();
    list["value"].as_array().unwrap().clone()
}

#[test]
fn a_backup_taken_under_load_restores_to_a_register_of_keys_that_are_refused() {
    let sandbox = Sandbox::new();
    let server = sandbox.serve();
    let key = issue(&sandbox, "of before");
    let (done, calls, changes) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let until = |count: &AtomicUsize, more: usize| {
        let wanted = count.load(Ordering::SeqCst) + more;
        while count.load(Ordering::SeqCst) < wanted {
            std::thread::yield_now();
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                assert_eq!(server.greet(&key), 200);
                calls.fetch_add(1, Ordering::SeqCst);
            }
        });
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                let body = json!({ "keyType": "secondary" });
                assert_eq!(server.manage("regenerateMcpServerAccessKey", &body).status, 200);
                let issued = server.manage("listMcpServerUrl?getApikey=true", &json!({}));
                assert_eq!(issued.status, 200);
                changes.fetch_add(1, Ordering::SeqCst);
            }
        });
        until(&changes, 5);
        let told = sandbox.run(&["backup", "backup.jsonl"]).ok();
        assert!(told.contains("no master key"), "{told}");
        until(&changes, 5);
        until(&calls, 5);
        done.store(true, Ordering::SeqCst);
    });
    assert_eq!(sandbox.mode("backup.jsonl"), 0o600);
    let text = sandbox.read("backup.jsonl");
    let master_key = sandbox.read("tools/.keyward/master-key");
    assert!(
        !text.contains("kwk1_") && !text.contains("kwo1_") && !text.contains(master_key.trim())
    );
    assert_eq!(server.stop(), 0);

    new_folder(&sandbox);
    let told = sandbox.run(&RESTORE).ok();
    assert!(told.contains("were regenerated") && told.contains("app tools"), "{told}");
    sandbox.run(&RESTORE).failed(3, &["not empty", "number of rows of its table apps is 1"]);
    let server = serve_new(&sandbox);
    assert_eq!(server.greet(&key), 401);
    let rows = register(&sandbox);
    assert!(rows.iter().any(|row| row["label"] == "of before"), "{rows:?}");
    assert!(rows.iter().all(|row| row["state"] == "accessKeyRegenerated"), "{rows:?}");
    assert_eq!(server.greet(&issue(&sandbox, "new")), 200);
}

#[test]
fn keys_are_accepted_after_a_restore_only_if_that_is_said_twice() {
    let sandbox = Sandbox::new();
    let server = sandbox.serve();
    let (good, revoked) = (issue(&sandbox, "good"), issue(&sandbox, "revoked later"));
    let taken = sandbox.run(&["backup", "backup.jsonl", "--json"]).ok();
    let taken: Value = serde_json::from_str(&taken).unwrap();
    assert_eq!((&taken["apps"], &taken["revision"]), (&json!(1), &json!(1)));
    let id = register(&sandbox)[0]["id"].as_str().unwrap().to_owned();
    sandbox.run(&["key", "revoke", &id]).ok();
    assert_eq!((server.greet(&good), server.greet(&revoked)), (200, 401));
    assert_eq!(server.stop(), 0);
    new_folder(&sandbox);
    for one in KEPT {
        sandbox.run(&[&RESTORE[..], &[one]].concat()).failed(2, &KEPT);
    }
    let told = sandbox.run(&[&RESTORE[..], &KEPT].concat()).ok();
    assert!(told.contains("accepted again") && told.contains("no list shows them"), "{told}");
    let server = serve_new(&sandbox);
    assert_eq!((server.greet(&good), server.greet(&revoked)), (200, 200));
}

#[test]
fn keys_move_from_the_data_folder_to_postgresql_and_back_without_a_server() {
    let sandbox = Sandbox::new();
    let server = sandbox.serve();
    let key = issue(&sandbox, "moving");
    let direct = ["backup", "backup.jsonl", "--direct"];
    let folder = ["--data-dir", "tools/.keyward"];
    sandbox.run(&[&direct[..], &folder].concat()).failed(7, &["tools/.keyward"]);
    assert!(!sandbox.path("backup.jsonl").exists());
    assert_eq!(server.stop(), 0);
    sandbox.run(&[&direct[..], &folder].concat()).ok();

    let database = Cluster::shared().database();
    let url = database.url();
    fs::copy(sandbox.path("tools/.keyward/master-key"), sandbox.path("master-key")).unwrap();
    let store = ["--store-url", &url, "--master-key-file", "master-key"];
    let restore = [&["restore", "backup.jsonl"], &store[..], &KEPT].concat();
    let told = sandbox.run(&restore).ok();
    assert!(told.contains("postgres://"), "{told}");
    sandbox.run(&restore).failed(3, &["not empty"]);
    fs::rename(sandbox.path("tools/.keyward"), sandbox.path("first")).unwrap();
    let server = sandbox.serve_with(&store);
    assert_eq!(server.greet(&key), 200);
    sandbox
        .run(&[&direct[..], &["--force"], &store, &folder].concat())
        .failed(2, &["two stores are named", "--data-dir"]);
    // A replica that serves does not mind.
    sandbox.run(&[&direct[..], &["--force"], &store].concat()).ok();
    assert_eq!(server.greet(&key), 200);
    assert_eq!(server.stop(), 0);
    fs::remove_dir_all(sandbox.path("tools/.keyward")).unwrap();

    fs::create_dir(sandbox.path("new")).unwrap();
    sandbox.set_mode("new", 0o700);
    fs::copy(sandbox.path("master-key"), sandbox.path("new/master-key")).unwrap();
    sandbox.run(&[&RESTORE[..], &KEPT].concat()).ok();
    fs::rename(sandbox.path("new"), sandbox.path("tools/.keyward")).unwrap();
    assert_eq!(sandbox.serve().greet(&key), 200);
}

#[test]
fn a_backup_replaces_nothing_and_leaves_nothing_where_it_fails() {
    let sandbox = Sandbox::new();
    let server = sandbox.serve();
    sandbox.write("backup.jsonl", "mine");
    symlink("nowhere", sandbox.path("link")).unwrap();
    for file in ["backup.jsonl", "link", "tools"] {
        sandbox.run(&["backup", file]).failed(3, &[file, "--force"]);
    }
    assert_eq!(sandbox.read("backup.jsonl"), "mine");
    sandbox.run(&["backup", "none/backup"]).failed(1, &["cannot write none/backup"]);
    drop(UnixListener::bind(sandbox.path("socket")).unwrap());
    for (name, words) in [("tools", "no file"), ("link", "a link"), ("socket", "no file")] {
        sandbox.run(&["backup", name, "--force"]).failed(3, &[words, "never replaced"]);
        assert!(!sandbox.path(name).symlink_metadata().unwrap().is_file());
    }
    let mut reader = sandbox.command(&["backup", "other"]);
    reader.env("KEYWARD_TOKEN", "kwo1_none");
    reader.env("KEYWARD_MANAGE_URL", format!("http://{}", server.manage_listen()));
    sandbox.run_with(reader, "").failed(5, &["InvalidAuthenticationToken"]);
    sandbox.run(&["backup", "backup.jsonl", "--force"]).ok();
    assert!(sandbox.read("backup.jsonl").starts_with("{\"keywardBackup\":1,"));
    let mut names: Vec<String> = fs::read_dir(sandbox.path("."))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["backup.jsonl", "home", "link", "socket", "tools"]);
    drop(server);
    sandbox.run(&["backup", "other"]).failed(4, &["keyward serve"]);
}

#[test]
fn what_is_no_backup_is_refused_before_anything_is_written() {
    let sandbox = Sandbox::new();
    let server = sandbox.serve();
    sandbox.run(&["backup", "whole"]).ok();
    assert_eq!(server.stop(), 0);
    let whole = sandbox.read("whole");
    let restore = |file: &str| sandbox.run(&["restore", file, "--data-dir", "new"]);
    restore("whole").failed(3, &["new has no master key", "mkdir -m 700"]);
    assert!(!sandbox.path("new").exists());
    sandbox.run(&["restore", "whole"]).failed(2, &["--data-dir", "--store-url"]);

    new_folder(&sandbox);
    let cut = whole.get(..whole.len() - 100).unwrap();
    let altered = whole.replace("\"tools\"", "\"toolz\"");
    for (text, words) in [
        ("", "it is empty"),
        ("PK\u{3}\u{4}", "no backup of Keyward"),
        (cut, "it was cut off"),
        (&altered, "damaged"),
        ("{\"keywardBackup\":9}\n", "version 9"),
    ] {
        sandbox.write("bad", text);
        restore("bad").failed(3, &["bad cannot be restored, and nothing was changed", words]);
    }
    restore("none").failed(1, &["cannot read none"]);
    restore("tools").failed(3, &["tools is no file"]);
    sandbox.run(&["master-key", "another"]).ok();
    sandbox.run(&["restore", "whole", "--data-dir", "new", "--master-key-file", "another"]).failed(
        3,
        &["whole needs another master key", "access key of app tools does not open, since"],
    );
    let names: Vec<_> = fs::read_dir(sandbox.path("new")).unwrap().collect();
    assert_eq!(names.len(), 1, "{names:?}");
    restore("whole").ok();
}
