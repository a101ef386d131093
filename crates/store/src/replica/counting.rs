//! What a replica tells its operators of itself in numbers.

use std::time::Duration;

use super::{NotInForce, Replica};
use crate::counts::WaitCounts;
use crate::{Counts, CountsBy};

/// How changes went that were asked of this replica.
#[derive(Debug)]
pub(super) struct ChangeCounts {
    waits: WaitCounts,
    not_in_force: CountsBy<2>,
}

impl Default for ChangeCounts {
    fn default() -> Self {
        let not_in_force = CountsBy::new(["not_yet", "taken_back"]);
        Self { waits: WaitCounts::default(), not_in_force }
    }
}

impl ChangeCounts {
    pub(super) fn count(&self, outcome: &Result<(), NotInForce>, waited: Duration) {
        match outcome {
            Ok(()) => self.waits.count(waited),
            Err(NotInForce::NotYet { .. }) => self.not_in_force.count("not_yet"),
            Err(NotInForce::TakenBack) => self.not_in_force.count("taken_back"),
        }
    }
}

impl Replica {
    /// What it has counted since it began, and how it is now. Takes the locks of open responses one after the
    /// other: for now and then.
    pub fn counts(&self) -> Counts {
        let admissions = self.open.admissions();
        Counts {
            is_ready: self.readiness().is_ok(),
            installed: self.snapshot.load().revision,
            open: self.open.count(),
            admitted: admissions.all,
            keys_accepted: admissions.with_key,
            cuts: self.open.cuts(),
            waits: self.changes.waits.read(),
            not_in_force: self.changes.not_in_force.read(),
            lease: self.leasing.as_ref().map(|leasing| leasing.counts()),
        }
    }
}
