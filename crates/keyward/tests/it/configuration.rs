use crate::harness::Sandbox;

#[test]
fn everything_that_is_wrong_is_told_at_once_with_its_place() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "keyward.toml",
        "shutdown_grace = \"soon\"\nlissten = 1\n\n[data_plane]\nlisten = \"0.0.0.0:7071\"\n\
         behind_tls_proxy = \"yes\"\n\n[log]\nformat = \"xml\"\n\n[[operator]]\nrole = \"king\"\n",
    );
    for command in [&["config", "check"][..], &["serve", "tools"]] {
        sandbox.run(&[command, &["--config", "keyward.toml"]].concat()).failed(
            3,
            &[
                "keyward.toml:1:18: 'soon' is no duration",
                "keyward.toml:2:1: there is no setting lissten; expected one of app_name",
                "keyward.toml:5:10: 0.0.0.0:7071 can be reached from beyond this machine",
                "keyward.toml:6:20: data_plane.behind_tls_proxy is of type string; expected true or false",
                "keyward.toml:9:10: 'xml' is no log format",
                "keyward.toml:11:1: the operator has no name",
                "the operator has no token_file",
                "keyward.toml:12:8: \"king\" is no role",
            ],
        );
    }
    assert!(!sandbox.path("tools/.keyward").exists());
}

#[test]
fn names_that_can_be_of_nothing_are_told() {
    let sandbox = Sandbox::empty();
    sandbox.write(
        "keyward.toml",
        "[apps]\ncommands = [\"\"]\nvariables = [\"A=B\", \"KEYWARD_TOKEN\", \"KEYWARD_INPUT_A\"]\n\
         [store]\nlease_s = 301\nreplica_name = \" \"\n",
    );
    let told = sandbox.run(&["--config", "keyward.toml", "config", "check"]);
    told.failed(
        3,
        &[
            "keyward.toml:2:12: apps.commands has '', which is no name of one",
            "keyward.toml:3:13: apps.variables has 'A=B'",
            "apps.variables has 'KEYWARD_TOKEN'",
            "keyward.toml:5:11: store.lease_s is 301: a lease is from 1 s to 300 s long",
            "keyward.toml:6:16: expected 1 to 64 characters",
        ],
    );
    assert!(!told.err.contains("KEYWARD_INPUT_A"), "{told:?}");
}

#[test]
fn text_that_is_no_toml_is_told_with_its_place() {
    let sandbox = Sandbox::empty();
    sandbox.write("keyward.toml", "a = \n[b\n");
    sandbox.run(&["--config", "keyward.toml", "config", "check"]).failed(3, &["keyward.toml:1:"]);
    sandbox
        .run(&["--config", "none.toml", "config", "check"])
        .failed(3, &["none.toml", "cannot be read"]);
}

#[test]
fn a_flag_wins_over_the_environment_which_wins_over_the_file_which_wins_over_the_default() {
    let sandbox = Sandbox::empty();
    sandbox.write(
        "keyward.toml",
        "app_name = \"of-file\"\nshutdown_grace = \"1s\"\n[data_plane]\nlisten = \"127.0.0.1:1\"\n",
    );
    let mut command = sandbox.command(&["config", "show", "--app-name", "of-flag"]);
    command
        .env("KEYWARD_CONFIG", "keyward.toml")
        .env("KEYWARD_APP_NAME", "of-environment")
        .env("KEYWARD_LISTEN", "127.0.0.1:2")
        .env("KEYWARD_MASTER_KEY", "");
    let shown = sandbox.run_with(command, "").ok();
    for line in [
        "app_name = \"of-flag\"  # --app-name",
        "data_plane.listen = \"127.0.0.1:2\"  # KEYWARD_LISTEN",
        "shutdown_grace = \"1s\"  # keyward.toml:2:18",
        "management.listen = \"127.0.0.1:7072\"  # default",
    ] {
        assert!(shown.contains(line), "no {line} in {shown}");
    }
}

#[test]
fn a_secret_in_the_environment_is_neither_shown_nor_repeated() {
    let sandbox = Sandbox::empty();
    let mut command = sandbox.command(&["config", "show"]);
    command.env("KEYWARD_TOKEN", "kwo1_secretsecret");
    let shown = sandbox.run_with(command, "").ok();
    assert!(shown.contains("KEYWARD_TOKEN is set") && !shown.contains("secretsecret"), "{shown}");
    let mut command = sandbox.command(&["config", "check"]);
    command.env("KEYWARD_MASTER_KEY", "kwm1_secretsecret");
    let refused = sandbox.run_with(command, "");
    refused.failed(3, &["KEYWARD_MASTER_KEY: key 1", "checksum"]);
    assert!(!refused.err.contains("secretsecret"), "{refused:?}");
}

