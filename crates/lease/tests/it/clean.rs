use crate::figures::{asked_for, report};
use crate::plans::{Kind, crashes, cut_off, failovers, late, misled, rough, starts, stopped};
use crate::simulation::{Finish, SECOND, World};

/// How many worlds of each kind an ordinary run goes through.
const SEEDS: u64 = 25;

/// Runs worlds of one kind in which no rule is broken, and in which enough happens to mean something.
fn is_clean(name: &str, kind: Kind) {
    let seeds = asked_for().unwrap_or(SEEDS);
    let mut step_count = 0;
    let mut admitted_count = 0;
    let mut delivered_count = 0;
    let mut cut_count = 0;
    let mut excused_count = 0;
    let mut finished = [0_u64; 4];
    for seed in 0..seeds {
        let mut world = World::new(kind(seed), None, seed);
        if let Err(violation) = world.run_to_the_end() {
            panic!("{name}, seed {seed}: {violation}");
        }
        // A lease and five seconds by the slowest clock, and a reading that was under way at the end.
        let longest = world.longest_wait();
        assert!(longest < 10 * SECOND, "{name}, seed {seed}: waited for {longest} µs");
        step_count += world.step_count;
        admitted_count += world.monitor.admitted_count;
        delivered_count += world.monitor.delivered_count;
        cut_count += world.monitor.cut_count;
        excused_count += world.monitor.excused_count;
        for (_, finish) in world.operations.iter().filter_map(|operation| operation.finished) {
            finished[finish as usize] += 1;
        }
    }
    report(&format!(
        "{name}: clean in {seeds} worlds of {step_count} steps: {} regenerations in force, {} not \
         yet, {} taken back, {} failed; {admitted_count} admissions, {delivered_count} frames, \
         {cut_count} responses cut, {excused_count} excused",
        finished[Finish::InForce as usize],
        finished[Finish::NotYet as usize],
        finished[Finish::Lost as usize],
        finished[Finish::Failed as usize],
    ));
    assert!(finished[Finish::InForce as usize] > 10 * seeds, "{finished:?}");
    assert!(admitted_count > 50 * seeds, "{admitted_count} admissions");
    assert!(delivered_count > 50 * seeds, "{delivered_count} frames");
    assert!(cut_count > seeds, "{cut_count} responses cut");
}

#[test]
fn no_fault_breaks_the_promise() {
    is_clean("rough", rough);
}

#[test]
fn no_message_that_is_late_breaks_the_promise() {
    is_clean("late", late);
}

#[test]
fn no_replica_without_its_database_breaks_the_promise() {
    is_clean("cut off", cut_off);
}

#[test]
fn no_replica_that_was_stopped_breaks_the_promise() {
    is_clean("stopped", stopped);
}

#[test]
fn no_start_or_end_of_a_process_breaks_the_promise() {
    is_clean("starts", starts);
}

#[test]
fn no_standby_that_is_read_by_mistake_breaks_the_promise() {
    is_clean("misled", misled);
}

#[test]
fn no_crash_of_the_database_breaks_the_promise() {
    is_clean("crashes", crashes);
}

#[test]
fn no_failover_breaks_what_is_promised_after_one() {
    is_clean("failovers", failovers);
}
