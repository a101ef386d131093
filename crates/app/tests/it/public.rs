//! Public workflows, where the folder `KEYWARD_CASES` holds them.

use std::fs;
use std::path::PathBuf;

use app::{App, Files};
use serde_json::{Value, json};

use crate::support::{HOST, lines};

#[test]
fn a_public_workflow_is_a_tool_or_left_out_with_a_reason() {
    let Some(folder) = std::env::var_os("KEYWARD_CASES") else { return };
    let folder = PathBuf::from(folder).join("workflows");
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if name.starts_with("lint__") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let mut document: Value =
            serde_json::from_str(text.trim_start_matches('\u{feff}')).unwrap();
        if document.get("definition").is_none() {
            document = json!({ "definition": document, "kind": "Stateful" });
        }
        let mut files = Files::new();
        files.insert("host.json", HOST).unwrap();
        files.insert("W/workflow.json", document.to_string()).unwrap();
        let app = match App::from_files(&files) {
            Ok(app) => app,
            Err(found) => panic!("{name}: {}", lines(&found)),
        };
        let is_tool = app.default_server().tool("W").is_some();
        assert_eq!(app.left_out().is_empty(), is_tool, "{name}: {:?}", app.left_out());
    }
}
