//! The project's own tables of cases, `tests/cases/*.txt`: a new case is a new line.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use std::{env, fs};

use flow::{Context, Evaluation, functions_page};
use serde_json::{Value, json};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases")
}

fn object(value: Value) -> serde_json::Map<String, Value> {
    match value {
        Value::Object(object) => object,
        other => panic!("{other} is no object"),
    }
}

fn context() -> Context {
    Context {
        actions: object(json!({
            "Fetch": {
                "name": "Fetch",
                "inputs": { "uri": "https://example.com" },
                "outputs": { "statusCode": 200, "body": { "items": [{ "id": 1 }, { "id": 2 }] } },
                "status": "Succeeded",
            },
        })),
        variables: object(json!({ "n": 5, "list": [1, "a"] })),
        parameters: object(json!({ "env": "test" })),
        item: Some(json!({ "id": 7 })),
        trigger: json!({ "name": "manual", "outputs": { "body": { "name": "Ada" } } }),
        now: SystemTime::UNIX_EPOCH + Duration::from_millis(1500),
    }
}

fn evaluate(expression: &Value) -> Result<Value, String> {
    Evaluation::parse(expression)
        .and_then(|parsed| parsed.evaluate(&context()))
        .map_err(|error| error.to_string())
}

fn check(line: &str) -> Result<(), String> {
    let (expression, expected) = line.split_once(" ==> ").ok_or("there is no ==>")?;
    let expression: Value = serde_json::from_str(expression).map_err(|error| error.to_string())?;
    match (expected.strip_prefix("error "), evaluate(&expression)) {
        (Some(named), Err(message)) if message.contains(named) => Ok(()),
        (Some(_), Err(message)) => Err(format!("says {message}")),
        (Some(_), Ok(value)) => Err(format!("is {value}")),
        (None, Ok(value)) => {
            let expected: Value =
                serde_json::from_str(expected).map_err(|error| error.to_string())?;
            if value == expected { Ok(()) } else { Err(format!("is {value}")) }
        }
        (None, Err(message)) => Err(format!("fails: {message}")),
    }
}

#[test]
fn every_case_has_the_value_that_stands_beside_it() {
    let mut files: Vec<PathBuf> = fs::read_dir(folder())
        .expect("the folder of cases")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    files.sort();
    let (mut count, mut wrong) = (0, Vec::new());
    for file in files {
        let text = fs::read_to_string(&file).expect("a file of cases");
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            count += 1;
            if let Err(why) = check(line) {
                wrong.push(format!("{line}\n    {why}"));
            }
        }
    }
    assert!(count >= 300, "only {count} cases were found");
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_function_of_the_table_stands_in_a_case() {
    let mut cases = String::new();
    for entry in fs::read_dir(folder()).expect("the folder of cases") {
        let path = entry.expect("an entry").path();
        cases.push_str(&fs::read_to_string(path).expect("a file of cases").to_lowercase());
    }
    let page = functions_page();
    let (here, _) = page.split_once("## Not here yet").expect("both parts");
    let untested: Vec<&str> = here
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('(').map(|(name, _)| name))
        .filter(|name| !cases.contains(&format!("{}(", name.to_lowercase())))
        .collect();
    assert!(untested.is_empty(), "{untested:?}");
}

#[expect(clippy::disallowed_methods, reason = "how snapshots are made anew")]
fn compare(path: &Path, made: &str) {
    if env::var("UPDATE_SNAPSHOTS").is_ok() {
        fs::write(path, made).expect("a snapshot written");
    }
    let kept = fs::read_to_string(path).unwrap_or_default();
    assert!(
        kept == made,
        "{} is stale: run the tests with UPDATE_SNAPSHOTS=1. It would be:\n{made}",
        path.display()
    );
}

#[test]
fn errors_draw_where_they_stand() {
    let text = fs::read_to_string(folder().join("drawings.in")).expect("the expressions");
    let mut made = String::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let expression: Value = serde_json::from_str(line).expect("JSON");
        let message = evaluate(&expression).expect_err(line);
        made.push_str(&message);
        made.push_str("\n\n");
    }
    compare(&folder().join("drawings.snap"), &made);
}

#[test]
fn the_page_of_functions_is_what_the_table_makes() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/functions.md");
    compare(&page, &functions_page());
}
