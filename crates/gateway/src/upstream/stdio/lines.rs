//! Lines of a child, however long they are.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits;

/// One line without its end.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) text: Bytes,
    /// The memory that it holds, if it is a long one.
    pub(super) room: Option<OwnedSemaphorePermit>,
}

/// Why there is no next line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoLine {
    /// There is nothing more to read.
    Ended,
    /// The line is longer than one may be.
    TooLong,
    /// All lines of this process together hold as much memory as they may.
    NoRoom,
}

/// Reads lines, and holds no more than one of them.
pub(super) struct Lines<R> {
    from: R,
    /// The room for long lines of all children, in KiB.
    room: Arc<Semaphore>,
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    pub(super) const fn new(from: R, room: Arc<Semaphore>) -> Self {
        Self { from, room }
    }

    /// Reads up to the next line's end; empty lines are passed over.
    pub(super) async fn next(&mut self) -> Result<Line, NoLine> {
        let mut text = BytesMut::new();
        let mut room: Option<OwnedSemaphorePermit> = None;
        loop {
            let chunk = self.from.fill_buf().await.map_err(|_| NoLine::Ended)?;
            if chunk.is_empty() {
                // A last line may have no end.
                return if text.is_empty() { Err(NoLine::Ended) } else { Ok(line(text, room)) };
            }
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let part = chunk.get(..end.unwrap_or(chunk.len())).unwrap_or_default();
            let length = text.len() + part.len();
            if length > limits::LINE_BYTES {
                return Err(NoLine::TooLong);
            }
            let held = room.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
            let wanted = length / 1024;
            if wanted >= limits::SHORT_LINE_KIB && wanted > held {
                let more = self.take_room(wanted - held).await?;
                match &mut room {
                    Some(room) => room.merge(more),
                    None => room = Some(more),
                }
            }
            // Taken from the buffer anew: room may have been waited for.
            let chunk = self.from.fill_buf().await.map_err(|_| NoLine::Ended)?;
            let part = chunk.get(..end.unwrap_or(chunk.len())).unwrap_or_default();
            text.extend_from_slice(part);
            let used = part.len() + usize::from(end.is_some());
            self.from.consume(used);
            if end.is_some() && !text.trim_ascii().is_empty() {
                return Ok(line(text, room));
            }
            if end.is_some() {
                text.clear();
            }
        }
    }

    async fn take_room(&self, kib: usize) -> Result<OwnedSemaphorePermit, NoLine> {
        let kib = u32::try_from(kib).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).acquire_many_owned(kib);
        // Lines that wait for each other would wait for ever.
        match tokio::time::timeout(limits::LINE_ROOM_TIME, room).await {
            Ok(Ok(room)) => Ok(room),
            Ok(Err(_)) | Err(_) => Err(NoLine::NoRoom),
        }
    }
}

fn line(text: BytesMut, room: Option<OwnedSemaphorePermit>) -> Line {
    let text = text.freeze();
    Line { text: text.slice_ref(text.trim_ascii()), room }
}

#[cfg(test)]
mod tests {
    use tokio::io::BufReader;

    use super::*;

    async fn all(text: &[u8]) -> (Vec<String>, NoLine) {
        let room = Arc::new(Semaphore::new(limits::LINES_KIB));
        let mut lines = Lines::new(BufReader::new(text), room);
        let mut read = Vec::new();
        loop {
            match lines.next().await {
                Ok(line) => read.push(String::from_utf8(line.text.to_vec()).unwrap()),
                Err(why) => return (read, why),
            }
        }
    }

    #[tokio::test]
    async fn lines_are_read_with_any_end_and_empty_ones_passed_over() {
        let (lines, why) = all(b"\n one\r\n\r\n\ttwo \n\nthree").await;
        assert_eq!((lines.join("|").as_str(), why), ("one|two|three", NoLine::Ended));
    }

    #[tokio::test]
    async fn a_line_may_be_as_long_as_one_may_be_and_no_longer() {
        let mut text = vec![b'x'; limits::LINE_BYTES];
        text.push(b'\n');
        let (lines, why) = all(&text).await;
        assert_eq!((lines[0].len(), why), (limits::LINE_BYTES, NoLine::Ended));
        text.insert(0, b'x');
        assert_eq!(all(&text).await, (vec![], NoLine::TooLong));
    }

    #[tokio::test(start_paused = true)]
    async fn lines_hold_no_more_memory_than_all_of_them_may() {
        let room = Arc::new(Semaphore::new(limits::SHORT_LINE_KIB));
        let text = vec![b'x'; 2 * limits::SHORT_LINE_KIB * 1024];
        let mut lines = Lines::new(BufReader::new(&text[..]), Arc::clone(&room));
        assert_eq!(lines.next().await.unwrap_err(), NoLine::NoRoom);
        assert_eq!(room.available_permits(), limits::SHORT_LINE_KIB);
    }
}
