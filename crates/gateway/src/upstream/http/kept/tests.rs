use axum::body::Body as AnyBody;
use futures::channel::mpsc;
use http::StatusCode;
use http_body_util::{BodyExt as _, StreamBody};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::upstream::http::connector;

const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone";
const CHUNKED: &str =
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\ndo\r\n2\r\nne\r\n0\r\n\r\n";

/// A server that is played by hand, and the connections to it.
struct Stage {
    listener: TcpListener,
    uri: Uri,
    connections: Arc<Connections>,
}

impl Stage {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}/mcp", listener.local_addr().unwrap()).parse().unwrap();
        Self { listener, uri, connections: Arc::new(Connections::new(connector())) }
    }

    async fn accept(&self) -> TcpStream {
        self.listener.accept().await.unwrap().0
    }

    async fn send(&self, body: AnyBody) -> Result<Response<Exchange>, Failure> {
        let arriving = Arriving { body, ..Arriving::default() };
        let mut request = Request::post("/mcp").body(arriving).unwrap();
        self.connections.send(&self.uri, self.uri.authority().unwrap(), &mut request).await
    }

    /// Sends an empty request and reads its whole answer.
    async fn ask(&self) -> Result<Bytes, Failure> {
        Ok(self.send(AnyBody::empty()).await?.collect().await.unwrap().to_bytes())
    }
}

/// Reads a request without a body, or the end of the connection.
async fn hear(stream: &mut TcpStream) -> String {
    let mut heard = Vec::new();
    while !heard.ends_with(b"\r\n\r\n") && stream.read_buf(&mut heard).await.unwrap() > 0 {}
    String::from_utf8(heard).unwrap()
}

