//! Deploying apps to a server that serves no folder.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use pg_harness::{Cluster, Database};
use serde_json::{Value, json};

use crate::harness::{Answer, Done, Sandbox, Server, ends, has_ended};
use crate::streams::listen_at;

/// A server of what is deployed in its data folder `data`.
fn serve(sandbox: &Sandbox, more: &[&str]) -> Server {
    sandbox.serve_by(serve_command(sandbox, "data", more))
}

fn serve_command(sandbox: &Sandbox, data: &str, more: &[&str]) -> Command {
    let ports = ["--listen", "127.0.0.1:0", "--manage-listen", "127.0.0.1:0", "--json"];
    sandbox.command(&[&["serve", "--data-dir", data][..], &ports, more].concat())
}

fn issue(sandbox: &Sandbox, app: &str) -> String {
    sandbox.run(&["key", "issue", "-q", "--app", app]).ok().trim().to_owned()
}

/// Greets by the server `first` of an app, below its name.
fn greet(server: &Server, app: &str, key: &str) -> Answer {
    let path = format!("/{app}/api/mcpservers/first/mcp");
    let params = json!({ "name": "Greet", "arguments": { "name": "Ada" } });
    server.mcp_on(&path, &format!("X-API-Key: {key}\r\n"), "tools/call", &params)
}

/// Copies an app folder.
fn copy(sandbox: &Sandbox, from: &str, to: &str) {
    for file in ["host.json", "mcpservers.json", "Greet/workflow.json", "SplitBill/workflow.json"] {
        let text = sandbox.read(&format!("{from}/{file}"));
        sandbox.write(&format!("{to}/{file}"), &text);
    }
}

#[test]
fn apps_come_to_a_server_that_runs_and_each_has_keys_of_its_own() {
    let sandbox = Sandbox::new();
    let server = serve(&sandbox, &[]);
    assert_eq!(server.ready["app"], Value::Null);
    assert_eq!(greet(&server, "tools", "x").status, 404, "nothing is there yet");
    let told = sandbox.run(&["deploy", "tools"]).ok();
    assert!(told.starts_with("tools: version 1 deployed, and is in force everywhere"), "{told}");
    assert!(told.contains("/tools/api/mcpservers/first/mcp"), "{told}");
    copy(&sandbox, "tools", "more");
    sandbox.edit("more/Greet/workflow.json", "'Hi '", "'Servus '");
    sandbox.run(&["deploy", "more", "--app", "Other"]).ok();

    let (tools, other) = (issue(&sandbox, "tools"), issue(&sandbox, "other"));
    assert!(greet(&server, "tools", &tools).body.contains("Hi Ada!"));
    assert!(greet(&server, "other", &other).body.contains("Servus Ada!"));
    assert_eq!(greet(&server, "other", &tools).status, 401, "a key opens its own app");
    assert_eq!(greet(&server, "another", &tools).status, 404, "no app is there");
    sandbox.run(&["key", "issue"]).failed(2, &["add --app, one of other, tools"]);
    for command in [&["server", "list"][..], &["key", "list"], &["access-key", "list"]] {
        sandbox.run(&[command, &["--app", "OTHER"]].concat()).ok();
    }
    sandbox.run(&["access-key", "regenerate", "primary", "--yes", "--app", "tools"]).ok();
    assert_eq!(greet(&server, "tools", &tools).status, 401);
    assert_eq!(greet(&server, "other", &other).status, 200);

    // What is deployed outlives the process.
    assert_eq!(server.stop(), 0);
    let server = serve(&sandbox, &[]);
    assert!(greet(&server, "other", &other).body.contains("Servus Ada!"));
    let well_known = crate::harness::raw(
        server.listen(),
        b"GET /.well-known/oauth-protected-resource/tools/api/mcp HTTP/1.1\r\nHost: localhost\r\n\
          Connection: close\r\n\r\n",
    );
    assert_eq!(well_known.status, 404, "{well_known:?}");
}

