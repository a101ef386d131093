//! A transaction as its client runs it: one statement after another, over a network that delays and
//! loses, or all at once, in which case the server goes on by itself whatever becomes of the client.

use std::time::Duration;

use lease::{
    Answer, Call, ChangeId, Dismissal, Load, Outcome, Reading, Revision, RevisionName, RowId,
};

use super::database::{Executed, Key, Reply, Statement};
use super::rules::Broken;
use super::{Event, Local, Micros, SECOND, World};

#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) process: usize,
    pub(crate) work: Work,
    generation: u64,
    /// Whether the server has all statements at once.
    at_once: bool,
    /// Whether the client still waits for it.
    pub(crate) is_open: bool,
    /// Whether the server will see the end of the connection when it next looks.
    hung_up: bool,
    pub(crate) commit_sent: bool,
    step: u8,
    end: Option<End>,
    revision: Option<RevisionName>,
}

#[derive(Debug)]
pub(crate) enum Work {
    Lease { call: Option<Call>, statement: lease::Statement, sent_at: Micros },
    Load { load: Option<Load>, given_up: bool, from_standby: bool },
    Change { operation: usize, slot: usize, key: Key, change: ChangeId },
    Rows { operation: usize, change: ChangeId },
    Verify { operation: usize, change: ChangeId },
    Dismiss { operation: usize, dismissal: Dismissal },
    Delete { id: RowId },
}

/// What a job that went through has brought.
#[derive(Clone, Debug)]
pub(crate) enum End {
    Lease(Answer),
    Loaded { name: RevisionName, keys: Vec<Key> },
    Changed(RevisionName),
    Read(Reading),
    Verified(Option<Revision>),
    Deleted,
}

enum Step {
    Send(Statement),
    End(End),
}

impl World {
    pub(crate) fn start_job(&mut self, process: usize, work: Work, timeout: Duration) -> usize {
        let job = self.jobs.len();
        let single = matches!(work, Work::Rows { .. } | Work::Verify { .. } | Work::Load { .. });
        let at_once = single || self.rng.chance(self.plan.at_once);
        // A waiter keeps its connection, and a deletion goes by the one that its counter was read by.
        let generation = match &work {
            Work::Rows { operation, .. } | Work::Dismiss { operation, .. }
                if self.broken != Some(Broken::CountedAcrossConnections) =>
            {
                self.operations[*operation].generation
            }
            _ => self.database.generation,
        };
        self.jobs.push(Job {
            process,
            work,
            generation,
            at_once,
            is_open: true,
            hung_up: false,
            commit_sent: at_once,
            step: 0,
            end: None,
            revision: None,
        });
        self.at_local(process, timeout, Local::JobTimeout { job });
        let Step::Send(first) = self.script(job, None) else { panic!("nothing to send") };
        self.send_statement(job, first);
        job
    }

    fn send_statement(&mut self, job: usize, statement: Statement) {
        if matches!(statement, Statement::Commit) {
            self.jobs[job].commit_sent = true;
        }
        let process = self.jobs[job].process;
        match self.transit(process) {
            Some(delay) => self.after(delay, Event::Statement { job, statement }),
            None => self.lose(job),
        }
    }

    /// The connection is broken: the client may be told of it, or find out by its own timeout.
    fn lose(&mut self, job: usize) {
        let Job { process, .. } = self.jobs[job];
        if self.rng.chance(5_000) {
            let delay = self.rng.below(SECOND / 5);
            self.after(delay, Event::Local { process, what: Local::JobBroken { job } });
        }
        let delay = self.rng.below(4 * SECOND);
        self.after(delay, Event::HangUp { job });
    }

    /// A statement has reached the server.
    pub(crate) fn on_statement(&mut self, job: usize, statement: Statement) {
        let Job { generation, hung_up, process, .. } = self.jobs[job];
        if generation != self.database.generation || (hung_up && !self.jobs[job].at_once) {
            let delay = self.rng.between(100, 2_000);
            self.after(delay, Event::Local { process, what: Local::JobBroken { job } });
            return;
        }
        match self.database.execute(job, statement, self.now) {
            Executed::Done(reply) => self.on_executed(job, reply),
            Executed::Waits => {
                if self.broken != Some(Broken::RowHeld) {
                    let serial = self.database.sessions[&job].serial;
                    self.after(2 * SECOND, Event::LockTimeout { job, serial });
                }
            }
        }
    }

