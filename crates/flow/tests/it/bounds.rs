//! Hostile input: nothing panics, nothing overflows, everything ends.

use std::sync::Arc;
use std::time::SystemTime;

use flow::{Context, Effect, Error, Evaluation, Event, Host, Outcome, Run, Workflow};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::runs::{run, workflow};

const DEEP: usize = 100_000;

fn evaluate(expression: &str) -> Result<Value, Error> {
    Evaluation::parse(&Value::from(expression))?.evaluate(&Context::default())
}

/// Nests a value in arrays; it has to be taken apart by `flatten`, not dropped.
fn nested(depth: usize) -> Value {
    (0..depth).fold(Value::Null, |inner, _| Value::Array(vec![inner]))
}

fn flatten(mut value: Value) {
    while let Value::Array(items) = &mut value {
        value = items.pop().unwrap_or_default();
    }
}

fn is_limit(result: &Result<Value, Error>) -> bool {
    matches!(result, Err(Error::Limit { .. }))
}

#[test]
fn nesting_of_100000_is_an_error_wherever_it_stands() {
    let calls = format!("@{}1{}", "string(".repeat(DEEP), ")".repeat(DEEP));
    assert!(is_limit(&evaluate(&calls)));
    let brackets = format!("@json('[]'){}", "[json('[]')".repeat(DEEP));
    assert!(is_limit(&evaluate(&brackets)));
    let in_braces = format!("@{{{}", "add(".repeat(DEEP));
    assert!(is_limit(&evaluate(&in_braces)));
    let text = format!("@json('{}')", "[".repeat(DEEP));
    assert!(is_limit(&evaluate(&text)));

    let value = nested(DEEP);
    assert!(matches!(Evaluation::parse(&value), Err(Error::Limit { .. })));
    assert!(Workflow::parse(&value).is_err());
    flatten(value);
}

#[test]
fn a_long_chain_of_accesses_is_no_nesting() {
    let chain = format!("@json('null'){}", "?.a".repeat(DEEP));
    assert_eq!(evaluate(&chain).ok(), Some(Value::Null));
    let many = format!("@createArray({}1)", "1,".repeat(DEEP));
    assert!(evaluate(&many).is_ok());
}

#[test]
fn nested_arguments_are_refused_and_a_nested_body_fails_its_run() {
    let plan = workflow(&json!({
        "Answer": { "type": "Response", "inputs": { "body": "@triggerBody()" }, "runAfter": {} },
    }));
    let plan = Arc::new(Workflow::parse(&plan).expect("a plan"));
    let body = nested(DEEP);
    assert!(plan.check_arguments(&body).is_err());
    let run = Run::new(plan, Arc::new(Host::default()), "run".to_owned(), body);
    let (run, effects) = run.step(Event::Start, SystemTime::UNIX_EPOCH);
    assert!(run.is_over());
    assert!(matches!(
        effects.as_slice(),
        [Effect::Finished(Outcome::Failed { code, .. })] if code == "InvalidRequestContent"
    ));
}

#[test]
fn values_that_double_at_every_step_end_in_a_limit() {
    let mut actions = serde_json::Map::new();
    let mut last = None::<String>;
    for step in 0..40 {
        let name = format!("Step{step}");
        let (inputs, after) = match &last {
            None => ("0123456789".to_owned(), json!({})),
            Some(last) => (
                format!("@concat(outputs('{last}'), outputs('{last}'))"),
                json!({ last: ["Succeeded"] }),
            ),
        };
        actions.insert(
            name.clone(),
            json!({ "type": "Compose", "inputs": inputs, "runAfter": after }),
        );
        last = Some(name);
    }
    let (_, outcome, _) = run(&Value::Object(actions), json!({}));
    assert!(matches!(outcome, Outcome::Failed { code, .. } if code == "ExpressionLimitExceeded"));
}

