//! Holds what happened against what is promised. It knows nothing but the history.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use keys::AccessKeyId;

use crate::history::{
    Answer, ChangeRecord, FaultKind, History, KeyRecord, Moment, Outcome, Target,
};

/// How much longer than a lease a change waits at most, as Keyward promises.
const GIVE_UP_AFTER_LEASE: Duration = Duration::from_secs(5);

/// What a transaction takes at most while the database is in trouble: the time for which it is made again, and
/// the last attempt's own.
const TRANSACTION: Duration = Duration::from_secs(14);

/// What this machine, the network and the checker take at most while they have too much to do.
const TOLERANCE: Duration = Duration::from_secs(2);

/// How long a change may still become durable that its process has given up: its last words may be on their
/// way to the database.
const ON_THEIR_WAY: Duration = Duration::from_secs(10);

/// How long one may still become durable that its process may be at: longer than that is stopped, and all
/// that it does after that.
const MAY_BECOME_DURABLE: Duration = Duration::from_secs(45);

/// How long before a key a change began at most that has to do with it. Changes are in the order of their
/// beginning.
const LONGEST_AGO: Duration = Duration::from_secs(180);

/// What was promised and did not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Violation {
    /// A request began after the return of what ended its key, and was admitted.
    AdmittedAfterItsEnd { request: usize },
    /// An answer reached a client that its upstream had made after the return of what ended the key.
    AnswerAfterItsEnd { request: usize },
    /// The same of a stream's event.
    EventAfterItsEnd { stream: usize },
    /// A key that nothing had ended was refused for itself.
    GoodKeyRefused { request: usize },
    /// A request was answered with a status that says neither.
    WrongAnswer { request: usize },
    /// A change was answered after more than a lease and 5 seconds.
    TooSlow { change: usize },
    /// A change was refused.
    ChangeRefused { change: usize },
    /// A replica ended by itself, or was not ready again.
    Misfortune { misfortune: usize },
}

/// What a good request may be answered with: what it asked for, or that its body was too slow or its upstream
/// away, as a process may think that was stopped.
const EXPECTED: [u16; 4] = [200, 408, 502, 504];

/// How many requests there were with keys of which it is certain what they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) good_admitted: usize,
    pub(crate) good_unavailable: usize,
    pub(crate) ended_refused: usize,
    pub(crate) ended_unavailable: usize,
}

impl Tally {
    const fn count(&mut self, answer: Answer, is_good: bool, is_ended: bool) {
        match (answer, is_good, is_ended) {
            (Answer::Admitted(_), true, _) => self.good_admitted += 1,
            (Answer::Unavailable, true, _) => self.good_unavailable += 1,
            (Answer::Refused(_), _, true) => self.ended_refused += 1,
            (Answer::Unavailable, _, true) => self.ended_unavailable += 1,
            _ => {}
        }
    }
}

/// The judge, and how far it has come.
#[derive(Debug)]
pub(crate) struct Judge {
    lease: Duration,
    requests_judged: usize,
    judged_at: Moment,
}

/// Which part of a history is judged.
#[derive(Clone, Copy)]
struct Part {
    first_request: usize,
    /// What ended before is left out.
    since: Moment,
}

/// What is certain of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Certain {
    /// It is good before this: no change that could end it had begun.
    good_before: Moment,
    /// It is ended for requests that begin after this.
    ended_after: Moment,
}

impl Judge {
    pub(crate) const fn new(lease: Duration) -> Self {
        Self { lease, requests_judged: 0, judged_at: Moment::START }
    }

    /// Judges what has happened since it was asked last. A violation may show only later, when the answer of
    /// what makes it one has come: [`Self::all`] finds it.
    pub(crate) fn look(&mut self, history: &History, now: Moment) -> Vec<Violation> {
        let part = Part { first_request: self.requests_judged, since: self.judged_at };
        (self.requests_judged, self.judged_at) = (history.requests.len(), now);
        self.judge(history, part).0
    }

    /// Judges everything, and counts what is certain.
    pub(crate) fn all(&self, history: &History) -> (Vec<Violation>, Tally) {
        self.judge(history, Part { first_request: 0, since: Moment::START })
    }

