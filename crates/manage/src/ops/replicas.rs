use store::{ReplicaRow, Revision};

use crate::Manage;
use crate::error::Result;

/// One replica as an operator sees it.
#[derive(Debug)]
pub(crate) enum ReplicaStatus {
    /// One that has a row in the database.
    Listed { row: ReplicaRow, is_this: bool },
    /// This one, where it has none: it has no lease, or needs none.
    Unlisted { name: String, revision: Revision },
}

impl Manage {
    /// Every replica that the database knows, and this one.
    pub(crate) async fn replicas(&self) -> Result<Vec<ReplicaStatus>> {
        let rows = self.store.replicas().await?;
        let own = self.replica.row_id();
        let mut listed: Vec<ReplicaStatus> = rows
            .into_iter()
            .map(|row| ReplicaStatus::Listed { is_this: own.as_ref() == Some(&row.id), row })
            .collect();
        if !listed.iter().any(|one| matches!(one, ReplicaStatus::Listed { is_this: true, .. })) {
            let revision = self.replica.last_snapshot().revision;
            listed.push(ReplicaStatus::Unlisted { name: self.replica.name(), revision });
        }
        Ok(listed)
    }
}
