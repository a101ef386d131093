//! The files of an app as a deployment changes them.

mod sent_back;

use std::collections::BTreeSet;

use app::Files;
use serde_json::{Value, json};

use self::sent_back::without_additions;
use crate::error::Quoted;
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
    let Artifacts { files: mut written, app_settings } = artifacts;
    for (_, text) in written.iter_mut().filter(|(path, _)| path == SERVERS) {
        *text = without_additions(std::mem::take(text), &files)?;
    }
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

/// Writes values into local.settings.json. No message repeats what it has.
fn with_settings(
    file: Option<&[u8]>,
    settings: Vec<(String, String)>,
) -> Result<String, Vec<String>> {
    let unfit = || vec![format!("{SETTINGS}: has a form that app settings cannot be written into")];
    let mut file = match file {
        Some(bytes) => app::read_json(SETTINGS, bytes)
            .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())?,
        None => json!({ "IsEncrypted": false }),
    };
    let object = file.as_object_mut().ok_or_else(unfit)?;
    // Names of members are read without regard to case, and null as none.
    let name = object.keys().find(|name| name.eq_ignore_ascii_case("Values")).cloned();
    let values = object.entry(name.unwrap_or_else(|| "Values".to_owned())).or_insert(Value::Null);
    if values.is_null() {
        *values = json!({});
    }
    let values = values.as_object_mut().ok_or_else(unfit)?;
    let mut written: BTreeSet<String> = BTreeSet::new();
    for (name, value) in settings {
        if !written.insert(name.to_ascii_lowercase()) {
            return Err(vec![format!("appSettings: {} is named twice, case apart", Quoted(&name))]);
        }
        // So are names of settings where they are read.
        values.retain(|other, _| *other == name || !other.eq_ignore_ascii_case(&name));
        values.insert(name, Value::String(value));
    }
    Ok(format!("{file:#}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn app_settings_are_written_beside_those_that_are_there() {
        let file = br#"{"isEncrypted": false, "values": {"A": "1", "B": "2"}, "Host": {}}"#;
        let settings = vec![("B".to_owned(), "3".to_owned()), ("C".to_owned(), "4".to_owned())];
        let written = with_settings(Some(file), settings.clone()).unwrap();
        let expected =
            json!({ "isEncrypted": false, "values": { "A": "1", "B": "3", "C": "4" }, "Host": {} });
        assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), expected);
        for file in
            ["{\"Values\": {}}", "{\"Values\": null}", "\u{feff}{\"Values\": {\"b\": \"1\"}}"]
        {
            let written = with_settings(Some(file.as_bytes()), settings.clone()).unwrap();
            let expected = json!({ "Values": { "B": "3", "C": "4" } });
            assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), expected, "{file}");
        }
        let written = with_settings(None, settings).unwrap();
        let expected = json!({ "IsEncrypted": false, "Values": { "B": "3", "C": "4" } });
        assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), expected);
    }
}
