//! Apps made from a few lines of JSON.

use std::collections::BTreeMap;

use app::{App, Files, Problem, Surroundings};

/// A host.json that turns the MCP endpoints on.
pub(crate) const HOST: &str =
    r#"{"version":"2.0","extensions":{"workflow":{"McpServerEndpoints":{"enable":true}}}}"#;

/// A workflow that is a tool.
pub(crate) const TOOL: &str = r#"{"definition":{"triggers":{"manual":{"type":"Request","kind":"Http"}},"actions":{"Response":{"type":"Response","kind":"Http","inputs":{"statusCode":200},"runAfter":{}}}},"kind":"Stateless"}"#;

/// Makes surroundings with one app setting.
pub(crate) fn settings(name: &str, value: &str) -> Surroundings {
    let settings = BTreeMap::from([(name.to_owned(), value.to_owned())]);
    Surroundings { settings, ..Surroundings::default() }
}

/// Makes the files; host.json is there unless it is given.
pub(crate) fn files(given: &[(&str, &str)]) -> Files {
    let mut files = Files::new();
    files.insert("host.json", HOST).unwrap();
    for (path, text) in given {
        files.insert(*path, *text).unwrap();
    }
    files
}

/// Makes an app that must hold.
pub(crate) fn app(given: &[(&str, &str)]) -> App {
    App::from_files(&files(given)).unwrap_or_else(|found| panic!("{}", lines(&found)))
}

/// Makes an app that must not hold, and gives every problem as a line.
pub(crate) fn problems(given: &[(&str, &str)]) -> String {
    match App::from_files(&files(given)) {
        Ok(app) => panic!("expected problems, found {app:?}"),
        Err(problems) => lines(&problems),
    }
}

/// Makes an app that must hold, and gives all that it leaves out as lines.
pub(crate) fn left_out(given: &[(&str, &str)]) -> String {
    app(given).left_out().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

pub(crate) fn lines(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