#[test]
fn listening_beyond_this_machine_needs_a_word_for_each_danger() {
    let sandbox = Sandbox::new();
    let check = |arguments: &[&str]| sandbox.run(&[&["config", "check"], arguments].concat());
    check(&["--listen", "0.0.0.0:0"]).failed(3, &["--behind-tls-proxy", "--public-url"]);
    check(&["--manage-listen", "[::]:0"]).failed(3, &["--manage-off-loopback"]);
    check(&["--manage-listen", "[::]:0", "--manage-off-loopback"])
        .failed(3, &["--behind-tls-proxy"]);
    check(&["--public-url", "http://tools.example.com"]).failed(2, &["https"]);
    let long = format!("https://tools.example.com/{}", "x".repeat(3000));
    check(&["--public-url", &long]).failed(2, &["3026 bytes", "2048"]);
    let all = [
        "--listen",
        "0.0.0.0:0",
        "--behind-tls-proxy",
        "--public-url",
        "https://tools.example.com",
    ];
    check(&all).ok();
    check(&[&all[..], &["--manage-listen", "0.0.0.0:0", "--manage-off-loopback"]].concat()).ok();
}

#[test]
fn two_listeners_at_one_address_are_refused_unless_the_port_is_any() {
    let sandbox = Sandbox::new();
    let both = |address: &str| ["--listen", address, "--manage-listen", address].map(str::to_owned);
    let run = |command: &[&str], address: &str| {
        let address = both(address);
        sandbox.run(&[command, &address.each_ref().map(String::as_str)].concat())
    };
    for command in [&["config", "check"][..], &["serve", "tools"]] {
        run(command, "127.0.0.1:7071").failed(3, &["are both 127.0.0.1:7071", "another port"]);
    }
    run(&["config", "check"], "127.0.0.1:0").ok();
}

#[test]
fn a_workflow_reads_app_settings_of_the_environment_and_no_other_variable() {
    let sandbox = Sandbox::new();
    sandbox.edit("tools/Greet/workflow.json", "'Hi '", "appsetting('GREETING')");
    let mut command = sandbox.serve_command(&[]);
    command.env("APPSETTING_GREETING", "Servus ").env("OTHER", "x");
    let server = sandbox.serve_by(command);
    let key = sandbox.run(&["key", "issue", "-q"]).ok();
    let called = server.tool(key.trim(), "Greet", &serde_json::json!({ "name": "Ada" }));
    assert!(called.body.contains("Servus Ada!"), "{called:?}");
}

#[test]
fn operators_with_the_same_token_are_refused_by_name() {
    let sandbox = Sandbox::new();
    drop(sandbox.serve());
    let other = Sandbox::new();
    drop(other.serve());
    for (file, of) in [("own", &sandbox), ("another", &other)] {
        sandbox.write(file, &of.read("tools/.keyward/operator-token"));
        sandbox.set_mode(file, 0o600);
    }
    let entry = |name: &str, file: &str| {
        format!("[[operator]]\nname = \"{name}\"\nrole = \"reader\"\ntoken_file = \"{file}\"\n")
    };
    let serve = |entries: &[String]| {
        sandbox.write("keyward.toml", &entries.concat());
        let refused = sandbox.run_with(sandbox.serve_command(&["--config", "keyward.toml"]), "");
        assert!(!refused.err.contains("kwo1_"), "{refused:?}");
        refused
    };
    serve(&[entry("ci", "own")])
        .failed(3, &["operators operator and ci have the same token", "own"]);
    let both = [entry("ci", "another"), entry("audit", "another")];
    serve(&both).failed(3, &["operators ci and audit have the same token", "another"]);
    sandbox.write("keyward.toml", &entry("ci", "another"));
    let server = sandbox.serve_with(&["--config", "keyward.toml"]);
    let answer = server.manage_as(
        other.read("tools/.keyward/operator-token").trim(),
        "listMcpServerUrl",
        &serde_json::json!({}),
    );
    assert_eq!(answer.status, 200, "{answer:?}");
}
