//! Deploying into the folder that an app is served from.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use crate::harness::{Sandbox, Server, files_below};

const ARTIFACTS: &str = "deployWorkflowArtifacts";
const JOURNAL: &str = "tools/.keyward/deployment.journal";

fn issue(sandbox: &Sandbox) -> String {
    sandbox.run(&["key", "issue", "-q"]).ok().trim().to_owned()
}

fn greeting(server: &Server, key: &str) -> String {
    server.tool(key, "Greet", &json!({ "name": "Ada" })).body
}

/// The workflow `Greet`, with another greeting.
fn greet(sandbox: &Sandbox, text: &str) -> Value {
    let workflow = sandbox.read("tools/Greet/workflow.json").replace("'Hi '", &format!("'{text}'"));
    json!({ "files": { "Greet/workflow.json": workflow } })
}

#[test]
fn artifacts_are_written_into_the_folder_and_served_when_the_call_returns() {
    let sandbox = Sandbox::new();
    let server = sandbox.serve();
    let key = issue(&sandbox);
    let mut body = greet(&sandbox, "Servus ");
    let copy: Value = serde_json::from_str(&sandbox.read("tools/SplitBill/workflow.json")).unwrap();
    body["files"]["Another/workflow.json"] = copy;
    body["appSettings"] = json!({ "COLOUR": "blue" });
    let answer = server.manage(ARTIFACTS, &body);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(
        answer.json()["changed"],
        json!(["Another/workflow.json", "Greet/workflow.json", "local.settings.json"])
    );
    assert!(answer.json().get("version").is_none());
    assert!(greeting(&server, &key).contains("Servus Ada!"));
    assert!(sandbox.read("tools/Greet/workflow.json").contains("'Servus '"));
    assert!(sandbox.read("tools/local.settings.json").contains("blue"));
    assert_eq!(sandbox.mode("tools/local.settings.json"), 0o600);
    assert!(!sandbox.path(JOURNAL).exists());
    // One that does not hold, or leads out of the folder, changes nothing.
    std::os::unix::fs::symlink(sandbox.path("home"), sandbox.path("tools/Linked")).unwrap();
    let (before, good) =
        (sandbox.read("tools/host.json"), sandbox.read("tools/Greet/workflow.json"));
    for (path, text, words) in [
        ("Greet/workflow.json", "{", "Greet/workflow.json:1:"),
        ("../Greet/workflow.json", "{}", "is not a file of an app"),
        ("Linked/workflow.json", &good, "Linked is a link"),
        ("mcp.json", "{}", "deploy the whole app"),
    ] {
        let body = json!({ "files": { "host.json": "{}", path: text } });
        let answer = server.manage(ARTIFACTS, &body);
        assert_eq!((answer.status, answer.body.contains(words)), (400, true), "{path}: {answer:?}");
    }
    assert_eq!(sandbox.read("tools/host.json"), before);
    assert!(greeting(&server, &key).contains("Servus Ada!"));
}

#[test]
fn a_whole_folder_is_deployed_into_another_one() {
    let sandbox = Sandbox::new();
    sandbox.run(&["init", "newer/tools"]).ok();
    sandbox.edit("newer/tools/Greet/workflow.json", "'Hi '", "'Later '");
    fs::remove_file(sandbox.path("newer/tools/SplitBill/workflow.json")).unwrap();
    sandbox.write(
        "newer/tools/mcpservers.json",
        r#"{"mcpServers": [{"name": "first", "tools": [{"name": "Greet"}]}]}"#,
    );
    let server = sandbox.serve();
    let key = issue(&sandbox);
    sandbox.run(&["deploy", "newer/tools"]).ok();
    assert!(greeting(&server, &key).contains("Later Ada!"));
    assert!(!sandbox.path("tools/SplitBill").exists(), "a folder without a workflow goes");
    sandbox
        .run(&["deploy", "newer/tools", "--app", "other"])
        .failed(1, &["serve without a folder"]);
    sandbox.run(&["deploy", "--rollback"]).failed(1, &["keeps no versions"]);
    assert!(sandbox.run(&["deploy", "--list"]).ok().contains("served from a folder"));
}

