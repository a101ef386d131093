//! The one file, with what lies below it, that knows which database there is.

mod address;
mod attempt;
mod embedded;
pub(crate) mod leases;
mod migrate;
mod postgres;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use keys::{Clock, MasterKeys};
use lease::{RevisionName, Terms};
use sqlx::postgres::PgListener;
use sqlx::{Any, AnyConnection, AnyPool, Transaction};
use tokio::sync::Mutex;
use tokio::time::timeout;

pub use self::address::DatabaseAddress;
pub(crate) use self::attempt::{Attempt, is_away};
use self::embedded::FolderLock;
use self::leases::Nameplate;
pub use self::postgres::{Patience, PostgresSettings};
use crate::{Error, Result, revision};

/// The durable half: one database.
pub struct Store {
    pub(crate) pool: AnyPool,
    /// What a replica loads by and looks after changes by: whatever waits for a connection of the other pool,
    /// it may wait for that. The embedded store has one pool.
    pub(crate) own: AnyPool,
    pub(crate) masters: Arc<MasterKeys>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Held while a backup is taken.
    pub(crate) backing_up: Mutex<()>,
    database: Database,
    patience: Patience,
    _lock: Option<FolderLock>,
}

/// A connection on which a backup is read.
pub(crate) enum Reading {
    Pooled(Transaction<'static, Any>),
    /// One outside the pool, in a transaction that ends with it.
    Alone(AnyConnection),
}

impl Reading {
    pub(crate) fn connection(&mut self) -> &mut AnyConnection {
        match self {
            Self::Pooled(tx) => tx,
            Self::Alone(connection) => connection,
        }
    }
}

/// Which one it is, and what that needs besides a pool.
enum Database {
    Embedded,
    Postgres(Box<PostgresSettings>),
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let database = match self.database {
            Database::Embedded => "embedded",
            Database::Postgres(_) => "PostgreSQL",
        };
        f.debug_struct("Store").field("database", &database).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the embedded store in `dir`, makes its file at first, and brings it up to this version.
    ///
    /// # Errors
    /// [`Error::InUse`] where another process has the folder; [`Error::Folder`] where its files
    /// cannot be opened; [`Error::Migration`] where the file is of a newer version.
    pub async fn open(dir: &Path, masters: Arc<MasterKeys>, clock: Arc<dyn Clock>) -> Result<Self> {
        let lock = FolderLock::take(dir)?;
        sqlx::any::install_default_drivers();
        let pool = embedded::open(dir).await?;
        let (database, patience) = (Database::Embedded, Patience::default());
        let (own, backing_up) = (pool.clone(), Mutex::new(()));
        Ok(Self { pool, own, masters, clock, backing_up, database, patience, _lock: Some(lock) })
    }

    /// Connects to PostgreSQL and brings the database up to this version. `dir` is the data folder, which
    /// this process alone uses as well.
    ///
    /// # Errors
    /// [`Error::InUse`] and [`Error::Folder`] as [`Self::open`]; [`Error::Newer`] where a newer version has taken from it what this one
    /// needs; [`Error::Migrating`]; [`Error::Database`] where it cannot be reached.
    pub async fn connect(
        settings: &PostgresSettings,
        dir: &Path,
        masters: Arc<MasterKeys>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let lock = FolderLock::take(dir)?;
        Ok(Self {
            _lock: Some(lock),
            ..Self::connect_without_folder(settings, masters, clock).await?
        })
    }

    /// The same for a process that serves nobody and so needs no data folder.
    ///
    /// # Errors
    /// As [`Self::connect`], but for those of the folder.
    pub async fn connect_without_folder(
        settings: &PostgresSettings,
        masters: Arc<MasterKeys>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        sqlx::any::install_default_drivers();
        postgres::migrate(settings).await?;
        let pool = postgres::pool(settings).await?;
        let own = postgres::own_pool(settings)?;
        let database = Database::Postgres(Box::new(settings.clone()));
        let patience = settings.patience;
        let backing_up = Mutex::new(());
        Ok(Self { pool, own, masters, clock, backing_up, database, patience, _lock: None })
    }

