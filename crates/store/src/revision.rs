use std::fmt;

use uuid::Uuid;

/// How many changes that must be in force the store has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Revision(pub(crate) i64);

impl Revision {
    /// The number as it stands in the store.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The random name of the change that made a revision: two stores that went different ways after a
/// restore may have the same number, never the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeId(pub(crate) String);

impl ChangeId {
    pub(crate) fn random() -> Self {
        Self(Uuid::new_v4().simple().to_string())
    }
}

/// Counts the revision up and names it; the last statement of every change that must be in force.
pub(crate) async fn increment(tx: &mut sqlx::AnyConnection) -> crate::Result<Revision> {
    let row: (i64,) = sqlx::query_as(
        "UPDATE revision SET value = value + 1, change_id = $1 WHERE only_row = 1 RETURNING value",
    )
    .bind(ChangeId::random().0)
    .fetch_one(tx)
    .await?;
    Ok(Revision(row.0))
}
