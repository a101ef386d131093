//! What goes wrong when: a value that the seed alone decides.

use std::time::Duration;

use fastrand::Rng;

use crate::history::FaultKind;

/// Faults come in rounds, and at the end of each there is a moment without any.
const ROUND: Duration = Duration::from_secs(15);

/// When the last fault of a round begins at most.
const LAST_BEGINS_MS: u64 = 9_000;

/// What happens in a run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) faults: Vec<Planned>,
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    pub(crate) at: Duration,
    pub(crate) kind: FaultKind,
    pub(crate) fault: Fault,
}

/// What goes wrong, and for how long. Indexes are of replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The next process has a database that is late in both directions, until it is ready and a moment longer.
    End {
        replica: usize,
        politely: bool,
        down: Duration,
        late: Duration,
    },
    Stop {
        replica: usize,
        lasts: Duration,
    },
    Cut {
        replica: usize,
        how: Loss,
        lasts: Duration,
    },
    Slow {
        replica: usize,
        there: Duration,
        back: Duration,
        lasts: Duration,
        then_down: Duration,
    },
    Restart {
        crash: bool,
    },
    Clock {
        step_ms: i64,
        lasts: Duration,
    },
}

/// How connections to the database are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// Each is cut; new ones are taken.
    Cut,
    /// None is taken for a while.
    Down,
    /// Nothing is passed on for a while, and nobody told.
    Silent,
}

/// What a run is to be like.
#[derive(Clone, Debug)]
pub(crate) struct Wishes {
    pub(crate) lasts: Duration,
    pub(crate) replica_count: usize,
    pub(crate) lease: Duration,
    pub(crate) kinds: Vec<FaultKind>,
    /// How many of each kind a round has.
    pub(crate) per_round: usize,
}

impl Plan {
    pub(crate) fn new(wishes: &Wishes, seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut faults = Vec::new();
        let mut round = Duration::ZERO;
        while round + ROUND <= wishes.lasts {
            for kind in &wishes.kinds {
                for _ in 0..wishes.per_round {
                    let at = round + Duration::from_millis(rng.u64(0..LAST_BEGINS_MS));
                    faults.push(Planned { at, kind: *kind, fault: fault(*kind, wishes, &mut rng) });
                }
            }
            round += ROUND;
        }
        faults.sort_by_key(|planned| planned.at);
        Self { faults }
    }
}

fn fault(kind: FaultKind, wishes: &Wishes, rng: &mut Rng) -> Fault {
    let replica = rng.usize(0..wishes.replica_count.max(1));
    let mut millis = |range: std::ops::Range<u64>| Duration::from_millis(rng.u64(range));
    match kind {
        FaultKind::Kill => {
            let down = millis(0..2_000);
            let late =
                if rng.bool() { Duration::ZERO } else { Duration::from_millis(rng.u64(10..40)) };
            Fault::End { replica, politely: false, down, late }
        }
        FaultKind::Leave => {
            Fault::End { replica, politely: true, down: millis(0..300), late: millis(10..40) }
        }
        FaultKind::Stop => Fault::Stop { replica, lasts: wishes.lease + millis(300..3_000) },
        FaultKind::Cut => {
            let lasts = millis(200..4_000);
            let how = match rng.u8(0..3) {
                0 => Loss::Cut,
                1 => Loss::Down,
                _ => Loss::Silent,
            };
            Fault::Cut { replica, how, lasts }
        }
        FaultKind::Slow => {
            let lasts = millis(1_000..4_000);
            // A connection that is lost right after an answer that came late: nothing renews what it gave.
            let then_down = if millis(0..2).is_zero() {
                Duration::ZERO
            } else {
                wishes.lease + millis(200..1_500)
            };
            // A little, much, or more than anything waits for.
            let late = match rng.u8(0..3) {
                0 => 5..60,
                1 => 60..400,
                _ => 400..3_000,
            };
            let [there, back] = [(); 2].map(|()| Duration::from_millis(rng.u64(late.clone())));
            Fault::Slow { replica, there, back, lasts, then_down }
        }
        FaultKind::Late => {
            // As late as a renewal bears, for so long that a lease could end meanwhile.
            let back = wishes.lease * u32::try_from(millis(18..29).as_millis()).unwrap_or(20) / 100;
            let lasts = wishes.lease + millis(800..1_800);
            let (there, then_down) = (Duration::ZERO, Duration::ZERO);
            Fault::Slow { replica, there, back, lasts, then_down }
        }
        FaultKind::Restart => Fault::Restart { crash: rng.bool() },
        FaultKind::Clock => {
            let lasts = millis(800..3_000);
            // Half of them within what replicas bear, half beyond.
            let by = if rng.bool() { rng.i64(45_000..59_000) } else { rng.i64(60_500..75_000) };
            Fault::Clock { step_ms: if rng.bool() { by } else { -by }, lasts }
        }
    }
}

