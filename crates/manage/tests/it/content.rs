//! What a body and a query may say: everything else is refused, and issues nothing.

use axum::body::{Body, Bytes};
use futures::stream;
use keys::Role;
use manage::limits;
use serde_json::json;

use crate::plane::{HOST_BASE, Plane, app_with, post};

const URL: &str = "listMcpServerUrl?getApikey=true";
const LIST: &str = "listMcpServers?getApikey=true";

/// Bodies that are refused by both operations that issue, each with its code and what the message
/// has to name.
fn refused_bodies() -> Vec<(String, u16, &'static str, &'static str)> {
    let content = "InvalidRequestContent";
    let deep = format!("{{\"label\": {}{}}}", "[".repeat(200), "]".repeat(200));
    let long = "x".repeat(129);
    let many: Vec<String> = (0..33).map(|n| format!("server{n}")).collect();
    let text = |value: serde_json::Value| value.to_string();
    vec![
        ("{".to_owned(), 400, content, "not JSON"),
        ("nonsense".to_owned(), 400, content, "not JSON"),
        ("{} {}".to_owned(), 400, content, "not JSON"),
        ("{\"keyType\": \"primary\",}".to_owned(), 400, content, "not JSON"),
        ("[]".to_owned(), 400, content, "JSON object"),
        ("null".to_owned(), 400, content, "JSON object"),
        ("\"primary\"".to_owned(), 400, content, "JSON object"),
        ("1e999".to_owned(), 400, content, "JSON"),
        (deep, 400, content, "recursion limit"),
        (text(json!({ "keytype": "primary" })), 400, content, "'keytype'"),
        (text(json!({ "ttl": 1 })), 400, content, "serverName"),
        ("{\"label\":\"a\",\"label\":\"b\"}".to_owned(), 400, content, "'label' twice"),
        ("{\"label\":\"a\",\"l\\u0061bel\":\"b\"}".to_owned(), 400, content, "'label' twice"),
        (text(json!({ "keyType": 1 })), 400, content, "keyType must be a string"),
        (text(json!({ "keyType": null })), 400, content, "keyType must be a string"),
        (text(json!({ "notAfter": 1_767_225_600 })), 400, content, "notAfter must be a string"),
        (text(json!({ "notAfter": null })), 400, content, "notAfter must be a string"),
        (text(json!({ "neverExpire": "true" })), 400, content, "neverExpire must be true or false"),
        (text(json!({ "neverExpire": null })), 400, content, "neverExpire must be true or false"),
        (text(json!({ "serverName": {} })), 400, content, "serverName must be a string"),
        (text(json!({ "serverName": null })), 400, content, "serverName must be a string"),
        (text(json!({ "scopes": "Tickets" })), 400, content, "scopes must be a list of strings"),
        (text(json!({ "scopes": ["Tickets", 1] })), 400, content, "scopes[1] must be a string"),
        (text(json!({ "label": ["x"] })), 400, content, "label must be a string"),
        (text(json!({ "label": null })), 400, content, "label must be a string"),
        (text(json!({ "label": long })), 400, content, "at most 128"),
        (text(json!({ "label": "a\u{1b}[2J" })), 400, content, "control characters"),
        (text(json!({ "label": "a\nb" })), 400, content, "control characters"),
        (text(json!({ "label": "a\u{202e}b" })), 400, content, "control characters"),
        (text(json!({ "label": "kwk1_abc" })), 400, content, "secret"),
        (text(json!({ "keyType": "" })), 400, "InvalidKeyType", "keyType"),
        (text(json!({ "keyType": "tertiary" })), 400, "InvalidKeyType", "'tertiary'"),
        (text(json!({ "notAfter": "tomorrow" })), 400, "InvalidNotAfter", "'tomorrow'"),
        (text(json!({ "notAfter": "2026-06-01" })), 400, "InvalidNotAfter", "RFC 3339"),
        (text(json!({ "notAfter": "2026-06-01T00:00:00" })), 400, "InvalidNotAfter", "RFC 3339"),
        (text(json!({ "notAfter": "2025-12-31T23:59:59.999Z" })), 400, "InvalidNotAfter", "past"),
        (text(json!({ "notAfter": "1969-01-01T00:00:00Z" })), 400, "InvalidNotAfter", "past"),
        (
            text(json!({ "notAfter": "2027-01-01T00:00:00Z", "neverExpire": true })),
            400,
            "InvalidNotAfter",
            "exclude each other",
        ),
        (text(json!({ "scopes": [] })), 400, "InvalidScope", "at least one"),
        (text(json!({ "scopes": [""] })), 400, "InvalidScope", "scopes[0]"),
        (text(json!({ "scopes": ["Tickets/"] })), 400, "InvalidScope", "scopes[0]"),
        (text(json!({ "scopes": ["a b"] })), 400, "InvalidScope", "scopes[0]"),
        (text(json!({ "scopes": ["nowhere"] })), 400, "InvalidScope", "Tickets, default"),
        (text(json!({ "scopes": ["tickets/PriceQuote"] })), 400, "InvalidScope", "CreateTicket"),
        (text(json!({ "scopes": ["tickets/createticket"] })), 400, "InvalidScope", "CreateTicket"),
        (text(json!({ "scopes": ["default/Nothing"] })), 400, "InvalidScope", "PriceQuote"),
        (text(json!({ "scopes": many })), 400, "InvalidScope", "at most 32"),
        (text(json!({ "serverName": "nowhere" })), 404, "McpServerNotFound", "'nowhere'"),
        (text(json!({ "serverName": "" })), 404, "McpServerNotFound", "Tickets"),
    ]
}

