//! mcp.json.

mod allowed;
mod anything;
mod names;
mod refusals;
mod values;

use std::collections::BTreeMap;

use app::{App, HttpUpstream, Server, StdioUpstream, Surroundings, Transport};

use crate::support::{app, files, left_out, lines};

/// An app with this mcp.json.
fn with(json: &str) -> App {
    app(&[("mcp.json", json)])
}

/// An app with a folder, a home, variables and inputs.
fn in_surroundings(json: &str) -> App {
    let files = files(&[("mcp.json", json)]);
    App::from_files_in(&files, &surroundings()).unwrap_or_else(|found| panic!("{}", lines(&found)))
}

fn surroundings() -> Surroundings {
    let texts = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let mut inputs: BTreeMap<String, Result<String, String>> = BTreeMap::new();
    inputs.insert("API_KEY".to_owned(), Ok("of-the-input".to_owned()));
    inputs.insert("GONE".to_owned(), Err("its file cannot be read".to_owned()));
    Surroundings {
        settings: BTreeMap::new(),
        variables: texts(&[
            ("TOKEN", "of-the-variable"),
            ("EMPTY", ""),
            ("FORM", "${TOKEN}"),
            ("KEYWARD_TOKEN", "of-keyward"),
        ]),
        inputs,
        folder: Some("/home/user/project".to_owned()),
        home: Some("/home/user".to_owned()),
        allowed: None,
    }
}

fn http<'a>(app: &'a App, name: &str) -> &'a HttpUpstream {
    match app.server(name).and_then(Server::upstream).unwrap().transport() {
        Transport::Http(http) => http,
        Transport::Stdio(_) => panic!("{name} is a program"),
    }
}

fn stdio<'a>(app: &'a App, name: &str) -> &'a StdioUpstream {
    match app.server(name).and_then(Server::upstream).unwrap().transport() {
        Transport::Stdio(stdio) => stdio,
        Transport::Http(_) => panic!("{name} is reached over HTTP"),
    }
}

#[test]
fn every_editors_form_is_read() {
    let app = in_surroundings(
        r#"{
            // As VS Code writes it.
            "inputs": [{"type": "promptString", "id": "api-key", "password": true}],
            "servers": {
                "one": {"type": "http", "url": "https://a.example/mcp", "headers": {"X-Key": "k"}},
                "two": {"url": "http://127.0.0.1:3000/mcp?a=b"},
                "three": {"type": "streamable-http", "url": "https://[::1]/", /* why */},
                "four": {"type": "streamableHttp", "url": "https://a.example"},
                "five": {"type": "stdio", "command": "npx", "args": ["-y", "server"],
                         "env": {"A": "1", "PORT": 8080, "GONE": null}, "cwd": "/srv"},
                "six": {"command": "./run", "dev": {"watch": "*"}, "timeout": 7, "gallery": true,
                        "alwaysAllow": ["x"], "autoApprove": [], "version": "1.0", "description": ""},
            },
        }"#,
    );
    let names: Vec<&str> = app.servers().iter().map(Server::name).collect();
    assert_eq!(names, ["five", "four", "one", "six", "three", "two"]);
    assert!(app.servers().iter().all(|server| server.is_enabled() && server.tools().is_empty()));
    assert!(app.default_server().upstream().is_none());
    assert!(app.left_out().is_empty(), "{:?}", app.left_out());

    let one = http(&app, "one");
    assert_eq!(one.uri(), "https://a.example/mcp");
    assert_eq!(one.headers()["x-key"], "k");
    assert!(one.headers()["x-key"].is_sensitive());
    assert_eq!(http(&app, "two").uri(), "http://127.0.0.1:3000/mcp?a=b");
    assert_eq!(http(&app, "three").uri(), "https://[::1]/");
    assert_eq!(http(&app, "four").uri(), "https://a.example/");

    let five = stdio(&app, "five");
    assert_eq!((five.command(), five.cwd()), ("npx", Some("/srv")));
    assert_eq!(five.args(), ["-y", "server"]);
    let env: Vec<_> = five.env().iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(env, [("A", "1"), ("PORT", "8080")]);
    let six = stdio(&app, "six");
    assert_eq!(
        (six.command(), six.cwd()),
        ("/home/user/project/./run", Some("/home/user/project"))
    );
}

