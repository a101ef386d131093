use app::{App, limits};

use crate::support::{app, files, lines, problems};

fn bytes(path: &str, bytes: &[u8]) -> String {
    let mut files = files(&[]);
    files.insert(path, bytes).unwrap();
    lines(&App::from_files(&files).unwrap_err())
}

#[test]
fn a_byte_order_mark_is_accepted_and_counts_for_no_column() {
    app(&[("connections.json", "\u{feff}{}")]);
    assert_eq!(
        problems(&[("parameters.json", "\u{feff}{\"a\": 1}")]),
        "parameters.json:1:7 (/a): expected an object with `type` and `value`, found a number"
    );
}

#[test]
fn other_encodings_are_refused_with_their_place() {
    assert_eq!(
        bytes("connections.json", b"{\n \"\xE4\": 1}"),
        "connections.json:2:3: is not UTF-8 here; expected UTF-8 text"
    );
    assert_eq!(
        bytes("connections.json", b"\xFF\xFE{\0}\0"),
        "connections.json: is UTF-16; expected UTF-8: save it with that encoding"
    );
}

#[test]
fn comments_and_trailing_commas_are_refused_with_their_place() {
    assert_eq!(
        problems(&[("connections.json", "{\n  // why\n  \"a\": 1\n}")]),
        "connections.json:2:3: is a comment, which JSON does not have: remove it"
    );
    assert_eq!(
        problems(&[("connections.json", "{\"a\": /* why */ 1}")]),
        "connections.json:1:7: is a comment, which JSON does not have: remove it"
    );
    assert_eq!(
        problems(&[("connections.json", "{\"a\": [1,\n2,\n]}")]),
        "connections.json:3:1: ends after a comma, which JSON does not allow: remove it"
    );
    assert_eq!(
        problems(&[("connections.json", "{\"ä\": 1 2}")]),
        "connections.json:1:9: is not JSON: expected `,` or `}`"
    );
    assert_eq!(
        problems(&[("connections.json", "{} {}")]),
        "connections.json:1:4: is not JSON: trailing characters"
    );
    assert_eq!(
        problems(&[("connections.json", " \n")]),
        "connections.json: is empty; expected a JSON object"
    );
    assert_eq!(
        problems(&[("connections.json", "{\"a\": 1e999}")]),
        "connections.json:1:11: is not JSON: number out of range"
    );
}

#[test]
fn every_repeated_member_is_refused_with_its_place() {
    assert_eq!(
        problems(&[(
            "connections.json",
            "{\"a\": {\"b/c\": 1,\n \"d\": [{\"b/c\": 1}],\n \"b\\/c\": 2}, \"a\": 3}"
        )]),
        "connections.json:3:2 (/a/b~1c): stands here a second time: keep one of the two\n\
         connections.json:3:14 (/a): stands here a second time: keep one of the two"
    );
    app(&[("connections.json", "{\"a\": {\"b\": 1, \"B\": 1}, \"c\": {\"b\": 1}}")]);
}

#[test]
fn names_that_the_parser_keeps_for_itself_are_refused() {
    let hidden = r#"{"$serde_json::private::RawValue": "{\"a\":1,\"a\":2}"}"#;
    assert_eq!(
        problems(&[("connections.json", hidden)]),
        "connections.json:1:2 (/$serde_json::private::RawValue): is a reserved name: use another"
    );
}

#[test]
fn depth_is_accepted_to_its_limit_and_refused_one_deeper() {
    let nested = |depth: usize| {
        let inner = depth.saturating_sub(1);
        format!("{{\"a\":{}{}}}", "[".repeat(inner), "]".repeat(inner))
    };
    app(&[("connections.json", &nested(limits::DEPTH))]);
    let deep = problems(&[("connections.json", &nested(limits::DEPTH + 1))]);
    assert_eq!(deep, "connections.json:1:132: nests deeper than 127 arrays and objects");
    let hostile = "[".repeat(100_000);
    assert!(problems(&[("connections.json", &hostile)]).contains("nests deeper"));
    let in_text = format!("{{\"a\":\"\\\"{hostile}\"}}");
    app(&[("connections.json", &in_text)]);
}

#[test]
fn size_is_accepted_to_its_limit_and_refused_one_larger() {
    let sized = |length: usize| format!("{{{}}}", " ".repeat(length.saturating_sub(2)));
    app(&[("connections.json", &sized(limits::FILE_BYTES))]);
    assert_eq!(
        problems(&[("connections.json", &sized(limits::FILE_BYTES + 1))]),
        "connections.json: has 1048577 bytes; expected at most 1048576"
    );
    for path in ["parameters.json", "local.settings.json"] {
        app(&[(path, &sized(limits::VALUES_BYTES))]);
        assert_eq!(
            problems(&[(path, &sized(limits::VALUES_BYTES + 1))]),
            format!("{path}: has 131073 bytes; expected at most 131072")
        );
    }
}

#[test]
fn all_files_together_have_a_limit() {
    let large = " ".repeat(limits::FILE_BYTES);
    let paths: Vec<String> = (0..33).map(|index| format!("W{index}/workflow.json")).collect();
    let given: Vec<(&str, &str)> = paths.iter().map(|path| (path.as_str(), &*large)).collect();
    assert!(problems(&given).starts_with(".: the app's files have "));
}

#[test]
fn many_problems_of_one_file_are_counted() {
    let many: Vec<String> =
        (0..limits::PROBLEM_COUNT + 2).map(|i| format!("\"p{i}\": 1")).collect();
    let text = format!("{{{}}}", many.join(",\n"));
    let problems = problems(&[("parameters.json", &text)]);
    assert_eq!(problems.lines().count(), limits::PROBLEM_COUNT + 1);
    assert!(problems.contains("parameters.json:50:8 (/p49)"));
    assert!(problems.ends_with("parameters.json: has 2 more problems"));
}
