//! What the promise says, held against what happens. It sees everything at once, by true time.

use std::collections::BTreeMap;

use super::Micros;
use super::database::Key;

/// A byte or a request that should not have passed.
pub(crate) type Violation = String;

#[derive(Debug, Default)]
pub(crate) struct Monitor {
    /// When the call that ended it returned, for each access key.
    returned_at: Vec<Option<Micros>>,
    /// The access keys that each slot has had, in the order of their commits.
    pub(crate) chains: Vec<Vec<Key>>,
    /// Replicas for which the promise has a hole after a failover that lost their lease rows, and until when.
    excused: BTreeMap<usize, Micros>,
    pub(crate) violation: Option<Violation>,
    pub(crate) admitted_count: u64,
    pub(crate) refused_count: u64,
    pub(crate) delivered_count: u64,
    pub(crate) cut_count: u64,
    pub(crate) excused_count: u64,
}

impl Monitor {
    pub(crate) fn new(slots: usize) -> Self {
        Self {
            returned_at: vec![None; slots],
            chains: (0..slots).map(|slot| vec![slot]).collect(),
            ..Self::default()
        }
    }

    pub(crate) fn new_key(&mut self) -> Key {
        self.returned_at.push(None);
        self.returned_at.len() - 1
    }

    pub(crate) fn committed(&mut self, slot: usize, key: Key) {
        self.chains[slot].push(key);
    }

    /// The call that put `key` into `slot` has answered 200: all before it are dead.
    pub(crate) fn returned(&mut self, slot: usize, key: Key, now: Micros) {
        for old in self.chains[slot].iter().take_while(|old| **old != key) {
            self.returned_at[*old].get_or_insert(now);
        }
    }

    /// A standby has taken over: what it does not have is undone, and what it has is alive again.
    pub(crate) fn failed_over(&mut self, keys: &[Key]) {
        for (chain, key) in self.chains.iter_mut().zip(keys) {
            let place = chain.iter().position(|known| known == key).unwrap();
            chain.truncate(place + 1);
            self.returned_at[*key] = None;
        }
    }

    pub(crate) fn excuse(&mut self, process: usize, until: Micros) {
        self.excused.insert(process, until);
    }

    pub(crate) fn admitted(&mut self, process: usize, key: Key, now: Micros) {
        self.admitted_count += 1;
        self.check("admits", process, key, now, now);
    }

    /// A byte that was read from an upstream at `read_at` is handed on.
    pub(crate) fn delivered(&mut self, process: usize, key: Key, read_at: Micros, now: Micros) {
        self.delivered_count += 1;
        self.check("hands on a byte of", process, key, read_at, now);
    }

    fn check(&mut self, what: &str, process: usize, key: Key, at: Micros, now: Micros) {
        let Some(returned_at) = self.returned_at[key].filter(|returned_at| *returned_at < at)
        else {
            return;
        };
        if self.excused.get(&process).is_some_and(|until| now < *until) {
            self.excused_count += 1;
            return;
        }
        self.violation.get_or_insert_with(|| {
            let late = at - returned_at;
            format!("at {now} µs process {process} {what} key {key}, dead for {late} µs")
        });
    }
}
