use keys::permission::{Owner, Reader};
use keys::{AccessKey, AccessKeyId, AppId, Authorized, Slot, SysRng, Timestamp};
use serde_json::json;
use sqlx::{Any, Transaction};

use crate::audit::{self, Action};
use crate::backend::Attempt;
use crate::{Change, Error, Result, Revision, Store, revision};

/// Who stands in the records for what Keyward does by itself.
const KEYWARD: &str = "keyward";

/// One slot as its operator sees it: never the secret.
#[derive(Clone, Debug)]
pub struct AccessKeyRow {
    /// Primary or secondary.
    pub slot: Slot,
    /// Names the access key in every API key derived from it.
    pub id: AccessKeyId,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who regenerated it, or Keyward where nobody has yet.
    pub created_by: String,
    /// The revision that put it in force.
    pub revision: Revision,
}

/// An app that was there, or that is made when the transaction ends well.
enum Found {
    There(AppId),
    Made(Transaction<'static, Any>, AppId),
}

impl Store {
    /// Finds the app called `name`, without regard to case, or makes it with its two access keys.
    ///
    /// # Errors
    /// [`Error::Database`], [`Error::Key`] where the operating system gives no randomness.
    pub async fn ensure_app(&self, name: &str) -> Result<AppId> {
        let name = &*name.to_ascii_lowercase();
        self.retried(|_| async move {
            let (tx, app) = match self.in_time(self.find_or_write_app(name)).await? {
                Found::There(app) => return Ok(app),
                Found::Made(tx, app) => (tx, app),
            };
            self.commit(tx).await?;
            Ok(app)
        })
        .await
    }

    async fn find_or_write_app(&self, name: &str) -> Result<Found> {
        let mut tx = self.begin_change().await?;
        let found: Option<(Vec<u8>,)> = sqlx::query_as("SELECT id FROM apps WHERE name = $1")
            .bind(name.to_owned())
            .fetch_optional(&mut *tx)
            .await?;
        if let Some((id,)) = found {
            return Ok(Found::There(app_id(&id)?));
        }
        let app = AppId::generate(&mut SysRng).map_err(Error::Key)?;
        self.insert_app(&mut tx, &app, name, KEYWARD).await?;
        self.count_up(&mut tx).await?;
        Ok(Found::Made(tx, app))
    }

    /// Makes an app with its two access keys, within a change.
    pub(crate) async fn insert_app(
        &self,
        tx: &mut sqlx::AnyConnection,
        app: &AppId,
        name: &str,
        by: &str,
    ) -> Result<()> {
        let now = self.clock.now();
        sqlx::query("INSERT INTO apps (id, name, created_at) VALUES ($1, $2, $3)")
            .bind(app.as_bytes().to_vec())
            .bind(name.to_owned())
            .bind(now.unix_ms())
            .execute(&mut *tx)
            .await?;
        let revision = next_revision(tx).await?;
        for slot in Slot::ALL {
            let key = AccessKey::generate(&mut SysRng).map_err(Error::Key)?;
            self.insert_access_key(tx, app, slot, &key, (now, by), revision).await?;
        }
        Ok(())
    }

    /// Puts `key` into `slot`. The old access key's row keeps its id and loses its secret; what was
    /// derived from it is refused once the returned revision is in force.
    ///
    /// # Errors
    /// [`Error::Database`], with the old access key in force; [`Error::OutcomeUnknown`].
    pub async fn regenerate(
        &self,
        by: &Authorized<Owner>,
        slot: Slot,
        key: &AccessKey,
    ) -> Result<Change> {
        let audit_id = &audit::new_id();
        self.retried(|attempt| async move {
            if attempt == Attempt::Again
                && let Some(change) = self.in_time(self.audited(audit_id)).await?
            {
                return Ok(change);
            }
            let (tx, change) =
                self.in_time(self.write_regeneration(by, slot, key, audit_id)).await?;
            self.commit(tx).await?;
            Ok(change)
        })
        .await
    }

    async fn write_regeneration(
        &self,
        by: &Authorized<Owner>,
        slot: Slot,
        key: &AccessKey,
        audit_id: &str,
    ) -> Result<(Transaction<'static, Any>, Change)> {
        let mut tx = self.begin_change().await?;
        self.replace_access_key(&mut tx, by, slot, key, audit_id).await?;
        let name = self.count_up(&mut tx).await?;
        Ok((tx, Change { name, audit_id: audit_id.to_owned() }))
    }

