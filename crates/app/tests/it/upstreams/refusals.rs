//! What does not hold, each with its place, and what is left out.

use app::limits;

use super::{in_surroundings, with};
use crate::support::{left_out, problems};

fn faulty(json: &str) -> String {
    problems(&[("mcp.json", json)])
}

fn entry(members: &str) -> String {
    format!(r#"{{"servers":{{"a":{members}}}}}"#)
}

#[test]
fn every_wrong_shape_is_refused_with_its_place() {
    for (json, expected) in [
        ("[]", "mcp.json:1:1: expected an object with `servers` or `mcpServers`, found a list"),
        (
            "{}",
            "mcp.json:1:1: has no servers; expected `servers` or `mcpServers`, an object with a member for each",
        ),
        (
            r#"{"servers":null}"#,
            "mcp.json:1:1: has no servers; expected `servers` or `mcpServers`, an object with a member for each",
        ),
        (
            r#"{"servers":[]}"#,
            "mcp.json:1:12 (/servers): expected an object with a member for each server, found a list",
        ),
        (
            r#"{"servers":{"a":7}}"#,
            "mcp.json:1:17 (/servers/a): expected an object with `url` or `command`, found a number",
        ),
        (
            r#"{"servers":{"a":{"command":"x"}},"mcpServers":{"b":{"command":"x"}}}"#,
            "mcp.json:1:47 (/mcpServers): stands beside `servers`, and both name servers: put all into one",
        ),
        (
            "{\"servers\":{\n/* ä */ \"a\": {}}}",
            "mcp.json:2:14 (/servers/a): has neither `url` nor `command`; expected a `url` for a server over HTTP, or a `command` for one that is a program",
        ),
    ] {
        assert_eq!(faulty(json), expected);
    }
    for (members, expected) in [
        (
            r#"{"url":"https://a.example","command":"x"}"#,
            "17 (/servers/a): has both `url` and `command`: keep one of the two",
        ),
        (
            r#"{"type":"stdio","url":"https://a.example"}"#,
            "17 (/servers/a): is of type `stdio` and has a `url`; expected a `command`",
        ),
        (
            r#"{"type":"http","command":"x"}"#,
            "17 (/servers/a): is of type `http` and has a `command`; expected a `url`",
        ),
        (
            r#"{"type":"carrier","url":"x"}"#,
            "25 (/servers/a/type): `carrier` is no type; expected `http` or `stdio`",
        ),
        (
            r#"{"type":7,"url":"x"}"#,
            "25 (/servers/a/type): expected `http` or `stdio`, found a number",
        ),
        (
            r#"{"url":7}"#,
            "24 (/servers/a/url): expected an http or https URL, such as `https://mcp.example.com/mcp`, found a number",
        ),
        (
            r#"{"command":7}"#,
            "28 (/servers/a/command): expected a program's path or name, found a number",
        ),
        (
            r#"{"command":" "}"#,
            "28 (/servers/a/command): is empty; expected a program's path or name",
        ),
        (
            r#"{"command":"x\u0000"}"#,
            "28 (/servers/a/command): has a NUL character, which no process can be given",
        ),
        (
            r#"{"command":"x","args":"y"}"#,
            "39 (/servers/a/args): expected a list of strings, found a string",
        ),
        (
            r#"{"command":"x","args":[1]}"#,
            "40 (/servers/a/args/0): expected a string, found a number",
        ),
        (
            r#"{"command":"x","env":[]}"#,
            "38 (/servers/a/env): expected an object of strings, found a list",
        ),
        (
            r#"{"command":"x","env":{"A":[]}}"#,
            "43 (/servers/a/env/A): expected a string, found a list",
        ),
        (
            r#"{"command":"x","env":{"A=":""}}"#,
            "44 (/servers/a/env/A=): is no name of an environment variable",
        ),
        (
            r#"{"command":"x","cwd":1}"#,
            "38 (/servers/a/cwd): expected a folder's path, found a number",
        ),
        (
            r#"{"command":"x","disabled":"yes"}"#,
            "43 (/servers/a/disabled): expected true or false, found a string",
        ),
        (
            r#"{"command":"x","Command":"y"}"#,
            "42 (/servers/a/Command): `Command` is `command` again: keep one of the two",
        ),
    ] {
        assert_eq!(faulty(&entry(members)), format!("mcp.json:1:{expected}"));
    }
}

#[test]
fn a_url_that_cannot_be_is_refused_and_not_repeated() {
    const NO_URL: &str =
        "is no URL; expected an http or https URL, such as `https://mcp.example.com/mcp`";
    for (url, expected) in [
        ("", NO_URL),
        ("a.example/mcp", NO_URL),
        ("ftp://a.example", NO_URL),
        ("https://", NO_URL),
        ("https://a.example:99999", NO_URL),
        ("file:///etc/passwd", NO_URL),
        (
            "https://user@a.example",
            "must name no user and no password: put credentials into `headers`",
        ),
        (
            "https://:pass@a.example",
            "must name no user and no password: put credentials into `headers`",
        ),
        ("https://a.example/#x", "must have no fragment (`#`)"),
    ] {
        let said = faulty(&entry(&format!(r#"{{"url":"{url}"}}"#)));
        assert_eq!(said, format!("mcp.json:1:24 (/servers/a/url): {expected}"));
    }
    let long = format!("https://a.example/{}", "x".repeat(limits::UPSTREAM_URL_BYTES - 18));
    with(&entry(&format!(r#"{{"url":"{long}"}}"#)));
    let said = faulty(&entry(&format!(r#"{{"url":"{long}x"}}"#)));
    assert!(said.ends_with("is too long; expected at most 8192 bytes"), "{said}");
}

#[test]
fn a_header_that_cannot_be_sent_is_refused() {
    let with_header = |name: &str, value: &str| {
        entry(&format!(r#"{{"url":"https://a.example","headers":{{"{name}":{value}}}}}"#))
    };
    for name in ["", "a b", "ä", "a:"] {
        let said = faulty(&with_header(name, r#""x""#));
        assert!(said.ends_with("): is no name of a header"), "{said}");
    }
    for name in ["Host", "content-length", "Transfer-Encoding", "connection", "TE", "Upgrade"] {
        let said = faulty(&with_header(name, r#""x""#));
        let expected = format!(
            "`{}` belongs to the connection, and Keyward writes it: remove it here",
            name.to_ascii_lowercase()
        );
        assert!(said.ends_with(&expected), "{said}");
    }
    let said = faulty(&with_header("Mcp-Session-Id", r#""x""#));
    assert!(said.ends_with("is given by the server to each of its clients: remove it here"));
    for value in [r#""a\nb""#, r#""ä""#, r#""\u0000""#] {
        let said = faulty(&with_header("x", value));
        assert!(said.contains("has a value that no header can have"), "{said}");
    }
    let said = faulty(&with_header("x", "7"));
    assert!(
        said.ends_with("(/servers/a/headers/x): expected an object of strings, found a number")
    );
    let twice = entry(r#"{"url":"https://a.example","headers":{"x":"1","X":"2"}}"#);
    assert!(faulty(&twice).ends_with("is a header that stands here already, case apart: keep one"));
}

#[test]
fn a_header_that_each_request_has_is_told_and_not_sent() {
    let json = entry(
        r#"{"url":"https://a.example","headers":{"Content-Type":"a/b","X":"1","Mcp-Method":"x"}}"#,
    );
    assert_eq!(
        left_out(&[("mcp.json", &json)]),
        "mcp.json /servers/a/headers/Content-Type: is not sent: each request has its own\n\
         mcp.json /servers/a/headers/Mcp-Method: is not sent: each request has its own"
    );
    let app = with(&json);
    let names: Vec<&str> =
        super::http(&app, "a").headers().keys().map(http::HeaderName::as_str).collect();
    assert_eq!(names, ["x"]);
}

#[test]
fn what_would_run_otherwise_than_written_is_left_out() {
    for (members, part) in [
        (r#"{"type":"sse","url":"https://a.example/sse"}"#, "servers of type `sse` are not served"),
        (r#"{"type":"ws","url":"wss://a.example"}"#, "servers of type `ws` are not served"),
        (r#"{"command":"a","envFile":".env"}"#, "`envFile` is not read"),
        (r#"{"command":"a","sandboxEnabled":true}"#, "it asks for a sandbox"),
        (r#"{"command":"a","sandbox":{}}"#, "it asks for a sandbox"),
        (r#"{"url":"https://a.example","headersHelper":"x"}"#, "`headersHelper` is a program"),
        (r#"{"url":"https://a.example","oauth":{}}"#, "it asks for a sign-in"),
        (r#"{"command":"a","disabledTools":["x"]}"#, "it limits its tools"),
        (r#"{"command":"a","includeTools":[]}"#, "it limits its tools"),
        (r#"{"command":"a","tools":["x"]}"#, "it limits its tools"),
    ] {
        let json = format!(r#"{{"servers":{{"a":{members},"b":{{"command":"b"}}}}}}"#);
        let app = in_surroundings(&json);
        assert!(app.server("a").is_none() && app.server("b").is_some(), "{members}");
        let told = app.left_out()[0].to_string();
        assert!(told.starts_with(&format!("mcp.json server `a`: {part}")), "{told}");
    }
    for members in [
        r#"{"command":"a","sandboxEnabled":false}"#,
        r#"{"command":"a","disabledTools":[]}"#,
        r#"{"command":"a","tools":["*"]}"#,
    ] {
        assert!(with(&entry(members)).server("a").is_some(), "{members}");
    }
}

#[test]
fn every_count_and_size_has_a_limit() {
    let many = |count: usize, each: &dyn Fn(usize) -> String| {
        (0..count).map(each).collect::<Vec<_>>().join(",")
    };
    let servers = |count| {
        format!(r#"{{"servers":{{{}}}}}"#, many(count, &|i| format!(r#""s{i}":{{"command":"a"}}"#)))
    };
    assert_eq!(with(&servers(limits::SERVER_COUNT)).servers().len(), limits::SERVER_COUNT);
    assert_eq!(
        faulty(&servers(limits::SERVER_COUNT + 1)),
        "mcp.json:1:12 (/servers): has 501 servers; expected at most 500"
    );
    let args = |count| {
        entry(&format!(r#"{{"command":"a","args":[{}]}}"#, many(count, &|_| r#""x""#.to_owned())))
    };
    with(&args(limits::UPSTREAM_ARG_COUNT));
    assert!(
        faulty(&args(limits::UPSTREAM_ARG_COUNT + 1))
            .ends_with("(/servers/a/args): has 257 arguments; expected at most 256")
    );
    let env = |count| {
        let each = many(count, &|i| format!(r#""V{i}":"x""#));
        entry(&format!(r#"{{"command":"a","env":{{{each}}}}}"#))
    };
    with(&env(limits::UPSTREAM_ENV_COUNT));
    assert!(
        faulty(&env(limits::UPSTREAM_ENV_COUNT + 1))
            .ends_with("(/servers/a/env): has 257 members; expected at most 256")
    );
    let headers = |count, length: usize| {
        let each = many(count, &|i| format!(r#""h{i}":"{}""#, "x".repeat(length)));
        entry(&format!(r#"{{"url":"https://a.example","headers":{{{each}}}}}"#))
    };
    with(&headers(limits::UPSTREAM_HEADER_COUNT, 200));
    assert!(
        faulty(&headers(limits::UPSTREAM_HEADER_COUNT + 1, 1))
            .ends_with("(/servers/a/headers): has 65 members; expected at most 64")
    );
    with(&headers(1, limits::UPSTREAM_HEADER_BYTES - 2));
    assert!(
        faulty(&headers(1, limits::UPSTREAM_HEADER_BYTES - 1)).ends_with(
            "(/servers/a/headers): is too large; expected at most 16384 bytes of headers"
        )
    );
    let text = |length: usize| entry(&format!(r#"{{"command":"{}"}}"#, "x".repeat(length)));
    with(&text(limits::UPSTREAM_TEXT_BYTES));
    assert!(
        faulty(&text(limits::UPSTREAM_TEXT_BYTES + 1))
            .ends_with("(/servers/a/command): is too long; expected at most 65536 bytes")
    );
}

#[test]
fn a_short_file_cannot_grow_without_bounds() {
    let arg = format!(r#""{}""#, "${TOKEN}".repeat(2_000));
    let args = vec![arg; 20].join(",");
    let app = in_surroundings(&entry(&format!(r#"{{"command":"a","args":[{args}]}}"#)));
    assert!(app.server("a").is_none());
    let told = app.left_out()[0].to_string();
    assert!(told.ends_with("its values have more than 262144 bytes together"), "{told}");
}

#[test]
fn comments_and_trailing_commas_keep_every_place() {
    let json =
        "{\n  // ä comment, with a {\n  \"servers\": { /* 日本 [ */ \"a\": { \"url\": 7, }, },\n}";
    assert_eq!(
        faulty(json),
        "mcp.json:3:41 (/servers/a/url): expected an http or https URL, such as \
         `https://mcp.example.com/mcp`, found a number"
    );
    assert_eq!(
        faulty("{\"servers\": / {}}"),
        "mcp.json:1:13: is no comment: expected `//` or `/*`"
    );
    assert_eq!(
        faulty("{\"servers\": {}, \"servers\": {}} // x"),
        "mcp.json:1:17 (/servers): stands here a second time: keep one of the two"
    );
}
