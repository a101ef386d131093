//! The database: committed state, sessions with their transactions, and row locks that are waited for.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use lease::{ChangeId, LeaseRow, Revision, RevisionName, RowId};

use super::{Micros, SECOND};

/// How far a standby is behind.
const STANDBY_LAG: Micros = SECOND / 2;

/// An access key: its place in the monitor's list.
pub(crate) type Key = usize;

#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) counter: i64,
    pub(crate) lease: Duration,
    pub(crate) settled: RevisionName,
    /// Only believed where that rule is broken.
    pub(crate) ends_at_wall_ms: i64,
}

#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) name: RevisionName,
    /// The access key in each slot.
    pub(crate) keys: Vec<Key>,
    pub(crate) rows: BTreeMap<RowId, Row>,
    /// What a change leaves behind that says that it stands.
    pub(crate) changes: BTreeMap<ChangeId, Revision>,
}

#[derive(Clone, Debug)]
enum Write {
    Key(usize, Key),
    Revision(RevisionName),
    Row(RowId, Row),
    Deleted(RowId),
}

impl State {
    fn apply(&mut self, writes: &[Write]) {
        for write in writes.iter().cloned() {
            match write {
                Write::Key(slot, key) => self.keys[slot] = key,
                Write::Revision(name) => {
                    self.changes.insert(name.change.clone(), name.revision);
                    self.name = name;
                }
                Write::Row(id, row) => drop(self.rows.insert(id, row)),
                Write::Deleted(id) => drop(self.rows.remove(&id)),
            }
        }
    }
}

/// One statement: it takes its lock, waits for it if need be, and then sees what is committed.
#[derive(Clone, Debug)]
pub(crate) enum Statement {
    ReadRevision { for_share: bool },
    InsertRow { id: RowId, lease: Duration, settled: RevisionName, replace: bool },
    UpdateRow { id: RowId, settled: Option<RevisionName>, grant: bool },
    DeleteRow { id: RowId, counter: Option<i64> },
    Regenerate { slot: usize, key: Key },
    Increment { change: ChangeId },
    ReadRows { change: ChangeId, live_by_wall_clock: bool },
    HasChange { change: ChangeId },
    Load { from_standby: bool },
    Commit,
}

#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Revision(RevisionName),
    Count(usize),
    Written,
    Incremented(RevisionName),
    Rows { stands: bool, rows: Vec<LeaseRow> },
    HasChange(Option<Revision>),
    Loaded { name: RevisionName, keys: Vec<Key> },
    Committed { wall_ms: i64 },
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Lock {
    Revision,
    Row(RowId),
    Slot(usize),
}

#[derive(Debug)]
struct Held {
    session: usize,
    lock: Lock,
    exclusive: bool,
}

#[derive(Debug)]
struct Wanting {
    held: Held,
    statement: Statement,
}

#[derive(Debug, Default)]
pub(crate) struct Session {
    writes: Vec<Write>,
    /// Counts what happens, so that a timer knows whether it is still meant.
    pub(crate) serial: u64,
    pub(crate) in_transaction: bool,
}

/// What became of a statement that was executed.
pub(crate) enum Executed {
    Done(Reply),
    /// It waits for a lock.
    Waits,
}

/// What it has, and what it has been sent since.
#[derive(Debug)]
struct Standby {
    state: State,
    log: VecDeque<(Micros, Rc<Vec<Write>>)>,
}

impl Standby {
    fn apply(&mut self, until: Micros) {
        while let Some((_, writes)) = self.log.pop_front_if(|(at, _)| *at <= until) {
            self.state.apply(&writes);
        }
    }
}

#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) state: State,
    pub(crate) wall_off_ms: i64,
    /// Raised by every restart and failover: connections from before are gone.
    pub(crate) generation: u64,
    pub(crate) sessions: BTreeMap<usize, Session>,
    held: Vec<Held>,
    waiting: VecDeque<Wanting>,
    standby: Standby,
    /// Renewals that a crash takes back, and what their rows were before.
    unflushed: Vec<(Micros, RowId, Option<Row>)>,
    /// Whether registrations are flushed no more than renewals are.
    pub(crate) registers_unflushed: bool,
}

