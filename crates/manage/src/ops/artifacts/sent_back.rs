//! mcpservers.json as a page sends it back that was given the list of servers, with a change.

use app::{Files, UpstreamNames};
use serde_json::{Map, Value, json};

use super::SERVERS;

/// What listMcpServers adds to a server, API keys among it.
const ADDED: &[&str] = &["url", "headers", "apiKey", "upstream"];

/// What an app is made of: a server that has one of them twice is refused there.
const READ: &[&str] = &["name", "description", "enabled", "tools"];

/// Takes out of mcpservers.json what listMcpServers adds to it, and keeps what the file that is there says of
/// servers of mcp.json. What does not have the file's form is left for its reader to tell.
///
/// # Errors
/// Why what is there cannot be read, a line each: it may limit servers, and nobody could say which.
pub(super) fn without_additions(text: String, files: &Files) -> Result<String, Vec<String>> {
    let Ok(sent) = app::read_json(SERVERS, text.as_bytes()) else { return Ok(text) };
    let Some(servers) = servers(&sent) else { return Ok(text) };
    if servers.iter().filter_map(Value::as_object).any(is_ambiguous) {
        return Ok(text);
    }
    let before = Before::read(files)?;
    let own = servers.iter().filter_map(|server| match server {
        Value::Object(server) if member(server, "upstream").is_some() => before.of_upstream(server),
        Value::Object(server) => Some(Value::Object(without_added(server))),
        other => Some(other.clone()),
    });
    let mut kept: Vec<Value> = own.collect();
    kept.extend(before.unnamed(servers));
    if sent.as_object().is_some_and(|file| file.len() == 1) && kept == *servers {
        return Ok(text);
    }
    Ok(format!("{:#}\n", json!({ "mcpServers": kept })))
}

/// What mcpservers.json says before it is written.
struct Before {
    upstreams: UpstreamNames,
    servers: Vec<Map<String, Value>>,
}

impl Before {
    fn read(files: &Files) -> Result<Self, Vec<String>> {
        let told = |problems: Vec<app::Problem>| -> Vec<String> {
            problems.iter().map(unreadable).collect()
        };
        let upstreams = UpstreamNames::of(files).map_err(told)?;
        let Some(bytes) = files.get(SERVERS) else {
            return Ok(Self { upstreams, servers: Vec::new() });
        };
        let file = app::read_json(SERVERS, bytes).map_err(told)?;
        let unfit = || vec![unreadable(&format!("{SERVERS}: has no list of servers with names"))];
        let is_read =
            |server: &&Map<String, Value>| !is_ambiguous(server) && name(server).is_some();
        let server = |server: &Value| server.as_object().filter(is_read).cloned().ok_or_else(unfit);
        let servers = servers(&file).ok_or_else(unfit)?.iter().map(server);
        Ok(Self { upstreams, servers: servers.collect::<Result<_, _>>()? })
    }

    /// A server of mcp.json is listed with the tools that it has at the moment, which are not those that it
    /// may have: what the file said of it stays, but for whether it is served.
    fn of_upstream(&self, server: &Map<String, Value>) -> Option<Value> {
        let Some(name) = name(server) else { return Some(Value::Object(without_added(server))) };
        let enabled = member(server, "enabled");
        let is_on = enabled.is_none_or(|enabled| *enabled == Value::Bool(true));
        let before = self.servers.iter().find(|before| self.is_one(before, name)).cloned();
        let mut kept = match before {
            Some(before) => before,
            None if is_on || self.upstreams.find(name).is_none() => return None,
            None => Map::from_iter([("name".to_owned(), name.into())]),
        };
        let given = kept.keys().find(|given| given.eq_ignore_ascii_case("enabled")).cloned();
        if let Some(enabled) = enabled
            && (!is_on || given.is_some())
        {
            kept.insert(given.unwrap_or_else(|| "enabled".to_owned()), enabled.clone());
        }
        Some(Value::Object(kept))
    }

    /// What is said of servers of mcp.json that are not among those sent. They stay in mcp.json, and the list
    /// does not show those that are left out.
    fn unnamed(&self, sent: &[Value]) -> impl Iterator<Item = Value> {
        let sent: Vec<&str> = sent.iter().filter_map(|server| name(server.as_object()?)).collect();
        let servers = self.servers.iter().filter(move |server| {
            name(server).is_some_and(|name| self.upstreams.find(name).is_some())
                && !sent.iter().any(|sent| self.is_one(server, sent))
        });
        servers.map(|server| Value::Object(server.clone()))
    }

