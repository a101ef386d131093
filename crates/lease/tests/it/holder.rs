use std::time::Duration;

use lease::{
    Answer, Arrival, CATCH_UP, Call, ChangeId, Consequence, Holder, Installer, Instant, Loaded,
    Next, Now, Outcome, Revision, RevisionName, RowId, Statement, Terms, Why,
};

const LEASE: Duration = Duration::from_secs(12);

/// A replica that is driven by hand, and whose clocks stand until they are moved.
struct Replica {
    holder: Holder,
    installer: Installer,
    ms: u64,
    wall_ms: i64,
}

impl Replica {
    fn new() -> Self {
        let terms = Terms::new(LEASE).unwrap();
        Self { holder: Holder::new(terms), installer: Installer::new(), ms: 1_000, wall_ms: 0 }
    }

    /// With a lease that was granted a moment ago.
    fn with_lease() -> Self {
        let mut replica = Self::new();
        replica.reload(1);
        let call = replica.send();
        assert_eq!(replica.answer(call, Outcome::Granted), Consequence::Nothing);
        replica
    }

    fn boot(&self) -> Instant {
        Instant::since_boot(Duration::from_millis(self.ms))
    }

    fn now(&self) -> Now {
        let wall_ms = self.wall_ms + i64::try_from(self.ms).unwrap();
        Now { boot: self.boot(), wall_ms }
    }

    fn next(&mut self) -> Next {
        let id = format!("row made at {}", self.ms);
        self.holder.next(self.now(), || RowId::new(id))
    }

    fn reload(&mut self, revision: i64) {
        assert!(matches!(self.next(), Next::Reload));
        let load = self.installer.begin();
        let settled = match self.installer.loaded(load, name(revision)) {
            Loaded::Install(installing) => self.installer.cut_done(installing),
            Loaded::Current(settled) => settled,
            Loaded::Abandoned => panic!("it is the newest load"),
        };
        self.holder.settled(settled, self.boot());
    }

    fn send(&mut self) -> Call {
        match self.next() {
            Next::Send(call) => call,
            other => panic!("{other:?}"),
        }
    }

    fn answer(&mut self, call: Call, outcome: Outcome) -> Consequence {
        let database_wall_ms = i64::try_from(self.ms).unwrap();
        self.holder.answered(call, self.now(), Answer { outcome, database_wall_ms })
    }

    fn is_live(&self) -> bool {
        self.holder.term().is_live(self.boot())
    }

    fn idles(&mut self) -> bool {
        matches!(self.next(), Next::Idle { .. })
    }
}

fn name(revision: i64) -> RevisionName {
    let change = ChangeId::new(format!("change {revision}"));
    RevisionName { revision: Revision::new(revision), change }
}

fn behind(revision: i64) -> Outcome {
    Outcome::Behind { current: name(revision) }
}

#[test]
fn a_replica_loads_then_registers_and_then_serves() {
    let mut replica = Replica::new();
    assert!(!replica.is_live());
    replica.reload(1);
    assert!(!replica.is_live());
    let call = replica.send();
    let Statement::Register(renewal) = call.statement() else { panic!("{call:?}") };
    assert_eq!((renewal.settled.clone(), renewal.lease), (name(1), LEASE));
    assert!(replica.idles());
    replica.answer(call, Outcome::Granted);
    assert!(replica.is_live() && replica.idles());
}

#[test]
fn a_lease_counts_from_the_sending_and_ends_a_sixth_early_to_the_millisecond() {
    let mut replica = Replica::new();
    replica.reload(1);
    let call = replica.send();
    replica.ms += 3_000;
    replica.answer(call, Outcome::Granted);
    replica.ms = 1_000 + 10_000 - 1;
    assert!(replica.is_live());
    replica.ms += 1;
    assert!(!replica.is_live());
    let boot = replica.boot();
    assert!(replica.holder.lapse(boot));
    assert!(!replica.holder.lapse(boot));
}

#[test]
fn a_lease_is_renewed_after_a_third_and_what_is_settled_at_once() {
    let mut replica = Replica::with_lease();
    replica.ms += 4_000 - 1;
    assert!(replica.idles());
    replica.ms += 1;
    let call = replica.send();
    assert!(matches!(call.statement(), Statement::Renew(_)));
    replica.answer(call, Outcome::Granted);
    replica.holder.changed();
    replica.reload(2);
    assert!(
        matches!(replica.send().statement(), Statement::Renew(renewal) if renewal.settled == name(2))
    );
}

