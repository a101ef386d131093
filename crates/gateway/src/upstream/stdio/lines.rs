//! Lines of a child, however long they are.

use bytes::Bytes;
use serde_json::value::RawValue;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _};
use tokio::time::Duration;

use super::memory::{Hold, Share};
use super::scan::Scan;
use crate::limits;

/// One line without its end.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) text: Bytes,
    /// The memory that it holds, if it is a long one.
    pub(super) hold: Option<Hold>,
}

/// What a child has said.
#[derive(Debug)]
pub(super) enum Said {
    Line(Line),
    /// A line that there was no memory for; with the id of the request that it answers, if it does.
    PassedOver(Option<Box<RawValue>>),
}

/// Why there is no next line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoLine {
    /// There is nothing more to read.
    Ended,
    /// The line is longer than one may be.
    TooLong,
}

/// Reads lines, and holds no more than one of them.
pub(super) struct Lines<R> {
    from: R,
    share: Share,
    /// How long a long line waits for memory.
    patience: Duration,
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    pub(super) const fn new(from: R, share: Share, patience: Duration) -> Self {
        Self { from, share, patience }
    }

    /// Reads up to the next line's end; empty lines are passed over.
    pub(super) async fn next(&mut self) -> Result<Said, NoLine> {
        let mut text = Vec::new();
        let mut hold: Option<Hold> = None;
        loop {
            let chunk = self.from.fill_buf().await.map_err(|_| NoLine::Ended)?;
            if chunk.is_empty() {
                // A last line may have no end.
                return if text.is_empty() { Err(NoLine::Ended) } else { Ok(line(text, hold)) };
            }
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let length = text.len() + end.unwrap_or(chunk.len());
            if length > limits::LINE_BYTES {
                return Err(NoLine::TooLong);
            }
            if length > text.capacity() {
                let capacity = length.max(2 * text.capacity()).min(limits::LINE_BYTES);
                let kib = capacity.div_ceil(1024);
                if kib > limits::SHORT_LINE_KIB
                    && self.share.extend(&mut hold, kib, self.patience).await.is_err()
                {
                    drop(hold);
                    return self.pass_over(text).await;
                }
                text.reserve_exact(capacity - text.len());
            }
            // Taken from the buffer anew: memory may have been waited for.
            let chunk = self.from.fill_buf().await.map_err(|_| NoLine::Ended)?;
            let part = chunk.get(..end.unwrap_or(chunk.len())).unwrap_or_default();
            text.extend_from_slice(part);
            let used = part.len() + usize::from(end.is_some());
            self.from.consume(used);
            if end.is_some() && !text.trim_ascii().is_empty() {
                return Ok(line(text, hold));
            }
            if end.is_some() {
                text.clear();
            }
        }
    }

    /// Reads the rest of a line of which nothing is kept but the id.
    async fn pass_over(&mut self, begun: Vec<u8>) -> Result<Said, NoLine> {
        let mut scan = Scan::default();
        scan.read(&begun);
        let mut length = begun.len();
        drop(begun);
        loop {
            let chunk = self.from.fill_buf().await.map_err(|_| NoLine::Ended)?;
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let part = chunk.get(..end.unwrap_or(chunk.len())).unwrap_or_default();
            scan.read(part);
            length += part.len();
            let used = part.len() + usize::from(end.is_some());
            self.from.consume(used);
            if length > limits::LINE_BYTES {
                return Err(NoLine::TooLong);
            }
            if end.is_some() || used == 0 {
                return Ok(Said::PassedOver(scan.answered()));
            }
        }
    }
}

fn line(mut text: Vec<u8>, mut hold: Option<Hold>) -> Said {
    if let Some(hold) = &mut hold {
        text.shrink_to_fit();
        hold.shrink(text.capacity().div_ceil(1024));
    }
    let text = Bytes::from(text);
    Said::Line(Line { text: text.slice_ref(text.trim_ascii()), hold })
}

#[cfg(test)]
mod tests {
    use tokio::io::BufReader;

    use super::super::memory::Memory;
    use super::*;

    fn lines(text: &[u8], kib: usize) -> Lines<BufReader<&[u8]>> {
        let share = Memory::new(kib).share(kib);
        Lines::new(BufReader::new(text), share, limits::LINE_ROOM_TIME)
    }

    async fn all(text: &[u8]) -> (Vec<String>, NoLine) {
        let mut lines = lines(text, limits::CHILD_LINES_KIB);
        let mut read = Vec::new();
        loop {
            match lines.next().await {
                Ok(Said::Line(line)) => read.push(String::from_utf8(line.text.to_vec()).unwrap()),
                Ok(said) => panic!("{said:?}"),
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
    async fn a_line_that_there_is_no_memory_for_is_passed_over_and_the_next_is_read() {
        let long = "x".repeat(4 * limits::SHORT_LINE_KIB * 1024);
        let text = format!("{{\"result\":\"{long}\",\"id\":\"a\"}}\n{{\"next\":1}}\n");
        let mut lines = lines(text.as_bytes(), 2 * limits::SHORT_LINE_KIB);
        let Ok(Said::PassedOver(Some(id))) = lines.next().await else { panic!() };
        assert_eq!(id.get(), "\"a\"");
        let Ok(Said::Line(line)) = lines.next().await else { panic!() };
        assert_eq!(line.text, "{\"next\":1}");
    }

    #[tokio::test]
    async fn a_line_holds_as_much_memory_as_it_has_bytes() {
        let kib = 3 * limits::SHORT_LINE_KIB;
        let text = vec![b'x'; kib * 1024];
        let Ok(Said::Line(line)) = lines(&text, limits::CHILD_LINES_KIB).next().await else {
            panic!()
        };
        assert_eq!(line.hold.unwrap().kib(), kib);
    }
}
