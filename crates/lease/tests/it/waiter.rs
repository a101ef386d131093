use std::time::Duration;

use lease::{
    ChangeId, Dismissal, GIVE_UP_AFTER_LEASE, Instant, LeaseRow, Reading, Revision, RevisionName,
    RowId, Terms, Waiter, Waiting,
};

const LEASE: Duration = Duration::from_secs(10);

fn at(ms: u64) -> Instant {
    Instant::since_boot(Duration::from_millis(ms))
}

fn name(revision: i64, change: &str) -> RevisionName {
    RevisionName { revision: Revision::new(revision), change: ChangeId::new(change) }
}

fn row(id: &str, counter: i64, settled: RevisionName) -> LeaseRow {
    LeaseRow { id: RowId::new(id), counter, lease: LEASE, settled }
}

fn reading(rows: &[LeaseRow]) -> Reading {
    Reading { stands: true, rows: rows.to_vec() }
}

fn waiter() -> Waiter {
    Waiter::new(name(7, "ours"), &Terms::new(LEASE).unwrap(), at(0))
}

fn dismissed(waiting: &Waiting) -> Vec<&str> {
    match waiting {
        Waiting::Wait { dismiss, .. } => dismiss.iter().map(|row| row.id.as_str()).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn it_is_in_force_when_every_row_has_settled_it_or_more() {
    let rows = [row("a", 3, name(7, "ours")), row("b", 5, name(8, "next"))];
    assert_eq!(waiter().read(at(1), &reading(&rows)), Waiting::InForce);
    assert_eq!(waiter().read(at(1), &reading(&[])), Waiting::InForce);
}

#[test]
fn a_row_that_is_behind_is_waited_for_until_it_settles_or_goes() {
    let mut waiter = waiter();
    let rows = [row("a", 3, name(6, "before")), row("b", 5, name(6, "before"))];
    assert!(dismissed(&waiter.read(at(1), &reading(&rows))).is_empty());
    let names: Vec<_> = waiter.waiting_for().map(|awaited| awaited.row.id.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    let rows = [row("b", 6, name(7, "ours"))];
    assert_eq!(waiter.read(at(2), &reading(&rows)), Waiting::InForce);
}

#[test]
fn a_counter_is_dismissed_when_it_has_stood_for_a_lease_and_not_a_millisecond_earlier() {
    let mut waiter = waiter();
    let rows = [row("a", 3, name(6, "before"))];
    waiter.read(at(500), &reading(&rows));
    assert!(dismissed(&waiter.read(at(10_499), &reading(&rows))).is_empty());
    let Waiting::Wait { dismiss, .. } = waiter.read(at(10_500), &reading(&rows)) else { panic!() };
    assert_eq!(dismiss, [Dismissal { id: RowId::new("a"), counter: 3 }]);
}

#[test]
fn a_counter_that_moves_is_waited_for_anew() {
    let mut waiter = waiter();
    waiter.read(at(0), &reading(&[row("a", 3, name(6, "before"))]));
    let rows = [row("a", 4, name(6, "before"))];
    waiter.read(at(9_000), &reading(&rows));
    assert!(dismissed(&waiter.read(at(10_000), &reading(&rows))).is_empty());
    assert_eq!(dismissed(&waiter.read(at(19_000), &reading(&rows))), ["a"]);
}

#[test]
fn a_row_that_comes_after_the_first_reading_is_not_waited_for() {
    let mut waiter = waiter();
    waiter.read(at(0), &reading(&[row("a", 3, name(6, "before"))]));
    let rows = [row("late", 1, name(6, "before"))];
    assert_eq!(waiter.read(at(1), &reading(&rows)), Waiting::InForce);
}

#[test]
fn the_same_number_under_another_name_has_not_settled_it() {
    let rows = [row("a", 3, name(7, "theirs"))];
    assert!(matches!(waiter().read(at(0), &reading(&rows)), Waiting::Wait { .. }));
}

#[test]
fn a_change_that_no_longer_stands_is_lost() {
    let gone = Reading { stands: false, rows: Vec::new() };
    assert_eq!(waiter().read(at(0), &gone), Waiting::Lost);
}

#[test]
fn leases_are_counted_anew_by_another_connection() {
    let mut waiter = waiter();
    let rows = [row("a", 3, name(6, "before"))];
    waiter.read(at(0), &reading(&rows));
    waiter.reconnected(at(6_000));
    assert!(dismissed(&waiter.read(at(10_000), &reading(&rows))).is_empty());
    assert_eq!(dismissed(&waiter.read(at(16_000), &reading(&rows))), ["a"]);
}

#[test]
fn rows_are_read_again_soon_at_first_and_then_less_often_but_never_past_the_end_of_a_lease() {
    let mut waiter = waiter();
    let rows = [row("a", 3, name(6, "before"))];
    let mut looks = Vec::new();
    for now in [0, 2, 6, 14, 30, 62, 126, 9_990] {
        let Waiting::Wait { look_at, .. } = waiter.read(at(now), &reading(&rows)) else { panic!() };
        looks.push(look_at.saturating_since(at(now)).as_millis());
    }
    assert_eq!(looks, [2, 4, 8, 16, 32, 64, 64, 10]);
}

#[test]
fn it_gives_up_after_the_longest_lease_that_it_waits_for_and_five_seconds() {
    let mut waiter = waiter();
    assert_eq!(waiter.gives_up_at(), at(0) + LEASE + GIVE_UP_AFTER_LEASE);
    let mut slow = row("a", 3, name(6, "before"));
    slow.lease = 2 * LEASE;
    waiter.read(at(0), &reading(&[slow]));
    assert_eq!(waiter.gives_up_at(), at(0) + 2 * LEASE + GIVE_UP_AFTER_LEASE);
}
