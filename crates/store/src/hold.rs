use std::sync::Arc;
use std::time::Duration;

use keys::{Clock as _, SystemClock};
#[cfg(feature = "broken")]
use lease::broken::{self, Rule};
use lease::{Instant, Now, Term};

/// Whether this process may decide by what it has in memory, by a clock that nobody sets and that goes on
/// while the machine or the process sleeps.
#[derive(Clone, Debug)]
pub(crate) enum Hold {
    /// Only this process can change the store.
    ForEver,
    /// For as long as there is a lease.
    Lease(Arc<Term>),
}

impl Hold {
    /// Whether it lasts at this instant.
    pub(crate) fn is_live(&self) -> bool {
        match self {
            Self::ForEver => true,
            #[cfg(feature = "broken")]
            Self::Lease(_) if broken::is(Rule::NoLease) => true,
            Self::Lease(term) => term.is_live(boot()),
        }
    }
}

/// How long the machine has been running, sleep included.
pub(crate) fn boot() -> Instant {
    #[cfg(target_os = "linux")]
    const CLOCK: rustix::time::ClockId = rustix::time::ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    const CLOCK: rustix::time::ClockId = rustix::time::ClockId::Monotonic;
    // The clock is never before the machine's start.
    let shown = rustix::time::clock_gettime(CLOCK).try_into().unwrap_or(Duration::ZERO);
    Instant::since_boot(shown)
}

/// What both of the machine's clocks show.
pub(crate) fn now() -> Now {
    Now { boot: boot(), wall_ms: SystemClock.now().unix_ms() }
}