#[test]
fn a_new_version_ends_the_streams_of_what_is_gone_and_a_rollback_brings_it_back() {
    let sandbox = Sandbox::new();
    let server = serve(&sandbox, &[]);
    sandbox.run(&["deploy", "tools"]).ok();
    copy(&sandbox, "tools", "other");
    sandbox.run(&["deploy", "other"]).ok();
    let (tools, other) = (issue(&sandbox, "tools"), issue(&sandbox, "other"));
    let first = "/api/mcpservers/first/mcp";
    let mut gone = listen_at(&server, &format!("/tools{first}"), &tools);
    let mut stays = listen_at(&server, "/tools/api/mcp", &tools);
    let mut others = listen_at(&server, &format!("/other{first}"), &other);
    sandbox.write("tools/mcpservers.json", r#"{"mcpServers": []}"#);
    sandbox.run(&["deploy", "tools"]).ok();
    assert!(ends(&mut gone));
    assert!(!has_ended(&mut stays) && !has_ended(&mut others));
    assert_eq!(greet(&server, "tools", &tools).status, 404);

    sandbox
        .run(&["deploy", "--rollback", "99", "--app", "tools"])
        .failed(6, &["version 99", "keyward deploy --list"]);
    let told = sandbox.run(&["deploy", "--rollback", "--app", "tools"]).ok();
    assert!(told.contains("version 3 restores version 1"), "{told}");
    assert_eq!(greet(&server, "tools", &tools).status, 200);
    let listed = sandbox.run(&["deploy", "--list", "--app", "tools"]).ok();
    let lines: Vec<&str> = listed.lines().collect();
    assert_eq!(lines.len(), 4, "{listed}");
    assert!(lines[1].starts_with("3 (in force)") && lines[1].contains("restores 1"), "{listed}");
    assert!(lines[2].contains("mcpservers.json"), "{listed}");
}

#[test]
fn a_rollback_lets_in_more_only_where_that_is_said() {
    let sandbox = Sandbox::new();
    let server = serve(&sandbox, &[]);
    sandbox.edit("tools/host.json", "\"ApiKey\"", "\"Anonymous\"");
    sandbox.run(&["deploy", "tools"]).ok();
    assert_eq!(greet(&server, "tools", "x").status, 401, "a key that is none is refused");
    sandbox.edit("tools/host.json", "\"Anonymous\"", "\"ApiKey\"");
    sandbox.run(&["deploy", "tools"]).ok();
    let back = ["deploy", "--rollback", "--app", "tools"];
    sandbox.run(&back).failed(2, &["Anonymous, which lets in more than ApiKey", "--force"]);
    let told = sandbox.run(&[&back[..], &["--force"]].concat()).ok();
    assert!(told.contains("lets in more than the one before"), "{told}");
}

#[test]
fn a_folder_that_does_not_hold_is_told_as_serve_tells_it_and_is_not_sent() {
    let sandbox = Sandbox::new();
    let _server = serve(&sandbox, &[]);
    sandbox.write("tools/host.json", "{\n  \"version\": }");
    let served = sandbox.run(&["serve", "tools"]);
    let deployed = sandbox.run(&["deploy", "tools"]);
    served.failed(3, &["host.json:2:14"]);
    assert_eq!((deployed.code, &deployed.err), (served.code, &served.err));
    sandbox.run(&["deploy", "none"]).failed(3, &["there is no folder none"]);
    sandbox.run(&["deploy"]).failed(2, &["<DIR>"]);
    sandbox.run(&["deploy", "--force"]).failed(2, &["--rollback"]);
    for version in ["abc", "tools", "-1", "0"] {
        let done = sandbox.run(&["deploy", "--rollback", version]);
        done.failed(2, &[version, "number of a version", "--app"]);
    }
    sandbox.run(&["serve"]).failed(2, &["keyward serve DIR", "--data-dir"]);
}

#[test]
fn a_deployed_app_runs_and_reads_what_the_configuration_names_alone() {
    let sandbox = Sandbox::new();
    let echo = "#!/bin/sh\nexec cat\n";
    sandbox.write("echo", echo);
    sandbox.set_mode("echo", 0o755);
    let program = sandbox.path("echo").display().to_string();
    let file =
        json!({ "servers": { "run": { "command": program, "env": { "T": "${env:TOKEN}" } } } });
    sandbox.write("tools/mcp.json", &file.to_string());
    sandbox.edit("tools/Greet/workflow.json", "'Hi '", "coalesce(appsetting('GREETING'), 'Hi ')");
    let serve = |more: &[&str]| {
        let mut command = serve_command(&sandbox, "data", more);
        command.env("TOKEN", "s3cret").env("APPSETTING_GREETING", "Servus ");
        sandbox.serve_by(command)
    };
    let mut deploy = sandbox.command(&["deploy", "tools"]);
    deploy.env("TOKEN", "on the machine of who deploys");
    let server = serve(&[]);
    let refused = sandbox.run_with(deploy, "");
    refused.failed(3, &["server `run`", &program, "apps.commands", "`TOKEN`", "apps.variables"]);
    assert!(
        refused.err.contains("`T`") && refused.err.contains("apps.command_variables"),
        "{refused:?}"
    );
    drop(server);

    let config = format!(
        "[apps]\ncommands = [\"{program}\"]\ncommand_variables = [\"T\"]\nvariables = [\"TOKEN\"]\napp_settings = [\"GREETING\"]\n"
    );
    sandbox.write("keyward.toml", &config);
    let server = serve(&["--config", "keyward.toml"]);
    sandbox.run(&["deploy", "tools"]).ok();
    let key = issue(&sandbox, "tools");
    assert!(greet(&server, "tools", &key).body.contains("Servus Ada!"));
    let servers = sandbox.run(&["server", "list", "--app", "tools"]).ok();
    assert!(servers.contains("upstream in a child process"), "{servers}");
    drop(server);

    // A replica that allows less leaves the server out and says so; nothing else changes.
    let server = serve(&[]);
    let servers = sandbox.run(&["server", "list", "--app", "tools"]).ok();
    assert!(servers.contains("run (left out)") && servers.contains("apps.commands"), "{servers}");
    server.log.wait_for(0, "Left out of tools");
    assert!(!server.log.text().contains("s3cret"));
    assert!(!greet(&server, "tools", &key).body.contains("Servus"));
}

#[test]
fn an_app_has_one_source() {
    let sandbox = Sandbox::new();
    let server = serve(&sandbox, &[]);
    sandbox.run(&["deploy", "tools"]).ok();
    assert_eq!(server.stop(), 0);
    let both = sandbox.run_with(sandbox.serve_command(&["--data-dir", "data"]), "");
    both.failed(3, &["tools is deployed in the store", "serve without a folder", "another name"]);
    let _other = sandbox.serve_with(&["--data-dir", "data", "--app-name", "another"]);
}

#[test]
fn a_process_that_is_killed_while_it_deploys_leaves_a_whole_version() {
    let sandbox = Sandbox::new();
    let mut server = serve(&sandbox, &[]);
    sandbox.run(&["deploy", "tools"]).ok();
    let key = issue(&sandbox, "tools");
    let mut text = "'Hi '".to_owned();
    for round in 0..6_u32 {
        let next = format!("'Round {round} '");
        sandbox.edit("tools/Greet/workflow.json", &text, &next);
        text = next;
        let mut deploy = sandbox.command(&["deploy", "tools"]);
        let mut deploying = deploy.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // Another moment of it each time, from before it begins to after it is over.
        for _ in 0..round {
            sandbox.run(&["deploy", "--list", "--app", "tools"]);
        }
        server.kill();
        let returned = deploying.wait().unwrap().success();
        server = serve(&sandbox, &[]);
        let listed: Value =
            serde_json::from_str(&sandbox.run(&["deploy", "--list", "--json"]).ok()).unwrap();
        let rows = listed["value"].as_array().unwrap();
        assert_eq!(rows[0]["isCurrent"], true, "{listed}");
        let is_new = greet(&server, "tools", &key).body.contains(&format!("Round {round} Ada"));
        assert!(is_new || !returned, "what was told to be in force is gone");
        if !is_new {
            sandbox.run(&["deploy", "tools"]).ok();
        }
    }
}

/// Two replicas of one database, without a folder.
struct Pair {
    sandbox: Sandbox,
    database: Database<'static>,
}

impl Pair {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        sandbox.run(&["master-key", "master-key"]).ok();
        Self { sandbox, database: Cluster::shared().database() }
    }

    fn with_store(&self, mut command: Command) -> Command {
        command.args(["--master-key-file", "master-key", "--store-url", &self.database.url()]);
        // Long enough that a machine that has much to do keeps it, since nothing here is to be cut by its end.
        command.env("KEYWARD_STORE_LEASE_S", "5");
        command
    }

    fn serve(&self, data: &str) -> Server {
        self.sandbox.serve_by(self.with_store(serve_command(&self.sandbox, data, &[])))
    }

    fn run(&self, data: &str, arguments: &[&str]) -> Done {
        self.sandbox.run(&[arguments, &["--data-dir", data]].concat())
    }
}

