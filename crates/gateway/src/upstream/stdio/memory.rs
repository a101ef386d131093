//! The memory that long lines of children hold: from their reading until their clients have taken them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Duration, Instant, timeout_at};

use crate::limits;

/// The memory for the long lines of all children.
#[derive(Debug)]
pub(super) struct Memory {
    /// What is free of it, in KiB.
    room: Arc<Semaphore>,
    /// The lines that wait for their clients.
    lines: Mutex<Vec<Weak<LongLine>>>,
}

/// What one child's lines may hold of it.
#[derive(Debug)]
pub(super) struct Share {
    memory: Arc<Memory>,
    room: Arc<Semaphore>,
}

/// The memory of one line.
#[derive(Debug)]
pub(super) struct Hold {
    memory: Arc<Memory>,
    of_all: OwnedSemaphorePermit,
    of_child: OwnedSemaphorePermit,
}

/// There is no memory for a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoMemory;

impl Memory {
    /// Makes a memory of so many KiB.
    pub(super) fn new(kib: usize) -> Arc<Self> {
        Arc::new(Self { room: Arc::new(Semaphore::new(kib)), lines: Mutex::default() })
    }

    /// Gives a child its share, of so many KiB at most.
    pub(super) fn share(self: &Arc<Self>, kib: usize) -> Share {
        Share { memory: Arc::clone(self), room: Arc::new(Semaphore::new(kib)) }
    }

    /// Takes the lines from the clients that have left them for too long.
    fn reclaim(&self) {
        let now = Instant::now();
        lock(&self.lines).retain(|line| {
            line.upgrade().is_some_and(|line| {
                let stays = !line.is_left(now);
                if !stays {
                    *lock(&line.text) = None;
                }
                stays
            })
        });
    }
}

impl Share {
    /// Makes what a line holds so many KiB, and waits for them if it must.
    ///
    /// # Errors
    /// [`NoMemory`] if others hold them all that time; the line keeps what it has.
    pub(super) async fn extend(
        &self,
        held: &mut Option<Hold>,
        kib: usize,
        within: Duration,
    ) -> Result<(), NoMemory> {
        let more = kib.saturating_sub(held.as_ref().map_or(0, Hold::kib));
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        if more == 0 {
            return Ok(());
        }
        let until = Instant::now() + within;
        let new = loop {
            let step = until.min(Instant::now() + limits::LINE_ROOM_LOOK);
            match timeout_at(step, self.take(more)).await {
                Ok(new) => break new?,
                Err(_) if step == until => return Err(NoMemory),
                Err(_) => self.memory.reclaim(),
            }
        };
        match held {
            Some(held) => {
                held.of_all.merge(new.of_all);
                held.of_child.merge(new.of_child);
            }
            None => *held = Some(new),
        }
        Ok(())
    }

    async fn take(&self, kib: u32) -> Result<Hold, NoMemory> {
        let take = |room: &Arc<Semaphore>| Arc::clone(room).acquire_many_owned(kib);
        // Nobody closes them.
        let of_child = take(&self.room).await.map_err(|_| NoMemory)?;
        let of_all = take(&self.memory.room).await.map_err(|_| NoMemory)?;
        Ok(Hold { memory: Arc::clone(&self.memory), of_all, of_child })
    }
}

impl Hold {
    /// How much it is.
    pub(super) fn kib(&self) -> usize {
        self.of_all.num_permits()
    }

    /// Gives back what is more than so much.
    pub(super) fn shrink(&mut self, kib: usize) {
        let more = self.kib().saturating_sub(kib);
        drop(self.of_all.split(more));
        drop(self.of_child.split(more));
    }
}

/// When a client last took something of what waits for it.
#[derive(Debug)]
pub(super) struct Pace(Mutex<Instant>);

impl Pace {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Instant::now())))
    }
}

/// A long line that waits for its client, and goes with the client's patience: whoever does not take it
/// in time loses it when others need its memory.
#[derive(Debug)]
pub(super) struct LongLine {
    text: Mutex<Option<(Bytes, Hold)>>,
    length: AtomicUsize,
    since: Instant,
    /// Until when all of it is to be taken.
    until: Instant,
    pace: Arc<Pace>,
}

