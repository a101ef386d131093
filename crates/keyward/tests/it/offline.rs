use serde_json::{Value, json};

use crate::harness::{Done, Sandbox};

fn with_input(sandbox: &Sandbox, arguments: &[&str], input: &str) -> Done {
    sandbox.run_with(sandbox.command(arguments), input)
}

#[test]
fn a_key_is_narrowed_without_a_server_and_dies_with_its_parent() {
    let sandbox = Sandbox::new();
    let server = sandbox.serve();
    let issued = sandbox.run(&["key", "issue", "--json"]).ok();
    let issued: Value = serde_json::from_str(&issued).unwrap();
    let key = issued["headers"]["X-API-Key"].as_str().unwrap();

    let narrow = ["key", "narrow", "--ttl", "1h", "--scope", "first/Greet"];
    let done = with_input(&sandbox, &narrow, key);
    assert!(done.err.contains("first/Greet") && !done.err.contains("kwk1_"), "{done:?}");
    let narrowed = done.ok().trim().to_owned();
    assert_eq!(server.greet(&narrowed), 200);
    let beyond = server.tool(&narrowed, "SplitBill", &json!({ "total": 1, "people": 1 }));
    assert!(beyond.json()["error"].is_object(), "{beyond:?}");

    let inspected = with_input(&sandbox, &["key", "inspect", "--json"], &format!("  {narrowed}\n"));
    let inspected: Value = serde_json::from_str(&inspected.ok()).unwrap();
    assert_eq!(inspected["id"], issued["apiKey"]["id"]);
    assert_eq!(inspected["scopes"], json!(["first/Greet"]));
    assert_eq!(inspected["expired"], json!(false));
    let said = |key: &str| with_input(&sandbox, &["key", "inspect"], key).ok();
    assert!(said(key).contains("keyward key show"), "{}", said(key));
    let of_narrowed = said(&narrowed);
    assert!(!of_narrowed.contains("key show") && of_narrowed.contains("refuses it"));

    // The narrowed key alone, by its own id; then its parent.
    let sibling = with_input(&sandbox, &["key", "narrow", "--ttl", "1h"], key).ok();
    sandbox.run(&["key", "revoke", inspected["revocationId"].as_str().unwrap()]).ok();
    assert_eq!((server.greet(&narrowed), server.greet(sibling.trim())), (401, 200));
    sandbox.run(&["key", "revoke", inspected["id"].as_str().unwrap()]).ok();
    assert_eq!((server.greet(sibling.trim()), server.greet(key)), (401, 401));
}

#[test]
fn a_key_that_would_reach_nothing_or_has_ended_is_not_made() {
    let sandbox = Sandbox::new();
    let server = sandbox.serve();
    let key = sandbox.run(&["key", "issue", "-q", "--scope", "first"]).ok();
    let narrow = |more: &[&str]| with_input(&sandbox, &[&["key", "narrow"], more].concat(), &key);
    narrow(&["--scope", "default"]).failed(2, &["reach nothing", "first"]);
    for (more, why) in [
        (&["--not-after", "2020-01-01T00:00:00Z"][..], "past"),
        (&["--ttl", "0s"], "no time at all"),
        (&[], "say --ttl, --not-after or --scope"),
    ] {
        let refused = narrow(more);
        refused.failed(2, &[why]);
        assert_eq!(refused.out, "");
    }
    let done = narrow(&["--ttl", "30d"]);
    assert!(done.err.contains("ends sooner"), "{done:?}");
    assert_eq!(server.greet(done.ok().trim()), 200);
}

#[test]
fn a_key_that_has_ended_is_not_narrowed() {
    let sandbox = Sandbox::empty();
    let clock = keys::Timestamp::from_unix_ms(0);
    let access_key = keys::AccessKey::generate(&mut keys::SysRng).unwrap();
    let app = keys::AppId::generate(&mut keys::SysRng).unwrap();
    let id = "01890000-0000-7000-8000-000000000000".parse().unwrap();
    let terms = keys::Terms { not_after: Some(clock), scopes: None };
    let ended = access_key.issue(&app, id, &terms).unwrap();
    let refused = with_input(&sandbox, &["key", "narrow", "--scope", "first"], ended.expose());
    refused.failed(2, &["ended at 1970-01-01T00:00:00Z", "still valid"]);
    assert_eq!(refused.out, "");
}

#[test]
fn a_key_as_an_argument_is_refused_and_not_repeated() {
    let sandbox = Sandbox::empty();
    for arguments in [
        &["key", "inspect", "kwk1_abcdef"][..],
        &["key", "narrow", "--scope", "kwk1_abcdef"],
        &["key", "revoke", "kwk1_abcdef"],
        &["kwo1_abcdef"],
        &["key", "issue", "--label=kwm1_abcdef"],
    ] {
        let done = sandbox.run(arguments);
        done.failed(2, &["standard input"]);
        assert!(!format!("{done:?}").contains("abcdef"), "{done:?}");
    }
}

#[test]
fn what_is_no_key_is_refused_with_the_reason() {
    let sandbox = Sandbox::empty();
    with_input(&sandbox, &["key", "inspect"], "").failed(2, &["no API key on standard input"]);
    for (input, why) in [
        ("kwk1_abcdefghijkl", "checksum"),
        ("something else", "prefix"),
        (&"x".repeat(1 << 20), "too long"),
    ] {
        let done = with_input(&sandbox, &["key", "inspect"], input);
        done.failed(2, &[why]);
        assert!(!done.err.contains("abcdefghijkl"), "{done:?}");
    }
}
