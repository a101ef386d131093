pub(crate) use lease::RevisionName;
pub use lease::{ChangeId, Revision};
use uuid::Uuid;

/// A name that no change has had: two stores that went different ways after a restore may have the same
/// number, never the same name.
fn random() -> String {
    Uuid::new_v4().simple().to_string()
}

/// A change that is durable, and must be in force before anybody is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub(crate) name: RevisionName,
    /// The audit row that it wrote: where that is gone, a failover or a restore has taken the change back.
    pub(crate) audit_id: String,
}

impl Change {
    /// The revision that it made.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        self.name.revision
    }
}

/// The newest revision, read within a change.
pub(crate) async fn current(tx: &mut sqlx::AnyConnection) -> crate::Result<RevisionName> {
    let (value, change): (i64, String) =
        sqlx::query_as("SELECT value, change_id FROM revision").fetch_one(tx).await?;
    Ok(RevisionName { revision: Revision::new(value), change: ChangeId::new(change) })
}

/// Counts the revision up and names it; the last statement of every change that must be in force.
pub(crate) async fn increment(tx: &mut sqlx::AnyConnection) -> crate::Result<RevisionName> {
    let change = random();
    let (value,): (i64,) = sqlx::query_as(
        "UPDATE revision SET value = value + 1, change_id = $1 WHERE only_row = 1 RETURNING value",
    )
    .bind(change.clone())
    .fetch_one(tx)
    .await?;
    Ok(RevisionName { revision: Revision::new(value), change: ChangeId::new(change) })
}
