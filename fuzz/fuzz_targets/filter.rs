//! Any bytes as an upstream's answer, in any chunks: nothing panics, chunks make no difference, and
//! no tool that is not kept is in what passes.

#![no_main]

mod gateway;
use gateway::{limits, refusal};

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use futures::executor::block_on;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|data: &[u8]| {
    let Some((head, data)) = data.split_first_chunk::<4>() else { return };
    let body = gateway::message(data);
    let (media_type, is_stream) = match head[0] % 2 {
        0 => ("application/json", false),
        _ => ("text/event-stream", true),
    };
    let whole = reduced(media_type, &body, &[usize::MAX]);
    let sizes = head.map(|size| usize::from(size % 16) + 1);
    let chunked = reduced(media_type, &body, &sizes);
    match (&whole, &chunked) {
        (Ok(whole), Ok(chunked)) => assert_eq!(whole, chunked),
        (Err(_), Err(_)) => return,
        _ => panic!("chunks make a difference"),
    }
    let Ok(passed) = whole else { return };
    assert_eq!(reduced(media_type, &passed, &[usize::MAX]).as_ref(), Ok(&passed));
    let text = String::from_utf8_lossy(&passed);
    if is_stream {
        events(&text).iter().for_each(|data| harmless(data));
    } else {
        harmless(&text);
    }
});

fn reduced(media_type: &'static str, body: &[u8], sizes: &[usize]) -> Result<Vec<u8>, ()> {
    let mut rest = body;
    let mut sizes = sizes.iter().cycle();
    let frames: Vec<Result<Frame<Bytes>, std::io::Error>> = std::iter::from_fn(|| {
        let (chunk, after) = rest.split_at(rest.len().min(*sizes.next()?));
        rest = after;
        (!chunk.is_empty()).then(|| Ok(Frame::data(Bytes::copy_from_slice(chunk))))
    })
    .collect();
    let mut response = Response::new(Body::new(StreamBody::new(futures::stream::iter(frames))));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    let keep = Arc::new(|tool: &str| tool != "write");
    let answer = gateway::filter::reduce(response, keep);
    block_on(answer.into_body().collect()).map(|body| body.to_bytes().to_vec()).map_err(|_| ())
}

/// The data of each event, read once more and more simply: with one kind of line end.
fn events(text: &str) -> Vec<String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let data = |event: &str| {
        let lines = event.split('\n').filter_map(|line| line.strip_prefix("data:"));
        lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n")
    };
    text.split("\n\n").map(data).collect()
}

fn harmless(data: &str) {
    let Ok(message) = serde_json::from_str::<Value>(data) else { return };
    let batch = [message];
    let messages = batch.iter().flat_map(|message| match message {
        Value::Array(messages) => messages.iter().collect(),
        message => vec![message],
    });
    for message in messages {
        let Some(tools) = message.pointer("/result/tools").and_then(Value::as_array) else {
            continue;
        };
        assert!(tools.iter().all(|tool| tool["name"] != "write"), "{data}");
    }
}
