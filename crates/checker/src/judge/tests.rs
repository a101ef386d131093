//! Histories made by hand, each with one violation or with what looks like one.

use keys::{ApiKeyId, ChildId, Slot};

use super::*;
use crate::history::{Event, FaultRecord, Misfortune, RequestRecord, StreamRecord, Via};

const LEASE: Duration = Duration::from_secs(2);
const PARENT: ApiKeyId = ApiKeyId::from_bytes([1; 16]);
const CHILD: ChildId = ChildId::from_bytes([2; 16]);

/// In milliseconds.
const fn at(ms: u64) -> Moment {
    Moment::from_micros(ms * 1000)
}

/// A key of the first app's primary slot, derived from its first access key, known at 100 ms.
fn key() -> KeyRecord {
    KeyRecord {
        app: 0,
        slot: Slot::Primary,
        access_key: AccessKeyId::from_bytes([7; 4]),
        id: PARENT,
        child: None,
        asked: at(50),
        known: at(100),
    }
}

fn narrowed() -> KeyRecord {
    KeyRecord { child: Some(CHILD), ..key() }
}

fn change(target: Target, began: u64, answered: Option<(u64, Outcome)>) -> ChangeRecord {
    let answered = answered.map(|(ms, outcome)| (at(ms), outcome));
    ChangeRecord { app: 0, target, via: Via::Proxy, began: at(began), answered }
}

fn regeneration(began: u64, answered: u64, outcome: Outcome) -> ChangeRecord {
    change(Target::Slot(Slot::Primary), began, Some((answered, outcome)))
}

/// With the first key.
fn request(began: u64, ended: u64, answer: Answer) -> RequestRecord {
    let (began, ended) = (at(began), at(ended));
    RequestRecord { key: 0, via: Via::Replica(0), began, ended, answer, emitted: None }
}

fn history(key: KeyRecord, change: ChangeRecord, request: RequestRecord) -> History {
    History {
        keys: vec![key],
        changes: vec![change],
        requests: vec![request],
        ..History::default()
    }
}

fn violations(history: &History) -> Vec<Violation> {
    Judge::new(LEASE).all(history).0
}

const ADMITTED: Answer = Answer::Admitted(200);
const REFUSED: Answer = Answer::Refused(401);

#[test]
fn who_began_after_the_return_must_not_be_let_in() {
    let ended = |began, ended| {
        let change = regeneration(1000, 1010, Outcome::InForce);
        violations(&history(key(), change, request(began, ended, ADMITTED)))
    };
    assert_eq!(ended(1011, 1020), [Violation::AdmittedAfterItsEnd { request: 0 }]);
    assert_eq!(ended(1010, 1020), [], "at the very moment of the return");
    assert_eq!(ended(1005, 1020), [], "while the change was under way");
}

#[test]
fn every_way_to_end_a_key_counts() {
    let late = |key, target| {
        let change = change(target, 1000, Some((1010, Outcome::InForce)));
        violations(&history(key, change, request(1100, 1110, ADMITTED)))
    };
    let found = [Violation::AdmittedAfterItsEnd { request: 0 }];
    assert_eq!(late(key(), Target::Slot(Slot::Primary)), found);
    assert_eq!(late(key(), Target::Key(PARENT)), found);
    assert_eq!(late(narrowed(), Target::Slot(Slot::Primary)), found);
    assert_eq!(late(narrowed(), Target::Key(PARENT)), found, "its parent");
    assert_eq!(late(narrowed(), Target::Child(CHILD)), found);
    assert_eq!(late(key(), Target::Child(CHILD)), [], "its child");
    assert_eq!(late(key(), Target::Slot(Slot::Secondary)), [], "the other slot");
    let other = KeyRecord { app: 1, ..key() };
    assert_eq!(late(other, Target::Slot(Slot::Primary)), [], "another app's");
}

#[test]
fn a_change_that_began_before_a_key_was_known_may_be_what_made_it() {
    let change = regeneration(90, 200, Outcome::InForce);
    let mut one = history(key(), change, request(300, 310, ADMITTED));
    assert_eq!(violations(&one), []);
    // Another key shows that their access key was there before.
    one.keys.push(KeyRecord { asked: at(10), known: at(20), ..narrowed() });
    assert_eq!(violations(&one), [Violation::AdmittedAfterItsEnd { request: 0 }]);
}

#[test]
fn nothing_is_said_of_a_change_whose_outcome_nobody_knows() {
    for outcome in
        [Outcome::NotYet, Outcome::Unknown { is_over: true }, Outcome::Unknown { is_over: false }]
    {
        for answer in [ADMITTED, REFUSED] {
            let change = regeneration(1000, 1010, outcome.clone());
            assert_eq!(violations(&history(key(), change, request(1100, 1110, answer))), []);
        }
    }
    // One that returns later ends the key all the same.
    let change = regeneration(1000, 1010, Outcome::NotYet);
    let mut twice = history(key(), change, request(3100, 3110, ADMITTED));
    twice.changes.push(regeneration(3000, 3010, Outcome::InForce));
    assert_eq!(violations(&twice), [Violation::AdmittedAfterItsEnd { request: 0 }]);
}

