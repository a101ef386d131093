//! A queue of messages that is bounded by their bytes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, TryAcquireError, mpsc};

use super::memory::{Hold, LongLine, Pace};

/// A message on its way, with the memory that it holds.
#[derive(Debug)]
pub(super) struct Piece<T> {
    text: Bytes,
    pub(super) note: T,
    /// The memory of its text, if it is a long one.
    hold: Option<Hold>,
    /// The text, once it is a long one that waits for its client.
    long: Option<Arc<LongLine>>,
    held: Option<OwnedSemaphorePermit>,
}

/// A message's text, for who takes it bit by bit.
#[derive(Debug)]
pub(super) enum Text {
    Short(Bytes),
    Long { line: Arc<LongLine>, taken: usize },
}

/// The text is gone: its client has left it for too long.
#[derive(Debug, thiserror::Error)]
#[error("the client took no bytes for too long, and others needed the memory of its answer")]
pub(super) struct Lost;

impl Text {
    /// Gives what is next of it; none at its end.
    pub(super) fn next(&mut self) -> Option<Result<Bytes, Lost>> {
        match self {
            Self::Short(text) if text.is_empty() => None,
            Self::Short(text) => Some(Ok(std::mem::take(text))),
            Self::Long { line, taken } => match line.part(*taken) {
                Some(part) if part.is_empty() => None,
                Some(part) => {
                    *taken += part.len();
                    Some(Ok(part))
                }
                None => Some(Err(Lost)),
            },
        }
    }

    /// Gives how many bytes are left of it.
    pub(super) fn left(&self) -> usize {
        match self {
            Self::Short(text) => text.len(),
            Self::Long { line, taken } => line.left(*taken),
        }
    }
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
    pace: Arc<Pace>,
}

/// The end that messages are taken from.
pub(super) type Receiver<T> = mpsc::UnboundedReceiver<Piece<T>>;

/// Makes a queue of at most so many bytes; a longer message fits in where it is the only one.
pub(super) fn queue<T>(most: u32) -> (Sender<T>, Receiver<T>) {
    let (pieces, taken) = mpsc::unbounded_channel();
    let bytes = Arc::new(Semaphore::new(usize::try_from(most).unwrap_or(usize::MAX)));
    (Sender { pieces, bytes, most, pace: Pace::new() }, taken)
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self {
            pieces: self.pieces.clone(),
            bytes: Arc::clone(&self.bytes),
            most: self.most,
            pace: Arc::clone(&self.pace),
        }
    }
}

impl<T> Piece<T> {
    pub(super) const fn new(text: Bytes, note: T) -> Self {
        Self { text, note, hold: None, long: None, held: None }
    }

    /// Says what memory its text holds.
    pub(super) fn holding(self, hold: Option<Hold>) -> Self {
        Self { hold, ..self }
    }

    /// Gives its text; none if its client has left it for too long.
    pub(super) fn text(&self) -> Option<Bytes> {
        self.long.as_ref().map_or_else(|| Some(self.text.clone()), |long| long.text())
    }

    /// Puts something shorter in the place of its text.
    pub(super) fn replace(&mut self, by: Bytes) {
        match &self.long {
            Some(long) => long.replace(by),
            None => self.text = by,
        }
    }

    /// Gives the text for who takes it bit by bit.
    pub(super) fn into_text(self) -> Text {
        self.long.map_or(Text::Short(self.text), |line| Text::Long { line, taken: 0 })
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
        self.put(piece)
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
        self.put(piece)
    }

    /// Puts the last message in, for which there is always room.
    pub(super) fn send_last(&self, piece: Piece<T>) {
        // Who has gone takes no last message.
        let _ = self.put(piece);
    }

    /// Says whether nobody takes from it any more.
    pub(super) fn is_closed(&self) -> bool {
        self.pieces.is_closed()
    }

    fn put(&self, mut piece: Piece<T>) -> Result<(), NotTaken> {
        if let Some(hold) = piece.hold.take() {
            let text = std::mem::take(&mut piece.text);
            piece.long = Some(LongLine::new(text, hold, &self.pace));
        }
        self.pieces.send(piece).map_err(|_| NotTaken::Gone)
    }

    fn cost(&self, piece: &Piece<T>) -> u32 {
        // What the queue itself holds for each message counts too, or empty ones would cost nothing.
        let length = u32::try_from(piece.text.len()).unwrap_or(u32::MAX).saturating_add(128);
        length.min(self.most)
    }
}