#[tokio::test]
async fn a_bad_body_is_refused_by_name_and_issues_nothing() {
    let plane = Plane::new().await;
    for operation in [URL, LIST] {
        for (body, status, code, named) in refused_bodies() {
            let answer = plane.post(operation, body.clone()).await;
            plane.assert_refused(&answer, status, code).await;
            assert!(answer.message().contains(named), "{body}: {}", answer.text);
        }
    }
}

#[tokio::test]
async fn a_bad_body_is_refused_where_no_key_is_wanted_too() {
    let plane = Plane::new().await;
    for (body, status, code, _) in refused_bodies() {
        let answer = plane.post("listMcpServerUrl", body).await;
        plane.assert_refused(&answer, status, code).await;
    }
}

#[tokio::test]
async fn a_message_repeats_little_of_what_was_sent_and_no_secret() {
    let plane = Plane::new().await;
    let long = json!({ "keyType": format!("{}\n", "y".repeat(50_000)) });
    let answer = plane.post(URL, long.to_string()).await;
    plane.assert_refused(&answer, 400, "InvalidKeyType").await;
    assert!(answer.text.len() < 400, "{}", answer.text.len());
    for property in ["keyType", "notAfter", "serverName"] {
        let body = json!({ property: "kwk1_AAAASecret" }).to_string();
        let answer = plane.post(URL, body).await;
        assert!(answer.status.is_client_error());
        assert!(!answer.text.contains("Secret"), "{}", answer.text);
    }
    let answer = plane.post(URL, json!({ "kwk1_AAAASecret": 1 }).to_string()).await;
    assert!(!answer.text.contains("Secret"), "{}", answer.text);
}

#[tokio::test]
async fn a_body_that_is_not_utf_8_is_refused() {
    let plane = Plane::new().await;
    let answer = plane.post(URL, &b"{\"label\":\"\xff\"}"[..]).await;
    plane.assert_refused(&answer, 400, "InvalidRequestContent").await;
    assert!(answer.message().contains("byte 10"), "{}", answer.text);
}

#[tokio::test]
async fn a_body_of_white_space_counts_as_none_and_a_byte_order_mark_as_nothing() {
    let plane = Plane::new().await;
    for body in ["", " \r\n\t", "\u{feff}", "\u{feff}{}", "{}"] {
        let answer = plane.post("listMcpServerUrl", body).await;
        assert_eq!(answer.status, 200, "{body:?}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_body_at_the_limit_is_read_and_one_byte_more_is_too_large() {
    let plane = Plane::new().await;
    let padded = |len: usize| format!("{{}}{}", " ".repeat(len - 2));
    let answer = plane.post("listMcpServerUrl", padded(limits::BODY_BYTES)).await;
    assert_eq!(answer.status, 200);
    let answer = plane.post(URL, padded(limits::BODY_BYTES + 1)).await;
    plane.assert_refused(&answer, 413, "RequestEntityTooLarge").await;
}

#[tokio::test]
async fn a_body_that_says_it_is_too_large_is_not_read() {
    let plane = Plane::new().await;
    let unread = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
    let request = post(&format!("{HOST_BASE}/{URL}"))
        .header("authorization", format!("Bearer {}", plane.token(Role::Owner)))
        .header("content-length", "1073741824");
    let answer = plane.send(request.body(unread).unwrap()).await;
    plane.assert_refused(&answer, 413, "RequestEntityTooLarge").await;
}

#[tokio::test]
async fn a_body_is_not_read_for_a_caller_without_the_role() {
    let plane = Plane::new().await;
    let unread = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
    let answer = plane.call(Role::Reader, &format!("{HOST_BASE}/{URL}"), unread).await;
    plane.assert_refused(&answer, 403, "AuthorizationFailed").await;
}

#[tokio::test]
async fn a_body_that_breaks_off_is_refused() {
    let plane = Plane::new().await;
    let broken = stream::iter([
        Ok(Bytes::from_static(b"{}")),
        Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset)),
    ]);
    let answer = plane.post(URL, Body::from_stream(broken)).await;
    plane.assert_refused(&answer, 400, "InvalidRequestContent").await;
}

