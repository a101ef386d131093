//! Workflows from start to end.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use flow::{Effect, Event, Host, Outcome, Response, Run, Workflow};
use serde_json::{Value, json};

pub(crate) fn workflow(actions: &Value) -> Value {
    json!({
        "definition": {
            "triggers": { "manual": { "type": "Request", "kind": "Http" } },
            "actions": actions,
        },
        "kind": "Stateless",
    })
}

/// Runs to the end, letting every wait pass at once.
pub(crate) fn run(actions: &Value, body: Value) -> (Option<Response>, Outcome, Vec<Duration>) {
    let workflow = match Workflow::parse(&workflow(actions)) {
        Ok(workflow) => workflow,
        Err(problems) => panic!("{problems:?}"),
    };
    let run = Run::new(Arc::new(workflow), Arc::new(Host::default()), "run".to_owned(), body);
    let (mut response, mut waits) = (None, Vec::new());
    let mut now = SystemTime::UNIX_EPOCH;
    let (mut run, mut effects) = run.step(Event::Start, now);
    loop {
        let mut next = None;
        for effect in effects {
            match effect {
                Effect::Respond(first) => assert!(response.replace(first).is_none(), "two answers"),
                Effect::Wait { action, duration } => {
                    waits.push(duration);
                    next = Some((action, duration));
                }
                Effect::Finished(outcome) => return (response, outcome, waits),
            }
        }
        let (action, duration) = next.expect("an unfinished run waits");
        now += duration;
        (run, effects) = run.step(Event::Elapsed { action }, now);
    }
}

#[test]
fn what_a_compose_makes_a_response_sends() {
    let (response, outcome, _) = run(
        &json!({
            "Answer": {
                "type": "Response",
                "inputs": { "statusCode": 201, "headers": { "X-N": 7 }, "body": "@outputs('Make')" },
                "runAfter": { "Make": ["Succeeded"] },
            },
            "Make": { "type": "Compose", "inputs": { "hello": "@triggerBody()?['name']" }, "runAfter": {} },
        }),
        json!({ "name": "Ada" }),
    );
    assert_eq!(
        response,
        Some(Response {
            status: 201,
            headers: vec![("X-N".to_owned(), "7".to_owned())],
            body: Some(json!({ "hello": "Ada" })),
        })
    );
    assert_eq!(outcome, Outcome::Succeeded);
}

/// Runs actions that answer, and returns the answer's body.
fn answer(actions: &Value, body: Value) -> Value {
    let (response, outcome, _) = run(actions, body);
    assert_eq!(outcome, Outcome::Succeeded);
    response.and_then(|response| response.body).unwrap_or_default()
}

fn failed(outcome: &Outcome) -> (&str, &str, &str) {
    match outcome {
        Outcome::Failed { action, code, message } => {
            (action.as_deref().unwrap_or_default(), code, message)
        }
        other => panic!("{other:?}"),
    }
}

fn variable(name: &str, type_name: &str, value: &Value) -> Value {
    json!({
        "type": "InitializeVariable",
        "inputs": { "variables": [{ "name": name, "type": type_name, "value": value }] },
        "runAfter": {},
    })
}

#[test]
fn variables_are_set_counted_and_appended_to() {
    let after = |name: &str| json!({ name: ["SUCCEEDED"] });
    let actions = json!({
        "N": variable("n", "integer", &json!(5)),
        "List": { "type": "InitializeVariable", "inputs": { "variables": [{ "name": "list", "type": "array" }] }, "runAfter": after("N") },
        "Text": { "type": "InitializeVariable", "inputs": { "variables": [{ "name": "text", "type": "string", "value": "a" }] }, "runAfter": after("List") },
        "Up": { "type": "IncrementVariable", "inputs": { "name": "N", "value": 3 }, "runAfter": after("Text") },
        "Down": { "type": "DecrementVariable", "inputs": { "name": "n" }, "runAfter": after("Up") },
        "Push": { "type": "AppendToArrayVariable", "inputs": { "name": "list", "value": "@variables('n')" }, "runAfter": after("Down") },
        "Write": { "type": "AppendToStringVariable", "inputs": { "name": "text", "value": "@createArray(1)" }, "runAfter": after("Push") },
        "Set": { "type": "SetVariable", "inputs": { "name": "n", "value": "@add(length(variables('list')), 41)" }, "runAfter": after("Write") },
        "Answer": {
            "type": "Response",
            "inputs": { "body": ["@variables('n')", "@variables('list')", "@variables('text')", "@body('Set').value"] },
            "runAfter": after("Set"),
        },
    });
    assert_eq!(answer(&actions, json!({})), json!([42, [7], "a[1]", 42]));
}

