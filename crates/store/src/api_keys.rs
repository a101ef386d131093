use keys::permission::{Issuer, Owner, Reader};
use keys::{
    AccessKeyId, ApiKey, ApiKeyId, AppId, Authorized, RevokedId, Scopes, Slot, SysRng, Terms,
    Timestamp,
};
use serde_json::json;
use sqlx::{Any, AssertSqlSafe, Row as _, Transaction};

use crate::access_keys::{access_key_id, parse_slot};
use crate::audit::{self, Action};
use crate::backend::Attempt;
use crate::{Change, Error, Result, Store, revision};

/// How many uses of API keys one transaction notes: it is over within its time bounds, however many keys were
/// used.
const USES_AT_ONCE: usize = 500;

/// The columns that [`parse_row`] reads, in its order. A macro, since `concat!` takes literals only.
macro_rules! api_key_columns {
    () => {
        "SELECT k.id, k.label, a.slot, k.access_key_id, k.issued_at, k.issued_by, k.not_after, \
         k.scopes, k.last_used_at, r.revoked_at, a.regenerated_at \
         FROM api_keys k \
         JOIN access_keys a ON a.app_id = k.app_id AND a.id = k.access_key_id \
         LEFT JOIN revocations r ON r.app_id = k.app_id AND r.id = k.id "
    };
}

/// What an API key is to be.
#[derive(Clone, Debug)]
pub struct Issue {
    /// The access key it is derived from.
    pub slot: Slot,
    /// When it ends and what it reaches.
    pub terms: Terms,
    /// A name for the register.
    pub label: Option<String>,
}

/// An API key that was just issued: the only moment at which its text exists here.
#[derive(Debug)]
pub struct Issued {
    /// The key itself.
    pub key: ApiKey,
    /// Names it in the register.
    pub id: ApiKeyId,
}

/// One issued API key in the register.
#[derive(Clone, Debug)]
pub struct ApiKeyRow {
    /// Names the key.
    pub id: ApiKeyId,
    /// What its issuer called it.
    pub label: Option<String>,
    /// The slot of the access key it was derived from.
    pub slot: Slot,
    /// That access key.
    pub access_key_id: AccessKeyId,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// Who issued it.
    pub issued_by: String,
    /// Valid up to and including this instant; none for a key that never expires.
    pub not_after: Option<Timestamp>,
    /// What it reaches; none for the whole app.
    pub scopes: Option<Scopes>,
    /// When it was last accepted, late by some seconds at most.
    pub last_used_at: Option<Timestamp>,
    /// Whether it is still good, and if not why.
    pub state: ApiKeyState,
}

/// Whether an API key is still good. Where more than one reason holds, the one that somebody chose
/// is named: a revocation before a regeneration before an expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiKeyState {
    /// It is accepted.
    Active,
    /// Its not-after has passed.
    Expired,
    /// Somebody revoked it.
    Revoked,
    /// The access key it was derived from was regenerated.
    AccessKeyRegenerated,
}

impl ApiKeyState {
    /// The word that clients see.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::AccessKeyRegenerated => "accessKeyRegenerated",
        }
    }
}

/// Some rows, and where the next ones begin.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The rows, newest first.
    pub rows: Vec<T>,
    /// The last row of this page, where there are more behind it.
    pub next: Option<ApiKeyId>,
}

impl Store {
    /// Derives an API key from the access key that lies in the slot now, and enters it in the register.
    ///
    /// # Errors
    /// [`Error::Key`] where its text would be too long; nothing is entered then.
    /// [`Error::OutcomeUnknown`] where it may have been entered: nobody has it.
    pub async fn issue(&self, by: &Authorized<Issuer>, request: &Issue) -> Result<Issued> {
        let id = ApiKeyId::generate(self.clock.now(), &mut SysRng).map_err(Error::Key)?;
        self.retried(|attempt| async move {
            let (tx, key) = self.in_time(self.write_issue(by, request, id, attempt)).await?;
            if let Some(tx) = tx {
                self.commit(tx).await?;
            }
            Ok(Issued { key, id })
        })
        .await
    }

