//! Whatever mcp.json says: an answer, and no value in it.

use app::{App, Surroundings};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::surroundings;
use crate::support::{files, lines};

const SECRET: &str = "s3cr3t/\u{1f511}";

/// Texts that ask for the secret in every way, and such as come close to a form.
fn text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        6 => prop::sample::select(vec![
            "${env:S}", "${S}", "${S:-x}", "${input:s}", "${input:S}", "${NONE}", "${input:none}",
            "${NONE:-y}", "${", "}", "$", "${}", "${env:}", "${:-}", "${input:}", "${command:S}",
            "${env:KEYWARD_TOKEN}", "${workspaceFolder}", "${userHome}", "${/}", "https://",
            "http://a.example", "//", ":", "@", "/", "?", "#", "http", "stdio", "sse", "*", "\0",
            "\n", " ", "ä", "[::1]", ":99999",
        ]).prop_map(str::to_owned),
        1 => any::<String>(),
    ];
    prop::collection::vec(part, 0..5).prop_map(|parts| parts.concat())
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        8 => text().prop_map(Value::from),
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name(), inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Names, which nothing is put into.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => prop::sample::select(vec![
            "Authorization", "X-Key", "Host", "Content-Type", "Mcp-Session-Id", "A", "PATH", "a b",
        ]).prop_map(str::to_owned),
        1 => any::<String>(),
    ]
}

fn entry() -> impl Strategy<Value = Value> {
    let member = prop::sample::select(vec![
        "type",
        "url",
        "headers",
        "command",
        "args",
        "env",
        "cwd",
        "disabled",
        "enabled",
        "envFile",
        "sandbox",
        "tools",
        "disabledTools",
        "oauth",
        "timeout",
        "enable",
        "URL",
    ]);
    let usual = prop_oneof![
        prop::collection::vec(text(), 0..3).prop_map(|args| json!({"command": "a", "args": args})),
        (text(), text()).prop_map(|(path, header)| json!({
            "url": format!("https://a.example/{path}"), "headers": {"X": header},
        })),
        (text(), text()).prop_map(|(env, cwd)| json!({
            "command": "a", "env": {"E": env}, "cwd": cwd,
        })),
        Just(json!({})),
    ];
    (usual, prop::collection::vec((member, value()), 0..3)).prop_map(|(mut entry, more)| {
        let members = entry.as_object_mut().unwrap();
        members.extend(more.into_iter().map(|(name, value)| (name.to_owned(), value)));
        entry
    })
}

fn with_secret() -> Surroundings {
    let mut around = surroundings();
    around.variables.insert("S".to_owned(), SECRET.to_owned());
    around.variables.insert("KEYWARD_TOKEN".to_owned(), SECRET.to_owned());
    around.inputs.insert("S".to_owned(), Ok(SECRET.to_owned()));
    around
}

/// Reads the file, and sees that what is said of it has no value that was put in.
fn read(json: &str, names: &[String]) {
    let entries = names.iter().map(|name| json!({"name": name, "tools": [{"name": "t"}]}));
    let servers = json!({ "mcpServers": entries.collect::<Vec<_>>() }).to_string();
    let around = with_secret();
    for given in [&[("mcp.json", json)][..], &[("mcp.json", json), ("mcpservers.json", &servers)]] {
        let files = files(given);
        let said = match App::from_files_in(&files, &around) {
            Ok(app) => {
                assert_eq!(app, App::from_files_in(&files, &around).unwrap());
                assert!(app.servers().iter().all(|server| server.upstream().is_some()), "{app:?}");
                let left_out = app.left_out().iter().map(ToString::to_string);
                format!("{app:?}\n{}", left_out.collect::<Vec<_>>().join("\n"))
            }
            Err(problems) => {
                assert!(!problems.is_empty());
                format!("{problems:?}\n{}", lines(&problems))
            }
        };
        for shown in [SECRET, &SECRET.escape_debug().to_string(), "s3cr3t"] {
            assert!(!said.contains(shown), "{said}");
        }
    }
}

proptest! {
    #[test]
    fn any_server_is_answered_without_a_value(
        entries in prop::collection::vec((name(), entry()), 1..4),
        outer in prop::sample::select(vec!["servers", "mcpServers"]),
    ) {
        let names: Vec<String> = entries.iter().map(|(name, _)| name.clone()).collect();
        let entries: Map<String, Value> = entries.into_iter().collect();
        read(&json!({ outer: entries }).to_string(), &names);
    }

    #[test]
    fn any_text_is_answered_with_places_in_it(
        parts in prop::collection::vec(prop::sample::select(vec![
            "{", "}", "[", "]", ",", ":", "\"", "\\", "//", "/*", "*/", "/", "*", "#", "\n", "\r", " ",
            "ä", "日", "\"servers\"", "\"a\"", "{\"servers\":{", "\"url\":", "1", "null",
        ]), 0..40),
    ) {
        let text = parts.concat();
        if let Err(problems) = App::from_files(&files(&[("mcp.json", &text)])) {
            for problem in problems {
                let line = problem.line.and_then(|line| text.split('\n').nth(line - 1));
                let columns = line.map(|line| line.chars().count() + 1);
                prop_assert!(problem.column.is_none_or(|column| Some(column) <= columns), "{problem}");
            }
        }
    }
}
