use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use keys::permission::Owner;
use keys::{AppId, Authorized, Caller, Role};
use serde::{Deserialize, Serialize};
use store::{Note, Store};
use tracing::info;

use super::apps;
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
    pub(super) id: String,
    pub(super) by: String,
    pub(super) note: Note,
}

/// A deployment that has a journal.
#[derive(Debug)]
pub(super) struct Unfinished {
    root: PathBuf,
    data_dir: PathBuf,
    change: Change<Record>,
    pub(super) stage: Stage,
    /// Whether its audit row is known to be there; the journal stays until it is.
    pub(super) is_recorded: bool,
}

/// How far a deployment has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It has not happened, and its journal may be there.
    Withdrawn,
    /// It has, and its files may not be in their places.
    Begun,
    /// They are, and the journal may not say so.
    Applied,
    /// The journal says so.
    Noted,
}

impl Unfinished {
    /// One that has not happened.
    pub(super) const fn new(root: PathBuf, data_dir: PathBuf, change: Change<Record>) -> Self {
        Self { root, data_dir, change, stage: Stage::Withdrawn, is_recorded: false }
    }

    /// Writes its journal: it has happened then.
    pub(super) fn begin(&mut self) -> io::Result<()> {
        journal::begin(&self.data_dir, &self.change)?;
        self.stage = Stage::Begun;
        Ok(())
    }

    /// Puts its files in their places, if there is one. What is left of it after that is to be recorded.
    pub(super) fn finish(unfinished: &mut Option<Self>) -> io::Result<()> {
        let Some(this) = unfinished else { return Ok(()) };
        if this.stage == Stage::Begun {
            journal::apply(&this.root, &this.change)?;
            this.stage = Stage::Applied;
        }
        if this.stage == Stage::Withdrawn || this.is_recorded {
            journal::end(&this.data_dir)?;
            *unfinished = None;
        } else if this.stage == Stage::Applied {
            // The folder is its owner's again: a start that finds the journal leaves later edits alone.
            journal::note_applied(&this.data_dir, &this.change)?;
            this.stage = Stage::Noted;
        }
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
        let this = Self::new(root, data_dir.path().to_owned(), change);
        let mut this = Some(Self { stage: Stage::Begun, ..this });
        Self::finish(&mut this).map_err(Error::io(doing()))?;
        Ok(this)
    }

    /// Sees that the audit has it, and forgets it.
    pub(super) async fn end(mut self, store: &Store, app: AppId) -> Result<()> {
        let recorded = self.record(store, app).await;
        recorded.map_err(Error::store("record the deployment that was interrupted"))?;
        let Record { by, note, .. } = &self.change.record;
        info!("Finished a deployment of {by} that was interrupted: {}", note.changed.join(", "));
        Self::finish(&mut Some(self)).map_err(Error::io("end the journal of deployments"))
    }

    /// Sees that the audit has it.
    pub(super) async fn record(&mut self, store: &Store, app: AppId) -> Result<(), store::Error> {
        let Record { id, by, note } = &self.change.record;
        let by: Authorized<Owner> = Caller::new(by, Role::Owner).require(app)?;
        store.record_deployment(&by, id, note).await?;
        self.is_recorded = true;
        Ok(())
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
