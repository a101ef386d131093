use std::sync::Arc;

use keys::permission::{Issuer, Owner, Reader};
use keys::{AccessKey, ApiKey, ApiKeyId, Authorized, RevokedId, Slot, SysRng, Terms, Timestamp};
use store::{AccessKeyRow, ApiKeyRow, Change, Issue, Page, ReplicaRow};
use tracing::info;

use crate::error::{Error, Result};
use crate::{Manage, Settings, limits};

/// When an API key is to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Expiry {
    /// As long from the request as keys live by default, or may live at most.
    #[default]
    Default,
    /// After this instant.
    At(Timestamp),
    /// Never.
    Never,
}

impl Expiry {
    /// Gives the last millisecond of a key that is asked for at `now`; none if it never expires.
    pub(crate) fn not_after(
        self,
        now: Timestamp,
        settings: &Settings,
    ) -> Result<Option<Timestamp>> {
        let latest = settings.max_lifetime.and_then(|lifetime| now.checked_add(lifetime));
        let not_after = match self {
            Self::Default => {
                let usual = now.checked_add(limits::DEFAULT_LIFETIME);
                return Ok(usual.map(|usual| latest.map_or(usual, |latest| usual.min(latest))));
            }
            Self::At(at) => Some(at),
            Self::Never => None,
        };
        if let Some(at) = not_after.filter(|at| *at < now) {
            return Err(Error::InvalidNotAfter(format!("notAfter is {at}, which is past.")));
        }
        match (not_after, latest) {
            (None, Some(latest)) => Err(Error::InvalidNotAfter(format!(
                "neverExpire is not allowed here: give a notAfter up to {latest}."
            ))),
            (Some(at), Some(latest)) if at > latest => Err(Error::InvalidNotAfter(format!(
                "notAfter is {at}: API keys may live up to {latest} here."
            ))),
            (not_after, _) => Ok(not_after),
        }
    }
}

/// An API key that was just issued, with what it was issued under.
#[derive(Debug)]
pub(crate) struct IssuedKey {
    pub(crate) key: ApiKey,
    pub(crate) id: ApiKeyId,
    pub(crate) slot: Slot,
    pub(crate) terms: Terms,
    pub(crate) label: Option<String>,
}

/// One slot, and whether every replica decides by the access key in it.
#[derive(Debug)]
pub(crate) struct AccessKeyStatus {
    pub(crate) row: AccessKeyRow,
    pub(crate) in_force: bool,
    /// The replicas that have not settled it yet.
    pub(crate) lagging: Vec<ReplicaRow>,
}

impl Manage {
    /// Issues an API key and enters it in the register.
    pub(crate) async fn issue(&self, by: &Authorized<Issuer>, issue: Issue) -> Result<IssuedKey> {
        let issued = self.store.issue(by, &issue).await?;
        let Issue { slot, terms, label } = issue;
        info!(caller.name = by.by(), api_key.id = %issued.id, slot = %slot,
            "{} issued the API key {} from the {slot} access key", by.by(), issued.id);
        Ok(IssuedKey { key: issued.key, id: issued.id, slot, terms, label })
    }

    /// Regenerates the access key in `slot`. When this returns, every replica refuses what was
    /// derived from the old one. It goes on if nobody waits for it any more.
    pub(crate) async fn regenerate(&self, by: Authorized<Owner>, slot: Slot) -> Result<()> {
        let store = Arc::clone(&self.store);
        self.put_in_force(async move {
            let key = AccessKey::generate(&mut SysRng).map_err(store::Error::Key)?;
            let change = store.regenerate(&by, slot, &key).await?;
            info!(caller.name = by.by(), slot = %slot, access_key.id = %key.id(),
                "{} regenerated the {slot} access key", by.by());
            Ok((change, ()))
        })
        .await
    }

