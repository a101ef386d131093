//! Who is let in, and from where.

use std::time::Duration;

use http::Request;
use keys::Role;
use manage::Settings;

use crate::plane::{HOST_BASE, Plane, post};

fn path() -> String {
    format!("{HOST_BASE}/listMcpServerUrl?getApikey=true")
}

async fn with_authorization(plane: &Plane, value: &[u8]) -> crate::plane::Answer {
    let request = post(&path()).header("authorization", value);
    plane.send(request.body("".into()).unwrap()).await
}

#[tokio::test]
async fn the_scheme_compares_without_regard_to_case() {
    let plane = Plane::new().await;
    for scheme in ["bearer", "BEARER", "Bearer ", "bEaReR   "] {
        let value = format!("{scheme} {}", plane.token(Role::Issuer));
        let answer = with_authorization(&plane, value.as_bytes()).await;
        assert_eq!(answer.status, 200, "{scheme}: {}", answer.text);
    }
}

#[tokio::test]
async fn an_authorization_without_a_bearer_token_is_no_credential() {
    let plane = Plane::new().await;
    let token = plane.token(Role::Owner).to_owned();
    for value in ["Bearer", "Bearer ", "Basic YTpi", &token, &format!("Token {token}")] {
        let answer = with_authorization(&plane, value.as_bytes()).await;
        plane.assert_refused(&answer, 401, "AuthenticationFailed").await;
        assert!(!answer.text.contains(&token));
    }
}

#[tokio::test]
async fn a_token_with_anything_around_it_or_of_another_case_is_refused() {
    let plane = Plane::new().await;
    let token = plane.token(Role::Owner).to_owned();
    let (upper, long) = (token.to_uppercase(), "x".repeat(100_000));
    for wrong in
        [&format!("{token}x"), &format!("{token} {token}"), &format!("\t{token}"), &upper, &long]
    {
        let answer = with_authorization(&plane, format!("Bearer {wrong}").as_bytes()).await;
        plane.assert_refused(&answer, 401, "InvalidAuthenticationToken").await;
    }
    let answer = with_authorization(&plane, b"Bearer \xff\xfe").await;
    plane.assert_refused(&answer, 401, "InvalidAuthenticationToken").await;
}

#[tokio::test]
async fn a_repeated_authorization_is_refused_even_if_both_are_good() {
    let plane = Plane::new().await;
    let value = format!("Bearer {}", plane.token(Role::Owner));
    let request = post(&path()).header("authorization", &value).header("Authorization", &value);
    let answer = plane.send(request.body("".into()).unwrap()).await;
    plane.assert_refused(&answer, 401, "AuthenticationFailed").await;
}

#[tokio::test]
async fn an_api_key_is_told_that_it_opens_something_else() {
    let plane = Plane::new().await;
    let answer = with_authorization(&plane, b"Bearer KWK9_something").await;
    plane.assert_refused(&answer, 401, "InvalidAuthenticationToken").await;
    assert!(answer.message().contains("API key"), "{}", answer.text);
    let request = post(&path()).header("x-api-key", "kwk1_something");
    let answer = plane.send(request.body("".into()).unwrap()).await;
    plane.assert_refused(&answer, 401, "AuthenticationFailed").await;
    assert!(answer.message().contains("X-API-Key opens MCP servers"), "{}", answer.text);
}

#[tokio::test]
async fn a_token_is_good_at_its_last_instant_and_expired_a_millisecond_later() {
    let plane = Plane::new().await;
    let value = format!("Bearer {}", plane.expiring_token);
    let list = || post(&format!("{HOST_BASE}/listMcpServers")).header("authorization", &value);
    assert_eq!(plane.send(list().body("".into()).unwrap()).await.status, 200);
    plane.advance(Duration::from_millis(1));
    let answer = plane.send(list().body("".into()).unwrap()).await;
    answer.assert(401, "ExpiredAuthenticationToken");
    assert!(answer.message().contains("2026-01-01T00:00:00Z"), "{}", answer.text);
    assert!(answer.headers.contains_key("www-authenticate"));
}

#[tokio::test]
async fn only_loopback_names_and_configured_hosts_are_answered() {
    let allowed_hosts = vec!["Keys.example.com".to_owned()];
    let plane = Plane::with_settings(Settings { allowed_hosts, ..Settings::default() }).await;
    let authorization = format!("Bearer {}", plane.token(Role::Owner));
    let call = |host: &'static str| {
        let list = format!("{HOST_BASE}/listMcpServers");
        let request = Request::builder().method("POST").uri(list).header("host", host);
        request.header("authorization", &authorization).body("".into()).unwrap()
    };
    for host in [
        "localhost",
        "LOCALHOST:7072",
        "localhost.",
        "127.0.0.1:1",
        "127.9.9.9",
        "[::1]:7072",
        "keys.example.com:443",
    ] {
        assert_eq!(plane.send(call(host)).await.status, 200, "{host}");
    }
    for host in [
        "",
        "evil.example",
        "localhost.evil.example",
        "10.0.0.1",
        "0.0.0.0",
        "[::]",
        "x@localhost",
        "127.0.0.1.nip.io",
    ] {
        plane.send(call(host)).await.assert(403, "HostNotAllowed");
    }
    let without = Request::builder().method("POST").uri(path());
    plane.send(without.body("".into()).unwrap()).await.assert(403, "HostNotAllowed");
    let twice = post(&path()).header("host", "localhost");
    plane.send(twice.body("".into()).unwrap()).await.assert(403, "HostNotAllowed");
}

#[tokio::test]
async fn a_page_of_another_origin_is_refused_before_anything_else() {
    let plane = Plane::new().await;
    let authorization = format!("Bearer {}", plane.token(Role::Owner));
    let call = |origin: &'static str| {
        let request = post(&path()).header("authorization", &authorization);
        request.header("origin", origin).body("".into()).unwrap()
    };
    for origin in [
        "null",
        "https://evil.example",
        "http://localhost:3000",
        "http://localhost",
        "http://localhost:7072.evil.example",
        "localhost:7072",
        "",
    ] {
        let answer = plane.send(call(origin)).await;
        plane.assert_refused(&answer, 403, "OriginNotAllowed").await;
    }
    let twice = post(&path()).header("origin", "http://localhost:7072");
    let twice = twice.header("origin", "http://localhost:7072").body("".into()).unwrap();
    plane.send(twice).await.assert(403, "OriginNotAllowed");
    assert_eq!(plane.send(call("http://localhost:7072")).await.status, 200);
}
