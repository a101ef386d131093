//! Request bodies in memory, and the room for them.

use std::pin::pin;
use std::sync::Arc;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits;
use crate::refusal::Refused;

/// The room for request bodies, in KiB.
#[derive(Debug)]
pub(crate) struct Bodies(Arc<Semaphore>);

impl Bodies {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(limits::BODIES_KIB)))
    }

    /// Reads the whole body, within its bounds of size, time and memory. The permit is its memory's.
    pub(crate) async fn read(
        &self,
        declared: Option<u64>,
        body: Body,
    ) -> Result<(Bytes, OwnedSemaphorePermit), Refused> {
        if declared.is_some_and(|length| length > limits::BODY_BYTES as u64) {
            return Err(Refused::TooLarge(limits::BODY_BYTES));
        }
        let reading = async {
            let mut body = pin!(body);
            let mut bytes = BytesMut::new();
            let mut room = self.room_for(1)?;
            while let Some(frame) = body.frame().await {
                let Ok(data) = frame.map_err(|_| Refused::Broken)?.into_data() else { continue };
                let length = bytes.len() + data.len();
                if length > limits::BODY_BYTES {
                    return Err(Refused::TooLarge(limits::BODY_BYTES));
                }
                // Charged as it arrives: who declares much and sends little takes little.
                room.merge(self.room_for(length / 1024 + 1 - room.num_permits())?);
                bytes.extend_from_slice(&data);
            }
            Ok((bytes.freeze(), room))
        };
        match tokio::time::timeout(limits::BODY_TIME, reading).await {
            Ok(read) => read,
            Err(_) => Err(Refused::Slow),
        }
    }

    fn room_for(&self, kib: usize) -> Result<OwnedSemaphorePermit, Refused> {
        let kib = u32::try_from(kib).unwrap_or(u32::MAX);
        Arc::clone(&self.0)
            .try_acquire_many_owned(kib)
            .map_err(|_| Refused::Unavailable("too many large requests are under way"))
    }
}

/// What the headers say of the body's length.
pub(crate) fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
