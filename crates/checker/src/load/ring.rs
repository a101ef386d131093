use std::sync::Arc;

use fastrand::Rng;
use keys::Slot;

/// How many ended keys are asked with again and again; those before them have been asked with often.
const ENDED_COUNT: usize = 4_000;

/// How many of them count as ended just now.
const JUST_ENDED: usize = 12;

/// An API key that somebody has.
#[derive(Clone)]
pub(super) struct Held {
    /// Which it is in the history.
    pub(super) record: usize,
    pub(super) slot: Slot,
    pub(super) id: keys::ApiKeyId,
    pub(super) child: Option<keys::ChildId>,
    text: Arc<str>,
}

impl Held {
    pub(super) fn new(
        record: usize,
        slot: Slot,
        id: keys::ApiKeyId,
        child: Option<keys::ChildId>,
        text: &str,
    ) -> Self {
        Self { record, slot, id, child, text: text.into() }
    }

    pub(super) fn expose(&self) -> &str {
        &self.text
    }
}

/// The keys of one app: those that should work, and those that should not.
#[derive(Default)]
pub(super) struct Ring {
    current: Vec<Held>,
    ended: Vec<Held>,
    turn: usize,
}

impl Ring {
    pub(super) fn add(&mut self, held: Held) {
        self.current.push(held);
    }

    pub(super) fn extend(&mut self, held: Option<Held>) {
        self.current.extend(held);
    }

    /// One of a slot that should work.
    pub(super) fn current_of(&self, slot: Slot, rng: &mut Rng) -> Option<Held> {
        let all: Vec<&Held> = self.current.iter().filter(|held| held.slot == slot).collect();
        all.get(rng.usize(0..all.len().max(1))).copied().cloned()
    }

    /// Takes those that a change ends out of those that should work.
    pub(super) fn end(&mut self, is_ended: impl Fn(&Held) -> bool) -> Vec<Held> {
        let (ended, current) = self.current.drain(..).partition(is_ended);
        self.current = current;
        let ended: Vec<Held> = ended;
        self.ended.extend(ended.iter().cloned());
        let surplus = self.ended.len().saturating_sub(ENDED_COUNT);
        self.ended.drain(..surplus);
        ended
    }

    /// More than half of all are with keys that should work; of the others half with one of those that
    /// ended just now, half with each that has ended in turn.
    pub(super) fn pick(&mut self, rng: &mut Rng) -> Option<Held> {
        let dice = rng.u8(0..20);
        if self.ended.is_empty() || dice < 11 {
            let index = rng.usize(0..self.current.len().max(1));
            return self.current.get(index).cloned();
        }
        let index = if dice < 16 {
            self.ended.len() - 1 - rng.usize(0..self.ended.len().min(JUST_ENDED))
        } else {
            self.turn += 1;
            self.turn % self.ended.len()
        };
        self.ended.get(index).cloned()
    }
}
