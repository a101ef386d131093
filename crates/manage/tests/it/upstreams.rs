//! Servers that exist already, as they are listed and named in scopes.

use std::sync::Arc;
use std::time::Duration;

use app::{App, Files};
use keys::Clock as _;
use serde_json::{Value, json};
use store::{Candidate, ListedTool, Subject};

use crate::plane::{Answer, Plane, START, app_with};

const URL: &str = "http://127.0.0.1:9/mcp?token=hush";

fn files(allowed: &Value) -> Files {
    let servers = json!([{ "name": "search", "description": "Finds", "tools": allowed }]);
    let endpoints = json!({ "enable": true, "authentication": { "type": "ApiKey" } });
    let mut files = app_with(&endpoints, &servers);
    let mcp = json!({ "servers": {
        "search": { "type": "http", "url": URL, "headers": { "Authorization": "Bearer hush" } },
        "files": { "command": "hush-hush", "args": ["hush"], "env": { "TOKEN": "hush" } },
    } });
    files.insert("mcp.json", mcp.to_string()).unwrap();
    files
}

/// An app whose server `search` allows the tools `find` and `gone`.
async fn plane() -> Plane {
    Plane::of_app(files(&json!([{ "name": "find" }, { "name": "gone" }]))).await
}

fn subject(plane: &Plane, server: &str) -> Subject {
    let snapshot = plane.replica.last_snapshot();
    let state = &snapshot.apps()[0];
    Subject::of(state.id, state.server(server).unwrap()).unwrap()
}

fn tell(plane: &Plane, server: &str, answer: Result<&[&str], &str>) {
    let listed = |name: &&str| ListedTool {
        name: (*name).to_owned(),
        description: Some(format!("What {name} does")),
    };
    let answer = answer.map(|names| names.iter().map(listed).collect()).map_err(str::to_owned);
    plane.replica.catalog().tell(&subject(plane, server), answer, plane.clock.now());
}

async fn list(plane: &Plane) -> Answer {
    // Nobody answers here: what is waited for is waited for to the end.
    tokio::time::pause();
    let answer = plane.post("listMcpServers", "").await;
    tokio::time::resume();
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(!answer.text.contains("hush"), "{}", answer.text);
    answer
}

fn server<'a>(answer: &'a Answer, name: &str) -> &'a Value {
    let servers = answer.json["value"].as_array().unwrap();
    servers.iter().find(|server| server["name"] == name).unwrap()
}

async fn scoped(plane: &Plane, scope: &str) -> Answer {
    plane.post("listMcpServerUrl", json!({ "scopes": [scope] }).to_string()).await
}

