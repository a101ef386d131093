//! A replica's process: its clocks, its lease, its snapshot, and what drives them.

use std::sync::Arc;
use std::time::Duration;

use lease::{
    Consequence, Holder, Installer, Installing, Instant, Loaded, Next, Now, RevisionName, RowId,
    Statement, Term,
};

use super::database::Key;
use super::jobs::{End, Work};
use super::rules::Broken;
use super::{Event, Local, Micros, World};

/// How often a replica looks whether its lease has lapsed.
const TICK: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Runs,
    Stopped,
    Dead,
}

#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) machine: usize,
    pub(crate) life: Life,
    pub(crate) was_stopped: bool,
    /// What happened while it was stopped.
    pub(super) backlog: Vec<Local>,
    pub(crate) is_cut_off: bool,
    /// Its listening connection has ended, and it does not know yet.
    pub(crate) is_deaf: bool,
    /// It lacks a master key, or is older than what was deployed.
    pub(crate) cannot_apply: bool,
    pub(crate) wall_off_ms: i64,
    boot_offset: Micros,
    /// How many of its seconds a million true ones are.
    clock_rate: u64,
    pub(crate) holder: Holder,
    pub(crate) term: Arc<Term>,
    installer: Installer,
    snapshot: Option<Vec<Key>>,
    installing: Option<(Installing, u64)>,
    drive_serial: u64,
    /// Its lease, where the rule by which it is counted is broken.
    wrong_until: Instant,
    pub(crate) open: Vec<usize>,
}

impl Process {
    pub(crate) fn is_dead(&self) -> bool {
        self.life == Life::Dead
    }

    pub(crate) fn boot(&self, now: Micros) -> Instant {
        let shown = self.boot_offset + now * self.clock_rate / 1_000_000;
        Instant::since_boot(Duration::from_micros(shown))
    }

    pub(crate) fn now(&self, now: Micros) -> Now {
        let wall_ms = i64::try_from(now / 1000).unwrap() + self.wall_off_ms;
        Now { boot: self.boot(now), wall_ms }
    }

    pub(crate) fn true_time(&self, delay: Duration) -> Micros {
        u64::try_from(delay.as_micros()).unwrap() * 1_000_000 / self.clock_rate + 1
    }

    pub(crate) fn allows(&self, slot: usize, key: Key) -> bool {
        self.snapshot.as_ref().is_some_and(|keys| keys[slot] == key)
    }

    /// Keeps what happens to a stopped process until it goes on.
    pub(super) fn defer(&mut self, what: Local) -> Option<Local> {
        match self.life {
            Life::Runs => Some(what),
            Life::Stopped => {
                self.backlog.push(what);
                None
            }
            Life::Dead => None,
        }
    }
}

impl World {
    pub(crate) fn start_process(&mut self, machine: usize) -> usize {
        let process = self.processes.len();
        // A process that starts on a machine that is there has its clocks.
        let known = self.processes.iter().find(|known| known.machine == machine);
        let clocks = known.map(|known| (known.boot_offset, known.clock_rate, known.wall_off_ms));
        let ppm = self.plan.clock_ppm;
        let (boot_offset, clock_rate, wall_off_ms) = clocks.unwrap_or_else(|| {
            let clock_rate = match self.rng.below(4) {
                0 => 1_000_000 - ppm,
                1 => 1_000_000 + ppm,
                _ => 1_000_000 - ppm + self.rng.below(2 * ppm + 1),
            };
            (self.rng.below(1_000_000_000), clock_rate, 0)
        });
        let holder = Holder::new(self.terms);
        self.processes.push(Process {
            machine,
            life: Life::Runs,
            was_stopped: false,
            backlog: Vec::new(),
            is_cut_off: false,
            is_deaf: false,
            cannot_apply: false,
            wall_off_ms,
            boot_offset,
            clock_rate,
            term: holder.term(),
            holder,
            installer: Installer::new(),
            snapshot: None,
            installing: None,
            drive_serial: 0,
            wrong_until: Instant::default(),
            open: Vec::new(),
        });
        let delay = self.rng.below(20_000);
        self.after(delay, Event::Local { process, what: Local::Drive { serial: 0 } });
        self.at_local(process, TICK, Local::Tick);
        if self.rng.chance(self.plan.deaf) {
            self.deafen(process);
        }
        process
    }

