//! What goes wrong.

use super::process::Life;
use super::{Event, Local, Micros, SECOND, World};

/// How often each thing goes wrong; never where it is none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    pub(crate) kill_every: Option<Micros>,
    /// Another process takes the place of one that still runs, and the old one goes on for a while.
    pub(crate) replace_every: Option<Micros>,
    pub(crate) stop_every: Option<Micros>,
    pub(crate) shut_down_every: Option<Micros>,
    pub(crate) cut_off_every: Option<Micros>,
    pub(crate) deafen_every: Option<Micros>,
    pub(crate) cannot_apply_every: Option<Micros>,
    pub(crate) wall_every: Option<Micros>,
    pub(crate) database_wall_every: Option<Micros>,
    pub(crate) database_restart_every: Option<Micros>,
    pub(crate) fail_over_every: Option<Micros>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    Kill,
    Start { machine: usize },
    Die { process: usize },
    Replace,
    Stop,
    Resume { process: usize },
    ShutDown,
    CutOff,
    Connect { process: usize },
    Deafen,
    CannotApply,
    CanApply { process: usize },
    Wall,
    DatabaseWall,
    DatabaseRestart,
    FailOver,
}

impl World {
    fn every(&self, fault: Fault) -> Option<Micros> {
        let faults = &self.plan.faults;
        match fault {
            Fault::Kill => faults.kill_every,
            Fault::Replace => faults.replace_every,
            Fault::Stop => faults.stop_every,
            Fault::ShutDown => faults.shut_down_every,
            Fault::CutOff => faults.cut_off_every,
            Fault::Deafen => faults.deafen_every,
            Fault::CannotApply => faults.cannot_apply_every,
            Fault::Wall => faults.wall_every,
            Fault::DatabaseWall => faults.database_wall_every,
            Fault::DatabaseRestart => faults.database_restart_every,
            Fault::FailOver => faults.fail_over_every,
            Fault::Start { .. }
            | Fault::Die { .. }
            | Fault::Resume { .. }
            | Fault::Connect { .. }
            | Fault::CanApply { .. } => None,
        }
    }

    pub(crate) fn plan_faults(&mut self) {
        for fault in [
            Fault::Kill,
            Fault::Replace,
            Fault::Stop,
            Fault::ShutDown,
            Fault::CutOff,
            Fault::Deafen,
            Fault::CannotApply,
            Fault::Wall,
            Fault::DatabaseWall,
            Fault::DatabaseRestart,
            Fault::FailOver,
        ] {
            self.again(Event::Fault(fault), self.every(fault));
        }
    }

    pub(crate) fn on_fault(&mut self, fault: Fault) {
        self.again(Event::Fault(fault), self.every(fault));
        let lease = u64::try_from(self.plan.lease.as_micros()).unwrap();
        match fault {
            Fault::Start { machine } => drop(self.start_process(machine)),
            Fault::Die { process } => self.kill(process),
            Fault::Resume { process } => self.resume(process),
            Fault::Connect { process } => self.connect(process),
            Fault::CanApply { process } => self.processes[process].cannot_apply = false,
            Fault::DatabaseWall => self.database.wall_off_ms = self.wall_step(),
            Fault::DatabaseRestart => {
                let lag = self.rng.below(SECOND * 2 / 5);
                self.database.crash(self.now.saturating_sub(lag));
                self.deafen_all();
            }
            Fault::FailOver => self.fail_over(),
            Fault::Kill
            | Fault::Replace
            | Fault::Stop
            | Fault::ShutDown
            | Fault::CutOff
            | Fault::Deafen
            | Fault::CannotApply
            | Fault::Wall => {
                if let Some(process) = self.any_process() {
                    let for_long = self.rng.between(lease / 20, 3 * lease);
                    self.on_fault_of(fault, process, for_long);
                }
            }
        }
    }

    fn wall_step(&mut self) -> i64 {
        i64::try_from(self.rng.below(140_000)).unwrap() - 70_000
    }

