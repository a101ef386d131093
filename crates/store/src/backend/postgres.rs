//! PostgreSQL: how it is connected to, how its transactions begin, and who may serve from it.

use std::time::Duration;

use sqlx::any::AnyPoolOptions;
use sqlx::{AnyConnection, AnyPool, ConnectOptions as _, Connection as _, Row as _};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tracing::{error, info, warn};
use uuid::Uuid;

use super::attempt::KEEP_TRYING;
use super::{DatabaseAddress, migrate};
use crate::hold::{Hold, since_boot};
use crate::{Error, Result};

/// The connections of the pool, where the configuration does not say: each replica takes as many of the
/// database's at most, and a handful of requests is under way at any moment.
pub(super) const MAX_CONNECTIONS: u32 = 10;

/// Connections are made anew so often, so that a database that has moved is found.
const MAX_LIFETIME: Duration = Duration::from_mins(30);

/// The advisory lock of whoever migrates. The numbers are arbitrary, and must never change.
pub(super) const MIGRATING: i64 = 0x6b65_7977_6172_6401;
/// That of whoever serves, while only one process may.
const SERVING: i64 = 0x6b65_7977_6172_6402;

/// Timeouts of every connection: nothing waits for ever, and nothing that hangs holds up others.
const SESSION: &str = "SET lock_timeout = '2s'; SET statement_timeout = '2s'; \
    SET idle_in_transaction_session_timeout = '1s'";

/// What every change begins with: its commit waits for the disk, whatever the server's default is, and
/// the timeouts hold also behind a pooler that mixes sessions.
pub(super) const BEGIN_WRITE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; \
    SET LOCAL synchronous_commit = on; SET LOCAL lock_timeout = '2s'; \
    SET LOCAL statement_timeout = '2s'; SET LOCAL idle_in_transaction_session_timeout = '1s'";

/// One state of the database throughout.
pub(super) const BEGIN_READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
    SET LOCAL statement_timeout = '2s'; SET LOCAL idle_in_transaction_session_timeout = '1s'";

/// Changes come one after the other. The row that counts revisions would do, and is left alone instead: it is
/// locked by the last statement of a change, for the length of its commit. (The lock's number must never change.)
pub(super) const ALONE: &str = "SELECT pg_advisory_xact_lock(7738725088349021187)";
/// What must not fall into the middle of a change, and not wait for its like.
pub(super) const NOT_AMID_A_CHANGE: &str =
    "SELECT pg_advisory_xact_lock_shared(7738725088349021187)";

/// Says whether a connection that was given back is in no transaction: a task that was dropped between a BEGIN and
/// its answer leaves one that nobody knows of.
const AT_REST: &str = "SELECT now() = statement_timestamp()";

/// How long a process goes on serving after it last heard that it is the only one, counted from the question.
const HOLD: Duration = Duration::from_secs(5);

/// How long one waits that follows another that did not say goodbye: as long, and a sixth more, since no two
/// clocks run alike.
const FOLLOW: Duration = Duration::from_secs(6);

/// How often it asks.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// How long a process that starts waits for the one before it to be gone.
const TAKE_WITHIN: Duration = Duration::from_secs(3);

/// How often it looks.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What a database is reached by, and by how many connections.
#[derive(Clone, Debug)]
pub struct PostgresSettings {
    /// Its address.
    pub address: DatabaseAddress,
    /// The most connections of the pool.
    pub max_connections: u32,
    /// How long it is waited for.
    pub patience: Patience,
}

