use std::path::PathBuf;

use crate::{Version, backend};

/// What a caller of the store can do about a failure.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process has the data folder: stop it, or use another folder.
    #[error("the data folder {} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// The data folder cannot be used as it is.
    #[error("cannot use {}", path.display())]
    Folder {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Another process has been migrating the database for a minute.
    #[error("another process is migrating the database, and has not come to an end in time")]
    Migrating,
    /// A newer version has taken from the database what this version needs.
    #[error(
        "the database was migrated to {applied} by a newer version, which works with versions that \
         know migration {serves_from}; this one knows {known}"
    )]
    Newer {
        /// The newest migration that the database has had.
        applied: i64,
        /// The newest that this version knows.
        known: i64,
        /// The newest that a version must know to go on.
        serves_from: i64,
    },
    /// The address of a database is none that can be used.
    #[error("the database's address does not hold: {0}")]
    Address(String),
    /// The shared operator token does not open under any configured master key.
    #[error("the operator token in the store does not open under any configured master key")]
    Token(#[source] keys::Error),
    /// An access key does not open under any configured master key.
    #[error("the {slot} access key of app {app} does not open under any configured master key")]
    Sealed {
        /// The app's name.
        app: String,
        /// The slot it lies in.
        slot: keys::Slot,
        /// What the key material said.
        source: keys::Error,
    },
    /// The API key asked for cannot be made.
    #[error("cannot make the API key")]
    Key(#[source] keys::Error),
    /// No such app, API key or page.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// The app has another version than the one that a deployment was made from: look, and make it anew.
    #[error("the app was deployed by somebody else meanwhile")]
    Overtaken,
    /// The version of an app that is in force cannot be served by this replica: nothing is, until it can.
    #[error("version {version} of the app {app} cannot be served here: {why}")]
    Undeployable {
        /// The app's name.
        app: String,
        /// The version in force.
        version: Version,
        /// Why, and what to do.
        why: String,
    },
    /// An app that this replica serves from a folder is deployed in the store as well.
    #[error(
        "the app {0} is deployed in the store, and served from a folder here: serve without a folder, or \
         give the folder's app another name with --app-name"
    )]
    TwoSources(String),
    /// A row does not hold what this version writes: the file was altered, or is of a newer version.
    #[error("the store has an unreadable {what}")]
    Corrupt {
        /// Which column or row.
        what: &'static str,
    },
    /// The files of a version in a backup do not open under any configured master key.
    #[error("version {version} of the app {app} does not open under any configured master key")]
    SealedDeployment {
        /// The app's name.
        app: String,
        /// Which version.
        version: i64,
        /// What the key material said.
        source: keys::Error,
    },
    /// The caller lacks a role.
    #[error("not authorized")]
    Forbidden(#[from] keys::Forbidden),
    /// A file is no backup that can be restored.
    #[error("the backup cannot be restored")]
    Backup(#[from] crate::BackupFault),
    /// A backup is being taken already.
    #[error("another backup is being taken")]
    BackupUnderWay,
    /// Whoever asked for a backup does not take it.
    #[error("whoever asked for the backup does not take it")]
    BackupNotTaken,
    /// A line of a backup could not be written.
    #[error("cannot write a line of the backup")]
    BackupLine(#[from] serde_json::Error),
    /// The store that is to be restored into has something in it.
    #[error("the store is not empty: the number of rows of its table {table} is {rows}")]
    NotEmpty {
        /// The first table that has rows.
        table: &'static str,
        /// How many.
        rows: i64,
    },
    /// The database has not answered in time.
    #[error("the store does not answer in time")]
    TooSlow,
    /// The migrations of the database do not fit this version.
    #[error("cannot bring the store up to this version")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// The database failed, and nothing of the change is durable.
    #[error("the store did not answer as it should")]
    Database(#[from] sqlx::Error),
    /// The database failed in the commit and does not say how it ended: the caller has the replica
    /// read the store again ([`crate::Replica::refresh`]), which is right in both cases.
    #[error("the store did not say whether the change is durable")]
    OutcomeUnknown(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// Whether the database is away or has too much to do: nothing is durable, and it may go better later.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::TooSlow => true,
            Self::Database(error) => backend::is_away(error),
            _ => false,
        }
    }

    pub(crate) const fn corrupt(what: &'static str) -> Self {
        Self::Corrupt { what }
    }
}
