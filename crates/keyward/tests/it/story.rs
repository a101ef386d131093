use serde_json::json;

use crate::harness::Sandbox;

#[test]
fn a_key_calls_a_tool_until_its_access_key_is_regenerated_and_no_restart_revives_it() {
    let sandbox = Sandbox::new();
    let server = sandbox.serve();
    let issue = |kind: &str| {
        sandbox.run(&["key", "issue", "--quiet", "--key-type", kind]).ok().trim().to_owned()
    };
    let (primary, secondary) = (issue("primary"), issue("secondary"));
    let split = json!({ "total": 90, "people": 3 });
    let called = server.tool(&primary, "SplitBill", &split).json();
    assert_eq!(called["result"]["structuredContent"]["eachPays"], json!(33.0));

    sandbox.run(&["access-key", "regenerate", "primary", "--yes"]).ok();
    let refused = server.tool(&primary, "SplitBill", &split);
    assert_eq!(refused.status, 401);
    assert!(refused.head.to_ascii_lowercase().contains("www-authenticate: apikey"), "{refused:?}");
    assert!(refused.body.contains("regenerated"), "{refused:?}");
    assert_eq!(server.greet(&secondary), 200);
    assert_eq!(server.stop(), 0);

    let server = sandbox.serve();
    assert_eq!(server.greet(&primary), 401);
    assert_eq!(server.greet(&secondary), 200);
    let list = sandbox.run(&["key", "list"]).ok();
    let (head, rows) = list.split_once('\n').unwrap();
    assert!(head.ends_with("REACHES        FROM       LABEL"), "{list}");
    for (row, words) in
        rows.lines().zip([["active", " secondary"], ["accessKeyRegenerated", " primary"]])
    {
        assert!(words.iter().all(|word| row.contains(word)), "{list}");
    }
    for count in ["0", "1001"] {
        sandbox.run(&["key", "list", "--limit", count]).failed(2, &["1..=1000"]);
    }
    assert_eq!(sandbox.run(&["key", "list", "--limit", "1"]).ok().lines().count(), 2);
}

#[test]
fn a_key_is_shown_revoked_and_refused() {
    let sandbox = Sandbox::new();
    let server = sandbox.serve();
    let issued = sandbox.run(&["key", "issue", "--json", "--ttl", "7d", "--label", "ci"]).ok();
    let issued: serde_json::Value = serde_json::from_str(&issued).unwrap();
    let id = issued["apiKey"]["id"].as_str().unwrap();
    let key = issued["headers"]["X-API-Key"].as_str().unwrap();
    assert_eq!(server.greet(key), 200);
    let shown = sandbox.run(&["key", "show", id]).ok();
    assert!(
        shown.contains("active") && shown.contains("ci") && shown.contains("(in 6d23h)"),
        "{shown}"
    );
    assert!(!shown.contains("kwk1_"), "{shown}");
    sandbox.run(&["key", "revoke", id]).ok();
    assert_eq!(server.greet(key), 401);
    assert!(sandbox.run(&["key", "show", id]).ok().contains("revoked"));
}

#[test]
fn what_a_person_sees_of_an_issued_key_can_be_copied_and_run() {
    let sandbox = Sandbox::new();
    let server = sandbox.serve();
    let text = sandbox.run(&["key", "issue", "--scope", "first/Greet", "--never-expire"]).ok();
    let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
    let key = line("API key");
    assert_eq!(line("expires"), "never");
    assert_eq!(line("reaches"), "first/Greet");
    assert_eq!(line("URL"), format!("http://{}/api/mcpservers/first/mcp", server.listen()));
    assert!(text.contains("claude mcp add --transport http first http://"), "{text}");
    assert_eq!(server.greet(key), 200);
    let refused = server.tool(key, "SplitBill", &json!({ "total": 1, "people": 1 })).json();
    assert!(refused["error"]["message"].as_str().unwrap().contains("SplitBill"), "{refused}");
}

#[test]
fn a_key_for_one_of_two_servers_comes_with_the_url_of_that_one() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "tools/mcpservers.json",
        r#"{"mcpServers":[{"name":"first","tools":[{"name":"Greet"}]},
            {"name":"second","tools":[{"name":"SplitBill"}]}]}"#,
    );
    let server = sandbox.serve();
    let issued = sandbox.run(&["key", "issue", "--json", "--scope", "first"]).ok();
    let issued: serde_json::Value = serde_json::from_str(&issued).unwrap();
    let url = format!("http://{}/api/mcpservers/first/mcp", server.listen());
    assert_eq!(issued["value"], json!(url));
    assert_eq!(server.greet(issued["headers"]["X-API-Key"].as_str().unwrap()), 200);
}

