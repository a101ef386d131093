use app::limits;
use serde_json::{Value, json};

use crate::support::{TOOL, app, left_out, problems};

/// A workflow with its trigger changed.
fn with_trigger(trigger: &Value) -> String {
    let mut workflow: Value = serde_json::from_str(TOOL).unwrap();
    workflow["definition"]["triggers"] = json!({ "manual": trigger });
    workflow.to_string()
}

fn with_schema(schema: &Value) -> String {
    with_trigger(&json!({"type":"Request","kind":"Http","inputs":{"schema":schema}}))
}

fn schema_of(given: &Value) -> String {
    let app = app(&[("W/workflow.json", &with_schema(given))]);
    let tool = app.default_server().tool("W").unwrap();
    Value::Object(tool.input_schema().as_ref().clone()).to_string()
}

#[test]
fn a_request_workflow_with_a_response_is_a_tool() {
    let trigger = json!({"type":"request","kind":"HTTP","description":"Does it.",
        "inputs":{"schema":{"type":"object","properties":{"a":{"type":"string"}}}}});
    let app = app(&[("Do.it_now-1/workflow.json", &with_trigger(&trigger))]);
    let tool = app.default_server().tool("Do.it_now-1").unwrap();
    assert_eq!(tool.name(), "Do.it_now-1");
    assert_eq!(tool.description(), Some("Does it."));
    assert_eq!(
        Value::Object(tool.input_schema().as_ref().clone()),
        json!({"type":"object","properties":{"a":{"type":"string"}}})
    );
    let entry = &app.workflows()["Do.it_now-1"];
    assert_eq!((entry.name(), entry.kind()), ("Do.it_now-1", Some("Stateless")));
    assert_eq!(entry.triggers()[0].name, "manual");
    assert_eq!(entry.triggers()[0].trigger_type, "request");
    assert_eq!(entry.triggers()[0].kind.as_deref(), Some("HTTP"));
    assert!(app.left_out().is_empty());
}

#[test]
fn a_schema_is_always_one_of_an_object() {
    assert_eq!(schema_of(&json!({})), r#"{"type":"object"}"#);
    assert_eq!(
        schema_of(&json!({"properties":{"b":{},"a":{}}})),
        r#"{"type":"object","properties":{"b":{},"a":{}}}"#
    );
    assert_eq!(
        schema_of(&json!({"title":"x","type":["object","null"]})),
        r#"{"title":"x","type":"object"}"#
    );
    let app = app(&[("W/workflow.json", TOOL)]);
    let tool = app.default_server().tool("W").unwrap();
    assert_eq!(Value::Object(tool.input_schema().as_ref().clone()), json!({"type":"object"}));
    for schema in [json!({"type":"array"}), json!({"type":["string","null"]})] {
        let said = left_out(&[("W/workflow.json", &with_schema(&schema))]);
        assert_eq!(
            said,
            "workflow `W`: its schema is not one of an object, and a tool's arguments are an \
             object: give it `\"type\": \"object\"`"
        );
    }
}

#[test]
fn a_workflow_that_is_no_tool_is_left_out_with_every_reason() {
    let said = left_out(&[
        ("W/workflow.json", &with_trigger(&json!({"type":"Request","kind":"Button"}))),
        ("local.settings.json", r#"{"Values":{"Workflows.W.FlowState":"Disabled"}}"#),
    ]);
    assert_eq!(
        said,
        "workflow `W`: the app setting `Workflows.W.FlowState` disables it; its trigger `manual` \
         is of type `Request` and kind `Button`; a tool's is of type `Request` and kind `Http`"
    );
    let said = left_out(&[("W/workflow.json", &with_trigger(&json!({"type":"Request"})))]);
    assert!(said.contains("is of type `Request` and no kind;"), "{said}");
}

#[test]
fn a_workflow_without_a_response_is_left_out() {
    let silent = TOOL.replace(r#""type":"Response","kind":"Http""#, r#""type":"Compose""#);
    assert_eq!(
        left_out(&[("W/workflow.json", &silent)]),
        "workflow `W`: it has no Response action, so a call would have no answer"
    );
}

#[test]
fn a_workflow_that_uses_what_cannot_run_is_left_out_with_the_place() {
    let mut workflow: Value = serde_json::from_str(TOOL).unwrap();
    workflow["definition"]["actions"]["Send"] =
        json!({"type":"ApiConnection","inputs":{},"runAfter":{}});
    let said = left_out(&[("W/workflow.json", &workflow.to_string())]);
    assert!(said.starts_with("workflow `W`: W/workflow.json:1:"), "{said}");
    assert!(said.contains("ApiConnection"), "{said}");
    assert!(app(&[("W/workflow.json", &workflow.to_string())]).default_server().tools().is_empty());
}

#[test]
fn a_name_fits_a_tool_to_its_limit() {
    let longest = "a".repeat(limits::TOOL_NAME_CHARS);
    let path = format!("{longest}/workflow.json");
    assert!(app(&[(&path, TOOL)]).default_server().tool(&longest).is_some());
    for name in ["a".repeat(limits::TOOL_NAME_CHARS + 1), "a b".to_owned(), "ä".to_owned()] {
        let said = left_out(&[(&format!("{name}/workflow.json"), TOOL)]);
        assert!(
            said.ends_with(
                "its name is none that a tool can have; expected 1 to 128 ASCII letters, digits, \
                 `_`, `-` or `.`"
            ),
            "{said}"
        );
    }
}

#[test]
fn a_workflow_that_does_not_parse_is_a_problem_of_the_app() {
    let said = problems(&[("W/workflow.json", "{\n  \"kind\": \"Stateless\"\n}")]);
    assert!(said.starts_with("W/workflow.json:1:1: the document has no \"definition\""), "{said}");
    let broken = TOOL.replace(r#""statusCode":200"#, r#""statusCode":"@nonsense(""#);
    let said = problems(&[("W/workflow.json", &broken)]);
    assert!(said.starts_with("W/workflow.json:1:"), "{said}");
    assert!(said.contains("(/definition/actions/Response/inputs/statusCode)"), "{said}");
}

#[test]
fn workflows_whose_names_differ_in_case_only_are_refused() {
    assert_eq!(
        problems(&[("Do/workflow.json", TOOL), ("do/workflow.json", TOOL)]),
        "do/workflow.json: its name differs from the workflow `Do` in case only: rename one of \
         them"
    );
}

#[test]
fn workflows_are_counted() {
    let paths: Vec<String> =
        (0..=limits::WORKFLOW_COUNT).map(|index| format!("W{index}/workflow.json")).collect();
    let given: Vec<(&str, &str)> = paths.iter().map(|path| (path.as_str(), TOOL)).collect();
    let accepted = app(&given[..limits::WORKFLOW_COUNT]);
    assert_eq!(accepted.default_server().tools().len(), limits::WORKFLOW_COUNT);
    assert_eq!(problems(&given), ".: the app has 501 workflows; expected at most 500");
}