impl PostgresSettings {
    /// The usual ones.
    #[must_use]
    pub fn new(address: DatabaseAddress) -> Self {
        Self { address, max_connections: MAX_CONNECTIONS, patience: Patience::default() }
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
    let answer = settings.patience.answer;
    let pool = AnyPoolOptions::new()
        .max_connections(settings.max_connections)
        .acquire_timeout(answer)
        .max_lifetime(MAX_LIFETIME)
        .after_connect(|connection, _| {
            Box::pin(async move { sqlx::raw_sql(SESSION).execute(connection).await.map(drop) })
        })
        .after_release(move |connection, _| Box::pin(is_at_rest(connection, answer)))
        .connect_with(settings.address.options()?)
        .await?;
    Ok(pool)
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

/// Brings the database up to this version, on a connection of its own that waits longer than others may.
pub(super) async fn migrate(settings: &PostgresSettings) -> Result<()> {
    let mut connection = connect(settings).await?;
    migrate::postgres(&mut connection).await?;
    // It is of no more use, however it ends.
    drop(connection.close().await);
    Ok(())
}

/// The claim of this process to be the only one that serves from the database.
///
/// It is an advisory lock on a connection of its own. Losing the connection loses the lock, which nobody
/// tells: so the process asks again and again, goes on for [`HOLD`] after the last question that was
/// answered, and admits nothing after that. Who takes the lock after it waits for longer first.
pub(super) struct Serving {
    settings: PostgresSettings,
    process: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    connection: Option<AnyConnection>,
    was_lost: bool,
}

/// What became of the claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claimed {
    /// Nobody else has served meanwhile.
    Kept,
    /// Somebody else has: what is in memory is not what the store holds. It must be read again, and
    /// nothing admitted until then.
    Anew,
    /// It is not ours now.
    Lost,
}

impl Serving {
    /// Claims it, once whoever served before is gone.
    pub(super) async fn take(settings: &PostgresSettings, hold: &Hold) -> Result<Self> {
        let process = Uuid::new_v4().simple().to_string();
        let serving = Self { settings: settings.clone(), process, state: Mutex::default() };
        let until = Instant::now() + TAKE_WITHIN;
        loop {
            let mut state = serving.state.lock().await;
            if serving.claim(&mut state).await? != Claimed::Lost {
                drop(state);
                serving.ask(hold).await?;
                return Ok(serving);
            }
            if Instant::now() >= until {
                return Err(Error::Served);
            }
            drop(state);
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Asks again, after a while.
    pub(super) async fn keep(&self, hold: &Hold) -> Claimed {
        tokio::time::sleep(ASK_EVERY).await;
        let claimed = self.ask(hold).await;
        let mut state = self.state.lock().await;
        let is_lost = !matches!(claimed, Ok(Claimed::Kept | Claimed::Anew));
        if is_lost && !state.was_lost {
            match &claimed {
                Ok(_) => error!("Another process serves from the database"),
                Err(error) => warn!(
                    error = error as &dyn std::error::Error,
                    "Cannot ask the database whether this process is the only one: {error}"
                ),
            }
        } else if state.was_lost && !is_lost {
            info!("This process is the only one again that serves from the database");
        }
        state.was_lost = is_lost;
        claimed.unwrap_or(Claimed::Lost)
    }

    async fn ask(&self, hold: &Hold) -> Result<Claimed> {
        let mut state = self.state.lock().await;
        let asked_at = since_boot();
        if let Some(held) = &mut state.connection {
            if let Ok(Ok(())) = timeout(ASK_EVERY, held.ping()).await {
                hold.extend(asked_at + HOLD);
                return Ok(Claimed::Kept);
            }
            state.connection = None;
        }
        // Where it is claimed again, the next question says that it may go on.
        self.claim(&mut state).await
    }

    /// Takes the lock, and waits until nobody goes on who had it before.
    async fn claim(&self, state: &mut State) -> Result<Claimed> {
        let mut connection = connect(&self.settings).await?;
        sqlx::raw_sql(SESSION).execute(&mut connection).await?;
        let (locked,): (bool,) = sqlx::query_as("SELECT pg_try_advisory_lock($1)")
            .bind(SERVING)
            .fetch_one(&mut connection)
            .await?;
        if !locked {
            return Ok(Claimed::Lost);
        }
        let (process,): (String,) =
            sqlx::query_as("SELECT process FROM serving").fetch_one(&mut connection).await?;
        let claimed = if process == self.process { Claimed::Kept } else { Claimed::Anew };
        if claimed == Claimed::Anew {
            if !process.is_empty() {
                tokio::time::sleep(FOLLOW).await;
            }
            name(&mut connection, &process, &self.process).await?;
        }
        state.connection = Some(connection);
        Ok(claimed)
    }

    /// Says that nobody goes on, and gives the lock back.
    pub(super) async fn end(&self) {
        if let Some(mut connection) = self.state.lock().await.connection.take() {
            let ended = async {
                name(&mut connection, &self.process, "").await?;
                connection.close().await?;
                Ok::<_, Error>(())
            };
            // Where that fails, the next one waits.
            drop(timeout(self.settings.patience.answer, ended).await);
        }
    }
}

async fn name(connection: &mut AnyConnection, former: &str, process: &str) -> Result<()> {
    sqlx::query("UPDATE serving SET process = $1 WHERE process = $2")
        .bind(process.to_owned())
        .bind(former.to_owned())
        .execute(connection)
        .await?;
    Ok(())
}
