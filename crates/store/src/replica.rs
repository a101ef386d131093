mod counting;
mod leasing;
mod open;
mod readiness;
mod sources;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use app::App;
use arc_swap::ArcSwap;
use keys::{ApiKeyId, AppId, Clock, Timestamp};
use lease::Holder;
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};
use url::Url;

use self::counting::ChangeCounts;
use self::leasing::Leasing;
use self::open::OpenResponses;
pub use self::open::{Claim, Cut, OpenResponse};
use self::readiness::Since;
pub use self::readiness::Unready;
pub use self::sources::AppMaker;
use self::sources::Sources;
use crate::hold::{Hold, boot};
use crate::{Catalog, Change, Result, Snapshot, Store};

/// How long an installation waits for what it cut to leave the connection. What is cut yields
/// nothing more whatever happens: this only lets its end reach the client first. A client that takes
/// no bytes would never take it: its connection is ended instead.
const LEAVE: Duration = Duration::from_millis(250);

/// How long an installation waits for the connections that it hangs up. That takes no time but on a
/// machine that has more to do than it can.
const HANG_UP: Duration = Duration::from_secs(1);

/// How long the store may take to be read. A disk that hangs must not keep an ended key alive: past
/// this, the replica admits nothing, as where reading fails.
const READ_WITHIN: Duration = Duration::from_secs(2);

/// How late the end of a stream may be after its key's last instant. The wall clock is looked at this
/// often and not waited for, since it may be set, which no timer notices.
const LOOK_AT_CLOCK: Duration = Duration::from_millis(25);

/// How long a replica that could not read the store waits before it asks again.
const RELOAD_PAUSE: Duration = Duration::from_millis(500);

const LISTEN: &str = "hear of changes by others at once";

/// An app as a replica is told to serve it.
#[derive(Clone, Debug)]
pub struct ServedApp {
    /// Names the app inside API keys.
    pub id: AppId,
    /// Its name.
    pub name: String,
    /// Where clients reach it.
    pub public_url: Url,
    /// Its files.
    pub app: Arc<App>,
}

/// This replica may not decide by what it has in memory: it admits nothing until it has read the
/// store again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this replica has lost touch with its store")]
pub struct Suspended;

/// Why a change is not in force, though it was durable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotInForce {
    /// It is durable, and a replica may still go by what was before it.
    #[error("the change is durable, and not yet in force everywhere")]
    NotYet {
        /// What operators call the replicas that are waited for; none where nobody could be asked.
        waiting_for: Vec<String>,
    },
    /// The database has gone back behind it, by a failover or a restore.
    #[error("the database has gone back behind the change")]
    TakenBack,
}

/// The half in memory: what decides, and what was admitted by it and is still open.
pub struct Replica {
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    snapshot: ArcSwap<Snapshot>,
    /// Whether the snapshot is known to be older than the store.
    suspended: AtomicBool,
    suspended_since: Since,
    /// Whether it is about to end, and goes on until then.
    draining: AtomicBool,
    shutting_down: AtomicBool,
    open: Arc<OpenResponses>,
    /// What the store does not hold of a snapshot; its lock lets one installation through at a time.
    sources: Mutex<Sources>,
    /// Where clients reach what is deployed; none where nothing that is deployed is served.
    base: Option<Url>,
    installed: watch::Sender<u64>,
    changes: ChangeCounts,
    catalog: Catalog,
    hold: Hold,
    /// None where nobody else can change the store.
    pub(crate) leasing: Option<Arc<Leasing>>,
}

impl fmt::Debug for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replica").field("snapshot", &self.snapshot.load()).finish_non_exhaustive()
    }
}

impl Replica {
    /// Reads the store once and serves `apps` from memory from then on.
    ///
    /// # Errors
    /// What reading the store gives; [`crate::Error::NotFound`] for an app that it does not have.
    pub async fn start(
        store: Arc<Store>,
        clock: Arc<dyn Clock>,
        apps: Vec<ServedApp>,
    ) -> Result<Arc<Self>> {
        Self::start_with(store, clock, Sources::Given(apps), None).await
    }

    /// Reads the store once and serves every app that is deployed there, now and later, in its version in
    /// force. An app that was given no URL is reached at its name below `base`.
    ///
    /// # Errors
    /// What reading the store gives; [`crate::Error::Undeployable`] where one of them cannot be served.
    pub async fn start_deployed(
        store: Arc<Store>,
        clock: Arc<dyn Clock>,
        maker: Arc<dyn AppMaker>,
        base: Url,
    ) -> Result<Arc<Self>> {
        let sources = Sources::deployed(maker, base.clone());
        Self::start_with(store, clock, sources, Some(base)).await
    }

