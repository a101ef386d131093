use http::StatusCode;
use serde_json::{Value, json};

use crate::harness::{DEFAULT, DESK, Fixture, call_tool, message};

#[tokio::test]
async fn tools_are_listed_with_the_triggers_description_and_schema() {
    let fixture = Fixture::new("ApiKey").await;
    let key = fixture.key().await.key;
    let answer = fixture.call(DEFAULT, Some(&key), &message("tools/list", json!({}))).await;
    let tools = answer.json()["result"]["tools"].clone();
    let strict = tools.as_array().unwrap().iter().find(|tool| tool["name"] == "Strict").unwrap();
    assert_eq!(strict["description"], "Does Strict.");
    assert_eq!(strict["inputSchema"]["properties"]["id"]["minimum"], 1);
    assert_eq!(tools.as_array().unwrap().len(), 8);
    assert_eq!(fixture.tool_names(DESK, &key).await, ["Echo", "Slow", "Refuse"]);
}

#[tokio::test]
async fn a_responses_body_becomes_the_result() {
    let fixture = Fixture::new("ApiKey").await;
    let key = fixture.key().await.key;
    let text = fixture.tool(DEFAULT, &key, "Text", json!({ "name": "Ada" })).await;
    assert_eq!(text["content"], json!([{ "type": "text", "text": "Hello Ada" }]));
    assert!(text.get("structuredContent").is_none());
    assert_ne!(text["isError"], true);

    let object = fixture.tool(DEFAULT, &key, "Echo", json!({ "a": [1, 2.0, "ü"] })).await;
    assert_eq!(object["structuredContent"], json!({ "a": [1, 2.0, "ü"] }));
    let as_text = object["content"][0]["text"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(as_text).unwrap(), object["structuredContent"]);

    let list = fixture.tool(DEFAULT, &key, "List", json!({})).await;
    assert_eq!(list["content"][0]["text"], "[1,2.5,null]");
}

#[tokio::test]
async fn a_status_of_400_or_more_is_a_tools_error() {
    let fixture = Fixture::new("ApiKey").await;
    let key = fixture.key().await.key;
    let refused = fixture.tool(DEFAULT, &key, "Refuse", json!({})).await;
    assert_eq!(refused["isError"], true);
    assert_eq!(refused["structuredContent"]["error"], "no such ticket");
}

#[tokio::test]
async fn arguments_that_do_not_fit_are_refused_with_their_place() {
    let fixture = Fixture::new("ApiKey").await;
    let key = fixture.key().await.key;
    for (arguments, needle) in
        [(json!({}), "id"), (json!({ "id": 0 }), "/id"), (json!({ "id": "one" }), "/id")]
    {
        let result = fixture.tool(DEFAULT, &key, "Strict", arguments).await;
        assert_eq!(result["isError"], true);
        assert_eq!(result["structuredContent"]["error"]["code"], "InvalidArguments");
        assert!(result["content"][0]["text"].as_str().unwrap().contains(needle), "{result}");
    }
    let good = fixture.tool(DEFAULT, &key, "Strict", json!({ "id": 1 })).await;
    assert_eq!(good["content"][0]["text"], "ok");
}

#[tokio::test]
async fn a_failed_run_says_which_action_failed_with_which_code() {
    let fixture = Fixture::new("ApiKey").await;
    let key = fixture.key().await.key;
    let failed = fixture.tool(DEFAULT, &key, "Fails", json!({})).await;
    assert_eq!(failed["isError"], true);
    let error = &failed["structuredContent"]["error"];
    assert_eq!(error["action"], "Divide");
    assert!(!error["code"].as_str().unwrap().is_empty());
    let text = failed["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("Divide") && text.contains(error["runId"].as_str().unwrap()), "{text}");
}

#[tokio::test]
async fn a_run_without_a_response_says_so_with_its_id() {
    let fixture = Fixture::new("ApiKey").await;
    let key = fixture.key().await.key;
    let silent = fixture.tool(DEFAULT, &key, "Silent", json!({})).await;
    assert_eq!(silent["isError"], true);
    let error = &silent["structuredContent"]["error"];
    assert_eq!(error["code"], "NoResponse");
    assert!(
        silent["content"][0]["text"].as_str().unwrap().contains(error["runId"].as_str().unwrap())
    );
}

#[tokio::test]
async fn an_unknown_tool_is_a_protocol_error() {
    let fixture = Fixture::new("ApiKey").await;
    let key = fixture.key().await.key;
    let answer = fixture.call(DEFAULT, Some(&key), &call_tool("None", json!({}))).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["error"]["code"], -32602);
}

#[tokio::test]
async fn every_older_protocol_version_is_spoken_without_a_session() {
    let fixture = Fixture::new("ApiKey").await;
    let key = fixture.key().await.key;
    for version in ["2025-03-26", "2025-06-18", "2025-11-25"] {
        let initialize = message(
            "initialize",
            json!({
                "protocolVersion": version, "capabilities": {},
                "clientInfo": { "name": "test", "version": "1" },
            }),
        );
        let mut request = crate::harness::request(DESK, Some(&key), &initialize);
        request.headers_mut().remove("mcp-protocol-version");
        let answer = fixture.send(request).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("mcp-session-id"), None);
        let result = answer.json()["result"].clone();
        assert_eq!(result["protocolVersion"], version);
        assert_eq!(result["serverInfo"]["name"], "Desk");
        assert_eq!(result["instructions"], "The desk.");
    }
    let note = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    assert_eq!(fixture.call(DESK, Some(&key), &note).await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn switched_off_endpoints_are_not_found_behind_the_key() {
    let mut files = crate::harness::files("ApiKey");
    files[0].1 = json!({ "version": "2.0", "extensions": { "workflow": { "McpServerEndpoints":
        { "enable": false, "authentication": { "type": "ApiKey" } } } } })
    .to_string();
    let fixture = Fixture::with_files(&files, "http://localhost:7071").await;
    let key = fixture.key().await.key;
    let list = message("tools/list", json!({}));
    assert_eq!(fixture.call(DEFAULT, None, &list).await.status, 401);
    let answer = fixture.call(DEFAULT, Some(&key), &list).await;
    assert_eq!(answer.status, 404);
    assert!(answer.refusal().contains("enable"));
}
