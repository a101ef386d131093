//! Takes down what happens, by one clock.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::history::{
    Answer, ChangeRecord, Event, FaultKind, FaultRecord, History, KeyRecord, Misfortune, Moment,
    Outcome, RequestRecord, StreamRecord, Target, Via,
};

/// Where everybody writes what happened. Copies are the same.
#[derive(Clone, Debug)]
pub(crate) struct Recorder(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    began: Instant,
    history: Mutex<History>,
}

impl Recorder {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Shared { began: Instant::now(), history: Mutex::default() }))
    }

    pub(crate) fn now(&self) -> Moment {
        let micros = self.0.began.elapsed().as_micros();
        Moment::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    pub(crate) fn history(&self) -> MutexGuard<'_, History> {
        self.0.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn key(&self, key: KeyRecord) -> usize {
        push(&mut self.history().keys, key)
    }

    /// The moment is taken under the lock: changes stand in the order of their beginning.
    pub(crate) fn change_begins(&self, app: usize, target: Target, via: Via) -> usize {
        let mut history = self.history();
        let began = self.now();
        push(&mut history.changes, ChangeRecord { app, target, via, began, answered: None })
    }

    /// Every request that begins later than the moment that is taken here finds the change in the history.
    pub(crate) fn change_ends(&self, change: usize, outcome: Outcome) {
        let mut history = self.history();
        let now = self.now();
        if let Some(change) = history.changes.get_mut(change) {
            change.answered = Some((now, outcome));
        }
    }

    pub(crate) fn request(&self, request: RequestRecord) {
        self.history().requests.push(request);
    }

    /// A stream that was opened; its opening is a request as well.
    pub(crate) fn stream_begins(&self, key: usize, via: Via, began: Moment) -> usize {
        let record = StreamRecord { key, via, began, last: None, event_count: 0, ended: None };
        push(&mut self.history().streams, record)
    }

    pub(crate) fn event(&self, stream: usize, number: u64, emitted: Moment) {
        let arrived = self.now();
        if let Some(stream) = self.history().streams.get_mut(stream) {
            stream.event_count += 1;
            if stream.last.is_none_or(|last| last.emitted <= emitted) {
                stream.last = Some(Event { number, emitted, arrived });
            }
        }
    }

    pub(crate) fn stream_ends(&self, stream: usize) {
        let now = self.now();
        if let Some(stream) = self.history().streams.get_mut(stream) {
            stream.ended = Some(now);
        }
    }

    pub(crate) fn fault_begins(
        &self,
        kind: FaultKind,
        replica: Option<usize>,
        detail: String,
    ) -> usize {
        let began = self.now();
        let fault = FaultRecord { kind, replica, detail, began, ended: None };
        push(&mut self.history().faults, fault)
    }

    pub(crate) fn fault_ends(&self, fault: usize) {
        let now = self.now();
        if let Some(fault) = self.history().faults.get_mut(fault) {
            fault.ended = Some(now);
        }
    }

    pub(crate) fn misfortune(&self, replica: usize, what: &'static str) {
        let at = self.now();
        self.history().misfortunes.push(Misfortune { replica, at, what });
    }

    /// A request's record, ended now.
    pub(crate) fn answered(
        &self,
        (key, via, began): (usize, Via, Moment),
        answer: Answer,
        emitted: Option<Moment>,
    ) {
        let ended = self.now();
        self.request(RequestRecord { key, via, began, ended, answer, emitted });
    }
}

fn push<T>(all: &mut Vec<T>, one: T) -> usize {
    all.push(one);
    all.len() - 1
}
