//! What an ended key, a stricter type or a removed server does to what is open.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::response::Response;
use futures::StreamExt as _;
use futures::channel::mpsc::{self, UnboundedSender};
use keys::{ApiKey, RevokedId, Slot};
use serde_json::json;
use store::AppState;
use tokio::task::JoinHandle;
use tower::ServiceExt as _;

use crate::harness::{Answer, DESK, Fixture, call_tool, files, listen, request};

/// A tool call that would take an hour, once its response is registered.
async fn slow_call(fixture: &Arc<Fixture>, key: &ApiKey) -> JoinHandle<Answer> {
    let request = request(DESK, Some(key), &call_tool("Slow", json!({})));
    let running = tokio::spawn({
        let fixture = Arc::clone(fixture);
        async move { fixture.send(request).await }
    });
    until(|| fixture.replica.open_count() > 0).await;
    running
}

/// An event stream whose subscription was acknowledged.
async fn stream(fixture: &Fixture, key: Option<&ApiKey>) -> BodyDataStream {
    let response: Response = fixture.router.clone().oneshot(listen(DESK, key)).await.unwrap();
    assert_eq!(response.status(), 200);
    let mut stream = Body::into_data_stream(response.into_body());
    let first = stream.next().await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&first).contains("acknowledged"), "{first:?}");
    stream
}

async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::task::yield_now().await;
    }
}

/// What a stream still gives, to its end.
async fn rest(stream: BodyDataStream) -> String {
    let parts: Vec<_> = stream.map(Result::unwrap).collect().await;
    String::from_utf8(parts.concat()).unwrap()
}

#[tokio::test]
async fn a_regeneration_ends_a_running_call_and_a_stream_before_it_returns() {
    let fixture = Arc::new(Fixture::new("ApiKey").await);
    let key = fixture.key().await.key;
    let running = slow_call(&fixture, &key).await;
    let stream = stream(&fixture, Some(&key)).await;
    let ended = tokio::spawn(rest(stream));
    until(|| fixture.replica.open_count() == 2).await;

    fixture.regenerate(Slot::Primary).await;
    assert_eq!(fixture.replica.open_count(), 0, "both have left when the call returns");
    let answer = running.await.unwrap();
    assert_eq!(answer.status, 401);
    assert!(answer.refusal().contains("regenerated"));
    let farewell = ended.await.unwrap();
    assert!(farewell.contains(": The API key was derived"), "{farewell}");
}

#[tokio::test]
async fn a_revocation_ends_its_own_key_and_no_other() {
    let fixture = Arc::new(Fixture::new("ApiKey").await);
    let (ended, kept) = (fixture.key().await, fixture.key().await);
    let running = slow_call(&fixture, &ended.key).await;
    let stream = stream(&fixture, Some(&kept.key)).await;
    fixture.revoke(RevokedId::Key(ended.id)).await;
    assert_eq!(running.await.unwrap().status, 401);
    assert_eq!(fixture.replica.open_count(), 1);
    drop(stream);
    until(|| fixture.replica.open_count() == 0).await;
}

#[tokio::test]
async fn the_other_access_key_is_left_alone() {
    let fixture = Arc::new(Fixture::new("ApiKey").await);
    let secondary = fixture.key_for(Slot::Secondary, None, &[]).await.key;
    let running = slow_call(&fixture, &secondary).await;
    fixture.regenerate(Slot::Primary).await;
    assert!(!running.is_finished());
    assert_eq!(fixture.replica.open_count(), 1);
    running.abort();
}

#[tokio::test]
async fn a_stream_and_a_call_end_when_their_key_expires() {
    let fixture = Arc::new(Fixture::new("ApiKey").await);
    let key = fixture.key_for(Slot::Primary, Some(Duration::from_millis(20)), &[]).await.key;
    let running = slow_call(&fixture, &key).await;
    let stream = tokio::spawn(rest(stream(&fixture, Some(&key)).await));
    fixture.clock.advance(Duration::from_millis(20));
    assert!(!running.is_finished() && !stream.is_finished());
    fixture.clock.advance(Duration::from_millis(1));
    assert!(running.await.unwrap().refusal().contains("expired at 2026-01-01T00:00:00.020Z"));
    assert!(stream.await.unwrap().contains(": The API key expired"));
}

#[tokio::test]
async fn a_stricter_type_ends_what_came_in_without_a_key() {
    let fixture = Fixture::new("Anonymous").await;
    let open = tokio::spawn(rest(stream(&fixture, None).await));
    fixture.serve(&files("ApiKey")).await;
    assert_eq!(fixture.replica.open_count(), 0);
    assert!(open.await.unwrap().contains("authentication type has changed"));
}

#[tokio::test]
async fn a_removed_server_ends_its_streams() {
    let fixture = Fixture::new("ApiKey").await;
    let key = fixture.key().await.key;
    let open = tokio::spawn(rest(stream(&fixture, Some(&key)).await));
    let mut without = files("ApiKey");
    without[1].1 = r#"{"mcpServers": []}"#.to_owned();
    fixture.serve(&without).await;
    assert_eq!(fixture.replica.open_count(), 0);
    assert!(open.await.unwrap().contains("removed or disabled"));
}

