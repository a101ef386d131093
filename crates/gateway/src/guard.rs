//! Keeps what a cut has ended from its client: a handler under way, and every frame of a body.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use store::{Cut, OpenResponse};

/// Runs `handler` until it has answered or must end. Its answer counts only if it may still be given
/// once it is there. The handler comes pinned, since it is large and would be copied on its way here.
pub(crate) async fn until_cut<T>(
    open: &OpenResponse,
    mut handler: Pin<&mut impl Future<Output = T>>,
) -> Result<T, Cut> {
    std::future::poll_fn(|cx| match handler.as_mut().poll(cx) {
        Poll::Ready(answer) => Poll::Ready(open.trusted().map(|()| answer)),
        Poll::Pending => open.poll_cut(cx).map(Err),
    })
    .await
}

/// A response's body that ends when it must.
pub(crate) struct Guarded<B> {
    /// None once it was cut.
    body: Option<B>,
    open: OpenResponse,
    /// An event stream may end early; anything else cut short must look broken to its client.
    is_stream: bool,
    /// Whether what has left ends with an event's end: words of ours in the middle of one would be its.
    is_between_events: bool,
}

impl<B> Guarded<B> {
    pub(crate) const fn new(body: B, open: OpenResponse, is_stream: bool) -> Self {
        Self { body: Some(body), open, is_stream, is_between_events: true }
    }
}

/// What a body yields that was cut where its client could take the rest for complete.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ended<E> {
    /// It was cut.
    #[error("the response was cut: {0}")]
    Cut(Cut),
    /// The body itself failed.
    #[error("the response's body failed")]
    Body(#[source] E),
}

impl<B: Body<Data = Bytes> + Unpin + Send + 'static> Body for Guarded<B> {
    type Data = Bytes;
    type Error = Ended<B::Error>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        let cut = match Pin::new(body).poll_frame(cx) {
            // Asked after the frame was made, so that nothing made after a cut passes.
            Poll::Ready(Some(frame)) => match this.open.trusted() {
                Ok(()) => {
                    if let Some(data) = frame.as_ref().ok().and_then(Frame::data_ref) {
                        let ends = [&b"\n\n"[..], b"\r\r", b"\r\n\r\n"];
                        this.is_between_events = ends.iter().any(|end| data.ends_with(end));
                    }
                    return Poll::Ready(Some(frame.map_err(Ended::Body)));
                }
                Err(cut) => cut,
            },
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => match this.open.poll_cut(cx) {
                Poll::Ready(cut) => cut,
                Poll::Pending => return Poll::Pending,
            },
        };
        if let Some(body) = this.body.take() {
            this.open.leave_behind(body);
        }
        if this.is_stream && this.is_between_events {
            // A comment: clients of event streams pass over it, people who look on do not.
            let farewell = Bytes::from(format!(": {cut}\n\n"));
            Poll::Ready(Some(Ok(Frame::data(farewell))))
        } else {
            Poll::Ready(Some(Err(Ended::Cut(cut))))
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}