    fn on_executed(&mut self, job: usize, reply: Reply) {
        let is_commit = matches!(reply, Reply::Committed { .. });
        if is_commit {
            self.committed(job);
        }
        if self.jobs[job].at_once {
            match self.script(job, Some(reply)) {
                Step::Send(statement) => {
                    let delay = self.rng.between(20, 400);
                    self.after(delay, Event::Statement { job, statement });
                }
                Step::End(end) => {
                    self.database.roll_back(job);
                    self.answer(job, Local::JobEnded { job, end });
                }
            }
        } else if self.jobs[job].hung_up && !is_commit {
            self.database.roll_back(job);
        } else {
            if let Some(session) = self.database.sessions.get(&job)
                && self.broken != Some(Broken::RowHeld)
            {
                let serial = session.serial;
                self.after(2 * SECOND, Event::IdleTimeout { job, serial });
            }
            self.answer(job, Local::Reply { job, reply });
        }
        self.unblock();
    }

    fn answer(&mut self, job: usize, what: Local) {
        let process = self.jobs[job].process;
        match self.transit(process) {
            Some(delay) => self.after(delay, Event::Local { process, what }),
            None => self.lose(job),
        }
    }

    pub(crate) fn unblock(&mut self) {
        while let Some((job, reply)) = self.database.unblock(self.now) {
            // Each that went on may have freed others, and calls this itself.
            self.on_executed(job, reply);
        }
    }

    pub(crate) fn on_lock_timeout(&mut self, job: usize, serial: u64) {
        let waits = self.database.waits(job);
        if waits && self.database.sessions.get(&job).is_some_and(|s| s.serial == serial) {
            self.database.roll_back(job);
            let process = self.jobs[job].process;
            if let Some(delay) = self.transit(process) {
                self.after(delay, Event::Local { process, what: Local::JobBroken { job } });
            }
            self.unblock();
        }
    }

    pub(crate) fn on_idle_timeout(&mut self, job: usize, serial: u64) {
        let idle = self.database.sessions.get(&job).is_some_and(|s| s.serial == serial);
        if idle && !self.database.waits(job) {
            self.jobs[job].hung_up = true;
            self.database.roll_back(job);
            self.unblock();
        }
    }

    /// The server learns that the client is gone: at once if it is idle, later if it waits or works.
    pub(crate) fn on_hang_up(&mut self, job: usize) {
        self.jobs[job].hung_up = true;
        if !self.jobs[job].at_once && !self.database.waits(job) {
            self.database.roll_back(job);
            self.unblock();
        }
    }

    /// A reply has reached the client.
    pub(crate) fn on_reply(&mut self, job: usize, reply: Reply) {
        if !self.jobs[job].is_open {
            return;
        }
        match self.script(job, Some(reply)) {
            Step::Send(statement) => self.send_statement(job, statement),
            Step::End(end) => self.on_job_ended(job, end),
        }
    }

    pub(crate) fn on_job_ended(&mut self, job: usize, end: End) {
        if std::mem::replace(&mut self.jobs[job].is_open, false) {
            self.finish(job, Some(end));
        }
    }

    pub(crate) fn on_job_failed(&mut self, job: usize, broken: bool) {
        if !self.jobs[job].is_open {
            return;
        }
        // A load that was given up may still come: it is up to the installer to leave it.
        let is_load = matches!(self.jobs[job].work, Work::Load { .. });
        if !is_load || broken {
            self.jobs[job].is_open = false;
            let delay = self.rng.below(SECOND / 2);
            self.after(delay, Event::HangUp { job });
        }
        self.finish(job, None);
    }

