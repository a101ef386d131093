//! How a change waits until it is in force on every replica: what drives `lease::Waiter`.

use std::sync::Arc;
use std::time::Duration;

use lease::{RowId, Waiter, Waiting};
use tokio::time::{sleep, timeout};
use tracing::info;

use super::Leasing;
use super::looking::Line;
use crate::Change;
use crate::backend::leases::Read;
use crate::hold::boot;
use crate::replica::{NotInForce, Replica};

/// How long after a failure rows are read again.
const READ_AGAIN: Duration = Duration::from_millis(50);

/// After how long the log says for whom a change waits.
const SAY_AFTER: Duration = Duration::from_millis(500);

/// One change that waits.
struct Wait<'a> {
    change: &'a Change,
    waiter: Waiter,
    line: Arc<Line>,
    /// What was read last.
    read: Option<Arc<Read>>,
}

impl Replica {
    /// Waits until every replica has settled a change, or can have no lease any more. However many wait, they
    /// have one connection, and none of the pool that changes are made by.
    pub(in crate::replica) async fn wait_for_all(
        &self,
        leasing: &Arc<Leasing>,
        change: &Change,
    ) -> Result<(), NotInForce> {
        leasing.changed();
        let began = boot();
        let waiter = Waiter::new(change.name.clone(), &leasing.terms, began);
        let line = leasing.line(&self.store, None);
        let mut wait = Wait { change, waiter, line, read: None };
        let mut has_said = false;
        loop {
            let left = wait.waiter.gives_up_at().saturating_since(boot());
            if left.is_zero() {
                return Err(NotInForce::NotYet { waiting_for: wait.waiting_for() });
            }
            match timeout(left, wait.look()).await.unwrap_or(None) {
                Some(Waiting::InForce) => return Ok(()),
                Some(Waiting::Lost) => return Err(NotInForce::TakenBack),
                Some(Waiting::Wait { dismiss, look_at }) if dismiss.is_empty() => {
                    if !has_said && boot().saturating_since(began) >= SAY_AFTER {
                        has_said = true;
                        wait.say();
                    }
                    sleep(look_at.saturating_since(boot())).await;
                }
                Some(Waiting::Wait { .. }) => {}
                None => {
                    sleep(READ_AGAIN).await;
                    wait.line = leasing.line(&self.store, Some(&wait.line));
                    wait.waiter.reconnected(boot());
                }
            }
        }
    }
}

impl Wait<'_> {
    /// Reads the rows once and dismisses whose lease has certainly ended, by one and the same connection; none
    /// where that is lost.
    async fn look(&mut self) -> Option<Waiting> {
        let read = self.line.read(&self.change.audit_id).await?;
        // Also where it was read for others too: the answer is there, so this is later.
        let waiting = self.waiter.read(boot(), &read.reading(&self.change.audit_id));
        self.read = Some(read);
        if let Waiting::Wait { dismiss, .. } = &waiting {
            for dismissal in dismiss {
                self.line.dismiss(&self.name(&dismissal.id), dismissal).await?;
            }
        }
        Some(waiting)
    }

    fn name(&self, id: &RowId) -> String {
        let name = self.read.as_ref().and_then(|read| read.names.get(id));
        name.map_or_else(|| id.to_string(), String::clone)
    }

    fn waiting_for(&self) -> Vec<String> {
        self.waiter.waiting_for().map(|awaited| self.name(&awaited.row.id)).collect()
    }

    fn say(&self) {
        let (revision, names) = (self.change.revision(), self.waiting_for().join(", "));
        info!("Revision {revision} waits for {names}, for as long as a lease can last");
    }
}
