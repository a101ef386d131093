//! Requests one after another on one connection: what was decided of one says nothing of another that
//! differs from it in anything, or comes at another time.

use std::time::Duration;

use axum::body::Body;
use http::Request;
use keys::{ApiKey, RevokedId, Slot};
use serde_json::json;

use crate::harness::{DEFAULT, DESK, Fixture, files, message, request};

/// Comes in once with this key, which the connection knows from then on.
async fn come_in(fixture: &Fixture, key: &ApiKey) {
    assert_eq!(fixture.send(list(Some(key))).await.status, 200);
    assert_eq!(fixture.send(list(Some(key))).await.status, 200);
}

fn list(key: Option<&ApiKey>) -> Request<Body> {
    request(DESK, key, &message("tools/list", json!({})))
}

fn with(mut request: Request<Body>, name: &'static str, value: &str) -> Request<Body> {
    request.headers_mut().append(name, value.parse().unwrap());
    request
}

#[tokio::test]
async fn a_key_lets_in_no_request_without_it_and_none_with_another() {
    let fixture = Fixture::new("ApiKey").await;
    let key = fixture.key().await.key;
    let other = fixture.key().await;
    fixture.revoke(RevokedId::Key(other.id)).await;
    let text = key.expose();
    let (rest, last) = text.split_at(text.len() - 1);
    let altered = format!("{rest}{}", if last == "A" { "B" } else { "A" });
    for bad in [
        list(None),
        list(Some(&other.key)),
        with(list(None), "x-api-key", &altered),
        with(list(None), "x-api-key", rest),
        with(list(None), "x-api-key", ""),
        with(list(None), "authorization", &format!("Bearer {altered}")),
        with(list(Some(&key)), "x-api-key", text),
        with(list(Some(&key)), "authorization", "Bearer something.else"),
        with(list(Some(&key)), "authorization", "Basic eDp5"),
    ] {
        come_in(&fixture, &key).await;
        let answer = fixture.send(bad).await;
        assert_eq!(answer.status, 401, "{answer:?}");
    }
    // The same one, said twice in two ways, is one.
    let twice = with(list(Some(&key)), "authorization", &format!("Bearer {text}"));
    assert_eq!(fixture.send(twice).await.status, 200);
}

#[tokio::test]
async fn a_key_for_one_server_reaches_no_other_after_it() {
    let fixture = Fixture::new("ApiKey").await;
    let key = fixture.key_for(Slot::Primary, None, &["desk"]).await.key;
    come_in(&fixture, &key).await;
    let elsewhere = request(DEFAULT, Some(&key), &message("tools/list", json!({})));
    assert_eq!(fixture.send(elsewhere).await.status, 403);
    come_in(&fixture, &key).await;
}

#[tokio::test]
async fn a_key_that_has_come_in_ends_when_it_expires() {
    let fixture = Fixture::new("ApiKey").await;
    let key = fixture.key_for(Slot::Primary, Some(Duration::from_secs(60)), &[]).await.key;
    come_in(&fixture, &key).await;
    fixture.clock.advance(Duration::from_secs(60));
    come_in(&fixture, &key).await;
    fixture.clock.advance(Duration::from_millis(1));
    let answer = fixture.send(list(Some(&key))).await;
    assert_eq!(answer.status, 401);
    assert!(answer.refusal().contains("expired at 2026-01-01T00:01:00Z"), "{answer:?}");
}

#[tokio::test]
async fn a_key_that_has_come_in_ends_with_its_access_key_and_by_its_own_id() {
    let fixture = Fixture::new("ApiKey").await;
    let (one, other) = (fixture.key().await, fixture.key().await);
    come_in(&fixture, &one.key).await;
    fixture.revoke(RevokedId::Key(one.id)).await;
    assert_eq!(fixture.send(list(Some(&one.key))).await.status, 401);
    come_in(&fixture, &other.key).await;
    fixture.regenerate(Slot::Primary).await;
    assert_eq!(fixture.send(list(Some(&other.key))).await.status, 401);
}

#[tokio::test]
async fn what_has_changed_since_is_decided_anew() {
    let fixture = Fixture::new("ApiKey").await;
    let key = fixture.key().await.key;
    come_in(&fixture, &key).await;
    fixture.serve(&files("OAuth2")).await;
    assert_eq!(fixture.send(list(Some(&key))).await.status, 403);
    fixture.serve(&files("ApiKey")).await;
    come_in(&fixture, &key).await;
}