    fn judge(&self, history: &History, part: Part) -> (Vec<Violation>, Tally) {
        let mut found = BTreeSet::new();
        let mut tally = Tally::default();
        let mut keys = Keys::new(history, self.lease);
        let requests = history.requests.iter().enumerate().skip(part.first_request);
        for (request, record) in requests {
            let Some(certain) = keys.certain(record.key) else { continue };
            let is_good = record.ended < certain.good_before;
            let is_ended = record.began > certain.ended_after;
            tally.count(record.answer, is_good, is_ended);
            match record.answer {
                Answer::Admitted(_) if is_ended => {
                    found.insert(Violation::AdmittedAfterItsEnd { request });
                }
                Answer::Admitted(_)
                    if record.emitted.is_some_and(|emitted| emitted > certain.ended_after) =>
                {
                    found.insert(Violation::AnswerAfterItsEnd { request });
                }
                Answer::Admitted(status) if !EXPECTED.contains(&status) => {
                    found.insert(Violation::WrongAnswer { request });
                }
                Answer::Refused(_) if is_good => {
                    found.insert(Violation::GoodKeyRefused { request });
                }
                Answer::Admitted(_) | Answer::Refused(_) | Answer::Unavailable => {}
            }
        }
        for (stream, record) in history.streams.iter().enumerate() {
            if record.ended.is_some_and(|ended| ended < part.since) {
                continue;
            }
            let Some(last) = record.last else { continue };
            if keys.certain(record.key).is_some_and(|certain| last.emitted > certain.ended_after) {
                found.insert(Violation::EventAfterItsEnd { stream });
            }
        }
        for (change, record) in history.changes.iter().enumerate() {
            let Some((answered, outcome)) = &record.answered else { continue };
            if *answered < part.since {
                continue;
            }
            let took = answered.saturating_since(record.began);
            if took > self.longest(history, record, *answered) {
                found.insert(Violation::TooSlow { change });
            }
            if matches!(outcome, Outcome::Refused { .. }) {
                found.insert(Violation::ChangeRefused { change });
            }
        }
        found.extend(
            (0..history.misfortunes.len()).map(|misfortune| Violation::Misfortune { misfortune }),
        );
        (found.into_iter().collect(), tally)
    }

    /// A lease and 5 seconds; more only where the process itself stood still, or the database kept the change
    /// from becoming durable.
    fn longest(&self, history: &History, change: &ChangeRecord, answered: Moment) -> Duration {
        let mut longest = self.lease + GIVE_UP_AFTER_LEASE + TOLERANCE;
        if history.was_in_a_fault(change.began, answered) {
            longest += TRANSACTION;
        }
        let stops = history
            .faults_between(change.began, answered)
            .filter(|fault| fault.kind == FaultKind::Stop);
        for stop in stops {
            let until = stop.ended.unwrap_or(answered).min(answered);
            longest += until.saturating_since(stop.began.max(change.began));
        }
        longest
    }
}

/// What is certain of keys, worked out for each that is asked about.
struct Keys<'h> {
    history: &'h History,
    lease: Duration,
    /// When each access key was first known to be the one in its slot.
    access_keys: BTreeMap<(usize, AccessKeyId), Moment>,
    certain: BTreeMap<usize, Certain>,
}

impl<'h> Keys<'h> {
    fn new(history: &'h History, lease: Duration) -> Self {
        let mut access_keys = BTreeMap::new();
        for key in &history.keys {
            let first = access_keys.entry((key.app, key.access_key)).or_insert(key.known);
            *first = key.known.min(*first);
        }
        Self { history, lease, access_keys, certain: BTreeMap::new() }
    }

    fn certain(&mut self, index: usize) -> Option<Certain> {
        if let Some(certain) = self.certain.get(&index) {
            return Some(*certain);
        }
        let certain = self.work_out(self.history.keys.get(index)?);
        self.certain.insert(index, certain);
        Some(certain)
    }

    fn work_out(&self, key: &KeyRecord) -> Certain {
        let mut certain = Certain { good_before: Moment::END, ended_after: Moment::END };
        let in_slot = self.access_keys.get(&(key.app, key.access_key)).copied();
        let first_began = key.asked.saturating_sub(LONGEST_AGO);
        let first = self.history.changes.partition_point(|change| change.began < first_began);
        let later = self.history.changes.iter().skip(first);
        for change in later.filter(|change| concerns(change, key)) {
            // Whoever began when the access key was in its slot already has ended it, whichever came first.
            let is_of_this_key = match change.target {
                Target::Slot(_) => in_slot.is_some_and(|known| change.began >= known),
                Target::Key(_) | Target::Child(_) => true,
            };
            if let Some((answered, Outcome::InForce)) = change.answered
                && is_of_this_key
            {
                certain.ended_after = certain.ended_after.min(answered);
            }
            if self.may_happen_until(change) >= key.asked {
                certain.good_before = certain.good_before.min(change.began);
            }
        }
        certain
    }

    /// Until when a change may still end what is in its slot, or be unknown to a replica that has a lease.
    fn may_happen_until(&self, change: &ChangeRecord) -> Moment {
        match &change.answered {
            None => Moment::END,
            Some((answered, Outcome::InForce)) => *answered,
            Some((answered, Outcome::NotYet)) => *answered + self.lease + TOLERANCE,
            Some((answered, Outcome::Unknown { is_over: true })) => {
                *answered + self.lease + ON_THEIR_WAY
            }
            Some((answered, Outcome::Unknown { is_over: false })) => {
                *answered + self.lease + MAY_BECOME_DURABLE
            }
            // It has done nothing.
            Some((_, Outcome::NotSent | Outcome::Refused { .. })) => Moment::START,
        }
    }
}

fn concerns(change: &ChangeRecord, key: &KeyRecord) -> bool {
    change.app == key.app
        && match change.target {
            Target::Slot(slot) => slot == key.slot,
            Target::Key(id) => id == key.id,
            Target::Child(id) => key.child == Some(id),
        }
}

#[cfg(test)]
mod tests;