#[tokio::test]
async fn a_body_that_does_not_arrive_in_time_is_given_up() {
    let plane = Plane::new().await;
    tokio::time::pause();
    let never = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
    let answer = plane.post(URL, never).await;
    tokio::time::resume();
    plane.assert_refused(&answer, 408, "RequestTimeout").await;
}

#[tokio::test]
async fn a_malformed_query_value_is_refused_by_its_name() {
    let plane = Plane::new().await;
    for query in ["getApikey=1", "getApikey=", "getApikey", "GETAPIKEY=yes", "getApikey=true%20"] {
        let answer = plane.post(&format!("listMcpServerUrl?{query}"), "").await;
        plane.assert_refused(&answer, 400, "InvalidQueryParameterValue").await;
        assert!(answer.message().contains("'getApikey'"), "{}", answer.text);
    }
    let answer = plane.post("listMcpServerUrl?getApikey=true&getApiKey=false", "").await;
    plane.assert_refused(&answer, 400, "InvalidQueryParameterValue").await;
    let answer = plane.post("listMcpServerUrl?getApikey=FALSE&code=x&_=1", "").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json.get("headers"), None);
    let answer = plane.post("listMcpServerUrl?%67etApiKey=True", "").await;
    assert!(answer.json["headers"]["X-API-Key"].is_string());
}

#[tokio::test]
async fn an_app_whose_endpoints_are_off_gives_no_url_and_no_key() {
    let off = json!({ "enable": false, "authentication": { "type": "ApiKey" } });
    for endpoints in [off, json!({ "authentication": { "type": "ApiKey" } })] {
        let plane = Plane::of_app(app_with(&endpoints, &json!([]))).await;
        for operation in [URL, LIST, "listMcpServerUrl", "listMcpServers"] {
            let answer = plane.post(operation, "").await;
            plane.assert_refused(&answer, 400, "McpServerNotEnabled").await;
            assert!(answer.message().contains("host.json"), "{}", answer.text);
        }
    }
}

#[tokio::test]
async fn an_app_that_takes_no_api_keys_gives_its_urls_and_no_key() {
    for kind in ["OAuth2", "anonymous"] {
        let endpoints = json!({ "enable": true, "authentication": { "type": kind } });
        let plane = Plane::of_app(app_with(&endpoints, &json!([]))).await;
        for operation in [URL, LIST] {
            let answer = plane.post(operation, "").await;
            plane.assert_refused(&answer, 400, "McpServerApiKeyNotEnabled").await;
        }
        assert_eq!(plane.post("listMcpServerUrl", "").await.status, 200);
        assert_eq!(plane.post("listMcpServers", "").await.status, 200);
    }
}

#[tokio::test]
async fn a_key_whose_text_would_be_too_long_is_refused() {
    let name = |n: usize| format!("{}{n}", "s".repeat(78));
    let servers: Vec<_> = (0..10).map(|n| json!({ "name": name(n), "tools": [] })).collect();
    let endpoints = json!({ "enable": true });
    let plane = Plane::of_app(app_with(&endpoints, &json!(servers))).await;
    let scopes: Vec<String> = (0..10).map(name).collect();
    let answer = plane.post(URL, json!({ "scopes": scopes }).to_string()).await;
    plane.assert_refused(&answer, 400, "InvalidScope").await;
    assert!(answer.message().contains("1024"), "{}", answer.text);
}

#[tokio::test]
async fn the_content_type_does_not_matter() {
    let plane = Plane::new().await;
    for kind in ["text/plain", "application/x-www-form-urlencoded", "nonsense"] {
        let request = post(&format!("{HOST_BASE}/{URL}"))
            .header("authorization", format!("Bearer {}", plane.token(Role::Issuer)))
            .header("content-type", kind);
        let answer = plane.send(request.body("{\"label\":\"x\"}".into()).unwrap()).await;
        assert_eq!(answer.json["apiKey"]["label"], "x", "{}", answer.text);
    }
}
