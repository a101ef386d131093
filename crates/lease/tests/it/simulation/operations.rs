//! A regeneration, from its transaction to its answer.

use std::time::Duration;

use lease::{ChangeId, Instant, Revision, RevisionName, Waiter, Waiting};

use super::database::Key;
use super::jobs::{End, Work};
use super::rules::Broken;
use super::{Event, Local, Micros, World};

const READ_WITHIN: Duration = Duration::from_secs(2);
const READ_AGAIN: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) process: usize,
    slot: usize,
    key: Key,
    change: ChangeId,
    waiter: Option<Waiter>,
    /// Which server its connection leads to.
    pub(crate) generation: u64,
    dismissing_count: usize,
    pub(crate) began: Micros,
    /// When it began to wait, its change being committed.
    waits_from: Option<Micros>,
    pub(crate) finished: Option<(Micros, Finish)>,
}

/// What the caller of a regeneration is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finish {
    /// 200: in force everywhere.
    InForce,
    /// 503 `NotYetInForce`.
    NotYet,
    /// The database has gone back behind it.
    Lost,
    /// Nothing was changed, as far as its process knows.
    Failed,
}

impl World {
    pub(crate) fn regenerate(&mut self, process: usize) -> usize {
        let operation = self.operations.len();
        let slot = self.rng.index(self.plan.slot_count);
        let key = self.monitor.new_key();
        let change = ChangeId::new(format!("{:016x}", self.rng.next()));
        self.operations.push(Operation {
            process,
            slot,
            key,
            change: change.clone(),
            waiter: None,
            generation: self.database.generation,
            dismissing_count: 0,
            began: self.now,
            waits_from: None,
            finished: None,
        });
        if self.processes[process].life == super::process::Life::Runs {
            let work = Work::Change { operation, slot, key, change };
            self.start_job(process, work, 2 * READ_WITHIN);
        } else {
            self.end_operation(operation, Finish::Failed);
        }
        operation
    }

    /// A transaction has been committed; its client may or may not hear of it.
    pub(crate) fn committed(&mut self, job: usize) {
        let Work::Change { slot, key, .. } = self.jobs[job].work else { return };
        self.monitor.committed(slot, key);
        for process in 0..self.processes.len() {
            if !self.processes[process].is_deaf {
                let delay = self.rng.between(100, 1_500);
                self.after(delay, Event::Local { process, what: Local::Notified });
            }
        }
    }

    /// Whether a process has counted the revision up in a transaction that is not committed.
    pub(crate) fn has_counted_up(&self, process: usize) -> bool {
        let mut held = (0..self.jobs.len()).filter(|job| self.database.holds_revision(*job));
        held.any(|job| self.jobs[job].process == process)
    }

    /// A job has ended for its client: with what it has brought, or in failure.
    pub(crate) fn finish(&mut self, job: usize, end: Option<End>) {
        let process = self.jobs[job].process;
        match self.jobs[job].work {
            Work::Lease { .. } => self.finish_lease(process, job, end),
            Work::Load { .. } => self.finish_load(process, job, end),
            Work::Delete { .. } => {}
            Work::Change { operation, .. } => match end {
                Some(End::Changed(name)) => self.wait_for(operation, name),
                _ if self.jobs[job].commit_sent => self.verify(operation),
                _ => self.end_operation(operation, Finish::Failed),
            },
            Work::Verify { operation, .. } => match end {
                Some(End::Verified(Some(revision))) => self.verified(operation, revision),
                Some(_) => self.end_operation(operation, Finish::Failed),
                None => self.verify(operation),
            },
            Work::Rows { operation, .. } => match end {
                Some(End::Read(reading)) => {
                    let boot = self.processes[process].boot(self.now);
                    let reading = self.by_rule(operation, reading);
                    let waiter = self.operations[operation].waiter.as_mut().unwrap();
                    let waiting = waiter.read(boot, &reading);
                    self.on_waiting(operation, waiting);
                }
                _ => self.connect_again(operation),
            },
            Work::Dismiss { operation, .. } => {
                if end.is_none() {
                    return self.connect_again(operation);
                }
                let this = &mut self.operations[operation];
                this.dismissing_count = this.dismissing_count.saturating_sub(1);
                if this.dismissing_count == 0 {
                    self.read_rows(operation);
                }
            }
        }
    }