#[test]
fn what_is_settled_while_a_renewal_is_under_way_is_reported_after_it() {
    let mut replica = Replica::with_lease();
    replica.ms += 4_000;
    let call = replica.send();
    replica.holder.changed();
    replica.reload(2);
    assert!(replica.idles());
    replica.answer(call, Outcome::Granted);
    assert!(
        matches!(replica.send().statement(), Statement::Renew(renewal) if renewal.settled == name(2))
    );
}

#[test]
fn a_change_that_is_heard_of_during_a_load_is_loaded_after_it() {
    let mut replica = Replica::with_lease();
    replica.holder.changed();
    assert!(matches!(replica.next(), Next::Reload));
    replica.holder.changed();
    assert!(replica.idles());
    let load = replica.installer.begin();
    let Loaded::Install(installing) = replica.installer.loaded(load, name(2)) else { panic!() };
    let settled = replica.installer.cut_done(installing);
    replica.holder.settled(settled, replica.boot());
    assert!(matches!(replica.next(), Next::Reload));
}

#[test]
fn what_was_behind_when_it_was_asked_and_no_longer_is_asks_again_at_once() {
    let mut replica = Replica::with_lease();
    replica.ms += 4_000;
    let call = replica.send();
    replica.holder.changed();
    replica.reload(2);
    replica.answer(call, behind(2));
    assert!(
        matches!(replica.send().statement(), Statement::Renew(renewal) if renewal.settled == name(2))
    );
}

#[test]
fn a_lease_that_was_given_up_is_asked_for_as_soon_as_something_is_settled() {
    let mut replica = Replica::with_lease();
    replica.holder.forfeit();
    assert!(!replica.is_live());
    replica.reload(1);
    let call = replica.send();
    replica.answer(call, Outcome::Granted);
    assert!(replica.is_live());
}

#[test]
fn a_laggard_keeps_what_is_left_of_its_lease_and_loads() {
    let mut replica = Replica::with_lease();
    replica.ms += 4_000;
    let call = replica.send();
    assert_eq!(replica.answer(call, behind(2)), Consequence::Nothing);
    assert!(replica.is_live());
    replica.reload(2);
    let call = replica.send();
    replica.answer(call, Outcome::Granted);
    replica.ms += 9_999;
    assert!(replica.is_live());
}

#[test]
fn a_laggard_that_cannot_load_loses_its_lease_and_goes_on_asking() {
    let mut replica = Replica::with_lease();
    replica.holder.changed();
    for _ in 0..30 {
        while let Next::Send(call) = replica.next() {
            replica.answer(call, behind(2));
        }
        replica.holder.reload_failed(replica.boot());
        replica.ms += 500;
    }
    assert!(!replica.is_live());
    replica.reload(2);
    let call = replica.send();
    replica.answer(call, Outcome::Granted);
    assert!(replica.is_live());
}

#[test]
fn a_replica_that_was_dismissed_cuts_loads_and_registers_under_another_id() {
    let mut replica = Replica::with_lease();
    let before = replica.holder.row().unwrap().clone();
    replica.ms += 4_000;
    let call = replica.send();
    assert_eq!(replica.answer(call, Outcome::NoRow), Consequence::CutAll(Why::Dismissed));
    assert!(!replica.is_live());
    replica.reload(1);
    let call = replica.send();
    let Statement::Register(renewal) = call.statement() else { panic!("{call:?}") };
    assert_ne!(renewal.id, before);
}

#[test]
fn a_registration_without_an_answer_is_asked_after_and_does_not_count() {
    let mut replica = Replica::new();
    replica.reload(1);
    let call = replica.send();
    let Statement::Register(renewal) = call.statement().clone() else { panic!("{call:?}") };
    let now = replica.now();
    replica.holder.failed(call, now);
    assert!(!replica.is_live() && replica.idles());
    replica.ms += 500;
    let again = replica.send();
    assert_eq!(again.statement(), &Statement::Renew(renewal));
}

#[test]
fn an_answer_that_was_under_way_does_not_give_back_what_was_given_up() {
    let mut replica = Replica::with_lease();
    replica.ms += 4_000;
    let call = replica.send();
    replica.holder.forfeit();
    replica.answer(call, Outcome::Granted);
    assert!(!replica.is_live());
    replica.reload(1);
    let call = replica.send();
    replica.answer(call, Outcome::Granted);
    assert!(replica.is_live());
}