impl Database {
    pub(crate) fn new(slots: usize) -> Self {
        let state = State {
            name: RevisionName { revision: Revision::new(0), change: ChangeId::new("first") },
            keys: (0..slots).collect(),
            rows: BTreeMap::new(),
            changes: BTreeMap::new(),
        };
        Self {
            standby: Standby { state: state.clone(), log: VecDeque::new() },
            unflushed: Vec::new(),
            registers_unflushed: false,
            state,
            wall_off_ms: 0,
            generation: 0,
            sessions: BTreeMap::new(),
            held: Vec::new(),
            waiting: VecDeque::new(),
        }
    }

    pub(crate) fn wall_ms(&self, now: Micros) -> i64 {
        i64::try_from(now / 1000).unwrap() + self.wall_off_ms
    }

    /// Executes a statement of `session`, which is opened by its first.
    pub(crate) fn execute(
        &mut self,
        session: usize,
        statement: Statement,
        now: Micros,
    ) -> Executed {
        let entry = self.sessions.entry(session).or_default();
        entry.serial += 1;
        entry.in_transaction = true;
        if let Some((lock, exclusive)) = lock_of(&statement) {
            let held = Held { session, lock, exclusive };
            if !self.is_free(&held) {
                self.waiting.push_back(Wanting { held, statement });
                return Executed::Waits;
            }
            self.held.push(held);
        }
        Executed::Done(self.perform(session, statement, now))
    }

    fn is_free(&self, wanted: &Held) -> bool {
        self.held.iter().all(|held| {
            held.session == wanted.session
                || held.lock != wanted.lock
                || !(held.exclusive || wanted.exclusive)
        })
    }

    fn perform(&mut self, session: usize, statement: Statement, now: Micros) -> Reply {
        let wall_ms = self.wall_ms(now);
        let state = &self.state;
        let ends_at = |lease: Duration| wall_ms + i64::try_from(lease.as_millis()).unwrap();
        let (reply, write) = match statement {
            Statement::ReadRevision { .. } => (Reply::Revision(state.name.clone()), None),
            Statement::InsertRow { id, lease, settled, replace } => {
                let before = state.rows.get(&id).filter(|_| replace);
                let counter = before.map_or(1, |row| row.counter + 1);
                let row = Row { counter, lease, settled, ends_at_wall_ms: ends_at(lease) };
                (Reply::Count(1), Some(Write::Row(id, row)))
            }
            Statement::UpdateRow { id, settled, grant } => match state.rows.get(&id).cloned() {
                None => (Reply::Count(0), None),
                Some(mut row) => {
                    if grant {
                        row.counter += 1;
                        row.ends_at_wall_ms = ends_at(row.lease);
                    }
                    if let Some(settled) = settled {
                        row.settled = settled;
                    }
                    (Reply::Count(1), Some(Write::Row(id, row)))
                }
            },
            Statement::DeleteRow { id, counter } => {
                let found = state.rows.get(&id);
                let hit = found.is_some_and(|row| counter.is_none_or(|seen| seen == row.counter));
                (Reply::Count(usize::from(hit)), hit.then_some(Write::Deleted(id)))
            }
            Statement::Regenerate { slot, key } => (Reply::Written, Some(Write::Key(slot, key))),
            Statement::Increment { change } => {
                let revision = Revision::new(state.name.revision.get() + 1);
                let name = RevisionName { revision, change };
                (Reply::Incremented(name.clone()), Some(Write::Revision(name)))
            }
            Statement::ReadRows { change, live_by_wall_clock } => {
                let live = |row: &&Row| !live_by_wall_clock || row.ends_at_wall_ms >= wall_ms;
                let read = |(id, row): (&RowId, &Row)| LeaseRow {
                    id: id.clone(),
                    counter: row.counter,
                    lease: row.lease,
                    settled: row.settled.clone(),
                };
                let rows = state.rows.iter().filter(|(_, row)| live(row)).map(read).collect();
                (Reply::Rows { stands: state.changes.contains_key(&change), rows }, None)
            }
            Statement::HasChange { change } => {
                (Reply::HasChange(state.changes.get(&change).copied()), None)
            }
            Statement::Load { from_standby } => {
                let state = if from_standby { self.standby_at(now) } else { state };
                (Reply::Loaded { name: state.name.clone(), keys: state.keys.clone() }, None)
            }
            Statement::Commit => return self.commit(session, now),
        };
        self.sessions.get_mut(&session).unwrap().writes.extend(write);
        reply
    }