    /// Whether a server is called so, as an app is made of the files.
    fn is_one(&self, server: &Map<String, Value>, other: &str) -> bool {
        let called = |name| self.upstreams.find(name).unwrap_or(name);
        name(server).is_some_and(|name| called(name).eq_ignore_ascii_case(called(other)))
    }
}

fn without_added(server: &Map<String, Value>) -> Map<String, Value> {
    let mut kept = server.clone();
    kept.retain(|name, _| !ADDED.iter().any(|added| added.eq_ignore_ascii_case(name)));
    let tools = kept.iter_mut().filter(|(name, _)| name.eq_ignore_ascii_case("tools"));
    for tool in tools.filter_map(|(_, tools)| tools.as_array_mut()).flatten() {
        if let Some(tool) = tool.as_object_mut() {
            tool.retain(|name, _| name.eq_ignore_ascii_case("name"));
        }
    }
    kept
}

/// The list of servers, if there is one and no other.
fn servers(file: &Value) -> Option<&Vec<Value>> {
    let lists =
        file.as_object()?.iter().filter(|(name, _)| name.eq_ignore_ascii_case("mcpServers"));
    let lists: Vec<&Value> = lists.map(|(_, list)| list).collect();
    match lists.as_slice() {
        [list] => list.as_array(),
        _ => None,
    }
}

fn name(server: &Map<String, Value>) -> Option<&str> {
    member(server, "name")?.as_str()
}

/// The member of that name, as it is read: in any case, and null as none.
fn member<'s>(server: &'s Map<String, Value>, name: &str) -> Option<&'s Value> {
    let found = server.iter().find(|(given, _)| given.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value).filter(|value| !value.is_null())
}

/// Whether a member that is read stands there twice, case apart, which is refused where it is read.
fn is_ambiguous(server: &Map<String, Value>) -> bool {
    READ.iter().any(|read| server.keys().filter(|name| name.eq_ignore_ascii_case(read)).count() > 1)
}

