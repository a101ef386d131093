//! How a replica on PostgreSQL holds its lease: what drives `lease::Holder` and `lease::Installer`.

mod counting;
mod looking;
mod waiting;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use futures::future::{BoxFuture, OptionFuture};
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use keys::Timestamp;
#[cfg(feature = "broken")]
use lease::broken::{self, INSTALLATION_HELD_UP, Rule};
use lease::{
    Answer, Arrival, Call, Consequence, Holder, Installer, Load, Loaded, MAX_WALL_OFF_MS, Next,
    RowId, Terms, Why,
};
use sqlx::AnyConnection;
use tokio::sync::{Mutex as AsyncMutex, Notify};
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};
use uuid::Uuid;

use self::counting::RenewalCounts;
use self::looking::Line;
use super::open::Closing;
use super::readiness::Since;
use super::sources::Sources;
use super::{Replica, Suspended, Unready};
use crate::backend::leases::{self, Nameplate};
use crate::hold::{boot, now};
use crate::{Cut, Error, Result, Snapshot};

/// The lease of a replica, and what decides about it.
pub(crate) struct Leasing {
    terms: Terms,
    holder: Mutex<Holder>,
    installer: Mutex<Installer>,
    nameplate: Nameplate,
    /// Something has happened that the driver has to look at.
    wake: Notify,
    /// A renewal has been answered, or failed: who waits for a lease looks again.
    answered: Notify,
    /// The connection of the lease, which is none of the pool's.
    connection: AsyncMutex<Option<AnyConnection>>,
    /// What changes look by that wait, while there are any.
    line: Mutex<Weak<Line>>,
    renewing: Outage,
    loading: Outage,
    /// Whether what the store does not hold of a snapshot may have changed since one was installed: the next is
    /// installed even where the store is as it was.
    anew: AtomicBool,
    looking: Outage,
    pub(super) listening: Outage,
    /// Whether the wall clock kept it from a lease last, which has been told then.
    wall_clock: AtomicBool,
    without_since: Since,
    counts: RenewalCounts,
}

/// Whether something that is tried again and again has failed last: told once, and once when it is over.
#[derive(Default)]
pub(super) struct Outage(AtomicBool);

impl Outage {
    pub(super) fn begins(&self, what: &str, error: &Error) {
        if !self.0.swap(true, Ordering::Relaxed) {
            warn!(error = error as &dyn std::error::Error, "Cannot {what}: {error}");
        }
    }

    fn lasts(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn ends(&self, what: &str) {
        if self.0.swap(false, Ordering::Relaxed) {
            info!("Can {what} again");
        }
    }
}

const RENEW: &str = "renew the lease";
const READ: &str = "read the store";

type Calling = BoxFuture<'static, (Call, Result<Answer>)>;

impl Leasing {
    pub(super) fn new(
        holder: Holder,
        terms: Terms,
        nameplate: Nameplate,
        begun: Timestamp,
    ) -> Self {
        let without_since = Since::default();
        without_since.begins(begun);
        Self {
            terms,
            holder: Mutex::new(holder),
            installer: Mutex::new(Installer::new()),
            nameplate,
            wake: Notify::new(),
            answered: Notify::new(),
            connection: AsyncMutex::new(None),
            line: Mutex::default(),
            renewing: Outage::default(),
            loading: Outage::default(),
            anew: AtomicBool::new(false),
            looking: Outage::default(),
            listening: Outage::default(),
            wall_clock: AtomicBool::new(false),
            without_since,
            counts: RenewalCounts::default(),
        }
    }

    /// The row that is this replica's, or may be.
    pub(crate) fn row(&self) -> Option<RowId> {
        self.holder().row().cloned()
    }

    /// What operators call it.
    pub(crate) fn name(&self) -> &str {
        &self.nameplate.name
    }

    /// Says what keeps the replica from a lease, where it has none.
    pub(super) fn without(&self, now: Timestamp) -> Unready {
        let off_ms = u64::try_from(self.holder().wall_off().as_millis()).unwrap_or(u64::MAX);
        if off_ms > MAX_WALL_OFF_MS {
            return Unready::WallClock { off_ms };
        }
        let why = if self.renewing.lasts() {
            "the database does not answer"
        } else if self.loading.lasts() {
            "the store cannot be read"
        } else {
            "one is being asked for"
        };
        Unready::NoLease { since: self.without_since.get().unwrap_or(now), why }
    }

    fn holder(&self) -> MutexGuard<'_, Holder> {
        self.holder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn installer(&self) -> MutexGuard<'_, Installer> {
        self.installer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store has changed, or may have.
    pub(super) fn changed(&self) {
        self.holder().changed();
        self.wake.notify_one();
    }

