use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lease::{Answer, Instant, Outcome};

use super::Leasing;
use crate::hold::boot;
use crate::{CountsBy, LeaseCounts, Result};

/// How renewals went, and what was done to other replicas.
#[derive(Debug)]
pub(super) struct RenewalCounts {
    results: CountsBy<4>,
    /// When the database last answered, in milliseconds since the machine's start; 0 before it first did.
    contact_ms: AtomicU64,
    dismissed: AtomicU64,
}

impl Default for RenewalCounts {
    fn default() -> Self {
        let results = CountsBy::new(["granted", "behind", "dismissed", "failed"]);
        Self { results, contact_ms: AtomicU64::new(0), dismissed: AtomicU64::new(0) }
    }
}

impl RenewalCounts {
    pub(super) fn count(&self, answer: &Result<Answer>, received: Instant) {
        self.results.count(match answer.as_ref().map(|answer| &answer.outcome) {
            Ok(Outcome::Granted) => "granted",
            Ok(Outcome::Behind { .. }) => "behind",
            Ok(Outcome::NoRow) => "dismissed",
            Err(_) => "failed",
        });
        if answer.is_ok() {
            self.contact_ms.store(since_start_ms(received), Ordering::Relaxed);
        }
    }

    pub(super) fn dismissed(&self) {
        self.dismissed.fetch_add(1, Ordering::Relaxed);
    }
}

impl Leasing {
    pub(in crate::replica) fn counts(&self) -> LeaseCounts {
        let now = boot();
        let RenewalCounts { results, contact_ms, dismissed } = &self.counts;
        let contact_ms = Some(contact_ms.load(Ordering::Relaxed)).filter(|ms| *ms > 0);
        let age_ms = contact_ms.map(|at| since_start_ms(now).saturating_sub(at));
        let holder = self.holder();
        LeaseCounts {
            settled: holder.settled_name().map(|name| name.revision),
            left: holder.term().until().map_or(Duration::ZERO, |until| until.saturating_since(now)),
            renewals: results.read(),
            contact_age: age_ms.map(Duration::from_millis),
            wall_off: holder.wall_off(),
            dismissed: dismissed.load(Ordering::Relaxed),
        }
    }
}

fn since_start_ms(at: Instant) -> u64 {
    let since = at.saturating_since(Instant::since_boot(Duration::ZERO));
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
