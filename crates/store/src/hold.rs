use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Until when this process may decide by what it has in memory, by a clock that nobody sets and that
/// goes on while the machine or the process sleeps.
#[derive(Debug)]
pub(crate) struct Hold {
    /// Nanoseconds since the machine started.
    until: AtomicU64,
}

impl Hold {
    /// For a store that only this process can change.
    pub(crate) const fn for_ever() -> Self {
        Self { until: AtomicU64::new(u64::MAX) }
    }

    /// For one that has to be extended.
    pub(crate) const fn none() -> Self {
        Self { until: AtomicU64::new(0) }
    }

    /// Whether it lasts at this instant.
    pub(crate) fn is_live(&self) -> bool {
        let until = self.until.load(Ordering::SeqCst);
        until == u64::MAX || since_boot() < Duration::from_nanos(until)
    }

    /// Lets it last until `until` at least, counted as [`since_boot`] does.
    pub(crate) fn extend(&self, until: Duration) {
        let until = u64::try_from(until.as_nanos()).unwrap_or(u64::MAX - 1);
        self.until.fetch_max(until, Ordering::SeqCst);
    }
}

/// How long the machine has been running, sleep included.
pub(crate) fn since_boot() -> Duration {
    #[cfg(target_os = "linux")]
    const CLOCK: rustix::time::ClockId = rustix::time::ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    const CLOCK: rustix::time::ClockId = rustix::time::ClockId::Monotonic;
    // The clock is never before the machine's start.
    rustix::time::clock_gettime(CLOCK).try_into().unwrap_or_default()
}
