//! Deployments into the folder that an app is served from.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use app::{App, Files};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use keys::permission::Owner;
use keys::{AppId, Authorized, Caller, Role};
use manage::{AppFolder, NotWritten};
use serde::{Deserialize, Serialize};
use store::{Note, Replica, Store};
use tokio::task::spawn_blocking;
use tracing::{info, warn};
use uuid::Uuid;

use super::reload::Kept;
use crate::data_dir::DataDir;
use crate::error::{Error, Result};
use crate::folder::journal::{self, Change};
use crate::place::Place;

/// What the store is told of a deployment, however often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The audit row's.
    id: String,
    by: String,
    note: Note,
}

/// A deployment that has happened: it stands in the journal.
#[derive(Clone, Debug)]
pub(super) struct Unfinished {
    root: PathBuf,
    data_dir: PathBuf,
    change: Arc<Change<Record>>,
    /// Whether its audit row is known to be there; the journal stays until it is.
    is_recorded: bool,
}

impl Unfinished {
    /// Puts its files in their places, if there is one.
    pub(super) async fn finish(unfinished: &mut Option<Self>) -> io::Result<()> {
        let Some(this) = unfinished.clone() else { return Ok(()) };
        spawn_blocking(move || {
            journal::apply(&this.root, &this.change)?;
            if this.is_recorded { journal::end(&this.data_dir) } else { Ok(()) }
        })
        .await??;
        *unfinished = None;
        Ok(())
    }

    /// Finishes the deployment that a process was interrupted in, before the folder is read; none if there is
    /// none, or another process has the data folder.
    pub(super) fn found(place: Option<&Place>, data_dir: Option<&Path>) -> Result<Option<Self>> {
        let Some(place @ Place::Folder(dir)) = place else { return Ok(None) };
        // One that is none is told of when it is read.
        if !dir.is_dir() {
            return Ok(None);
        }
        let path = data_dir.map_or_else(|| place.data_dir(), Path::to_owned);
        let Some(data_dir) = DataDir::open(&path)? else { return Ok(None) };
        let finish = || {
            let Some(change) = journal::pending::<Record>(data_dir.path())? else {
                return Ok(None);
            };
            let lock = File::options().append(true).create(true).open(data_dir.lock_file())?;
            match lock.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
            let root = fs::canonicalize(dir)?;
            journal::apply(&root, &change)?;
            let (data_dir, change) = (data_dir.path().to_owned(), Arc::new(change));
            Ok(Some(Self { root, data_dir, change, is_recorded: false }))
        };
        let doing = format!("finish the deployment into {} that was interrupted", dir.display());
        finish().map_err(Error::io(doing))
    }

    /// Sees that the audit has it, and forgets it.
    pub(super) async fn record(self, store: &Store, app: AppId) -> Result<()> {
        let Record { id, by, note } = &self.change.record;
        let caller = Caller::new(by, Role::Owner).require(app);
        let by = caller.map_err(|error| Error::Failed(error.to_string()))?;
        let recorded = store.record_deployment(&by, id, note).await;
        recorded.map_err(Error::store("record the deployment that was interrupted"))?;
        let paths = note.changed.join(", ");
        info!("Finished a deployment of {} that was interrupted: {paths}", by.by());
        journal::end(&self.data_dir).map_err(Error::io("end the journal of deployments"))
    }
}

/// The folder of an app, written by deployments.
pub(super) struct Folder {
    pub(super) kept: Arc<Kept>,
    pub(super) dir: PathBuf,
    pub(super) data_dir: PathBuf,
    pub(super) store: Arc<Store>,
    pub(super) replica: Arc<Replica>,
}

