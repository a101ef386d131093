//! That what must happen does happen, and in time.

use crate::figures::report;
use crate::plans::quiet;
use crate::simulation::{Broken, Finish, Micros, SECOND, World};

const SEEDS: u64 = 20;
const MS: Micros = 1_000;

/// A lease of the plans, by the slowest clock that they have.
const LEASE: Micros = 2 * SECOND * 100 / 92;

/// A world in which all is well and every replica has its lease.
fn settled(seed: u64, at_once: u64) -> World {
    let mut plan = quiet(seed);
    plan.at_once = at_once;
    let mut world = World::new(plan, None, seed);
    world.run(SECOND).unwrap();
    world
}

/// Regenerates on `process`, and says how long it took to be in force; none if it never was.
fn regenerate(world: &mut World, process: usize, patience: Micros) -> Option<Micros> {
    let operation = world.regenerate(process);
    world.run(world.now + patience).unwrap();
    in_force_after(world, operation)
}

fn in_force_after(world: &World, operation: usize) -> Option<Micros> {
    let operation = &world.operations[operation];
    let (at, finish) = operation.finished?;
    (finish == Finish::InForce).then(|| at - operation.began)
}

#[test]
fn with_every_replica_well_a_regeneration_takes_a_few_round_trips() {
    let mut longest = 0;
    for seed in 0..SEEDS {
        let mut world = settled(seed, 5_000);
        for process in [0, 1, 2, 0] {
            longest = longest.max(regenerate(&mut world, process, SECOND).unwrap());
        }
    }
    report(&format!("all well: in force within {longest} µs"));
    assert!(longest < 100 * MS, "{longest} µs");
}

#[test]
fn concurrent_regenerations_are_in_force_together() {
    for seed in 0..SEEDS {
        let mut world = settled(seed, 5_000);
        let all: Vec<usize> = (0..12).map(|number| world.regenerate(number % 3)).collect();
        world.run(world.now + SECOND).unwrap();
        for operation in all {
            let took = in_force_after(&world, operation).unwrap();
            assert!(took < 250 * MS, "seed {seed}: {took} µs");
        }
    }
}

#[test]
fn a_replica_that_is_gone_is_waited_for_once_and_for_one_lease() {
    let mut longest = 0;
    for seed in 0..SEEDS {
        let mut world = settled(seed, 5_000);
        world.kill(2);
        let took = regenerate(&mut world, 0, 2 * LEASE).unwrap();
        longest = longest.max(took);
        assert!(took <= LEASE + 200 * MS, "seed {seed}: {took} µs");
        let next = regenerate(&mut world, 1, SECOND).unwrap();
        assert!(next < 100 * MS, "seed {seed}: {next} µs");
    }
    report(&format!("one killed: in force within {longest} µs, a lease being {LEASE} µs at most"));
}

#[test]
fn a_replica_that_is_stopped_is_waited_for_once_and_serves_again_when_it_goes_on() {
    for seed in 0..SEEDS {
        let mut world = settled(seed, 5_000);
        world.stop(2, 3 * LEASE);
        let took = regenerate(&mut world, 0, 2 * LEASE).unwrap();
        assert!(took <= LEASE + 200 * MS, "seed {seed}: {took} µs");
        let next = regenerate(&mut world, 1, LEASE).unwrap();
        assert!(next < 100 * MS, "seed {seed}: {next} µs");
        world.run(world.now + SECOND).unwrap();
        assert!(world.is_live(2), "seed {seed}");
        let again = regenerate(&mut world, 0, SECOND).unwrap();
        assert!(again < 100 * MS, "seed {seed}: {again} µs");
    }
}

#[test]
fn a_request_that_finds_no_lease_waits_for_one_and_is_answered() {
    for seed in 0..SEEDS {
        let mut world = settled(seed, 5_000);
        world.stop(2, 2 * LEASE);
        let returned = regenerate(&mut world, 0, 2 * LEASE - MS);
        assert!(returned.is_some(), "seed {seed}");
        let before = world.monitor.admitted_count;
        world.request_with_newest_key(2, 0);
        world.run(world.now + SECOND / 2).unwrap();
        assert!(world.monitor.admitted_count > before, "seed {seed}");
    }
}

#[test]
fn a_replica_that_cannot_apply_a_change_loses_its_lease_and_blocks_nobody() {
    for seed in 0..SEEDS {
        let mut world = settled(seed, 5_000);
        world.processes[2].cannot_apply = true;
        let took = regenerate(&mut world, 0, 2 * LEASE).unwrap();
        assert!(took <= LEASE + 200 * MS, "seed {seed}: {took} µs");
        assert!(!world.is_live(2), "seed {seed}");
        for process in [1, 0, 1] {
            let next = regenerate(&mut world, process, SECOND).unwrap();
            assert!(next < 100 * MS, "seed {seed}: {next} µs");
        }
        world.processes[2].cannot_apply = false;
        world.run(world.now + SECOND).unwrap();
        assert!(world.is_live(2), "seed {seed}");
    }
}

#[test]
fn a_process_that_starts_again_and_again_and_cannot_apply_blocks_nobody() {
    for seed in 0..SEEDS {
        let mut world = settled(seed, 5_000);
        for _ in 0..10 {
            let process = world.start_process(9);
            world.processes[process].cannot_apply = true;
            let took = regenerate(&mut world, 0, SECOND / 5).unwrap();
            assert!(took < 100 * MS, "seed {seed}: {took} µs");
            world.kill(process);
        }
    }
}

/// One process is stopped in the middle of its change, where it has counted the revision up, and
/// perhaps in the middle of a renewal that has locked it. Another's change waits for these to be ended by
/// their timeouts, and then for the lease of the one that is stopped.
fn regenerates_while_another_is_stopped_in_its_change(
    seed: u64,
    broken: Option<Broken>,
) -> Option<Micros> {
    let mut world = settled(seed, 0);
    world.broken = broken;
    world.regenerate(0);
    while !world.has_counted_up(0) {
        world.run(world.now + 100).unwrap();
    }
    world.stop(0, 60 * SECOND);
    // Who asks at once is told after as long that the row is locked.
    world.run(world.now + 2 * SECOND + 100 * MS).unwrap();
    regenerate(&mut world, 1, 2 * SECOND + LEASE + 200 * MS)
}

#[test]
fn a_revision_that_is_held_is_found() {
    for seed in 0..SEEDS {
        let took = regenerates_while_another_is_stopped_in_its_change(seed, None);
        assert!(took.is_some(), "seed {seed}, no rule broken");
    }
    let late = |seed: &u64| {
        regenerates_while_another_is_stopped_in_its_change(*seed, Some(Broken::RowHeld)).is_none()
    };
    let found = (0..SEEDS).find(late).expect("RowHeld is found");
    report(&format!("RowHeld: found after {} worlds", found + 1));
}
