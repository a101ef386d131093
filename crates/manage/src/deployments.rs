//! Where deployments go: what the wiring decides, and this crate does not know.

use std::fmt;
use std::sync::Arc;

use app::{App, Files};
use futures::future::BoxFuture;
use keys::Authorized;
use keys::permission::Owner;
use store::{AppMaker, Note};
use url::Url;

/// Where deployments go.
#[derive(Clone)]
pub enum Deployments {
    /// Into the store, from where every replica serves them.
    Store(Deployable),
    /// Into the folder that the one app is served from.
    Folder(Arc<dyn AppFolder>),
    /// Nowhere: what to do instead, as a sentence.
    Nowhere(&'static str),
}

/// What may be deployed into the store.
#[derive(Clone)]
pub struct Deployable {
    /// Makes an app as this replica would serve it.
    pub maker: Arc<dyn AppMaker>,
    /// Checks an app's name, or says what is wrong with it.
    pub parse_name: fn(&str) -> Result<String, String>,
    /// Reads the URL that an app is reached at, or says what is wrong with it.
    pub parse_url: fn(&str) -> Result<Url, String>,
}

impl fmt::Debug for Deployable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deployable").finish_non_exhaustive()
    }
}

/// A folder that an app is served from.
pub trait AppFolder: Send + Sync {
    /// Gives the files as they lie there.
    fn read(&self) -> BoxFuture<'_, Result<Files, NotWritten>>;

    /// Makes an app as it would be served from the folder.
    ///
    /// # Errors
    /// Everything that does not hold, a line each.
    fn make(&self, files: &Files) -> Result<App, Vec<String>>;

    /// Replaces what was read by `files`, as one change with its audit row, and serves it. Returns once it is in force.
    fn write(
        &self,
        by: Authorized<Owner>,
        read: Files,
        files: Files,
        note: Note,
    ) -> BoxFuture<'_, Result<(), NotWritten>>;
}

/// Why a folder was not written.
#[derive(Debug, thiserror::Error)]
pub enum NotWritten {
    /// Somebody else has changed it meanwhile.
    #[error("the folder was changed meanwhile")]
    Overtaken,
    /// What lies there cannot be read, or what is to be written leads out of it: what to do, as a sentence.
    #[error("{0}")]
    Unfit(String),
    /// The disk failed. What was begun is finished when Keyward starts again, or was not begun.
    #[error("the folder could not be written")]
    Failed(#[source] std::io::Error),
    /// The store failed.
    #[error("the store failed")]
    Store(#[source] store::Error),
}

impl fmt::Debug for Deployments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Store(_) => "Store",
            Self::Folder(_) => "Folder",
            Self::Nowhere(_) => "Nowhere",
        })
    }
}