    /// Revokes an API key, or one that was narrowed from it, with the same promise.
    ///
    /// A child id alone is in no register, so any is taken; but not the id of an issued key that
    /// lost its hyphens, which would be answered as revoked and go on being accepted.
    pub(crate) async fn revoke(
        &self,
        by: Authorized<Owner>,
        reader: &Authorized<Reader>,
        id: RevokedId,
    ) -> Result<()> {
        if let RevokedId::AnyChild(child) = id {
            let key = ApiKeyId::from_bytes(*child.as_bytes());
            match self.store.api_key(reader, key).await {
                Ok(_) => {
                    return Err(Error::InvalidRequestContent(format!(
                        "id is that of an API key without its hyphens: write {key}."
                    )));
                }
                Err(store::Error::NotFound(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let store = Arc::clone(&self.store);
        let change = async move {
            let change = store.revoke(&by, id).await?;
            info!(caller.name = by.by(), api_key.id = %id, "{} revoked the API key {id}", by.by());
            Ok((change, ()))
        };
        let revoked = self.put_in_force(change).await;
        match revoked {
            Err(Error::Store(store::Error::NotFound(_))) => {
                Err(Error::ApiKeyNotFound(id.to_string()))
            }
            other => other,
        }
    }

    /// The two slots, primary first.
    pub(crate) async fn access_keys(
        &self,
        by: &Authorized<Reader>,
    ) -> Result<Vec<AccessKeyStatus>> {
        let rows = self.store.list_access_keys(by).await?;
        // The rows come first: a replica that has settled more meanwhile has settled what they say.
        let replicas = self.store.replicas().await?;
        let decides_by = self.replica.snapshot().map(|snapshot| snapshot.revision);
        let status = |row: AccessKeyRow| {
            let lags = |replica: &&ReplicaRow| !replica.has_settled(row.revision);
            let lagging: Vec<ReplicaRow> = replicas.iter().filter(lags).cloned().collect();
            // One that has no row has no lease, and admits nothing by whatever it has; the embedded store's
            // only replica has neither.
            let in_force = if replicas.is_empty() {
                decides_by.is_ok_and(|by| by >= row.revision)
            } else {
                lagging.is_empty()
            };
            AccessKeyStatus { row, in_force, lagging }
        };
        Ok(rows.into_iter().map(status).collect())
    }

    /// A page of the register, newest first.
    pub(crate) async fn api_keys(
        &self,
        by: &Authorized<Reader>,
        after: Option<ApiKeyId>,
        rows: u16,
    ) -> Result<Page<ApiKeyRow>> {
        self.store.list_api_keys(by, after, rows).await.map_err(|error| match error {
            store::Error::NotFound(_) => Error::InvalidQuery {
                name: "skipToken",
                why: "names no row of the register: begin without it".to_owned(),
            },
            error => error.into(),
        })
    }

    /// Makes a change and waits until it is in force, both apart from who asked for it.
    pub(super) async fn put_in_force<T: Send + 'static>(
        &self,
        change: impl Future<Output = store::Result<(Change, T)>> + Send + 'static,
    ) -> Result<T> {
        let replica = Arc::clone(&self.replica);
        let task = self.tasks.spawn(async move {
            // Replicas that are behind would stay so if changes came faster than they read them. A replica
            // without a lease waits for one, and not for long: keys must be ended in bad times as well.
            replica.admit().await.unwrap_or(());
            match change.await {
                Ok((change, made)) => match replica.in_force(&change).await {
                    Ok(()) => Ok(made),
                    Err(store::NotInForce::NotYet { waiting_for }) => {
                        Err(Error::NotYetInForce { waiting_for })
                    }
                    Err(store::NotInForce::TakenBack) => Err(Error::TakenBack),
                },
                Err(error @ store::Error::OutcomeUnknown(_)) => {
                    // To decide by what the store says now, or to admit nothing while it says
                    // nothing, is right whether or not the change is durable.
                    replica.refresh().await;
                    Err(error.into())
                }
                Err(error) => Err(error.into()),
            }
        });
        task.await?
    }
}