    fn on_fault_of(&mut self, fault: Fault, process: usize, for_long: Micros) {
        let machine = self.processes[process].machine;
        match fault {
            Fault::Kill => {
                self.kill(process);
                self.after(for_long / 2, Event::Fault(Fault::Start { machine }));
            }
            Fault::Replace => {
                if self.rng.chance(5_000) {
                    self.on_fault_of(Fault::CutOff, process, for_long);
                }
                self.after(for_long / 10, Event::Fault(Fault::Start { machine }));
                self.after(2 * for_long, Event::Fault(Fault::Die { process }));
            }
            Fault::Stop => self.stop(process, for_long),
            Fault::ShutDown => {
                self.shut_down(process);
                self.after(for_long / 10, Event::Fault(Fault::Start { machine }));
            }
            Fault::CutOff => {
                self.processes[process].is_cut_off = true;
                self.processes[process].is_deaf = true;
                self.after(for_long, Event::Fault(Fault::Connect { process }));
            }
            Fault::Deafen => self.deafen(process),
            Fault::CannotApply => {
                self.processes[process].cannot_apply = true;
                self.after(2 * for_long, Event::Fault(Fault::CanApply { process }));
            }
            Fault::Wall => self.processes[process].wall_off_ms = self.wall_step(),
            other => panic!("{other:?} is not of one process"),
        }
    }

    pub(crate) fn stop(&mut self, process: usize, for_long: Micros) {
        if self.processes[process].life == Life::Runs {
            self.processes[process].life = Life::Stopped;
            self.processes[process].was_stopped = true;
            self.after(for_long, Event::Fault(Fault::Resume { process }));
        }
    }

    /// What has waited happens in any order: what came in may be read before timers are looked at.
    fn resume(&mut self, process: usize) {
        if self.processes[process].life == Life::Stopped {
            self.processes[process].life = Life::Runs;
            for what in std::mem::take(&mut self.processes[process].backlog) {
                let delay = self.rng.below(3_000);
                self.after(delay, Event::Local { process, what });
            }
        }
    }

    fn deafen_all(&mut self) {
        for process in 0..self.processes.len() {
            self.deafen(process);
        }
    }

    /// Notifications are missed until the listening connection is made anew, which reloads.
    pub(crate) fn deafen(&mut self, process: usize) {
        self.processes[process].is_deaf = true;
        let delay = self.rng.below(3 * SECOND);
        self.after(delay, Event::Local { process, what: Local::Notified });
    }

    fn connect(&mut self, process: usize) {
        if self.processes[process].is_cut_off {
            self.processes[process].is_cut_off = false;
            // The listening connection is made anew: what was missed is not known.
            let delay = self.rng.below(2 * SECOND);
            self.after(delay, Event::Local { process, what: Local::Notified });
        }
    }

    pub(crate) fn kill(&mut self, process: usize) {
        let this = &mut self.processes[process];
        if this.life == Life::Dead {
            return;
        }
        this.life = Life::Dead;
        this.open.clear();
        this.backlog.clear();
        let cut_off = this.is_cut_off;
        let jobs: Vec<usize> = (0..self.jobs.len())
            .filter(|job| self.jobs[*job].process == process && self.jobs[*job].is_open)
            .collect();
        for job in jobs {
            let delay = self.rng.below(if cut_off { 4 * SECOND } else { 20_000 });
            self.after(delay, Event::HangUp { job });
        }
    }

    /// Cuts everything, and then deletes its row: the statement may outlive the process.
    fn shut_down(&mut self, process: usize) {
        if self.processes[process].life != Life::Runs {
            return;
        }
        let row = self.processes[process].holder.shut_down();
        self.cut_all(process);
        if let Some(id) = row {
            let timeout = std::time::Duration::from_secs(2);
            self.start_job(process, super::jobs::Work::Delete { id }, timeout);
        }
        let delay = self.rng.below(SECOND / 2);
        self.after(delay, Event::Fault(Fault::Die { process }));
    }

    /// The standby has all but what was committed last.
    fn fail_over(&mut self) {
        let lag = self.rng.below(SECOND);
        self.database.fail_over(self.now.saturating_sub(lag));
        self.deafen_all();
        self.database.wall_off_ms = i64::try_from(self.rng.below(2_000)).unwrap() - 1_000;
        self.monitor.failed_over(&self.database.state.keys);
        let lease = u64::try_from(self.plan.lease.as_micros()).unwrap();
        for process in 0..self.processes.len() {
            let is_lost = |id: &lease::RowId| !self.database.state.rows.contains_key(id);
            if !self.processes[process].is_dead() && self.rows_of(process).iter().any(is_lost) {
                self.monitor.excuse(process, self.now + lease * 5 / 4);
            }
        }
    }
}
