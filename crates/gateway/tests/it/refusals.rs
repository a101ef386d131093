use std::time::Duration;

use axum::body::Body;
use http::{Method, Request, StatusCode};
use keys::{ChildId, Presented, RevokedId, Slot, SysRng, Terms};
use serde_json::json;

use crate::harness::{Answer, DEFAULT, DESK, Fixture, START, bare, message, request};

const CHALLENGE: &str = "ApiKey realm=\"helpdesk\", header=\"X-API-Key\"";

fn list() -> serde_json::Value {
    message("tools/list", json!({}))
}

fn assert_unauthenticated(answer: &Answer, needle: &str) {
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{answer:?}");
    assert_eq!(answer.header("www-authenticate"), Some(CHALLENGE));
    let message = answer.refusal();
    assert!(message.contains(needle), "{message:?} does not say {needle:?}");
}

/// Sends tools/list with these credential headers.
async fn with(fixture: &Fixture, headers: &[(&'static str, &str)]) -> Answer {
    let mut request = bare(DEFAULT, Body::from(list().to_string()));
    for (name, value) in headers {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    fixture.send(request).await
}

#[tokio::test]
async fn a_request_without_a_key_is_told_how_to_send_one() {
    for authentication in ["ApiKey", "", "apikey"] {
        let fixture = Fixture::new(authentication).await;
        assert_unauthenticated(&fixture.call(DEFAULT, None, &list()).await, "X-API-Key");
    }
}

#[tokio::test]
async fn a_bad_key_is_told_what_is_wrong_with_it() {
    let fixture = Fixture::new("ApiKey").await;
    let good = fixture.key().await;
    for bad in [
        "",
        "secret",
        "kwk1_",
        "kwk1_AAAA",
        good.key.expose().get(..60).unwrap(),
        &"k".repeat(2000),
    ] {
        assert_unauthenticated(&with(&fixture, &[("x-api-key", bad)]).await, "malformed");
    }

    let expiring = fixture.key_for(Slot::Primary, Some(Duration::from_secs(1)), &[]).await;
    fixture.clock.advance(Duration::from_secs(1));
    assert_eq!(fixture.call(DEFAULT, Some(&expiring.key), &list()).await.status, 200);
    fixture.clock.advance(Duration::from_millis(1));
    let answer = fixture.call(DEFAULT, Some(&expiring.key), &list()).await;
    assert_unauthenticated(&answer, "expired at 2026-01-01T00:00:01Z");

    fixture.revoke(RevokedId::Key(good.id)).await;
    assert_unauthenticated(&fixture.call(DEFAULT, Some(&good.key), &list()).await, "revoked");

    let other = Fixture::new("ApiKey").await.key().await;
    assert_unauthenticated(
        &fixture.call(DEFAULT, Some(&other.key), &list()).await,
        "belongs to another app",
    );

    let secondary = fixture.key_for(Slot::Secondary, None, &[]).await;
    fixture.regenerate(Slot::Secondary).await;
    assert_unauthenticated(
        &fixture.call(DEFAULT, Some(&secondary.key), &list()).await,
        "regenerated",
    );
}

#[tokio::test]
async fn a_key_may_come_as_a_bearer_value() {
    let fixture = Fixture::new("ApiKey").await;
    let key = fixture.key().await.key;
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let value = format!("{scheme} {}", key.expose());
        assert_eq!(with(&fixture, &[("authorization", &value)]).await.status, 200);
    }
    let bearer = format!("Bearer {}", key.expose());
    let both = [("x-api-key", key.expose()), ("authorization", bearer.as_str())];
    assert_eq!(with(&fixture, &both).await.status, 200, "the same key twice over is one key");
}

#[tokio::test]
async fn two_credentials_or_a_repeated_header_are_refused() {
    let fixture = Fixture::new("ApiKey").await;
    let key = fixture.key().await.key;
    let other = fixture.key().await.key;
    let bearer = format!("Bearer {}", other.expose());
    let cases: [&[(&str, &str)]; 5] = [
        &[("x-api-key", key.expose()), ("authorization", &bearer)],
        &[("x-api-key", key.expose()), ("authorization", "Bearer eyJhbGciOiJub25lIn0")],
        &[("x-api-key", key.expose()), ("authorization", "Basic dTpw")],
        &[("x-api-key", key.expose()), ("x-api-key", key.expose())],
        &[("authorization", &bearer), ("authorization", &bearer)],
    ];
    for headers in cases {
        let answer = with(&fixture, headers).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{headers:?}");
        answer.refusal();
    }
}

#[tokio::test]
async fn other_credentials_than_api_keys_are_refused() {
    let fixture = Fixture::new("ApiKey").await;
    for value in ["Bearer eyJhbGciOiJub25lIn0.e30.", "Basic dTpw", "Bearer", "kwk1_x", "Bearer "] {
        let answer = with(&fixture, &[("authorization", value)]).await;
        assert_unauthenticated(&answer, "API key");
    }
}

#[tokio::test]
async fn a_bad_key_is_refused_even_where_everyone_may_come_in() {
    let fixture = Fixture::new("Anonymous").await;
    assert_eq!(fixture.call(DEFAULT, None, &list()).await.status, 200);
    let key = fixture.key().await;
    assert_eq!(fixture.call(DEFAULT, Some(&key.key), &list()).await.status, 200);
    fixture.revoke(RevokedId::Key(key.id)).await;
    assert_unauthenticated(&fixture.call(DEFAULT, Some(&key.key), &list()).await, "revoked");
    assert_eq!(with(&fixture, &[("x-api-key", "x")]).await.status, 401);
}

#[tokio::test]
async fn access_tokens_only_lets_nobody_in_yet_and_says_so() {
    let fixture = Fixture::new("OAuth2").await;
    let key = fixture.key().await.key;
    for key in [None, Some(&key)] {
        let answer = fixture.call(DEFAULT, key, &list()).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
        assert_eq!(answer.header("www-authenticate"), None);
        assert!(answer.refusal().contains("OAuth2"));
    }
    let malformed = with(&fixture, &[("x-api-key", "kwk1_x")]).await;
    assert_eq!(
        (malformed.status, malformed.header("www-authenticate")),
        (StatusCode::FORBIDDEN, None)
    );
}

#[tokio::test]
async fn a_refusal_does_not_say_whether_the_server_exists() {
    let fixture = Fixture::new("ApiKey").await;
    let scoped = fixture.key_for(Slot::Primary, None, &["other"]).await.key;
    let there = fixture.call(DESK, None, &list()).await;
    let scoped_there = fixture.call(DESK, Some(&scoped), &list()).await;
    assert_eq!(scoped_there.status, StatusCode::FORBIDDEN);
    for missing in ["/api/mcpservers/none/mcp", "/api/mcpservers/closed/mcp"] {
        let absent = fixture.call(missing, None, &list()).await;
        assert_eq!((there.status, &there.text), (absent.status, &absent.text));
        let scoped_absent = fixture.call(missing, Some(&scoped), &list()).await;
        assert_eq!(scoped_absent.status, scoped_there.status);
    }
}

#[tokio::test]
async fn a_good_key_learns_that_a_server_is_not_there() {
    let fixture = Fixture::new("ApiKey").await;
    let key = fixture.key().await.key;
    for missing in ["/api/mcpservers/none/mcp", "/api/mcpservers/closed/mcp"] {
        let answer = fixture.call(missing, Some(&key), &list()).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        answer.refusal();
    }
}

#[tokio::test]
async fn registration_is_refused_in_the_words_of_oauth() {
    let fixture = Fixture::new("ApiKey").await;
    let answer = fixture.send(bare("/register", Body::from("{}"))).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(answer.json()["error"], "access_denied");
    let description = answer.json()["error_description"].as_str().unwrap().to_owned();
    assert!(description.contains("X-API-Key") && description.contains("not OAuth"));

    let open = Fixture::new("Anonymous").await;
    assert_eq!(open.send(bare("/register", Body::from("{}"))).await.status, 404);
}

#[tokio::test]
async fn well_known_paths_are_not_found_in_json() {
    let fixture = Fixture::new("ApiKey").await;
    for path in [
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-protected-resource/api/mcp",
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
        "/",
        "/api",
        "/register",
    ] {
        let get = Request::get(path).header("host", "localhost:7071").body(Body::empty()).unwrap();
        let answer = fixture.send(get).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(answer.header("www-authenticate"), None);
        answer.refusal();
    }
}

#[tokio::test]
async fn other_methods_than_post_are_refused_behind_the_key() {
    let fixture = Fixture::new("ApiKey").await;
    let key = fixture.key().await.key;
    for method in [Method::GET, Method::DELETE, Method::PUT, Method::OPTIONS] {
        let mut with_key = request(DEFAULT, Some(&key), &list());
        *with_key.method_mut() = method.clone();
        let answer = fixture.send(with_key).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(answer.header("allow"), Some("POST"));
        let mut without = request(DEFAULT, None, &list());
        *without.method_mut() = method;
        assert_eq!(fixture.send(without).await.status, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn a_replica_without_its_store_asks_to_try_again() {
    let fixture = Fixture::new("ApiKey").await;
    let key = fixture.key().await.key;
    fixture.store.close().await;
    let unchanged = crate::harness::files("ApiKey");
    fixture.serve(&unchanged).await;
    let answer = fixture.call(DEFAULT, Some(&key), &list()).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.header("retry-after").is_some());
    answer.refusal();
}

#[tokio::test]
async fn a_narrowed_key_dies_with_its_parent_and_alone() {
    let fixture = Fixture::new("ApiKey").await;
    let parent = fixture.key().await;
    let presented = Presented::parse(parent.key.expose().as_bytes()).unwrap();
    let narrow = || {
        let id = ChildId::generate(&mut SysRng).unwrap();
        let terms = Terms { not_after: START.checked_add(Duration::from_secs(60)), scopes: None };
        (id, presented.narrow(id, &terms).unwrap())
    };
    let (first_id, first) = narrow();
    let (_, second) = narrow();
    assert_eq!(fixture.call(DEFAULT, Some(&first), &list()).await.status, 200);

    fixture.revoke(RevokedId::Child(parent.id, first_id)).await;
    assert_unauthenticated(&fixture.call(DEFAULT, Some(&first), &list()).await, "revoked");
    assert_eq!(fixture.call(DEFAULT, Some(&second), &list()).await.status, 200);
    fixture.revoke(RevokedId::Key(parent.id)).await;
    assert_unauthenticated(&fixture.call(DEFAULT, Some(&second), &list()).await, "revoked");
}
