//! How a replica on PostgreSQL holds its lease: what drives `lease::Holder` and `lease::Waiter`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, OptionFuture};
use lease::{
    Answer, Arrival, Call, Consequence, Holder, Installer, Loaded, Next, RowId, Terms, Waiter,
    Waiting,
};
use sqlx::AnyConnection;
use tokio::sync::{Mutex as AsyncMutex, Notify};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};
use uuid::Uuid;

use super::{NotInForce, Replica, ServedApp};
use crate::backend::leases::{self, Nameplate};
use crate::hold::{boot, now};
use crate::{Change, Cut, Error, Result};

/// How long after a failure rows are read again.
const READ_AGAIN: Duration = Duration::from_millis(50);

/// The lease of a replica, and what decides about it.
pub(super) struct Leasing {
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
}

type Calling = BoxFuture<'static, (Call, Result<Answer>)>;

impl Leasing {
    pub(super) fn new(holder: Holder, terms: Terms, nameplate: Nameplate) -> Self {
        Self {
            terms,
            holder: Mutex::new(holder),
            installer: Mutex::new(Installer::new()),
            nameplate,
            wake: Notify::new(),
            answered: Notify::new(),
            connection: AsyncMutex::new(None),
        }
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
}

impl Replica {
    /// Waits until this replica may decide, which is at once in all but bad moments. Requests that find no
    /// lease share one renewal, and are let go after 2 seconds. It is asked before a response is
    /// registered, since the answer that ends the waiting may be one that cuts everything.
    ///
    /// # Errors
    /// [`super::Suspended`] where there is no lease to be had at present.
    pub async fn admit(&self) -> Result<(), super::Suspended> {
        let Some(leasing) = &self.leasing else { return Ok(()) };
        loop {
            let answered = leasing.answered.notified();
            let arrival = leasing.holder().arrive(boot());
            match arrival {
                Arrival::Admitted => return Ok(()),
                Arrival::Refused => return Err(super::Suspended),
                Arrival::Wait { until } => {
                    leasing.wake.notify_one();
                    let left = until.saturating_since(boot());
                    if left.is_zero() {
                        return Err(super::Suspended);
                    }
                    // Whoever has waited for nothing looks again, and is refused.
                    timeout(left, answered).await.unwrap_or(());
                }
            }
        }
    }

    /// Holds the lease for as long as it is polled.
    pub(super) async fn hold_lease(self: &Arc<Self>, leasing: &Arc<Leasing>) {
        let mut calling: Option<Calling> = None;
        let mut loading: Option<BoxFuture<'static, ()>> = None;
        loop {
            let asked = now();
            self.cut_if_lapsed(leasing).await;
            let next = leasing.holder().next(asked, || RowId::new(Uuid::new_v4().to_string()));
            let until = match next {
                Next::Reload => {
                    let this = Arc::clone(self);
                    loading = Some(async move { this.load_again().await }.boxed());
                    continue;
                }
                Next::Send(call) => {
                    let (this, leasing) = (Arc::clone(self), Arc::clone(leasing));
                    calling = Some(async move { this.call(&leasing, call).await }.boxed());
                    continue;
                }
                Next::Idle { until } => until,
            };
            tokio::select! {
                () = sleep(until.saturating_since(boot())) => {}
                () = leasing.wake.notified() => {}
                Some(()) = OptionFuture::from(loading.as_mut()) => loading = None,
                Some((call, answer)) = OptionFuture::from(calling.as_mut()) => {
                    calling = None;
                    self.take_answer(leasing, call, answer).await;
                }
            }
        }
    }

