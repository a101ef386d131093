//! What a child writes beside its messages, bounded and made fit for a log.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::{Duration, Instant};
use tracing::{debug, warn};

use crate::limits;

/// Lets so many lines through in a period, and counts the others.
#[derive(Debug)]
pub(super) struct Noise {
    most: u32,
    period: Duration,
    since: Option<Instant>,
    let_through: u32,
    missed: u64,
}

impl Noise {
    pub(super) const fn new(most: u32, period: Duration) -> Self {
        Self { most, period, since: None, let_through: 0, missed: 0 }
    }

    /// Gives how many were left out since the last one that was let through, if this one is.
    pub(super) fn admits(&mut self, now: Instant) -> Option<u64> {
        if self.since.is_none_or(|since| now.duration_since(since) >= self.period) {
            self.since = Some(now);
            self.let_through = 0;
        }
        if self.let_through >= self.most {
            self.missed += 1;
            return None;
        }
        self.let_through += 1;
        Some(std::mem::take(&mut self.missed))
    }
}

/// What is left out of what a child says, told to its operator within bounds.
#[derive(Debug)]
pub(super) struct LeftOut {
    server: String,
    noise: Mutex<Noise>,
    /// Whether its operator knows that it writes what is no message.
    is_known: AtomicBool,
}

impl LeftOut {
    pub(super) const fn new(server: String) -> Self {
        let noise = Mutex::new(Noise::new(limits::LOG_LINES, limits::LOG_PERIOD));
        Self { server, noise, is_known: AtomicBool::new(false) }
    }

    /// Tells of a line of so many bytes that is no message. Its operator sees the first one: it is what a
    /// program prints that was not made for this, and clients get nothing of it.
    pub(super) fn tell_no_message(&self, bytes: usize) {
        if self.is_known.swap(true, Ordering::Relaxed) {
            return self.tell("not exactly one JSON-RPC message");
        }
        let name = &self.server;
        warn!(
            server.name = name,
            bytes,
            "{name} wrote a line of {bytes} bytes to its standard output that is no JSON-RPC message; it \
             is left out, and further ones are told at debug: what is meant for people belongs on \
             standard error"
        );
    }

    /// Tells of a message, and why it goes to nobody.
    pub(super) fn tell(&self, why: &str) {
        let admitted =
            self.noise.lock().unwrap_or_else(PoisonError::into_inner).admits(Instant::now());
        if let Some(missed) = admitted {
            let name = &self.server;
            debug!(server.name = name, missed, "Left out a message of {name}: {why}");
        }
    }
}

/// Lines of text, cut short where they are long, with nothing in them that moves a cursor.
#[derive(Debug)]
pub(super) struct Texts {
    chunk: Vec<u8>,
    taken: usize,
}

impl Texts {
    pub(super) const fn new() -> Self {
        Self { chunk: Vec::new(), taken: 0 }
    }

    /// Reads the next line that is not empty; none at the end.
    pub(super) async fn next(&mut self, from: &mut (impl AsyncRead + Unpin)) -> Option<String> {
        let mut line = Vec::new();
        loop {
            let rest = self.chunk.get(self.taken..).unwrap_or_default();
            if rest.is_empty() {
                self.chunk.clear();
                self.taken = 0;
                let mut some = from.take(limits::LOG_LINE_BYTES);
                if !matches!(some.read_buf(&mut self.chunk).await, Ok(1..)) {
                    let line = shown(&line);
                    return (!line.is_empty()).then_some(line);
                }
                continue;
            }
            let end = rest.iter().position(|byte| *byte == b'\n');
            let part = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
            let most = usize::try_from(limits::LOG_LINE_BYTES).unwrap_or(usize::MAX);
            let room = most.saturating_sub(line.len());
            line.extend_from_slice(part.get(..room).unwrap_or(part));
            self.taken += part.len() + usize::from(end.is_some());
            if end.is_some() {
                let text = shown(&line);
                if !text.is_empty() {
                    return Some(text);
                }
                line.clear();
            }
        }
    }
}

fn shown(line: &[u8]) -> String {
    let turns = |c: char| matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut text = String::new();
    for c in String::from_utf8_lossy(line).trim().chars() {
        if c.is_control() || turns(c) {
            text.extend(c.escape_default());
        } else {
            text.push(c);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_cut_and_cannot_move_a_cursor() {
        let most = usize::try_from(limits::LOG_LINE_BYTES).unwrap();
        let mut text = b"\nfirst\r\n\x1b[2Jsecond \xff\n".to_vec();
        text.extend(vec![b'x'; 3 * most]);
        text.extend(b"\nlast");
        let mut from = &text[..];
        let mut texts = Texts::new();
        let mut read = Vec::new();
        while let Some(line) = texts.next(&mut from).await {
            read.push(line);
        }
        assert_eq!(read, ["first", "\\u{1b}[2Jsecond \u{fffd}", &"x".repeat(most), "last"]);
    }

    #[test]
    fn no_more_lines_pass_than_may_and_the_next_says_how_many_were_left_out() {
        let mut noise = Noise::new(2, Duration::from_secs(1));
        let now = Instant::now();
        let all: Vec<_> = (0..4).map(|_| noise.admits(now)).collect();
        assert_eq!(all, [Some(0), Some(0), None, None]);
        assert_eq!(noise.admits(now + Duration::from_secs(1)), Some(2));
    }
}