/// The journal that a crash of `serve FOLDER` leaves, which is served as the app `tools`.
fn journal(sandbox: &Sandbox, folder: &str, write: &Value, remove: &[&str]) -> Value {
    let folder = fs::canonicalize(sandbox.path(folder)).unwrap();
    json!({
        "layout": 2,
        "of": { "folder": folder, "app": "tools" },
        "write": write,
        "remove": remove,
        "record": { "id": "01941f29-7c00-7d2c-a4c2-6f2f0b2f1f7e", "by": "ada", "note": {
            "operation": "deployWorkflowArtifacts", "restores": null, "authentication": "ApiKey",
            "widensAuthentication": false, "changed": ["Greet/workflow.json"],
        } },
    })
}

#[test]
fn a_deployment_that_was_interrupted_is_finished_before_the_folder_is_read() {
    let sandbox = Sandbox::new();
    let server = sandbox.serve();
    let key = issue(&sandbox);
    assert_eq!(server.stop(), 0);
    let workflow = sandbox.read("tools/Greet/workflow.json").replace("'Hi '", "'Found '");
    let write = json!({ "Greet/workflow.json": workflow, "connections.json": "{}" });
    let journal = journal(&sandbox, "tools", &write, &["SplitBill/workflow.json"]);
    // Half of it was in its place already.
    sandbox.write("tools/connections.json", "{}");
    sandbox.write(JOURNAL, &journal.to_string());
    let server = sandbox.serve();
    server
        .log
        .wait_for(0, "Finished a deployment of ada that was interrupted: Greet/workflow.json");
    assert!(greeting(&server, &key).contains("Found Ada!"));
    assert!(!sandbox.path(JOURNAL).exists() && !sandbox.path("tools/SplitBill").exists());
    assert_eq!(server.stop(), 0);
    // A journal that this version cannot read is nobody's to throw away.
    let older = json!({ "layout": 1, "write": { "host.json": "{}" } });
    for text in ["{\"layout\": 9}", "", "{\"layout\": 2", &older.to_string()] {
        sandbox.write(JOURNAL, text);
        let refused = sandbox.run_with(sandbox.serve_command(&[]), "");
        refused.failed(3, &["deployment.journal, ", "Nothing was changed"]);
        assert_eq!(sandbox.read(JOURNAL), text);
    }
}

#[test]
fn a_deployment_that_was_interrupted_is_finished_into_its_own_folder_alone() {
    let sandbox = Sandbox::new();
    sandbox.run(&["init", "other"]).ok();
    let data = ["--data-dir", "data"];
    assert_eq!(sandbox.serve_with(&data).stop(), 0);
    let files = || ["tools", "other"].map(|app| files_below(&sandbox.path(app)));
    let before = files();
    let write =
        json!({ "host.json": sandbox.read("tools/host.json").replace("ApiKey", "Anonymous") });
    let journal = journal(&sandbox, "tools", &write, &["mcpservers.json"]);
    sandbox.write("data/deployment.journal", &journal.to_string());
    // As another app, and with another app's name.
    let folder = fs::canonicalize(sandbox.path("tools")).unwrap().display().to_string();
    let other = sandbox.run(&["serve", "other", "--data-dir", "data"]);
    other.failed(3, &[&folder, "the app tools", "/other: nothing was changed", "link to it"]);
    let named = ["--data-dir", "data", "--app-name"];
    for (dir, name, words) in
        [("other", "tools", "/other: nothing was changed"), ("tools", "x", "--app-name tools")]
    {
        let arguments = [&["serve", dir], &named[..], &[name]].concat();
        sandbox.run(&arguments).failed(3, &[words, "nothing was changed"]);
    }
    assert_eq!(files(), before);
    // One that was moved is finished as the message says.
    fs::rename(sandbox.path("tools"), sandbox.path("moved")).unwrap();
    sandbox
        .run(&["serve", "moved", "--data-dir", "data"])
        .failed(3, &["/moved: nothing was changed", "move it back", "link to it"]);
    std::os::unix::fs::symlink(sandbox.path("moved"), &folder).unwrap();
    sandbox
        .run(&["serve", "moved", "--data-dir", "data"])
        .failed(3, &["--app-name tools", "nothing was changed"]);
    let mut command = sandbox.command(&["serve", "moved", "--json", "--data-dir", "data"]);
    command.args(["--app-name", "tools", "--listen", "127.0.0.1:0"]);
    command.args(["--manage-listen", "127.0.0.1:0"]);
    let server = sandbox.serve_by(command);
    server.log.wait_for(0, "Finished a deployment of ada that was interrupted");
    assert!(sandbox.read("moved/host.json").contains("Anonymous"));
    assert!(!sandbox.path("data/deployment.journal").exists());
    assert!(!sandbox.path("moved/mcpservers.json").exists());
}