    pub(crate) fn on_drive(&mut self, process: usize, serial: u64) {
        if self.processes[process].drive_serial == serial {
            self.drive(process);
        }
    }

    /// Does what the holder asks for until it asks for nothing.
    pub(crate) fn drive(&mut self, process: usize) {
        loop {
            let this = &mut self.processes[process];
            let now = this.now(self.now);
            let (rng, machine) = (&mut self.rng, this.machine);
            let broken = self.broken;
            let id = || match broken {
                Some(Broken::ReusedId) => RowId::new(format!("machine {machine}")),
                _ => RowId::new(format!("{:016x}", rng.next())),
            };
            match this.holder.next(now, id) {
                Next::Reload => {
                    let load = Some(self.processes[process].installer.begin());
                    let timeout = Duration::from_millis(self.rng.between(100, 2_000));
                    let from_standby = self.rng.chance(self.plan.from_standby);
                    let work = Work::Load { load, given_up: false, from_standby };
                    self.start_job(process, work, timeout);
                }
                Next::Send(call) => {
                    let statement = call.statement().clone();
                    let work = Work::Lease { call: Some(call), statement, sent_at: self.now };
                    self.start_job(process, work, self.terms.attempt());
                }
                Next::Idle { until } => {
                    let this = &mut self.processes[process];
                    this.drive_serial += 1;
                    let serial = this.drive_serial;
                    let delay = until.saturating_since(now.boot);
                    self.at_local(process, delay, Local::Drive { serial });
                    return;
                }
            }
        }
    }

    pub(crate) fn on_notified(&mut self, process: usize) {
        if !self.processes[process].is_cut_off {
            self.processes[process].is_deaf = false;
            self.processes[process].holder.changed();
            self.drive(process);
        }
    }

    /// The chore that ends what is idle when the lease has lapsed.
    pub(crate) fn on_tick(&mut self, process: usize) {
        let boot = self.processes[process].boot(self.now);
        // Where its lease is counted wrongly, it is still live here.
        if self.processes[process].holder.lapse(boot) && !self.is_live(process) {
            self.cut_all(process);
        }
        self.at_local(process, TICK, Local::Tick);
    }

    /// Whether a process may decide by its snapshot at this instant.
    pub(crate) fn is_live(&self, process: usize) -> bool {
        let this = &self.processes[process];
        let boot = this.boot(self.now);
        match self.broken {
            Some(Broken::PastLease) => this.snapshot.is_some(),
            Some(Broken::FromReceipt | Broken::NoMargin) => boot < this.wrong_until,
            _ => this.term.is_live(boot),
        }
    }

    /// Takes the end of a job of the holder's.
    pub(crate) fn finish_lease(&mut self, process: usize, job: usize, end: Option<End>) {
        let Work::Lease { call, sent_at, .. } = &mut self.jobs[job].work else {
            panic!("another job")
        };
        let (call, sent_at) = (call.take().unwrap(), *sent_at);
        let now = self.now;
        let terms = self.terms;
        let broken = self.broken;
        let this = &mut self.processes[process];
        match end {
            Some(End::Lease(answer)) => {
                let granted = answer.outcome == lease::Outcome::Granted;
                let consequence = this.holder.answered(call, this.now(now), answer);
                let counted_from = match broken {
                    Some(Broken::FromReceipt) => Some(this.boot(now) + terms.held()),
                    Some(Broken::NoMargin) => Some(this.boot(sent_at) + terms.lease()),
                    _ => None,
                };
                if let (true, Some(until)) = (granted, counted_from) {
                    this.wrong_until = until;
                }
                if this.term.until().is_none() {
                    this.wrong_until = Instant::default();
                }
                if let Consequence::CutAll(_) = consequence {
                    self.cut_all(process);
                }
            }
            _ => this.holder.failed(call, this.now(now)),
        }
        self.drive(process);
    }

