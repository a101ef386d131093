//! A queue of messages that is bounded by their bytes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, TryAcquireError, mpsc};

/// A message on its way, with the memory that it holds.
#[derive(Debug)]
pub(super) struct Piece<T> {
    pub(super) text: Bytes,
    pub(super) note: T,
    /// Its share of the memory for all long lines, if it is one.
    pub(super) room: Option<OwnedSemaphorePermit>,
    held: Option<OwnedSemaphorePermit>,
}

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotTaken {
    /// The queue is full.
    Full,
    /// Nobody takes from it any more.
    Gone,
}

/// The end that messages are put into.
#[derive(Debug)]
pub(super) struct Sender<T> {
    pieces: mpsc::UnboundedSender<Piece<T>>,
    bytes: Arc<Semaphore>,
    most: u32,
}

/// The end that messages are taken from.
pub(super) type Receiver<T> = mpsc::UnboundedReceiver<Piece<T>>;

/// Makes a queue of at most so many bytes; a longer message fits in where it is the only one.
pub(super) fn queue<T>(most: u32) -> (Sender<T>, Receiver<T>) {
    let (pieces, taken) = mpsc::unbounded_channel();
    let bytes = Arc::new(Semaphore::new(usize::try_from(most).unwrap_or(usize::MAX)));
    (Sender { pieces, bytes, most }, taken)
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self { pieces: self.pieces.clone(), bytes: Arc::clone(&self.bytes), most: self.most }
    }
}

impl<T> Piece<T> {
    pub(super) const fn new(text: Bytes, note: T) -> Self {
        Self { text, note, room: None, held: None }
    }
}

impl<T> Sender<T> {
    /// Puts a message in if there is room now.
    pub(super) fn try_send(&self, mut piece: Piece<T>) -> Result<(), NotTaken> {
        let held = Arc::clone(&self.bytes).try_acquire_many_owned(self.cost(&piece));
        piece.held = Some(held.map_err(|error| match error {
            TryAcquireError::NoPermits => NotTaken::Full,
            TryAcquireError::Closed => NotTaken::Gone,
        })?);
        self.pieces.send(piece).map_err(|_| NotTaken::Gone)
    }

    /// Puts a message in as soon as there is room, within a time.
    pub(super) async fn send(&self, mut piece: Piece<T>, within: Duration) -> Result<(), NotTaken> {
        let room = Arc::clone(&self.bytes).acquire_many_owned(self.cost(&piece));
        let held = tokio::select! {
            held = tokio::time::timeout(within, room) => held,
            () = self.pieces.closed() => return Err(NotTaken::Gone),
        };
        piece.held =
            Some(held.map_err(|_| NotTaken::Full)?.map_err(|_: AcquireError| NotTaken::Gone)?);
        self.pieces.send(piece).map_err(|_| NotTaken::Gone)
    }

    /// Puts the last message in, for which there is always room.
    pub(super) fn send_last(&self, piece: Piece<T>) {
        // Who has gone takes no last message.
        drop(self.pieces.send(piece));
    }

    /// Says whether nobody takes from it any more.
    pub(super) fn is_closed(&self) -> bool {
        self.pieces.is_closed()
    }

    fn cost(&self, piece: &Piece<T>) -> u32 {
        // What the queue itself holds for each message counts too, or empty ones would cost nothing.
        let length = u32::try_from(piece.text.len()).unwrap_or(u32::MAX).saturating_add(128);
        length.min(self.most)
    }
}