    /// Derives the key, and enters it unless an earlier attempt has: there is no transaction to end then.
    async fn write_issue(
        &self,
        by: &Authorized<Issuer>,
        request: &Issue,
        id: ApiKeyId,
        attempt: Attempt,
    ) -> Result<(Option<Transaction<'static, Any>>, ApiKey)> {
        let now = self.clock.now();
        let app = by.app();
        let mut tx = match attempt {
            Attempt::First => self.begin_amid_no_change().await?,
            Attempt::Again => self.begin_change().await?,
        };
        if attempt == Attempt::Again {
            // Where the access key was regenerated meanwhile, the key would be dead: it is entered anew.
            sqlx::query(
                "DELETE FROM api_keys WHERE app_id = $1 AND id = $2 AND access_key_id NOT IN \
                 (SELECT id FROM access_keys WHERE app_id = $1 AND regenerated_at IS NULL)",
            )
            .bind(app.as_bytes().to_vec())
            .bind(id.to_string())
            .execute(&mut *tx)
            .await?;
        }
        let (access_key, sealed): (Vec<u8>, Vec<u8>) = sqlx::query_as(
            "SELECT id, sealed FROM access_keys \
             WHERE app_id = $1 AND slot = $2 AND regenerated_at IS NULL",
        )
        .bind(app.as_bytes().to_vec())
        .bind(request.slot.to_string())
        .fetch_one(&mut *tx)
        .await?;
        let access_key_id = access_key_id(&access_key)?;
        let access_key = self
            .masters
            .open(&sealed, &app, request.slot, access_key_id)
            .map_err(|source| Error::Sealed { app: app.to_string(), slot: request.slot, source })?;
        let key = access_key.issue(&app, id, &request.terms).map_err(Error::Key)?;
        let scopes = request.terms.scopes.as_ref().map(scopes_text);
        let entered = sqlx::query(
            "INSERT INTO api_keys \
             (id, app_id, access_key_id, label, scopes, issued_at, issued_by, not_after) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
        )
        .bind(id.to_string())
        .bind(app.as_bytes().to_vec())
        .bind(access_key_id.as_bytes().to_vec())
        .bind(request.label.clone())
        .bind(scopes.clone())
        .bind(now.unix_ms())
        .bind(by.by().to_owned())
        .bind(request.terms.not_after.map(Timestamp::unix_ms))
        .execute(&mut *tx)
        .await?;
        if entered.rows_affected() == 0 {
            return Ok((None, key));
        }
        let detail = json!({
            "keyType": request.slot.to_string(),
            "accessKeyId": access_key_id.to_string(),
            "notAfter": request.terms.not_after.map(|at| at.to_string()),
            "scopes": scopes,
            "label": request.label,
        });
        let audit_id = audit::new_id();
        audit::record(&mut tx, by, now, &audit_id, Action::Issue, &id.to_string(), detail).await?;
        Ok((Some(tx), key))
    }

    /// Ends one API key, or one that was narrowed from it. Ending what has ended changes nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the app's register has no API key of that id, or of the id that a
    /// narrowed key shares with its parent. A child id alone is taken as it is.
    /// [`Error::Database`], with nothing changed; [`Error::OutcomeUnknown`].
    pub async fn revoke(&self, by: &Authorized<Owner>, id: RevokedId) -> Result<Change> {
        let audit_id = &audit::new_id();
        // An attempt that finds what an earlier one did has nothing to change, and says the revision.
        self.retried(|_| async move {
            let (tx, change) = self.in_time(self.write_revocation(by, id, audit_id)).await?;
            if let Some(tx) = tx {
                self.commit(tx).await?;
            }
            Ok(change)
        })
        .await
    }

