//! An editor's mcp.json, served.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{Answer, Sandbox, Server};

const FILE: &str = ".vscode/mcp.json";

/// An MCP server that exists: another Keyward, behind a key of its own.
struct Existing {
    _sandbox: Sandbox,
    server: Server,
    key: String,
}

impl Existing {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let server = sandbox.serve();
        let key = sandbox.run(&["key", "issue", "-q"]).ok().trim().to_owned();
        Self { _sandbox: sandbox, server, key }
    }

    fn url(&self) -> String {
        format!("http://{}/api/mcpservers/first/mcp", self.server.listen())
    }
}

fn file(url: &str) -> String {
    format!(
        r#"{{
  // The key is asked for, and never written down.
  "inputs": [{{ "type": "promptString", "id": "desk-key", "password": true }}],
  "servers": {{
    "Help Desk": {{ "type": "http", "url": "{url}", "headers": {{ "X-API-Key": "${{input:desk-key}}" }} }},
  }},
}}"#
    )
}

fn serve(sandbox: &Sandbox, more: &[&str]) -> Command {
    let start = ["serve", "--mcp-json", FILE, "--listen", "127.0.0.1:0"];
    let ports = ["--manage-listen", "127.0.0.1:0"];
    sandbox.command(&[&start[..], &ports, more].concat())
}

fn list_tools(server: &Server, key: &str) -> Answer {
    let header = format!("X-API-Key: {key}\r\n");
    server.mcp_on("/api/mcpservers/help-desk/mcp", &header, "tools/list", &json!({}))
}

#[test]
fn the_servers_of_an_editors_file_are_served_behind_keys() {
    let existing = Existing::new();
    let sandbox = Sandbox::empty();
    sandbox.write(FILE, &file(&existing.url()));
    let mut command = serve(&sandbox, &["--json"]);
    command.env("KEYWARD_INPUT_DESK_KEY", &existing.key);
    let server = sandbox.serve_by(command);
    assert_eq!(server.ready["app"], "mcp");
    let data = sandbox.path(".vscode").canonicalize().unwrap().join(".keyward");
    assert_eq!(server.ready["dataDir"], data.to_str().unwrap());

    let issued = sandbox.run(&["key", "issue", "-q", "--server", "Help-Desk"]).ok();
    let key = issued.trim();
    let listed = list_tools(&server, key);
    assert_eq!(listed.status, 200, "{listed:?}");
    assert!(listed.body.contains("SplitBill"), "{listed:?}");
    assert_eq!(list_tools(&server, &existing.key).status, 401);
    assert_eq!(list_tools(&server, "").status, 401);
    assert!(sandbox.run(&["server", "list"]).ok().contains("/api/mcpservers/Help-Desk/mcp"));
    assert!(!server.log.text().contains(&existing.key));
}

