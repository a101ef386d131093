use std::fs;
use std::os::unix::fs::symlink;

use crate::harness::Sandbox;

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