/// Answers whatever is wanted, once.
async fn answer_once(plane: &Plane, names: &[&str]) {
    let catalog = plane.replica.catalog();
    loop {
        catalog.stirred().await;
        let due = catalog.take_due(|candidate: &Candidate<'_>| candidate.wanted.is_some());
        for subject in &due {
            tell(plane, &subject.server, Ok(names));
        }
        if !due.is_empty() {
            return;
        }
    }
}

#[tokio::test]
async fn the_tools_that_are_allowed_are_listed_with_where_they_come_from() {
    let plane = plane().await;
    tell(&plane, "search", Ok(&["find", "delete"]));
    tell(&plane, "files", Ok(&["read"]));
    let answer = list(&plane).await;
    let expected = json!({
        "name": "search", "description": "Finds", "enabled": true,
        "url": "https://mcp.example.com/tenant/api/mcpservers/search/mcp",
        "tools": [{ "name": "find", "description": "What find does" }],
        "upstream": {
            "transport": "http", "state": "known", "checkedAt": START,
            "message": "mcpservers.json allows tools that this server does not have: 'gone'",
        },
    });
    assert_eq!(*server(&answer, "search"), expected);
    let files = server(&answer, "files");
    assert_eq!(files["tools"], json!([{ "name": "read", "description": "What read does" }]));
    let expected = json!({ "transport": "stdio", "state": "known", "checkedAt": START });
    assert_eq!(files["upstream"], expected);
}

#[tokio::test]
async fn one_that_does_not_answer_keeps_nobody_from_the_list() {
    let plane = plane().await;
    tell(&plane, "search", Ok(&["find"]));
    let answer = list(&plane).await;
    assert_eq!(server(&answer, "search")["upstream"]["state"], "known");
    let files = server(&answer, "files");
    assert_eq!(files["tools"], json!([]));
    assert_eq!(files["upstream"], json!({ "transport": "stdio", "state": "pending" }));
}

#[tokio::test]
async fn one_that_fails_says_since_when_and_why_and_what_was_known() {
    let plane = plane().await;
    tell(&plane, "search", Ok(&["find"]));
    plane.advance(Duration::from_secs(1));
    tell(&plane, "search", Err("is gone"));
    plane.advance(Duration::from_secs(1));
    tell(&plane, "search", Err("is still gone"));
    let answer = list(&plane).await;
    let expected = json!({
        "transport": "http", "state": "unreachable", "message": "is still gone",
        "checkedAt": "2026-01-01T00:00:02Z", "unreachableSince": "2026-01-01T00:00:01Z",
    });
    let search = server(&answer, "search");
    assert_eq!(search["upstream"], expected);
    assert_eq!(search["tools"][0]["name"], "find");
}

#[tokio::test]
async fn a_list_asks_for_what_is_not_known() {
    let plane = plane().await;
    let (answer, ()) =
        tokio::join!(plane.post("listMcpServers", ""), answer_once(&plane, &["find"]));
    for name in ["search", "files"] {
        assert_eq!(server(&answer, name)["upstream"]["state"], "known");
        assert_eq!(server(&answer, name)["tools"][0]["name"], "find");
    }
}

#[tokio::test]
async fn a_disabled_one_is_listed_and_not_asked() {
    let plane = plane().await;
    let mut files = files(&json!([]));
    let servers = json!({ "mcpServers": [{ "name": "search", "enabled": false }] });
    files.insert("mcpservers.json", servers.to_string()).unwrap();
    let app = Arc::new(App::from_files(&files).unwrap());
    plane.replica.serve_app(plane.apps[0], app).await;
    let answer = list(&plane).await;
    let search = server(&answer, "search");
    assert_eq!(search["enabled"], false);
    assert_eq!(search["upstream"], json!({ "transport": "http", "state": "notAsked" }));
}

#[tokio::test]
async fn a_scope_must_fit_the_allow_list() {
    let plane = plane().await;
    assert_eq!(scoped(&plane, "search").await.status, 200);
    assert_eq!(scoped(&plane, "search/find").await.status, 200);
    let refused = scoped(&plane, "search/delete").await;
    refused.assert(400, "InvalidScope");
    assert!(refused.message().ends_with("it allows 'find', 'gone'."), "{}", refused.text);
}

#[tokio::test]
async fn a_scope_of_an_upstream_that_is_not_known_is_taken() {
    let plane = plane().await;
    assert_eq!(scoped(&plane, "files/read").await.status, 200);
    tell(&plane, "files", Ok(&["write"]));
    tell(&plane, "files", Err("is gone"));
    assert_eq!(scoped(&plane, "files/read").await.status, 200);
}

#[tokio::test]
async fn a_scope_must_name_a_tool_of_an_upstream_that_is_known() {
    let plane = plane().await;
    tell(&plane, "files", Ok(&["read", "write"]));
    assert_eq!(scoped(&plane, "files/read").await.status, 200);
    tokio::time::pause();
    let refused = scoped(&plane, "files/Read").await;
    refused.assert(400, "InvalidScope");
    let expected =
        "The scope 'files/Read' names no tool of files, whose tools are 'read', 'write'.";
    assert_eq!(refused.message(), expected);
}

#[tokio::test]
async fn a_tool_that_was_added_a_while_ago_can_be_named() {
    let plane = plane().await;
    tell(&plane, "files", Ok(&["read"]));
    let asking = answer_once(&plane, &["read", "write"]);
    let (answer, ()) = tokio::join!(scoped(&plane, "files/write"), asking);
    assert_eq!(answer.status, 200, "{}", answer.text);
}

/// An app with a server that is served under another name, and one that is left out.
async fn plane_of_names() -> Plane {
    let mut files = files(&json!([]));
    let mcp = json!({ "servers": {
        "Help Desk": { "url": URL },
        "lost": { "command": "hush", "args": ["${NOT_SET}"] },
    } });
    files.insert("mcpservers.json", r#"{"mcpServers":[]}"#).unwrap();
    files.insert("mcp.json", mcp.to_string()).unwrap();
    Plane::of_app(files).await
}

#[tokio::test]
async fn what_is_left_out_is_listed_with_the_reason_beside_the_servers() {
    let plane = plane_of_names().await;
    let answer = list(&plane).await;
    assert_eq!(answer.json["value"].as_array().unwrap().len(), 1);
    let reason = "the variable `NOT_SET` is not set: set it where Keyward runs";
    assert_eq!(answer.json["leftOut"], json!([{ "name": "lost", "reason": reason }]));
    assert_eq!(server(&answer, "Help-Desk")["upstream"]["name"], "Help Desk");

    let answer = plane.post("listMcpServers", r#"{"serverName":"default"}"#).await;
    assert!(answer.json.get("leftOut").is_none(), "{}", answer.text);
    let refused = plane.post("listMcpServerUrl", r#"{"serverName":"LOST"}"#).await;
    refused.assert(404, "McpServerNotFound");
    let expected = format!("mcp.json has it, and it is left out: {reason}.");
    assert!(refused.message().ends_with(&expected), "{}", refused.text);
}

#[tokio::test]
async fn a_server_is_found_by_its_name_in_mcp_json_and_a_misspelt_one_is_answered_with_the_right_one()
 {
    let plane = plane_of_names().await;
    let answer = plane.post("listMcpServerUrl", r#"{"serverName":"Help Desk"}"#).await;
    let url = answer.json["value"].as_str().unwrap();
    assert!(url.ends_with("/api/mcpservers/Help-Desk/mcp"), "{url}");

    let refused = plane.post("listMcpServerUrl", r#"{"serverName":"help desk"}"#).await;
    refused.assert(404, "McpServerNotFound");
    assert!(refused.message().ends_with("Did you mean Help-Desk?"), "{}", refused.text);
    let refused = scoped(&plane, "helpdesk/find").await;
    refused.assert(400, "InvalidScope");
    assert!(refused.message().ends_with("Did you mean Help-Desk?"), "{}", refused.text);
}
