use app::App;

use crate::support::{HOST, TOOL, app, files, problems, settings};

#[test]
fn problems_of_every_file_are_told_at_once() {
    let said = problems(&[
        ("host.json", "{"),
        ("mcpservers.json", "[]"),
        ("parameters.json", "7"),
        ("local.settings.json", "[]"),
        ("connections.json", "null"),
        ("W/workflow.json", "nonsense"),
    ]);
    let files: Vec<&str> = said.lines().filter_map(|line| line.split(':').next()).collect();
    assert_eq!(
        files,
        [
            "W/workflow.json",
            "connections.json",
            "host.json",
            "local.settings.json",
            "mcpservers.json",
            "parameters.json"
        ]
    );
}

#[test]
fn an_app_equals_itself_read_again_in_another_shape() {
    let one = app(&[("A/workflow.json", TOOL), ("parameters.json", r#"{"p":{"value":1}}"#)]);
    let spaced = TOOL.replace(":{", " : {\n");
    let again =
        app(&[("parameters.json", "{\n\"p\":{\"value\":1}}"), ("A/workflow.json", &spaced)]);
    assert_eq!(one, again);
    let silent = TOOL.replace("\"Http\"}}", "\"Button\"}}");
    let spaced = silent.replace(":{", " : {\n");
    assert_eq!(app(&[("A/workflow.json", &silent)]), app(&[("A/workflow.json", &spaced)]));
}

#[test]
fn an_app_differs_where_any_file_says_something_else() {
    let base = [
        ("host.json", HOST),
        ("A/workflow.json", TOOL),
        ("parameters.json", r#"{"p":{"value":1}}"#),
        ("local.settings.json", r#"{"Values":{"S":"1"}}"#),
        ("mcpservers.json", r#"{"mcpServers":[{"name":"a","tools":[]}]}"#),
    ];
    let one = app(&base);
    for (path, text) in [
        ("host.json", "{}"),
        ("A/workflow.json", &TOOL.replace("200", "201")),
        ("B/workflow.json", TOOL),
        ("parameters.json", r#"{"p":{"value":2}}"#),
        ("local.settings.json", r#"{"Values":{"S":"2"}}"#),
        ("local.settings.json", r#"{"Values":{"S":"1","Workflows.A.FlowState":"Disabled"}}"#),
        ("mcpservers.json", r#"{"mcpServers":[{"name":"a","tools":[],"enabled":false}]}"#),
        ("mcp.json", r#"{"servers":{"a2":{"url":"https://a.example/mcp"}}}"#),
    ] {
        let mut other = base.to_vec();
        other.push((path, text));
        assert_ne!(one, app(&other), "{path}");
    }
    let around = settings("S", "2");
    assert_ne!(one, App::from_files_in(&files(&base), &around).unwrap());
}
