//! The files of an app as a deployment changes them.

use app::Files;
use serde_json::{Map, Value, json};

use crate::limits;

pub(super) const SERVERS: &str = "mcpservers.json";
const SETTINGS: &str = "local.settings.json";
const UPSTREAMS: &str = "mcp.json";

/// What a deployment says: the text of each file, and app settings.
#[derive(Debug, Default)]
pub(crate) struct Artifacts {
    pub(crate) files: Vec<(String, String)>,
    pub(crate) app_settings: Vec<(String, String)>,
}

/// Makes the set of files that a deployment of a whole app has.
///
/// # Errors
/// Every file that is none of an app's, a line each.
pub(super) fn whole(artifacts: Artifacts) -> Result<Files, Vec<String>> {
    let mut files = Files::new();
    put(&mut files, artifacts.files, |_| None)?;
    Ok(files)
}

/// Writes some files, and app settings, into those that are there.
///
/// # Errors
/// Every file that is none of an app's or not written this way, a line each.
pub(super) fn merged(mut files: Files, artifacts: Artifacts) -> Result<Files, Vec<String>> {
    let Artifacts { files: written, app_settings } = artifacts;
    let before = files.get(SERVERS).and_then(|bytes| serde_json::from_slice(bytes).ok());
    let written = written.into_iter().map(|(path, text)| {
        let text = if path == SERVERS { without_additions(text, before.as_ref()) } else { text };
        (path, text)
    });
    put(&mut files, written, |path| match path {
        UPSTREAMS => Some(
            "is not written this way, since it says which programs run: deploy the whole app with \
             keyward deploy",
        ),
        SETTINGS => Some("is not written this way: send its values as appSettings"),
        _ => None,
    })?;
    if !app_settings.is_empty() {
        let text = with_settings(files.get(SETTINGS), app_settings)?;
        put(&mut files, [(SETTINGS.to_owned(), text)], |_| None)?;
    }
    Ok(files)
}

/// The paths that are other in one set than in another, sorted.
pub(super) fn changed(before: &Files, after: &Files) -> Vec<String> {
    let written = after.iter().filter(|(path, bytes)| before.get(path) != Some(bytes));
    let gone = before.iter().filter(|(path, _)| after.get(path).is_none());
    let mut paths: Vec<String> = written.chain(gone).map(|(path, _)| path.to_owned()).collect();
    paths.sort();
    paths
}

/// How many bytes all files have.
pub(super) fn byte_count(files: &Files) -> usize {
    files.iter().map(|(path, bytes)| path.len().saturating_add(bytes.len())).sum()
}

