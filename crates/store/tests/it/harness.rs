use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use app::{App, Files};
use keys::permission::{Issuer, Owner, Reader};
use keys::{
    AccessKey, ApiKey, AppId, Authorized, Caller, Clock, ManualClock, MasterKey, MasterKeys,
    Presented, Role, Slot, SysRng, Terms, Timestamp,
};
use pg_harness::{Cluster, Database, Proxy};
use store::{
    Claim, DatabaseAddress, Issue, Issued, LeaseTerms, Patience, PostgresSettings, Replica,
    ServedApp, Store,
};
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// 2026-01-01T00:00:00Z.
pub(crate) const START: Timestamp = Timestamp::from_unix_ms(1_767_225_600_000);

/// Where a fixture's store is kept.
enum Place {
    Embedded,
    Postgres(Database<'static>),
    Proxied(Database<'static>, PostgresSettings),
}

/// A store of its own with one app, gone with the value.
pub(crate) struct Fixture {
    pub(crate) store: Arc<Store>,
    pub(crate) clock: ManualClock,
    pub(crate) app: AppId,
    master: String,
    dir: TempDir,
    place: Place,
}

impl Fixture {
    pub(crate) async fn embedded() -> Self {
        Self::at(Place::Embedded).await
    }

    pub(crate) async fn postgres() -> Self {
        Self::at(Place::Postgres(Cluster::shared().database())).await
    }

    /// A store on PostgreSQL that is reached through a proxy; the fixture's own questions are not.
    pub(crate) async fn behind_proxy(patience: Patience) -> (Self, Proxy) {
        let (place, proxy) = Place::proxied(|settings| settings.patience = patience);
        (Self::at(place).await, proxy)
    }

    /// The same, with a lease of two seconds.
    pub(crate) async fn with_short_lease() -> (Self, Proxy) {
        let terms = LeaseTerms::new(Duration::from_secs(2)).unwrap();
        let (place, proxy) = Place::proxied(|settings| settings.terms = terms);
        (Self::at(place).await, proxy)
    }

    /// The same, with a pool of so many connections.
    pub(crate) async fn with_connections(count: u32) -> (Self, Proxy) {
        let (place, proxy) = Place::proxied(|settings| settings.max_connections = count);
        (Self::at(place).await, proxy)
    }

    async fn at(place: Place) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = ManualClock::at(START);
        let master = MasterKey::generate(&mut SysRng).unwrap().expose().to_owned();
        let store = place.open(dir.path(), &master, &clock).await.unwrap();
        let app = store.ensure_app("helpdesk").await.unwrap();
        Self { store: Arc::new(store), clock, app, master, dir, place }
    }

    /// An empty store in the data folder, under the same master key.
    pub(crate) async fn blank_embedded(&self) -> Self {
        self.blank(Place::Embedded).await
    }

    /// An empty store on PostgreSQL, under the same master key.
    pub(crate) async fn blank_postgres(&self) -> Self {
        self.blank(Place::Postgres(Cluster::shared().database())).await
    }

    /// The same, reached through a proxy.
    pub(crate) async fn blank_behind_proxy(&self, patience: Patience) -> (Self, Proxy) {
        let (place, proxy) = Place::proxied(|settings| settings.patience = patience);
        (self.blank(place).await, proxy)
    }

    async fn blank(&self, place: Place) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(place.open(dir.path(), &self.master, &self.clock).await.unwrap());
        let (clock, app, master) = (self.clock.clone(), self.app, self.master.clone());
        Self { store, clock, app, master, dir, place }
    }

    /// What opens the store's secrets.
    pub(crate) fn masters(&self) -> Arc<MasterKeys> {
        masters(&self.master)
    }

    /// Ends this process's hold on the store and opens it anew.
    pub(crate) async fn reopen(self) -> Self {
        let master = self.master.clone();
        self.reopen_with(&master).await.unwrap()
    }

    /// The same, with another master key.
    pub(crate) async fn reopen_with(self, master: &str) -> store::Result<Self> {
        let Self { store, clock, app, master: _, dir, place } = self;
        store.close().await;
        drop(store);
        let store = Arc::new(place.open(dir.path(), master, &clock).await?);
        Ok(Self { store, clock, app, master: master.to_owned(), dir, place })
    }

    /// Opens the same store as another process would, with a data folder of its own where it can have one.
    pub(crate) async fn open_second(&self) -> store::Result<Store> {
        let other = tempfile::tempdir().unwrap();
        let dir = match self.place {
            Place::Embedded => self.dir.path(),
            Place::Postgres(_) | Place::Proxied(..) => other.path(),
        };
        self.place.open(dir, &self.master, &self.clock).await
    }