    /// Nobody knows whether the commit went through: ask what it would have left.
    fn verify(&mut self, operation: usize) {
        let Operation { process, ref change, .. } = self.operations[operation];
        let work = Work::Verify { operation, change: change.clone() };
        self.start_job(process, work, READ_WITHIN);
    }

    fn verified(&mut self, operation: usize, revision: Revision) {
        let change = self.operations[operation].change.clone();
        self.wait_for(operation, RevisionName { revision, change });
    }

    fn wait_for(&mut self, operation: usize, name: RevisionName) {
        let process = self.operations[operation].process;
        let boot = self.processes[process].boot(self.now);
        let this = &mut self.operations[operation];
        this.waits_from = Some(self.now);
        this.waiter = Some(Waiter::new(name, &self.terms, boot));
        this.generation = self.database.generation;
        self.processes[process].holder.changed();
        self.drive(process);
        self.read_rows(operation);
    }

    fn read_rows(&mut self, operation: usize) {
        if self.operations[operation].finished.is_some() || self.gives_up(operation) {
            return;
        }
        let Operation { process, ref change, .. } = self.operations[operation];
        let work = Work::Rows { operation, change: change.clone() };
        self.start_job(process, work, READ_WITHIN);
    }

    fn connect_again(&mut self, operation: usize) {
        let process = self.operations[operation].process;
        let boot = self.processes[process].boot(self.now);
        let this = &mut self.operations[operation];
        this.dismissing_count = 0;
        this.generation = self.database.generation;
        if self.broken != Some(Broken::CountedAcrossConnections) {
            this.waiter.as_mut().unwrap().reconnected(boot);
        }
        if !self.gives_up(operation) {
            self.at_local(process, READ_AGAIN, Local::Look { operation });
        }
    }

    fn gives_up(&mut self, operation: usize) -> bool {
        let this = &self.operations[operation];
        let boot = self.processes[this.process].boot(self.now);
        let gives_up = this.waiter.as_ref().is_some_and(|waiter| waiter.gives_up_at() <= boot);
        if gives_up {
            self.end_operation(operation, Finish::NotYet);
        }
        gives_up
    }

    pub(crate) fn on_look(&mut self, operation: usize) {
        self.read_rows(operation);
    }

    /// A waiter that only compares numbers does not see that a row has another name.
    fn by_rule(&self, operation: usize, mut reading: lease::Reading) -> lease::Reading {
        let change = &self.operations[operation].change;
        let revision = self.database.state.changes.get(change);
        if self.broken == Some(Broken::NumbersOnly) {
            for row in &mut reading.rows {
                if Some(&row.settled.revision) == revision {
                    row.settled.change = change.clone();
                }
            }
        }
        reading
    }

    fn on_waiting(&mut self, operation: usize, waiting: Waiting) {
        let process = self.operations[operation].process;
        match waiting {
            Waiting::InForce => self.end_operation(operation, Finish::InForce),
            Waiting::Lost => self.end_operation(operation, Finish::Lost),
            Waiting::Wait { dismiss, look_at } => {
                if self.gives_up(operation) {
                    return;
                }
                self.operations[operation].dismissing_count = dismiss.len();
                let boot = self.processes[process].boot(self.now);
                let look_at: Instant = look_at;
                if dismiss.is_empty() {
                    let delay = look_at.saturating_since(boot);
                    self.at_local(process, delay, Local::Look { operation });
                }
                for dismissal in dismiss {
                    let work = Work::Dismiss { operation, dismissal };
                    self.start_job(process, work, READ_WITHIN);
                }
            }
        }
    }

    /// The longest that a process which was never stopped has waited for a change, whatever came of it.
    pub(crate) fn longest_wait(&self) -> Micros {
        let unstopped = |this: &&Operation| !self.processes[this.process].was_stopped;
        let waits = self
            .operations
            .iter()
            .filter(unstopped)
            .filter_map(|this| Some(this.finished?.0 - this.waits_from?));
        waits.max().unwrap_or_default()
    }

    fn end_operation(&mut self, operation: usize, finish: Finish) {
        let Operation { slot, key, ref change, finished, .. } = self.operations[operation];
        if finished.is_some() {
            return;
        }
        // A failover between the last reading and the answer may have taken the change back.
        if finish == Finish::InForce && self.database.state.changes.contains_key(change) {
            self.monitor.returned(slot, key, self.now);
        }
        self.operations[operation].finished = Some((self.now, finish));
    }
}
