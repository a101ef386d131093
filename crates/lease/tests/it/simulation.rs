//! Replicas, their database, their clients and all that goes wrong between them, as one value that
//! goes from event to event. Nothing but the seed decides.

mod database;
mod faults;
mod jobs;
mod monitor;
mod operations;
mod process;
mod requests;
mod rng;
mod rules;

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::time::Duration;

use lease::Terms;

use self::database::{Database, Reply, Statement};
pub(crate) use self::faults::{Fault, Faults};
use self::jobs::{End, Job};
use self::monitor::{Monitor, Violation};
pub(crate) use self::operations::Finish;
use self::operations::Operation;
use self::process::Process;
use self::requests::Response;
use self::rng::Rng;
pub(crate) use self::rules::Broken;

/// True time, which nobody in the simulation can read.
pub(crate) type Micros = u64;

pub(crate) const SECOND: Micros = 1_000_000;

/// What world it is.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) replica_count: usize,
    pub(crate) slot_count: usize,
    pub(crate) lease: Duration,
    pub(crate) lasts: Micros,
    /// How many messages in ten thousand are late.
    pub(crate) late: u64,
    /// By how much they are at most.
    pub(crate) late_by: Micros,
    /// How many in ten thousand are lost, and the connection with them.
    pub(crate) lost: u64,
    /// How many loads in ten thousand are answered by a standby that is behind, by mistake.
    pub(crate) from_standby: u64,
    /// How many steps in ten thousand inside a process take up to 0.3 s.
    pub(crate) busy: u64,
    /// How many processes in ten thousand start without a listening connection.
    pub(crate) deaf: u64,
    /// How many transactions in ten thousand the server has as a whole from the beginning.
    pub(crate) at_once: u64,
    /// How many parts in a million clocks are off at most.
    pub(crate) clock_ppm: u64,
    pub(crate) regenerate_every: Option<Micros>,
    pub(crate) request_every: Option<Micros>,
    pub(crate) faults: Faults,
}

#[derive(Debug)]
enum Event {
    Local { process: usize, what: Local },
    Statement { job: usize, statement: Statement },
    LockTimeout { job: usize, serial: u64 },
    IdleTimeout { job: usize, serial: u64 },
    HangUp { job: usize },
    Fault(Fault),
    Regenerate,
    Request,
}

/// What happens in a process, and waits where the process is stopped.
#[derive(Debug)]
enum Local {
    Drive { serial: u64 },
    Tick,
    Notified,
    CutDone { serial: u64 },
    Reply { job: usize, reply: Reply },
    JobEnded { job: usize, end: End },
    JobBroken { job: usize },
    JobTimeout { job: usize },
    Look { operation: usize },
    Arrive { response: usize },
    Check { response: usize },
    Register { response: usize },
    Forward { response: usize },
    Read { response: usize },
    HandOn { response: usize },
}

/// What happens when; of two things at the same time, the one that was planned first.
#[derive(Debug)]
struct Scheduled {
    at: Micros,
    number: u64,
    event: Event,
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Scheduled {}

#[derive(Debug)]
pub(crate) struct World {
    plan: Plan,
    terms: Terms,
    pub(crate) broken: Option<Broken>,
    rng: Rng,
    pub(crate) now: Micros,
    queue: BinaryHeap<Scheduled>,
    scheduled_count: u64,
    database: Database,
    jobs: Vec<Job>,
    pub(crate) processes: Vec<Process>,
    responses: Vec<Response>,
    pub(crate) operations: Vec<Operation>,
    pub(crate) monitor: Monitor,
    pub(crate) step_count: u64,
}

impl World {
    pub(crate) fn new(plan: Plan, broken: Option<Broken>, seed: u64) -> Self {
        let mut world = Self {
            terms: Terms::new(plan.lease).unwrap(),
            broken,
            rng: Rng::new(seed),
            now: 0,
            queue: BinaryHeap::new(),
            scheduled_count: 0,
            database: Database::new(plan.slot_count),
            jobs: Vec::new(),
            processes: Vec::new(),
            responses: Vec::new(),
            operations: Vec::new(),
            monitor: Monitor::new(plan.slot_count),
            step_count: 0,
            plan,
        };
        world.database.registers_unflushed = broken == Some(Broken::RegistrationUnflushed);
        for machine in 0..world.plan.replica_count {
            world.start_process(machine);
        }
        world.plan_faults();
        world.again(Event::Request, world.plan.request_every);
        world.again(Event::Regenerate, world.plan.regenerate_every);
        world
    }

