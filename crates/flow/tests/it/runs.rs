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
                other => panic!("{other:?}"),
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
