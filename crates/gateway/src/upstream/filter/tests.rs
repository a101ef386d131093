use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

use http::HeaderValue;
use http_body_util::{BodyExt as _, StreamBody};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn keep_read() -> Keep {
    Arc::new(|tool| tool == "read" || tool == "größe")
}

fn response(content_type: &str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    let content_type = HeaderValue::from_str(content_type).unwrap();
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

fn chunked(chunks: impl IntoIterator<Item = Vec<u8>>) -> Body {
    let frames: Vec<_> =
        chunks.into_iter().map(|chunk| Ok::<_, Infallible>(Frame::data(chunk.into()))).collect();
    Body::new(StreamBody::new(futures::stream::iter(frames)))
}

/// Reads to the end, or to the error.
fn read(response: Response<Body>) -> Result<String, String> {
    let body = futures::executor::block_on(response.into_body().collect());
    let bytes = body.map_err(|error| error.to_string())?.to_bytes();
    Ok(String::from_utf8(bytes.to_vec()).unwrap())
}

fn reduced_json(body: &str) -> String {
    read(reduce(response("application/json", body.to_owned()), keep_read())).unwrap()
}

fn reduced_events(body: &str) -> String {
    read(reduce(response("text/event-stream", body.to_owned()), keep_read())).unwrap()
}

fn list() -> String {
    let tools = json!([
        { "name": "read", "inputSchema": { "type": "object" }, "z": 1, "a": [1.0, 2e3] },
        { "name": "write", "description": "tools" },
        { "name": "größe" },
        { "name": "READ" },
    ]);
    json!({ "jsonrpc": "2.0", "id": 1, "result": { "tools": tools, "nextCursor": "c", "ttlMs": 5 } })
        .to_string()
}

fn list_of_kept() -> String {
    let mut list: Value = serde_json::from_str(&list()).unwrap();
    let tools = list["result"]["tools"].as_array_mut().unwrap();
    tools.retain(|tool| ["read", "größe"].contains(&tool["name"].as_str().unwrap()));
    list.to_string()
}

#[test]
fn a_list_holds_the_tools_that_are_kept_and_the_rest_of_it_as_it_was() {
    assert_eq!(reduced_json(&list()), list_of_kept());
    let batch = format!("[{}, {} ]", list(), list_of_kept());
    assert_eq!(reduced_json(&batch), format!("[{},{}]", list_of_kept(), list_of_kept()));
}

#[test]
fn what_lists_no_tools_that_are_not_kept_passes_to_the_byte() {
    for body in [
        r#" {"jsonrpc" :"2.0","id":1,"result":{"tools":[{"name":"read"}],"x":"\u0041"} } "#,
        r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[ ]}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{"tools":{"listChanged":true}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{"capabilities":{"tools":[{"name":"write"}]}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":[{"tools":[{"name":"write"}]}]}"#,
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"no"}}"#,
        r#"{"jsonrpc":"2.0","method":"m","params":{"tools":[{"name":"write"}]}}"#,
        "[]",
        "null",
        "",
    ] {
        assert_eq!(reduced_json(body), body);
        let events = format!(": c\r\nid: 1\revent: message\ndata: {body}\n\n");
        assert_eq!(reduced_events(&events), events);
    }
}

