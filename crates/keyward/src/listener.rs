//! A listener: connections in, requests to a router, an orderly end.

mod prompt;
mod survive;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use gateway::limits as bounds;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use self::prompt::Prompt;
use self::survive::survive;
use crate::error::{Error, Result};
use crate::limits;

/// The two steps of an end: no new requests; then no requests at all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shutdown {
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

/// Answers a listener's requests with `router` until the shutdown; connections run on `tasks`.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    most_connections: usize,
    shutdown: Shutdown,
    tasks: TaskTracker,
) {
    let server = Arc::new(server());
    let router = router.layer(axum::middleware::from_fn(survive));
    let service = TowerToHyperService::new(router);
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
        let (server, service, shutdown) = (Arc::clone(&server), service.clone(), shutdown.clone());
        tasks.spawn(async move {
            converse(&server, stream, service, shutdown).await;
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

async fn converse(
    server: &auto::Builder<TokioExecutor>,
    stream: TcpStream,
    service: TowerToHyperService<Router>,
    shutdown: Shutdown,
) {
    // Events are small and must not wait for more; a socket that refuses this works all the same.
    drop(stream.set_nodelay(true));
    let stream = TokioIo::new(Prompt::new(stream, bounds::HEADER_TIME));
    let mut connection = std::pin::pin!(server.serve_connection(stream, service));
    let mut ending = false;
    loop {
        tokio::select! {
            ended = &mut connection => {
                if let Err(error) = ended {
                    debug!(error, "A connection ended early: {error}");
                }
                return;
            }
            () = shutdown.hard.cancelled() => return,
            () = shutdown.soft.cancelled(), if !ending => {
                ending = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

fn server() -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds::HEADER_TIME)
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
