//! What a plan refuses, and where it says so.

use flow::{Kind, Problem, Workflow};
use serde_json::{Value, json};

use crate::runs::workflow;

fn problems(actions: &Value) -> Vec<Problem> {
    Workflow::parse(&workflow(actions)).expect_err("problems")
}

/// Expects exactly one problem, at this pointer, that says this.
fn expect_problem(actions: &Value, pointer: &str, said: &str) {
    let problems = problems(actions);
    let [problem] = problems.as_slice() else { panic!("{problems:#?}") };
    assert_eq!(problem.pointer, format!("/definition/actions{pointer}"));
    assert!(problem.message.contains(said), "{}", problem.message);
}

fn compose(inputs: &Value) -> Value {
    json!({ "A": { "type": "Compose", "inputs": inputs, "runAfter": {} } })
}

#[test]
fn a_fault_in_an_expression_is_drawn_at_its_pointer() {
    let problems = problems(&compose(&json!({ "a/b": ["x", "@concat('a', toUper('b'))"] })));
    assert_eq!(
        problems,
        [Problem {
            pointer: "/definition/actions/A/inputs/a~1b/1".to_owned(),
            message: "there is no function 'toUper'; did you mean 'toUpper'?\n  \
                      @concat('a', toUper('b'))\n               ^^^^^^"
                .to_owned(),
        }]
    );
}

#[test]
fn every_problem_is_reported_at_once() {
    let problems = problems(&json!({
        "A": { "type": "Compose", "inputs": "@add(1)", "runAfter": { "Nowhere": ["Succeeded"] } },
        "B": { "type": "Compose", "runAfter": { "A": ["Done"] } },
        "C": { "type": "SetVariable", "inputs": { "name": "x", "value": 1 } },
        "D": {},
    }));
    assert!(problems.len() >= 5, "{problems:#?}");
}

#[test]
fn references_have_to_lead_somewhere() {
    expect_problem(&compose(&json!("@body('B')")), "/A/inputs", "no action named 'B'");
    expect_problem(&compose(&json!("@variables('v')")), "/A/inputs", "no variable named 'v'");
    expect_problem(&compose(&json!("@{1")), "/A/inputs", "RightCurlyBrace");
    expect_problem(&compose(&json!("@not(1, 2)")), "/A/inputs", "one argument");
}

#[test]
fn run_after_names_actions_beside_it_and_no_circle() {
    expect_problem(
        &json!({
            "A": { "type": "Compose", "inputs": 1, "runAfter": { "B": ["Succeeded"] } },
            "B": { "type": "Compose", "inputs": 1, "runAfter": { "A": ["Succeeded"] } },
        }),
        "/A/runAfter",
        "'A' after 'B' after 'A'",
    );
    expect_problem(
        &json!({
            "S": { "type": "Scope", "actions": { "A": { "type": "Compose", "inputs": 1, "runAfter": { "B": ["Succeeded"] } } } },
            "B": { "type": "Compose", "inputs": 1 },
        }),
        "/S/actions/A/runAfter/B",
        "no action 'B' beside",
    );
    expect_problem(
        &json!({
            "A": { "type": "Compose", "inputs": 1 },
            "B": { "type": "Compose", "inputs": 1, "runAfter": { "A": [] } },
        }),
        "/B/runAfter/A",
        "at least one",
    );
}

#[test]
fn names_differ_by_more_than_case() {
    expect_problem(
        &json!({ "A": { "type": "Compose", "inputs": 1 }, "a": { "type": "Compose", "inputs": 1 } }),
        "/a",
        "another action",
    );
}

#[test]
fn a_response_stands_in_no_loop_and_takes_no_timeout() {
    let response = json!({ "R": { "type": "Response", "inputs": {} } });
    expect_problem(
        &json!({ "L": { "type": "Foreach", "foreach": [], "actions": response } }),
        "/L/actions/R",
        "repeats",
    );
    expect_problem(
        &json!({ "R": { "type": "Response", "inputs": {}, "limit": { "timeout": "PT10S" } } }),
        "/R/limit/timeout",
        "no timeout",
    );
}

#[test]
fn a_variable_does_not_become_something_of_itself() {
    expect_problem(
        &json!({
            "V": { "type": "InitializeVariable", "inputs": { "variables": [{ "name": "v", "type": "integer" }] } },
            "S": { "type": "SetVariable", "inputs": { "name": "v", "value": "@add(variables('V'), 1)" } },
        }),
        "/S/inputs/value",
        "itself",
    );
}

