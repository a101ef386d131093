//! Whether a replica takes requests, and else why not: for load balancers and operators. Nothing is
//! admitted or refused by it.

use std::sync::atomic::{AtomicI64, Ordering};

use keys::Timestamp;
use lease::MAX_WALL_OFF_MS;

use super::Replica;

/// Why a replica admits nothing, or is about to end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unready {
    /// It has been asked to end.
    #[error("shutting down")]
    ShuttingDown,
    /// A change of the embedded store could not be read back.
    #[error("the store cannot be read since {since}")]
    Unreadable {
        /// Since when.
        since: Timestamp,
    },
    /// The wall clocks of this machine and the database are too far apart.
    #[error(
        "this machine's wall clock is {off_ms} ms off the database's, and more than \
         {MAX_WALL_OFF_MS} ms are not served with"
    )]
    WallClock {
        /// At least.
        off_ms: u64,
    },
    /// There is no lease, or none yet.
    #[error("no lease since {since}: {why}")]
    NoLease {
        /// When it ended, or the replica began.
        since: Timestamp,
        /// What keeps it from one.
        why: &'static str,
    },
}

impl Replica {
    /// Says whether it admits requests and goes on doing so. It answers without I/O.
    ///
    /// # Errors
    /// The first thing that keeps it from it.
    pub fn readiness(&self) -> Result<(), Unready> {
        if self.draining.load(Ordering::Relaxed) || self.shutting_down.load(Ordering::Relaxed) {
            return Err(Unready::ShuttingDown);
        }
        if self.suspended.load(Ordering::Relaxed) {
            let since = self.suspended_since.get().unwrap_or_else(|| self.clock.now());
            return Err(Unready::Unreadable { since });
        }
        match &self.leasing {
            Some(leasing) if !self.hold.is_live() => Err(leasing.without(self.clock.now())),
            _ => Ok(()),
        }
    }

    /// Says from now on that it is not ready, while it goes on serving: whoever sends requests here is to
    /// stop doing so before they are refused.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }
}

/// Since when something lasts, if it does.
#[derive(Debug)]
pub(super) struct Since(AtomicI64);

/// No instant of our clocks.
const NOT: i64 = i64::MIN;

impl Default for Since {
    fn default() -> Self {
        Self(AtomicI64::new(NOT))
    }
}

impl Since {
    /// It begins now, unless it lasts already.
    pub(super) fn begins(&self, now: Timestamp) {
        let lasting = |at| (at == NOT).then_some(now.unix_ms());
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, lasting).unwrap_or_default();
    }

    pub(super) fn ends(&self) {
        self.0.store(NOT, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> Option<Timestamp> {
        Some(self.0.load(Ordering::Relaxed)).filter(|at| *at != NOT).map(Timestamp::from_unix_ms)
    }
}
