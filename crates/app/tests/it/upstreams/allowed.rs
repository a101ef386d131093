//! What the configuration allows of an app that was deployed.

use app::{Allowed, App, Surroundings};

use super::surroundings;
use crate::support::{files, lines};

fn allowing(commands: &[&str], variables: &[&str]) -> Surroundings {
    let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
    let (commands, variables) = (texts(commands), texts(variables));
    let allowed = Allowed { commands, command_variables: texts(&["REGION"]), variables };
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
fn a_deployed_app_sets_no_variable_of_a_program_that_is_not_named() {
    let file =
        |env: &str| format!(r#"{{"servers": {{"run": {{"command": "npx", "env": {{{env}}}}}}}}}"#);
    for name in ["PATH", "LD_PRELOAD", "BASH_ENV", "NODE_OPTIONS", "PYTHONPATH", "HOME", "region"] {
        for value in [r#""/tmp""#, "7", r#""${env:TOKEN}""#] {
            let file = file(&format!(r#""REGION": "eu", "{name}": {value}"#));
            let app = within(&allowing(&["npx"], &[]), &file);
            let told = app.not_allowed().concat();
            let words = format!(
                "may not set the variable `{name}` of a command here: add it to `apps.command_variables`"
            );
            assert!(app.servers().is_empty() && told.contains(&words), "{name}: {told}");
            assert!(
                told.starts_with("mcp.json server `run`: ") && !told.contains("`REGION`"),
                "{told}"
            );
            assert_eq!(within(&surroundings(), &file).servers().len(), 1, "the folder's owner may");
        }
    }
    // What has no value is not set.
    for env in [r#""REGION": "eu""#, r#""HOME": null"#] {
        let app = within(&allowing(&["npx"], &[]), &file(env));
        assert_eq!((app.servers().len(), app.not_allowed().len()), (1, 0), "{env}");
    }
}