    /// The same, not through the proxy and with other master keys.
    pub(crate) async fn open_second_directly(&self, masters: MasterKeys) -> Arc<Store> {
        let dir = tempfile::tempdir().unwrap();
        let address = DatabaseAddress::parse(&self.database().url()).unwrap();
        let settings = PostgresSettings::new(address);
        let clock = Arc::new(self.clock.clone());
        Arc::new(Store::connect(&settings, dir.path(), Arc::new(masters), clock).await.unwrap())
    }

    /// The master key of the fixture's store.
    pub(crate) fn master(&self) -> MasterKey {
        MasterKey::parse(&self.master).unwrap()
    }

    /// Where a connection of the test's own reaches the database.
    pub(crate) fn url(&self) -> String {
        match &self.place {
            Place::Embedded => format!("sqlite://{}/keyward.db", self.dir.path().display()),
            Place::Postgres(database) | Place::Proxied(database, _) => database.url(),
        }
    }

    /// The database, of which there is one on PostgreSQL only.
    pub(crate) fn database(&self) -> &Database<'static> {
        match &self.place {
            Place::Embedded => panic!("there is a file only"),
            Place::Postgres(database) | Place::Proxied(database, _) => database,
        }
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

    pub(crate) async fn regenerate(&self, slot: Slot) -> store::Change {
        let key = AccessKey::generate(&mut SysRng).unwrap();
        self.store.regenerate(&self.owner(), slot, &key).await.unwrap()
    }

    pub(crate) async fn replica(&self, files: &[(&str, &str)]) -> Arc<Replica> {
        self.replica_of(&self.store, files).await
    }

    pub(crate) async fn replica_of(
        &self,
        store: &Arc<Store>,
        files: &[(&str, &str)],
    ) -> Arc<Replica> {
        // Its lease is held until the test's runtime ends.
        self.held_replica_of(store, files).await.0
    }

    /// The same, with the task that holds its lease.
    pub(crate) async fn held_replica_of(
        &self,
        store: &Arc<Store>,
        files: &[(&str, &str)],
    ) -> (Arc<Replica>, JoinHandle<()>) {
        let served = ServedApp {
            id: self.app,
            name: "helpdesk".to_owned(),
            public_url: "http://localhost:7071".parse().unwrap(),
            app: app(files),
        };
        let clock: Arc<dyn Clock> = Arc::new(self.clock.clone());
        let replica = Replica::start(Arc::clone(store), clock, vec![served]).await.unwrap();
        let holding = tokio::spawn(Arc::clone(&replica).hold(std::future::pending()));
        replica.admit().await.unwrap();
        (replica, holding)
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

/// An API key from the primary access key that never expires, with this label.
pub(crate) fn request(label: &str) -> Issue {
    let terms = Terms { not_after: None, scopes: None };
    Issue { slot: Slot::Primary, terms, label: Some(label.to_owned()) }
}

pub(crate) fn presented(key: &ApiKey) -> Presented {
    Presented::parse(key.expose().as_bytes()).unwrap()
}

impl Place {
    fn proxied(set: impl FnOnce(&mut PostgresSettings)) -> (Self, Proxy) {
        let database = Cluster::shared().database();
        let proxy = Proxy::to(&database);
        let mut settings = PostgresSettings::new(DatabaseAddress::parse(proxy.url()).unwrap());
        set(&mut settings);
        (Self::Proxied(database, settings), proxy)
    }

    async fn open(&self, dir: &Path, master: &str, clock: &ManualClock) -> store::Result<Store> {
        match self {
            Self::Embedded => open(dir, master, clock).await,
            Self::Postgres(database) => {
                let address = DatabaseAddress::parse(&database.url()).unwrap();
                connect(&PostgresSettings::new(address), dir, master, clock).await
            }
            Self::Proxied(_, settings) => connect(settings, dir, master, clock).await,
        }
    }
}

pub(crate) async fn open(dir: &Path, master: &str, clock: &ManualClock) -> store::Result<Store> {
    Store::open(dir, masters(master), Arc::new(clock.clone())).await
}

pub(crate) async fn connect(
    settings: &PostgresSettings,
    dir: &Path,
    master: &str,
    clock: &ManualClock,
) -> store::Result<Store> {
    Store::connect(settings, dir, masters(master), Arc::new(clock.clone())).await
}

fn masters(master: &str) -> Arc<MasterKeys> {
    Arc::new(MasterKeys::new(MasterKey::parse(master).unwrap(), []))
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