    async fn take_answer(&self, leasing: &Leasing, call: Call, answer: Result<Answer>) {
        let received = now();
        let consequence = match answer {
            Ok(answer) => leasing.holder().answered(call, received, answer),
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "Cannot renew the lease: {error}");
                leasing.holder().failed(call, received);
                Consequence::Nothing
            }
        };
        if let Consequence::CutAll(why) = consequence {
            warn!("Admitting nothing until there is a lease again: {why:?}");
            self.cut_all().await;
        }
        leasing.answered.notify_waiters();
    }

    async fn call(&self, leasing: &Leasing, call: Call) -> (Call, Result<Answer>) {
        let mut place = leasing.connection.lock().await;
        let performing = async {
            let mut connection = match place.take() {
                Some(connection) => connection,
                None => self.store.connect_alone().await?,
            };
            let answer =
                leases::perform(&mut connection, call.statement(), &leasing.nameplate).await?;
            // Only one that has answered is used again.
            *place = Some(connection);
            Ok(answer)
        };
        let answer = timeout(leasing.terms.attempt(), performing).await;
        (call, answer.unwrap_or(Err(Error::TooSlow)))
    }

    async fn load_again(self: Arc<Self>) {
        let served = self.served.lock().await;
        if let Some(leasing) = &self.leasing {
            self.load(leasing, &served, false).await;
        }
    }

    /// Loads what the store holds and installs it; `anew` also where it is what decides already.
    pub(super) async fn load(&self, leasing: &Leasing, served: &[ServedApp], anew: bool) {
        let load = leasing.installer().begin();
        let snapshot = match self.read(served).await {
            Ok(snapshot) => snapshot,
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "Cannot read the store: {error}");
                leasing.holder().reload_failed(boot());
                leasing.wake.notify_one();
                return;
            }
        };
        let loaded = leasing.installer().loaded(load, snapshot.name());
        let settled = match loaded {
            Loaded::Abandoned => return,
            Loaded::Current(settled) => {
                if anew {
                    self.install(snapshot).await;
                }
                settled
            }
            Loaded::Install(installing) => {
                if installing.replaces_history() {
                    warn!("The database went back in time: everything is cut and asked for anew");
                    leasing.holder().forfeit();
                    self.cut_all().await;
                }
                self.install(snapshot).await;
                leasing.installer().cut_done(installing)
            }
        };
        leasing.holder().settled(settled, boot());
        leasing.wake.notify_one();
    }

    pub(super) async fn cut_if_lapsed(&self, leasing: &Leasing) {
        let lapsed = leasing.holder().lapse(boot());
        if lapsed {
            warn!("The lease has lapsed: admitting nothing until there is one again");
            self.cut_all().await;
        }
    }

    async fn cut_all(&self) {
        self.leave(self.open.cut_where(|_| Err(Cut::Suspended))).await;
    }

    /// Waits until every replica has settled a change, or can have no lease any more.
    pub(super) async fn wait_for_all(
        &self,
        leasing: &Leasing,
        change: &Change,
    ) -> Result<(), NotInForce> {
        leasing.changed();
        let mut waiter = Waiter::new(change.name.clone(), &leasing.terms, boot());
        let mut connection = None;
        loop {
            if boot() >= waiter.gives_up_at() {
                let names = waiter.waiting_for().map(|awaited| awaited.row.id.to_string());
                info!("The change is not in force yet on {:?}", names.collect::<Vec<_>>());
                return Err(NotInForce::NotYet);
            }
            let waiting = self.look(&mut connection, &mut waiter, change).await;
            match waiting {
                Ok(Waiting::InForce) => return Ok(()),
                Ok(Waiting::Lost) => return Err(NotInForce::TakenBack),
                Ok(Waiting::Wait { dismiss, look_at }) => {
                    if dismiss.is_empty() {
                        sleep(look_at.saturating_since(boot())).await;
                    }
                }
                Err(error) => {
                    warn!(error = &error as &dyn std::error::Error, "Cannot look: {error}");
                    connection = None;
                    sleep(READ_AGAIN).await;
                }
            }
        }
    }

    /// Reads the rows once and dismisses whose lease has certainly ended, by one and the same connection.
    async fn look(
        &self,
        connection: &mut Option<sqlx::pool::PoolConnection<sqlx::Any>>,
        waiter: &mut Waiter,
        change: &Change,
    ) -> Result<Waiting> {
        if connection.is_none() {
            *connection = Some(self.store.pool.acquire().await?);
            waiter.reconnected(boot());
        }
        let Some(connection) = connection else { return Err(Error::TooSlow) };
        let reading = self.store.in_time(leases::read(connection, &change.audit_id)).await?;
        let waiting = waiter.read(boot(), &reading);
        if let Waiting::Wait { dismiss, .. } = &waiting {
            for dismissal in dismiss {
                info!("Dismissing the replica {}: its lease has ended", dismissal.id);
                self.store.in_time(leases::dismiss(connection, dismissal)).await?;
            }
        }
        Ok(waiting)
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
        if timeout(leasing.terms.attempt(), leaving).await.is_err() {
            info!("The lease row {row} stays: the next change waits for it once");
        }
    }
}
