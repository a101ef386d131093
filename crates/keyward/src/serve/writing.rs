//! Deployments into the folder that an app is served from.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use app::{App, Files};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use keys::Authorized;
use keys::permission::Owner;
use manage::{AppFolder, NotWritten};
use store::{Note, Replica, Store};
use tokio::task::spawn_blocking;
use tracing::warn;
use uuid::Uuid;

use super::reload::{self, Held, Kept};
use super::unfinished::{Record, Stage, Unfinished};
use crate::error::Error;
use crate::folder::journal::{self, Change, Of};

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
            let _held = self.take().await?;
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
    /// Takes the folder, with nothing left to do of the deployment before: its journal's place is wanted.
    async fn take(&self) -> Result<Held, NotWritten> {
        let held = reload::finish(self.kept.lock().await).await;
        let mut held = held.map_err(NotWritten::Failed)?;
        let Some(unfinished) = &mut held.unfinished else { return Ok(held) };
        unfinished.record(&self.store, self.kept.app).await.map_err(NotWritten::Store)?;
        reload::finish(held).await.map_err(NotWritten::Failed)
    }

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
        let held = self.take().await?;
        if self.files().await? != read {
            return Err(NotWritten::Overtaken);
        }
        let root = fs::canonicalize(&self.dir).map_err(NotWritten::Failed)?;
        let record = Record { id: Uuid::now_v7().to_string(), by: by.by().to_owned(), note };
        let folder = root.to_str().map(str::to_owned).ok_or_else(|| {
            NotWritten::Unfit(format!("{}: the folder's path is not UTF-8", root.display()))
        })?;
        let of = Of { folder, app: self.kept.name.clone() };
        let change = change(&root, of, &read, &files, record)?;
        let (id, note) = (change.record.id.clone(), change.record.note.clone());
        let mut unfinished = Unfinished::new(root, self.data_dir.clone(), change);
        let begun = reload::on_disk(held, move |state| {
            let begun = unfinished.begin();
            state.unfinished = Some(unfinished);
            // One that was not begun leaves nothing.
            begun.inspect_err(|_| drop(Unfinished::finish(&mut state.unfinished)))
        });
        let mut held = begun.await.map_err(NotWritten::Failed)?;
        let recorded = self.store.record_deployment(&by, &id, &note).await;
        if let Some(unfinished) = &mut held.unfinished {
            match &recorded {
                Ok(_) => unfinished.is_recorded = true,
                Err(store::Error::OutcomeUnknown(_)) => {}
                // Nothing of it stands anywhere but in the journal.
                Err(_) => unfinished.stage = Stage::Withdrawn,
            }
        }
        let held = reload::finish(held).await.map_err(NotWritten::Failed)?;
        let change = match recorded {
            Ok(change) => Some(change),
            Err(store::Error::OutcomeUnknown(_)) => None,
            Err(error) => return Err(NotWritten::Store(error)),
        };
        self.kept.read(held, &self.replica).await;
        if let Some(change) = change
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

#[cfg(test)]
mod tests {
    use app::Authentication;
    use keys::{AppId, Caller, Clock, MasterKey, MasterKeys, Role, SysRng, SystemClock};
    use store::{Operation, ServedApp};
    use tempfile::TempDir;
    use url::Url;

    use super::*;
    use crate::config::Environment;
    use crate::place::Place;
    use crate::source::Source;

    const GREET: &str = r#"{"definition": {"triggers": {}, "actions": {}}}"#;

    struct Fixture {
        dir: TempDir,
        folder: Folder,
    }