    /// Goes on until `until`, or until something happens that must not.
    pub(crate) fn run(&mut self, until: Micros) -> Result<(), Violation> {
        while self.queue.peek().is_some_and(|next| next.at <= until) {
            let Scheduled { at, event, .. } = self.queue.pop().unwrap();
            self.now = at;
            self.step_count += 1;
            self.happen(event);
            if let Some(violation) = self.monitor.violation.take() {
                return Err(violation);
            }
        }
        self.now = self.now.max(until);
        Ok(())
    }

    pub(crate) fn run_to_the_end(&mut self) -> Result<(), Violation> {
        self.run(self.plan.lasts)
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Local { process, what } => self.on_local(process, what),
            Event::Statement { job, statement } => self.on_statement(job, statement),
            Event::LockTimeout { job, serial } => self.on_lock_timeout(job, serial),
            Event::IdleTimeout { job, serial } => self.on_idle_timeout(job, serial),
            Event::HangUp { job } => self.on_hang_up(job),
            Event::Fault(fault) => self.on_fault(fault),
            Event::Regenerate => {
                self.again(Event::Regenerate, self.plan.regenerate_every);
                if let Some(process) = self.any_process() {
                    self.regenerate(process);
                }
            }
            Event::Request => {
                self.again(Event::Request, self.plan.request_every);
                if let Some(process) = self.any_process() {
                    self.request(process);
                }
            }
        }
    }

    /// Any process that is not dead: clients reach one that is stopped or cut off as well.
    fn any_process(&mut self) -> Option<usize> {
        let alive: Vec<usize> = (0..self.processes.len())
            .filter(|process| !self.processes[*process].is_dead())
            .collect();
        (!alive.is_empty()).then(|| alive[self.rng.index(alive.len())])
    }

    fn after(&mut self, delay: Micros, event: Event) {
        self.scheduled_count += 1;
        let (at, number) = (self.now + delay, self.scheduled_count);
        self.queue.push(Scheduled { at, number, event });
    }

    /// Lets `event` happen again, after about as long as `every`.
    fn again(&mut self, event: Event, every: Option<Micros>) {
        if let Some(every) = every {
            let delay = self.rng.between(1, 2 * every);
            self.after(delay, event);
        }
    }

    /// After `delay` by the clock of a process.
    fn at_local(&mut self, process: usize, delay: Duration, what: Local) {
        let delay = self.processes[process].true_time(delay);
        self.after(delay, Event::Local { process, what });
    }

    /// How long a message between `process` and the database takes; none if it does not arrive.
    fn transit(&mut self, process: usize) -> Option<Micros> {
        if self.processes[process].is_cut_off || self.rng.chance(self.plan.lost) {
            return None;
        }
        let late = self.rng.chance(self.plan.late);
        Some(if late { self.rng.below(self.plan.late_by) } else { self.rng.between(100, 1_500) })
    }

    fn on_local(&mut self, process: usize, what: Local) {
        if let Some(what) = self.processes[process].defer(what) {
            match what {
                Local::Drive { serial } => self.on_drive(process, serial),
                Local::Tick => self.on_tick(process),
                Local::Notified => self.on_notified(process),
                Local::CutDone { serial } => self.on_cut_done(process, serial),
                Local::Reply { job, reply } => self.on_reply(job, reply),
                Local::JobEnded { job, end } => self.on_job_ended(job, end),
                Local::JobBroken { job } => self.on_job_failed(job, true),
                Local::JobTimeout { job } => self.on_job_failed(job, false),
                Local::Look { operation } => self.on_look(operation),
                Local::Arrive { response } => self.on_arrive(response),
                Local::Check { response } => self.on_check(response),
                Local::Register { response } => self.on_register(response),
                Local::Forward { response } => self.on_forward(response),
                Local::Read { response } => self.on_read(response),
                Local::HandOn { response } => self.on_hand_on(response),
            }
        }
    }
}
