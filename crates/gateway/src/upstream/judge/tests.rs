use app::{App, Files, Server};
use http::HeaderName;
use http_body_util::BodyExt as _;
use keys::{
    AccessKey, AccessKeyId, ApiKeyId, AppId, KeyRing, Presented, Scope, Scopes, Terms, Timestamp,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const SERVER: &str = "docs";

fn grant(scopes: &[&str]) -> Grant {
    let app = AppId::from_bytes([7; 16]);
    let key =
        |number: u8| AccessKey::from_secret(AccessKeyId::from_bytes([number; 4]), [number; 32]);
    let scopes = Scopes::new(scopes.iter().map(|scope| Scope::parse(scope).unwrap())).unwrap();
    let terms = Terms { not_after: None, scopes: Some(scopes) };
    let issued = key(1).issue(&app, ApiKeyId::from_bytes([3; 16]), &terms).unwrap();
    let presented = Presented::parse(issued.expose().as_bytes()).unwrap();
    let ring = KeyRing::new(app, key(1), key(2), []);
    ring.check(&presented, Timestamp::from_unix_ms(0)).unwrap()
}

fn allowed(tools: &[&str]) -> BTreeSet<String> {
    tools.iter().map(|tool| (*tool).to_owned()).collect()
}

/// Judges by a key that is scoped to `docs/read` and `docs/größe`.
fn scoped(headers: &[(&'static str, &str)], body: &str) -> Verdict {
    let grant = grant(&["docs/read", "docs/größe", "other"]);
    let filter = Filter { server: SERVER, scoped: Some(&grant), allowed: None };
    judge(&filter, headers, body)
}

/// Judges by an allow-list of `read` alone.
fn listed(body: &str) -> Verdict {
    let allowed = allowed(&["read"]);
    judge(&Filter { server: SERVER, scoped: None, allowed: Some(&allowed) }, &[], body)
}

fn judge(filter: &Filter<'_>, headers: &[(&'static str, &str)], body: &str) -> Verdict {
    let mut map = plain();
    for (name, value) in headers {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        map.append(HeaderName::from_static(name), value);
    }
    filter.judge(&map, &Bytes::copy_from_slice(body.as_bytes()))
}

fn plain() -> HeaderMap {
    let json = HeaderValue::from_static("application/json");
    HeaderMap::from_iter([(CONTENT_TYPE, json)])
}

fn forwarded(verdict: Verdict) -> String {
    match verdict {
        Verdict::Forward { body, .. } => String::from_utf8(body.to_vec()).unwrap(),
        Verdict::Answer(answer) => panic!("refused: {:?}", read(answer)),
    }
}

fn refused(verdict: Verdict) -> (u16, Value) {
    match verdict {
        Verdict::Forward { body, .. } => panic!("forwarded: {body:?}"),
        Verdict::Answer(answer) => read(answer),
    }
}

fn read(answer: Response<Body>) -> (u16, Value) {
    assert_eq!(answer.headers()[CONTENT_TYPE], "application/json");
    let status = answer.status().as_u16();
    let body = futures::executor::block_on(answer.into_body().collect()).unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

fn call(tool: &str) -> String {
    json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": { "name": tool } })
        .to_string()
}

fn request(method: &str) -> String {
    json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": { "name": "read" } }).to_string()
}

#[test]
fn an_allow_list_is_not_passed_by_a_method_that_some_server_could_take_for_a_judged_one() {
    for method in
        ["Tools/Call", " tools/call", "tools/call\\u0000", "TOOLS/LIST", "tool\\u017f/call"]
    {
        let (status, answer) = refused(listed(&format!(
            r#"{{"jsonrpc":"2.0","id":7,"method":"{method}","params":{{"name":"write"}}}}"#
        )));
        assert_eq!((status, &answer["error"]["code"]), (200, &json!(-32601)), "{method}");
    }
    forwarded(listed(r#"{"jsonrpc":"2.0","id":7,"method":"prompts/list"}"#));
}

#[test]
fn what_is_forwarded_is_what_was_judged_with_its_values_as_they_were() {
    let body = r#" { "params" : { "n\u0061me" : "re\u0061d" , "arguments":{"a" : 1.0,"a":[ ]},"_meta":{} },
        "id":1e2, "x-other":1, "method":"tools\/call" ,"jsonrpc":"2.0" } "#;
    let expected = r#"{"jsonrpc":"2.0","id":1e2,"method":"tools/call","params":{"name":"read","arguments":{"a" : 1.0,"a":[ ]},"_meta":{}}}"#;
    assert_eq!(forwarded(scoped(&[], body)), expected);
    assert_eq!(forwarded(listed(body)), expected);
    for params in ["", r#","params":null"#] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":"a","method":"ping"{params}}}"#);
        let expected = r#"{"jsonrpc":"2.0","id":"a","method":"ping"}"#;
        assert_eq!(forwarded(scoped(&[], &body)), expected);
    }
}

#[test]
fn a_tool_out_of_scope_is_refused_with_the_requests_id_and_its_name() {
    assert_eq!(forwarded(scoped(&[], &call("größe"))), call("größe"));
    for tool in ["write", "READ", "read ", "read\0", "docs/read", ""] {
        let (status, body) = refused(scoped(&[], &call(tool)));
        assert_eq!((status, &body["id"], &body["error"]["code"]), (200, &json!(7), &json!(CODE)));
        let message = body["error"]["message"].as_str().unwrap();
        assert!(message.contains(&format!("{tool:?}")) && message.contains(SERVER), "{message}");
    }
}

#[test]
fn a_tool_that_the_allow_list_leaves_out_is_unknown() {
    assert_eq!(forwarded(listed(&call("read"))), call("read"));
    let (status, body) = refused(listed(&call("write")));
    assert_eq!((status, &body["id"], &body["error"]["code"]), (200, &json!(7), &json!(-32602)));
    assert!(body["error"]["message"].as_str().unwrap().contains("no tool \"write\""));
}

#[test]
fn a_tool_must_be_in_the_scope_and_on_the_allow_list() {
    let (grant, allowed) = (grant(&["docs/read", "docs/write"]), allowed(&["read", "list"]));
    let filter = Filter { server: SERVER, scoped: Some(&grant), allowed: Some(&allowed) };
    let keep = filter.keep();
    for (tool, is_allowed) in [("read", true), ("write", false), ("list", false), ("x", false)] {
        assert_eq!((filter.allows(tool), keep(tool)), (is_allowed, is_allowed), "{tool}");
    }
    let code = |tool| refused(judge(&filter, &[], &call(tool))).1["error"]["code"].clone();
    assert_eq!((code("write"), code("list")), (json!(-32602), json!(CODE)));
}

#[test]
fn a_key_scoped_to_tools_reaches_what_tools_need_and_nothing_else() {
    for method in ["initialize", "ping", "server/discover", "logging/setLevel", "tools/list"] {
        assert_eq!(forwarded(scoped(&[], &request(method))), request(method));
    }
    for method in [
        "prompts/list",
        "prompts/get",
        "resources/list",
        "resources/templates/list",
        "resources/read",
        "resources/subscribe",
        "completion/complete",
        "tasks/get",
        "tasks/result",
        "roots/list",
        "sampling/createMessage",
        "subscriptions/listen",
        "notifications/cancelled",
        "Tools/list",
        "tools/call ",
        "tools/list\0",
        "",
        "rpc.discover",
    ] {
        let (status, body) = refused(scoped(&[], &request(method)));
        assert_eq!((status, &body["id"], &body["error"]["code"]), (200, &json!(7), &json!(CODE)));
        assert!(body["error"]["message"].as_str().unwrap().contains(&format!("{method:?}")));
        if !method.to_lowercase().starts_with("tools/") {
            assert_eq!(forwarded(listed(&request(method))), request(method));
        }
    }
}

#[test]
fn only_lists_of_tools_are_to_be_reduced() {
    for (body, expected) in [
        (request("tools/list"), true),
        (request("ping"), false),
        (call("read"), false),
        (r#"{"jsonrpc":"2.0","id":1,"result":{}}"#.to_owned(), false),
    ] {
        let Verdict::Forward { lists_tools, .. } = listed(&body) else { panic!("{body}") };
        assert_eq!(lists_tools, expected, "{body}");
    }
}

#[test]
fn notifications_and_answers_pass_and_a_call_without_an_id_is_judged_like_any() {
    for body in [
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{"action":"accept","method":"x"}}"#,
        r#"{"jsonrpc":"2.0","id":"a","error":{"code":-1,"message":"no"}}"#,
        r#"{"jsonrpc":"2.0","id":null,"error":{"code":-1,"message":"no"}}"#,
        r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"read"}}"#,
    ] {
        assert_eq!(forwarded(scoped(&[], body)), body);
        assert_eq!(forwarded(listed(body)), body);
    }
    for method in ["tools/call", "prompts/get", "notification/x"] {
        let body = json!({ "jsonrpc": "2.0", "method": method, "params": { "name": "write" } });
        let (status, answer) = refused(scoped(&[], &body.to_string()));
        assert_eq!((status, &answer["id"]), (400, &Value::Null), "{method}");
    }
}

#[test]
fn a_subscription_is_reduced_to_the_list_of_tools() {
    let listen = |notifications: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{{"_meta":{{}},"notifications":{notifications}}}}}"#
        )
    };
    let reduced = listen(r#"{"toolsListChanged":true}"#);
    for wanted in [
        r#"{"toolsListChanged":true}"#,
        r#"{"promptsListChanged":true,"toolsListChanged":true,"resourceSubscriptions":["a"]}"#,
    ] {
        assert_eq!(forwarded(scoped(&[], &listen(wanted))), reduced);
        assert_eq!(forwarded(listed(&listen(wanted))), listen(wanted));
    }
    for wanted in
        ["{}", r#"{"promptsListChanged":true}"#, r#"{"toolsListChanged":false}"#, "[]", "1"]
    {
        assert_eq!(refused(scoped(&[], &listen(wanted))).1["error"]["code"], CODE);
    }
}

#[test]
fn what_is_not_one_message_is_refused() {
    let deep = "[".repeat(4 * 1024 * 1024);
    let deep_params = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{deep}"#);
    for (body, code) in [
        ("", -32700),
        ("{", -32700),
        ("{}x", -32700),
        ("\u{feff}{}", -32700),
        (&deep_params, -32700),
        (&deep, -32600),
        ("[]", -32600),
        (&format!(" [{}]", call("read")), -32600),
        ("null", -32600),
        ("\"a\"", -32600),
        ("{}", -32600),
        (r#"{"jsonrpc":"2.0","id":1}"#, -32600),
        (r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":2.0,"id":1,"method":"ping"}"#, -32600),
        (r#"{"id":1,"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":["ping"]}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"\ud800"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":true,"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":1}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#, -32600),
        (r#"{"jsonrpc":"2.0","result":{}}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":null,"result":{}}"#, -32600),
    ] {
        let shown: String = body.chars().take(80).collect();
        for verdict in [scoped(&[], body), listed(body)] {
            let (status, answer) = refused(verdict);
            assert_eq!((status, &answer["error"]["code"]), (400, &json!(code)), "{shown}");
        }
    }
    let bytes = Bytes::from_static(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}");
    let grant = grant(&["docs/read"]);
    let filter = Filter { server: SERVER, scoped: Some(&grant), allowed: None };
    assert_eq!(refused(filter.judge(&plain(), &bytes)).1["error"]["code"], -32700);
}

#[test]
fn a_call_without_the_name_of_a_tool_is_refused() {
    for params in
        ["", r#","params":{}"#, r#","params":{"name":1}"#, r#","params":{"name":"\udc00"}"#]
    {
        let body = format!(r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call"{params}}}"#);
        let (status, answer) = refused(listed(&body));
        assert_eq!(
            (status, &answer["id"], &answer["error"]["code"]),
            (200, &json!(7), &json!(-32602))
        );
    }
}

#[test]
fn a_message_that_another_reader_would_read_otherwise_is_refused() {
    let ambiguous = [
        r#""method":"tools/call","method":"ping","params":{"name":"read"}"#,
        r#""method":"ping","m\u0065thod":"tools/call","params":{"name":"read"}"#,
        r#""method":"ping","Method":"tools/call","params":{"name":"read"}"#,
        r#""method":"ping","\u004dethod":"tools/call""#,
        r#""method":"ping","id":2"#,
        r#""method":"ping","ID":2"#,
        r#""method":"ping","Param\u017f":{}"#,
        r#""method":"ping","paramſ":{}"#,
        r#""method":"ping","method\u0000":"tools/call""#,
        r#""method":"ping","RESULT":{}"#,
        r#""method":"tools/call","params":{"name":"read","name":"write"}"#,
        r#""method":"tools/call","params":{"name":"read","n\u0061me":"write"}"#,
        r#""method":"tools/call","params":{"name":"read","Name":"write"}"#,
        r#""method":"tools/call","params":{"name":"read","NAME\u0000":"write"}"#,
        r#""method":"tools/call","params":{"name":"read","Argument\u017f":{}}"#,
        r#""method":"tools/call","params":{"name":"read","tas\u212a":{}}"#,
        r#""method":"tools/call","params":{"name":"read","x":1,"x":2}"#,
    ];
    for members in ambiguous {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,{members}}}"#);
        for verdict in [scoped(&[], &body), listed(&body)] {
            let (status, answer) = refused(verdict);
            let found = (status, &answer["id"], &answer["error"]["code"]);
            assert_eq!(found, (400, &Value::Null, &json!(-32600)), "{body}");
        }
    }
    // Nobody decides by these: what a tool is given is its own.
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read","arguments":{"Name":1,"name":2},"other":1,"Other":2}}"#;
    assert_eq!(forwarded(scoped(&[], body)), body);
}

#[test]
fn headers_that_upstreams_route_by_must_say_what_the_body_says() {
    let größe = call("größe");
    let encoded = format!("=?base64?{}?=", STANDARD.encode("größe"));
    let good: &[(&[(&str, &str)], &str)] = &[
        (&[("mcp-method", "tools/call"), ("mcp-name", "read")], &call("read")),
        (&[("mcp-method", "tools/call")], &call("read")),
        (&[("mcp-name", &encoded)], &größe),
        (&[("mcp-name", "=?base64?cmVhZA==?=")], &call("read")),
        (&[("mcp-method", "tools/list")], &request("tools/list")),
    ];
    for (headers, body) in good {
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| (static_name(name), *value)).collect();
        assert_eq!(forwarded(scoped(&headers, body)), *body);
    }
    let bad: &[&[(&str, &str)]] = &[
        &[("mcp-method", "tools/list")],
        &[("mcp-method", "Tools/call")],
        &[("mcp-method", "")],
        &[("mcp-method", "tools/call"), ("mcp-method", "tools/call")],
        &[("mcp-name", "write")],
        &[("mcp-name", "Read")],
        &[("mcp-name", "")],
        &[("mcp-name", "read"), ("mcp-name", "write")],
        &[("mcp-name", "=?base64?d3JpdGU=?=")],
        &[("mcp-name", "=?base64?cmVhZA?=")],
        &[("mcp-name", "=?base64?*?=")],
        &[("mcp-name", "=?base64?/w==?=")],
        &[("mcp-name", "=?BASE64?cmVhZA==?=")],
        &[("mcp-name", "größe")],
    ];
    for headers in bad {
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| (static_name(name), *value)).collect();
        let (status, answer) = refused(scoped(&headers, &call("read")));
        let found = (status, &answer["id"], &answer["error"]["code"]);
        assert_eq!(found, (400, &json!(7), &json!(-32020)), "{headers:?}");
    }
    let result = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    assert_eq!(refused(scoped(&[("mcp-method", "tools/call")], result)).0, 400);
    let uri = r#"{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"a://b"}}"#;
    let allowed = allowed(&["read"]);
    let filter = Filter { server: SERVER, scoped: None, allowed: Some(&allowed) };
    assert_eq!(forwarded(judge(&filter, &[("mcp-name", "a://b")], uri)), uri);
    assert_eq!(refused(judge(&filter, &[("mcp-name", "a://c")], uri)).0, 400);
    assert_eq!(refused(judge(&filter, &[("mcp-name", "read")], uri)).0, 400);
}

fn static_name(name: &str) -> &'static str {
    if name == METHOD { METHOD } else { NAME }
}

#[test]
fn values_go_through_however_deep_they_are() {
    let deep = format!("{}{}", "[".repeat(1024 * 1024), "]".repeat(1024 * 1024));
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"name":"read","arguments":{deep}}}}}"#
    );
    assert_eq!(forwarded(scoped(&[], &body)), body);
}