#[test]
fn a_variable_takes_no_value_of_another_type() {
    let actions = json!({
        "N": variable("n", "integer", &json!("@triggerBody()['n']")),
        "Answer": { "type": "Response", "inputs": {}, "runAfter": { "N": ["Succeeded"] } },
    });
    let (response, outcome, _) = run(&actions, json!({ "n": "five" }));
    assert_eq!(response, None);
    let (action, code, message) = failed(&outcome);
    assert_eq!((action, code), ("N", "BadRequest"));
    assert!(message.contains("Integer") && message.contains("String"), "{message}");
}

#[test]
fn a_condition_chooses_its_branch_and_skips_the_other() {
    let actions = json!({
        "Check": {
            "type": "If",
            "expression": { "and": [
                { "not": { "equals": [{ "lENgth": ["@triggerBody()['items']"] }, 0] } },
                { "or": [{ "greater": ["@triggerBody()['n']", 10] }, "@equals(triggerBody()['n'], 7)"] },
            ] },
            "actions": { "Yes": { "type": "Compose", "inputs": "yes" } },
            "else": { "actions": { "No": { "type": "Compose", "inputs": "no" } } },
            "runAfter": {},
        },
        "Answer": {
            "type": "Response",
            "inputs": { "body": ["@outputs('Yes')", "@outputs('No')", "@actions('No').status"] },
            "runAfter": { "Check": ["Succeeded"] },
        },
    });
    let ask = |n: i64, items: Value| answer(&actions, json!({ "n": n, "items": items }));
    assert_eq!(ask(11, json!([1])), json!(["yes", null, "Skipped"]));
    assert_eq!(ask(7, json!([1])), json!(["yes", null, "Skipped"]));
    assert_eq!(ask(8, json!([1])), json!([null, "no", "Succeeded"]));
    assert_eq!(ask(11, json!([])), json!([null, "no", "Succeeded"]));
}

#[test]
fn a_condition_that_is_no_boolean_fails_its_action() {
    let actions = json!({
        "Check": { "type": "If", "expression": "@add(1, 1)", "actions": {}, "runAfter": {} },
    });
    let (_, outcome, _) = run(&actions, json!({}));
    assert_eq!(failed(&outcome).1, "InvalidTemplate");
}

#[test]
fn a_switch_takes_the_case_that_equals_or_the_default() {
    let actions = json!({
        "Switch": {
            "type": "Switch",
            "expression": "@triggerBody()['k']",
            "cases": {
                "One": { "case": 1, "actions": { "A": { "type": "Response", "inputs": { "body": "one" } } } },
                "Two": { "case": "two", "actions": { "B": { "type": "Response", "inputs": { "body": "two" } } } },
            },
            "default": { "actions": { "C": { "type": "Response", "inputs": { "body": "other" } } } },
            "runAfter": {},
        },
    });
    assert_eq!(answer(&actions, json!({ "k": 1 })), "one");
    assert_eq!(answer(&actions, json!({ "k": "two" })), "two");
    assert_eq!(answer(&actions, json!({ "k": "TWO" })), "other");
}

#[test]
fn the_first_response_answers_and_the_run_goes_on() {
    let actions = json!({
        "First": { "type": "Response", "inputs": { "statusCode": "202", "body": 1 }, "runAfter": {} },
        "Second": { "type": "Response", "inputs": { "body": 2 }, "runAfter": { "First": ["Succeeded"] } },
        "Boom": { "type": "Compose", "inputs": "@div(1, 0)", "runAfter": { "Second": ["Succeeded"] } },
    });
    let (response, outcome, _) = run(&actions, json!({}));
    assert_eq!(
        response.map(|response| (response.status, response.body)),
        Some((202, Some(json!(1))))
    );
    let (action, code, message) = failed(&outcome);
    assert_eq!((action, code), ("Boom", "InvalidTemplate"));
    assert!(message.contains("/definition/actions/Boom/inputs"), "{message}");
    assert!(message.contains("^"), "{message}");
}

