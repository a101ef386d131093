//! How a change waits until it is in force on every replica: what drives `lease::Waiter`.

use std::collections::BTreeMap;
use std::time::Duration;

use lease::{RowId, Waiter, Waiting};
use sqlx::Any;
use sqlx::pool::PoolConnection;
use tokio::time::{sleep, timeout};
use tracing::info;

use super::Leasing;
use crate::backend::leases;
use crate::hold::boot;
use crate::replica::{NotInForce, Replica};
use crate::{Change, Error, Result};

/// How long after a failure rows are read again.
const READ_AGAIN: Duration = Duration::from_millis(50);

/// After how long the log says for whom a change waits.
const SAY_AFTER: Duration = Duration::from_millis(500);

/// One change that waits.
struct Wait<'a> {
    replica: &'a Replica,
    change: &'a Change,
    waiter: Waiter,
    /// The one that rows are read and deleted by: another one may lead to another server.
    connection: Option<PoolConnection<Any>>,
    /// What operators call the replicas.
    names: BTreeMap<RowId, String>,
}

impl Replica {
    /// Waits until every replica has settled a change, or can have no lease any more.
    pub(in crate::replica) async fn wait_for_all(
        &self,
        leasing: &Leasing,
        change: &Change,
    ) -> Result<(), NotInForce> {
        leasing.changed();
        let began = boot();
        let waiter = Waiter::new(change.name.clone(), &leasing.terms, began);
        let mut wait =
            Wait { replica: self, change, waiter, connection: None, names: BTreeMap::new() };
        let mut has_said = false;
        loop {
            let left = wait.waiter.gives_up_at().saturating_since(boot());
            if left.is_zero() {
                return Err(NotInForce::NotYet { waiting_for: wait.waiting_for() });
            }
            match timeout(left, wait.look()).await.unwrap_or(Err(Error::TooSlow)) {
                Ok(Waiting::InForce) => return Ok(()),
                Ok(Waiting::Lost) => return Err(NotInForce::TakenBack),
                Ok(Waiting::Wait { dismiss, look_at }) if dismiss.is_empty() => {
                    if !has_said && boot().saturating_since(began) >= SAY_AFTER {
                        has_said = true;
                        wait.say();
                    }
                    sleep(look_at.saturating_since(boot())).await;
                }
                Ok(Waiting::Wait { .. }) => {}
                Err(error) => {
                    leasing.looking.begins("look who has settled a change", &error);
                    wait.connection = None;
                    sleep(READ_AGAIN).await;
                    continue;
                }
            }
            leasing.looking.ends("look who has settled a change");
        }
    }
}

impl Wait<'_> {
    /// Reads the rows once and dismisses whose lease has certainly ended, by one and the same connection.
    async fn look(&mut self) -> Result<Waiting> {
        let store = &self.replica.store;
        let connection = match &mut self.connection {
            Some(connection) => connection,
            empty => {
                let connection = empty.insert(store.pool.acquire().await?);
                self.waiter.reconnected(boot());
                connection
            }
        };
        let read = store.in_time(leases::read(connection, &self.change.audit_id)).await?;
        self.names = read.names;
        let waiting = self.waiter.read(boot(), &read.reading);
        if let Waiting::Wait { dismiss, .. } = &waiting {
            for dismissal in dismiss {
                let name = self.names.get(&dismissal.id).map_or("", String::as_str);
                info!("Dismissing the replica {name} ({}): its lease has ended", dismissal.id);
                store.in_time(leases::dismiss(connection, dismissal)).await?;
                self.replica.leasing.iter().for_each(|leasing| leasing.counts.dismissed());
            }
        }
        Ok(waiting)
    }

    fn waiting_for(&self) -> Vec<String> {
        let name = |id: &RowId| self.names.get(id).map_or_else(|| id.to_string(), String::clone);
        self.waiter.waiting_for().map(|awaited| name(&awaited.row.id)).collect()
    }

    fn say(&self) {
        let (revision, names) = (self.change.revision(), self.waiting_for().join(", "));
        info!("Revision {revision} waits for {names}, for as long as a lease can last");
    }
}
