use futures::StreamExt as _;
use reqwest::StatusCode;

use super::Way;
use super::client::{Client, read};
use super::ring::Held;
use crate::history::Answer;
use crate::record::Recorder;
use crate::upstream::take_stamps;

/// Opens a stream and takes down what arrives, until it ends.
pub(super) async fn watch(
    client: &Client,
    recorder: &Recorder,
    way: &Way,
    held: &Held,
    by_get: bool,
) {
    let began = recorder.now();
    let asked = (held.record, way.via, began);
    let Some(response) = client.open(way, held, by_get).await else {
        recorder.answered(asked, Answer::Unavailable, None);
        return;
    };
    if response.status() != StatusCode::OK {
        let status = response.status();
        let body = response.text().await.unwrap_or_default();
        recorder.answered(asked, read(status, &body), None);
        return;
    }
    recorder.answered(asked, Answer::Admitted(200), None);
    let stream = recorder.stream_begins(held.record, way.via, began);
    let mut parts = response.bytes_stream();
    let mut arrived = Vec::new();
    while let Some(Ok(part)) = parts.next().await {
        arrived.extend_from_slice(&part);
        for (number, emitted) in take_stamps(&mut arrived) {
            recorder.event(stream, number, emitted);
        }
    }
    recorder.stream_ends(stream);
}
