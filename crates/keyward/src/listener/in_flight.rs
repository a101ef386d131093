use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use http_body::{Frame, SizeHint};
use tokio::sync::watch;

/// How many requests of one connection are being answered.
#[derive(Clone, Debug, Default)]
pub(super) struct InFlight(watch::Sender<usize>);

impl InFlight {
    /// Counts one more, until what is returned is dropped.
    pub(super) fn begin(&self) -> Begun {
        self.0.send_modify(|count| *count = count.saturating_add(1));
        Begun(self.0.clone())
    }

    /// Returns once there has been none for this long.
    pub(super) async fn none_for(&self, time: Duration) {
        let mut count = self.0.subscribe();
        loop {
            // The sender is here, so neither wait can fail.
            drop(count.wait_for(|count| *count == 0).await);
            tokio::select! {
                () = tokio::time::sleep(time) => return,
                _ = count.changed() => {}
            }
        }
    }
}

/// One request that is being answered.
#[derive(Debug)]
pub(super) struct Begun(watch::Sender<usize>);

impl Begun {
    /// Ties the request to its answer's body: it is answered when the body's last byte is taken.
    pub(super) fn until_end_of(self, body: Body) -> Body {
        Body::new(Counted { body, _begun: self })
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

struct Counted {
    body: Body,
    _begun: Begun,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
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
    use http_body::Body as _;

    use super::*;

    #[test]
    fn idleness_begins_when_the_last_body_ends() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let minute = Duration::from_mins(1);
            let in_flight = InFlight::default();
            let (one, two) = (in_flight.begin(), in_flight.begin());
            let body = one.until_end_of(Body::from("answer"));
            drop(two);
            let idle = in_flight.none_for(minute);
            assert!(tokio::time::timeout(10 * minute, idle).await.is_err());
            drop(body);
            let idle = in_flight.none_for(minute);
            assert!(tokio::time::timeout(minute / 2, idle).await.is_err());
            let begun = tokio::time::Instant::now();
            in_flight.none_for(minute).await;
            assert_eq!(begun.elapsed(), minute);
        });
    }

    #[test]
    fn an_answer_keeps_its_length() {
        let body = InFlight::default().begin().until_end_of(Body::from("answer"));
        assert_eq!(body.size_hint().exact(), Some(6));
    }
}
