use std::time::Duration;

use keys::Timestamp;

use crate::backend::leases;
use crate::{Replica, Result, Revision, Store};

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
    /// How many revisions are newer than that; none where it is none of the store's as it is now.
    pub behind: Option<u64>,
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

    /// The most that can be left of its lease: it was last granted when it was last heard of, or before.
    #[must_use]
    pub fn lease_left(&self) -> Duration {
        self.lease.saturating_sub(self.contact_age)
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

impl Replica {
    /// Names the row of this replica, if it has one.
    #[must_use]
    pub fn row_id(&self) -> Option<String> {
        self.leasing.as_ref().and_then(|leasing| leasing.row()).map(|row| row.to_string())
    }

    /// What operators call this replica: on the embedded store, as its machine is called.
    #[must_use]
    pub fn name(&self) -> String {
        self.leasing.as_ref().map_or_else(machine_name, |leasing| leasing.name().to_owned())
    }
}

/// The name of the machine that this runs on.
pub(crate) fn machine_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