    /// Closes every connection; the locks go with the value.
    pub async fn close(&self) {
        match &self.database {
            Database::Embedded => self.pool.close().await,
            Database::Postgres(_) => {
                // One that hangs is not waited for.
                let closing = async { tokio::join!(self.pool.close(), self.own.close()) };
                drop(timeout(self.patience.answer, closing).await);
            }
        }
    }

    /// What a lease on the store is, and what operators call who holds it; none on the embedded one, which
    /// nobody else can change.
    pub(crate) fn terms(&self) -> Option<(Terms, Nameplate)> {
        match &self.database {
            Database::Embedded => None,
            Database::Postgres(settings) => {
                let name = settings.replica_name.clone();
                let version = env!("CARGO_PKG_VERSION").to_owned();
                Some((settings.terms, Nameplate { name, version }))
            }
        }
    }

    /// Connects outside the pool.
    ///
    /// # Errors
    /// [`Error::Database`], [`Error::TooSlow`]; also on the embedded store, which has no such connections.
    pub(crate) async fn connect_alone(&self) -> Result<AnyConnection> {
        match &self.database {
            Database::Embedded => Err(Error::NotFound("connection")),
            Database::Postgres(settings) => postgres::connect_alone(settings).await,
        }
    }

    /// Hears of changes until the connection is lost. `changed` is called for each, and once when it begins
    /// to listen, since something may have been missed before.
    pub(crate) async fn listen(&self, changed: impl Fn() + Send + Sync) -> Result<()> {
        let Database::Postgres(settings) = &self.database else {
            return std::future::pending().await;
        };
        let mut listener = PgListener::connect(settings.address.expose()).await?;
        listener.listen(postgres::CHANNEL).await?;
        changed();
        while listener.try_recv().await?.is_some() {
            changed();
        }
        Ok(())
    }

    /// Counts the revision up, and has replicas told: the last statements of every change that must be in
    /// force.
    pub(crate) async fn count_up(&self, tx: &mut AnyConnection) -> Result<RevisionName> {
        if let Database::Postgres(_) = self.database {
            sqlx::query(postgres::TELL).execute(&mut *tx).await?;
        }
        revision::increment(tx).await
    }

    /// Whether operators' tokens are kept here and not in the data folder, since other replicas have
    /// other folders.
    pub(crate) const fn keeps_operators(&self) -> bool {
        matches!(self.database, Database::Postgres(_))
    }

    /// Whether it is the one in the data folder.
    pub(crate) const fn is_embedded(&self) -> bool {
        matches!(self.database, Database::Embedded)
    }

    /// Begins to read one state of the store for as long as a backup takes, and keeps no request from a
    /// connection meanwhile.
    pub(crate) async fn begin_backup(&self) -> Result<Reading> {
        match &self.database {
            Database::Embedded => Ok(Reading::Pooled(self.pool.begin().await?)),
            Database::Postgres(settings) => {
                let mut connection = postgres::connect_alone(settings).await?;
                sqlx::raw_sql(postgres::BEGIN_BACKUP).execute(&mut connection).await?;
                Ok(Reading::Alone(connection))
            }
        }
    }

    /// Begins the change that makes an empty store what a backup says, and that takes its time.
    pub(crate) async fn begin_restore(&self) -> Result<Transaction<'static, Any>> {
        let mut tx = self.begin_change().await?;
        if !self.is_embedded() {
            sqlx::raw_sql(postgres::TAKE_TIME).execute(&mut *tx).await?;
        }
        Ok(tx)
    }

    /// Bounds what a restore does between two looks at its file.
    pub(crate) async fn in_restore_time<T>(
        &self,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        match self.database {
            Database::Embedded => work.await,
            Database::Postgres(_) => {
                timeout(postgres::RESTORE_PATIENCE, work).await.map_err(|_| Error::TooSlow)?
            }
        }
    }