#[test]
fn a_status_that_is_none_fails_the_response() {
    for status in [json!(99), json!(600), json!("ok"), json!(null), json!(200.5)] {
        let actions = json!({
            "Answer": { "type": "Response", "inputs": { "statusCode": status }, "runAfter": {} },
        });
        let (response, outcome, _) = run(&actions, json!({}));
        assert_eq!(response, None);
        assert_eq!(failed(&outcome).1, "BadRequest");
    }
}

#[test]
fn what_runs_after_a_failure_handles_it() {
    let actions = json!({
        "Boom": { "type": "Compose", "inputs": "@div(1, 0)", "runAfter": {} },
        "Then": { "type": "Compose", "inputs": 1, "runAfter": { "Boom": ["Succeeded"] } },
        "Catch": {
            "type": "Response",
            "inputs": { "body": ["@actions('Boom').error.code", "@actions('Then').status"] },
            "runAfter": { "Boom": ["Failed"], "Then": ["Skipped"] },
        },
    });
    assert_eq!(answer(&actions, json!({})), json!(["InvalidTemplate", "Skipped"]));
}

#[test]
fn a_branch_that_is_skipped_counts_as_what_it_waited_for() {
    let actions = json!({
        "Boom": { "type": "Compose", "inputs": "@div(1, 0)", "runAfter": {} },
        "Then": { "type": "Compose", "inputs": 1, "runAfter": { "Boom": ["Succeeded"] } },
        "Last": { "type": "Compose", "inputs": 1, "runAfter": { "Then": ["Succeeded"] } },
    });
    let (_, outcome, _) = run(&actions, json!({}));
    assert_eq!(failed(&outcome).0, "Boom");
}

#[test]
fn a_scope_fails_with_what_is_in_it_and_its_result_says_why() {
    let actions = json!({
        "Try": {
            "type": "Scope",
            "actions": {
                "A": { "type": "Compose", "inputs": "@triggerBody()", "runAfter": {} },
                "Boom": { "type": "ParseJson", "inputs": { "content": "{" }, "runAfter": { "A": ["Succeeded"] } },
            },
            "runAfter": {},
        },
        "Catch": {
            "type": "Response",
            "inputs": { "body": ["@result('Try')[0].inputs", "@result('Try')[1].status", "@actions('Try').code"] },
            "runAfter": { "Try": ["Failed", "TimedOut"] },
        },
    });
    assert_eq!(answer(&actions, json!({ "x": 1 })), json!([{ "x": 1 }, "Failed", "ActionFailed"]));
    let uncaught = json!({ "Try": actions["Try"] });
    let (_, outcome, _) = run(&uncaught, json!({}));
    assert_eq!(failed(&outcome).0, "Boom");
}

#[test]
fn parse_json_reads_text_and_checks_its_schema() {
    let actions = json!({
        "Parse": {
            "type": "ParseJson",
            "inputs": {
                "content": "@triggerBody()['text']",
                "schema": { "type": "object", "properties": { "n": { "type": "integer" } }, "required": ["n"] },
            },
            "runAfter": {},
        },
        "Answer": { "type": "Response", "inputs": { "body": "@body('Parse')?['n']" }, "runAfter": { "Parse": ["Succeeded"] } },
    });
    assert_eq!(answer(&actions, json!({ "text": "{\"n\": 5}" })), 5);
    assert_eq!(answer(&actions, json!({ "text": { "n": 6 } })), 6);
    let (_, outcome, _) = run(&actions, json!({ "text": "{\"n\": \"x\"}" }));
    let (action, code, message) = failed(&outcome);
    assert_eq!((action, code), ("Parse", "ValidationFailed"));
    assert!(message.contains("/n") && message.contains("integer"), "{message}");
}

#[test]
fn waits_are_effects_and_other_branches_go_on_meanwhile() {
    let actions = json!({
        "Pause": { "type": "Wait", "inputs": { "interval": { "count": "@triggerBody()['s']", "unit": "Minute" } }, "runAfter": {} },
        "Month": { "type": "Wait", "inputs": { "interval": { "count": 1, "unit": "Month" } }, "runAfter": { "Pause": ["Succeeded"] } },
        "Until": { "type": "Wait", "inputs": { "until": { "timestamp": "1970-02-01T00:03:00Z" } }, "runAfter": { "Month": ["Succeeded"] } },
        "Answer": { "type": "Response", "inputs": { "body": "@utcNow()" }, "runAfter": { "Until": ["Succeeded"] } },
        "Beside": { "type": "Compose", "inputs": 1, "runAfter": {} },
    });
    let (response, outcome, waits) = run(&actions, json!({ "s": 2 }));
    assert_eq!(outcome, Outcome::Succeeded);
    assert_eq!(waits, [120, 31 * 24 * 3600, 60].map(Duration::from_secs));
    assert_eq!(
        response.and_then(|response| response.body),
        Some(json!("1970-02-01T00:03:00.0000000Z"))
    );
}

