use app::{App, Files};
use proptest::prelude::*;
use serde_json::Value;

use crate::support::{HOST, TOOL, settings};

const PATHS: &[&str] = &[
    "host.json",
    "mcpservers.json",
    "parameters.json",
    "local.settings.json",
    "connections.json",
    "mcp.json",
    "A/workflow.json",
];

/// Names and texts that the readers know, so that random JSON gets past their first look.
fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(vec![
            "extensions", "workflow", "McpServerEndpoints", "enable", "authentication", "type",
            "ProtectedResourceMetadata", "Resource", "AuthorizationServers", "http", "routePrefix",
            "mcpServers", "name", "tools", "description", "enabled", "Values", "IsEncrypted",
            "Workflows.A.FlowState", "value", "String", "Int", "ApiKey", "@appsetting('x')",
            "@{appsetting('x')", "@@", "@{", "definition", "triggers", "actions", "kind",
            "Request", "Response", "inputs", "schema", "runAfter", "If", "expression", "A",
            "@concat(triggerBody())", "$serde_json::private::RawValue", "https://[::1]/#",
        ]).prop_map(str::to_owned),
        1 => any::<String>(),
    ]
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        word().prop_map(Value::from),
    ];
    leaf.prop_recursive(8, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((word(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn read(path: &str, bytes: &[u8]) {
    let mut files = Files::new();
    files.insert("host.json", HOST).unwrap();
    files.insert("A/workflow.json", TOOL).unwrap();
    files.insert(path, bytes).unwrap();
    let around = settings("x", "1");
    match App::from_files_in(&files, &around) {
        Ok(app) => assert_eq!(app, App::from_files_in(&files, &around).unwrap()),
        Err(problems) => {
            assert!(!problems.is_empty());
            let text = String::from_utf8_lossy(bytes);
            let lines = text.split('\n').count();
            for problem in problems {
                assert!(!problem.message.is_empty());
                assert!(problem.line.is_none_or(|line| line >= 1 && line <= lines), "{problem}");
            }
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_in_any_file_are_answered(
        path in prop::sample::select(PATHS),
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        read(path, &bytes);
    }

    #[test]
    fn arbitrary_json_in_any_file_is_answered(
        path in prop::sample::select(PATHS),
        value in json(),
    ) {
        read(path, value.to_string().as_bytes());
    }

    #[test]
    fn a_damaged_file_is_answered(
        path in prop::sample::select(PATHS),
        at in any::<prop::sample::Index>(),
        with in any::<u8>(),
        cut in any::<bool>(),
    ) {
        let mut bytes = if path == "host.json" { HOST } else { TOOL }.as_bytes().to_vec();
        let at = at.index(bytes.len());
        if cut {
            bytes.truncate(at);
        } else {
            bytes[at] = with;
        }
        read(path, &bytes);
    }

    #[test]
    fn an_authentication_that_does_not_read_never_gives_an_app(kind in "\\PC{0,12}") {
        let known = ["apikey", "oauth2", "anonymous"].contains(&kind.to_ascii_lowercase().as_str());
        let host = serde_json::json!({"extensions":{"workflow":{"McpServerEndpoints":{
            "enable":true,"authentication":{"type":kind}}}}});
        let mut files = Files::new();
        files.insert("host.json", host.to_string()).unwrap();
        prop_assert_eq!(App::from_files(&files).is_ok(), known);
    }
}