    fn host(authentication: &str) -> String {
        format!(
            r#"{{"extensions": {{"workflow": {{"McpServerEndpoints":
            {{"enable": true, "authentication": {{"type": "{authentication}"}}}}}}}}}}"#
        )
    }

    fn note() -> Note {
        Note {
            operation: Operation::DeployWorkflowArtifacts,
            restores: None,
            authentication: None,
            widens_authentication: false,
            changed: vec!["host.json".to_owned()],
        }
    }

    impl Fixture {
        async fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let [app_dir, data_dir] = ["app", "data"].map(|name| dir.path().join(name));
            fs::create_dir(&app_dir).unwrap();
            fs::create_dir(&data_dir).unwrap();
            fs::write(app_dir.join("host.json"), host("ApiKey")).unwrap();
            let master = MasterKey::generate(&mut SysRng).unwrap();
            let masters = Arc::new(MasterKeys::new(master, []));
            let clock: Arc<dyn Clock> = Arc::new(SystemClock);
            let store = Store::open(&data_dir, masters, Arc::clone(&clock)).await.unwrap();
            let store = Arc::new(store);
            let id = store.ensure_app("tools").await.unwrap();
            let source = Source {
                place: Place::Folder(app_dir.clone()),
                environment: Arc::new(Environment::from([])),
                needs_credential: false,
            };
            let loaded = source.load().await.unwrap();
            let served = ServedApp {
                id,
                name: "tools".to_owned(),
                public_url: Url::parse("http://127.0.0.1/").unwrap(),
                app: Arc::clone(&loaded.app),
            };
            let replica = Replica::start(Arc::clone(&store), clock, vec![served]).await.unwrap();
            let kept = Arc::new(Kept::new(source, loaded, id, "tools".to_owned()));
            Self { dir, folder: Folder { kept, dir: app_dir, data_dir, store, replica } }
        }

        fn app(&self) -> AppId {
            self.folder.kept.app
        }

        fn by(&self) -> Authorized<Owner> {
            Caller::new("ada", Role::Owner).require(self.app()).unwrap()
        }

        /// A deployment of this host.json that was begun.
        async fn begin(&self, id: &str, host: String) {
            let root = fs::canonicalize(&self.folder.dir).unwrap();
            let of = Of { folder: root.to_str().unwrap().to_owned(), app: "tools".to_owned() };
            let record = Record { id: id.to_owned(), by: "ada".to_owned(), note: note() };
            let write = BTreeMap::from([("host.json".to_owned(), host)]);
            let change = Change::new(of, write, Vec::new(), record);
            let mut unfinished = Unfinished::new(root, self.folder.data_dir.clone(), change);
            unfinished.begin().unwrap();
            self.folder.kept.lock().await.unfinished = Some(unfinished);
        }

        async fn write(&self, read: Files, host: String) -> Result<(), NotWritten> {
            let mut files = Files::new();
            files.insert("host.json", host.into_bytes()).unwrap();
            files.insert("Greet/workflow.json", GREET).unwrap();
            self.folder.write(self.by(), read, files, note()).await
        }

        fn host(&self) -> String {
            fs::read_to_string(self.folder.dir.join("host.json")).unwrap()
        }

        fn journal(&self) -> PathBuf {
            journal::path(&self.dir.path().join("data"))
        }
    }

    #[tokio::test]
    async fn a_deployment_that_was_not_finished_comes_before_the_next_one() {
        let fixture = Fixture::new().await;
        let read = fixture.folder.read().await.unwrap();
        fixture.begin("first", host("Anonymous")).await;
        // The next one was made by what the folder was before.
        let next = fixture.write(read, host("ApiKey")).await;
        assert!(matches!(next, Err(NotWritten::Overtaken)), "{next:?}");
        assert_eq!(fixture.host(), host("Anonymous"));
        let read = fixture.folder.read().await.unwrap();
        fixture.write(read, host("ApiKey")).await.unwrap();
        assert_eq!(fixture.host(), host("ApiKey"));
        assert!(!fixture.journal().exists());
        let snapshot = fixture.folder.replica.last_snapshot();
        let served = snapshot.apps().first().unwrap();
        assert_eq!(served.app.authentication(), Authentication::ApiKey);
    }

    #[tokio::test]
    async fn a_deployment_has_its_audit_row_before_the_next_one_takes_its_journal() {
        let fixture = Fixture::new().await;
        fixture.begin("first", host("Anonymous")).await;
        let held = reload::finish(fixture.folder.kept.lock().await).await.unwrap();
        assert_eq!(held.unfinished.as_ref().unwrap().stage, Stage::Noted);
        drop(held);
        // Its owner edits a file that it wrote: it is not written again, by this process or the next.
        fs::write(fixture.folder.dir.join("host.json"), host("ApiKey")).unwrap();
        let left = journal::pending::<Record>(&fixture.folder.data_dir).unwrap().unwrap();
        assert!(left.write.is_empty() && left.remove.is_empty() && left.record.id == "first");
        let read = fixture.folder.read().await.unwrap();
        assert_eq!(fixture.host(), host("ApiKey"));
        fixture.write(read, host("ApiKey")).await.unwrap();
        assert!(!fixture.journal().exists());
        // It is recorded: told of it again, the store changes nothing.
        let store = &fixture.folder.store;
        let now = store.record_deployment(&fixture.by(), "other", &note()).await.unwrap();
        let again = store.record_deployment(&fixture.by(), "first", &note()).await.unwrap();
        assert_eq!(again.revision(), now.revision());
    }

    #[tokio::test]
    async fn a_deployment_that_the_store_refuses_leaves_nothing() {
        let fixture = Fixture::new().await;
        let read = fixture.folder.read().await.unwrap();
        fixture.folder.store.close().await;
        let refused = fixture.write(read, host("Anonymous")).await;
        assert!(matches!(refused, Err(NotWritten::Store(_))), "{refused:?}");
        assert_eq!(fixture.host(), host("ApiKey"));
        assert!(!fixture.journal().exists());
        assert!(fixture.folder.kept.lock().await.unfinished.is_none());
    }
}