#[test]
fn an_event_that_nobody_waits_for_changes_nothing() {
    let plan = workflow(&json!({
        "Pause": { "type": "Wait", "inputs": { "interval": { "count": 1, "unit": "Second" } }, "runAfter": {} },
    }));
    let plan = Arc::new(Workflow::parse(&plan).expect("a plan"));
    let run = Run::new(plan, Arc::new(Host::default()), "run".to_owned(), Value::Null);
    let now = SystemTime::UNIX_EPOCH;
    let (run, effects) = run.step(Event::Start, now);
    let [Effect::Wait { action, .. }] = effects.as_slice() else { panic!("{effects:?}") };
    let action = *action;
    assert_eq!(run.action_name(action), Some("Pause"));
    let (run, effects) = run.step(Event::Elapsed { action }, now);
    assert_eq!(effects, [Effect::Finished(Outcome::Succeeded)]);
    let (_, effects) = run.step(Event::Elapsed { action }, now);
    assert!(effects.is_empty());
}

#[test]
fn a_terminate_ends_the_run_at_once() {
    let terminate = |inputs: Value| {
        json!({
            "End": { "type": "Terminate", "inputs": inputs, "runAfter": {} },
            "Never": { "type": "Response", "inputs": {}, "runAfter": { "End": ["Succeeded", "Failed", "Skipped"] } },
        })
    };
    let error = json!({ "runStatus": "Failed", "runError": { "code": "Nope", "message": "@concat('no', 'pe')" } });
    let (response, outcome, _) = run(&terminate(error), json!({}));
    assert_eq!(response, None);
    assert_eq!(failed(&outcome), ("End", "Nope", "nope"));
    assert_eq!(
        run(&terminate(json!({ "runStatus": "Cancelled" })), json!({})).1,
        Outcome::Cancelled
    );
    assert_eq!(
        run(&terminate(json!({ "runStatus": "Succeeded" })), json!({})).1,
        Outcome::Succeeded
    );
}

#[test]
fn parameters_come_from_the_app_then_from_the_definition() {
    let document = json!({
        "definition": {
            "parameters": {
                "a": { "type": "String", "defaultValue": "default a" },
                "b": { "type": "String", "defaultValue": "@appsetting('B')" },
            },
            "triggers": { "manual": { "type": "Request" } },
            "actions": {
                "Answer": { "type": "Response", "inputs": { "body": ["@parameters('a')", "@parameters('B')", "@appsetting('b')", "@workflow().name"] } },
            },
        },
    });
    let settings = [("B".to_owned(), "from settings".to_owned())].into();
    let values = json!({ "a": "@concat('a of ', appsetting('B'))" });
    let Value::Object(values) = values else { panic!("an object") };
    let host = Host::resolve("Flow1", &values, settings).expect("a host");
    let plan = Arc::new(Workflow::parse(&document).expect("a plan"));
    let run = Run::new(plan, Arc::new(host), "run".to_owned(), Value::Null);
    let (_, effects) = run.step(Event::Start, SystemTime::UNIX_EPOCH);
    let Some(Effect::Respond(response)) = effects.first() else { panic!("{effects:?}") };
    assert_eq!(
        response.body,
        Some(json!(["a of from settings", "from settings", "from settings", "Flow1"]))
    );
}

#[test]
fn ids_are_the_same_for_the_same_run_and_others_for_another() {
    let plan = workflow(&json!({
        "Answer": { "type": "Response", "inputs": { "body": ["@guid()", "@guid()"] } },
    }));
    let plan = Arc::new(Workflow::parse(&plan).expect("a plan"));
    let ids = |run: &str| {
        let run =
            Run::new(Arc::clone(&plan), Arc::new(Host::default()), run.to_owned(), Value::Null);
        match run.step(Event::Start, SystemTime::UNIX_EPOCH).1.first() {
            Some(Effect::Respond(response)) => response.body.clone().unwrap_or_default(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(ids("one"), ids("one"));
    assert_ne!(ids("one"), ids("two"));
    assert_ne!(ids("one")[0], ids("one")[1]);
}
