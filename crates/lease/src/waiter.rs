use std::collections::BTreeMap;
use std::time::Duration;

use crate::time::GIVE_UP_AFTER_LEASE;
use crate::{Dismissal, Instant, LeaseRow, Reading, RevisionName, RowId, Terms};

/// How soon rows are read again at first; each time it is doubled.
const LOOK_FIRST: Duration = Duration::from_millis(2);

/// How seldom rows are read at most.
const LOOK_AT_LEAST_EVERY: Duration = Duration::from_millis(64);

/// Waits until a change is in force everywhere (T4, T5).
///
/// It is made after the change is known to have been committed, and is fed what is read of the lease
/// rows from then on.
///
/// Only rows of the *first* reading are waited for. A row that appears later was made by a
/// transaction that locked the revision after the change: it was granted for this change or a later one.
/// So a process that starts again and again holds up nobody. For the same reason the counter of a row
/// that is behind cannot rise any more. It is compared all the same, and a deletion names it.
#[derive(Debug)]
pub struct Waiter {
    change: RevisionName,
    began: Instant,
    longest_lease: Duration,
    awaited: Option<BTreeMap<RowId, Awaited>>,
    pause: Duration,
}

/// A replica that a change waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Awaited {
    /// Its row as it was read last.
    pub row: LeaseRow,
    /// When the waiter had first read the row's counter, by the waiter's clock.
    pub since: Instant,
}

impl Awaited {
    fn ends_at(&self) -> Instant {
        self.since + self.row.lease
    }
}

/// What a waiter makes of a reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// No replica decides by anything older than the change any more, and none will.
    InForce,
    /// The database has gone back behind the change, which no longer stands.
    Lost,
    /// Not yet.
    Wait {
        /// Whose lease has certainly ended: delete these, and read again at once.
        dismiss: Vec<Dismissal>,
        /// When to read again.
        look_at: Instant,
    },
}

impl Waiter {
    /// Begins to wait for `change` at `now`.
    #[must_use]
    pub const fn new(change: RevisionName, terms: &Terms, now: Instant) -> Self {
        Self { change, began: now, longest_lease: terms.lease(), awaited: None, pause: LOOK_FIRST }
    }

    /// Takes a reading. `received` is the waiter's own clock *after* the answer came: a renewal that it
    /// shows was sent before that, and its lease ends within a lease from then.
    pub fn read(&mut self, received: Instant, reading: &Reading) -> Waiting {
        if !reading.stands {
            return Waiting::Lost;
        }
        let before = self.awaited.take();
        let mut awaited = BTreeMap::new();
        for row in reading.rows.iter().filter(|row| !row.settled.includes(&self.change)) {
            let since = match &before {
                None => received,
                Some(before) => match before.get(&row.id) {
                    None => continue,
                    Some(seen) if seen.row.counter == row.counter => seen.since,
                    Some(_) => received,
                },
            };
            self.longest_lease = self.longest_lease.max(row.lease);
            awaited.insert(row.id.clone(), Awaited { row: row.clone(), since });
        }
        let waiting = self.judge(&awaited, received);
        self.awaited = Some(awaited);
        waiting
    }

    fn judge(&mut self, awaited: &BTreeMap<RowId, Awaited>, now: Instant) -> Waiting {
        let Some(first_end) = awaited.values().map(Awaited::ends_at).min() else {
            return Waiting::InForce;
        };
        let dismiss = awaited
            .values()
            .filter(|awaited| awaited.ends_at() <= now)
            .map(|Awaited { row, .. }| Dismissal { id: row.id.clone(), counter: row.counter })
            .collect();
        let look_at = (now + self.pause).min(first_end.max(now));
        self.pause = (self.pause * 2).min(LOOK_AT_LEAST_EVERY);
        Waiting::Wait { dismiss, look_at }
    }

    /// Takes the word that the connection by which rows were read had to be made anew. It may lead to
    /// another server, which has not every renewal that the first had shown: leases are counted anew,
    /// and a deletion must not be sent by any connection but the one that the counter was read by.
    pub fn reconnected(&mut self, now: Instant) {
        for awaited in self.awaited.iter_mut().flat_map(BTreeMap::values_mut) {
            awaited.since = now;
        }
    }

    /// When to give up: a lease (the longest of those that are waited for) and
    /// [`GIVE_UP_AFTER_LEASE`] after the change. It is durable then, and not yet in force.
    #[must_use]
    pub fn gives_up_at(&self) -> Instant {
        self.began + self.longest_lease + GIVE_UP_AFTER_LEASE
    }

    /// Lists for whom it waits; nothing before the first reading.
    pub fn waiting_for(&self) -> impl Iterator<Item = &Awaited> {
        self.awaited.iter().flat_map(BTreeMap::values)
    }
}
