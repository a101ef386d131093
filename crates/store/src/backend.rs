use std::fmt;
use std::fs::{File, Permissions};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use keys::{Clock, MasterKeys};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{Any, AnyPool, SqlSafeStr as _, Transaction};

use crate::{Error, Result};

/// How long a statement waits for another connection's write. Writes are a few pages each: a wait
/// beyond this means that the disk has stopped.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// How long anything waits for a connection: as long as for the write lock, and no longer.
const ANSWER_WITHIN: Duration = BUSY_TIMEOUT;

/// Readers do not wait for the writer in WAL mode; a handful serves every list at once.
const MAX_CONNECTIONS: u32 = 4;

/// The name of the database's file in the data folder.
const DATABASE_FILE: &str = "keyward.db";

/// The name of the file whose lock says that a process has the data folder.
const LOCK_FILE: &str = "keyward.lock";

/// The durable half: one database, opened by one process at a time on the embedded store.
pub struct Store {
    pub(crate) pool: AnyPool,
    pub(crate) masters: Arc<MasterKeys>,
    pub(crate) clock: Arc<dyn Clock>,
    _lock: FolderLock,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("pool", &self.pool).finish_non_exhaustive()
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
        let path = dir.join(DATABASE_FILE);
        create_private(&path)?;
        sqlx::any::install_default_drivers();
        let pool = AnyPoolOptions::new()
            .max_connections(MAX_CONNECTIONS)
            .acquire_timeout(ANSWER_WITHIN)
            .after_connect(|connection, _| Box::pin(async move { prepare(connection).await }))
            .connect_with(options(&path)?)
            .await?;
        migrations().run(&pool).await?;
        Ok(Self { pool, masters, clock, _lock: lock })
    }

    /// Closes every connection; the lock goes with the value.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Begins a transaction that will write. Taking the write lock at once means that it can wait
    /// for it, where a reader that turns writer half-way could only fail.
    pub(crate) async fn begin_write(&self) -> Result<Transaction<'static, Any>> {
        Ok(self.pool.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// Begins a transaction that sees one state of the store throughout.
    pub(crate) async fn begin_read(&self) -> Result<Transaction<'static, Any>> {
        Ok(self.pool.begin().await?)
    }
}

/// Held while a process has the data folder; the operating system drops it with the process.
struct FolderLock {
    _guard: File,
}

impl FolderLock {
    fn take(dir: &Path) -> Result<Self> {
        let path = dir.join(LOCK_FILE);
        let file = create_private(&path)?;
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { _guard: file }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::InUse(dir.to_owned())),
            Err(errno) => Err(Error::Folder { path, source: errno.into() }),
        }
    }
}

/// Opens a file that only its owner may read, making it where there is none.
fn create_private(path: &Path) -> Result<File> {
    let open = || {
        let file = File::options().create(true).append(true).read(true).mode(0o600).open(path)?;
        if file.metadata()?.permissions().mode() & 0o077 != 0 {
            file.set_permissions(Permissions::from_mode(0o600))?;
        }
        Ok(file)
    };
    open().map_err(|source| Error::Folder { path: path.to_owned(), source })
}

fn options(path: &Path) -> Result<AnyConnectOptions> {
    let bad = || Error::Folder {
        path: PathBuf::from(path),
        source: std::io::Error::new(std::io::ErrorKind::InvalidInput, "not an absolute UTF-8 path"),
    };
    let file = url::Url::from_file_path(path).map_err(|()| bad())?;
    Ok(format!("sqlite://{}?mode=rw", file.path()).parse()?)
}

/// FULL makes every commit wait for the disk: an answer is never lost, also when power is. With
/// `secure_delete` what was overwritten does not stay behind in free pages.
async fn prepare(connection: &mut sqlx::AnyConnection) -> sqlx::Result<()> {
    let statements = format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
         PRAGMA secure_delete = ON; PRAGMA busy_timeout = {};",
        BUSY_TIMEOUT.as_millis()
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(statements)).execute(connection).await?;
    Ok(())
}

fn migrations() -> Migrator {
    let all = [(1, "first", include_str!("../migrations/sqlite/0001_first.sql"))];
    let migration = |(version, name, sql): (i64, &'static str, &'static str)| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(all.into_iter().map(migration).collect())
}