    /// What a standby shows that is behind.
    fn standby_at(&mut self, now: Micros) -> &State {
        self.standby.apply(now.saturating_sub(STANDBY_LAG));
        &self.standby.state
    }

    fn commit(&mut self, session: usize, now: Micros) -> Reply {
        let writes = Rc::new(self.sessions.remove(&session).unwrap().writes);
        self.flush(&writes, now);
        self.state.apply(&writes);
        if !writes.is_empty() {
            self.standby.log.push_back((now, writes));
        }
        self.held.retain(|held| held.session != session);
        Reply::Committed { wall_ms: self.wall_ms(now) }
    }

    /// Renewals do not wait for the disk; whatever does takes all before it along.
    fn flush(&mut self, writes: &[Write], now: Micros) {
        let [write] = writes else {
            if !writes.is_empty() {
                self.unflushed.clear();
            }
            return;
        };
        match write {
            Write::Row(id, _) => match self.state.rows.get(id).cloned() {
                None if !self.registers_unflushed => self.unflushed.clear(),
                before => self.unflushed.push((now, id.clone(), before)),
            },
            Write::Key(..) | Write::Revision(_) | Write::Deleted(_) => self.unflushed.clear(),
        }
    }

    /// Whether `session` has counted the revision up, and holds it.
    pub(crate) fn holds_revision(&self, session: usize) -> bool {
        self.held
            .iter()
            .any(|held| held.session == session && held.lock == Lock::Revision && held.exclusive)
    }

    /// Ends a session and its transaction.
    pub(crate) fn roll_back(&mut self, session: usize) {
        self.sessions.remove(&session);
        self.held.retain(|held| held.session != session);
        self.waiting.retain(|wanting| wanting.held.session != session);
    }

    /// Whether `session` waits for a lock.
    pub(crate) fn waits(&self, session: usize) -> bool {
        self.waiting.iter().any(|wanting| wanting.held.session == session)
    }

    /// Performs the first statement whose lock has become free.
    pub(crate) fn unblock(&mut self, now: Micros) -> Option<(usize, Reply)> {
        let free = self.waiting.iter().position(|wanting| self.is_free(&wanting.held))?;
        let Wanting { held, statement } = self.waiting.remove(free).unwrap();
        let session = held.session;
        self.held.push(held);
        self.sessions.get_mut(&session).unwrap().serial += 1;
        Some((session, self.perform(session, statement, now)))
    }

    /// It crashes: what was committed stays, but for renewals since `flushed_at`.
    pub(crate) fn crash(&mut self, flushed_at: Micros) {
        while let Some((_, id, before)) = self.unflushed.pop_if(|(at, ..)| *at > flushed_at) {
            match before {
                Some(row) => drop(self.state.rows.insert(id, row)),
                None => drop(self.state.rows.remove(&id)),
            }
            self.standby.log.pop_back();
        }
        self.restart();
    }

    /// Every connection ends, and every transaction with it.
    fn restart(&mut self) {
        self.unflushed.clear();
        self.generation += 1;
        self.sessions.clear();
        self.held.clear();
        self.waiting.clear();
    }

    /// A standby takes over that has only what was committed up to `until`.
    pub(crate) fn fail_over(&mut self, until: Micros) {
        self.restart();
        self.standby.apply(until);
        self.standby.log.clear();
        self.state = self.standby.state.clone();
    }
}

fn lock_of(statement: &Statement) -> Option<(Lock, bool)> {
    match statement {
        Statement::ReadRevision { for_share: true } => Some((Lock::Revision, false)),
        Statement::Increment { .. } => Some((Lock::Revision, true)),
        Statement::InsertRow { id, .. }
        | Statement::UpdateRow { id, .. }
        | Statement::DeleteRow { id, .. } => Some((Lock::Row(id.clone()), true)),
        Statement::Regenerate { slot, .. } => Some((Lock::Slot(*slot), true)),
        Statement::ReadRevision { for_share: false }
        | Statement::ReadRows { .. }
        | Statement::HasChange { .. }
        | Statement::Load { .. }
        | Statement::Commit => None,
    }
}
