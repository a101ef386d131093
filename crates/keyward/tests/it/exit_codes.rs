use std::fs;

use serde_json::json;

use crate::harness::Sandbox;

#[test]
fn each_kind_of_failure_has_its_exit_code() {
    let sandbox = Sandbox::new();
    sandbox.run(&["--version"]).ok();
    sandbox.run(&["help-me"]).failed(2, &["help-me"]);
    sandbox.run(&["key", "issue", "--ttl", "soon"]).failed(2, &["7d"]);
    sandbox.run(&["serve", "none"]).failed(3, &["keyward init"]);
    sandbox.run(&["key", "issue"]).failed(4, &["keyward serve"]);

    let server = sandbox.serve();
    let call = |arguments: &[&str], token: &str| {
        let mut command = sandbox.command(arguments);
        let url = format!("http://{}", server.manage_listen());
        command.env("KEYWARD_MANAGE_URL", url).env("KEYWARD_TOKEN", token);
        sandbox.run_with(command, "")
    };
    call(&["key", "list"], &server.token).ok();
    call(&["key", "list"], "not-a-token")
        .failed(5, &["InvalidAuthenticationToken", "keyward token"]);
    let no_key = "01890000-0000-7000-8000-000000000000";
    call(&["key", "show", no_key], &server.token).failed(6, &[no_key, "key list"]);
    call(&["key", "revoke", no_key], &server.token)
        .failed(6, &["ApiKeyNotFound", "(keyward key list)"]);
    call(&["key", "issue", "--server", "none"], &server.token).failed(6, &["McpServerNotFound"]);
    call(&["key", "issue", "--scope", "none"], &server.token).failed(6, &["McpServerNotFound"]);
    call(&["key", "issue", "--scope", "first/None"], &server.token).failed(2, &["InvalidScope"]);
    call(&["key", "issue", "--scope", "first", "--server", "default"], &server.token)
        .failed(2, &["would not reach"]);
    call(&["access-key", "regenerate", "primary"], &server.token).failed(2, &["--yes"]);
    call(&["key", "issue", "--manage-url", "http://10.0.0.1:1"], &server.token)
        .failed(2, &["readably", "SSH tunnel"]);
    let mcp = format!("http://{}", server.listen());
    call(&["key", "list", "--manage-url", &mcp], &server.token).failed(4, &["management URL"]);
    call(&["key", "list", "--manage-url", "http://127.0.0.1:1"], &server.token)
        .failed(4, &["nobody listens"]);
}

#[test]
fn every_problem_of_an_app_folder_is_told_at_once_with_its_place() {
    let sandbox = Sandbox::new();
    sandbox.edit("tools/host.json", "\"ApiKey\"", "\"Password\"");
    sandbox.write("tools/Greet/workflow.json", "{");
    let refused = sandbox.run_with(sandbox.serve_command(&[]), "");
    refused.failed(3, &["host.json:", "Password", "Greet/workflow.json:1"]);
    assert!(!sandbox.path("tools/.keyward").exists());
}

#[test]
fn an_operator_of_the_configuration_may_do_what_the_role_says() {
    let sandbox = Sandbox::new();
    drop(sandbox.serve());
    // A token of another data folder is as good as any.
    let other = Sandbox::new();
    drop(other.serve());
    fs::copy(other.path("tools/.keyward/operator-token"), sandbox.path("ci-token")).unwrap();
    sandbox.write(
        "keyward.toml",
        "[[operator]]\nname = \"ci\"\nrole = \"issuer\"\ntoken_file = \"ci-token\"\n",
    );
    let server = sandbox.serve_with(&["--config", "keyward.toml"]);
    let ci = sandbox.read("ci-token").trim().to_owned();
    let issued = server.manage_as(&ci, "listMcpServerUrl?getApikey=true", &json!({}));
    assert_eq!(issued.status, 200);
    let refused =
        server.manage_as(&ci, "regenerateMcpServerAccessKey", &json!({ "keyType": "primary" }));
    assert_eq!(refused.status, 403);
    assert!(sandbox.run(&["key", "list", "--json"]).ok().contains("\"issuedBy\": \"ci\""));
}

#[test]
fn a_reader_that_has_gone_is_no_failure() {
    let sandbox = Sandbox::empty();
    let mut command = sandbox.command(&["completions", "bash"]);
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
}