fn put(
    files: &mut Files,
    written: impl IntoIterator<Item = (String, String)>,
    refused: impl Fn(&str) -> Option<&'static str>,
) -> Result<(), Vec<String>> {
    let mut problems = Vec::new();
    for (path, text) in written {
        if let Some(why) = refused(&path) {
            problems.push(format!("{path}: {why}"));
        } else if path.len() > limits::PATH_BYTES {
            problems.push(format!("a path is longer than {} bytes", limits::PATH_BYTES));
        } else if let Err(error) = files.insert(path, text) {
            problems.push(error.to_string());
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// Takes out of mcpservers.json what listMcpServers adds to it: a page that shows the list sends it back
/// with a change, API keys included. What does not have the file's form is left for its reader to tell.
fn without_additions(text: String, before: Option<&Value>) -> String {
    let Ok(Value::Object(mut file)) = serde_json::from_str(&text) else { return text };
    let Some(Value::Array(servers)) = file.remove("mcpServers") else { return text };
    let before = before.and_then(|file| file.get("mcpServers")).and_then(Value::as_array);
    let kept = servers.iter().filter_map(|server| {
        let Value::Object(server) = server else { return Some(server.clone()) };
        if server.contains_key("upstream") {
            of_upstream(server, before)
        } else {
            Some(known(server))
        }
    });
    let kept: Vec<Value> = kept.collect();
    if file.is_empty() && kept == servers {
        return text;
    }
    format!("{:#}\n", json!({ "mcpServers": kept }))
}

fn known(server: &Map<String, Value>) -> Value {
    let mut kept = Map::new();
    for name in ["name", "description", "enabled", "tools"] {
        if let Some(value) = server.get(name) {
            kept.insert(name.to_owned(), value.clone());
        }
    }
    if let Some(Value::Array(tools)) = kept.get_mut("tools") {
        for tool in tools.iter_mut().filter_map(Value::as_object_mut) {
            tool.retain(|name, _| name == "name");
        }
    }
    Value::Object(kept)
}

/// A server of mcp.json is listed with the tools that it has at the moment, which are not those that it may
/// have: what the file said of it stays, but for whether it is served.
fn of_upstream(server: &Map<String, Value>, before: Option<&Vec<Value>>) -> Option<Value> {
    let name = server.get("name")?.as_str()?;
    let is_it = |one: &&Value| {
        one.get("name").and_then(Value::as_str).is_some_and(|one| one.eq_ignore_ascii_case(name))
    };
    let before = before.into_iter().flatten().find(is_it).cloned();
    let enabled = server.get("enabled").filter(|enabled| enabled.is_boolean());
    let is_off = enabled == Some(&Value::Bool(false));
    let mut kept = match before {
        Some(before) => before,
        None if is_off => json!({ "name": name }),
        None => return None,
    };
    if let (Some(enabled), Some(kept)) = (enabled, kept.as_object_mut())
        && (is_off || kept.contains_key("enabled"))
    {
        kept.insert("enabled".to_owned(), enabled.clone());
    }
    Some(kept)
}

/// Writes values into local.settings.json. No message repeats what it has.
fn with_settings(
    file: Option<&[u8]>,
    settings: Vec<(String, String)>,
) -> Result<String, Vec<String>> {
    let file = file.map_or_else(|| Ok(json!({ "IsEncrypted": false })), serde_json::from_slice);
    let unfit = || vec![format!("{SETTINGS}: has a form that app settings cannot be written into")];
    let mut file: Value = file.map_err(|_| unfit())?;
    let object = file.as_object_mut().ok_or_else(unfit)?;
    // Names of members are read without regard to case.
    let name = object.keys().find(|name| name.eq_ignore_ascii_case("Values")).cloned();
    let values = object.entry(name.unwrap_or_else(|| "Values".to_owned()));
    let values = values.or_insert_with(|| json!({})).as_object_mut().ok_or_else(unfit)?;
    for (name, value) in settings {
        values.insert(name, Value::String(value));
    }
    Ok(format!("{file:#}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(text: &str, before: Option<&str>) -> Value {
        let before = before.map(|text| serde_json::from_str(text).unwrap());
        serde_json::from_str(&without_additions(text.to_owned(), before.as_ref())).unwrap()
    }

    #[test]
    fn what_a_list_of_servers_adds_is_not_kept() {
        let listed = r#"{"mcpServers": [{"name": "a", "description": "A", "url": "https://x",
            "headers": {"X-API-Key": "kwk1_x"}, "enabled": false, "tools": [{"name": "T", "description": "t"}]}],
            "headers": {"X-API-Key": "kwk1_x"}, "apiKey": {"id": "1"}}"#;
        let expected = json!({ "mcpServers": [
            { "name": "a", "description": "A", "enabled": false, "tools": [{ "name": "T" }] }
        ] });
        assert_eq!(cleaned(listed, None), expected);
    }

    #[test]
    fn a_file_without_additions_is_kept_to_the_letter() {
        let text = "{ \"mcpServers\": [ {\"name\": \"a\",  \"tools\": [{\"name\": \"T\"}]} ] }";
        assert_eq!(without_additions(text.to_owned(), None), text);
        for text in ["{", "[]", "{\"mcpServers\": 7}", "{\"servers\": []}"] {
            assert_eq!(without_additions(text.to_owned(), None), text);
        }
    }

    #[test]
    fn the_tools_that_an_upstream_has_do_not_become_those_that_it_may_have() {
        let listed = r#"{"mcpServers": [
            {"name": "far", "enabled": true, "tools": [], "upstream": {"state": "pending"}},
            {"name": "Near", "enabled": false, "tools": [{"name": "x"}], "upstream": {"state": "known"}},
            {"name": "off", "enabled": false, "tools": [], "upstream": {"state": "notAsked"}}]}"#;
        let before = r#"{"mcpServers": [{"name": "near", "tools": [{"name": "y"}]}]}"#;
        let expected = json!({ "mcpServers": [
            { "name": "near", "tools": [{ "name": "y" }], "enabled": false },
            { "name": "off", "enabled": false },
        ] });
        assert_eq!(cleaned(listed, Some(before)), expected);
    }

    #[test]
    fn app_settings_are_written_beside_those_that_are_there() {
        let file = br#"{"isEncrypted": false, "values": {"A": "1", "B": "2"}, "Host": {}}"#;
        let settings = vec![("B".to_owned(), "3".to_owned()), ("C".to_owned(), "4".to_owned())];
        let written = with_settings(Some(file), settings.clone()).unwrap();
        let expected =
            json!({ "isEncrypted": false, "values": { "A": "1", "B": "3", "C": "4" }, "Host": {} });
        assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), expected);
        let written = with_settings(None, settings).unwrap();
        let expected = json!({ "IsEncrypted": false, "Values": { "B": "3", "C": "4" } });
        assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), expected);
    }
}
