//! A listener: connections in, requests to a router, an orderly end.

mod in_flight;
mod prompt;
mod survive;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use gateway::{Hangup, limits as bounds};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service;
use tracing::{debug, warn};

use self::in_flight::InFlight;
use self::prompt::Prompt;
use self::survive::survive;
use crate::error::{Error, Result};
use crate::limits;

/// The steps of an end: no requests on old connections; then no new ones; then none at all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shutdown {
    /// Everything goes on, and each connection ends with its next answer.
    pub(crate) drain: CancellationToken,
    /// Listeners stop accepting, and connections end with the requests that they have.
    pub(crate) soft: CancellationToken,
    /// Connections end at once.
    pub(crate) hard: CancellationToken,
}

/// Takes an address.
pub(crate) async fn bind(address: SocketAddr, what: &str) -> Result<(TcpListener, SocketAddr)> {
    let bound = async {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    bound.await.map_err(|error: io::Error| match error.kind() {
        io::ErrorKind::AddrInUse => Error::InUse(format!(
            "another process listens on {address}, the address of the {what}: end it, or choose \
             another port (0 takes a free one)"
        )),
        _ => Error::io(format!("listen on {address} for the {what}"))(error),
    })
}

/// What answers requests, and is always ready to.
pub(crate) trait Answer:
    Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static
{
}

impl<S> Answer for S where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static
{
}

/// Answers a listener's requests until the shutdown, those of each connection with what `service` makes
/// for it; connections run on `tasks`.
pub(crate) async fn serve<A: Answer>(
    listener: TcpListener,
    service: impl Fn(Hangup) -> A,
    most_connections: usize,
    shutdown: Shutdown,
    tasks: TaskTracker,
) {
    let server = Arc::new(server());
    let places = Arc::new(Semaphore::new(most_connections));
    let mut pause = limits::ACCEPT_PAUSE;
    loop {
        let accepted = async {
            // One who finds no place waits in the kernel's queue.
            let place = Arc::clone(&places).acquire_owned().await.map_err(io::Error::other)?;
            let (stream, _) = listener.accept().await?;
            Ok::<_, io::Error>((place, stream))
        };
        let (place, stream) = tokio::select! {
            () = shutdown.soft.cancelled() => return,
            accepted = accepted => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    rest(&error, &mut pause).await;
                    continue;
                }
            }
        };
        pause = limits::ACCEPT_PAUSE;
        // Events are small and must not wait for more; a socket that refuses this works all the same.
        drop(stream.set_nodelay(true));
        // What ends all connections ends this one.
        let hangup = Hangup(shutdown.hard.child_token());
        let (server, shutdown) = (Arc::clone(&server), shutdown.clone());
        let service = service(hangup.clone());
        tasks.spawn(async move {
            converse(&server, stream, service, hangup, shutdown).await;
            drop(place);
        });
    }
}

/// A connection that broke before it was accepted is its client's matter; anything else (too many
/// open files, no memory) passes by itself, and asking again at once would only burn time.
async fn rest(error: &io::Error, pause: &mut Duration) {
    if matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    ) {
        return;
    }
    warn!(%error, "Cannot accept a connection now: {error}");
    tokio::time::sleep(*pause).await;
    *pause = (*pause * 2).min(limits::ACCEPT_PAUSE_MOST);
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    server: &auto::Builder<TokioExecutor>,
    stream: S,
    service: impl Answer,
    hangup: Hangup,
    shutdown: Shutdown,
) {
    let in_flight = InFlight::new();
    let service = {
        let in_flight = in_flight.clone();
        service_fn(move |request: hyper::Request<Incoming>| {
            let begun = in_flight.begin_request(request.version());
            let answer = survive(service.clone().call(request.map(Body::new)));
            async move { Ok::<_, Infallible>(begun.until_end_of(answer.await)) }
        })
    };
    let stream = TokioIo::new(Prompt::new(stream, bounds::HEADER_TIME));
    let mut connection = std::pin::pin!(server.serve_connection(stream, service));
    let (hung_up, in_flight) = (&hangup.0, &in_flight);
    let Shutdown { drain, soft, .. } = &shutdown;
    let turn = |turn| async move {
        match turn {
            Turn::HangUp => hung_up.cancelled().await,
            Turn::Idle => in_flight.none_for(bounds::HEADER_TIME).await,
            Turn::Draining => drain.cancelled().await,
            Turn::Ending => soft.cancelled().await,
        }
        turn
    };
    // Asked only once one of them has something to say: no request pays for what rarely comes.
    let mut turns: FuturesUnordered<_> =
        [Turn::HangUp, Turn::Idle, Turn::Draining].into_iter().map(turn).collect();
    let mut ending = false;
    loop {
        tokio::select! {
            // What ends the connection at once comes before what would still write to it.
            biased;
            Some(turned) = turns.next() => match turned {
                Turn::HangUp => return,
                // HTTP/2 by itself lets a client stay that only answers pings, and either HTTP one that
                // does not take its answer: it gets the same time once more.
                Turn::Idle if ending => return,
                Turn::Idle | Turn::Draining | Turn::Ending => {
                    match turned {
                        Turn::Idle => turns.push(turn(Turn::Idle)),
                        Turn::Draining => turns.push(turn(Turn::Ending)),
                        Turn::HangUp | Turn::Ending => {}
                    }
                    // A GOAWAY is understood before it ends anything; over HTTP/1.1 an idle connection
                    // could end under the next request.
                    let ends = turned != Turn::Draining || in_flight.drain();
                    if ends && !ending {
                        ending = true;
                        connection.as_mut().graceful_shutdown();
                    }
                }
            },
            ended = &mut connection => {
                if let Err(error) = ended {
                    debug!(error, "A connection ended early: {error}");
                }
                return;
            }
        }
    }
}