#[tokio::test]
async fn a_subscriber_is_told_when_the_tools_change_and_only_then() {
    let fixture = Fixture::new("ApiKey").await;
    let key = fixture.key().await.key;
    let mut open = stream(&fixture, Some(&key)).await;
    // A change that leaves this server as it is.
    fixture.regenerate(Slot::Secondary).await;
    let mut fewer = files("ApiKey");
    fewer[1].1 = json!({ "mcpServers": [{ "name": "desk", "description": "d",
        "tools": [{ "name": "Echo" }] }] })
    .to_string();
    fixture.serve(&fewer).await;
    let notice = String::from_utf8(open.next().await.unwrap().unwrap().to_vec()).unwrap();
    assert!(notice.contains("notifications/tools/list_changed"), "{notice}");
    assert_eq!(fixture.tool_names(DESK, &key).await, ["Echo"]);
}

#[tokio::test]
async fn shutting_down_ends_everything() {
    let fixture = Arc::new(Fixture::new("ApiKey").await);
    let key = fixture.key().await.key;
    let running = slow_call(&fixture, &key).await;
    fixture.replica.shut_down().await;
    assert_eq!(running.await.unwrap().status, 503);
}

/// Whether nothing runs any more on the app as it was: a run holds it.
async fn until_no_run_is_left(fixture: &Fixture, app: &std::sync::Weak<AppState>) {
    fixture.serve(&files("Anonymous")).await;
    until(|| app.upgrade().is_none()).await;
}

#[tokio::test]
async fn a_client_that_goes_away_ends_its_run() {
    let fixture = Arc::new(Fixture::new("ApiKey").await);
    let key = fixture.key().await.key;
    let app = Arc::downgrade(&fixture.replica.snapshot().unwrap().apps()[0]);
    let running = slow_call(&fixture, &key).await;
    running.abort();
    until(|| fixture.replica.open_count() == 0).await;
    until_no_run_is_left(&fixture, &app).await;
}

#[tokio::test]
async fn a_cut_ends_the_run_too() {
    let fixture = Arc::new(Fixture::new("ApiKey").await);
    let key = fixture.key().await;
    let app = Arc::downgrade(&fixture.replica.snapshot().unwrap().apps()[0]);
    let running = slow_call(&fixture, &key.key).await;
    fixture.revoke(RevokedId::Key(key.id)).await;
    assert_eq!(running.await.unwrap().status, 401);
    until_no_run_is_left(&fixture, &app).await;
}

/// A request that was admitted and whose body is still to come, through the sender.
async fn without_its_body(
    fixture: &Arc<Fixture>,
    key: &ApiKey,
) -> (UnboundedSender<Result<String, Infallible>>, JoinHandle<Answer>) {
    let (send, rest) = mpsc::unbounded();
    let mut request = request(DESK, Some(key), &json!({}));
    *request.body_mut() = Body::from_stream(rest);
    let running = tokio::spawn({
        let fixture = Arc::clone(fixture);
        async move { fixture.send(request).await }
    });
    until(|| fixture.replica.open_count() > 0).await;
    (send, running)
}

#[tokio::test]
async fn a_request_is_cut_before_its_body_has_come() {
    let fixture = Arc::new(Fixture::new("ApiKey").await);
    let key = fixture.key().await.key;
    let (_send, running) = without_its_body(&fixture, &key).await;
    fixture.regenerate(Slot::Primary).await;
    assert_eq!(fixture.replica.open_count(), 0);
    assert!(running.await.unwrap().refusal().contains("regenerated"));
}

#[tokio::test]
async fn a_body_that_took_its_time_is_judged_by_what_the_app_is_when_it_ends() {
    let fixture = Arc::new(Fixture::new("ApiKey").await);
    let key = fixture.key().await.key;
    let (send, running) = without_its_body(&fixture, &key).await;
    let mut fewer = files("ApiKey");
    fewer[1].1 = json!({ "mcpServers": [{ "name": "desk", "description": "d",
        "tools": [{ "name": "Slow" }] }] })
    .to_string();
    fixture.serve(&fewer).await;
    send.unbounded_send(Ok(call_tool("Echo", json!({})).to_string())).unwrap();
    drop(send);
    assert_eq!(running.await.unwrap().json()["error"]["code"], -32602, "the tool is gone");
}

#[tokio::test]
async fn runs_are_bounded_and_a_revocation_makes_room_again() {
    let fixture = Arc::new(Fixture::new("ApiKey").await);
    let (busy, other) = (fixture.key().await, fixture.key().await.key);
    let running: Vec<_> = (0..gateway::limits::RUN_COUNT)
        .map(|_| {
            let request = request(DESK, Some(&busy.key), &call_tool("Slow", json!({})));
            let fixture = Arc::clone(&fixture);
            tokio::spawn(async move { fixture.send(request).await })
        })
        .collect();
    // Each call below gives the runs above time to begin.
    let refused = loop {
        let result = fixture.tool(DESK, &other, "Echo", json!({})).await;
        if result["isError"] == true {
            break result;
        }
    };
    assert_eq!(refused["structuredContent"]["error"]["code"], "TooManyRuns");
    fixture.revoke(RevokedId::Key(busy.id)).await;
    for call in running {
        assert_eq!(call.await.unwrap().status, 401);
    }
    while fixture.tool(DESK, &other, "Echo", json!({})).await["isError"] == true {}
}
