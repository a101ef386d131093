//! The one file, with what lies below it, that knows which database there is.

mod address;
mod attempt;
mod embedded;
mod leases;
mod migrate;
mod postgres;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use keys::{Clock, MasterKeys};
use sqlx::{Any, AnyPool, Transaction};
use tokio::time::timeout;

pub use self::address::DatabaseAddress;
pub(crate) use self::attempt::Attempt;
use self::embedded::FolderLock;
pub(crate) use self::postgres::Claimed;
use self::postgres::Serving;
pub use self::postgres::{Patience, PostgresSettings};
use crate::hold::Hold;
use crate::{Error, Result};

/// The durable half: one database.
pub struct Store {
    pub(crate) pool: AnyPool,
    pub(crate) masters: Arc<MasterKeys>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) hold: Arc<Hold>,
    database: Database,
    patience: Patience,
    _lock: FolderLock,
}

/// Which one it is, and what that needs besides a pool.
enum Database {
    Embedded,
    Postgres(Box<Serving>),
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
        let hold = Arc::new(Hold::for_ever());
        let (database, patience) = (Database::Embedded, Patience::default());
        Ok(Self { pool, masters, clock, hold, database, patience, _lock: lock })
    }

    /// Connects to PostgreSQL and brings the database up to this version. `dir` is the data folder, which
    /// this process alone uses as well.
    ///
    /// # Errors
    /// [`Error::InUse`] and [`Error::Folder`] as [`Self::open`]; [`Error::Served`] where another process
    /// serves from the database; [`Error::Newer`] where a newer version has taken from it what this one
    /// needs; [`Error::Migrating`]; [`Error::Database`] where it cannot be reached.
    pub async fn connect(
        settings: &PostgresSettings,
        dir: &Path,
        masters: Arc<MasterKeys>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let lock = FolderLock::take(dir)?;
        sqlx::any::install_default_drivers();
        postgres::migrate(settings).await?;
        let hold = Arc::new(Hold::none());
        let serving = Serving::take(settings, &hold).await?;
        let pool = postgres::pool(settings).await?;
        let database = Database::Postgres(Box::new(serving));
        let patience = settings.patience;
        Ok(Self { pool, masters, clock, hold, database, patience, _lock: lock })
    }

    /// Closes every connection; the locks go with the value.
    pub async fn close(&self) {
        match &self.database {
            Database::Embedded => self.pool.close().await,
            Database::Postgres(serving) => {
                serving.end().await;
                // One that hangs is not waited for.
                drop(timeout(self.patience.answer, self.pool.close()).await);
            }
        }
    }

    /// Sees to it that this process may go on by what it has in memory; returns from time to time.
    pub(crate) async fn stay(&self) -> Claimed {
        match &self.database {
            Database::Embedded => std::future::pending().await,
            Database::Postgres(serving) => serving.keep(&self.hold).await,
        }
    }

    /// Whether operators' tokens are kept here and not in the data folder, since other replicas have
    /// other folders.
    pub(crate) const fn keeps_operators(&self) -> bool {
        matches!(self.database, Database::Postgres(_))
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
        match self.database {
            Database::Embedded => Ok(self.pool.begin().await?),
            Database::Postgres(_) => Ok(self.pool.begin_with(postgres::BEGIN_READ).await?),
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
        let bound = match self.database {
            Database::Embedded => Duration::MAX,
            Database::Postgres(_) => self.patience.commit,
        };
        let slow = |_| Err(sqlx::Error::Io(io::ErrorKind::TimedOut.into()));
        match timeout(bound, tx.commit()).await.unwrap_or_else(slow) {
            Ok(()) => Ok(()),
            Err(error) if attempt::is_conflict(&error) => Err(error.into()),
            Err(error) => Err(Error::OutcomeUnknown(Box::new(error))),
        }
    }
}