/// What happens to a connection but for its requests.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// It is to end now.
    HangUp,
    /// Nothing has been under way for long.
    Idle,
    /// The listener will end, and goes on until then.
    Draining,
    /// The listener ends.
    Ending,
}

fn server() -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        // `InFlight` limits the time of headers, without a timer for each request.
        .header_read_timeout(None)
        .max_headers(bounds::HEADER_COUNT)
        .max_buf_size(bounds::HEADER_BYTES);
    server
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(limits::PING_AFTER)
        .keep_alive_timeout(limits::PONG_WITHIN)
        .max_concurrent_streams(bounds::STREAMS_PER_CONNECTION)
        .max_header_list_size(u32::try_from(bounds::HEADER_BYTES).unwrap_or(u32::MAX));
    server
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use axum::body::Bytes;
    use axum::http::StatusCode;
    use axum::routing::get;
    use axum::{Extension, Router, body};
    use hyper::client::conn::http2;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::runtime::Builder;
    use tokio::time::timeout;

    use super::*;

    /// Types of frames (RFC 9113, 6).
    const DATA: u8 = 0;
    const PING: u8 = 6;

    /// Longer than anything here lasts; no test waits for it, since its time is not real.
    const LONG: Duration = Duration::from_hours(24);

    fn paused() -> tokio::runtime::Runtime {
        Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
    }

    /// A connection with the router at its other end.
    fn connect(router: Router, tasks: &TaskTracker) -> DuplexStream {
        connect_until(&Shutdown::default(), router, tasks)
    }

    fn connect_until(shutdown: &Shutdown, router: Router, tasks: &TaskTracker) -> DuplexStream {
        let shutdown = shutdown.clone();
        let (client, stream) = duplex(64 * 1024);
        let hangup = Hangup::default();
        let router = router.layer(Extension(hangup.clone()));
        tasks.spawn(async move {
            converse(&server(), stream, router, hangup, shutdown).await;
        });
        client
    }

    fn to(path: &str) -> Request<Body> {
        Request::get(format!("http://tests{path}")).body(Body::empty()).unwrap()
    }

    #[test]
    fn a_request_can_hang_up_its_connection_and_no_other() {
        paused().block_on(async {
            let tasks = TaskTracker::new();
            let hang_up = |Extension(hangup): Extension<Hangup>| async move {
                hangup.0.cancel();
                pending::<()>().await;
            };
            let router = Router::new().route("/", get(hang_up)).route("/stay", get(pending::<()>));
            let mut other = connect(router.clone(), &tasks);
            other.write_all(b"GET /stay HTTP/1.1\r\nHost: tests\r\n\r\n").await.unwrap();

            let mut client = connect(router.clone(), &tasks);
            client.write_all(b"GET / HTTP/1.1\r\nHost: tests\r\n\r\n").await.unwrap();
            let mut answer = String::new();
            timeout(bounds::HEADER_TIME / 2, client.read_to_string(&mut answer))
                .await
                .unwrap()
                .unwrap();
            assert_eq!(answer, "");

            // Over HTTP/2 it takes the other requests of the connection with it.
            let client = TokioIo::new(connect(router, &tasks));
            let (mut requests, connection) =
                http2::handshake(TokioExecutor::new(), client).await.unwrap();
            tasks.spawn(async move { drop(connection.await) });
            let stay = requests.send_request(to("/stay"));
            let end = requests.send_request(to("/"));
            let (stay, end) =
                timeout(bounds::HEADER_TIME / 2, async { tokio::join!(stay, end) }).await.unwrap();
            assert!(stay.is_err() && end.is_err());

            assert!(timeout(LONG, other.read_u8()).await.is_err());
        });
    }

    #[test]
    fn an_http2_connection_without_a_request_is_ended_although_it_answers_pings() {
        paused().block_on(async {
            let tasks = TaskTracker::new();
            let slow = || async {
                tokio::time::sleep(10 * bounds::HEADER_TIME).await;
                "late"
            };
            let endless = || async { Body::new(Endless) };
            let router = Router::new().route("/slow", get(slow)).route("/endless", get(endless));
            let client = TokioIo::new(connect(router, &tasks));
            let (mut requests, connection) =
                http2::handshake(TokioExecutor::new(), client).await.unwrap();
            let mut connection = tasks.spawn(connection);

            let answer = requests.send_request(to("/slow")).await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
            let late = body::to_bytes(Body::new(answer.into_body()), 64).await.unwrap();
            assert_eq!(late, "late");

            // An answer whose body goes on is in flight.
            let answer = requests.send_request(to("/endless")).await.unwrap();
            assert!(timeout(LONG, &mut connection).await.is_err());
            drop(answer);
            timeout(LONG, connection).await.unwrap().unwrap().unwrap();
        });
    }

    #[test]
    fn an_http2_client_that_never_takes_the_end_of_an_answer_is_dropped() {
        paused().block_on(async {
            let tasks = TaskTracker::new();
            let mut client = connect(Router::new().route("/", get("fine")), &tasks);
            // The preface, SETTINGS with an initial window of one byte, and GET / (RFC 9113 and 7541).
            client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
            client.write_all(&[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 1]).await.unwrap();
            client.write_all(&[0, 0, 3, 1, 5, 0, 0, 0, 1, 0x82, 0x86, 0x84]).await.unwrap();
            let ended = async {
                let (mut taken, mut pong_count) = (Vec::new(), 0);
                let mut head = [0; 9];
                while client.read_exact(&mut head).await.is_ok() {
                    let length = usize::from(head[1]) * 256 + usize::from(head[2]);
                    let mut payload = vec![0; length];
                    client.read_exact(&mut payload).await.unwrap();
                    match head[3] {
                        DATA => taken.extend(payload),
                        PING => {
                            let pong = [&[0, 0, 8, PING, 1, 0, 0, 0, 0], &payload[..]].concat();
                            // It may be dropped right after it has asked.
                            drop(client.write_all(&pong).await);
                            pong_count += 1;
                        }
                        _ => {}
                    }
                }
                (taken, pong_count)
            };
            let (taken, pong_count) = timeout(LONG, ended).await.unwrap();
            assert_eq!(taken, b"f");
            assert!(pong_count > 1);
        });
    }

    #[test]
    fn a_connection_that_drains_is_ended_by_its_next_answer_and_not_before() {
        paused().block_on(async {
            let (tasks, shutdown) = (TaskTracker::new(), Shutdown::default());
            let router = Router::new().route("/", get("fine")).route("/open", get(pending::<()>));
            let [mut idle, mut old] =
                [(), ()].map(|()| connect_until(&shutdown, router.clone(), &tasks));
            let request = b"GET / HTTP/1.1\r\nHost: tests\r\n\r\n";
            old.write_all(request).await.unwrap();
            let mut head = [0; 15];
            old.read_exact(&mut head).await.unwrap();
            let multiplexed = TokioIo::new(connect_until(&shutdown, router.clone(), &tasks));
            let (mut requests, connection) =
                http2::handshake(TokioExecutor::new(), multiplexed).await.unwrap();
            let connection = tasks.spawn(connection);
            let answer = requests.send_request(to("/")).await.unwrap();
            assert!(!answer.headers().contains_key("connection"));
            drop(answer);

            shutdown.drain.cancel();
            assert!(timeout(bounds::HEADER_TIME / 2, idle.read_u8()).await.is_err());
            let mut new = connect_until(&shutdown, router, &tasks);
            for client in [&mut idle, &mut old, &mut new] {
                client.write_all(request).await.unwrap();
                let mut answer = String::new();
                client.read_to_string(&mut answer).await.unwrap();
                assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
                assert!(answer.ends_with("\r\n\r\nfine"), "{answer}");
            }
            // It has been told GOAWAY, and nothing was under way.
            connection.await.unwrap().unwrap();
        });
    }

    /// A body that never ends.
    struct Endless;

    impl http_body::Body for Endless {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
            std::task::Poll::Pending
        }
    }
}
