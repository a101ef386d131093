use serde_json::{Value, json};

use super::key::{member, rows};
use crate::arguments::{CallArguments, ServerCommand};
use crate::client::{Client, Surroundings, no_body};
use crate::error::Result;
use crate::output;

/// The server of all tools, which the list of servers leaves out unless it is asked for.
pub(super) const DEFAULT: &str = "default";

pub(super) const LIST: &str = "listMcpServers";

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
    let left_out = answer.get("leftOut").and_then(Value::as_array).into_iter().flatten();
    let left_out = left_out
        .map(|one| format!("{} (left out)\n  {}", member(one, "name"), member(one, "reason")));
    let blocks: Vec<String> = rows(&answer).map(block).chain(left_out).collect();
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
    let upstream = server.get("upstream");
    lines.extend(upstream.map(|upstream| format!("  {}", origin(upstream))));
    let names = server.get("tools").and_then(Value::as_array).into_iter().flatten();
    let names: Vec<String> = names.map(|tool| member(tool, "name")).collect();
    let names = names.join(", ");
    lines.push(match (names.is_empty(), upstream.map(|upstream| member(upstream, "state"))) {
        (true, Some(state)) if state != KNOWN => "  tools: not known".to_owned(),
        (true, _) if member(server, "name") == DEFAULT => "  no workflows".to_owned(),
        (true, _) => "  no tools".to_owned(),
        (false, Some(state)) if state != KNOWN => format!("  tools when it last answered: {names}"),
        (false, _) => format!("  tools: {names}"),
    });
    lines.join("\n")
}

/// The state of an upstream whose tools are those that it has.
const KNOWN: &str = "known";

/// Where the server's tools are, and whether they can be reached.
fn origin(upstream: &Value) -> String {
    let place = match member(upstream, "transport").as_str() {
        "http" => "upstream over HTTP",
        _ => "upstream in a child process",
    };
    let place = match member(upstream, "name") {
        other if other.is_empty() => place.to_owned(),
        other => format!("{place}, `{other}` in mcp.json"),
    };
    let message = member(upstream, "message");
    match member(upstream, "state").as_str() {
        "unreachable" => {
            let since = member(upstream, "unreachableSince");
            format!("{place}, unreachable since {since}: {message}")
        }
        "pending" => format!("{place}, asked for its tools just now: list them again in a moment"),
        _ if message.is_empty() => place,
        _ => format!("{place}; {message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(upstream: &Value, tools: &Value) -> String {
        let server = json!({ "name": "far", "description": null, "enabled": true,
            "url": "http://localhost/far", "tools": tools, "upstream": upstream });
        let block = block(&server);
        block.strip_prefix("far\n  http://localhost/far\n").unwrap().to_owned()
    }

    #[test]
    fn an_upstream_that_answers_is_listed_with_its_tools() {
        let tools = json!([{ "name": "find", "description": "Finds" }, { "name": "re\u{1b}ad" }]);
        let known = json!({ "transport": "http", "state": "known", "checkedAt": "…" });
        assert_eq!(listed(&known, &tools), "  upstream over HTTP\n  tools: find, re\\u{1b}ad");
        let known =
            json!({ "transport": "stdio", "state": "known", "message": "less than allowed" });
        assert_eq!(
            listed(&known, &tools),
            "  upstream in a child process; less than allowed\n  tools: find, re\\u{1b}ad"
        );
        let nothing = "  upstream in a child process; less than allowed\n  no tools";
        assert_eq!(listed(&known, &json!([])), nothing);
    }

    #[test]
    fn an_upstream_that_does_not_answer_is_listed_with_what_was_known() {
        let down = json!({ "transport": "http", "state": "unreachable", "message": "is gone",
            "unreachableSince": "2026-01-01T00:00:00Z" });
        let first = "  upstream over HTTP, unreachable since 2026-01-01T00:00:00Z: is gone\n";
        let known = format!("{first}  tools when it last answered: find");
        assert_eq!(listed(&down, &json!([{ "name": "find" }])), known);
        assert_eq!(listed(&down, &json!([])), format!("{first}  tools: not known"));
        let pending = json!({ "transport": "stdio", "state": "pending" });
        let expected = "  upstream in a child process, asked for its tools just now: list them \
                        again in a moment\n  tools: not known";
        assert_eq!(listed(&pending, &json!([])), expected);
    }
}