impl LongLine {
    pub(super) fn new(text: Bytes, hold: Hold, pace: &Arc<Pace>) -> Arc<Self> {
        let since = Instant::now();
        let seconds = text.len() / limits::SLOW_CLIENT_RATE;
        let seconds = Duration::from_secs(u64::try_from(seconds).unwrap_or(u64::MAX));
        let memory = Arc::clone(&hold.memory);
        let length = AtomicUsize::new(text.len());
        let line = Arc::new(Self {
            text: Mutex::new(Some((text, hold))),
            length,
            since,
            until: since + limits::SLOW_CLIENT_TIME + seconds,
            pace: Arc::clone(pace),
        });
        let mut lines = lock(&memory.lines);
        lines.retain(|line| line.strong_count() > 0);
        lines.push(Arc::downgrade(&line));
        drop(lines);
        line
    }

    /// Gives all of it; none if its client has lost it.
    pub(super) fn text(&self) -> Option<Bytes> {
        lock(&self.text).as_ref().map(|(text, _)| text.clone())
    }

    /// Puts something shorter in its place.
    pub(super) fn replace(&self, by: Bytes) {
        if let Some((text, _)) = &mut *lock(&self.text) {
            self.length.store(by.len(), Ordering::Relaxed);
            *text = by;
        }
    }

    /// Gives a copy of a part, which does not keep the rest; none if its client has lost it.
    pub(super) fn part(&self, from: usize) -> Option<Bytes> {
        *lock(&self.pace.0) = Instant::now();
        let text = lock(&self.text);
        let rest = text.as_ref()?.0.get(from..)?;
        let part = rest.get(..limits::PART_BYTES).unwrap_or(rest);
        Some(Bytes::copy_from_slice(part))
    }

    /// Gives how many bytes it has after so many.
    pub(super) fn left(&self, after: usize) -> usize {
        self.length.load(Ordering::Relaxed).saturating_sub(after)
    }

    fn is_left(&self, now: Instant) -> bool {
        let moved_at = self.since.max(*lock(&self.pace.0));
        now >= self.until || now.duration_since(moved_at) >= limits::SLOW_CLIENT_TIME
    }
}

/// No code that holds such a lock can panic half-way through a change.
fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 64;

    async fn line(share: &Share, pace: &Arc<Pace>) -> Arc<LongLine> {
        let mut hold = None;
        share.extend(&mut hold, KIB, Duration::ZERO).await.unwrap();
        LongLine::new(Bytes::from(vec![b'x'; KIB * 1024]), hold.unwrap(), pace)
    }

    async fn extends(share: &Share) -> bool {
        share.extend(&mut None, KIB, Duration::from_secs(1)).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_that_nobody_takes_goes_once_another_needs_its_memory() {
        let share = Memory::new(KIB).share(KIB);
        let (left, pace) = (Pace::new(), Pace::new());
        let untaken = line(&share, &left).await;
        assert!(!extends(&share).await);
        tokio::time::advance(limits::SLOW_CLIENT_TIME).await;
        assert!(untaken.text().is_some(), "nobody has needed it");
        assert!(extends(&share).await);
        assert!(untaken.part(0).is_none());
        // What its client takes stays, and so does what waits behind that.
        let taken = line(&share, &pace).await;
        tokio::time::advance(limits::SLOW_CLIENT_TIME).await;
        assert_eq!(taken.part(0).unwrap().len(), KIB * 1024);
        assert!(!extends(&share).await);
        drop(taken);
        assert!(extends(&share).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_that_is_taken_by_drops_goes_as_well() {
        let share = Memory::new(KIB).share(KIB);
        let pace = Pace::new();
        let line = line(&share, &pace).await;
        for _ in 0..2 {
            tokio::time::advance(limits::SLOW_CLIENT_TIME * 3 / 4).await;
            assert!(line.part(0).is_some());
        }
        assert!(extends(&share).await);
    }

    #[tokio::test(start_paused = true)]
    async fn one_child_leaves_memory_to_the_others() {
        let memory = Memory::new(2 * KIB);
        let (one, other) = (memory.share(KIB), memory.share(KIB));
        let pace = Pace::new();
        let _line = line(&one, &pace).await;
        assert!(!extends(&one).await);
        assert!(extends(&other).await);
    }
}
