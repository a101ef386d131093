//! PostgreSQL: how it is connected to, and how its transactions begin.

use std::time::Duration;

use lease::Terms;
use sqlx::any::AnyPoolOptions;
use sqlx::{AnyConnection, AnyPool, ConnectOptions as _, Connection as _, Row as _};
use tokio::time::timeout;

use super::attempt::KEEP_TRYING;
use super::{DatabaseAddress, migrate};
use crate::replicas::machine_name;
use crate::{Error, Result};

/// The connections of the pool, where the configuration does not say: each replica takes as many of the
/// database's at most, and a handful of requests is under way at any moment.
pub(super) const MAX_CONNECTIONS: u32 = 10;

/// The connections of a replica's own: it loads by one at a time, and looks after changes by one. Where one hangs,
/// what it was to do is done on another one.
const OWN_CONNECTIONS: u32 = 4;

/// Connections are made anew so often, so that a database that has moved is found.
const MAX_LIFETIME: Duration = Duration::from_mins(30);

/// The advisory lock of whoever migrates. The numbers are arbitrary, and must never change.
pub(super) const MIGRATING: i64 = 0x6b65_7977_6172_6401;

/// Timeouts of every connection: nothing waits for ever, and nothing that hangs holds up others.
const SESSION: &str = "SET lock_timeout = '2s'; SET statement_timeout = '2s'; \
    SET idle_in_transaction_session_timeout = '1s'; SET synchronous_commit = on";

/// What every change begins with: its commit waits for the disk, whatever the server's default is, and
/// the timeouts hold also behind a pooler that mixes sessions.
pub(super) const BEGIN_WRITE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; \
    SET LOCAL synchronous_commit = on; SET LOCAL lock_timeout = '2s'; \
    SET LOCAL statement_timeout = '2s'; SET LOCAL idle_in_transaction_session_timeout = '1s'";

/// One state of the database throughout.
pub(super) const BEGIN_READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
    SET LOCAL statement_timeout = '2s'; SET LOCAL idle_in_transaction_session_timeout = '1s'";

/// One state of the database for as long as a backup takes: between two statements, whoever asked for it takes what
/// was read.
pub(super) const BEGIN_BACKUP: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
    SET LOCAL statement_timeout = '5s'; SET LOCAL idle_in_transaction_session_timeout = '60s'";

/// What a restore makes of its transaction's bounds: nobody waits for it, and its file may lie far away.
pub(super) const TAKE_TIME: &str = "SET LOCAL statement_timeout = '60s'; \
    SET LOCAL idle_in_transaction_session_timeout = '60s'";

/// How long a restore waits for what it asked for, whatever becomes of the network: a little longer than the server.
pub(super) const RESTORE_PATIENCE: Duration = Duration::from_secs(65);

/// Changes come one after the other. The row that counts revisions would do, and is left alone instead: it is
/// locked by the last statement of a change, for the length of its commit. (The lock's number must never change.)
pub(super) const ALONE: &str = "SELECT pg_advisory_xact_lock(7738725088349021187)";
/// What must not fall into the middle of a change, and not wait for its like.
pub(super) const NOT_AMID_A_CHANGE: &str =
    "SELECT pg_advisory_xact_lock_shared(7738725088349021187)";

/// The channel that tells replicas of changes. It only wakes them: they look by themselves as well.
pub(super) const CHANNEL: &str = "keyward";
/// Tells them, once the transaction ends well.
pub(super) const TELL: &str = "SELECT pg_notify('keyward', '')";

/// Says whether a connection that was given back is in no transaction: a task that was dropped between a BEGIN and
/// its answer leaves one that nobody knows of.
const AT_REST: &str = "SELECT now() = statement_timestamp()";

/// What a database is reached by, and by how many connections.
#[derive(Clone, Debug)]
pub struct PostgresSettings {
    /// Its address.
    pub address: DatabaseAddress,
    /// The most connections of the pool.
    pub max_connections: u32,
    /// How long it is waited for.
    pub patience: Patience,
    /// What a replica that has lost the database goes on for, and a change waits for one that is gone.
    pub terms: Terms,
    /// What operators call this replica.
    pub replica_name: String,
}

impl PostgresSettings {
    /// The usual ones; the replica is called as its machine is.
    #[must_use]
    pub fn new(address: DatabaseAddress) -> Self {
        Self {
            address,
            max_connections: MAX_CONNECTIONS,
            patience: Patience::default(),
            terms: Terms::default(),
            replica_name: machine_name(),
        }
    }
}

/// How long this side waits, whatever becomes of the other: a network can swallow an answer. The server has
/// bounds of its own, which are shorter.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For a connection, and for the answer to a question that needs no work.
    pub answer: Duration,
    /// For everything in a transaction but its end: two waits for a lock at most, and some statements of less
    /// than a millisecond.
    pub body: Duration,
    /// For the end of a transaction: longer than the server gives itself, so that it says how it ended.
    pub commit: Duration,
    /// No attempt begins later than this after the first: a database that restarts is back by then, and
    /// whoever waits longer had better be told.
    pub keep_trying: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            answer: Duration::from_secs(2),
            body: Duration::from_secs(5),
            commit: Duration::from_secs(3),
            keep_trying: KEEP_TRYING,
        }
    }
}

pub(super) async fn pool(settings: &PostgresSettings) -> Result<AnyPool> {
    let options = pool_options(settings, settings.max_connections);
    Ok(options.connect_with(settings.address.options()?).await?)
}

/// Makes the pool of a replica's own, which connects when it is first asked.
pub(super) fn own_pool(settings: &PostgresSettings) -> Result<AnyPool> {
    let options = pool_options(settings, OWN_CONNECTIONS);
    Ok(options.connect_lazy_with(settings.address.options()?))
}

fn pool_options(settings: &PostgresSettings, max_connections: u32) -> AnyPoolOptions {
    let answer = settings.patience.answer;
    AnyPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(answer)
        .max_lifetime(MAX_LIFETIME)
        .after_connect(|connection, _| {
            Box::pin(async move { sqlx::raw_sql(SESSION).execute(connection).await.map(drop) })
        })
        .after_release(move |connection, _| Box::pin(is_at_rest(connection, answer)))
}

async fn is_at_rest(connection: &mut AnyConnection, answer: Duration) -> sqlx::Result<bool> {
    let asked = timeout(answer, sqlx::raw_sql(AT_REST).fetch_one(connection)).await;
    Ok(asked.is_ok_and(|row| row.is_ok_and(|row| row.try_get(0).unwrap_or(false))))
}

/// Connects outside the pool.
async fn connect(settings: &PostgresSettings) -> Result<AnyConnection> {
    let options = settings.address.options()?;
    let connected = timeout(settings.patience.answer, options.connect()).await;
    connected.map_err(|_| Error::TooSlow)?.map_err(Into::into)
}

/// Connects outside the pool, with the timeouts of every connection.
pub(super) async fn connect_alone(settings: &PostgresSettings) -> Result<AnyConnection> {
    let mut connection = connect(settings).await?;
    let set = timeout(settings.patience.answer, sqlx::raw_sql(SESSION).execute(&mut connection));
    set.await.map_err(|_| Error::TooSlow)??;
    Ok(connection)
}

/// Brings the database up to this version, on a connection of its own that waits longer than others may.
pub(super) async fn migrate(settings: &PostgresSettings) -> Result<()> {
    let mut connection = connect(settings).await?;
    migrate::postgres(&mut connection).await?;
    // It is of no more use, however it ends.
    drop(connection.close().await);
    Ok(())
}
