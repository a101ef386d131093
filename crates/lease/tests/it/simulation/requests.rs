//! A request and its response: register, check, forward, and then byte after byte (T2).

use std::time::Duration;

use lease::{Arrival, Instant};

use super::database::Key;
use super::rules::Broken;
use super::{Event, Local, Micros, World};

/// How soon a request that waits for a lease looks again.
const AGAIN: Duration = Duration::from_millis(25);

#[derive(Debug)]
pub(crate) struct Response {
    process: usize,
    pub(crate) slot: usize,
    pub(crate) key: Key,
    pub(crate) is_cut: bool,
    /// Until when it waits for a lease.
    waits_until: Option<Instant>,
    read_at: Micros,
    frames_left: u64,
}

impl World {
    /// A client sends a request, with a key that is good or was.
    pub(crate) fn request(&mut self, process: usize) {
        let slot = self.rng.index(self.plan.slot_count);
        let chain = &self.monitor.chains[slot];
        let back = if self.rng.chance(6_000) { 0 } else { self.rng.index(chain.len().min(4)) };
        let key = chain[chain.len() - 1 - back];
        self.request_with(process, slot, key);
    }

    pub(crate) fn request_with_newest_key(&mut self, process: usize, slot: usize) {
        let key = *self.monitor.chains[slot].last().unwrap();
        self.request_with(process, slot, key);
    }

    fn request_with(&mut self, process: usize, slot: usize, key: Key) {
        let response = self.responses.len();
        let long = self.rng.chance(3_000);
        self.responses.push(Response {
            process,
            slot,
            key,
            is_cut: false,
            waits_until: None,
            read_at: 0,
            frames_left: if long { self.rng.between(5, 60) } else { self.rng.between(0, 3) },
        });
        self.next_step(response, 300, Local::Arrive { response });
    }

    /// A request is not open while it waits for a lease: the catch-up may have to cut what is.
    pub(crate) fn on_arrive(&mut self, response: usize) {
        let Response { process, waits_until, .. } = self.responses[response];
        if self.is_live(process) {
            if self.broken != Some(Broken::RegisterAfterCheck) {
                self.processes[process].open.push(response);
            }
            return self.next_step(response, 300, Local::Check { response });
        }
        let boot = self.processes[process].boot(self.now);
        let until = match self.processes[process].holder.arrive(boot) {
            Arrival::Admitted => waits_until.unwrap_or(boot + AGAIN),
            Arrival::Wait { until } => waits_until.unwrap_or(until),
            Arrival::Refused => return self.close(response),
        };
        if until <= boot {
            return self.close(response);
        }
        self.responses[response].waits_until = Some(until);
        self.drive(process);
        self.at_local(process, AGAIN, Local::Arrive { response });
    }

    /// Most steps follow at once; some wait behind other work.
    fn next_step(&mut self, response: usize, usually: Micros, what: Local) {
        let busy = self.rng.chance(self.plan.busy);
        let delay = self.rng.between(1, if busy { 300_000 } else { usually });
        let process = self.responses[response].process;
        self.after(delay, Event::Local { process, what });
    }

    pub(crate) fn on_check(&mut self, response: usize) {
        let Response { process, slot, key, is_cut, .. } = self.responses[response];
        if is_cut || !self.is_live(process) {
            return self.close(response);
        }
        if !self.processes[process].allows(slot, key) {
            return self.close(response);
        }
        self.monitor.admitted(process, key, self.now);
        if self.broken == Some(Broken::RegisterAfterCheck) {
            self.next_step(response, 300, Local::Register { response });
        } else {
            self.next_step(response, 2_000, Local::Forward { response });
        }
    }

    pub(crate) fn on_register(&mut self, response: usize) {
        let process = self.responses[response].process;
        self.processes[process].open.push(response);
        self.next_step(response, 2_000, Local::Forward { response });
    }

    /// Asked before a request is forwarded, and of every byte after it was read.
    fn is_trusted(&self, response: usize) -> bool {
        let Response { process, is_cut, .. } = self.responses[response];
        !is_cut && (self.broken == Some(Broken::TimerOnly) || self.is_live(process))
    }

    pub(crate) fn on_forward(&mut self, response: usize) {
        if !self.is_trusted(response) {
            return self.close(response);
        }
        let Response { process, key, .. } = self.responses[response];
        self.monitor.admitted(process, key, self.now);
        self.next_step(response, 100_000, Local::Read { response });
    }

    pub(crate) fn on_read(&mut self, response: usize) {
        let this = &mut self.responses[response];
        this.read_at = self.now;
        let Some(left) = this.frames_left.checked_sub(1) else {
            return self.leave(response);
        };
        this.frames_left = left;
        self.next_step(response, 500, Local::HandOn { response });
    }

    pub(crate) fn on_hand_on(&mut self, response: usize) {
        if !self.is_trusted(response) {
            return self.close(response);
        }
        let Response { process, key, read_at, .. } = self.responses[response];
        self.monitor.delivered(process, key, read_at, self.now);
        self.next_step(response, 200_000, Local::Read { response });
    }

    fn close(&mut self, response: usize) {
        if self.responses[response].is_cut {
            self.monitor.cut_count += 1;
        } else {
            self.monitor.refused_count += 1;
        }
        self.leave(response);
    }

    fn leave(&mut self, response: usize) {
        let process = self.responses[response].process;
        self.processes[process].open.retain(|open| *open != response);
    }
}
