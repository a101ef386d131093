use keys::{Authorized, Permission, Timestamp};
use serde_json::Value;
use uuid::Uuid;

use crate::Result;
use crate::deployments::Operation;

/// What a change did, in the words of the audit's `action` column.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Action {
    BackUp,
    Issue,
    Regenerate,
    Restore,
    Revoke,
    Deploy(Operation),
}

impl Action {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::BackUp => "backupStore",
            Self::Issue => "issueApiKey",
            Self::Regenerate => "regenerateAccessKey",
            Self::Restore => "restoreStore",
            Self::Revoke => "revokeApiKey",
            Self::Deploy(operation) => operation.as_str(),
        }
    }
}

/// Names an audit row before it is written, so that whoever was not told can look for it.
pub(crate) fn new_id() -> String {
    Uuid::now_v7().to_string()
}

/// Writes the audit row of a change, in the change's own transaction.
pub(crate) async fn record<P: Permission>(
    tx: &mut sqlx::AnyConnection,
    by: &Authorized<P>,
    at: Timestamp,
    id: &str,
    action: Action,
    subject: &str,
    detail: Value,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO audit_events (id, app_id, at, caller, action, subject, detail) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(id.to_owned())
    .bind(by.app().as_bytes().to_vec())
    .bind(at.unix_ms())
    .bind(by.by().to_owned())
    .bind(action.as_str())
    .bind(subject.to_owned())
    .bind(detail.to_string())
    .execute(tx)
    .await?;
    Ok(())
}
