//! Upstreams that do not keep to HTTP.

use std::sync::Arc;

use http::StatusCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::upstream_http::{EDITOR, Upstream, fixture, ping};

/// Answers whatever it is asked with these bytes, and ends the connection.
async fn saying(bytes: &'static [u8]) -> Upstream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
            stream.write_all(bytes).await.unwrap();
        }
    });
    Upstream { url, heard: Arc::default() }
}

#[tokio::test]
async fn what_is_no_answer_in_http_is_a_bad_gateway_that_says_so() {
    for (bytes, words) in [
        (&b"\x00 garbage\r\n\r\n"[..], "is not HTTP"),
        (b"<html>", "is not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 7\r\n\r\n{}", "is not HTTP"),
        (b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", "101"),
        (b"HTTP/1.1 200 OK\r\nContent-Ty", "the connection ended before an answer came"),
        (b"", "the connection ended before an answer came"),
    ] {
        let upstream = saying(bytes).await;
        let fixture = fixture(&upstream).await;
        let answer = fixture.send(ping(EDITOR, &fixture.key().await.key)).await;
        assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{answer:?}");
        let refusal = answer.refusal();
        assert!(refusal.contains(words), "{refusal:?} does not say {words:?}");
    }
}

/// RFC 9112, 6.3.
#[tokio::test]
async fn a_length_that_does_not_count_is_not_passed_on() {
    let upstream = saying(
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    )
    .await;
    let fixture = fixture(&upstream).await;
    let answer = fixture.send(ping(EDITOR, &fixture.key().await.key)).await;
    assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, "{}"));
    assert_eq!(answer.header("content-length"), None);
    assert_eq!(answer.header("transfer-encoding"), None);
}
