//! When a replica may decide by what it has in memory.

mod holder;
mod installer;
mod name;
mod statement;
mod time;
mod waiter;

pub use holder::{Arrival, Call, Consequence, Holder, Next, Why};
pub use installer::{Installer, Installing, Load, Loaded, Settled};
pub use name::{ChangeId, Revision, RevisionName, RowId};
pub use statement::{Answer, Dismissal, LeaseRow, Outcome, Reading, Renewal, Statement};
pub use time::{
    CATCH_UP, GIVE_UP_AFTER_LEASE, Instant, MAX_WALL_OFF_MS, Now, STATEMENT_TIMEOUT, Term, Terms,
    TermsError,
};
pub use waiter::{Awaited, Waiter, Waiting};
