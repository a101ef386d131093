//! The cases in the folder that `KEYWARD_CASES` names, where it is set.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;
use std::{env, fs};

use flow::{Context, Effect, Evaluation, Event, Host, Run, Workflow};
use serde_json::{Map, Value};

#[expect(clippy::disallowed_methods, reason = "a test may be pointed at more cases")]
fn folder() -> Option<PathBuf> {
    env::var("KEYWARD_CASES").ok().map(PathBuf::from)
}

fn read(path: PathBuf) -> Value {
    let text = fs::read_to_string(path).expect("a file of cases");
    serde_json::from_str(text.trim_start_matches('\u{feff}')).expect("JSON")
}

fn text<'v>(case: &'v Value, name: &str) -> &'v str {
    case[name].as_str().unwrap_or_default()
}

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

fn context(case: &Value) -> Context {
    Context {
        actions: object(&case["context"]["actions"]),
        variables: object(&case["context"]["variables"]),
        item: case["context"].get("item").cloned(),
        ..Context::default()
    }
}

/// Says how the case fails, if it does.
fn failure(case: &Value, result: &Result<Value, flow::Error>) -> Option<String> {
    match (text(case, "expect"), result) {
        ("value", Ok(value)) => {
            let expected = case.get("expected_adjusted").unwrap_or(&case["expected"]);
            (value != expected).then(|| format!("is {value}, not {expected}"))
        }
        ("value", Err(error)) => Some(format!("fails: {error}")),
        (_, Ok(value)) => Some(format!("is {value}, not an error")),
        (_, Err(error)) => {
            let named = text(case, "error_contains").to_lowercase();
            (!error.to_string().to_lowercase().contains(&named))
                .then(|| format!("does not name {named}: {error}"))
        }
    }
}

#[test]
fn expressions_have_the_reference_engines_values() {
    let Some(folder) = folder() else { return };
    let cases = read(folder.join("expressions.json"));
    let mut groups: BTreeMap<String, [usize; 3]> = BTreeMap::new();
    let mut failures = Vec::new();
    for case in cases.as_array().expect("a list") {
        let counts = groups.entry(text(case, "group").to_owned()).or_default();
        let parsed = Evaluation::parse(&case["expression"]);
        let is_later = parsed.as_ref().is_ok_and(|parsed| !parsed.unsupported().is_empty())
            || text(case, "expression").to_lowercase().starts_with("@utcnow('");
        if is_later || case["nondeterministic"] == true && text(case, "expect") == "value" {
            counts[1] += 1;
            continue;
        }
        let result = parsed.and_then(|parsed| parsed.evaluate(&context(case)));
        match failure(case, &result) {
            None => counts[0] += 1,
            Some(why) => {
                counts[2] += 1;
                failures.push(format!("{} {} {why}", text(case, "id"), case["expression"]));
            }
        }
    }
    let mut total = [0; 3];
    for (group, counts) in &groups {
        report(&format!(
            "{group:28} {:4} passed {:4} not yet {:4} failed",
            counts[0], counts[1], counts[2]
        ));
        total.iter_mut().zip(counts).for_each(|(total, count)| *total += count);
    }
    report(&format!(
        "{:28} {:4} passed {:4} not yet {:4} failed",
        "all", total[0], total[1], total[2]
    ));
    assert!(failures.is_empty(), "{} fail:\n{}", failures.len(), failures.join("\n"));
}

#[expect(clippy::print_stdout, reason = "counts for whoever runs this with --nocapture")]
fn report(line: &str) {
    println!("{line}");
}

#[test]
fn public_expressions_parse_exactly_where_the_reference_engine_parses_them() {
    let Some(folder) = folder() else { return };
    let cases = read(folder.join("real_expressions.json"));
    let wrong: Vec<String> = cases
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|case| {
            let parsed = Evaluation::parse(&case["expression"]);
            let is_accepted = text(case, "engine") != "parse_error";
            (parsed.is_ok() != is_accepted)
                .then(|| format!("{}: {:?}", case["expression"], parsed.err()))
        })
        .collect();
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn public_workflows_are_plans_unless_they_are_meant_to_be_refused() {
    let Some(folder) = folder() else { return };
    let sources = fs::read_to_string(folder.join("SOURCES.tsv")).expect("the list of sources");
    let (mut plans, mut partly, mut wrong) = (0, 0, Vec::new());
    for line in sources.lines().skip(1) {
        let columns: Vec<&str> = line.split('\t').collect();
        let (Some(file), Some(class)) = (columns.first(), columns.last()) else { continue };
        if !file.starts_with("workflows/") {
            continue;
        }
        match (Workflow::parse(&read(folder.join(file))), *class) {
            (Ok(workflow), "ok") => {
                plans += 1;
                partly += usize::from(!workflow.unsupported().is_empty());
            }
            (Err(_), "lint-invalid") => {}
            (Ok(_), class) => wrong.push(format!("{file} ({class}) is accepted")),
            (Err(problems), class) => wrong.push(format!("{file} ({class}): {problems:#?}")),
        }
    }
    report(&format!("{plans} plans, {partly} of them with something that cannot be run here"));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn recorded_conditions_answer_as_the_reference_host_did() {
    let Some(folder) = folder() else { return };
    for name in ["conditionNestedWithoutArray", "conditionCaseInsensitiveFunction"] {
        let document = read(folder.join("traces").join(name).join("workflow.json"));
        let plan = Arc::new(Workflow::parse(&document).expect("a plan"));
        let run = Run::new(plan, Arc::new(Host::default()), "run".to_owned(), Value::Null);
        let (_, effects) = run.step(Event::Start, SystemTime::UNIX_EPOCH);
        let Some(Effect::Respond(response)) = effects.first() else { panic!("{effects:?}") };
        assert_eq!((response.status, &response.body), (200, &Some(Value::from("yippee"))));
    }
}