#[test]
fn the_servers_stand_under_either_name() {
    for json in [
        r#"{"servers":{"a":{"url":"https://a.example/"}}}"#,
        r#"{"mcpServers":{"a":{"url":"https://a.example/"}}}"#,
        r#"{"mcpServers":{"a":{"url":"https://a.example/"}},"servers":{}}"#,
        r#"{"mcpServers":{},"servers":{"a":{"url":"https://a.example/"}}}"#,
        r#"{"mcpServers":null,"servers":{"a":{"url":"https://a.example/"}}}"#,
    ] {
        assert!(with(json).server("A").is_some(), "{json}");
    }
    assert!(with(r#"{"servers":{}}"#).servers().is_empty());
}

#[test]
fn a_server_is_disabled_in_either_way() {
    let app = with(
        r#"{"servers":{
            "a":{"url":"https://a.example/","disabled":true},
            "b":{"url":"https://a.example/","enabled":false},
            "c":{"url":"https://a.example/","enabled":true,"disabled":true},
            "d":{"url":"https://a.example/","enabled":true,"disabled":false}}}"#,
    );
    let enabled: Vec<bool> = app.servers().iter().map(Server::is_enabled).collect();
    assert_eq!(enabled, [false, false, false, true]);
}

#[test]
fn a_misspelt_switch_is_told() {
    for name in ["enable", "disable", "Enabeld", "is_enabled", "isDisabled"] {
        let json =
            format!(r#"{{"servers":{{"a":{{"url":"https://a.example/","{name}":false}}}}}}"#);
        assert_eq!(
            left_out(&[("mcp.json", &json)]),
            format!(
                "mcp.json /servers/a/{name}: is not read; what says whether a server is served: \
                 `enabled`, `disabled`"
            )
        );
    }
}

#[test]
fn an_app_differs_where_an_upstream_does() {
    let one = |entry: &str| in_surroundings(&format!(r#"{{"servers":{{"a":{entry}}}}}"#));
    let base = one(r#"{"url":"https://a.example/","headers":{"x":"1"}}"#);
    assert_eq!(base, one(r#"{"headers": {"X":"1"}, "timeout": 7, "url":"https://a.example"}"#));
    for other in [
        r#"{"url":"https://a.example/"}"#,
        r#"{"url":"https://a.example/","headers":{"x":"${TOKEN}"}}"#,
        r#"{"url":"https://b.example/","headers":{"x":"1"}}"#,
        r#"{"url":"https://a.example/","headers":{"x":"1"},"disabled":true}"#,
        r#"{"command":"a"}"#,
    ] {
        assert_ne!(base, one(other), "{other}");
    }
    let named = |name: &str| with(&format!(r#"{{"servers":{{"{name}":{{"command":"a"}}}}}}"#));
    assert_ne!(named("a b"), named("a.b"));
    let with_variable = r#"{"servers":{"a":{"command":"a","args":["${TOKEN}"]}}}"#;
    let files = files(&[("mcp.json", with_variable)]);
    let mut around = surroundings();
    let before = App::from_files_in(&files, &around).unwrap();
    around.variables.insert("TOKEN".to_owned(), "another".to_owned());
    assert_ne!(before, App::from_files_in(&files, &around).unwrap());
}

#[test]
fn scopes_have_a_target_where_an_upstream_may_be_called() {
    let app = app(&[
        ("mcp.json", r#"{"servers":{"a":{"url":"https://a.example/"},"b":{"command":"b"}}}"#),
        ("mcpservers.json", r#"{"mcpServers":[{"name":"b","tools":[{"name":"Echo"}]}]}"#),
    ]);
    for (server, tool, offered) in [
        ("a", None, true),
        ("A", Some("anything"), true),
        ("b", Some("Echo"), true),
        ("b", Some("echo"), false),
        ("c", None, false),
    ] {
        assert_eq!(app.offers(server, tool), offered, "{server} {tool:?}");
    }
}
