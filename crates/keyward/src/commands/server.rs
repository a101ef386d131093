use serde_json::{Value, json};

use super::key::{member, rows};
use crate::arguments::{CallArguments, ServerCommand};
use crate::client::{Client, Surroundings, no_body};
use crate::error::Result;
use crate::output;

/// The server of all tools, which the list of servers leaves out unless it is asked for.
const DEFAULT: &str = "default";

const LIST: &str = "listMcpServers";

/// Runs a command on servers.
pub(crate) async fn run(command: &ServerCommand, around: &Surroundings<'_>) -> Result<()> {
    let ServerCommand::List { call } = command;
    list(call, around).await
}

async fn list(call: &CallArguments, around: &Surroundings<'_>) -> Result<()> {
    let client = Client::find(call, around)?;
    let mut answer = client.call(LIST, &[], &no_body()).await?;
    let all_tools = client.call(LIST, &[], &json!({ "serverName": DEFAULT })).await?;
    if let Some(servers) = answer.get_mut("value").and_then(Value::as_array_mut) {
        servers.extend(rows(&all_tools).cloned());
    }
    if call.json {
        return output::print_json(&answer);
    }
    let blocks: Vec<String> = rows(&answer).map(block).collect();
    output::print(&blocks.join("\n\n"))
}

fn block(server: &Value) -> String {
    let mut lines = vec![match server.get("enabled").and_then(Value::as_bool) {
        Some(false) => format!("{} (disabled)", member(server, "name")),
        _ => member(server, "name"),
    }];
    lines.push(format!("  {}", member(server, "url")));
    let description = member(server, "description");
    if !description.is_empty() {
        lines.push(format!("  {description}"));
    }
    let tools: Vec<String> = server
        .get("tools")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|tool| member(tool, "name"))
        .collect();
    lines.push(match tools.as_slice() {
        [] => "  no tools".to_owned(),
        tools => format!("  tools: {}", tools.join(", ")),
    });
    lines.join("\n")
}
