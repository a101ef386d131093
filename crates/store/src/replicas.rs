use std::time::Duration;

use keys::Timestamp;

use crate::backend::leases;
use crate::{Result, Revision, Store};

/// One replica as operators see it, by its lease row. Nobody decides by this.
#[derive(Clone, Debug)]
pub struct ReplicaRow {
    /// Names the row, anew for every registration.
    pub id: String,
    /// What operators call the replica.
    pub name: String,
    /// Its version of Keyward.
    pub version: String,
    /// The revision that it decided by when it last renewed its lease.
    pub settled: Revision,
    /// Whether that can be a revision of the store as it is now: after a failover or a restore, one that has not
    /// read the store again has settled what never was.
    pub(crate) is_of_this_history: bool,
    /// How long its lease is.
    pub lease: Duration,
    /// When it was last heard of, by the database's clock.
    pub contact_at: Timestamp,
    /// How long ago that was, by the database's clock.
    pub contact_age: Duration,
}

impl ReplicaRow {
    /// Whether it decides by this revision, or by a later one.
    #[must_use]
    pub fn has_settled(&self, revision: Revision) -> bool {
        self.is_of_this_history && self.settled >= revision
    }
}

impl Store {
    /// Every replica that has a lease row, by name and id. None on the embedded store, whose only process has no
    /// lease.
    ///
    /// # Errors
    /// [`crate::Error::Database`], [`crate::Error::Corrupt`].
    pub async fn replicas(&self) -> Result<Vec<ReplicaRow>> {
        if self.terms().is_none() {
            return Ok(Vec::new());
        }
        self.retried(|_| {
            self.in_time(async {
                let mut connection = self.pool.acquire().await?;
                leases::list(&mut connection).await
            })
        })
        .await
    }
}