fn unreadable(problem: &impl ToString) -> String {
    format!(
        "what is there now cannot be read, and may limit servers ({}): correct it, or deploy the whole app \
         with keyward deploy",
        problem.to_string()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const UPSTREAMS: &str = r#"{"servers": {
        "far": {"url": "https://far.example.com/mcp"},
        "near": {"url": "https://near.example.com/mcp"},
        "off": {"url": "https://off.example.com/mcp"},
        "my tools": {"url": "${MY_TOOLS:-}"},
        "waiting": {"url": "https://waiting.example.com/mcp", "headers": {"a": "${env:UNSET}"}}
    }}"#;

    fn files(before: &str) -> Files {
        let mut files = Files::new();
        files.insert("mcp.json", UPSTREAMS).unwrap();
        files.insert(SERVERS, before).unwrap();
        files
    }

    fn cleaned(text: &str, before: &str) -> Value {
        let text = without_additions(text.to_owned(), &files(before)).unwrap();
        app::read_json(SERVERS, text.as_bytes()).unwrap()
    }

    /// What the list says of a server of mcp.json.
    fn listed(name: &str, enabled: bool) -> Value {
        json!({ "name": name, "description": null, "enabled": enabled, "url": "https://x",
            "tools": [{ "name": "now" }], "upstream": { "state": "known" } })
    }

    fn sent(servers: &[Value]) -> String {
        json!({ "mcpServers": servers }).to_string()
    }

    #[test]
    fn what_a_list_of_servers_adds_is_not_kept() {
        let listed = r#"{"McpServers": [{"name": "a", "description": "A", "url": "https://x",
            "headers": {"X-API-Key": "kwk1_x"}, "enabled": false, "tools": [{"name": "T", "description": "t"}]}],
            "headers": {"X-API-Key": "kwk1_x"}, "apiKey": {"id": "1"}}"#;
        let expected = json!({ "mcpServers": [
            { "name": "a", "description": "A", "enabled": false, "tools": [{ "name": "T" }] }
        ] });
        assert_eq!(cleaned(listed, "{\"mcpServers\": []}"), expected);
        assert_eq!(cleaned(&format!("\u{feff}{listed}"), "{\"mcpServers\": []}"), expected);
    }

    #[test]
    fn what_nobody_added_is_kept_however_it_is_spelled() {
        let text = r#"{"mcpServers": [{"Name": "a", "Enabled": false, "enabeld": false, "URL": "https://x",
            "TOOLS": [{"NAME": "T", "description": "t"}]}]}"#;
        let expected = json!({ "mcpServers": [
            { "Name": "a", "Enabled": false, "enabeld": false, "TOOLS": [{ "NAME": "T" }] }
        ] });
        assert_eq!(cleaned(text, "{\"mcpServers\": []}"), expected);
    }

    #[test]
    fn a_file_without_additions_or_without_its_form_is_kept_to_the_letter() {
        for text in [
            "{ \"mcpServers\": [ {\"name\": \"a\",  \"tools\": [{\"name\": \"T\"}]} ] }",
            "{",
            "[]",
            "{\"mcpServers\": 7}",
            "{\"mcpServers\": [], \"McpServers\": []}",
            "{\"servers\": []}",
            "{\"mcpServers\": [{\"url\": \"x\", \"enabled\": false, \"enabled\": true}]}",
            "{\"mcpServers\": [{\"url\": \"x\", \"enabled\": true, \"Enabled\": false}]}",
        ] {
            let kept = without_additions(text.to_owned(), &files("{\"mcpServers\": []}"));
            assert_eq!(kept.unwrap(), text);
        }
    }

    #[test]
    fn the_tools_that_an_upstream_has_do_not_become_those_that_it_may_have() {
        let listed = sent(&[listed("far", true), listed("Near", false), listed("off", false)]);
        let before = r#"{"mcpServers": [{"name": "near", "tools": [{"name": "y"}]}]}"#;
        let expected = json!({ "mcpServers": [
            { "name": "near", "tools": [{ "name": "y" }], "enabled": false },
            { "name": "off", "enabled": false },
        ] });
        assert_eq!(cleaned(&listed, before), expected);
    }

    #[test]
    fn what_limits_an_upstream_stays_however_the_file_says_it() {
        let limit = json!({ "tools": [{ "name": "y" }] });
        for (before, listed) in [
            ("\u{feff}{\"mcpServers\": [{\"name\": \"far\", LIMIT}]}", listed("far", true)),
            ("{\"McpServers\": [{\"Name\": \"FAR\", LIMIT}]}", listed("far", true)),
            ("{\"mcpServers\": [{\"name\": \"my tools\", LIMIT}]}", listed("my-tools", true)),
        ] {
            let before = before.replace("LIMIT", "\"tools\": [{\"name\": \"y\"}]");
            let kept = cleaned(&sent(&[listed]), &before);
            assert_eq!(kept["mcpServers"][0]["tools"], limit["tools"], "{before}");
            assert_eq!(kept["mcpServers"].as_array().unwrap().len(), 1, "{before}");
        }
        let before = r#"{"mcpServers": [{"name": "far", "tools": [], "Enabled": false}]}"#;
        let kept = cleaned(&sent(&[listed("far", true)]), before);
        assert_eq!(kept["mcpServers"], json!([{ "name": "far", "tools": [], "Enabled": true }]));
    }

    #[test]
    fn what_limits_an_upstream_that_is_not_sent_stays() {
        let limits = json!([
            { "name": "waiting", "tools": [{ "name": "y" }] },
            { "name": "near", "enabled": false },
        ]);
        let before =
            json!({ "mcpServers": [limits[0], { "name": "gone", "tools": [] }, limits[1]] });
        let kept = cleaned(&sent(&[]), &before.to_string());
        assert_eq!(kept["mcpServers"], limits, "a server of workflows goes");
        let twice = r#"{"mcpServers": [{"name": "far", "upstream": {}, "Upstream": {}}]}"#;
        assert_eq!(cleaned(twice, &before.to_string())["mcpServers"], limits);
        // Whoever names it may say something else.
        let other = json!([{ "name": "Near" }, { "name": "waiting", "tools": [] }]);
        let kept = cleaned(&sent(other.as_array().unwrap()), &before.to_string());
        assert_eq!(kept["mcpServers"], other);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_not_written_over() {
        for (before, words) in [
            ("{", "mcpservers.json:1:1: is not JSON"),
            ("{\"mcpServers\": 7}", "mcpservers.json: has no list of servers"),
            ("{\"mcpServers\": [{\"tools\": []}]}", "with names"),
            ("{\"mcpServers\": [], \"mcpServers\": []}", "second time"),
        ] {
            let told = without_additions(sent(&[]), &files(before)).unwrap_err().concat();
            assert!(told.contains(words) && told.contains("keyward deploy"), "{before}: {told}");
        }
        let mut files = files("{\"mcpServers\": []}");
        files.insert("mcp.json", "{\"servers\": }").unwrap();
        let told = without_additions(sent(&[]), &files).unwrap_err().concat();
        assert!(told.contains("mcp.json:1:13"), "{told}");
    }
}