    /// Begins a transaction that writes, and that no other write depends on.
    pub(crate) async fn begin_write(&self) -> Result<Transaction<'static, Any>> {
        self.begin(None).await
    }

    /// Begins a transaction that no change falls into the middle of.
    pub(crate) async fn begin_amid_no_change(&self) -> Result<Transaction<'static, Any>> {
        self.begin(Some(postgres::NOT_AMID_A_CHANGE)).await
    }

    /// Begins a change: none other is under way, nor the end of one whose outcome nobody was told.
    pub(crate) async fn begin_change(&self) -> Result<Transaction<'static, Any>> {
        self.begin(Some(postgres::ALONE)).await
    }

    async fn begin(&self, lock: Option<&'static str>) -> Result<Transaction<'static, Any>> {
        match self.database {
            // Taking the write lock at once means that it can wait for it, where a reader that turns
            // writer half-way could only fail.
            Database::Embedded => Ok(self.pool.begin_with("BEGIN IMMEDIATE").await?),
            Database::Postgres(_) => {
                let mut tx = self.pool.begin_with(postgres::BEGIN_WRITE).await?;
                if let Some(lock) = lock {
                    sqlx::query(lock).execute(&mut *tx).await?;
                }
                Ok(tx)
            }
        }
    }

    /// Begins a transaction that sees one state of the store throughout.
    pub(crate) async fn begin_read(&self) -> Result<Transaction<'static, Any>> {
        self.begin_read_in(&self.pool).await
    }

    /// The same for what a replica decides by.
    pub(crate) async fn begin_load(&self) -> Result<Transaction<'static, Any>> {
        self.begin_read_in(&self.own).await
    }

    async fn begin_read_in(&self, pool: &AnyPool) -> Result<Transaction<'static, Any>> {
        match self.database {
            Database::Embedded => Ok(pool.begin().await?),
            Database::Postgres(_) => Ok(pool.begin_with(postgres::BEGIN_READ).await?),
        }
    }

    /// Makes a whole transaction again where it lost a race or its connection, or where nobody knows how
    /// its commit ended.
    ///
    /// # Errors
    /// The last attempt's; [`Error::OutcomeUnknown`] where an earlier one may have become durable and no
    /// later one could find out.
    pub(crate) async fn retried<T, F>(&self, attempt: impl Fn(Attempt) -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        attempt::retried(self.patience.keep_trying, attempt).await
    }

    /// Bounds what comes before a commit. A network can swallow an answer, a file of this machine cannot.
    pub(crate) async fn in_time<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        match self.database {
            Database::Embedded => work.await,
            Database::Postgres(_) => {
                timeout(self.patience.body, work).await.map_err(|_| Error::TooSlow)?
            }
        }
    }

    /// Ends a transaction so that what it did is durable.
    ///
    /// # Errors
    /// [`Error::Database`] where it lost a race, and is rolled back; [`Error::OutcomeUnknown`] otherwise.
    pub(crate) async fn commit(&self, tx: Transaction<'static, Any>) -> Result<()> {
        self.commit_within(self.patience.commit, tx).await
    }

    /// The same for a transaction that took its time, and may take some for its end.
    pub(crate) async fn commit_restore(&self, tx: Transaction<'static, Any>) -> Result<()> {
        self.commit_within(postgres::RESTORE_PATIENCE, tx).await
    }

    async fn commit_within(&self, most: Duration, tx: Transaction<'static, Any>) -> Result<()> {
        let bound = match self.database {
            Database::Embedded => Duration::MAX,
            Database::Postgres(_) => most,
        };
        let slow = |_| Err(sqlx::Error::Io(io::ErrorKind::TimedOut.into()));
        match timeout(bound, tx.commit()).await.unwrap_or_else(slow) {
            Ok(()) => Ok(()),
            Err(error) if attempt::is_conflict(&error) => Err(error.into()),
            Err(error) => Err(Error::OutcomeUnknown(Box::new(error))),
        }
    }
}
