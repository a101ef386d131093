//! What a person sees who made every mistake at once.

use crate::support::problems;

const HOST: &str = r#"{
  "version": "2.0",
  "extensions": {
    "http": { "routePrefix": "../secret" },
    "workflow": {
      "McpServerEndpoints": {
        "enable": 1,
        "authentication": { "type": "Key" },
        "ProtectedResourceMetadata": { "Resource": "ftp://x", "BearerMethodsSupported": "header" }
      }
    }
  }
}"#;

const SERVERS: &str = r#"{
  "mcpServers": [
    {
      "name": "help desk",
      "tools": [{ "name": "A" }]
    },
    {
      "name": "procurement",
      "description": null,
      "enabled": "yes",
      "tools": ["A"]
    }
  ]
}"#;

const PARAMETERS: &str = r#"{
  "limit": { "type": "Integer", "value": 7 },
  "domain": { "type": "String", "value": "@appsetting('DOMAIN')" }
}"#;

#[test]
fn every_mistake_is_told_with_its_place() {
    let said = problems(&[
        ("host.json", HOST),
        ("mcpservers.json", SERVERS),
        ("parameters.json", PARAMETERS),
        ("connections.json", "{\n  \"managedApiConnections\": {},\n}"),
    ]);
    let expected = include_str!("messages.txt");
    assert_eq!(said.trim_end(), expected.trim_end(), "messages.txt holds what was expected");
}