#[test]
fn whichever_of_two_members_a_client_reads_it_was_judged() {
    let write = r#"[{"name":"write"}]"#;
    for hostile in [
        format!(r#"{{"result":{{"tools":[],"tools":{write}}}}}"#),
        format!(r#"{{"result":{{"tools":{write},"tools":[]}}}}"#),
        format!(r#"{{"result":{{}},"result":{{"tools":{write}}}}}"#),
        format!(r#"{{"Result":{{"TOOLS":{write}}}}}"#),
        format!(r#"{{"re\u017fult":{{"tool\u0073":{write}}}}}"#),
        r#"{"result":{"tools":[{"name":"read","name":"write"}]}}"#.to_owned(),
        r#"{"result":{"tools":[{"name":"read","Name":"write"}]}}"#.to_owned(),
        r#"{"result":{"tools":[{"name":"read","n\u0061me":"write"}]}}"#.to_owned(),
        r#"{"result":{"tools":[{"title":"write"},{"name":["write"]},"write",["write"],null]}}"#
            .to_owned(),
    ] {
        let body = reduced_json(&hostile);
        assert!(!body.contains("write"), "{hostile} became {body}");
        let events = reduced_events(&format!("data: {hostile}\n\n"));
        assert!(!events.contains("write"), "{hostile} became {events}");
    }
}

/// Streams as hard as the format allows, and what becomes of them.
fn streams() -> Vec<(String, String)> {
    let (list, kept) = (list(), list_of_kept());
    let (start, end) = list.split_at(list.find("\"result\"").unwrap());
    let (kept_start, kept_end) = kept.split_at(kept.find("\"result\"").unwrap());
    assert_eq!(start, kept_start);
    let mut streams = vec![
        (
            format!("data: {start}\ndata: {end}\nid: 7\n\n"),
            format!("data: {kept_start}{kept_end}\nid: 7\n\n"),
        ),
        (
            format!("\u{feff}data:{list}\n\n: ping\n\ndata: {{}}\n\nid\n\nretry: 5\ndata\n\n"),
            format!("\u{feff}data: {kept}\n\n: ping\n\ndata: {{}}\n\nid\n\nretry: 5\ndata\n\n"),
        ),
        (
            format!("event: ping\ndata: {{not json\n\nevent: message\ndata: {list}\nx: é\n\n"),
            format!("event: ping\ndata: {{not json\n\nevent: message\ndata: {kept}\nx: é\n\n"),
        ),
        // The end of an event that its client will not see is judged all the same.
        (format!("data: {list}"), format!("data: {kept}\n")),
        (format!("data: {list}\n"), format!("data: {kept}\n")),
    ];
    for (stream, kept) in streams.clone() {
        for end in ["\r\n", "\r"] {
            streams.push((stream.replace('\n', end), kept.replace('\n', end)));
        }
    }
    // Without an end of its own to repeat, a line ends with a line feed.
    for (stream, kept) in &mut streams {
        if !stream.ends_with(['\r', '\n']) {
            *kept = format!("{}\n", kept.trim_end());
        }
    }
    streams
}

#[test]
fn events_are_reduced_wherever_their_chunks_begin_and_end() {
    for (stream, kept) in streams() {
        for at in 0..=stream.len() {
            let (one, two) = stream.as_bytes().split_at(at);
            let body = chunked([one.to_vec(), two.to_vec()]);
            let body = read(reduce(response("text/event-stream", body), keep_read())).unwrap();
            assert_eq!(body, kept, "{stream:?} cut at {at}");
        }
        let bytes = chunked(stream.bytes().map(|byte| vec![byte]));
        assert_eq!(read(reduce(response("text/event-stream", bytes), keep_read())).unwrap(), kept);
    }
}

#[test]
fn an_event_passes_as_soon_as_it_is_complete() {
    let mut events = Events::default();
    let keep = keep_read();
    assert_eq!(events.push(b"data: {}\n", &keep).unwrap(), "");
    assert_eq!(events.push(b"\r", &keep).unwrap(), "data: {}\n\r");
    // The line feed belongs to the end that has passed already.
    assert_eq!(events.push(b"\n: a\r\n\r\n: b", &keep).unwrap(), "\n: a\r\n\r\n");
    assert_eq!(events.push(b"\n\n", &keep).unwrap(), ": b\n\n");
}

#[test]
fn what_cannot_be_judged_ends_the_answer_with_an_error() {
    let write = r#"{"result":{"tools":[{"name":"write"}]}}"#;
    for body in [&format!("{write}x"), "{", r#"{"result":NaN}"#, "not json"] {
        let answer = reduce(response("application/json", body.to_owned()), keep_read());
        assert!(read(answer).unwrap_err().contains("not JSON-RPC"), "{body}");
        let events = format!("data: {{}}\n\ndata: {body}\n\ndata: {{}}\n\n");
        let answer = reduce(response("text/event-stream", events), keep_read());
        assert!(read(answer).unwrap_err().contains("not JSON-RPC"), "{body}");
    }
    let answer = reduce(response("application/json", b"\"\xff\"".to_vec()), keep_read());
    assert!(read(answer).is_err());
    let answer = reduce(response("text/event-stream", b"data: \"\xff\"\n\n".to_vec()), keep_read());
    assert!(read(answer).is_err());
}

#[test]
fn what_is_larger_than_its_bound_ends_the_answer_and_what_fits_passes() {
    let fitting = format!("\"{}\"", "a".repeat(limits::FILTERED_BYTES - 2));
    assert_eq!(reduced_json(&fitting).len(), limits::FILTERED_BYTES);
    let answer = reduce(response("application/json", format!("{fitting} ")), keep_read());
    assert!(read(answer).unwrap_err().contains("larger than"));

    let comment = format!(":{}\n\n", "a".repeat(limits::FILTERED_BYTES - 3));
    let twice = format!("{comment}{comment}");
    assert_eq!(reduced_events(&twice).len(), 2 * limits::FILTERED_BYTES);
    let answer = reduce(response("text/event-stream", format!("a{comment}")), keep_read());
    assert!(read(answer).unwrap_err().contains("larger than"));
}

#[test]
fn an_answer_that_breaks_off_breaks_off() {
    for (content_type, seen) in [("application/json", ""), ("text/event-stream", "data: {}\n\n")] {
        let chunks = [Ok("data: {}\n\ndata: {\"r"), Err("reset")].map(|it| it.map(Frame::data));
        let frames = futures::stream::iter(chunks.map(|it| it.map(|it| it.map_data(Bytes::from))));
        let answer =
            reduce(response(content_type, Body::new(StreamBody::new(frames))), keep_read());
        let mut body = answer.into_body();
        let mut passed = String::new();
        let error = loop {
            match futures::executor::block_on(body.frame()).unwrap() {
                Ok(frame) => passed.push_str(str::from_utf8(&frame.into_data().unwrap()).unwrap()),
                Err(error) => break error.to_string(),
            }
        };
        assert_eq!((passed.as_str(), error.as_str()), (seen, "the upstream's answer broke off"));
        assert!(futures::executor::block_on(body.frame()).is_none());
    }
}

#[test]
fn headers_that_speak_of_the_bytes_go_and_others_stay() {
    let mut answer = response("application/json; charset=utf-8", list());
    for name in ["content-length", "etag", "content-md5", "content-digest", "digest", "x-kept"] {
        answer.headers_mut().insert(name, HeaderValue::from_static("1"));
    }
    answer.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("Identity"));
    let answer = reduce(answer, keep_read());
    let mut names: Vec<&str> = answer.headers().keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-encoding", "content-type", "x-kept"]);
    assert_eq!(read(answer).unwrap(), list_of_kept());
}

#[test]
fn trailers_do_not_pass() {
    let mut trailers = HeaderMap::new();
    trailers.insert("digest", HeaderValue::from_static("1"));
    let frames: VecDeque<Frame<Bytes>> =
        [Frame::data(Bytes::from("{}")), Frame::trailers(trailers)].into();
    let frames = futures::stream::iter(frames.into_iter().map(Ok::<_, Infallible>));
    let answer =
        reduce(response("application/json", Body::new(StreamBody::new(frames))), keep_read());
    let collected = futures::executor::block_on(answer.into_body().collect()).unwrap();
    assert!(collected.trailers().is_none());
}

#[test]
fn an_answer_that_can_hold_no_list_is_answered_for_unless_it_is_an_error_or_empty() {
    for content_type in ["text/plain", "application/json-seq", "", "application/octet-stream"] {
        let answer = reduce(response(content_type, list()), keep_read());
        assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
        let body: Value = serde_json::from_str(&read(answer).unwrap()).unwrap();
        assert_eq!((&body["id"], &body["error"]["code"]), (&Value::Null, &json!(CODE)));

        let mut refusal = response(content_type, "no such session");
        *refusal.status_mut() = StatusCode::NOT_FOUND;
        let refusal = reduce(refusal, keep_read());
        assert_eq!(refusal.status(), StatusCode::NOT_FOUND);
        assert_eq!(read(refusal).unwrap(), "no such session");
    }
    let mut twice = response("application/json", list());
    twice.headers_mut().append(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    assert_eq!(reduce(twice, keep_read()).status(), StatusCode::BAD_GATEWAY);

    let mut accepted = Response::new(Body::empty());
    *accepted.status_mut() = StatusCode::ACCEPTED;
    assert_eq!(reduce(accepted, keep_read()).status(), StatusCode::ACCEPTED);
}

#[test]
fn a_compressed_answer_is_answered_for() {
    for encoding in ["gzip", "identity, gzip", "br"] {
        let mut answer = response("application/json", list());
        answer.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_str(encoding).unwrap());
        assert_eq!(reduce(answer, keep_read()).status(), StatusCode::BAD_GATEWAY);
    }
}

/// What means something in an event stream, and what clients differ about.
const PIECES: [&str; 24] = [
    "\n",
    "\r",
    "\r\n",
    "\n\n",
    "\r\r",
    "\r\n\r\n",
    "\u{feff}",
    "data",
    "data:",
    "data: ",
    "id: 1",
    "event: x",
    "event: message",
    ": c",
    "é",
    "{}",
    "{",
    "}",
    "{\"result\":{\"tools\":[",
    "{\"name\":\"read\"}",
    ",",
    "{\"name\":\"write\"}",
    "]}}",
    "data: {\"result\":{\"tools\":[{\"name\":\"write\"}]}}\n",
];

#[test]
fn what_is_only_accepted_passes_without_a_type() {
    // An empty body of unknown length does not show that it is at its end.
    let mut accepted = Response::new(chunked(std::iter::empty::<Vec<u8>>()));
    *accepted.status_mut() = StatusCode::ACCEPTED;
    let passed = reduce(accepted, keep_read());
    assert_eq!(passed.status(), StatusCode::ACCEPTED);
    assert_eq!(read(passed).unwrap(), "");
}

#[test]
fn batches_within_batches_end_the_answer_however_deep_they_are() {
    for depth in [2, 200_000] {
        let nested = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(read(reduce(response("application/json", nested.clone()), keep_read())).is_err());
        let event = format!("data: {nested}\n\n");
        assert!(read(reduce(response("text/event-stream", event), keep_read())).is_err());
    }
}

proptest! {
    #[test]
    fn chunks_make_no_difference_and_what_passed_passes_again(
        pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..24),
        sizes in prop::collection::vec(1_usize..9, 1..5),
    ) {
        let stream = pieces.concat();
        let mut rest = stream.as_bytes();
        let mut sizes = sizes.into_iter().cycle();
        let chunks = std::iter::from_fn(|| {
            let (chunk, after) = rest.split_at(rest.len().min(sizes.next()?));
            rest = after;
            (!chunk.is_empty()).then(|| chunk.to_vec())
        });
        let chunked = read(reduce(response("text/event-stream", chunked(chunks)), keep_read()));
        let whole = read(reduce(response("text/event-stream", stream.clone()), keep_read()));
        prop_assert_eq!(&whole, &chunked);
        if let Ok(passed) = whole {
            prop_assert_eq!(reduced_events(&passed), passed);
        }
    }
}