    /// Waits for the lease that is being fetched for everybody who waits.
    async fn await_lease(&self) -> Result<(), Suspended> {
        loop {
            let answered = self.answered.notified();
            let arrival = self.holder().arrive(boot());
            match arrival {
                Arrival::Admitted => return Ok(()),
                Arrival::Refused => return Err(Suspended),
                Arrival::Wait { until } => {
                    self.wake.notify_one();
                    let left = until.saturating_since(boot());
                    if timeout(left, answered).await.is_err() {
                        return Err(Suspended);
                    }
                }
            }
        }
    }

    async fn call(self: Arc<Self>, replica: Arc<Replica>, call: Call) -> (Call, Result<Answer>) {
        let mut place = self.connection.lock().await;
        let performing = async {
            let mut connection = match place.take() {
                Some(connection) => connection,
                None => replica.store.connect_alone().await?,
            };
            let answer =
                leases::perform(&mut connection, call.statement(), &self.nameplate).await?;
            // Only one that has answered is used again.
            *place = Some(connection);
            Ok(answer)
        };
        let answer = timeout(self.terms.attempt(), performing).await;
        (call, answer.unwrap_or(Err(Error::TooSlow)))
    }

    /// Tells the holder how its call went, and returns why everything must be cut, if it must.
    fn take_answer(&self, call: Call, answer: Result<Answer>) -> Option<Why> {
        let received = now();
        self.counts.count(&answer, received.boot);
        let consequence = match answer {
            Ok(answer) => {
                self.renewing.ends(RENEW);
                let consequence = self.holder().answered(call, received, answer);
                if !matches!(consequence, Consequence::CutAll(Why::WallClock { .. })) {
                    self.wall_clock.store(false, Ordering::Relaxed);
                }
                consequence
            }
            Err(error) => {
                self.renewing.begins(RENEW, &error);
                self.holder().failed(call, received);
                Consequence::Nothing
            }
        };
        if self.holder().term().is_live(boot()) {
            self.without_since.ends();
        }
        match consequence {
            Consequence::Nothing => None,
            Consequence::CutAll(why) => Some(why),
        }
    }

    fn say(&self, why: Why) {
        if !matches!(why, Why::WallClock { .. }) {
            warn!("Admitting nothing until there is a lease again: {why}");
        } else if !self.wall_clock.swap(true, Ordering::Relaxed) {
            error!("Admitting nothing: {why}");
        }
    }
}

impl Replica {
    /// Waits until this replica may decide, which is at once in all but bad moments. Requests that find no
    /// lease share one renewal, and are let go after 2 seconds. It is asked before a response is
    /// registered, since the answer that ends the waiting may be one that cuts everything.
    ///
    /// # Errors
    /// [`Suspended`] where there is no lease to be had at present.
    pub async fn admit(&self) -> Result<(), Suspended> {
        match &self.leasing {
            // Rare and large: no request's future need have room for it.
            Some(leasing) if !self.hold.is_live() => Box::pin(leasing.await_lease()).await,
            _ => Ok(()),
        }
    }

    /// Holds the lease for as long as it is polled.
    pub(super) async fn hold_lease(self: &Arc<Self>, leasing: &Arc<Leasing>) {
        let mut calling: Option<Calling> = None;
        let mut loading: Option<BoxFuture<'_, ()>> = None;
        let mut leaving = FuturesUnordered::new();
        loop {
            let asked = now();
            leaving.extend(self.cut_if_lapsed(leasing).map(|cut| self.leave(cut)));
            let fresh = || RowId::new(Uuid::new_v4().to_string());
            #[cfg(feature = "broken")]
            let fresh = || match broken::is(Rule::ReusedId) {
                true => RowId::new(leasing.nameplate.name.clone()),
                false => fresh(),
            };
            let next = leasing.holder().next(asked, fresh);
            let until = match next {
                Next::Reload => {
                    loading = Some(self.load_again(leasing).boxed());
                    continue;
                }
                Next::Send(call) => {
                    let call = Arc::clone(leasing).call(Arc::clone(self), call);
                    calling = Some(call.boxed());
                    continue;
                }
                Next::Idle { until } => until,
            };
            tokio::select! {
                () = sleep(until.saturating_since(boot())) => {}
                () = leasing.wake.notified() => {}
                Some(()) = OptionFuture::from(loading.as_mut()) => loading = None,
                Some(()) = leaving.next() => {}
                Some((call, answer)) = OptionFuture::from(calling.as_mut()) => {
                    calling = None;
                    if let Some(why) = leasing.take_answer(call, answer) {
                        // It may have been lost and found at once.
                        if !self.hold.is_live() {
                            leasing.without_since.begins(self.clock.now());
                        }
                        leasing.say(why);
                        leaving.push(self.leave(self.cut_all()));
                    }
                    leasing.answered.notify_waiters();
                }
            }
        }
    }

