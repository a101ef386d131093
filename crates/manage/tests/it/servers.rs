//! Where the servers are.

use keys::Role;
use serde_json::{Value, json};

use crate::plane::{HOST_BASE, Plane, app_with};

const TENANT: &str = "https://mcp.example.com/tenant";

async fn url(plane: &Plane, body: &Value) -> Value {
    let answer = plane.post("listMcpServerUrl", body.to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json["value"].clone()
}

#[tokio::test]
async fn a_url_without_a_key_is_all_that_a_reader_gets() {
    let plane = Plane::new().await;
    let path = format!("{HOST_BASE}/listMcpServerUrl");
    let answer = plane.call(Role::Reader, &path, "{\"serverName\":\"tickets\"}").await;
    let url = format!("{TENANT}/api/mcpservers/Tickets/mcp");
    assert_eq!(answer.json, json!({ "value": url, "method": "POST", "basePath": url }));
    assert!(plane.register().await.is_empty());
}

#[tokio::test]
async fn the_named_server_wins_then_the_only_one_then_the_default() {
    let several = Plane::new().await;
    assert_eq!(url(&several, &json!({})).await, format!("{TENANT}/api/mcp"));
    let named = format!("{TENANT}/api/mcpservers/billing/mcp");
    assert_eq!(url(&several, &json!({ "serverName": "BILLING" })).await, named);
    let only = json!([{ "name": "Only", "description": "x", "tools": [] }]);
    let one = Plane::of_app(app_with(&json!({ "enable": true }), &only)).await;
    assert_eq!(url(&one, &json!({})).await, format!("{TENANT}/api/mcpservers/Only/mcp"));
    assert_eq!(url(&one, &json!({ "serverName": "Default" })).await, format!("{TENANT}/api/mcp"));
    let none = Plane::of_app(app_with(&json!({ "enable": true }), &json!([]))).await;
    assert_eq!(url(&none, &json!({})).await, format!("{TENANT}/api/mcp"));
}

#[tokio::test]
async fn the_route_prefix_stands_in_every_url() {
    for (prefix, expected) in [("v1/tools", "/v1/tools/mcp"), ("", "/mcp")] {
        let mut files = app_with(&json!({ "enable": true }), &json!([]));
        let host = json!({ "version": "2.0", "extensions": {
            "http": { "routePrefix": prefix },
            "workflow": { "McpServerEndpoints": { "enable": true } },
        } });
        files.insert("host.json", host.to_string()).unwrap();
        let plane = Plane::of_app(files).await;
        assert_eq!(url(&plane, &json!({})).await, format!("{TENANT}{expected}"));
    }
}

#[tokio::test]
async fn the_list_has_every_named_server_by_name_with_its_tools() {
    let plane = Plane::new().await;
    let path = format!("{HOST_BASE}/listMcpServers");
    let answer = plane.call(Role::Reader, &path, "").await;
    let expected = json!({ "value": [
        {
            "name": "billing", "description": "Bills", "enabled": false,
            "url": format!("{TENANT}/api/mcpservers/billing/mcp"),
            "tools": [{ "name": "PriceQuote" }],
        },
        {
            "name": "Tickets", "description": "Tickets", "enabled": true,
            "url": format!("{TENANT}/api/mcpservers/Tickets/mcp"),
            "tools": [{ "name": "CreateTicket" }, { "name": "FindTicket" }],
        },
    ] });
    assert_eq!(answer.json, expected);
    assert!(plane.register().await.is_empty());
}

#[tokio::test]
async fn a_named_server_is_listed_alone() {
    let plane = Plane::new().await;
    let one = plane.post("listMcpServers", "{\"serverName\":\"TICKETS\"}").await;
    assert_eq!(one.json["value"].as_array().unwrap().len(), 1);
    assert_eq!(one.json["value"][0]["name"], "Tickets");
    let all = plane.post("listMcpServers", "{\"serverName\":\"default\"}").await;
    assert_eq!(all.json["value"][0]["url"], format!("{TENANT}/api/mcp"));
    assert_eq!(all.json["value"][0]["tools"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn one_key_stands_at_the_top_and_at_every_server() {
    let plane = Plane::new().await;
    let answer = plane.post("listMcpServers?getApikey=true", "").await;
    let key = answer.json["headers"]["X-API-Key"].as_str().unwrap();
    assert_eq!(plane.check(key), Ok(()));
    for server in answer.json["value"].as_array().unwrap() {
        assert_eq!(server["headers"]["X-API-Key"], key);
    }
    let rows = plane.register().await;
    assert_eq!(rows.len(), 1);
    assert_eq!(answer.json["apiKey"]["id"], rows[0].id.to_string());
}