impl AppFolder for Folder {
    fn read(&self) -> BoxFuture<'_, Result<Files, NotWritten>> {
        async {
            let mut state = self.kept.lock().await;
            Unfinished::finish(&mut state.unfinished).await.map_err(NotWritten::Failed)?;
            self.files().await
        }
        .boxed()
    }

    fn make(&self, files: &Files) -> Result<App, Vec<String>> {
        self.kept.source.make(files).map_err(|error| match error {
            Error::App { problems, .. } => problems.iter().map(ToString::to_string).collect(),
            error => vec![error.chain()],
        })
    }

    fn write(
        &self,
        by: Authorized<Owner>,
        read: Files,
        files: Files,
        note: Note,
    ) -> BoxFuture<'_, Result<(), NotWritten>> {
        self.replace(by, read, files, note).boxed()
    }
}

impl Folder {
    async fn files(&self) -> Result<Files, NotWritten> {
        let place = self.kept.source.place.clone();
        let read = spawn_blocking(move || place.read()).await;
        let read = read.map_err(|error| NotWritten::Failed(error.into()))?;
        read.map(|folder| folder.files).map_err(|error| NotWritten::Unfit(error.chain()))
    }

    /// Nobody reads the folder meanwhile, but for its owner.
    async fn replace(
        &self,
        by: Authorized<Owner>,
        read: Files,
        files: Files,
        note: Note,
    ) -> Result<(), NotWritten> {
        let mut state = self.kept.lock().await;
        if self.files().await? != read {
            return Err(NotWritten::Overtaken);
        }
        let root = fs::canonicalize(&self.dir).map_err(NotWritten::Failed)?;
        let id = Uuid::now_v7().to_string();
        let record = Record { id, by: by.by().to_owned(), note };
        let change = change(&root, &read, &files, record)?;
        let change = Arc::new(change);
        let (data_dir, begun) = (self.data_dir.clone(), Arc::clone(&change));
        in_thread(move || journal::begin(&data_dir, &begun)).await?;
        let Record { id, note, .. } = &change.record;
        let recorded = self.store.record_deployment(&by, id, note).await;
        let is_recorded = match &recorded {
            Ok(_) => true,
            Err(store::Error::OutcomeUnknown(_)) => false,
            Err(_) => {
                // It has not happened: nothing of it stands anywhere but in the journal.
                let data_dir = self.data_dir.clone();
                in_thread(move || journal::end(&data_dir)).await?;
                return recorded.map(drop).map_err(NotWritten::Store);
            }
        };
        let data_dir = self.data_dir.clone();
        state.unfinished = Some(Unfinished { root, data_dir, change, is_recorded });
        Unfinished::finish(&mut state.unfinished).await.map_err(NotWritten::Failed)?;
        self.kept.read(&mut state, &self.replica).await;
        if let Ok(change) = recorded
            && self.replica.in_force(&change).await.is_err()
        {
            warn!("The deployment is in the folder, and not in force yet");
        }
        Ok(())
    }
}

/// What makes one set of files of another; refuses what would not become what it says.
fn change(
    root: &Path,
    read: &Files,
    files: &Files,
    record: Record,
) -> Result<Change<Record>, NotWritten> {
    let mut write = BTreeMap::new();
    for (path, bytes) in files.iter().filter(|(path, bytes)| read.get(path) != Some(bytes)) {
        let text = String::from_utf8(bytes.to_vec())
            .map_err(|_| NotWritten::Unfit(format!("{path} is not UTF-8")))?;
        write.insert(path.to_owned(), text);
    }
    let gone = read.iter().filter(|(path, _)| files.get(path).is_none());
    let remove: Vec<String> = gone.map(|(path, _)| path.to_owned()).collect();
    let mut folded = BTreeSet::new();
    for (path, _) in files.iter() {
        if !folded.insert(path.to_lowercase()) {
            let why = "is the name of another file, case apart: not every disk tells them apart";
            return Err(NotWritten::Unfit(format!("{path} {why}")));
        }
    }
    let paths = write.keys().chain(&remove).map(String::as_str);
    journal::check(root, paths).map_err(NotWritten::Unfit)?;
    Ok(Change::new(write, remove, record))
}

async fn in_thread(
    work: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> Result<(), NotWritten> {
    let done = spawn_blocking(work).await.map_err(io::Error::from);
    done.and_then(|done| done).map_err(NotWritten::Failed)
}