#[tokio::test]
async fn one_connection_serves_one_request_after_another() {
    let stage = Stage::new().await;
    let upstream = async {
        let mut stream = stage.accept().await;
        for answer in [ANSWER, CHUNKED, ANSWER, CHUNKED] {
            assert!(hear(&mut stream).await.starts_with("POST /mcp HTTP/1.1\r\n"));
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        stream
    };
    let client = async {
        for _ in 0..4 {
            assert_eq!(stage.ask().await.unwrap(), "done");
        }
    };
    tokio::join!(upstream, client);
}

#[tokio::test]
async fn requests_at_the_same_time_have_a_connection_each() {
    let stage = Stage::new().await;
    let upstream = async {
        let (mut one, mut other) = (stage.accept().await, stage.accept().await);
        hear(&mut other).await;
        hear(&mut one).await;
        other.write_all(ANSWER.as_bytes()).await.unwrap();
        one.write_all(ANSWER.as_bytes()).await.unwrap();
    };
    let (_, one, other) = tokio::join!(upstream, stage.ask(), stage.ask());
    assert_eq!([one.unwrap(), other.unwrap()], ["done", "done"]);
}

#[tokio::test]
async fn what_the_upstream_closed_is_not_used_again() {
    let stage = Stage::new().await;
    let upstream = async {
        for _ in 0..3 {
            let mut stream = stage.accept().await;
            hear(&mut stream).await;
            stream.write_all(ANSWER.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            // Until the other side has noticed, which closes its own half.
            assert_eq!(hear(&mut stream).await, "");
        }
    };
    let client = async {
        for _ in 0..3 {
            assert_eq!(stage.ask().await.unwrap(), "done");
            // As a later request would find it, whenever that is.
            while stage.connections.kept().values().any(|there| !there.is_empty()) {
                stage.connections.tidy();
                tokio::task::yield_now().await;
            }
        }
    };
    tokio::join!(upstream, client);
}

#[tokio::test]
async fn a_request_of_which_a_closing_upstream_has_seen_nothing_is_sent_again() {
    let stage = Stage::new().await;
    let serve = async || {
        let mut stream = stage.accept().await;
        hear(&mut stream).await;
        stream.write_all(ANSWER.as_bytes()).await.unwrap();
        stream
    };
    let (stream, answer) = tokio::join!(serve(), stage.ask());
    assert_eq!(answer.unwrap(), "done");
    drop(stream);
    // The runtime is told of this connection after it is told of that one's end.
    let address = stage.listener.local_addr().unwrap();
    tokio::join!(stage.accept(), async { TcpStream::connect(address).await.unwrap() });
    assert_eq!(stage.connections.kept().len(), 1);
    let (_stream, answer) = tokio::join!(serve(), stage.ask());
    assert_eq!(answer.unwrap(), "done");
}

#[tokio::test]
async fn a_request_that_an_upstream_may_have_read_is_not_sent_again() {
    let stage = Stage::new().await;
    let upstream = async {
        let mut stream = stage.accept().await;
        hear(&mut stream).await;
        stream.write_all(ANSWER.as_bytes()).await.unwrap();
        hear(&mut stream).await;
    };
    let client = async {
        assert_eq!(stage.ask().await.unwrap(), "done");
        assert!(matches!(stage.ask().await, Err(Failure::Exchange(_))));
    };
    tokio::join!(upstream, client);
}

#[tokio::test]
async fn an_answer_that_ends_before_its_length_is_an_error() {
    let stage = Stage::new().await;
    let upstream = async {
        let mut stream = stage.accept().await;
        hear(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ndone").await.unwrap();
    };
    let client = async {
        let answer = stage.send(AnyBody::empty()).await.unwrap();
        assert!(answer.collect().await.is_err());
        assert!(stage.connections.kept().is_empty());
    };
    tokio::join!(upstream, client);
}

#[tokio::test]
async fn an_answer_that_nobody_wants_any_more_ends_its_connection() {
    let stage = Stage::new().await;
    let upstream = async {
        let mut stream = stage.accept().await;
        hear(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ndone").await.unwrap();
        assert_eq!(hear(&mut stream).await, "");
    };
    let client = async { drop(stage.send(AnyBody::empty()).await.unwrap()) };
    tokio::join!(upstream, client);
}

#[tokio::test]
async fn what_waits_for_too_long_is_closed() {
    let stage = Stage::new().await;
    let upstream = async {
        let mut stream = stage.accept().await;
        hear(&mut stream).await;
        stream.write_all(ANSWER.as_bytes()).await.unwrap();
        stream
    };
    let (mut stream, answer) = tokio::join!(upstream, stage.ask());
    assert_eq!(answer.unwrap(), "done");
    let times = limits::UPSTREAM_IDLE.as_secs() / limits::UPSTREAM_TIDY.as_secs();
    for _ in 1..times {
        stage.connections.tidy();
        assert_eq!(stage.connections.kept().len(), 1);
    }
    stage.connections.tidy();
    assert!(stage.connections.kept().is_empty());
    assert_eq!(hear(&mut stream).await, "");
}

/// A client may take nothing of its answer before all of its request is sent.
#[tokio::test]
async fn a_request_goes_on_while_nobody_takes_its_answer_and_after_it() {
    const PART: usize = 64 * 1024;
    const PARTS: usize = 256;
    let stage = Stage::new().await;
    let (mut parts, body) = mpsc::channel::<Result<Frame<Bytes>, std::io::Error>>(0);
    let upstream = async {
        let mut stream = stage.accept().await;
        stream.write_all(ANSWER.as_bytes()).await.unwrap();
        let mut taken = 0;
        while taken < PART * PARTS {
            taken += stream.read(&mut vec![0; PART]).await.unwrap();
        }
        stream
    };
    let client = async {
        let answer = stage.send(AnyBody::new(StreamBody::new(body))).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let mut answer = Some(answer);
        for part in 0..PARTS {
            if part == PARTS / 2 {
                // Nor after it has taken all of it.
                let whole = answer.take().unwrap().collect().await.unwrap().to_bytes();
                assert_eq!(whole, "done");
            }
            poll_fn(|cx| parts.poll_ready(cx)).await.unwrap();
            parts.try_send(Ok(Frame::data(Bytes::from(vec![b'x'; PART])))).unwrap();
        }
        drop(parts);
    };
    tokio::join!(upstream, client);
}

#[tokio::test]
async fn what_comes_before_an_answer_breaks_off_can_be_written_first() {
    let stage = Stage::new().await;
    let upstream = async {
        let mut stream = stage.accept().await;
        hear(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ndone").await.unwrap();
    };
    let (_, answer) = tokio::join!(upstream, stage.send(AnyBody::empty()));
    let mut answer = answer.unwrap();
    let frame = answer.frame().await.unwrap().unwrap();
    assert_eq!(frame.data_ref().unwrap(), "done");
    let mut polls = 0;
    let failure = poll_fn(|cx| {
        polls += 1;
        Pin::new(&mut answer).poll_frame(cx)
    });
    assert!(failure.await.unwrap().is_err());
    assert!(polls > 1, "nothing is written while it is polled");
}

#[tokio::test]
async fn an_answer_that_does_not_begin_is_not_waited_for_for_ever() {
    let stage = Stage::new().await;
    let mut stream = None;
    let upstream = async {
        let mut accepted = stage.accept().await;
        hear(&mut accepted).await;
        accepted.write_all(ANSWER.as_bytes()).await.unwrap();
        stream = Some(accepted);
    };
    let ((), answer) = tokio::join!(upstream, stage.ask());
    assert_eq!(answer.unwrap(), "done");
    tokio::time::pause();
    let asked = Instant::now();
    assert!(matches!(stage.ask().await, Err(Failure::Late)));
    assert!(asked.elapsed() >= limits::FIRST_BYTE);
    // Whoever waits no longer says so.
    let mut stream = stream.unwrap();
    assert!(hear(&mut stream).await.starts_with("POST /mcp HTTP/1.1\r\n"));
    assert_eq!(hear(&mut stream).await, "");
}
