//! When a replica may decide by what it has in memory, and when a change is in force on all of them.
//!
//! Any number of replicas serve from memory, and one database has the truth. Checking a key costs no
//! question to the database, and yet, when the call that ends a key returns, no replica accepts
//! that key any more, whatever has failed. This crate is the part of that which can be wrong in
//! ways that no one notices: values that are given the time, and what the database has answered, and say
//! what to do. It does no I/O, reads no clock, waits for nothing and rolls no dice. So the same lines
//! run in a replica and in the simulation beside them (`tests/it/simulation.rs`), which has clocks that
//! drift and step, processes that stop and come back, and messages that are late and lost.
//!
//! # The problem
//!
//! A replica decides by a *snapshot*, read from the database in one transaction. The database counts the
//! changes that have to be in force: the *revision*. Whoever has made revision 7 wants to know when
//! every replica decides by 7 or more. Those that are well say so within milliseconds. One that does
//! not answer may be dead, or stopped, or cut off from the database and serving its clients well. It
//! cannot be told apart from afar, and waiting for it for ever is no answer either.
//!
//! So a replica holds a *lease*. Without one it admits nothing, and what was open is cut. The change waits
//! for everybody until they have *settled* the revision (installed it, and cut what it ended), or until
//! their lease has certainly ended. That takes one lease at most.
//!
//! # The three who speak
//!
//! * A **holder** ([`Holder`], [`Installer`]) is a replica's process. It loads, installs, cuts and renews.
//! * The **database** has one row with the newest revision and its name, and a row for each lease.
//!   What it does for each statement is told at [`Statement`].
//! * A **waiter** ([`Waiter`]) is a replica that has committed a change, and reads the lease rows until
//!   nobody is left who could decide by anything older.
//!
//! # The rules
//!
//! **No live lease, nothing admitted.** [`Term::is_live`] is asked when a request is admitted, before it
//! is forwarded, and of every byte after it was made and before it is handed on; by the clock each time,
//! since a process that was stopped may handle what came in before its timers fire. A request that finds
//! no lease waits for the next one with all others that do ([`Holder::arrive`]), and is not open meanwhile.
//!
//! **Register, then check.** A response is entered in the register of what is open before its key is
//! checked. So for each response and each new snapshot, either the snapshot's cut sees the response or
//! the check sees the snapshot. (The register is `store`'s.)
//!
//! **What is reported is settled.** [`Settled`] can only be made by saying that the cut is done
//! ([`Installer::cut_done`]). To report what is merely installed would end the waiting while old
//! responses still flow.
//!
//! **Leases are counted by those who rely on them.** The holder counts from when its renewal was *sent*.
//! A waiter counts from when it has *received* the row. The renewal was sent before its effect could
//! be read, so the waiter's lease ends later than the holder's, by clocks that share nothing but that a
//! second is about a second; [`Terms::held`] is shorter than [`Terms::lease`] by as much as rates
//! may differ. No wall clock takes part, and the database's none at all.
//!
//! **A row is one process's, once.** Its id is random and new for each registration ([`RowId`]). A renewal
//! updates and never inserts: who finds no row has been dismissed, and begins anew. A waiter deletes a
//! row only while its counter is the one that it has watched for a whole lease.
//!
//! **Only what is settled is granted.** The database compares what a renewal reports with its newest
//! revision, which it has locked `FOR SHARE` so that no change can be committed in between. After a change
//! is committed there is thus no lease for anybody who has not settled it, and a waiter has to look
//! only at the rows that were there. A replica that cannot apply a change (it lacks a master key, or is
//! older than what was written) loses its lease by itself, and blocks nobody for longer.
//!
//! **Revisions have names.** Each change has a random id, and the pair ([`RevisionName`]) is what is reported
//! and compared. After a failover to a standby that lacked the last changes, the same number may come
//! twice. Whoever has another pair than the database is behind, whatever its number, and reloads. A pair
//! is written to a lease row only together with a grant, that is, when it was the database's own newest
//! pair; so in the rows themselves, and only there, a higher number means more.
//!
//! **Loads are ordered by when they were begun**, one at a time, and not by their numbers
//! ([`Installer`]).
//!
//! **Nothing holds the revision's row for long.** The increment is the last statement before the commit,
//! and no statement waits, runs or leaves its transaction idle for longer than [`STATEMENT_TIMEOUT`].
//!
//! # What the database does
//!
//! Two tables: `revision`, of one row (`value`, `change_id`), and the lease rows (`id`, `counter`, length of
//! the lease, `settled` as a pair). What else a lease row says, such as when its replica was last in
//! contact, is for people, and nobody decides by it. Isolation is READ COMMITTED where nothing else is said.
//! `lock_timeout`, `statement_timeout` and `idle_in_transaction_session_timeout` are [`STATEMENT_TIMEOUT`] at
//! most. Where several rows are locked, the revision comes first. Commits are synchronous
//! (`synchronous_commit = on`), and above all those of changes and registrations: a row that a crash takes back
//! would leave a lease that nobody waits for. Only a renewal need not wait for the disk. Its loss
//! leaves the row with the counter before it, and whoever had seen that counter has lost the connection.
//!
//! | transaction | what it does |
//! |---|---|
//! | register, renew | [`Statement::Register`], [`Statement::Renew`] |
//! | a change | its work and its audit row; last, `UPDATE revision SET value = value + 1, change_id = $random`. Where the outcome of the commit is unknown, its client reads whether the audit row stands; if it does, it goes on as after a commit. |
//! | the waiter's reading | [`Reading`]: one statement, on the primary, after the commit is known; for all waiters of a process that have asked before it began |
//! | dismissal | [`Dismissal`]: `DELETE … WHERE id = $1 AND counter = $2`, by the connection that the counter was read by; it is not sent again by another ([`Waiter::reconnected`]) |
//! | shutting down | `DELETE … WHERE id = $1`, after everything was cut |
//! | loading | revision and all that decides, in one REPEATABLE READ transaction |
//!
//! A change notifies (`NOTIFY`), which wakes replicas and waiters and means nothing else. Renewals and
//! readings come by timers as well, and a listening connection that was made anew counts as a notification.
//!
//! # Why it holds
//!
//! Say a change committed revision 7, its waiter has returned, and a process P admits by a snapshot of 6.
//! P then has a live lease, from a renewal that was granted while 6 was the newest. The lock orders that
//! grant before the commit of 7, so P's row was there when the waiter first read, and the waiter waited for
//! it. It went on for one of three reasons. The row said that P had settled 7: then P's cut was done,
//! and P decides by 7. Or the waiter dismissed it, a lease after it first read the counter that the grant
//! had made, by which time P's own count had run out. Or the row was gone: another waiter had dismissed
//! it, or P had deleted it, having given up its lease. None of them leaves P with a live lease and
//! snapshot 6.
//!
//! # A replica's loop
//!
//! ```
//! use std::time::Duration;
//!
//! use lease::{
//!     Answer, ChangeId, Holder, Installer, Instant, Loaded, Next, Now, Outcome, Revision,
//!     RevisionName, RowId, Terms,
//! };
//!
//! # fn read_clocks() -> Now {
//! #     Now { boot: Instant::since_boot(Duration::from_secs(60)), wall_ms: 0 }
//! # }
//! # fn load_snapshot() -> RevisionName {
//! #     RevisionName { revision: Revision::new(7), change: ChangeId::new("5f2c…") }
//! # }
//! # fn perform(_: &lease::Statement) -> Answer {
//! #     Answer { outcome: Outcome::Granted, database_wall_ms: 0 }
//! # }
//! let mut holder = Holder::new(Terms::new(Duration::from_secs(10))?);
//! let mut installer = Installer::new();
//! let term = holder.term();
//! loop {
//!     match holder.next(read_clocks(), || RowId::new("a new random id")) {
//!         Next::Reload => {
//!             let load = installer.begin();
//!             match installer.loaded(load, load_snapshot()) {
//!                 Loaded::Install(installing) => {
//!                     if installing.replaces_history() {
//!                         holder.forfeit(); // and cut everything
//!                     }
//!                     // Let the snapshot decide, and cut what it does not allow. Then:
//!                     let settled = installer.cut_done(installing);
//!                     holder.settled(settled, read_clocks().boot);
//!                 }
//!                 Loaded::Current(settled) => holder.settled(settled, read_clocks().boot),
//!                 Loaded::Abandoned => {}
//!             }
//!         }
//!         Next::Send(call) => {
//!             let answer = perform(call.statement()); // or `holder.failed`
//!             holder.answered(call, read_clocks(), answer); // and cut everything where it says so
//!         }
//!         Next::Idle { .. } => break, // until then, or until a notification: `holder.changed`
//!     }
//! }
//! assert!(term.is_live(read_clocks().boot));
//! # Ok::<(), lease::TermsError>(())
//! ```

#[cfg(feature = "broken")]
pub mod broken;
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