    async fn load_again(&self, leasing: &Leasing) {
        let mut sources = self.sources.lock().await;
        self.load(leasing, &mut sources).await;
    }

    /// Loads what the store holds and installs it also where it is what decides already. Where the store cannot be
    /// read, that remains to be done by the next load.
    pub(super) async fn load_anew(&self, leasing: &Leasing, sources: &mut Sources) -> bool {
        leasing.anew.store(true, Ordering::SeqCst);
        self.load(leasing, sources).await
    }

    /// Loads what the store holds and installs it; says whether that decides now.
    async fn load(&self, leasing: &Leasing, sources: &mut Sources) -> bool {
        let load = leasing.installer().begin();
        let snapshot = match sources.read(&self.store).await {
            Ok(snapshot) => snapshot,
            Err(error) => {
                leasing.loading.begins(READ, &error);
                leasing.holder().reload_failed(boot());
                leasing.wake.notify_one();
                return false;
            }
        };
        leasing.loading.ends(READ);
        self.decide_by(leasing, load, snapshot).await
    }

    /// Lets what was loaded decide, if it may; says whether it does.
    async fn decide_by(&self, leasing: &Leasing, load: Load, snapshot: Snapshot) -> bool {
        let loaded = leasing.installer().loaded(load, snapshot.name());
        let settled = match loaded {
            Loaded::Abandoned => return false,
            Loaded::Current(settled) => {
                if leasing.anew.load(Ordering::SeqCst) {
                    self.install(snapshot).await;
                }
                settled
            }
            Loaded::Install(installing) => {
                if installing.replaces_history() {
                    warn!("The database went back in time: everything is cut and asked for anew");
                    leasing.holder().forfeit();
                    leasing.without_since.begins(self.clock.now());
                    self.leave(self.cut_all()).await;
                }
                #[cfg(feature = "broken")]
                if broken::is(Rule::AcknowledgeBeforeCut) {
                    let settled = leasing.installer().cut_done(installing);
                    leasing.holder().settled(settled, boot());
                    leasing.wake.notify_one();
                    sleep(INSTALLATION_HELD_UP).await;
                    self.install(snapshot).await;
                    return true;
                }
                #[cfg(feature = "broken")]
                if broken::holds_up(Rule::AcknowledgeBeforeCut) {
                    sleep(INSTALLATION_HELD_UP).await;
                }
                self.install(snapshot).await;
                leasing.installer().cut_done(installing)
            }
        };
        leasing.anew.store(false, Ordering::SeqCst);
        leasing.holder().settled(settled, boot());
        leasing.wake.notify_one();
        true
    }

    /// Loads again and again besides, and takes its time with what it has loaded.
    #[cfg(feature = "broken")]
    pub(super) async fn load_late(&self, leasing: &Leasing) {
        if !broken::holds_up(Rule::OlderOverNewer) {
            return std::future::pending().await;
        }
        loop {
            // Whoever does not ask the installer takes no load from it either.
            let load = (!broken::is(Rule::OlderOverNewer)).then(|| leasing.installer().begin());
            let snapshot = self.sources.lock().await.read(&self.store).await;
            sleep(INSTALLATION_HELD_UP).await;
            match (snapshot, load) {
                (Ok(snapshot), None) => self.install(snapshot).await,
                (Ok(snapshot), Some(load)) => {
                    self.decide_by(leasing, load, snapshot).await;
                }
                (Err(_), _) => leasing.holder().reload_failed(boot()),
            }
        }
    }

    /// Cuts everything where the lease has ended since this was asked last.
    pub(super) fn cut_if_lapsed(&self, leasing: &Leasing) -> Option<Closing> {
        let lapsed = leasing.holder().lapse(boot());
        lapsed.then(|| {
            warn!("The lease has lapsed: admitting nothing until there is one again");
            leasing.without_since.begins(self.clock.now());
            self.cut_all()
        })
    }

    fn cut_all(&self) -> Closing {
        self.open.cut_where(|_| Err(Cut::Suspended))
    }

    /// Ends the lease after everything was cut, and deletes its row.
    pub(super) async fn end_lease(&self, leasing: &Leasing) {
        let row = leasing.holder().shut_down();
        let Some(row) = row else { return };
        let mut place = leasing.connection.lock().await;
        let leaving = async {
            let connection = match &mut *place {
                Some(connection) => connection,
                empty => empty.insert(self.store.connect_alone().await?),
            };
            leases::leave(connection, &row).await
        };
        let left = timeout(leasing.terms.attempt(), leaving).await;
        if !matches!(left, Ok(Ok(()))) {
            info!("The lease row {row} stays: the next change waits for it once");
        }
    }
}