#[test]
fn a_lapse_that_nobody_noticed_cuts_when_the_next_grant_comes() {
    let mut replica = Replica::with_lease();
    replica.ms += 30_000;
    let call = replica.send();
    assert_eq!(replica.answer(call, Outcome::Granted), Consequence::CutAll(Why::Lapsed));
    assert!(replica.is_live());
}

#[test]
fn a_wall_clock_a_minute_off_serves_and_a_millisecond_more_does_not() {
    let mut replica = Replica::with_lease();
    replica.ms += 4_000;
    replica.wall_ms = 60_000;
    let call = replica.send();
    assert_eq!(replica.answer(call, Outcome::Granted), Consequence::Nothing);
    assert!(replica.is_live());
    replica.ms += 4_000;
    replica.wall_ms = -60_001;
    let call = replica.send();
    let refused = Consequence::CutAll(Why::WallClock { off_ms: 60_001 });
    assert_eq!(replica.answer(call, Outcome::Granted), refused);
    assert!(!replica.is_live());
    assert_eq!(replica.holder.arrive(replica.boot()), Arrival::Refused);
    replica.wall_ms = 0;
    replica.ms += 500;
    let call = replica.send();
    replica.answer(call, Outcome::Granted);
    assert!(replica.is_live());
}

#[test]
fn what_passed_while_an_answer_was_under_way_is_not_held_against_a_wall_clock() {
    let mut replica = Replica::with_lease();
    replica.ms += 4_000;
    replica.wall_ms = 59_000;
    let call = replica.send();
    replica.ms += 2_000;
    let database_wall_ms = i64::try_from(replica.ms).unwrap() - 2_000;
    let answer = Answer { outcome: Outcome::Granted, database_wall_ms };
    let now = replica.now();
    assert_eq!(replica.holder.answered(call, now, answer), Consequence::Nothing);
    assert_eq!(replica.holder.wall_off(), Duration::from_secs(59));
}

#[test]
fn requests_that_find_no_lease_share_one_renewal_and_one_deadline() {
    let mut replica = Replica::with_lease();
    replica.ms += 11_000;
    let until = replica.boot() + CATCH_UP;
    let boot = replica.boot();
    assert_eq!(replica.holder.arrive(boot), Arrival::Wait { until });
    let call = replica.send();
    replica.ms += 1_000;
    let boot = replica.boot();
    assert_eq!(replica.holder.arrive(boot), Arrival::Wait { until });
    assert!(replica.idles());
    replica.answer(call, Outcome::Granted);
    let boot = replica.boot();
    assert_eq!(replica.holder.arrive(boot), Arrival::Admitted);
}

#[test]
fn after_a_catch_up_that_failed_requests_are_refused_for_a_while() {
    let mut replica = Replica::with_lease();
    replica.ms += 11_000;
    let boot = replica.boot();
    assert!(matches!(replica.holder.arrive(boot), Arrival::Wait { .. }));
    replica.ms += 2_000;
    let boot = replica.boot();
    assert_eq!(replica.holder.arrive(boot), Arrival::Refused);
    replica.ms += 500;
    let boot = replica.boot();
    assert!(matches!(replica.holder.arrive(boot), Arrival::Wait { .. }));
}

#[test]
fn a_replica_that_shuts_down_admits_nothing_and_names_its_row() {
    let mut replica = Replica::with_lease();
    let row = replica.holder.row().cloned();
    assert_eq!(replica.holder.shut_down(), row);
    assert!(!replica.is_live() && replica.idles());
    assert_eq!(replica.holder.arrive(replica.boot()), Arrival::Refused);
}

#[test]
fn a_lease_of_less_than_a_second_or_more_than_five_minutes_is_refused() {
    for (ms, good) in [(999, false), (1_000, true), (300_000, true), (300_001, false)] {
        assert_eq!(Terms::new(Duration::from_millis(ms)).is_ok(), good, "{ms} ms");
    }
}

#[test]
fn a_holder_as_slow_as_can_be_stops_before_a_waiter_as_fast_as_can_be() {
    let terms = Terms::new(LEASE).unwrap();
    let held_by_the_slowest = terms.held() * 12 / 11;
    let waited_by_the_fastest = terms.lease() * 12 / 13;
    assert!(held_by_the_slowest < waited_by_the_fastest);
}