    /// What is sent next, given the reply to what was sent last.
    fn script(&mut self, job: usize, reply: Option<Reply>) -> Step {
        let broken = self.broken;
        let job = &mut self.jobs[job];
        job.step += 1;
        if let Some(Reply::Committed { wall_ms }) = reply {
            let mut end = job.end.take().unwrap();
            if let End::Lease(answer) = &mut end {
                answer.database_wall_ms = wall_ms;
            }
            return Step::End(end);
        }
        match &job.work {
            Work::Lease { statement, .. } => match reply {
                None => {
                    let for_share = broken != Some(Broken::NoForShare);
                    Step::Send(Statement::ReadRevision { for_share })
                }
                Some(Reply::Revision(current)) => {
                    let (next, outcome) = renewal(statement, current, broken);
                    let answer = Answer { outcome, database_wall_ms: 0 };
                    job.end = Some(End::Lease(answer));
                    Step::Send(next)
                }
                Some(Reply::Count(count)) => {
                    if count == 0
                        && let Some(End::Lease(answer)) = &mut job.end
                    {
                        answer.outcome = Outcome::NoRow;
                    }
                    Step::Send(Statement::Commit)
                }
                other => panic!("{other:?}"),
            },
            Work::Change { slot, key, change, .. } => {
                let work = Statement::Regenerate { slot: *slot, key: *key };
                let increment = Statement::Increment { change: change.clone() };
                if let Some(Reply::Incremented(name)) = &reply {
                    job.revision = Some(name.clone());
                }
                let order = match broken {
                    Some(Broken::RowHeld) => [increment, work],
                    _ => [work, increment],
                };
                match order.into_iter().nth(usize::from(job.step) - 1) {
                    Some(statement) => Step::Send(statement),
                    None => {
                        job.end = job.revision.clone().map(End::Changed);
                        Step::Send(Statement::Commit)
                    }
                }
            }
            Work::Rows { change, .. } => match reply {
                Some(Reply::Rows { stands, rows }) => {
                    Step::End(End::Read(Reading { stands, rows }))
                }
                _ => Step::Send(Statement::ReadRows {
                    change: change.clone(),
                    live_by_wall_clock: broken == Some(Broken::DatabaseWallClock),
                }),
            },
            Work::Verify { change, .. } => match reply {
                Some(Reply::HasChange(revision)) => Step::End(End::Verified(revision)),
                _ => Step::Send(Statement::HasChange { change: change.clone() }),
            },
            Work::Load { from_standby, .. } => match reply {
                Some(Reply::Loaded { name, keys }) => Step::End(End::Loaded { name, keys }),
                _ => Step::Send(Statement::Load { from_standby: *from_standby }),
            },
            Work::Dismiss { dismissal: Dismissal { id, counter }, .. } => {
                let any = broken == Some(Broken::DismissAnyCounter);
                let counter = (!any).then_some(*counter);
                delete(&mut job.end, reply.as_ref(), id, counter)
            }
            Work::Delete { id } => delete(&mut job.end, reply.as_ref(), id, None),
        }
    }
}

fn delete(end: &mut Option<End>, reply: Option<&Reply>, id: &RowId, counter: Option<i64>) -> Step {
    if reply.is_some() {
        *end = Some(End::Deleted);
        Step::Send(Statement::Commit)
    } else {
        Step::Send(Statement::DeleteRow { id: id.clone(), counter })
    }
}

/// The second half of a renewal or a registration, given the revision that the first half has read.
fn renewal(
    statement: &lease::Statement,
    current: RevisionName,
    broken: Option<Broken>,
) -> (Statement, Outcome) {
    let (lease::Statement::Register(renewal) | lease::Statement::Renew(renewal)) = statement;
    let lease::Renewal { id, lease, settled } = renewal.clone();
    let grant = match broken {
        Some(Broken::LaggardGranted) => true,
        Some(Broken::NumbersOnly) => settled.revision == current.revision,
        _ => settled == current,
    };
    let outcome = if grant { Outcome::Granted } else { Outcome::Behind { current } };
    let next = match statement {
        lease::Statement::Register(_) if grant => {
            let replace = broken == Some(Broken::ReusedId);
            Statement::InsertRow { id, lease, settled, replace }
        }
        lease::Statement::Register(_) => Statement::Commit,
        lease::Statement::Renew(_) => {
            let writes = grant || broken == Some(Broken::ContactSettles);
            Statement::UpdateRow { id, settled: writes.then_some(settled), grant }
        }
    };
    (next, outcome)
}
