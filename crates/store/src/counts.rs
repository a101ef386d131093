//! What a replica counts for its operators. Nothing is decided by any of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::Revision;

/// Counts by one of a few names, without a lock.
#[derive(Debug)]
pub struct CountsBy<const N: usize> {
    names: [&'static str; N],
    counts: [AtomicU64; N],
    others: AtomicU64,
}

impl<const N: usize> CountsBy<N> {
    /// Begins with nothing counted.
    #[must_use]
    pub fn new(names: [&'static str; N]) -> Self {
        Self {
            names,
            counts: std::array::from_fn(|_| AtomicU64::new(0)),
            others: AtomicU64::new(0),
        }
    }

    /// Counts one more; under `other` where the name is none of these.
    pub fn count(&self, name: &str) {
        let of = self.names.iter().zip(&self.counts).find(|(one, _)| **one == name);
        of.map_or(&self.others, |(_, count)| count).fetch_add(1, Ordering::Relaxed);
    }

    /// Reads what was counted; `other` only where there was one.
    #[must_use]
    pub fn read(&self) -> Vec<(&'static str, u64)> {
        let named = self.names.iter().copied().zip(&self.counts);
        let named = named.map(|(name, count)| (name, count.load(Ordering::Relaxed)));
        let others = Some(("other", self.others.load(Ordering::Relaxed)));
        named.chain(others.filter(|(_, count)| *count > 0)).collect()
    }
}

/// The bounds of a histogram of waits, in milliseconds: what healthy replicas take, what one that must be woken
/// takes, and leases.
const BOUNDS_MS: [u64; 13] = [2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 20_000];

/// A histogram of waits.
#[derive(Debug, Default)]
pub(crate) struct WaitCounts {
    /// One for each bound, and one for what is longer.
    counts: [AtomicU64; BOUNDS_MS.len() + 1],
    sum_us: AtomicU64,
}

impl WaitCounts {
    pub(crate) fn count(&self, waited: Duration) {
        let us = u64::try_from(waited.as_micros()).unwrap_or(u64::MAX);
        let place = BOUNDS_MS.iter().position(|bound| us <= bound * 1_000);
        if let Some(count) = self.counts.get(place.unwrap_or(BOUNDS_MS.len())) {
            count.fetch_add(1, Ordering::Relaxed);
            self.sum_us.fetch_add(us, Ordering::Relaxed);
        }
    }

    pub(crate) fn read(&self) -> Waits {
        let bounds = BOUNDS_MS.map(Duration::from_millis).map(Some).into_iter().chain([None]);
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        let sum = Duration::from_micros(self.sum_us.load(Ordering::Relaxed));
        Waits { buckets: bounds.zip(counts).collect(), sum }
    }
}

/// How long was waited, and how often.
#[derive(Clone, Debug)]
pub struct Waits {
    /// How many waits were no longer than this, and longer than the bound before; the last has none.
    pub buckets: Vec<(Option<Duration>, u64)>,
    /// All of them together.
    pub sum: Duration,
}

/// What a replica has counted since it began, and how it is now.
#[derive(Clone, Debug)]
pub struct Counts {
    /// Whether it admits requests and goes on doing so.
    pub is_ready: bool,
    /// What decides now.
    pub installed: Revision,
    /// How many responses are open.
    pub open: usize,
    /// Requests that were admitted.
    pub admitted: u64,
    /// Those of them with an API key.
    pub keys_accepted: u64,
    /// Open responses that were cut, by [`crate::Cut::as_str`].
    pub cuts: Vec<(&'static str, u64)>,
    /// How long changes that were asked here waited until they were in force.
    pub waits: Waits,
    /// Changes that were not in force when they were given up, by why.
    pub not_in_force: Vec<(&'static str, u64)>,
    /// None on the embedded store.
    pub lease: Option<LeaseCounts>,
}

/// What a replica with leases has counted besides.
#[derive(Clone, Debug)]
pub struct LeaseCounts {
    /// What is installed and cut; none before the first.
    pub settled: Option<Revision>,
    /// What is left of the lease.
    pub left: Duration,
    /// Renewals and registrations, by how they went.
    pub renewals: Vec<(&'static str, u64)>,
    /// Since the database last answered about the lease; none before it first did.
    pub contact_age: Option<Duration>,
    /// How far the wall clock is from the database's, at least.
    pub wall_off: Duration,
    /// Rows of others that changes asked here have dismissed.
    pub dismissed: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_name_is_counted_as_other() {
        let counts = CountsBy::new(["one", "two"]);
        counts.count("two");
        assert_eq!(counts.read(), [("one", 0), ("two", 1)]);
        counts.count("three");
        assert_eq!(counts.read(), [("one", 0), ("two", 1), ("other", 1)]);
    }

    #[test]
    fn a_wait_counts_up_to_its_bound_and_a_long_one_beyond_all() {
        let counts = WaitCounts::default();
        for waited in [2_000, 2_001, 5_000, 20_000_001] {
            counts.count(Duration::from_micros(waited));
        }
        let Waits { buckets, sum } = counts.read();
        let filled: Vec<_> = buckets.into_iter().filter(|(_, count)| *count > 0).collect();
        let ms = |ms| Some(Duration::from_millis(ms));
        assert_eq!(filled, [(ms(2), 1), (ms(5), 2), (None, 1)]);
        assert_eq!(sum, Duration::from_micros(20_009_002));
    }
}
