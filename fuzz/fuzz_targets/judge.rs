//! Any bytes as a message to an upstream of which a key reaches one tool: nothing panics, and no
//! reader, however tolerant, finds in what is forwarded a call to another tool or a method out of
//! scope.

#![no_main]

mod gateway;
use gateway::{limits, refusal};

use std::sync::LazyLock;

use app::{App, Files, Server, Upstream};
use bytes::Bytes;
use gateway::judge::{Filter, Verdict};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use keys::{
    AccessKey, AccessKeyId, ApiKeyId, AppId, Grant, KeyRing, Presented, Scope, Scopes, Terms,
    Timestamp,
};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};

static GRANT: LazyLock<Grant> = LazyLock::new(|| {
    let app = AppId::from_bytes([7; 16]);
    let key = |number| AccessKey::from_secret(AccessKeyId::from_bytes([number; 4]), [number; 32]);
    let scopes = Scopes::new([Scope::parse("docs/read").expect("a scope")]).expect("one scope");
    let terms = Terms { not_after: None, scopes: Some(scopes) };
    let issued = key(1).issue(&app, ApiKeyId::from_bytes([3; 16]), &terms).expect("good terms");
    let presented = Presented::parse(issued.expose().as_bytes()).expect("what was issued");
    let ring = KeyRing::new(app, key(1), key(2), []);
    ring.check(&presented, Timestamp::from_unix_ms(0)).expect("a good key")
});

/// Two servers: of `listed` only `read` is allowed, of `docs` everything.
static APP: LazyLock<App> = LazyLock::new(|| {
    let upstreams = r#"{"servers":{"docs":{"url":"http://a/"},"listed":{"url":"http://a/"}}}"#;
    let servers = r#"{"mcpServers":[{"name":"listed","tools":[{"name":"read"}]}]}"#;
    let mut files = Files::new();
    for (path, text) in [("host.json", "{}"), ("mcp.json", upstreams), ("mcpservers.json", servers)]
    {
        files.insert(path, text.as_bytes().to_vec()).expect("a file of an app");
    }
    App::from_files(&files).expect("an app")
});

fn server(name: &str) -> &'static Upstream {
    APP.server(name).and_then(Server::upstream).expect("an upstream")
}

fuzz_target!(|data: &[u8]| {
    let (head, data) = data.split_at(data.len().min(1));
    let body = Bytes::from(gateway::message(data));
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    match head.first().map(|byte| byte % 4) {
        Some(1) => {
            headers.insert("mcp-name", HeaderValue::from_static("read"));
        }
        Some(2) => {
            headers.insert("mcp-method", HeaderValue::from_static("tools/call"));
        }
        _ => {}
    }
    let by_scope = Filter::of("docs", Some(&GRANT), server("docs")).expect("a scope filters");
    let by_list = Filter::of("listed", None, server("listed")).expect("a list filters");
    for (filter, is_scoped) in [(by_scope, true), (by_list, false)] {
        let Verdict::Forward { body: forwarded, .. } = filter.judge(&headers, &body) else {
            continue;
        };
        let message: Value = serde_json::from_slice(&forwarded).unwrap_or_else(|error| {
            // Depth and lone surrogates are the reader's, not the judge's.
            let text = error.to_string();
            assert!(
                text.contains("recursion")
                    || text.contains("surrogate")
                    || text.contains("hex escape")
                    || text.contains("out of range"),
                "{text}"
            );
            Value::Null
        });
        if let Value::Object(message) = &message {
            harmless(message, is_scoped);
        }
        let Verdict::Forward { body: again, .. } = filter.judge(&headers, &forwarded) else {
            panic!("what was forwarded is forwarded");
        };
        assert_eq!(again, forwarded);
    }
});

/// Asserts what holds of a message whatever a reader makes of the case of its members.
fn harmless(message: &Map<String, Value>, is_scoped: bool) {
    let methods: Vec<&Value> = like(message, "method");
    assert!(methods.len() <= 1 && like(message, "params").len() <= 1);
    let Some(method) = methods.first() else { return };
    let method = method.as_str().expect("a method is a string");
    let params = like(message, "params");
    let params = params.first().and_then(|params| params.as_object());
    if method == "tools/call" {
        let names = params.map(|params| like(params, "name")).unwrap_or_default();
        assert!(matches!(names.as_slice(), [name] if **name == "read"), "{names:?}");
    } else if is_scoped {
        let reached = ["initialize", "ping", "server/discover", "logging/setLevel", "tools/list"];
        let is_notification = message.get("id").is_none() && method.starts_with("notifications/");
        let is_subscription = method == "subscriptions/listen";
        assert!(reached.contains(&method) || is_notification || is_subscription, "{method}");
        if is_subscription {
            let wanted = params.and_then(|params| params.get("notifications"));
            assert_eq!(wanted, Some(&serde_json::json!({ "toolsListChanged": true })));
        }
    }
}

fn like<'m>(members: &'m Map<String, Value>, wanted: &str) -> Vec<&'m Value> {
    let folded = |name: &str| {
        let name: String = name.chars().take_while(|c| *c != '\0').collect();
        name.to_uppercase().to_lowercase()
    };
    members.iter().filter(|(name, _)| folded(name) == wanted).map(|(_, value)| value).collect()
}
