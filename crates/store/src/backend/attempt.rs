//! What goes wrong between a database and its client, and may go right the next time.

use std::time::Duration;

use tokio::time::Instant;

use crate::{Error, Result};

/// No attempt begins later than this after the first, usually.
pub(super) const KEEP_TRYING: Duration = Duration::from_secs(6);

/// The pause before the second attempt; it doubles before each one after that.
const PAUSE: Duration = Duration::from_millis(10);

/// Which attempt a transaction is made in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// Nothing can have happened yet.
    First,
    /// An earlier one may have become durable without anybody being told, or may still: this one waits for
    /// it, by the lock of [`crate::Store::begin_change`], and looks first whether what it wants stands already.
    Again,
}

/// Makes a whole transaction again where it lost a race (`serialization_failure`, `deadlock_detected`) or
/// its connection, or where nobody knows how its commit ended.
///
/// # Errors
/// The last attempt's; [`Error::OutcomeUnknown`] where an earlier one may have become durable and no
/// later one could find out.
pub(super) async fn retried<T, F>(
    keep_trying: Duration,
    attempt: impl Fn(Attempt) -> F,
) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let until = Instant::now() + keep_trying;
    let mut pause = PAUSE;
    let mut which = Attempt::First;
    loop {
        let error = match attempt(which).await {
            Ok(made) => return Ok(made),
            Err(error) => error,
        };
        let is_unknown = matches!(error, Error::OutcomeUnknown(_));
        let passes = which == Attempt::Again || is_unknown || is_passing(&error);
        if is_unknown {
            which = Attempt::Again;
        }
        if !passes || Instant::now() + pause >= until {
            return Err(match which {
                Attempt::Again if !is_unknown => Error::OutcomeUnknown(Box::new(error)),
                Attempt::First | Attempt::Again => error,
            });
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
}

/// Whether nothing of it is durable, and the next attempt may go better.
fn is_passing(error: &Error) -> bool {
    matches!(error, Error::Database(error) if is_conflict(error) || is_lost(error))
}

/// Whether the transaction lost a race with another one, and is rolled back.
pub(super) fn is_conflict(error: &sqlx::Error) -> bool {
    code(error).is_some_and(|code| code == "40001" || code == "40P01")
}

/// Whether the connection is gone, or the server going or coming: class 08, `admin_shutdown` and its
/// like, and the session that was idle for too long within a transaction.
fn is_lost(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) => true,
        error => code(error).is_some_and(|code| {
            code.starts_with("08") || ["57P01", "57P02", "57P03", "25P03"].contains(&code.as_str())
        }),
    }
}

/// Whether the database is away or has too much to do: class 53, `query_canceled`, and a pool that has no
/// connection to give.
pub(crate) fn is_away(error: &sqlx::Error) -> bool {
    let has_none = matches!(error, sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed);
    let is_busy = code(error).is_some_and(|code| code.starts_with("53") || code == "57014");
    has_none || is_busy || is_lost(error)
}

fn code(error: &sqlx::Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}