#[test]
fn servers_are_listed_with_their_urls_and_tools() {
    let sandbox = Sandbox::new();
    let server = sandbox.serve();
    let text = sandbox.run(&["server", "list"]).ok();
    let url = format!("http://{}/api/mcp", server.listen());
    for words in ["first\n", "tools: Greet, SplitBill", "default\n", &url] {
        assert!(text.contains(words), "no {words} in {text}");
    }
    let list: serde_json::Value =
        serde_json::from_str(&sandbox.run(&["server", "list", "--json"]).ok()).unwrap();
    assert_eq!(list["value"][1]["name"], "default");
}

#[test]
fn a_command_finds_the_only_server_and_asks_to_choose_between_two() {
    let sandbox = Sandbox::new();
    sandbox.run(&["server", "list"]).failed(4, &["keyward serve"]);
    let first = sandbox.serve();
    sandbox.run(&["server", "list"]).ok();
    let other = sandbox.path("other-data");
    let second = sandbox.serve_with(&["--data-dir", other.to_str().unwrap()]);
    sandbox.run(&["server", "list"]).failed(2, &["choose one", "other-data", "tools/.keyward"]);
    let there = ["--data-dir", other.to_str().unwrap()];
    sandbox.run(&[&["key", "issue"][..], &there].concat()).ok();
    let rows = |folder: &str| {
        let list = sandbox.run(&["key", "list", "--json", "--data-dir", folder]).ok();
        serde_json::from_str::<serde_json::Value>(&list).unwrap()["value"].as_array().unwrap().len()
    };
    assert_eq!((rows("other-data"), rows("tools/.keyward")), (1, 0));
    drop(first);
    assert_eq!(second.stop(), 0);
    // What a killed server left behind is not believed, nor is its port called.
    sandbox.run(&["server", "list"]).failed(4, &["keyward serve"]);
}

#[test]
fn a_first_app_is_made_in_an_empty_folder_only() {
    let sandbox = Sandbox::empty();
    let said = sandbox.run(&["init", "my tools"]).ok();
    assert!(said.contains("serve 'my tools'") && said.contains("key issue"), "{said}");
    assert!(sandbox.read("my tools/.gitignore").contains(".keyward/"));
    sandbox.run(&["init", "my tools"]).failed(2, &["not empty", "keyward serve 'my tools'"]);
    sandbox.write("file", "");
    sandbox.run(&["init", "file"]).failed(2, &["is a file"]);
}

#[test]
fn a_person_is_told_addresses_servers_tools_what_is_left_out_and_what_to_type_next() {
    let sandbox = Sandbox::new();
    sandbox.edit("tools/mcpservers.json", "\"Greet\"", "\"Gone\"");
    let mut command = sandbox.serve_command(&[]);
    let arguments: Vec<_> = command
        .get_args()
        .filter(|argument| *argument != "--json")
        .map(ToOwned::to_owned)
        .collect();
    command = sandbox.command(&[]);
    command.args(arguments).stdout(std::process::Stdio::piped());
    let mut child = command.stderr(std::process::Stdio::null()).spawn().unwrap();
    let mut text = String::new();
    for line in std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap())) {
        text.push_str(&line.unwrap());
        text.push('\n');
        if text.contains("Ctrl-C") {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    for words in
        ["127.0.0.1:", "/api/mcpservers/first/mcp", "SplitBill", "Left out", "`Gone`", "key issue"]
    {
        assert!(text.contains(words), "no {words} in {text}");
    }
}

#[test]
fn access_keys_are_listed_with_their_age_and_whether_they_are_in_force() {
    let sandbox = Sandbox::new();
    let _server = sandbox.serve();
    sandbox.run(&["access-key", "regenerate", "secondary", "--yes"]).ok();
    let list = sandbox.run(&["access-key", "list"]).ok();
    let words: Vec<Vec<&str>> =
        list.lines().map(|line| line.split_whitespace().collect()).collect();
    let [head, primary, secondary] = words.as_slice() else { panic!("{list}") };
    assert_eq!(head.join(" "), "SLOT ID AGE MADE AT BY IN FORCE");
    for (row, slot, by) in [(primary, "primary", "keyward"), (secondary, "secondary", "operator")] {
        assert_eq!((row[0], row[4], row[5]), (slot, by, "yes"), "{list}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&sandbox.run(&["access-key", "list", "--json"]).ok()).unwrap();
    assert_eq!(json["value"][1]["id"], secondary[1]);
}