#[test]
fn what_is_ready_says_how_each_server_is_reached_and_no_value() {
    let sandbox = Sandbox::empty();
    sandbox.write(
        FILE,
        r#"{"servers":{
            "web":{"url":"https://a.example/hidden?q=hidden","headers":{"X":"hidden"}},
            "shell":{"command":"hidden","args":["hidden"],"env":{"E":"hidden"}},
            "away":{"command":"hidden","disabled":true},
            "My Server":{"command":"hidden"},
            "lost":{"command":"hidden","args":["${NOT_SET}"]}}}"#,
    );
    let mut command = serve(&sandbox, &[]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut text = String::new();
    for line in lines {
        text.push_str(&line);
        text.push('\n');
        if line.ends_with("Ctrl-C ends this.") {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let after = |start: &str| {
        let line = text.lines().skip_while(|line| !line.starts_with(start)).nth(1).unwrap_or("");
        line.trim().to_owned()
    };
    assert!(text.starts_with("Keyward serves the app mcp from .vscode/mcp.json\n"), "{text}");
    assert_eq!(after("  web "), "over HTTP, all its tools", "{text}");
    assert_eq!(after("  shell "), "child process, all its tools", "{text}");
    assert_eq!(after("  My-Server "), "`My Server` in mcp.json, child process, all its tools");
    assert!(!text.contains("is served as"), "{text}");
    assert!(text.contains(" key issue --server My-Server\n"), "one that is enabled: {text}");
    assert!(text.lines().any(|line| line.starts_with("  away ") && line.ends_with("(disabled)")));
    assert!(text.contains("mcp.json server `lost`: the variable `NOT_SET` is not set"), "{text}");
    assert!(text.contains("Edit .vscode/mcp.json and it is served at once"), "{text}");
    assert!(!text.contains("hidden") && !text.contains("every workflow"), "{text}");
}

#[test]
fn an_edit_of_the_file_is_served_and_a_broken_one_keeps_the_last_good_state() {
    let existing = Existing::new();
    let sandbox = Sandbox::empty();
    sandbox.write(FILE, &file(&existing.url()));
    sandbox.write("key", &format!("{}\n", existing.key));
    let mut command = serve(&sandbox, &["--json"]);
    command.env("KEYWARD_INPUT_DESK_KEY_FILE", sandbox.path("key"));
    let server = sandbox.serve_by(command);
    let key = sandbox.run(&["key", "issue", "-q"]).ok().trim().to_owned();
    assert_eq!(list_tools(&server, &key).status, 200);

    let lines = server.log.len();
    sandbox.edit(FILE, "\"servers\": {", "\"servers\": { \"more\": { \"command\": \"cat\" },");
    server.log.wait_for(lines, "server more added");
    let lines = server.log.len();
    sandbox.edit(FILE, "\"cat\"", "\"cat\", \"disabled\": true");
    server.log.wait_for(lines, "server more disabled");
    let lines = server.log.len();
    sandbox.edit(FILE, "\"cat\"", "\"tac\"");
    server.log.wait_for(lines, "server more leads elsewhere");

    let lines = server.log.len();
    sandbox.edit(FILE, "\"url\": ", "\"command\": 7, \"url\": ");
    server.log.wait_for(lines, "the last state that did stays in force");
    server.log.wait_for(lines, "mcp.json:5:");
    assert_eq!(list_tools(&server, &key).status, 200);

    let lines = server.log.len();
    sandbox.edit(FILE, "\"command\": 7, ", "");
    server.log.wait_for(lines, "as it was served all along");
    let lines = server.log.len();
    std::fs::remove_file(sandbox.path(FILE)).unwrap();
    server.log.wait_for(lines, "there is no file .vscode/mcp.json");
    assert_eq!(list_tools(&server, &key).status, 200);

    sandbox.write(FILE, &file(&existing.url()));
    server.log.wait_for(lines, "server more removed");
    // A renewed value is read with the file, or when the operator says so.
    let lines = server.log.len();
    sandbox.write("key", "renewed");
    server.signal(Signal::HUP);
    server.log.wait_for(lines, "server Help-Desk leads elsewhere");
    assert!(!server.log.text().contains(&existing.key));
}

#[test]
fn a_server_is_listed_and_named_as_the_file_has_it_whether_or_not_it_is_served() {
    let existing = Existing::new();
    let sandbox = Sandbox::empty();
    sandbox.write(FILE, &file(&existing.url()));
    let lost = r#""servers": { "lost": { "command": "x", "args": ["${NOT_SET}"] },"#;
    sandbox.edit(FILE, "\"servers\": {", lost);
    let mut command = serve(&sandbox, &["--json"]);
    command.env("KEYWARD_INPUT_DESK_KEY", &existing.key);
    let server = sandbox.serve_by(command);
    server.log.wait_for(0, "The server `Help Desk` of mcp.json is served as Help-Desk");

    let listed = sandbox.run(&["server", "list"]).ok();
    assert!(listed.contains("\n  upstream over HTTP, `Help Desk` in mcp.json\n"), "{listed}");
    let reason = "the variable `NOT_SET` is not set: set it where Keyward runs";
    assert!(listed.ends_with(&format!("\n\nlost (left out)\n  {reason}\n")), "{listed}");
    let listed = sandbox.run(&["server", "list", "--json"]).ok();
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed["leftOut"], json!([{ "name": "lost", "reason": reason }]));
    assert_eq!(listed["value"][0]["upstream"]["name"], "Help Desk");

    let issue = |more: &[&str]| sandbox.run(&[&["key", "issue"], more].concat());
    let issued = issue(&["--server", "Help Desk", "--scope", "Help Desk/Greet"]).ok();
    assert!(issued.contains("\nreaches  help-desk/Greet\n"), "{issued}");
    assert!(issued.starts_with("URL      http://127.0.0.1:"), "{issued}");
    assert!(issued.contains("/api/mcpservers/Help-Desk/mcp\n"), "{issued}");
    let key = issue(&["-q", "--scope", "Help Desk/Greet"]).ok();
    let tools = list_tools(&server, key.trim());
    assert!(tools.body.contains("Greet") && !tools.body.contains("SplitBill"), "{tools:?}");

    issue(&["--server", "lost"]).failed(6, &["mcp.json has it, and it is left out", "NOT_SET"]);
    issue(&["--server", "helpdesc"]).failed(6, &["Did you mean Help-Desk?"]);
    issue(&["--scope", "hepl desk"]).failed(2, &["--scope", "did you mean 'hepl-desk'?"]);
    issue(&["--scope", "hepl-desk"]).failed(6, &["Did you mean Help-Desk?"]);
    sandbox
        .run(&["key", "narrow", "--scope", "Help Desk/Greet"])
        .failed(2, &["did you mean 'Help-Desk/Greet'?"]);
}

#[test]
fn an_app_folder_has_upstreams_beside_its_workflows() {
    let existing = Existing::new();
    let sandbox = Sandbox::new();
    sandbox.write("tools/mcp.json", &file(&existing.url()));
    sandbox.edit(
        "tools/mcpservers.json",
        "\"mcpServers\": [",
        "\"mcpServers\": [{\"name\": \"Help Desk\", \"description\": \"Bills\", \"tools\": [{\"name\": \"Greet\"}, {\"name\": \"SplitBill\"}, {\"name\": \"Other\"}]},",
    );
    let mut command = sandbox.serve_command(&[]);
    command.env("KEYWARD_INPUT_DESK_KEY", &existing.key);
    let server = sandbox.serve_by(command);
    let key = sandbox.run(&["key", "issue", "-q"]).ok().trim().to_owned();
    assert_eq!(server.greet(&key), 200);
    let lines = server.log.len();
    sandbox.edit("tools/mcpservers.json", "{\"name\": \"Other\"}", "{\"name\": \"Another\"}");
    server.log.wait_for(lines, "other tools of server Help-Desk may be called");
}

#[test]
fn a_folder_and_a_file_are_not_served_together() {
    let sandbox = Sandbox::new();
    sandbox.run(&["serve", "tools", "--mcp-json", FILE]).failed(2, &["cannot be used with"]);
    sandbox.run(&["serve"]).failed(2, &["keyward serve DIR"]);
}

#[test]
fn who_names_the_wrong_thing_is_told_what_to_name() {
    let sandbox = Sandbox::empty();
    sandbox.run(&["serve", "--mcp-json", FILE]).failed(3, &["there is no file .vscode/mcp.json"]);
    sandbox.write(FILE, "{\"servers\":{}}");
    sandbox
        .run(&["serve", "--mcp-json", ".vscode"])
        .failed(3, &[".vscode is no file", "such as .vscode/mcp.json"]);
    sandbox
        .run(&["serve", "."])
        .failed(3, &["host.json: is missing", "keyward serve --mcp-json ./.vscode/mcp.json"]);
    sandbox.write("servers.json", "{\n\"mcpServers\": []}");
    sandbox
        .run(&["serve", "--mcp-json", "servers.json"])
        .failed(3, &["the app in servers.json does not hold", "servers.json:2:15 (/mcpServers)"]);
}

#[test]
fn a_file_that_is_switched_by_a_link_beside_it_is_served() {
    let sandbox = Sandbox::empty();
    let servers = |name: &str| format!(r#"{{"servers":{{"{name}":{{"command":"cat"}}}}}}"#);
    sandbox.write("config/..one/servers.json", &servers("one"));
    sandbox.write("config/..two/servers.json", &servers("two"));
    let link = |to: &str, from: &str| symlink(to, sandbox.path(from)).unwrap();
    link("..one", "config/..data");
    link("..data/servers.json", "config/servers.json");
    let command = sandbox.command(&[
        "serve",
        "--mcp-json",
        "config/servers.json",
        "--data-dir",
        "data",
        "--listen",
        "127.0.0.1:0",
        "--manage-listen",
        "127.0.0.1:0",
        "--json",
    ]);
    let server = sandbox.serve_by(command);
    link("..two", "config/..next");
    std::fs::rename(sandbox.path("config/..next"), sandbox.path("config/..data")).unwrap();
    let line = server.log.wait_for(0, "server two added");
    assert!(line.contains("server one removed"), "{line}");
    assert_eq!(server.stop(), 0);
}

#[test]
fn who_looks_in_the_wrong_place_is_told_of_the_right_one() {
    let sandbox = Sandbox::empty();
    sandbox.write(FILE, r#"{"servers":{"one":{"command":"true"},"two":{"command":"true"}}}"#);
    sandbox.write(".vscode/mcpservers.json", r#"{"mcpServers":[{"name":"one","tools":[]}]}"#);
    sandbox.run(&["serve", FILE]).failed(3, &["is no folder", "keyward serve --mcp-json"]);

    let server = sandbox.serve_by(serve(&sandbox, &["--json"]));
    let log = server.log.text();
    assert!(log.contains("mcpservers.json") && log.contains("is not read"), "{log}");
    let issued = sandbox.run(&["key", "issue"]).ok();
    assert!(
        issued.contains("/api/mcp") && issued.contains("--server NAME prints: one, two"),
        "{issued}"
    );
    let issued = sandbox.run(&["key", "issue", "--server", "one"]).ok();
    assert!(!issued.contains("no tools"), "{issued}");
}
