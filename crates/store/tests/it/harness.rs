use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use app::{App, Files};
use keys::permission::{Issuer, Owner, Reader};
use keys::{
    AccessKey, ApiKey, AppId, Authorized, Caller, Clock, ManualClock, MasterKey, MasterKeys,
    Presented, Role, Slot, SysRng, Terms, Timestamp,
};
use store::{Claim, Issue, Issued, Replica, ServedApp, Store};
use tempfile::TempDir;

/// 2026-01-01T00:00:00Z.
pub(crate) const START: Timestamp = Timestamp::from_unix_ms(1_767_225_600_000);

/// A store of its own with one app, gone with the value.
pub(crate) struct Fixture {
    pub(crate) store: Arc<Store>,
    pub(crate) clock: ManualClock,
    pub(crate) app: AppId,
    master: String,
    dir: TempDir,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = ManualClock::at(START);
        let master = MasterKey::generate(&mut SysRng).unwrap().expose().to_owned();
        let store = open(dir.path(), &master, &clock).await.unwrap();
        let app = store.ensure_app("helpdesk").await.unwrap();
        Self { store: Arc::new(store), clock, app, master, dir }
    }

    /// Ends this process's hold on the folder and opens it anew.
    pub(crate) async fn reopen(self) -> Self {
        let Self { store, clock, app, master, dir } = self;
        store.close().await;
        drop(store);
        let store = Arc::new(open(dir.path(), &master, &clock).await.unwrap());
        Self { store, clock, app, master, dir }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn owner(&self) -> Authorized<Owner> {
        Caller::new("ada", Role::Owner).require(self.app).unwrap()
    }

    pub(crate) fn issuer(&self) -> Authorized<Issuer> {
        Caller::new("ivy", Role::Issuer).require(self.app).unwrap()
    }

    pub(crate) fn reader(&self) -> Authorized<Reader> {
        Caller::new("rob", Role::Reader).require(self.app).unwrap()
    }

    pub(crate) async fn issue(&self, slot: Slot) -> Issued {
        self.issue_for(slot, Some(Duration::from_hours(24))).await
    }

    pub(crate) async fn issue_for(&self, slot: Slot, lifetime: Option<Duration>) -> Issued {
        let not_after = lifetime.map(|ttl| self.clock.now().checked_add(ttl).unwrap());
        let terms = Terms { not_after, scopes: None };
        let request = Issue { slot, terms, label: Some("ci".to_owned()) };
        self.store.issue(&self.issuer(), &request).await.unwrap()
    }

    pub(crate) async fn regenerate(&self, slot: Slot) -> store::Revision {
        let key = AccessKey::generate(&mut SysRng).unwrap();
        self.store.regenerate(&self.owner(), slot, &key).await.unwrap()
    }

    pub(crate) async fn replica(&self, files: &[(&str, &str)]) -> Arc<Replica> {
        let served = ServedApp {
            id: self.app,
            name: "helpdesk".to_owned(),
            public_url: "http://localhost:7071".parse().unwrap(),
            app: app(files),
        };
        let clock: Arc<dyn Clock> = Arc::new(self.clock.clone());
        Replica::start(Arc::clone(&self.store), clock, vec![served]).await.unwrap()
    }

    /// What a request that presents `key` to the default server claims.
    pub(crate) fn claim(&self, key: Option<&ApiKey>) -> Claim {
        let key = key.map(|key| presented(key).claims().clone());
        Claim {
            app: self.app,
            server: "default".to_owned(),
            upstream: None,
            key,
            is_operators: false,
        }
    }
}

pub(crate) fn presented(key: &ApiKey) -> Presented {
    Presented::parse(key.expose().as_bytes()).unwrap()
}

pub(crate) async fn open(dir: &Path, master: &str, clock: &ManualClock) -> store::Result<Store> {
    let masters = Arc::new(MasterKeys::new(MasterKey::parse(master).unwrap(), []));
    Store::open(dir, masters, Arc::new(clock.clone())).await
}

/// An app whose host.json asks for this authentication type.
pub(crate) fn host(authentication: &str) -> String {
    format!(
        r#"{{"version": "2.0", "extensions": {{"workflow": {{"McpServerEndpoints":
            {{"enable": true, "authentication": {{"type": "{authentication}"}}}}}}}}}}"#
    )
}

pub(crate) fn app(files: &[(&str, &str)]) -> Arc<App> {
    let mut all = Files::new();
    for (path, text) in files {
        all.insert(*path, text.as_bytes()).unwrap();
    }
    Arc::new(App::from_files(&all).unwrap())
}
