use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Version};
use axum::response::Response;
use http_body::{Frame, SizeHint};

/// In how many steps an idle connection is waited for: it is found after at most one too many.
const STEPS: u32 = 4;

/// How many requests of one connection wait for us: their handler runs, or their body has been asked
/// for more. What waits for the client to take it is not among them.
#[derive(Clone, Debug)]
pub(super) struct InFlight(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    begun: AtomicUsize,
    ended: AtomicUsize,
    speaks_http2: AtomicBool,
    is_draining: AtomicBool,
}

impl InFlight {
    pub(super) fn new() -> Self {
        Self(Arc::default())
    }

    /// Counts a request that has come, until what is returned is dropped.
    pub(super) fn begin_request(&self, version: Version) -> Begun {
        if version == Version::HTTP_2 {
            self.0.speaks_http2.store(true, Ordering::Relaxed);
        }
        self.begin()
    }

    /// Has each further answer over HTTP/1.1 be the last of the connection, which then never ends under a
    /// request that is on its way. Says whether the connection has its own way to say so: HTTP/2's.
    pub(super) fn drain(&self) -> bool {
        self.0.is_draining.store(true, Ordering::Relaxed);
        self.0.speaks_http2.load(Ordering::Relaxed)
    }

    /// Counts one more, until what is returned is dropped.
    pub(super) fn begin(&self) -> Begun {
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        Begun(self.clone())
    }

    /// Returns once there has been none for this long, or up to a quarter longer.
    pub(super) async fn none_for(&self, time: Duration) {
        // No request reads a clock or wakes anybody, which would cost each of them: this looks now and then.
        let mut still = (self.begun(), 0);
        while still.1 < STEPS {
            tokio::time::sleep(time / STEPS).await;
            // What has ended is read first: what begins in between then counts as under way.
            let ended = self.0.ended.load(Ordering::Relaxed);
            let begun = self.begun();
            still =
                if begun == ended && begun == still.0 { (begun, still.1 + 1) } else { (begun, 0) };
        }
    }

    fn begun(&self) -> usize {
        self.0.begun.load(Ordering::Relaxed)
    }
}

/// One request that is being answered.
#[derive(Debug)]
pub(super) struct Begun(InFlight);

impl Begun {
    /// Counts the request on while its answer's body is waited for.
    pub(super) fn until_end_of(self, mut answer: Response) -> Response<Counted> {
        let counts = &self.0.0;
        if counts.is_draining.load(Ordering::Relaxed)
            && !counts.speaks_http2.load(Ordering::Relaxed)
        {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let in_flight = self.0.clone();
        answer.map(|body| Counted { body, in_flight, begun: None })
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.0.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}

/// The body of an answer that counts as in flight while it is waited for.
pub(super) struct Counted {
    body: Body,
    in_flight: InFlight,
    begun: Option<Begun>,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        // HTTP/2 asks only when the client's window has room.
        if self.begun.is_none() {
            self.begun = Some(self.in_flight.begin());
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        self.begun = None;
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use http_body::Body as _;

    use super::*;

    #[test]
    fn a_connection_is_idle_when_nothing_waits_for_us() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let minute = Duration::from_mins(1);
            let in_flight = InFlight::new();
            let idle = async || {
                let idle = in_flight.none_for(minute);
                tokio::time::timeout(10 * minute, idle).await.is_ok()
            };
            let (one, two) = (in_flight.begin(), in_flight.begin());
            drop(two);
            assert!(!idle().await, "a handler runs");
            let (events, body) = channel();
            let mut body = one.until_end_of(Response::new(body)).into_body();
            assert!(idle().await, "nobody asks for the body");
            let frame = poll_fn(|cx| Poll::Ready(Pin::new(&mut body).poll_frame(cx))).await;
            assert!(frame.is_pending());
            assert!(!idle().await, "an event is waited for");
            events.send(()).unwrap();
            assert!(poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await.is_some());
            assert!(idle().await, "the event is the client's to take");
            assert!(poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await.is_none());
            assert!(idle().await, "the body has ended");
        });
    }

    /// A body of one byte, once it is told to.
    fn channel() -> (tokio::sync::oneshot::Sender<()>, Body) {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        (sender, Body::new(Event(Some(receiver))))
    }

    struct Event(Option<tokio::sync::oneshot::Receiver<()>>);

    impl http_body::Body for Event {
        type Data = Bytes;
        type Error = axum::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
            let Some(receiver) = &mut self.0 else { return Poll::Ready(None) };
            ready!(Pin::new(receiver).poll(cx)).unwrap();
            self.0 = None;
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"x")))))
        }
    }

    #[test]
    fn an_answer_keeps_its_length() {
        let answer = InFlight::new().begin().until_end_of(Response::new(Body::from("answer")));
        assert_eq!(answer.body().size_hint().exact(), Some(6));
    }
}
