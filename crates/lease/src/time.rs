use std::ops::Add;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How far a replica's wall clock may be from the database's. Beyond it the replica cannot say which
/// key has expired, so it refuses to serve.
pub const MAX_WALL_OFF_MS: u64 = 60_000;

/// How long requests wait together for a replica that has no lease to get one.
pub const CATCH_UP: Duration = Duration::from_secs(2);

/// How much longer than a lease a change is waited for before its caller is told that it is durable
/// and not yet in force.
pub const GIVE_UP_AFTER_LEASE: Duration = Duration::from_secs(5);

/// The longest that a statement on these paths may wait for a lock, run, or leave its transaction
/// idle: `lock_timeout`, `statement_timeout` and `idle_in_transaction_session_timeout`.
pub const STATEMENT_TIMEOUT: Duration = Duration::from_secs(2);

const SHORTEST_LEASE: Duration = Duration::from_secs(1);
const LONGEST_LEASE: Duration = Duration::from_secs(5 * 60);

/// A reading of this machine's `CLOCK_BOOTTIME`: it goes on while the machine sleeps, and nobody can
/// set it. Readings of two machines have nothing to do with each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(u64);

impl Instant {
    pub(crate) const EARLIEST: Self = Self(0);

    /// Takes what the clock shows.
    #[must_use]
    pub fn since_boot(shown: Duration) -> Self {
        Self(nanoseconds(shown))
    }

    /// How much later this is than `earlier`; nothing if it is not.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanoseconds(duration)))
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// What both of a machine's clocks show. Read before a statement is sent, and again after its answer
/// has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// By which leases are counted.
    pub boot: Instant,
    /// Milliseconds since 1970; only compared with the database's.
    pub wall_ms: i64,
}

/// What follows from the length of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    lease: Duration,
}

/// A lease of 10 s.
impl Default for Terms {
    fn default() -> Self {
        Self { lease: Duration::from_secs(10) }
    }
}

/// A lease of this length would not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a lease is from 1 s to 300 s long, not {} ms", .lease.as_millis())]
pub struct TermsError {
    lease: Duration,
}

impl Terms {
    /// Takes the length of a lease: what a change waits for a replica that is gone, and how long a
    /// replica that has lost the database goes on.
    ///
    /// # Errors
    /// [`TermsError`] for less than 1 s, which an ordinary pause would use up, or more than 5 min.
    pub fn new(lease: Duration) -> Result<Self, TermsError> {
        if (SHORTEST_LEASE..=LONGEST_LEASE).contains(&lease) {
            Ok(Self { lease })
        } else {
            Err(TermsError { lease })
        }
    }

    /// What stands in the lease row, and what a waiter waits by its own clock.
    #[must_use]
    pub const fn lease(&self) -> Duration {
        self.lease
    }

    /// What the holder counts by its own clock, from the sending of the renewal.
    ///
    /// A sixth less than the lease. The two clocks may run at different rates while they are being
    /// corrected; chrony slews by up to a twelfth, and (1 − 1/6) < (1 − 1/12) / (1 + 1/12): a holder as
    /// slow as that stops before a waiter as fast as that dismisses it. The kernel's own correction by
    /// NTP is at most 500 parts in a million.
    #[must_use]
    pub fn held(&self) -> Duration {
        self.lease - self.lease / 6
    }

    /// How long after the sending of a renewal the next is sent: two may fail before the lease is lost.
    #[must_use]
    pub fn renew_every(&self) -> Duration {
        self.lease / 3
    }

    /// How long a renewal or a registration is waited for before it counts as failed.
    #[must_use]
    pub fn attempt(&self) -> Duration {
        (self.lease / 3).min(STATEMENT_TIMEOUT)
    }

    /// How long after a failure the next attempt is made.
    #[must_use]
    pub fn retry(&self) -> Duration {
        (self.lease / 20).clamp(Duration::from_millis(50), Duration::from_millis(500))
    }
}

/// A lease as the path of a request sees it: until when, and nothing else. Reading it takes no lock.
#[derive(Debug, Default)]
pub struct Term(AtomicU64);

impl Term {
    /// Whether the lease is live at `now`, which was read from the clock for this question: not before
    /// the snapshot or the bytes that the answer is about were taken.
    #[must_use]
    pub fn is_live(&self, now: Instant) -> bool {
        now.0 < self.0.load(Ordering::SeqCst)
    }

    /// Until when the lease is live, if nothing renews it; none where there is no lease.
    #[must_use]
    pub fn until(&self) -> Option<Instant> {
        Some(self.0.load(Ordering::SeqCst)).filter(|until| *until > 0).map(Instant)
    }

    pub(crate) fn extend(&self, until: Instant) {
        self.0.fetch_max(until.0, Ordering::SeqCst);
    }

    pub(crate) fn end(&self) {
        self.0.store(0, Ordering::SeqCst);
    }
}