#[test]
fn a_body_that_says_it_is_encoded_is_refused() {
    let grant = grant(&["docs/read"]);
    let filter = Filter { server: SERVER, scoped: Some(&grant), allowed: None };
    let verdict = |types: &[&'static str], encoding: Option<&'static str>| {
        let mut headers = HeaderMap::new();
        for value in types {
            headers.append(CONTENT_TYPE, HeaderValue::from_static(value));
        }
        headers.extend(encoding.map(|it| (CONTENT_ENCODING, HeaderValue::from_static(it))));
        filter.judge(&headers, &Bytes::from(call("read")))
    };
    for good in [
        "application/json",
        "Application/JSON ; charset=UTF-8",
        "application/json;charset=\"utf-8\";",
    ] {
        assert_eq!(forwarded(verdict(&[good], None)), call("read"));
    }
    let json = "application/json";
    let bad: &[&[&str]] = &[
        &[],
        &["text/plain"],
        &["application/json-rpc"],
        &["application/json; charset=utf-7"],
        &["application/json; charset=utf-8; charset=utf-7"],
        &["application/json; x=\"; charset=utf-8\""],
        &[json, json],
    ];
    for types in bad {
        assert_eq!(refused(verdict(types, None)).0, 415, "{types:?}");
    }
    assert_eq!(refused(verdict(&[json], Some("gzip"))).0, 415);
}

#[test]
fn a_filter_applies_to_an_allow_list_and_to_a_key_that_reaches_a_part() {
    let mut files = Files::new();
    let servers = r#"{"mcpServers":[{"name":"listed","tools":[{"name":"read"}]}]}"#;
    let upstreams = r#"{"servers":{"docs":{"url":"http://a/"},"listed":{"url":"http://a/"}}}"#;
    for (path, text) in [("host.json", "{}"), ("mcpservers.json", servers), ("mcp.json", upstreams)]
    {
        files.insert(path, text.as_bytes().to_vec()).unwrap();
    }
    let app = App::from_files(&files).unwrap();
    let upstream = |name| app.server(name).and_then(Server::upstream).unwrap();
    let (whole, part) = (grant(&["docs", "listed"]), grant(&["docs/write", "listed/write"]));
    let applies = |name, grant| Filter::of(name, grant, upstream(name)).is_some();
    assert!(!applies("docs", None) && !applies("docs", Some(&whole)));
    assert!(applies("docs", Some(&part)));
    assert!(applies("listed", None) && applies("listed", Some(&whole)));
    let allows = |name, grant, tool| Filter::of(name, grant, upstream(name)).unwrap().allows(tool);
    assert!(allows("listed", None, "read") && !allows("listed", None, "write"));
    assert!(allows("docs", Some(&part), "write") && !allows("docs", Some(&part), "read"));
    assert!(!allows("listed", Some(&part), "write") && !allows("listed", Some(&part), "read"));
}

/// What means something in a message, and what readers differ about.
const PIECES: [&str; 34] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    " ",
    "1",
    "null",
    "\"jsonrpc\":\"2.0\",",
    "\"id\":1,",
    "\"method\":",
    "\"Method\":",
    "\"m\\u0065thod\":",
    "\"params\":{",
    "\"Param\\u017f\":{",
    "\"name\":",
    "\"Name\":",
    "\"n\\u0061me\":",
    "\"arguments\":{",
    "\"_meta\":{},",
    "\"tools/call\"",
    "\"tools/call\",",
    "\"tools/list\"",
    "\"prompts/get\"",
    "\"ping\",",
    "\"read\"",
    "\"write\"",
    "\"re\\u0061d\"",
    "\"result\":{",
    "{\"jsonrpc\":\"2.0\",\"id\":1,",
    "\"method\":\"tools/call\",\"params\":{",
    "\"name\":\"read\"",
];

proptest! {
    #[test]
    fn nothing_but_the_allowed_tool_is_called_and_what_is_forwarded_is_forwarded_again(
        pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..16),
        begun in any::<bool>(),
    ) {
        let begin = if begun { r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"# } else { "" };
        let end = if begun { "}}" } else { "" };
        let body = format!("{begin}{}{end}", pieces.concat());
        if let Verdict::Forward { body: once, .. } = listed(&body) {
            let once = String::from_utf8(once.to_vec()).unwrap();
            prop_assert_eq!(forwarded(listed(&once)), once.as_str());
            let message: Value = serde_json::from_str(&once).unwrap();
            if message["method"] == "tools/call" {
                prop_assert_eq!(&message["params"]["name"], "read");
            }
        }
    }
}