    async fn start_with(
        store: Arc<Store>,
        clock: Arc<dyn Clock>,
        mut sources: Sources,
        base: Option<Url>,
    ) -> Result<Arc<Self>> {
        let snapshot = sources.read(&store).await?;
        let (hold, leasing) = match store.terms() {
            None => (Hold::ForEver, None),
            Some((terms, nameplate)) => {
                let holder = Holder::new(terms);
                let hold = Hold::Lease(holder.term());
                (hold, Some(Arc::new(Leasing::new(holder, terms, nameplate, clock.now()))))
            }
        };
        Ok(Arc::new(Self {
            open: Arc::new(OpenResponses::new(Arc::clone(&clock), hold.clone())),
            store,
            clock,
            catalog: Catalog::new(&snapshot),
            snapshot: ArcSwap::from_pointee(snapshot),
            suspended: AtomicBool::new(false),
            suspended_since: Since::default(),
            draining: AtomicBool::new(false),
            shutting_down: AtomicBool::new(false),
            sources: Mutex::new(sources),
            base,
            installed: watch::Sender::new(0),
            changes: ChangeCounts::default(),
            hold,
            leasing,
        }))
    }

    /// What decides now. It answers without I/O, and never blocks.
    ///
    /// # Errors
    /// [`Suspended`] while the snapshot is older than the store, or may be.
    pub fn snapshot(&self) -> Result<Arc<Snapshot>, Suspended> {
        let snapshot = self.snapshot.load_full();
        let admits = !self.suspended.load(Ordering::SeqCst)
            && !self.shutting_down.load(Ordering::SeqCst)
            && self.hold.is_live();
        if admits { Ok(snapshot) } else { Err(Suspended) }
    }

    /// What to print and to route by, also while suspended. Nothing may be admitted by it.
    #[must_use]
    pub fn last_snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Registers a response before its claim is checked, so that no installation can fall between
    /// the check and the registration. It stays registered until the returned value is dropped.
    /// `hangup` is cancelled if it is cut and its client does not take its end.
    #[must_use]
    pub fn open(
        &self,
        claim: impl Into<Arc<Claim>>,
        hangup: impl Into<Arc<CancellationToken>>,
    ) -> OpenResponse {
        OpenResponses::open(&self.open, claim.into(), hangup.into())
    }

    /// How many responses are open.
    #[must_use]
    pub fn open_count(&self) -> usize {
        self.open.count()
    }

    /// Tells of every installation, by a number that only grows.
    #[must_use]
    pub fn installations(&self) -> watch::Receiver<u64> {
        self.installed.subscribe()
    }

    /// What is known of the tools of upstreams.
    #[must_use]
    pub const fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Returns once no response goes on anywhere, and none begins, that a snapshot older than `change`
    /// alone would allow.
    ///
    /// If the embedded store cannot be read, that is brought about by admitting nothing at all until it can.
    ///
    /// # Errors
    /// [`NotInForce`] on PostgreSQL, where that cannot be had within a lease and 5 seconds.
    pub async fn in_force(self: &Arc<Self>, change: &Change) -> Result<(), NotInForce> {
        let began = boot();
        let outcome = self.await_force(change).await;
        self.changes.count(&outcome, boot().saturating_since(began));
        outcome
    }

    async fn await_force(self: &Arc<Self>, change: &Change) -> Result<(), NotInForce> {
        if let Some(leasing) = &self.leasing {
            return self.wait_for_all(leasing, change).await;
        }
        let mut sources = self.sources.lock().await;
        let is_older = self.snapshot.load().revision < change.revision();
        if is_older || self.suspended.load(Ordering::SeqCst) {
            self.reload(&mut sources).await;
        }
        Ok(())
    }

    /// Serves `app` instead of what the app `id` was, and ends what it no longer allows. Does nothing of an
    /// app that is deployed. Says whether it is served now: where the store cannot be read, it is as soon as it can
    /// be, and until then what was served before goes on for as long as the lease does.
    pub async fn serve_app(self: &Arc<Self>, id: AppId, app: Arc<App>) -> bool {
        let mut sources = self.sources.lock().await;
        sources.replace(id, &app);
        self.reload(&mut sources).await
    }

    /// Where clients would reach an app of this name that was deployed without a URL; none on a replica
    /// that does not serve what is deployed.
    #[must_use]
    pub fn url_below(&self, name: &str) -> Option<Url> {
        self.base.as_ref().map(|base| sources::below(base, name))
    }

    /// Writes to the store when API keys were last accepted.
    ///
    /// # Errors
    /// What the store gives; the uses are kept for the next call then.
    pub async fn flush_uses(&self) -> Result<()> {
        let uses: Vec<(AppId, ApiKeyId, Timestamp)> = self.open.take_uses();
        if uses.is_empty() {
            return Ok(());
        }
        let written = self.store.record_uses(&uses).await;
        if written.is_err() {
            self.open.put_back(uses);
        }
        written
    }

