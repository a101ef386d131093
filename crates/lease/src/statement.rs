//! What a replica and the database say to each other, and what the database does.

use std::time::Duration;

use crate::{RevisionName, RowId};

/// What a replica asks for its lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    /// Makes a lease row. In one transaction:
    ///
    /// 1. `SELECT value, change_id FROM revision FOR SHARE`
    /// 2. If both equal `settled`: `INSERT` the row with counter 1, and the answer is
    ///    [`Outcome::Granted`]. Otherwise nothing is written, and it is [`Outcome::Behind`].
    ///
    /// So a row exists only for who was granted a lease at least once, and whoever cannot apply what the
    /// store says makes none that anybody would have to wait for.
    Register(Renewal),
    /// Renews a lease. In one transaction:
    ///
    /// 1. `SELECT value, change_id FROM revision FOR SHARE`
    /// 2. If both equal `settled`: `UPDATE` the row: counter + 1, `settled`, lease length; the answer is
    ///    [`Outcome::Granted`]. Otherwise `UPDATE` its last contact and nothing else: it is
    ///    [`Outcome::Behind`]. Where no row was updated, it is [`Outcome::NoRow`].
    ///
    /// `settled` is written only together with a grant. So every pair in a row was once this database's
    /// own newest pair, and the numbers of rows can be compared, whatever histories replicas come from.
    Renew(Renewal),
}

/// A replica's word about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// Its lease row.
    pub id: RowId,
    /// What a waiter shall wait.
    pub lease: Duration,
    /// What is installed *and* whose cut is done.
    pub settled: RevisionName,
}

/// What the database answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What became of the renewal.
    pub outcome: Outcome,
    /// What the database's wall clock showed, in milliseconds since 1970. No lease is counted by it.
    pub database_wall_ms: i64,
}

/// What became of a renewal or a registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The counter was raised.
    Granted,
    /// What was reported is not the store's newest revision; nothing but the contact was recorded.
    Behind {
        /// The newest.
        current: RevisionName,
    },
    /// There is no such row: somebody waited for this replica for a whole lease and dismissed it.
    NoRow,
}

/// A lease row as a waiter reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseRow {
    /// Names it.
    pub id: RowId,
    /// How many leases it was granted.
    pub counter: i64,
    /// How long each of them is.
    pub lease: Duration,
    /// What its replica had settled at the last grant.
    pub settled: RevisionName,
}

/// What a waiter reads in one statement, on the primary and after its change is known to have been
/// committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Whether the change is still there: a failover or a restore may have taken it back. Asked by
    /// what the change itself wrote, such as its audit row, since another history reaches the same number.
    pub stands: bool,
    /// Every lease row.
    pub rows: Vec<LeaseRow>,
}

/// A row that is to be deleted: `DELETE … WHERE id = $1 AND counter = $2`. Without the counter it could
/// hit a replica that has come back with a good lease, which nobody would wait for any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dismissal {
    /// Names the row.
    pub id: RowId,
    /// What its counter has been for a whole lease.
    pub counter: i64,
}
