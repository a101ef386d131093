//! Connections to upstreams over plain HTTP/1.1, kept between requests.
//!
//! Each is driven by the task whose request is on it, and by none while it is kept: a task of its own for
//! every connection would have each call handed from task to task (docs/decisions/0006).

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::uri::{Authority, Uri};
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tower_service::Service as _;

use super::Arriving;
use crate::limits;

type Driver = http1::Connection<TokioIo<TcpStream>, Arriving>;

/// Why a request got no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// No connection could be made.
    Connect(Box<dyn StdError + Send + Sync>),
    /// The connection failed before the answer came.
    Exchange(Box<dyn StdError + Send + Sync>),
    /// The answer did not begin within [`limits::FIRST_BYTE`].
    Late,
}

/// The connections that wait for a request, by where they lead; the one used last is the first to be
/// used again.
pub(super) struct Connections {
    connector: HttpConnector,
    kept: Mutex<BTreeMap<String, Vec<Kept>>>,
    tasks: TaskTracker,
}

struct Kept {
    connection: Connection,
    /// How many times it has been looked through.
    age: u32,
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").finish_non_exhaustive()
    }
}

impl Connections {
    pub(super) fn new(connector: HttpConnector) -> Self {
        Self { connector, kept: Mutex::default(), tasks: TaskTracker::new() }
    }

    /// Sends a request over a connection to its authority, and gives the answer when it begins.
    ///
    /// The request is taken. One of which an upstream that was closing has seen nothing is sent again.
    pub(super) async fn send(
        self: &Arc<Self>,
        uri: &Uri,
        authority: &Authority,
        request: &mut Request<Arriving>,
    ) -> Result<Response<Exchange>, Failure> {
        loop {
            let (mut connection, is_kept) = match self.take(authority) {
                Some(connection) => (connection, true),
                // Large, and rarely needed.
                None => (Box::pin(self.connect(uri, authority)).await?, false),
            };
            match connection.begin(request).await? {
                Ok(response) => {
                    connection.finish_upload_on(&self.tasks);
                    return Ok(response.map(|incoming| Exchange {
                        incoming,
                        is_whole: false,
                        failure: None,
                        connection: Some(connection),
                        connections: Arc::clone(self),
                    }));
                }
                Err(mut error) => match error.take_message() {
                    Some(unsent) if is_kept => *request = unsent,
                    _ => return Err(Failure::Exchange(error.into_error().into())),
                },
            }
        }
    }

    async fn connect(&self, uri: &Uri, authority: &Authority) -> Result<Connection, Failure> {
        let connecting = self.connector.clone().call(uri.clone());
        let stream = connecting.await.map_err(|error| Failure::Connect(error.into()))?;
        let (sender, driver) = http1::Builder::new()
            .max_headers(limits::HEADER_COUNT)
            .handshake(stream)
            .await
            .map_err(|error| Failure::Connect(error.into()))?;
        Ok(Connection {
            authority: authority.clone(),
            sender,
            deadline: Box::pin(sleep(limits::FIRST_BYTE)),
            uploads: Arc::default(),
            driver: Driving::Here(Box::pin(driver)),
        })
    }

    fn take(&self, authority: &Authority) -> Option<Connection> {
        // If its upstream has closed it, that is seen before a request is sent on it.
        Some(self.kept().get_mut(authority.as_str())?.pop()?.connection)
    }

    fn keep(&self, mut connection: Connection) {
        if !connection.is_usable() {
            return;
        }
        let mut kept = self.kept();
        let there = match kept.get_mut(connection.authority.as_str()) {
            Some(there) => there,
            None => kept.entry(connection.authority.as_str().to_owned()).or_default(),
        };
        if there.len() < limits::UPSTREAM_IDLE_COUNT {
            there.push(Kept { connection, age: 0 });
        }
    }

    /// Closes what has waited for too long, and what its upstream has closed; to be called every
    /// [`limits::UPSTREAM_TIDY`].
    pub(super) fn tidy(&self) {
        let mut kept = self.kept();
        for there in kept.values_mut() {
            there.retain_mut(|Kept { connection, age }| {
                *age += 1;
                limits::UPSTREAM_TIDY * *age < limits::UPSTREAM_IDLE && connection.is_usable()
            });
        }
        kept.retain(|_, there| !there.is_empty());
    }

