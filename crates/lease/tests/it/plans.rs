use std::time::Duration;

use crate::simulation::{Faults, Plan, SECOND};

/// What a world is made from.
pub(crate) type Kind = fn(u64) -> Plan;

/// Nothing goes wrong, and nobody does anything unless told to.
pub(crate) fn quiet(seed: u64) -> Plan {
    Plan {
        replica_count: 3 + usize::try_from(seed % 3).unwrap(),
        slot_count: 3,
        lease: Duration::from_secs(2),
        lasts: 40 * SECOND,
        late: 0,
        late_by: 3 * SECOND,
        lost: 0,
        from_standby: 0,
        busy: 0,
        deaf: 0,
        at_once: 5_000,
        clock_ppm: 83_000,
        regenerate_every: None,
        request_every: None,
        faults: Faults::default(),
    }
}

/// Everything goes wrong now and then, but for what only a failover can do.
pub(crate) fn rough(seed: u64) -> Plan {
    let every = |seconds: u64| Some(seconds * SECOND);
    Plan {
        late: 50,
        lost: 50,
        busy: 500,
        deaf: 1_000,
        regenerate_every: Some(SECOND / 3),
        request_every: Some(SECOND / 20),
        faults: Faults {
            kill_every: every(20),
            replace_every: every(15),
            stop_every: every(4),
            shut_down_every: every(30),
            cut_off_every: every(6),
            deafen_every: every(5),
            cannot_apply_every: every(15),
            wall_every: every(30),
            database_wall_every: every(10),
            database_restart_every: every(12),
            fail_over_every: None,
        },
        ..quiet(seed)
    }
}

/// Some replicas are cut off from the database at any time, and messages come late.
pub(crate) fn cut_off(seed: u64) -> Plan {
    Plan {
        replica_count: 5,
        lasts: 20 * SECOND,
        late: 200,
        late_by: SECOND * 2 / 3,
        lost: 10,
        regenerate_every: Some(SECOND / 3),
        request_every: Some(SECOND / 60),
        faults: Faults {
            cut_off_every: Some(2 * SECOND),
            stop_every: Some(4 * SECOND),
            deafen_every: Some(4 * SECOND),
            ..Faults::default()
        },
        ..rough(seed)
    }
}

/// Some replicas are stopped at any time, and messages come late.
pub(crate) fn stopped(seed: u64) -> Plan {
    Plan {
        late: 600,
        late_by: SECOND,
        request_every: Some(SECOND / 60),
        faults: Faults {
            stop_every: Some(SECOND * 3 / 2),
            cut_off_every: Some(8 * SECOND),
            deafen_every: Some(2 * SECOND),
            ..Faults::default()
        },
        ..cut_off(seed)
    }
}

/// Every fifth message is late.
pub(crate) fn late(seed: u64) -> Plan {
    Plan {
        lasts: 20 * SECOND,
        late: 2_000,
        late_by: SECOND,
        lost: 10,
        request_every: Some(SECOND / 60),
        faults: Faults {
            cut_off_every: Some(5 * SECOND),
            deafen_every: Some(SECOND),
            ..Faults::default()
        },
        ..rough(seed)
    }
}

/// Processes come and go in good order, so that nobody has to be waited for.
pub(crate) fn starts(seed: u64) -> Plan {
    Plan {
        lasts: 10 * SECOND,
        late: 600,
        late_by: SECOND / 2,
        lost: 0,
        busy: 1_500,
        deaf: 8_000,
        at_once: 1_000,
        regenerate_every: Some(SECOND / 4),
        request_every: Some(SECOND / 40),
        faults: Faults { shut_down_every: Some(SECOND / 2), ..Faults::default() },
        ..rough(seed)
    }
}

/// The database crashes and comes back all the time, without the last renewals, and processes start.
pub(crate) fn crashes(seed: u64) -> Plan {
    Plan {
        lasts: 20 * SECOND,
        regenerate_every: Some(SECOND / 4),
        request_every: Some(SECOND / 40),
        faults: Faults {
            database_restart_every: Some(SECOND),
            shut_down_every: Some(SECOND),
            stop_every: Some(4 * SECOND),
            deafen_every: Some(SECOND),
            ..Faults::default()
        },
        ..rough(seed)
    }
}

/// Loads are answered by a standby that is behind, as where a proxy spreads what it takes for reads.
pub(crate) fn misled(seed: u64) -> Plan {
    Plan {
        lasts: 20 * SECOND,
        from_standby: 3_000,
        request_every: Some(SECOND / 40),
        faults: Faults {
            stop_every: Some(4 * SECOND),
            deafen_every: Some(2 * SECOND),
            ..Faults::default()
        },
        ..rough(seed)
    }
}

/// A standby takes over again and again, which lacks up to a second of what was committed.
pub(crate) fn failovers(seed: u64) -> Plan {
    Plan {
        lasts: 20 * SECOND,
        late: 600,
        late_by: SECOND / 2,
        lost: 10,
        busy: 1_500,
        regenerate_every: Some(SECOND / 4),
        request_every: Some(SECOND / 40),
        faults: Faults {
            fail_over_every: Some(2 * SECOND),
            stop_every: Some(3 * SECOND),
            cut_off_every: Some(4 * SECOND),
            deafen_every: Some(3 * SECOND),
            ..Faults::default()
        },
        ..rough(seed)
    }
}