    /// Puts `key` into `slot`, with the audit row, within a change that counts the revision up afterwards.
    pub(crate) async fn replace_access_key(
        &self,
        tx: &mut sqlx::AnyConnection,
        by: &Authorized<Owner>,
        slot: Slot,
        key: &AccessKey,
        audit_id: &str,
    ) -> Result<()> {
        let now = self.clock.now();
        sqlx::query(
            "UPDATE access_keys SET sealed = NULL, regenerated_at = $1 \
             WHERE app_id = $2 AND slot = $3 AND regenerated_at IS NULL",
        )
        .bind(now.unix_ms())
        .bind(by.app().as_bytes().to_vec())
        .bind(slot.to_string())
        .execute(&mut *tx)
        .await?;
        let revision = next_revision(&mut *tx).await?;
        self.insert_access_key(&mut *tx, &by.app(), slot, key, (now, by.by()), revision).await?;
        let detail = json!({ "accessKeyId": key.id().to_string() });
        let subject = slot.to_string();
        audit::record(tx, by, now, audit_id, Action::Regenerate, &subject, detail).await
    }

    /// The change that wrote this audit row, if it is durable: an earlier attempt is over, since it is waited
    /// for. Its revision is the newest one, or was before it.
    pub(crate) async fn audited(&self, audit_id: &str) -> Result<Option<Change>> {
        let mut tx = self.begin_change().await?;
        let row: Option<(i64,)> = sqlx::query_as("SELECT at FROM audit_events WHERE id = $1")
            .bind(audit_id.to_owned())
            .fetch_optional(&mut *tx)
            .await?;
        if row.is_none() {
            return Ok(None);
        }
        let name = revision::current(&mut tx).await?;
        Ok(Some(Change { name, audit_id: audit_id.to_owned() }))
    }

    /// The two slots, primary first.
    ///
    /// # Errors
    /// [`Error::Database`], [`Error::Corrupt`].
    pub async fn list_access_keys(&self, by: &Authorized<Reader>) -> Result<Vec<AccessKeyRow>> {
        self.retried(|_| self.in_time(self.read_access_keys(by.app()))).await
    }

    async fn read_access_keys(&self, app: AppId) -> Result<Vec<AccessKeyRow>> {
        let rows: Vec<(Vec<u8>, String, i64, String, i64)> = sqlx::query_as(
            "SELECT id, slot, created_at, created_by, revision FROM access_keys \
             WHERE app_id = $1 AND regenerated_at IS NULL ORDER BY slot",
        )
        .bind(app.as_bytes().to_vec())
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|(id, slot, created_at, created_by, revision)| {
                Ok(AccessKeyRow {
                    slot: parse_slot(&slot)?,
                    id: access_key_id(&id)?,
                    created_at: Timestamp::from_unix_ms(created_at),
                    created_by,
                    revision: Revision::new(revision),
                })
            })
            .collect()
    }

    async fn insert_access_key(
        &self,
        tx: &mut sqlx::AnyConnection,
        app: &AppId,
        slot: Slot,
        key: &AccessKey,
        (created_at, created_by): (Timestamp, &str),
        revision: Revision,
    ) -> Result<()> {
        let sealed = self.masters.seal(&mut SysRng, key, app, slot).map_err(Error::Key)?;
        sqlx::query(
            "INSERT INTO access_keys (app_id, id, slot, sealed, created_at, created_by, revision) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(app.as_bytes().to_vec())
        .bind(key.id().as_bytes().to_vec())
        .bind(slot.to_string())
        .bind(sealed)
        .bind(created_at.unix_ms())
        .bind(created_by.to_owned())
        .bind(revision.get())
        .execute(tx)
        .await?;
        Ok(())
    }
}

/// The revision that a change under way will make: it holds the write lock, so nobody comes between.
async fn next_revision(tx: &mut sqlx::AnyConnection) -> Result<Revision> {
    let (value,): (i64,) =
        sqlx::query_as("SELECT value FROM revision WHERE only_row = 1").fetch_one(tx).await?;
    value.checked_add(1).map(Revision::new).ok_or(Error::corrupt("revision"))
}

pub(crate) fn app_id(bytes: &[u8]) -> Result<AppId> {
    let bytes = bytes.try_into().map_err(|_| Error::corrupt("app id"))?;
    Ok(AppId::from_bytes(bytes))
}

pub(crate) fn access_key_id(bytes: &[u8]) -> Result<AccessKeyId> {
    let bytes = bytes.try_into().map_err(|_| Error::corrupt("access key id"))?;
    Ok(AccessKeyId::from_bytes(bytes))
}

pub(crate) fn parse_slot(text: &str) -> Result<Slot> {
    text.parse().map_err(|_| Error::corrupt("slot"))
}
