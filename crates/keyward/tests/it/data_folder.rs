use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::unix::fs::symlink;

use crate::harness::{Done, Sandbox, Server};

#[test]
fn a_data_folder_and_all_in_it_is_for_its_owner_alone() {
    let sandbox = Sandbox::new();
    let server = sandbox.serve();
    assert_eq!(sandbox.mode("tools/.keyward"), 0o700);
    for file in ["master-key", "operator-token", "keyward.db", "keyward.lock", "endpoint.json"] {
        assert_eq!(sandbox.mode(&format!("tools/.keyward/{file}")), 0o600, "{file}");
    }
    assert_eq!(sandbox.read("tools/.keyward/.gitignore"), "*\n");
    assert_eq!(server.stop(), 0);
    assert!(!sandbox.path("tools/.keyward/endpoint.json").exists());
}

#[test]
fn what_others_can_read_is_refused_with_the_command_that_mends_it() {
    let sandbox = Sandbox::new();
    drop(sandbox.serve());
    let serve = || sandbox.run_with(sandbox.serve_command(&[]), "");
    sandbox.set_mode("tools/.keyward", 0o750);
    serve().failed(3, &["chmod 700", "tools/.keyward"]);
    sandbox.run(&["token", "--data-dir", "tools/.keyward"]).failed(3, &["chmod 700"]);
    sandbox.set_mode("tools/.keyward", 0o700);
    for secret in ["tools/.keyward/master-key", "tools/.keyward/operator-token"] {
        sandbox.set_mode(secret, 0o640);
        serve().failed(3, &["chmod 600", secret]);
        sandbox.set_mode(secret, 0o600);
    }
    drop(sandbox.serve());
}

#[test]
fn a_second_process_on_the_same_data_folder_is_refused() {
    let sandbox = Sandbox::new();
    let server = sandbox.serve();
    let second = sandbox.run_with(sandbox.serve_command(&[]), "");
    second.failed(7, &["another process", "--data-dir"]);
    assert!(!second.err.contains("panicked"), "{second:?}");
    // The first is found as before.
    sandbox.run(&["server", "list"]).ok();
    assert_eq!(server.stop(), 0);
}

#[test]
fn a_master_key_is_never_made_anew_beside_keys_that_are_sealed() {
    let sandbox = Sandbox::new();
    drop(sandbox.serve());
    let kept = sandbox.read("tools/.keyward/master-key");
    fs::remove_file(sandbox.path("tools/.keyward/master-key")).unwrap();
    let refused = sandbox.run_with(sandbox.serve_command(&[]), "");
    refused.failed(3, &["master-key is missing", "backup", "--master-key-file"]);
    assert!(!sandbox.path("tools/.keyward/master-key").exists());

    // Another key does not open them; the right one may come from elsewhere.
    let other = Sandbox::new();
    drop(other.serve());
    let wrong = other.path("tools/.keyward/master-key");
    let with = |path: &str| sandbox.serve_command(&["--master-key-file", path]);
    let refused = sandbox.run_with(with(wrong.to_str().unwrap()), "");
    refused.failed(3, &["cannot be opened", "--master-key-file"]);
    let mut command = sandbox.serve_command(&[]);
    command.env("KEYWARD_MASTER_KEY", kept.trim());
    let server = sandbox.serve_by(command);
    assert_eq!(server.stop(), 0);
    sandbox.write("kept", &kept);
    sandbox.set_mode("kept", 0o644);
    sandbox.run_with(with("kept"), "").failed(3, &["chmod 640"]);
    sandbox.set_mode("kept", 0o400);
    let both = ["--master-key-file", wrong.to_str().unwrap(), "--master-key-file", "kept"];
    drop(sandbox.serve_with(&both));
}

#[test]
fn an_operator_token_that_is_made_anew_is_told_of() {
    let sandbox = Sandbox::new();
    let words = "no operator token, so a new one was made";
    let server = sandbox.serve();
    assert!(!server.log.text().contains(words), "{}", server.log.text());
    let former = server.token.clone();
    assert_eq!(server.stop(), 0);
    fs::remove_file(sandbox.path("tools/.keyward/operator-token")).unwrap();
    let server = sandbox.serve();
    server.log.wait_for(0, words);
    assert!(server.token != former && !server.log.text().contains("kwo1_"));
}

#[test]
fn an_address_that_is_taken_is_told_with_what_to_do() {
    let sandbox = Sandbox::new();
    let server = sandbox.serve();
    let other = Sandbox::new();
    let taken = ["serve", "tools", "--listen", server.listen(), "--manage-listen", "127.0.0.1:0"];
    other.run(&taken).failed(7, &[server.listen(), "another port"]);
}

#[test]
fn files_that_lead_out_of_the_app_folder_are_refused() {
    let sandbox = Sandbox::new();
    sandbox.write("outside.json", "{}");
    symlink("../outside.json", sandbox.path("tools/parameters.json")).unwrap();
    let refused = sandbox.run_with(sandbox.serve_command(&[]), "");
    refused.failed(3, &["parameters.json", "leads out of the app folder"]);
}

#[test]
fn a_token_that_was_only_found_is_sent_to_nobody_but_the_server_that_has_it() {
    let sandbox = Sandbox::new();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    other.set_nonblocking(true).unwrap();
    let other_url = format!("http://{}", other.local_addr().unwrap());
    let one = sandbox.serve_with(&["--data-dir", "one"]);
    let list = |url: &str, more: &[&str]| {
        sandbox.run(&[&["key", "list", "--json", "--manage-url", url], more].concat())
    };
    let refused = |done: &Done| done.failed(2, &[&other_url, "KEYWARD_TOKEN", "--data-dir"]);
    refused(&list(&other_url, &[]));
    let mut named = sandbox.command(&["key", "list", "--manage-url", &other_url]);
    named.env("KEYWARD_DATA_DIR", "one");
    refused(&sandbox.run_with(named, ""));

    // Of several servers, the URL chooses one.
    let two = sandbox.serve_with(&["--data-dir", "two"]);
    sandbox.run(&["key", "list"]).failed(2, &["several servers"]);
    sandbox.run(&["key", "issue", "-q", "--label", "mine", "--data-dir", "two"]).ok();
    let url_of = |server: &Server| format!("http://{}", server.manage_listen());
    assert!(!list(&url_of(&one), &[]).ok().contains("mine"));
    assert!(list(&url_of(&two), &[]).ok().contains("mine"));
    refused(&list(&other_url, &[]));
    let accepted = other.accept().map(drop).map_err(|error| error.kind());
    assert_eq!(accepted, Err(ErrorKind::WouldBlock));
    // A folder that is named says whose token is meant.
    list(&url_of(&two), &["--data-dir", "one"]).failed(5, &["InvalidAuthenticationToken"]);
}
