//! Opens many SSE streams, has the access key regenerated that their API key is derived from, and says how long
//! each of them went on.
//!
//! `cut http1|http2 HOST:PORT PATH COUNT MANAGE_HOST:PORT`, with the API key in the variable `KEY` and the
//! operator's token in `TOKEN` (where an argument would show them to everyone on the machine). Prints a line when
//! all streams are open, waits for a line on its standard input, and then prints one line of JSON: when the
//! call returned and when the streams ended, in milliseconds from the sending of the call.

use std::error::Error;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

type Failure = Box<dyn Error + Send + Sync>;

/// As many streams as Keyward takes on one connection.
const STREAMS_PER_CONNECTION: usize = 250;

const USAGE: &str = "usage: cut http1|http2 HOST:PORT PATH COUNT MANAGE_HOST:PORT";

/// What a connection's requests go by.
enum Sender {
    Http1(http1::SendRequest<Empty<Bytes>>),
    Http2(http2::SendRequest<Empty<Bytes>>),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [protocol, address, path, count, manage] = arguments.as_slice() else {
        return Err(USAGE.into());
    };
    let per_connection = match protocol.as_str() {
        "http1" => 1,
        "http2" => STREAMS_PER_CONNECTION,
        _ => return Err(USAGE.into()),
    };
    let (key, token) = (std::env::var("KEY")?, std::env::var("TOKEN")?);
    let count: usize = count.parse()?;
    let mut streams = Vec::with_capacity(count);
    // A connection ends with what sends its requests.
    let mut senders = Vec::new();
    while streams.len() < count {
        let mut sender = connect(address, per_connection > 1).await?;
        for _ in 0..per_connection.min(count - streams.len()) {
            streams.push(open(&mut sender, address, path, &key).await?);
        }
        senders.push(sender);
    }
    println!("open {}", streams.len());
    // The caller says when it has looked at what it wants to look at.
    std::io::stdin().read_line(&mut String::new())?;

    let mut ends = JoinSet::new();
    for mut stream in streams {
        ends.spawn(async move {
            while let Some(Ok(_)) = stream.frame().await {}
            Instant::now()
        });
    }
    tokio::task::yield_now().await;
    let called = Instant::now();
    regenerate(manage, &token).await?;
    let returned = called.elapsed();
    let ended = ends.join_all().await;
    let mut ended: Vec<f64> =
        ended.iter().map(|end| (*end - called).as_secs_f64() * 1e3).collect();
    ended.sort_by(f64::total_cmp);
    let (median, last) = (ended[ended.len() / 2], ended[ended.len() - 1]);
    println!(
        r#"{{"streams":{},"returned_ms":{:.2},"median_ms":{median:.2},"last_ms":{last:.2}}}"#,
        ended.len(),
        returned.as_secs_f64() * 1e3,
    );
    Ok(())
}

async fn connect(address: &str, is_http2: bool) -> Result<Sender, Failure> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let stream = TokioIo::new(stream);
    if is_http2 {
        let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
        tokio::spawn(connection);
        Ok(Sender::Http2(sender))
    } else {
        let (sender, connection) = http1::handshake(stream).await?;
        tokio::spawn(connection);
        Ok(Sender::Http1(sender))
    }
}

/// Opens one stream, and returns once its first event has come.
async fn open(
    sender: &mut Sender,
    address: &str,
    path: &str,
    key: &str,
) -> Result<Incoming, Failure> {
    let request = Request::get(match sender {
        Sender::Http1(_) => path.to_owned(),
        Sender::Http2(_) => format!("http://{address}{path}"),
    });
    let request = request
        .header("host", address)
        .header("accept", "text/event-stream")
        .header("mcp-protocol-version", "2025-11-25")
        .header("x-api-key", key)
        .body(Empty::new())?;
    let answer: Response<Incoming> = match sender {
        Sender::Http1(sender) => sender.send_request(request).await?,
        Sender::Http2(sender) => sender.send_request(request).await?,
    };
    if answer.status() != 200 {
        return Err(format!("a stream was answered with {}", answer.status()).into());
    }
    let mut body = answer.into_body();
    body.frame().await.ok_or("a stream ended before its first event")??;
    Ok(body)
}

async fn regenerate(manage: &str, token: &str) -> Result<(), Failure> {
    let stream = TcpStream::connect(manage).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let path = "/runtime/webhooks/workflow/api/management/regenerateMcpServerAccessKey";
    let request = Request::post(path)
        .header("host", manage)
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {token}"))
        .body(Full::<Bytes>::from(r#"{"keyType":"primary"}"#))?;
    let answer = sender.send_request(request).await?;
    if answer.status() != 200 {
        return Err(format!("the regeneration was answered with {}", answer.status()).into());
    }
    Ok(())
}
