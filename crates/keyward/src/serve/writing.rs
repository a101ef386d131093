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

use super::apps;
use super::reload::Kept;
use crate::config::Config;
use crate::data_dir::DataDir;
use crate::error::{Error, Result};
use crate::folder::journal::{self, Change, Of};
use crate::output;
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
    ///
    /// # Errors
    /// [`Error::Unfit`] if it is not of this folder and app, or not to be made sense of; nothing is written then.
    pub(super) fn found(place: Option<&Place>, config: &Config) -> Result<Option<Self>> {
        let Some(place @ Place::Folder(dir)) = place else { return Ok(None) };
        // One that is none is told of when it is read.
        if !dir.is_dir() {
            return Ok(None);
        }
        let path = config.data_dir.clone().unwrap_or_else(|| place.data_dir());
        let Some(data_dir) = DataDir::open(&path)? else { return Ok(None) };
        let journal = journal::path(data_dir.path());
        let doing = || format!("finish the deployment whose journal is {}", journal.display());
        if !journal.try_exists().map_err(Error::io(doing()))? {
            return Ok(None);
        }
        let lock = File::options().append(true).create(true).open(data_dir.lock_file());
        let lock = lock.map_err(Error::io(doing()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(Error::io(doing())(error)),
        }
        let pending = journal::pending::<Record>(data_dir.path()).map_err(|error| {
            if error.kind() == io::ErrorKind::InvalidData {
                let journal = journal.display();
                let what = "the journal of a deployment that was interrupted";
                return Error::Unfit(format!("{what}, {journal}, {error}. Nothing was changed"));
            }
            Error::io(doing())(error)
        })?;
        let Some(change) = pending else { return Ok(None) };
        let root = fs::canonicalize(dir).map_err(Error::io(doing()))?;
        check_of(&change.of, &root, &apps::app_name(place, config)?, &data_dir)?;
        let paths = change.write.keys().chain(&change.remove).map(String::as_str);
        journal::check(&root, paths).map_err(|why| {
            Error::Unfit(format!("cannot {}: {why}. Nothing was changed", doing()))
        })?;
        journal::apply(&root, &change).map_err(Error::io(doing()))?;
        let (data_dir, change) = (data_dir.path().to_owned(), Arc::new(change));
        Ok(Some(Self { root, data_dir, change, is_recorded: false }))
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

/// Sees that a change is of the folder and the app that are to be served.
fn check_of(of: &Of, root: &Path, app: &str, data_dir: &DataDir) -> Result<()> {
    // A link from where the folder lay says that it is the same one, moved.
    let is_folder = fs::canonicalize(&of.folder).is_ok_and(|folder| folder == root);
    if is_folder && of.app == app {
        return Ok(());
    }
    let journal = journal::path(data_dir.path());
    let (data_dir, journal) = (data_dir.path().display(), journal.display());
    let shown = output::shown(&of.folder);
    let (other, root) = (output::shown(&of.app), root.display());
    let begins = format!(
        "a deployment into the folder {shown}, served as the app {other}, was interrupted, and what is to \
         be served with its data folder {data_dir} now"
    );
    Err(Error::Unfit(if is_folder {
        format!(
            "{begins} is the app {app}: nothing was changed. Serve it once with --app-name {other}, which \
             finishes the deployment"
        )
    } else {
        format!(
            "{begins} is {root}: nothing was changed. Serve that folder once with this data folder and \
             --app-name {other}, which finishes the deployment. If {root} is that folder and was moved, move \
             it back for that, or make {shown} a link to it. If that folder is gone, remove {journal}"
        )
    }))
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
        let folder = root.to_str().map(str::to_owned).ok_or_else(|| {
            NotWritten::Unfit(format!("{}: the folder's path is not UTF-8", root.display()))
        })?;
        let of = Of { folder, app: self.kept.name.clone() };
        let change = change(&root, of, &read, &files, record)?;
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
    of: Of,
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
    Ok(Change::new(of, write, remove, record))
}

async fn in_thread(
    work: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> Result<(), NotWritten> {
    let done = spawn_blocking(work).await.map_err(io::Error::from);
    done.and_then(|done| done).map_err(NotWritten::Failed)
}