#[test]
fn what_is_deployed_by_one_replica_is_in_force_on_the_other_when_it_returns() {
    let pair = Pair::new();
    let (one, mut other) = (pair.serve("one"), pair.serve("other"));
    pair.run("one", &["deploy", "tools"]).ok();
    let key = pair.run("one", &["key", "issue", "-q"]).ok().trim().to_owned();
    assert_eq!(greet(&other, "tools", &key).status, 200, "{}", other.log.text());
    let mut stream = listen_at(&other, "/tools/api/mcpservers/first/mcp", &key);
    // Requests to the other one go on all the time, and none of them is answered by the former version once
    // the deployment has returned.
    let (is_over, text) = (AtomicBool::new(false), "Later ");
    pair.sandbox.edit("tools/Greet/workflow.json", "'Hi '", &format!("'{text}'"));
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut answers = Vec::new();
            loop {
                let was_over = is_over.load(Ordering::SeqCst);
                answers.push((was_over, greet(&other, "tools", &key).body));
                if was_over {
                    return answers;
                }
            }
        });
        pair.run("one", &["deploy", "tools"]).ok();
        is_over.store(true, Ordering::SeqCst);
        let answers = asking.join().unwrap();
        let late = answers.iter().filter(|(was_over, _)| *was_over);
        assert!(late.into_iter().all(|(_, body)| body.contains("Later Ada!")), "{answers:?}");
    });
    assert!(!has_ended(&mut stream), "its server is as it was");
    pair.sandbox.write("tools/mcpservers.json", r#"{"mcpServers": []}"#);
    pair.run("one", &["deploy", "tools"]).ok();
    assert!(ends(&mut stream));
    pair.run("other", &["deploy", "--rollback"]).ok();
    assert_eq!(
        (greet(&one, "tools", &key).status, greet(&other, "tools", &key).status),
        (200, 200)
    );
    // One that is gone is waited for once.
    other.kill();
    let done = pair.run("one", &["deploy", "tools"]);
    assert!(done.err.contains("Waiting for "), "{done:?}");
    done.ok();
    assert_eq!(greet(&one, "tools", &key).status, 404);
}

#[test]
fn a_folder_and_a_database_do_not_serve_one_app_together() {
    let pair = Pair::new();
    let served = pair.with_store(pair.sandbox.serve_command(&["--data-dir", "folder"]));
    let folder = pair.sandbox.serve_by(served);
    pair.run("folder", &["backup", "copy", "--direct"]).failed(3, &["folder", "--store-url"]);
    pair.run("folder", &["deploy", "tools"]).failed(1, &["serve without a folder"]);
    let replica = pair.serve("replica");
    pair.run("replica", &["deploy", "tools"]).ok();
    let key = pair.run("replica", &["key", "issue", "-q"]).ok();
    assert_eq!(greet(&replica, "tools", key.trim()).status, 200);
    assert_eq!(folder.greet(key.trim()), 503);
    folder.log.wait_for(0, "is deployed in the store, and served from a folder here");
}
