//! What the configuration allows of an app that was deployed.

use app::{Allowed, App, Surroundings};

use super::surroundings;
use crate::support::{files, lines};

fn allowing(commands: &[&str], variables: &[&str]) -> Surroundings {
    let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
    let allowed = Allowed { commands: texts(commands), variables: texts(variables) };
    Surroundings { allowed: Some(allowed), folder: None, ..surroundings() }
}

fn within(around: &Surroundings, json: &str) -> App {
    let files = files(&[("mcp.json", json)]);
    App::from_files_in(&files, around).unwrap_or_else(|found| panic!("{}", lines(&found)))
}

const FILE: &str = r#"{"servers": {
    "run": {"command": "npx", "args": ["${env:TOKEN}"]},
    "ask": {"url": "https://mcp.example.com/mcp", "headers": {"a": "${TOKEN:-none}", "b": "${input:api-key}"}},
    "plain": {"url": "https://mcp.example.com/mcp"}
}}"#;

#[test]
fn a_deployed_app_runs_and_reads_nothing_that_is_not_named() {
    let app = within(&allowing(&[], &[]), FILE);
    let names: Vec<_> = app.servers().iter().map(app::Server::name).collect();
    assert_eq!(names, ["plain"]);
    let variable = |name: &str| {
        format!(
            "deployed apps may not read the variable `{name}` here: add it to `apps.variables` of Keyward's configuration"
        )
    };
    let command = "deployed apps may not run the command `npx` here: add it to `apps.commands` of Keyward's configuration";
    assert_eq!(
        app.not_allowed(),
        [
            format!("mcp.json server `run`: {}; {command}", variable("TOKEN")),
            format!(
                "mcp.json server `ask`: {}; {}",
                variable("TOKEN"),
                variable("KEYWARD_INPUT_API_KEY")
            ),
        ]
    );
    assert_eq!(app.left_out_servers().len(), 2, "{:?}", app.left_out());
}

#[test]
fn what_is_named_is_allowed_exactly() {
    let app = within(&allowing(&["npx"], &["TOKEN", "KEYWARD_INPUT_API_KEY"]), FILE);
    assert_eq!(app.servers().len(), 3);
    assert!(app.not_allowed().is_empty());
    for command in ["NPX", "npx ", "/bin/npx", "./npx"] {
        let file = format!(r#"{{"servers": {{"run": {{"command": "{command}"}}}}}}"#);
        let app = within(&allowing(&["npx"], &[]), &file);
        assert_eq!(app.not_allowed().len(), 1, "{command}");
    }
    // A folder of the entry's own makes another program of a relative one.
    let file = r#"{"servers": {"run": {"command": "bin/a", "cwd": "/elsewhere"}}}"#;
    assert_eq!(within(&allowing(&["bin/a"], &[]), file).not_allowed().len(), 1);
    assert!(within(&allowing(&["/elsewhere/bin/a"], &[]), file).not_allowed().is_empty());
}

#[test]
fn what_changes_the_program_behind_a_name_is_not_taken() {
    for name in ["PATH", "LD_PRELOAD"] {
        let file = format!(
            r#"{{"servers": {{"run": {{"command": "npx", "env": {{"{name}": "/tmp"}}}}}}}}"#
        );
        let app = within(&allowing(&["npx"], &[]), &file);
        assert!(app.servers().is_empty());
        assert!(app.left_out_servers()[0].why.contains("would have another program run"), "{name}");
        assert_eq!(within(&surroundings(), &file).servers().len(), 1, "the folder's owner may");
    }
}
