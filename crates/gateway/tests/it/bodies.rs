use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use gateway::limits;
use http::StatusCode;
use http_body::Frame;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::harness::{DEFAULT, Fixture, bare, message, request};

/// A body that gives `left` chunks of 64 KiB, and then nothing for ever or its end.
struct Chunks {
    left: usize,
    ends: bool,
}

impl http_body::Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return if self.ends { Poll::Ready(None) } else { Poll::Pending };
        }
        self.left -= 1;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b' '; 64 * 1024])))))
    }
}

#[tokio::test]
async fn a_body_that_says_it_is_too_large_is_refused_unread() {
    let fixture = Fixture::new("Anonymous").await;
    let mut huge = bare(DEFAULT, Body::new(Chunks { left: 0, ends: false }));
    huge.headers_mut().insert("content-length", (1_u64 << 30).into());
    let answer = fixture.send(huge).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(answer.refusal().contains(&limits::BODY_BYTES.to_string()));
}

#[tokio::test]
async fn a_body_that_does_not_say_is_read_to_the_bound_and_no_further() {
    let fixture = Fixture::new("Anonymous").await;
    let endless = bare(DEFAULT, Body::new(Chunks { left: usize::MAX, ends: false }));
    assert_eq!(fixture.send(endless).await.status, StatusCode::PAYLOAD_TOO_LARGE);

    let message = message("tools/list", json!({})).to_string();
    let fits = message.clone() + &" ".repeat(limits::BODY_BYTES - message.len());
    assert_eq!(fixture.send(bare(DEFAULT, Body::from(fits.clone()))).await.status, 200);
    let answer = fixture.send(bare(DEFAULT, Body::from(fits + " "))).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_large_body_without_a_key_is_not_read_at_all() {
    let fixture = Fixture::new("ApiKey").await;
    let stuck = bare(DEFAULT, Body::new(Chunks { left: 0, ends: false }));
    assert_eq!(fixture.send(stuck).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_body_that_never_ends_is_given_up() {
    let fixture = Fixture::new("Anonymous").await;
    // The store's threads are done: from here only timers are left, and time may jump to them.
    tokio::time::pause();
    let stuck = bare(DEFAULT, Body::new(Chunks { left: 1, ends: false }));
    let answer = fixture.send(stuck).await;
    assert_eq!(answer.status, StatusCode::REQUEST_TIMEOUT);
    answer.refusal();
}

#[tokio::test]
async fn bodies_beyond_the_room_for_them_are_asked_to_come_again_and_small_ones_go_on() {
    let fixture = Arc::new(Fixture::new("Anonymous").await);
    // Each has sent nearly all that a body may have, and sends no more.
    let chunks = limits::BODY_BYTES / (64 * 1024) - 1;
    let stalled: Vec<_> = (0..limits::BODIES_KIB * 1024 / limits::BODY_BYTES + 4)
        .map(|_| {
            let fixture = Arc::clone(&fixture);
            let body = Body::new(Chunks { left: chunks, ends: false });
            tokio::spawn(async move { fixture.send(bare(DEFAULT, body)).await })
        })
        .collect();
    while !stalled.iter().any(JoinHandle::is_finished) {
        tokio::task::yield_now().await;
    }
    for request in stalled {
        if request.is_finished() {
            let answer = request.await.unwrap();
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
            assert!(answer.header("retry-after").is_some());
            answer.refusal();
        } else {
            request.abort();
        }
    }
    let small = fixture.call(DEFAULT, None, &message("tools/list", json!({}))).await;
    assert_eq!(small.status, 200);
}

#[tokio::test]
async fn what_is_not_one_message_is_refused_in_json() {
    let fixture = Fixture::new("Anonymous").await;
    let deep = "[".repeat(100_000);
    let one = message("tools/list", json!({})).to_string();
    for bad in
        ["", "{", "nonsense", "null", "7", "\"text\"", &deep, &format!("[{one},{one}]"), "{}"]
    {
        let answer = fixture.send(bare(DEFAULT, Body::from(bad.to_owned()))).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{:?}", bad.get(..20));
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert!(answer.json()["error"]["code"].is_i64());
        assert!(answer.json()["id"].is_null());
    }
    let not_utf8 = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}".to_vec();
    assert_eq!(fixture.send(bare(DEFAULT, Body::from(not_utf8))).await.status, 400);
}

#[tokio::test]
async fn another_media_type_is_refused_in_json() {
    let fixture = Fixture::new("Anonymous").await;
    let mut xml = request(DEFAULT, None, &message("tools/list", json!({})));
    xml.headers_mut().insert("content-type", "text/xml".parse().unwrap());
    let answer = fixture.send(xml).await;
    assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert!(answer.refusal().contains("Content-Type: application/json"));
}

#[tokio::test]
async fn a_client_that_takes_anything_is_served() {
    let fixture = Fixture::new("Anonymous").await;
    for accept in [Some("*/*"), None, Some("application/json, text/event-stream")] {
        let mut request = request(DEFAULT, None, &message("tools/list", json!({})));
        request.headers_mut().remove("accept");
        if let Some(accept) = accept {
            request.headers_mut().insert("accept", accept.parse().unwrap());
        }
        assert_eq!(fixture.send(request).await.status, 200, "{accept:?}");
    }
    let mut picky = request(DEFAULT, None, &message("tools/list", json!({})));
    picky.headers_mut().insert("accept", "text/html".parse().unwrap());
    let answer = fixture.send(picky).await;
    assert_eq!(answer.status, StatusCode::NOT_ACCEPTABLE);
    answer.refusal();
}
