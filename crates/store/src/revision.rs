pub use lease::{ChangeId, Revision};
use uuid::Uuid;

/// A name that no change has had: two stores that went different ways after a restore may have the same
/// number, never the same name.
fn random() -> String {
    Uuid::new_v4().simple().to_string()
}

/// Counts the revision up and names it; the last statement of every change that must be in force.
pub(crate) async fn increment(tx: &mut sqlx::AnyConnection) -> crate::Result<Revision> {
    let row: (i64,) = sqlx::query_as(
        "UPDATE revision SET value = value + 1, change_id = $1 WHERE only_row = 1 RETURNING value",
    )
    .bind(random())
    .fetch_one(tx)
    .await?;
    Ok(Revision::new(row.0))
}