#[test]
fn a_deployment_is_finished_once_and_later_edits_stay() {
    let sandbox = Sandbox::new();
    let server = sandbox.serve();
    let key = issue(&sandbox);
    assert_eq!(server.stop(), 0);
    let workflow = sandbox.read("tools/Greet/workflow.json");
    let write = json!({ "Greet/workflow.json": workflow.replace("'Hi '", "'Found '") });
    let journal = journal(&sandbox, "tools", &write, &["SplitBill/workflow.json"]);
    sandbox.write(JOURNAL, &journal.to_string());
    // The files are in their places, and nothing else comes to its end.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    sandbox.run(&["serve", "tools", "--listen", &address]).failed(7, &[&address]);
    sandbox.edit("tools/Greet/workflow.json", "'Found '", "'Edited '");
    sandbox.write("tools/SplitBill/workflow.json", &workflow);
    let server = sandbox.serve();
    server.log.wait_for(0, "Finished a deployment of ada that was interrupted");
    assert!(greeting(&server, &key).contains("Edited Ada!"));
    assert_eq!(sandbox.read("tools/SplitBill/workflow.json"), workflow);
    assert!(!sandbox.path(JOURNAL).exists());
}

#[test]
fn a_process_that_is_killed_while_it_writes_leaves_all_files_or_none() {
    let sandbox = Sandbox::new();
    let mut server = sandbox.serve();
    let workflow = sandbox.read("tools/Greet/workflow.json");
    let paths: Vec<String> = (0..20).map(|at| format!("Tool{at}/workflow.json")).collect();
    let mut outcomes = BTreeSet::new();
    for round in 0..8_u32 {
        let text = workflow.replace("'Hi '", &format!("'Round {round} '"));
        let files = paths.iter().map(|path| (path.clone(), Value::String(text.clone())));
        let files: Value = files.collect();
        let body = json!({ "files": files });
        let answered = std::thread::scope(|scope| {
            let server_now = &server;
            let posting = scope.spawn(|| server_now.manage(ARTIFACTS, &body).status);
            // Another moment each time: once so many files of this round are there.
            let there = || {
                let is_new = |path: &&String| {
                    let text = fs::read_to_string(sandbox.path("tools").join(path));
                    text.is_ok_and(|text| text.contains(&format!("Round {round} ")))
                };
                paths.iter().filter(is_new).count()
            };
            let wanted = usize::try_from(round).unwrap() * 3;
            let is_begun = || sandbox.path(JOURNAL).with_extension("journal.new").exists();
            while !posting.is_finished()
                && (wanted == 0 && !is_begun() || there() < wanted.min(paths.len()))
            {
                std::thread::yield_now();
            }
            server_now.signal(rustix::process::Signal::KILL);
            posting.join().unwrap()
        });
        server.wait();
        server = sandbox.serve();
        let rounds: BTreeSet<bool> = paths
            .iter()
            .map(|path| {
                let text = fs::read_to_string(sandbox.path("tools").join(path));
                text.is_ok_and(|text| text.contains(&format!("Round {round} ")))
            })
            .collect();
        assert_eq!(rounds.len(), 1, "some files are of round {round} and some are not");
        let is_new = rounds.contains(&true);
        assert!(is_new || answered != 200, "what was answered is gone");
        outcomes.insert(is_new);
    }
    assert!(outcomes.contains(&true));
}
