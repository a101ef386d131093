use axum::body::Body;
use http::{Request, StatusCode};
use serde_json::json;

use crate::harness::{Answer, DEFAULT, Fixture, files, message, request};

async fn from(fixture: &Fixture, path: &str, headers: &[(&'static str, &str)]) -> Answer {
    let mut request = request(path, None, &message("tools/list", json!({})));
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    fixture.send(request).await
}

#[tokio::test]
async fn a_foreign_host_is_refused() {
    let fixture = Fixture::new("Anonymous").await;
    for good in ["localhost:7071", "localhost", "LOCALHOST:1", "127.0.0.1:7071", "[::1]:7071"] {
        let answer = from(&fixture, DEFAULT, &[("host", good)]).await;
        assert_eq!(answer.status, 200, "{good}");
    }
    for bad in [
        "evil.example",
        "localhost.evil.example",
        "10.0.0.1",
        "",
        "a b",
        "localhost@evil.example",
        "localhost:x",
    ] {
        let answer = from(&fixture, DEFAULT, &[("host", bad)]).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{bad:?}");
        answer.refusal();
    }
}

#[tokio::test]
async fn a_missing_or_repeated_host_is_refused() {
    let fixture = Fixture::new("Anonymous").await;
    let body = message("tools/list", json!({})).to_string();
    let none = Request::post(DEFAULT).body(Body::from(body)).unwrap();
    assert_eq!(fixture.send(none).await.status, StatusCode::FORBIDDEN);
    let mut two = request(DEFAULT, None, &message("tools/list", json!({})));
    two.headers_mut().append("host", "evil.example".parse().unwrap());
    assert_eq!(fixture.send(two).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_foreign_origin_is_refused() {
    let fixture = Fixture::new("Anonymous").await;
    for good in ["http://localhost:7071", "http://127.0.0.1:5173", "https://localhost"] {
        assert_eq!(from(&fixture, DEFAULT, &[("origin", good)]).await.status, 200, "{good}");
    }
    for bad in ["http://evil.example", "null", "", "http://localhost.evil.example"] {
        let answer = from(&fixture, DEFAULT, &[("origin", bad)]).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{bad:?}");
        answer.refusal();
    }
}

#[tokio::test]
async fn a_public_url_with_a_path_decides_the_route() {
    let fixture = Fixture::with_files(&files("Anonymous"), "https://mcp.example.com/desk/").await;
    let host = [("host", "mcp.example.com")];
    assert_eq!(from(&fixture, "/desk/api/mcp", &host).await.status, 200);
    for path in ["/api/mcp", "/desk", "/deskapi/mcp", "/other/api/mcp"] {
        assert_eq!(from(&fixture, path, &host).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(from(&fixture, "/desk/api/mcp", &[("host", "localhost")]).await.status, 403);
    let other_scheme = [("host", "mcp.example.com"), ("origin", "http://mcp.example.com")];
    assert_eq!(from(&fixture, "/desk/api/mcp", &other_scheme).await.status, 403);
    let own = [("host", "mcp.example.com"), ("origin", "https://mcp.example.com")];
    assert_eq!(from(&fixture, "/desk/api/mcp", &own).await.status, 200);
}

#[tokio::test]
async fn a_servers_name_has_no_case_and_a_path_no_tricks() {
    let fixture = Fixture::new("Anonymous").await;
    for good in
        ["/api/mcpservers/desk/mcp", "/api/mcpservers/DESK/mcp", "/api/mcpservers/d%65sk/mcp"]
    {
        assert_eq!(from(&fixture, good, &[]).await.status, 200, "{good}");
    }
    for bad in [
        "/api/mcpservers/default/mcp",
        "/api/mcpservers//mcp",
        "/api/mcpservers/../mcp",
        "/api/mcpservers/%2e%2e/mcp",
        "/api/mcpservers/desk%2f..%2fdesk/mcp",
        "/api/mcpservers/%ff/mcp",
        "/api/mcpservers/desk/mcp/",
        "/api/mcpservers/desk",
        "//api/mcp",
        "/API/mcp",
        "/api/../api/mcp",
    ] {
        assert_eq!(from(&fixture, bad, &[]).await.status, StatusCode::NOT_FOUND, "{bad}");
    }
    let long = format!("/api/mcpservers/{}/mcp", "a".repeat(5000));
    assert_eq!(from(&fixture, &long, &[]).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_route_prefix_of_host_json_replaces_api() {
    let host = json!({ "version": "2.0", "extensions": {
        "http": { "routePrefix": "tools/v1" },
        "workflow": { "McpServerEndpoints": { "enable": true, "authentication": { "type": "Anonymous" } } },
    }});
    let mut files = files("Anonymous");
    files[0].1 = host.to_string();
    let fixture = Fixture::with_files(&files, "http://localhost:7071").await;
    assert_eq!(from(&fixture, "/tools/v1/mcp", &[]).await.status, 200);
    assert_eq!(from(&fixture, "/tools/v1/mcpservers/desk/mcp", &[]).await.status, 200);
    assert_eq!(from(&fixture, "/api/mcp", &[]).await.status, StatusCode::NOT_FOUND);
}