    /// Ends every open response and admits nothing more.
    pub async fn shut_down(&self) {
        self.shutting_down.store(true, Ordering::SeqCst);
        let closing = self.open.cut_where(|_| Err(Cut::ShuttingDown));
        self.leave(closing).await;
        if let Some(leasing) = &self.leasing {
            self.end_lease(leasing).await;
        }
    }

    /// Reads the store again, whether or not it is known to have changed: for a change of which
    /// nobody knows whether it is durable.
    pub async fn refresh(self: &Arc<Self>) {
        let mut sources = self.sources.lock().await;
        self.reload(&mut sources).await;
    }

    async fn reload(self: &Arc<Self>, sources: &mut Sources) -> bool {
        if let Some(leasing) = &self.leasing {
            return self.load_anew(leasing, sources).await;
        }
        match sources.read(&self.store).await {
            Ok(snapshot) => {
                self.install(snapshot).await;
                true
            }
            Err(error) => {
                error!(
                    error = &error as &dyn std::error::Error,
                    "Cannot read the store; admitting nothing until it can be read again"
                );
                self.suspended.store(true, Ordering::SeqCst);
                self.suspended_since.begins(self.clock.now());
                self.leave(self.open.cut_where(|_| Err(Cut::Suspended))).await;
                false
            }
        }
    }

    async fn install(&self, snapshot: Snapshot) {
        let snapshot = Arc::new(snapshot);
        self.snapshot.store(Arc::clone(&snapshot));
        self.suspended.store(false, Ordering::SeqCst);
        self.suspended_since.ends();
        // What registered before this line is judged here; what registers after it is checked
        // against the new snapshot, because registering and judging take the same locks.
        let now = self.clock.now();
        let closing = self.open.cut_where(|claim| snapshot.judge(claim, now));
        self.catalog.install(&snapshot);
        self.leave(closing).await;
        self.installed.send_modify(|count| *count += 1);
        info!(revision = %snapshot.revision, "Installed revision {}", snapshot.revision);
    }

    /// Waits for what was cut to leave, and hangs up on the clients that do not take its end.
    async fn leave(&self, mut closing: open::Closing) {
        if tokio::time::timeout(LEAVE, closing.gone()).await.is_err() {
            let count = self.open.hang_up();
            info!("Hung up on {count} clients that did not take the end of what was cut for them");
            // Nobody's client is waited for now, only this process to get to it.
            drop(tokio::time::timeout(HANG_UP, closing.gone()).await);
        }
    }

    /// Ends what was opened with a key that expires, or as the lease lapses, and asks the store again
    /// while suspended; runs until `stop` is ready.
    pub async fn tend(self: Arc<Self>, stop: impl Future<Output = ()>) {
        tokio::select! {
            () = stop => {}
            () = self.watch_clocks() => {}
        }
    }

    async fn watch_clocks(self: &Arc<Self>) {
        let mut asked_at = Instant::now();
        loop {
            tokio::time::sleep(LOOK_AT_CLOCK).await;
            self.open.cut_expired();
            for thing in self.open.take_left() {
                drop(thing);
                tokio::task::coop::consume_budget().await;
            }
            if let Some(cut) = self.leasing.as_ref().and_then(|leasing| self.cut_if_lapsed(leasing))
            {
                self.leave(cut).await;
            }
            if self.suspended.load(Ordering::SeqCst) && asked_at.elapsed() >= RELOAD_PAUSE {
                let mut sources = self.sources.lock().await;
                self.reload(&mut sources).await;
                asked_at = Instant::now();
            }
        }
    }

    /// Holds the lease, where there is one to hold, until `stop` is ready: once, and until everything that was
    /// admitted has ended and [`Self::shut_down`] has returned.
    pub async fn hold(self: Arc<Self>, stop: impl Future<Output = ()>) {
        let Some(leasing) = &self.leasing else { return };
        let listening = self.listen(leasing);
        #[cfg(feature = "broken")]
        let listening = async {
            tokio::join!(listening, self.load_late(leasing));
        };
        tokio::select! {
            () = stop => {}
            () = self.hold_lease(leasing) => {}
            () = listening => {}
        }
    }

    /// Hears of changes. A connection that is lost says nothing by itself, and is made anew.
    async fn listen(&self, leasing: &Leasing) {
        loop {
            let heard = || {
                leasing.listening.ends(LISTEN);
                leasing.changed();
            };
            if let Err(error) = self.store.listen(heard).await {
                leasing.listening.begins(LISTEN, &error);
            }
            tokio::time::sleep(RELOAD_PAUSE).await;
        }
    }
}