    /// No code that holds the lock can panic half-way through a change.
    fn kept(&self) -> MutexGuard<'_, BTreeMap<String, Vec<Kept>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Connection {
    authority: Authority,
    sender: SendRequest<Arriving>,
    /// Until when the answer to the last request may begin. Kept with the connection, since to move a
    /// timer on costs less than to make one.
    deadline: Pin<Box<Sleep>>,
    /// Shared with the request's body while that is being sent.
    uploads: Arc<()>,
    driver: Driving,
}

enum Driving {
    /// By whoever waits for something on the connection; on the heap, since it is large and moves.
    Here(Pin<Box<Driver>>),
    /// By a task of its own, which ends with this.
    Task(AbortOnDropHandle<()>),
    /// By nobody any more.
    Over,
}

impl Connection {
    /// Sends a request; returns when the head of its answer is there, or cannot come any more.
    async fn begin(
        &mut self,
        request: &mut Request<Arriving>,
    ) -> Result<Result<Response<Incoming>, TrySendError<Request<Arriving>>>, Failure> {
        request.body_mut().upload = Some(Arc::clone(&self.uploads));
        self.deadline.as_mut().reset(Instant::now() + limits::FIRST_BYTE);
        let mut answer = pin!(self.sender.try_send_request(std::mem::take(request)));
        poll_fn(|cx| {
            self.driver.drive(cx);
            // What it waits for is only ever brought about by the line before.
            match answer.as_mut().poll(&mut quiet()) {
                Poll::Ready(answer) => Poll::Ready(Ok(answer)),
                Poll::Pending => self.deadline.as_mut().poll(cx).map(|()| Err(Failure::Late)),
            }
        })
        .await
    }

    /// An answer may begin before all of the request is sent, and its client may take none of it until
    /// the rest is: then the rest must not wait for the client.
    fn finish_upload_on(&mut self, tasks: &TaskTracker) {
        if Arc::strong_count(&self.uploads) > 1
            && let Driving::Here(driver) = std::mem::replace(&mut self.driver, Driving::Over)
        {
            let driving = async {
                // Its error is the answer's too.
                drop(driver.await);
            };
            self.driver = Driving::Task(AbortOnDropHandle::new(tasks.spawn(driving)));
        }
    }

    /// Whether another request can be sent on it.
    fn is_usable(&mut self) -> bool {
        // What happens to it while it is kept wakes nobody: it is looked at before it is used.
        self.driver.drive(&mut quiet());
        matches!(self.driver, Driving::Here(_)) && self.sender.is_ready()
    }
}

impl Driving {
    fn drive(&mut self, cx: &mut Context<'_>) {
        if let Self::Here(driver) = self
            && driver.as_mut().poll(cx).is_ready()
        {
            // Its error is the answer's too.
            *self = Self::Over;
        }
    }
}

/// Wakes nobody, since what it waits for comes by driving, or is looked at before it is used.
const fn quiet() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// The body of an answer, with the connection that it comes over.
///
/// One that is dropped before its end takes the connection with it, which tells the upstream.
pub(crate) struct Exchange {
    incoming: Incoming,
    is_whole: bool,
    /// Why it has ended early; told after a pause.
    failure: Option<hyper::Error>,
    /// None once it is kept for others.
    connection: Option<Connection>,
    connections: Arc<Connections>,
}

impl Body for Exchange {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        if let Some(failure) = this.failure.take() {
            return Poll::Ready(Some(Err(failure)));
        }
        let mut incoming = Pin::new(&mut this.incoming);
        let frame = match &mut this.connection {
            Some(Connection { driver: driver @ Driving::Here(_), .. }) => {
                match incoming.as_mut().poll_frame(&mut quiet()) {
                    Poll::Pending => {
                        driver.drive(cx);
                        incoming.poll_frame(&mut quiet())
                    }
                    there => there,
                }
            }
            _ => incoming.poll_frame(cx),
        };
        match frame {
            // The frames before it may be here since a moment ago only, and who writes them drops what
            // is not written yet when it hears of this.
            Poll::Ready(Some(Err(failure))) => {
                this.failure = Some(failure);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Ready(None) => {
                this.is_whole = true;
                Poll::Ready(None)
            }
            frame => frame,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let is_whole = self.is_whole || self.incoming.is_end_stream();
        match self.connection.take() {
            // What is left of the request is still wanted.
            Some(Connection { driver: Driving::Task(driver), .. }) if is_whole => {
                drop(driver.detach());
            }
            Some(connection) if is_whole => self.connections.keep(connection),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