#[test]
fn values_that_nest_at_every_step_end_in_a_limit() {
    let mut actions = serde_json::Map::new();
    for step in 0..600 {
        let (inputs, after) = match step {
            0 => ("@createArray(1)".to_owned(), json!({})),
            step => (
                format!("@createArray(outputs('Step{}'))", step - 1),
                json!({ format!("Step{}", step - 1): ["Succeeded"] }),
            ),
        };
        actions.insert(
            format!("Step{step}"),
            json!({ "type": "Compose", "inputs": inputs, "runAfter": after }),
        );
    }
    let (_, outcome, _) = run(&Value::Object(actions), json!({}));
    assert!(matches!(outcome, Outcome::Failed { code, .. } if code == "ExpressionLimitExceeded"));
}

#[test]
fn amplifying_functions_end_in_a_limit() {
    for expression in [
        "@replace(join(range(0,100000),'0'), '0', join(range(0,100000),'0'))",
        "@join(range(0,100000), join(range(0,100000),''))",
    ] {
        assert!(is_limit(&evaluate(expression)), "{expression}");
    }
}

#[test]
fn a_condition_as_deep_as_the_document_may_be_is_evaluated() {
    let mut condition = json!({ "equals": [1, 1] });
    for _ in 0..100 {
        condition = json!({ "not": condition });
    }
    let (response, _, _) = run(
        &json!({
            "If": {
                "type": "If",
                "expression": condition,
                "actions": { "Yes": { "type": "Response", "inputs": { "body": "yes" } } },
                "runAfter": {},
            },
        }),
        json!({}),
    );
    assert_eq!(response.and_then(|response| response.body), Some(json!("yes")));
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        "@[a-z({})'?.,0-9\\[\\]@ ]{0,24}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec(("\\PC{0,8}", inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Texts that are nearly expressions: pieces of the grammar in any order.
fn nearly_expression() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("@"),
        Just("@{"),
        Just("}"),
        Just("("),
        Just(")"),
        Just("["),
        Just("]"),
        Just("?"),
        Just("."),
        Just(","),
        Just("'"),
        Just("''"),
        Just("'a'"),
        Just("1"),
        Just("-2.5"),
        Just(" "),
        Just("concat"),
        Just("json('{\"a\":[1]}')"),
        Just("range(0,3)"),
        Just("null"),
        Just("ü😀"),
        Just("substring('a😀b',1,2)"),
        Just("formatNumber(1234.5,'#,0.0;x')"),
        Just("string"),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

fn function_names() -> Vec<String> {
    let page = flow::functions_page();
    page.lines()
        .filter_map(|line| {
            line.strip_prefix("| `")?.split_once('(').map(|(name, _)| name.to_owned())
        })
        .collect()
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_or_the_evaluator_panic(text in "@?\\PC{0,64}") {
        let _result = evaluate(&text);
    }

    #[test]
    fn nothing_that_is_nearly_an_expression_makes_them_panic(text in nearly_expression()) {
        let _result = evaluate(&format!("@{text}"));
        let _result = evaluate(&text);
    }

    #[test]
    fn no_document_makes_the_plan_panic(inputs in json_value(), kind in "Compose|Response|If|Switch|Wait|ParseJson|SetVariable|Terminate|InitializeVariable|Foreach") {
        let _plan = Workflow::parse(&inputs);
        let _plan = Workflow::parse(&workflow(&json!({
            "A": { "type": kind, "inputs": inputs, "expression": inputs, "actions": inputs, "cases": inputs, "runAfter": inputs },
        })));
    }

    #[test]
    fn no_arguments_make_a_function_panic(
        name in prop::sample::select(function_names()),
        arguments in prop::collection::vec(json_value(), 0..4),
    ) {
        let context = Context {
            variables: arguments.iter().enumerate().map(|(index, value)| (index.to_string(), value.clone())).collect(),
            ..Context::default()
        };
        let listed: Vec<String> = (0..arguments.len()).map(|index| format!("variables('{index}')")).collect();
        let text = format!("@{name}({})", listed.join(","));
        let _result = Evaluation::parse(&Value::from(text)).and_then(|parsed| parsed.evaluate(&context));
    }
}