#[test]
fn what_cannot_be_run_here_is_no_problem_but_is_told() {
    let plan = Workflow::parse(&workflow(&json!({
        "Call": { "type": "Http", "inputs": { "uri": "@variablesOf('x')" } },
        "Time": { "type": "Compose", "inputs": "@addDays(utcNow(), 1)" },
    })))
    .expect("a plan");
    let told: Vec<&str> =
        plan.unsupported().iter().map(|problem| problem.pointer.as_str()).collect();
    assert_eq!(told, ["/definition/actions/Call/type", "/definition/actions/Time/inputs"]);
    assert!(!plan.has_response());
}

#[test]
fn a_trigger_of_another_type_is_recorded_and_told() {
    let plan = Workflow::parse(&json!({
        "definition": {
            "triggers": { "Timer": { "type": "Recurrence", "description": "Daily." } },
            "actions": {},
        },
        "kind": "stateful",
    }))
    .expect("a plan");
    assert_eq!(plan.kind(), Kind::Stateful);
    assert_eq!(plan.trigger().type_name(), "Recurrence");
    assert_eq!(plan.trigger().description(), Some("Daily."));
    assert!(!plan.trigger().is_request());
    assert_eq!(plan.unsupported().len(), 1);
}

#[test]
fn the_document_has_to_be_a_workflow() {
    for (document, pointer) in [
        (json!([]), ""),
        (json!({}), ""),
        (json!({ "definition": 1 }), "/definition"),
        (json!({ "definition": { "actions": {} } }), "/definition/triggers"),
        (json!({ "definition": { "triggers": {}, "actions": {} } }), "/definition/triggers"),
    ] {
        let problems = Workflow::parse(&document).expect_err("problems");
        assert_eq!(problems.first().map(|problem| problem.pointer.as_str()), Some(pointer));
    }
}

fn with_schema(schema: &Value) -> Result<Workflow, Vec<Problem>> {
    let mut document = workflow(&json!({}));
    document["definition"]["triggers"]["manual"]["inputs"] = json!({ "schema": schema });
    Workflow::parse(&document)
}

#[test]
fn arguments_are_checked_against_the_triggers_schema() {
    let plan = with_schema(&json!({
        "type": "object",
        "properties": { "n": { "type": "integer", "minimum": 1 }, "tags": { "type": "array", "items": { "type": "string" } } },
        "required": ["n"],
    }))
    .expect("a plan");
    assert!(plan.check_arguments(&json!({ "n": 1, "tags": ["a"] })).is_ok());
    let problems =
        plan.check_arguments(&json!({ "n": "a secret", "tags": [1] })).expect_err("problems");
    let places: Vec<&str> = problems.iter().map(|problem| problem.pointer.as_str()).collect();
    assert_eq!(places, ["/n", "/tags/0"]);
    assert!(problems.iter().all(|problem| !problem.message.contains("secret")), "{problems:?}");
    let problems = plan.check_arguments(&json!({})).expect_err("problems");
    assert!(problems[0].message.contains("\"n\""), "{problems:?}");
    let open = Workflow::parse(&workflow(&json!({}))).expect("a plan");
    assert!(open.check_arguments(&json!({ "anything": true })).is_ok());
}

#[test]
fn a_schema_that_does_not_compile_or_lies_elsewhere_is_a_problem() {
    let problems = with_schema(&json!({ "type": "objekt" })).expect_err("problems");
    assert!(
        problems[0].pointer.starts_with("/definition/triggers/manual/inputs/schema"),
        "{problems:?}"
    );
    let problems =
        with_schema(&json!({ "$ref": "https://example.com/schema.json" })).expect_err("problems");
    assert!(problems[0].message.contains("nothing is fetched"), "{problems:?}");
}

#[test]
fn a_workflow_has_2000_actions_and_no_more() {
    let many = |count: usize| {
        let action = json!({ "type": "Compose", "inputs": 1 });
        Value::Object((0..count).map(|index| (format!("A{index}"), action.clone())).collect())
    };
    assert!(Workflow::parse(&workflow(&many(2_000))).is_ok());
    expect_problem(&many(2_002), "/A2000", "2000 actions");
}
