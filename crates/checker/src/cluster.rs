//! The database, and each replica's way to it.

use std::sync::Arc;

use pg_harness::{Cluster, Database, Durability, Ending, Proxy};
use tokio::task::spawn_blocking;

use crate::failure::{Doing as _, Failure, Result};

/// How far the wall clock is stepped to see that it can be.
const TRY_STEP_MS: i64 = 30_000;

/// A PostgreSQL whose wall clock can be stepped, with one database.
pub(crate) struct Server {
    cluster: Arc<Cluster>,
    pub(crate) proxies: Vec<Proxy>,
}

impl Server {
    /// Starts it, and a proxy for each replica.
    pub(crate) async fn start(replica_count: usize, durability: Durability) -> Result<Self> {
        let starting = spawn_blocking(move || {
            let cluster = Cluster::start_with_wall_clock(durability, &[]);
            let database = cluster.database();
            let proxies = (0..replica_count).map(|_| Proxy::to(&database)).collect();
            try_step(&cluster, &database)?;
            drop(database);
            Ok(Self { cluster: Arc::new(cluster), proxies })
        });
        starting.await.doing("PostgreSQL")?
    }

    /// Ends and starts it; returns when it takes connections again.
    pub(crate) async fn restart(&self, ending: Ending) -> Result<()> {
        let cluster = Arc::clone(&self.cluster);
        spawn_blocking(move || cluster.restart(ending)).await.doing("PostgreSQL")
    }

    pub(crate) fn set_wall_clock(&self, milliseconds: i64) {
        self.cluster.set_wall_clock(milliseconds);
    }

    pub(crate) fn log(&self) -> std::path::PathBuf {
        self.cluster.dir().join("log")
    }
}

/// A fault that does not happen proves nothing.
fn try_step(cluster: &Cluster, database: &Database<'_>) -> Result<()> {
    let shown =
        || database.number("SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)");
    let before = shown();
    cluster.set_wall_clock(TRY_STEP_MS);
    let after = shown();
    cluster.set_wall_clock(0);
    let back = shown();
    let has_stepped = after - before >= TRY_STEP_MS && back < after;
    let what = "the database's wall clock does not step: libfaketime is without effect here";
    has_stepped.then_some(()).ok_or_else(|| Failure::new(what))
}