    async fn write_revocation(
        &self,
        by: &Authorized<Owner>,
        id: RevokedId,
        audit_id: &str,
    ) -> Result<(Option<Transaction<'static, Any>>, Change)> {
        let now = self.clock.now();
        let app = by.app();
        let mut tx = self.begin_change().await?;
        if let Some(key) = id.key_id() {
            let row: Option<(i64,)> =
                sqlx::query_as("SELECT issued_at FROM api_keys WHERE app_id = $1 AND id = $2")
                    .bind(app.as_bytes().to_vec())
                    .bind(key.to_string())
                    .fetch_optional(&mut *tx)
                    .await?;
            row.ok_or(Error::NotFound("API key"))?;
        }
        let inserted = sqlx::query(
            "INSERT INTO revocations (app_id, id, revoked_at, revoked_by) \
             VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        )
        .bind(app.as_bytes().to_vec())
        .bind(id.to_string())
        .bind(now.unix_ms())
        .bind(by.by().to_owned())
        .execute(&mut *tx)
        .await?;
        let subject = id.to_string();
        if inserted.rows_affected() == 0 {
            let (audit_id,): (String,) = sqlx::query_as(
                "SELECT id FROM audit_events WHERE app_id = $1 AND action = $2 AND subject = $3 \
                 ORDER BY at DESC LIMIT 1",
            )
            .bind(app.as_bytes().to_vec())
            .bind(Action::Revoke.as_str())
            .bind(subject)
            .fetch_one(&mut *tx)
            .await?;
            let name = revision::current(&mut tx).await?;
            return Ok((None, Change { name, audit_id }));
        }
        audit::record(&mut tx, by, now, audit_id, Action::Revoke, &subject, json!({})).await?;
        let name = self.count_up(&mut tx).await?;
        Ok((Some(tx), Change { name, audit_id: audit_id.to_owned() }))
    }

    /// At most `limit` issued API keys of the app, newest first, behind the key `after`.
    ///
    /// # Errors
    /// [`Error::NotFound`] where `after` is not in the app's register.
    pub async fn list_api_keys(
        &self,
        by: &Authorized<Reader>,
        after: Option<ApiKeyId>,
        limit: u16,
    ) -> Result<Page<ApiKeyRow>> {
        self.retried(|_| self.in_time(self.read_page(by.app(), after, limit))).await
    }

    async fn read_page(
        &self,
        app: AppId,
        after: Option<ApiKeyId>,
        limit: u16,
    ) -> Result<Page<ApiKeyRow>> {
        let mut tx = self.begin_read().await?;
        let before = match after {
            None => i64::MAX,
            Some(id) => {
                sqlx::query_as("SELECT issued_at FROM api_keys WHERE app_id = $1 AND id = $2")
                    .bind(app.as_bytes().to_vec())
                    .bind(id.to_string())
                    .fetch_optional(&mut *tx)
                    .await?
                    .map(|(at,): (i64,)| at)
                    .ok_or(Error::NotFound("page"))?
            }
        };
        let rows = sqlx::query(concat!(
            api_key_columns!(),
            "WHERE k.app_id = $1 AND (k.issued_at < $2 OR (k.issued_at = $2 AND k.id < $3)) \
             ORDER BY k.issued_at DESC, k.id DESC LIMIT $4"
        ))
        .bind(app.as_bytes().to_vec())
        .bind(before)
        .bind(after.map(|id| id.to_string()).unwrap_or_default())
        .bind(i64::from(limit) + 1)
        .fetch_all(&mut *tx)
        .await?;
        let now = self.clock.now();
        let more = rows.len() > usize::from(limit);
        let rows = rows
            .iter()
            .take(usize::from(limit))
            .map(|row| parse_row(row, now))
            .collect::<Result<Vec<_>>>()?;
        let next = if more { rows.last().map(|row| row.id) } else { None };
        Ok(Page { rows, next })
    }

    /// One issued API key.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the app's register has no such key.
    pub async fn api_key(&self, by: &Authorized<Reader>, id: ApiKeyId) -> Result<ApiKeyRow> {
        self.retried(|_| self.in_time(self.read_api_key(by.app(), id))).await
    }

    async fn read_api_key(&self, app: AppId, id: ApiKeyId) -> Result<ApiKeyRow> {
        let row = sqlx::query(concat!(api_key_columns!(), "WHERE k.app_id = $1 AND k.id = $2"))
            .bind(app.as_bytes().to_vec())
            .bind(id.to_string())
            .fetch_optional(&self.pool)
            .await?
            .ok_or(Error::NotFound("API key"))?;
        parse_row(&row, self.clock.now())
    }

    /// Notes when API keys were last accepted.
    ///
    /// # Errors
    /// [`Error::Database`]: not all of them are noted, and the caller may give the same uses again.
    pub async fn record_uses(&self, uses: &[(AppId, ApiKeyId, Timestamp)]) -> Result<()> {
        // In one order, so that two replicas that note uses of the same keys do not wait for each other.
        let mut uses = uses.to_vec();
        uses.sort_unstable();
        // Of two uses of a key the later one counts: a row is written once.
        uses.dedup_by(|later, earlier| {
            let same = (later.0, later.1) == (earlier.0, earlier.1);
            if same {
                earlier.2 = later.2;
            }
            same
        });
        for uses in uses.chunks(USES_AT_ONCE) {
            self.retried(|_| async move {
                let tx = self.in_time(self.write_uses(uses)).await?;
                self.commit(tx).await
            })
            .await?;
        }
        Ok(())
    }

    async fn write_uses(
        &self,
        uses: &[(AppId, ApiKeyId, Timestamp)],
    ) -> Result<Transaction<'static, Any>> {
        // One statement, since the database may be far. Both databases call the columns of VALUES so.
        let row = |first: usize| format!("(${}, ${}, ${})", first + 1, first + 2, first + 3);
        let rows: Vec<String> = (0..uses.len()).map(|number| row(3 * number)).collect();
        let sql = format!(
            "UPDATE api_keys SET last_used_at = used.column3 FROM (VALUES {}) AS used \
             WHERE app_id = used.column1 AND id = used.column2 \
             AND (last_used_at IS NULL OR last_used_at < used.column3)",
            rows.join(", ")
        );
        // Numbers of its own alone are in the text.
        let mut update = sqlx::query(AssertSqlSafe(sql)).persistent(false);
        for (app, id, at) in uses {
            update = update.bind(app.as_bytes().to_vec()).bind(id.to_string()).bind(at.unix_ms());
        }
        let mut tx = self.begin_write().await?;
        update.execute(&mut *tx).await?;
        Ok(tx)
    }
}

