use app::{App, limits};
use serde_json::{Value, json};

use crate::support::{TOOL, app, files, left_out, lines, problems, settings};

const SETTINGS: &str = r#"{"IsEncrypted":false,"Values":{"Host":"desk.example.com","Port":"8080","Open":"true","List":"[1,2]","Secret":"s3cret-value"}}"#;

fn parameters(json: &str) -> serde_json::Map<String, Value> {
    let app = app(&[
        ("parameters.json", json),
        ("local.settings.json", SETTINGS),
        ("W/workflow.json", TOOL),
    ]);
    app.default_server().tool("W").unwrap().host().parameters.clone()
}

fn value(json: &str) -> Value {
    parameters(&format!(r#"{{"p":{json}}}"#))["p"].clone()
}

fn faulty(json: &str) -> String {
    let json = format!(r#"{{"p":{json}}}"#);
    problems(&[("parameters.json", &json), ("local.settings.json", SETTINGS)])
}

#[test]
fn a_value_of_each_type_is_read() {
    for (kind, text) in [
        ("String", "\"x\""),
        ("securestring", "\"x\""),
        ("Int", "7"),
        ("Float", "7.5"),
        ("Float", "7"),
        ("Bool", "false"),
        ("Array", "[1]"),
        ("Object", "{\"a\":1}"),
        ("SecureObject", "{}"),
    ] {
        let expected: Value = serde_json::from_str(text).unwrap();
        assert_eq!(value(&format!(r#"{{"type":"{kind}","value":{text}}}"#)), expected);
    }
    assert_eq!(value(r#"{"value":null}"#), Value::Null);
}

#[test]
fn a_value_of_another_type_is_refused() {
    for (kind, text, expected) in [
        ("String", "7", "a string"),
        ("Int", "7.5", "an integer"),
        ("Int", "\"7\"", "an integer"),
        ("Float", "\"7\"", "a number"),
        ("Bool", "1", "true or false"),
        ("Array", "{}", "a list"),
        ("Object", "null", "an object"),
    ] {
        let said = faulty(&format!(r#"{{"type":"{kind}","value":{text}}}"#));
        let expected = format!("does not fit the parameter's type; expected {expected}");
        assert!(said.contains("(/p/value): ") && said.ends_with(&expected), "{said}");
    }
    let said = faulty(r#"{"type":"Date","value":"x"}"#);
    assert!(said.contains("(/p/type): `Date` is no parameter type; expected `String`"), "{said}");
    assert_eq!(
        faulty(r#"{"type":"String"}"#),
        "parameters.json:1:6 (/p/value): is missing; expected the parameter's value"
    );
}

#[test]
fn app_settings_are_put_in() {
    for (given, expected) in [
        (r#"{"type":"String","value":"@appsetting('Host')"}"#, json!("desk.example.com")),
        (r#"{"type":"String","value":"@{appsetting('Host')}"}"#, json!("desk.example.com")),
        (r#"{"value":"@ AppSetting( 'host' ) "}"#, json!("desk.example.com")),
        (
            r#"{"value":"https://@{appsetting('Host')}:@{appsetting('Port')}/x"}"#,
            json!("https://desk.example.com:8080/x"),
        ),
        (r#"{"value":"@concat(appsetting('Host'), '/x')"}"#, json!("desk.example.com/x")),
        (r#"{"value":{"a":["@appsetting('Port')"]}}"#, json!({"a":["8080"]})),
        (r#"{"type":"Int","value":"@appsetting('Port')"}"#, json!(8080)),
        (r#"{"type":"Bool","value":"@appsetting('Open')"}"#, json!(true)),
        (r#"{"type":"Array","value":"@appsetting('List')"}"#, json!([1, 2])),
        (r#"{"type":"String","value":"@appsetting('Port')"}"#, json!("8080")),
        (r#"{"value":"@@home"}"#, json!("@home")),
        (r#"{"value":"a@@{b}"}"#, json!("a@{b}")),
        (r#"{"value":"me@example.com"}"#, json!("me@example.com")),
    ] {
        assert_eq!(value(given), expected, "{given}");
    }
}

#[test]
fn expressions_that_have_no_value_are_refused_where_they_stand() {
    for text in ["@parameters('x')", "@appsetting(Host)", "@appsetting('", "a @{nonsense()} b"] {
        let said = faulty(&format!(r#"{{"value":"{text}"}}"#));
        assert!(said.starts_with("parameters.json:1:15 (/p/value): "), "{said}");
    }
    assert_eq!(
        faulty(r#"{"Value":["@appsetting('A')",{"b/c":"@appsetting('B')"}]}"#),
        "parameters.json:1:16 (/p/Value/0): the function 'appsetting' finds no app setting 'A'\n  \
         @appsetting('A')\n              ^^^\n  \
         give it under `Values` in local.settings.json or in the environment\n\
         parameters.json:1:42 (/p/Value/1/b~1c): the function 'appsetting' finds no app setting \
         'B'\n  @appsetting('B')\n              ^^^\n  \
         give it under `Values` in local.settings.json or in the environment"
    );
}

#[test]
fn a_faulty_parameter_hides_no_fault_of_another() {
    let said = problems(&[(
        "parameters.json",
        r#"{"a":{"value":"@appsetting('A')"},"a/b":{"type":"Int","value":"x"}}"#,
    )]);
    assert!(said.contains("(/a/value): the function 'appsetting' finds no app setting 'A'"));
    assert!(said.contains("(/a~1b/value): does not fit the parameter's type"), "{said}");
}

#[test]
fn texts_with_expressions_are_counted() {
    let many =
        |count: usize| format!(r#"{{"p":{{"value":[{}]}}}}"#, vec![r#""@@""#; count].join(","));
    let read = parameters(&many(limits::EXPRESSION_COUNT));
    assert_eq!(read["p"].as_array().unwrap().len(), limits::EXPRESSION_COUNT);
    assert_eq!(
        problems(&[("parameters.json", &many(limits::EXPRESSION_COUNT + 1))]),
        "parameters.json:1:1: has more than 1000 texts with an `@`; expected at most 1000"
    );
}

#[test]
fn long_names_do_not_multiply() {
    let name = "k".repeat(60_000);
    let texts = vec![r#""@""#; 15_000].join(",");
    let said = problems(&[(
        "parameters.json",
        &format!(r#"{{"{name}":{{"type":"Array","value":[{texts}]}}}}"#),
    )]);
    assert!(said.contains("has more than 1000 texts"), "{}", said.len());
}

#[test]
fn the_environment_wins_over_the_file() {
    let files = files(&[
        ("parameters.json", r#"{"p":{"value":"@appsetting('Host')"}}"#),
        ("local.settings.json", SETTINGS),
        ("W/workflow.json", TOOL),
    ]);
    let around = settings("Host", "other.example");
    let app = App::from_files_in(&files, &around).unwrap();
    let host = app.default_server().tool("W").unwrap().host();
    assert_eq!(host.parameters["p"], "other.example");
    assert_eq!(host.app_settings["Host"], "other.example");
    assert_eq!(host.app_settings["Port"], "8080");
    assert_eq!(host.workflow_name, "W");
}

#[test]
fn settings_that_cannot_be_read_are_refused_and_never_repeated() {
    assert_eq!(
        problems(&[("local.settings.json", r#"{"Values":{"Secret":4711,"A":{"b":"hidden"}}}"#)]),
        "local.settings.json:1:21 (/Values/Secret): expected a string, found a number\n\
         local.settings.json:1:30 (/Values/A): expected a string, found an object"
    );
    assert_eq!(
        problems(&[("local.settings.json", r#"{"IsEncrypted":true,"Values":{"A":"x"}}"#)]),
        "local.settings.json:1:16 (/IsEncrypted): the values are encrypted; expected plain ones: \
         run `func settings decrypt`"
    );
    let broken = problems(&[
        ("local.settings.json", r#"{"Values":7}"#),
        ("parameters.json", r#"{"p":{"type":"Int","value":"@appsetting('A')"}}"#),
    ]);
    let expected =
        "local.settings.json:1:11 (/Values): expected an object of strings, found a number";
    assert_eq!(broken, expected, "what follows from a broken file is not told");
}

#[test]
fn no_setting_and_no_parameter_is_shown_by_debug() {
    let app = app(&[
        ("parameters.json", r#"{"p":{"type":"SecureString","value":"@appsetting('Secret')"}}"#),
        ("local.settings.json", SETTINGS),
        ("W/workflow.json", TOOL),
    ]);
    let shown = format!("{app:?} {:?}", app.default_server().tools());
    assert!(shown.contains("\"W\"") && !shown.contains("s3cret-value"), "{shown}");
}

#[test]
fn a_flow_state_disables_a_workflow_and_nothing_else_is_taken_for_one() {
    let with = |name: &str, state: &str| format!(r#"{{"Values":{{"{name}":"{state}"}}}}"#);
    for (name, state, offered) in [
        ("Workflows.W.FlowState", "Disabled", false),
        ("workflows.w.flowstate", "disabled", false),
        ("Workflows.W.FlowState", "Enabled", true),
        ("Workflows.V.FlowState", "Disabled", true),
        ("Workflows.W.Other", "Disabled", true),
    ] {
        let app = app(&[
            ("local.settings.json", &with(name, state)),
            ("W/workflow.json", TOOL),
            ("V/workflow.json", TOOL),
        ]);
        assert_eq!(app.default_server().tool("W").is_some(), offered, "{name} {state}");
        assert_eq!(app.workflows()["W"].is_disabled(), !offered);
    }
    assert_eq!(
        problems(&[("local.settings.json", &with("Workflows.W.FlowState", "Off"))]),
        "local.settings.json:1:36 (/Values/Workflows.W.FlowState): has another value than \
         `Enabled` and `Disabled`; expected one of them"
    );
    assert_eq!(
        left_out(&[("local.settings.json", &with("Workflows.Gone.FlowState", "Disabled"))]),
        "app setting `Workflows.Gone.FlowState`: no workflow has that name"
    );
}

#[test]
fn a_flow_state_of_the_environment_wins() {
    let files = files(&[
        ("local.settings.json", r#"{"Values":{"Workflows.W.FlowState":"Disabled"}}"#),
        ("W/workflow.json", TOOL),
    ]);
    let enabled =
        |state: &str| App::from_files_in(&files, &settings("Workflows.W.FlowState", state));
    assert!(enabled("Enabled").unwrap().default_server().tool("W").is_some());
    assert_eq!(
        lines(&enabled("Offline").unwrap_err()),
        "environment: Workflows.W.FlowState has another value than `Enabled` and `Disabled`; \
         expected one of them"
    );
}
