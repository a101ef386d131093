//! How each database is brought up to this version.
//!
//! Migrations expand before they contract: one that only adds leaves `compatibility.serves_from` alone,
//! and replicas of the version before go on. One that takes away raises it to the migration that stopped
//! using what it takes, once no process of an older version runs any more.

use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AnyConnection, SqlSafeStr as _};
use tokio::time::Instant;
use tracing::info;

use super::postgres::MIGRATING;
use crate::{Error, Result};

/// How long a process waits for another one that migrates: a migration that takes longer is one for a
/// quiet hour, and whoever starts processes then is told so.
const WAIT: Duration = Duration::from_secs(60);

/// How often it looks.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A migration's number, name and text.
type Script = (i64, &'static str, &'static str);

const EMBEDDED: &[Script] = &[
    (1, "first", include_str!("../../migrations/sqlite/0001_first.sql")),
    (2, "deployments", include_str!("../../migrations/sqlite/0002_deployments.sql")),
];

const POSTGRES: &[Script] = &[
    (1, "first", include_str!("../../migrations/postgres/0001_first.sql")),
    (2, "deployments", include_str!("../../migrations/postgres/0002_deployments.sql")),
];

pub(super) fn embedded() -> Migrator {
    migrator(EMBEDDED)
}

fn migrator(scripts: &[Script]) -> Migrator {
    let migration = |&(version, name, sql): &Script| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(scripts.iter().map(migration).collect())
}

/// Brings the database up to this version, one process at a time; or finds that a newer version has been
/// here, and that this one may go on beside it. The lock goes with the connection.
pub(super) async fn postgres(connection: &mut AnyConnection) -> Result<()> {
    lock(connection, WAIT).await?;
    run(connection, POSTGRES).await?;
    sqlx::query("SELECT pg_advisory_unlock($1)").bind(MIGRATING).execute(connection).await?;
    Ok(())
}

/// Tries and waits, and never waits in the database: a statement that does holds back others, and its
/// connection may be gone without anybody noticing.
async fn lock(connection: &mut AnyConnection, wait: Duration) -> Result<()> {
    let until = Instant::now() + wait;
    loop {
        let (locked,): (bool,) = sqlx::query_as("SELECT pg_try_advisory_lock($1)")
            .bind(MIGRATING)
            .fetch_one(&mut *connection)
            .await?;
        if locked {
            return Ok(());
        }
        if Instant::now() >= until {
            return Err(Error::Migrating);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

async fn run(connection: &mut AnyConnection, scripts: &[Script]) -> Result<()> {
    let known = scripts.last().map_or(0, |(version, ..)| *version);
    let applied = applied(connection).await?;
    if applied <= known {
        let mut migrator = migrator(scripts);
        // Its own lock waits in the database; ours is held.
        migrator.set_locking(false);
        migrator.run_direct(None, connection, false).await?;
        return Ok(());
    }
    let (serves_from,): (i64,) =
        sqlx::query_as("SELECT serves_from FROM compatibility").fetch_one(&mut *connection).await?;
    if serves_from > known {
        return Err(Error::Newer { applied, known, serves_from });
    }
    info!(
        "The database was migrated by a newer version (to {applied}); this one can go on beside it"
    );
    Ok(())
}

/// The newest migration that the database has had; 0 for a new one.
async fn applied(connection: &mut AnyConnection) -> Result<i64> {
    let (there,): (bool,) = sqlx::query_as("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await?;
    if !there {
        return Ok(0);
    }
    let (newest,): (i64,) =
        sqlx::query_as("SELECT COALESCE(MAX(version), 0) FROM _sqlx_migrations WHERE success")
            .fetch_one(connection)
            .await?;
    Ok(newest)
}

#[cfg(test)]
mod tests {
    use pg_harness::{Cluster, Database};
    use sqlx::Connection as _;

    use super::*;

    const SECOND: Script = (2, "second", "ALTER TABLE apps ADD COLUMN colour TEXT;");
    const THIRD: Script = (
        3,
        "third",
        "ALTER TABLE apps DROP COLUMN created_at; UPDATE compatibility SET serves_from = 2;",
    );

    async fn connect(database: &Database<'_>) -> AnyConnection {
        sqlx::any::install_default_drivers();
        AnyConnection::connect(&database.url()).await.unwrap()
    }

    #[tokio::test]
    async fn a_version_goes_on_after_what_it_can_work_with_and_not_after_more() {
        let database = Cluster::shared().database();
        let connection = &mut connect(&database).await;
        let first = POSTGRES.first().unwrap();
        let versions = [vec![*first], vec![*first, SECOND], vec![*first, SECOND, THIRD]];
        // Each version runs what is new, and those before it go on where nothing was taken from them.
        run(connection, &versions[0]).await.unwrap();
        run(connection, &versions[1]).await.unwrap();
        run(connection, &versions[0]).await.unwrap();
        run(connection, &versions[2]).await.unwrap();
        run(connection, &versions[1]).await.unwrap();
        let refused = run(connection, &versions[0]).await;
        let expected = Err(Error::Newer { applied: 3, known: 1, serves_from: 2 });
        assert_eq!(format!("{refused:?}"), format!("{:?}", expected as Result<()>));
        run(connection, &versions[2]).await.unwrap();
    }

    #[tokio::test]
    async fn processes_that_start_together_migrate_one_after_the_other() {
        let database = Cluster::shared().database();
        let each = (0..8).map(|_| async {
            postgres(&mut connect(&database).await).await.unwrap();
        });
        futures::future::join_all(each).await;
        let run = i64::try_from(POSTGRES.len()).unwrap();
        assert_eq!(database.number("SELECT count(*) FROM _sqlx_migrations"), run);
    }

    #[tokio::test]
    async fn a_process_that_never_ends_migrating_is_not_waited_for_for_ever() {
        let database = Cluster::shared().database();
        let (mut one, mut other) = (connect(&database).await, connect(&database).await);
        lock(&mut one, WAIT).await.unwrap();
        let waited = lock(&mut other, Duration::ZERO).await;
        assert!(matches!(waited, Err(Error::Migrating)));
        // Its lock goes with its connection, however that ends.
        drop(one);
        lock(&mut other, WAIT).await.unwrap();
    }
}