fn parse_row(row: &sqlx::any::AnyRow, now: Timestamp) -> Result<ApiKeyRow> {
    let id: String = row.try_get(0)?;
    let slot: String = row.try_get(2)?;
    let access_key: Vec<u8> = row.try_get(3)?;
    let not_after: Option<i64> = row.try_get(6)?;
    let scopes: Option<String> = row.try_get(7)?;
    let last_used_at: Option<i64> = row.try_get(8)?;
    let revoked_at: Option<i64> = row.try_get(9)?;
    let regenerated_at: Option<i64> = row.try_get(10)?;
    let not_after = not_after.map(Timestamp::from_unix_ms);
    let state = match (revoked_at, regenerated_at, not_after) {
        (Some(_), _, _) => ApiKeyState::Revoked,
        (None, Some(_), _) => ApiKeyState::AccessKeyRegenerated,
        (None, None, Some(not_after)) if now > not_after => ApiKeyState::Expired,
        (None, None, _) => ApiKeyState::Active,
    };
    Ok(ApiKeyRow {
        id: id.parse().map_err(|_| Error::corrupt("API key id"))?,
        label: row.try_get(1)?,
        slot: parse_slot(&slot)?,
        access_key_id: access_key_id(&access_key)?,
        issued_at: Timestamp::from_unix_ms(row.try_get(4)?),
        issued_by: row.try_get(5)?,
        not_after,
        scopes: scopes.as_deref().map(parse_scopes).transpose()?,
        last_used_at: last_used_at.map(Timestamp::from_unix_ms),
        state,
    })
}

/// Scopes as they stand in a column: a JSON list.
fn scopes_text(scopes: &Scopes) -> String {
    let names: Vec<String> = scopes.iter().map(ToString::to_string).collect();
    json!(names).to_string()
}

fn parse_scopes(text: &str) -> Result<Scopes> {
    let names: Vec<String> =
        serde_json::from_str(text).map_err(|_| Error::corrupt("scopes of an API key"))?;
    let scopes = names.iter().map(|name| name.parse()).collect::<Result<Vec<_>, keys::Error>>();
    scopes.and_then(Scopes::new).map_err(|_| Error::corrupt("scopes of an API key"))
}