#[test]
fn what_was_made_after_the_return_must_not_arrive() {
    let change = || regeneration(1000, 1010, Outcome::InForce);
    let answer = |emitted| {
        let request = RequestRecord { emitted: Some(at(emitted)), ..request(990, 1100, ADMITTED) };
        violations(&history(key(), change(), request))
    };
    assert_eq!(answer(1011), [Violation::AnswerAfterItsEnd { request: 0 }]);
    assert_eq!(answer(1010), [], "made before, arrived late");

    let event = |emitted| {
        let last = Event { number: 1, emitted: at(emitted), arrived: at(2000) };
        let stream = StreamRecord {
            key: 0,
            via: Via::Proxy,
            began: at(200),
            last: Some(last),
            event_count: 1,
            ended: None,
        };
        let mut history = history(key(), change(), request(500, 510, ADMITTED));
        history.streams.push(stream);
        violations(&history)
    };
    assert_eq!(event(1011), [Violation::EventAfterItsEnd { stream: 0 }]);
    assert_eq!(event(1010), []);
}

#[test]
fn a_good_key_is_refused_for_nothing_but_the_lack_of_a_lease() {
    let later = |ended, answer| {
        let change = regeneration(1000, 1010, Outcome::InForce);
        violations(&history(key(), change, request(200, ended, answer)))
    };
    assert_eq!(later(999, REFUSED), [Violation::GoodKeyRefused { request: 0 }]);
    assert_eq!(later(1000, REFUSED), [], "the change had begun");
    assert_eq!(later(999, Answer::Unavailable), []);
    assert_eq!(later(999, Answer::Admitted(404)), [Violation::WrongAnswer { request: 0 }]);
    assert_eq!(later(999, Answer::Admitted(504)), []);
}

#[test]
fn a_key_made_after_a_change_works_at_once_if_that_was_in_force() {
    let made_after = |outcome, asked| {
        let key = KeyRecord { asked: at(asked), known: at(asked + 10), ..key() };
        let change = regeneration(1000, 1010, outcome);
        !violations(&history(key, change, request(asked + 20, asked + 30, REFUSED))).is_empty()
    };
    assert!(made_after(Outcome::InForce, 1011));
    assert!(
        !made_after(Outcome::InForce, 1010),
        "asked for while the change may have been under way"
    );
    // A lease and what a machine may be late.
    assert!(!made_after(Outcome::NotYet, 5010));
    assert!(made_after(Outcome::NotYet, 5011));
    assert!(!made_after(Outcome::Unknown { is_over: true }, 13_010));
    assert!(made_after(Outcome::Unknown { is_over: true }, 13_011));
    assert!(!made_after(Outcome::Unknown { is_over: false }, 48_010));
    assert!(made_after(Outcome::Unknown { is_over: false }, 48_011));
    assert!(made_after(Outcome::NotSent, 1005), "nothing had happened");
}

#[test]
fn a_change_takes_a_lease_and_five_seconds_and_what_its_process_was_kept_from() {
    let after = |took: u64, faults: &[(FaultKind, u64, u64)]| {
        let change = regeneration(1000, 1000 + took, Outcome::InForce);
        let mut history = history(key(), change, request(200, 210, ADMITTED));
        history.faults = faults
            .iter()
            .map(|(kind, began, ended)| FaultRecord {
                kind: *kind,
                replica: None,
                detail: String::new(),
                began: at(*began),
                ended: Some(at(*ended)),
            })
            .collect();
        violations(&history)
    };
    let too_slow = [Violation::TooSlow { change: 0 }];
    assert_eq!(after(9_000, &[]), []);
    assert_eq!(after(9_001, &[]), too_slow);
    assert_eq!(after(9_001, &[(FaultKind::Cut, 500, 999)]), too_slow, "over before");
    assert_eq!(after(23_000, &[(FaultKind::Cut, 500, 1000)]), []);
    assert_eq!(after(23_001, &[(FaultKind::Cut, 500, 1000)]), too_slow);
    assert_eq!(after(26_000, &[(FaultKind::Stop, 0, 4000)]), []);
    assert_eq!(after(26_001, &[(FaultKind::Stop, 0, 4000)]), too_slow);
}

#[test]
fn what_nobody_asked_for_is_told() {
    let change = regeneration(1000, 1010, Outcome::Refused { status: 404 });
    let mut history = history(key(), change, request(2000, 2010, ADMITTED));
    history.misfortunes.push(Misfortune { replica: 1, at: at(1), what: "it ended" });
    let found = [Violation::ChangeRefused { change: 0 }, Violation::Misfortune { misfortune: 0 }];
    assert_eq!(violations(&history), found);
}

#[test]
fn each_look_tells_what_is_new() {
    let change = regeneration(1000, 1010, Outcome::InForce);
    let mut history = history(key(), change, request(500, 510, ADMITTED));
    let mut judge = Judge::new(LEASE);
    assert_eq!(judge.look(&history, at(1500)), []);
    history.requests.push(request(2000, 2010, ADMITTED));
    assert_eq!(judge.look(&history, at(2500)), [Violation::AdmittedAfterItsEnd { request: 1 }]);
    assert_eq!(judge.look(&history, at(3500)), []);
    let (all, tally) = judge.all(&history);
    assert_eq!(all, [Violation::AdmittedAfterItsEnd { request: 1 }]);
    assert_eq!(tally, Tally { good_admitted: 1, ..Tally::default() });
}