    /// Takes what a load has read; none where it failed.
    pub(crate) fn finish_load(&mut self, process: usize, job: usize, end: Option<End>) {
        let Work::Load { load, given_up, .. } = &mut self.jobs[job].work else {
            panic!("another job")
        };
        let broken = self.broken;
        let boot = self.processes[process].boot(self.now);
        let this = &mut self.processes[process];
        let Some(End::Loaded { name, keys }) = end.filter(|_| !this.cannot_apply) else {
            if !std::mem::replace(given_up, true) {
                this.holder.reload_failed(boot);
                self.drive(process);
            }
            return;
        };
        let load = load.take().unwrap();
        let (load, name) = match broken {
            Some(Broken::OlderInstalled) => (this.installer.begin(), name),
            Some(Broken::NumbersOnly) => (load, by_number(name, this.installer.installed())),
            _ => (load, name),
        };
        match this.installer.loaded(load, name) {
            Loaded::Abandoned => {}
            Loaded::Current(settled) => this.holder.settled(settled, boot),
            Loaded::Install(installing) => {
                let keeps = matches!(broken, Some(Broken::OlderInstalled | Broken::LeaseKept));
                if installing.replaces_history() && !keeps {
                    this.holder.forfeit();
                    self.cut_all(process);
                }
                let this = &mut self.processes[process];
                this.snapshot = Some(keys);
                if broken == Some(Broken::AcknowledgeBeforeCut) {
                    let settled = this.installer.cut_done(installing);
                    this.holder.settled(settled, boot);
                    let delay = self.rng.below(200_000);
                    self.after(delay, Event::Local { process, what: Local::CutDone { serial: 0 } });
                } else {
                    let serial = this.installing.as_ref().map_or(1, |(_, serial)| serial + 1);
                    this.installing = Some((installing, serial));
                    let busy = self.rng.chance(self.plan.busy);
                    let delay = self.rng.below(if busy { 300_000 } else { 300 });
                    self.after(delay, Event::Local { process, what: Local::CutDone { serial } });
                }
            }
        }
        self.drive(process);
    }

    /// The judging of open responses comes some time after the snapshot has begun to decide.
    pub(crate) fn on_cut_done(&mut self, process: usize, serial: u64) {
        for response in self.processes[process].open.clone() {
            let (slot, key) = (self.responses[response].slot, self.responses[response].key);
            if !self.processes[process].allows(slot, key) {
                self.responses[response].is_cut = true;
            }
        }
        let boot = self.processes[process].boot(self.now);
        let this = &mut self.processes[process];
        if let Some((installing, _)) = this.installing.take_if(|(_, newest)| *newest == serial) {
            let settled = this.installer.cut_done(installing);
            this.holder.settled(settled, boot);
            self.drive(process);
        }
    }

    pub(crate) fn cut_all(&mut self, process: usize) {
        for response in &self.processes[process].open {
            self.responses[*response].is_cut = true;
        }
    }

    /// The lease row of a process, or the one that it is about to make.
    pub(crate) fn rows_of(&self, process: usize) -> Vec<RowId> {
        let asked = self.jobs.iter().filter(|job| job.process == process && job.is_open);
        let asked = asked.filter_map(|job| match &job.work {
            Work::Lease { statement: Statement::Register(renewal), .. } => Some(renewal.id.clone()),
            _ => None,
        });
        self.processes[process].holder.row().cloned().into_iter().chain(asked).collect()
    }
}

/// A replica that only compares numbers takes what is not newer for what it has.
fn by_number(name: RevisionName, installed: Option<&RevisionName>) -> RevisionName {
    match installed {
        Some(installed) if installed.revision >= name.revision => installed.clone(),
        _ => name,
    }
}
