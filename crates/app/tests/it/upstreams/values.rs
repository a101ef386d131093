//! Variables, inputs and places.

use app::App;

use super::{http, in_surroundings, stdio, surroundings};
use crate::support::{files, lines};

fn entry(entry: &str) -> String {
    format!(r#"{{"inputs":[{{"id":"api-key"}}],"servers":{{"a":{entry}}}}}"#)
}

/// Why the server is left out.
fn why(members: &str) -> String {
    let app = in_surroundings(&entry(members));
    assert!(app.server("a").is_none(), "{members}");
    lines_of(&app)
}

fn lines_of(app: &App) -> String {
    app.left_out().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_form_is_filled_in() {
    for (text, expected) in [
        ("plain $TOKEN $ {x} }", "plain $TOKEN $ {x} }"),
        ("${env:TOKEN}", "of-the-variable"),
        ("${TOKEN}", "of-the-variable"),
        ("a-${TOKEN}-${env:TOKEN}!", "a-of-the-variable-of-the-variable!"),
        ("${NONE:-other}", "other"),
        ("${NONE:-}", ""),
        ("${EMPTY:-other}", "other"),
        ("${EMPTY}", ""),
        ("${TOKEN:-other}", "of-the-variable"),
        ("${input:api-key}", "of-the-input"),
        ("${input:API_KEY}", "of-the-input"),
        ("${workspaceFolder}/x", "/home/user/project/x"),
        ("${workspaceFolderBasename}", "project"),
        ("${userHome}${/}x${pathSeparator}", "/home/user/x/"),
        // What is put in is not looked into again.
        ("${FORM}", "${TOKEN}"),
    ] {
        let app = in_surroundings(&entry(&format!(r#"{{"command":"a","args":["{text}"]}}"#)));
        assert_eq!(stdio(&app, "a").args(), [expected], "{text}");
    }
}

#[test]
fn values_go_into_every_place() {
    let app = in_surroundings(&entry(
        r#"{"command":"${userHome}/bin/x","args":["${TOKEN}"],"env":{"T":"${TOKEN}"},
            "cwd":"${workspaceFolder}/sub"}"#,
    ));
    let a = stdio(&app, "a");
    assert_eq!((a.command(), a.cwd()), ("/home/user/bin/x", Some("/home/user/project/sub")));
    assert_eq!((&*a.args()[0], &*a.env()["T"]), ("of-the-variable", "of-the-variable"));
    let app = in_surroundings(&entry(
        r#"{"url":"https://${TOKEN}.example/${TOKEN}?k=${input:api-key}",
            "headers":{"Authorization":"Bearer ${input:api-key}"}}"#,
    ));
    let uri = "https://of-the-variable.example/of-the-variable?k=of-the-input";
    assert_eq!(http(&app, "a").uri(), uri);
    assert_eq!(http(&app, "a").headers()["authorization"], "Bearer of-the-input");
}

#[test]
fn a_value_that_is_not_there_leaves_its_server_out_and_no_other() {
    let json = r#"{"servers":{"a":{"command":"${NONE}","args":["${env:NO}","${NONE}"]},
        "b":{"command":"b"}}}"#;
    let app = in_surroundings(json);
    assert!(app.server("a").is_none() && app.server("b").is_some());
    assert_eq!(
        lines_of(&app),
        "mcp.json server `a`: the variable `NONE` is not set: set it where Keyward runs; the \
         variable `NO` is not set: set it where Keyward runs"
    );
    for (text, expected) in [
        (
            "${input:other key}",
            "the input `other key` is not given, and `inputs` declares none of that id: set \
             KEYWARD_INPUT_OTHER_KEY where Keyward runs, or KEYWARD_INPUT_OTHER_KEY_FILE to the \
             path of a file that holds it",
        ),
        ("${input:gone}", "the input `gone` cannot be read: its file cannot be read"),
        (
            "${env:KEYWARD_TOKEN}",
            "the variable `KEYWARD_TOKEN` is Keyward's own, and not given away: use one with a name \
             that does not begin with `KEYWARD_`",
        ),
        (
            "${KEYWARD_TOKEN:-x}",
            "the variable `KEYWARD_TOKEN` is Keyward's own, and not given away: use one with a name \
             that does not begin with `KEYWARD_`",
        ),
        (
            "${command:secret}",
            "`${command:…}` cannot be filled in here; what can: `${env:NAME}`, `${NAME}`, \
             `${NAME:-default}`, `${input:ID}`, `${workspaceFolder}`, `${userHome}`",
        ),
        ("a ${TOKEN", "a `${` has no `}` after it"),
    ] {
        let said = why(&format!(r#"{{"command":"a","args":["{text}"]}}"#));
        assert_eq!(said, format!("mcp.json server `a`: {expected}"));
    }
}

#[test]
fn an_input_that_is_not_given_has_the_default_that_its_editor_would_show() {
    let read = |input: &str, id: &str| {
        let entry = format!(r#"{{"command":"a","args":["${{input:{id}}}"]}}"#);
        in_surroundings(&format!(r#"{{"inputs":[{input}],"servers":{{"a":{entry}}}}}"#))
    };
    for (input, id, value) in [
        (r#"{"id":"x","type":"promptString","default":"usual"}"#, "x", "usual"),
        (r#"{"id":"x","type":"promptString","default":"usual","password":false}"#, "x", "usual"),
        (r#"{"id":"x","type":"pickString","options":["usual"],"default":"usual"}"#, "x", "usual"),
        (r#"{"id":"api-key","type":"promptString","default":"usual"}"#, "api-key", "of-the-input"),
        // What is put in is not looked into again.
        (r#"{"id":"x","type":"promptString","default":"${TOKEN}"}"#, "x", "${TOKEN}"),
    ] {
        assert_eq!(stdio(&read(input, id), "a").args(), [value], "{input}");
    }
    let set = "set KEYWARD_INPUT_X where Keyward runs";
    for (input, id, told) in [
        (r#"{"id":"x","type":"promptString","default":""}"#, "x", "not given: set"),
        (r#"{"id":"x","type":"promptString","default":7}"#, "x", "not given: set"),
        (r#"{"id":"x","type":"command","default":"usual"}"#, "x", "not given: set"),
        (
            r#"{"id":"x","type":"promptString","default":"usual","password":true}"#,
            "x",
            "not given, and the default of a password is not used: set",
        ),
        (r#"{"id":"gone","type":"promptString","default":"usual"}"#, "gone", "cannot be read"),
    ] {
        let app = read(input, id);
        assert!(app.server("a").is_none(), "{input}");
        let said = lines_of(&app);
        assert!(said.contains(told) && (id == "gone" || said.contains(set)), "{said}");
        assert!(!said.contains("usual"), "{said}");
    }
}

#[test]
fn without_a_folder_nothing_is_relative_to_one() {
    let mut around = surroundings();
    around.folder = None;
    let read = |members: &str| {
        let files = files(&[("mcp.json", &entry(members))]);
        App::from_files_in(&files, &around).unwrap_or_else(|found| panic!("{}", lines(&found)))
    };
    let app = read(r#"{"command":"./a"}"#);
    assert_eq!((stdio(&app, "a").command(), stdio(&app, "a").cwd()), ("./a", None));
    let said = lines_of(&read(r#"{"command":"a","cwd":"sub"}"#));
    assert!(said.ends_with("its `cwd` is relative to no folder: write an absolute path"), "{said}");
    let said = lines_of(&read(r#"{"command":"a","args":["${workspaceFolder}"]}"#));
    assert!(said.ends_with("`${workspaceFolder}` has no value here: write the path"), "{said}");
}

#[test]
fn a_relative_folder_begins_at_the_apps() {
    for (cwd, expected) in [
        ("sub", "/home/user/project/sub"),
        (".", "/home/user/project"),
        ("", "/home/user/project"),
        ("/x", "/x"),
    ] {
        let app = in_surroundings(&entry(&format!(r#"{{"command":"a","cwd":"{cwd}"}}"#)));
        assert_eq!(stdio(&app, "a").cwd(), Some(expected));
    }
}

#[test]
fn no_value_is_shown() {
    let app = in_surroundings(
        r#"{"servers":{
            "h":{"url":"https://a.example/p-${TOKEN}?q=${input:api-key}",
                 "headers":{"A":"${TOKEN}","B":"written-down"}},
            "s":{"command":"${TOKEN}","args":["${TOKEN}","written-down"],"cwd":"${input:api-key}",
                 "env":{"E":"${input:api-key}","F":"written-down"}},
            "l":{"command":"written-down","args":["${NONE:-written-down}","${X}"]}}}"#,
    );
    let shown = format!("{app:?} {:?}", surroundings());
    for secret in ["of-the-variable", "of-the-input", "written-down", "of-keyward"] {
        assert!(!shown.contains(secret), "{secret}: {shown}");
    }
    assert!(shown.contains("`X`"), "{shown}");
}