impl Fault {
    pub(crate) const fn replica(&self) -> Option<usize> {
        match self {
            Self::End { replica, .. }
            | Self::Stop { replica, .. }
            | Self::Cut { replica, .. }
            | Self::Slow { replica, .. } => Some(*replica),
            Self::Restart { .. } | Self::Clock { .. } => None,
        }
    }

    /// What is special about it, in words.
    pub(crate) fn detail(&self) -> String {
        match self {
            Self::End { politely, down, late, .. } => format!(
                "{}, and a start {} ms later, {} ms from its database",
                if *politely { "SIGTERM" } else { "SIGKILL" },
                down.as_millis(),
                late.as_millis()
            ),
            Self::Stop { lasts, .. } => format!("SIGSTOP for {} ms", lasts.as_millis()),
            Self::Cut { how: Loss::Cut, .. } => "database connections cut".to_owned(),
            Self::Cut { how: Loss::Down, lasts, .. } => {
                format!("database connections refused for {} ms", lasts.as_millis())
            }
            Self::Cut { how: Loss::Silent, lasts, .. } => {
                format!("database connections silent for {} ms", lasts.as_millis())
            }
            Self::Slow { there, back, lasts, then_down, .. } => format!(
                "the database hears {} ms late and is heard {} ms late for {} ms, then refuses for {} ms",
                there.as_millis(),
                back.as_millis(),
                lasts.as_millis(),
                then_down.as_millis()
            ),
            Self::Restart { crash: true } => "PostgreSQL crashes".to_owned(),
            Self::Restart { crash: false } => "PostgreSQL is restarted".to_owned(),
            Self::Clock { step_ms, lasts } => format!(
                "the database's wall clock steps by {step_ms} ms, and back after {} ms",
                lasts.as_millis()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wishes(minutes: u64) -> Wishes {
        Wishes {
            lasts: Duration::from_mins(minutes),
            replica_count: 4,
            lease: Duration::from_secs(2),
            kinds: FaultKind::ALL.to_vec(),
            per_round: 2,
        }
    }

    #[test]
    fn three_minutes_have_more_than_twenty_faults_of_each_kind() {
        let plan = Plan::new(&wishes(3), 1);
        for kind in FaultKind::ALL {
            let count = plan.faults.iter().filter(|planned| planned.kind == kind).count();
            assert_eq!(count, 24, "{kind:?}");
        }
    }

    #[test]
    fn the_seed_alone_decides() {
        let plan = |seed| Plan::new(&wishes(3), seed).faults;
        assert_eq!(plan(7), plan(7));
        assert_ne!(plan(7), plan(8));
    }

    #[test]
    fn what_is_stopped_is_stopped_for_longer_than_a_lease() {
        let wishes = wishes(20);
        for Planned { fault, .. } in Plan::new(&wishes, 3).faults {
            if let Fault::Stop { lasts, .. } = fault {
                assert!(lasts > wishes.lease);
            }
        }
    }
}
