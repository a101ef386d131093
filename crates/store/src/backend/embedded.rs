//! SQLite in the data folder.

use std::fs::{File, Permissions};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{AnyPool, ConnectOptions as _, Connection as _};

use super::migrate;
use crate::{Error, Result};

/// How long a statement waits for another connection's write. Writes are a few pages each: a wait
/// beyond this means that the disk has stopped.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// Readers do not wait for the writer in WAL mode; a handful serves every list at once.
const MAX_CONNECTIONS: u32 = 4;

/// The name of the database's file in the data folder.
const DATABASE_FILE: &str = "keyward.db";

/// The name of the file whose lock says that a process has the data folder.
const LOCK_FILE: &str = "keyward.lock";

/// Opens the database in `dir`, and brings it up to this version.
pub(super) async fn open(dir: &Path) -> Result<AnyPool> {
    let path = dir.join(DATABASE_FILE);
    create_private(&path)?;
    let options = options(&path)?;
    // The first connection recovers what a crash has left, and makes what is not there: that may take the
    // disk longer than a request can wait.
    let mut first = options.connect().await?;
    prepare(&mut first).await?;
    migrate::embedded().run_direct(None, &mut first, false).await?;
    first.close().await?;
    let pool = AnyPoolOptions::new()
        .max_connections(MAX_CONNECTIONS)
        .acquire_timeout(BUSY_TIMEOUT)
        .after_connect(|connection, _| Box::pin(async move { prepare(connection).await }))
        .connect_lazy_with(options);
    Ok(pool)
}

/// Held while a process has the data folder; the operating system drops it with the process.
pub(super) struct FolderLock {
    _guard: File,
}

impl FolderLock {
    pub(super) fn take(dir: &Path) -> Result<Self> {
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
