use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use app::{App, Server};
use keys::{AppId, KeyRing, Slot, Timestamp};
use lease::RevisionName;
use url::Url;

use crate::access_keys::{access_key_id, app_id, parse_slot};
use crate::deployments::Current;
use crate::{ChangeId, Claim, Cut, Error, Result, Revision, ServedApp, Store, Version};

/// What a replica decides by: immutable, and made from one state of the store.
#[derive(Debug)]
pub struct Snapshot {
    /// The store's revision that it reflects.
    pub revision: Revision,
    /// The name of the change that made that revision.
    pub change: ChangeId,
    apps: Vec<Arc<AppState>>,
}

/// One app in a snapshot.
pub struct AppState {
    /// Names the app inside API keys.
    pub id: AppId,
    /// Its name.
    pub name: String,
    /// Where clients reach it: decides routing and every URL that is printed.
    pub public_url: Url,
    /// The access keys in force, and what is revoked.
    pub ring: KeyRing,
    /// Its files.
    pub app: Arc<App>,
    /// The version that was deployed; none if it is served from a folder.
    pub version: Option<Version>,
}

impl fmt::Debug for AppState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppState")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("public_url", &self.public_url.as_str())
            .finish_non_exhaustive()
    }
}

impl Snapshot {
    /// Makes a snapshot of these apps.
    ///
    /// # Errors
    /// [`Error::NotFound`] for an app that the store does not have.
    pub(crate) fn new(trust: Trust, served: impl IntoIterator<Item = ServedApp>) -> Result<Self> {
        let Trust { revision, change, mut rings, deployed } = trust;
        let apps = served
            .into_iter()
            .map(|served| {
                let ring = rings.remove(&served.id).ok_or(Error::NotFound("app"))?;
                let current = deployed.iter().find(|current| current.app == served.id);
                Ok(Arc::new(AppState {
                    id: served.id,
                    name: served.name,
                    public_url: served.public_url,
                    ring,
                    app: served.app,
                    version: current.map(|current| current.version),
                }))
            })
            .collect::<Result<_>>()?;
        Ok(Self { revision, change, apps })
    }

    /// Names what it reflects.
    pub(crate) fn name(&self) -> RevisionName {
        RevisionName { revision: self.revision, change: self.change.clone() }
    }

    /// Every app that this replica serves.
    #[must_use]
    pub fn apps(&self) -> &[Arc<AppState>] {
        &self.apps
    }

    /// The app called `name`, without regard to case.
    #[must_use]
    pub fn app(&self, name: &str) -> Option<&Arc<AppState>> {
        self.apps.iter().find(|app| app.name.eq_ignore_ascii_case(name))
    }

    /// Whether what was admitted on `claim` may go on; checks all but the API key's tag, which
    /// cannot change under an access key that is still in force.
    ///
    /// # Errors
    /// Why it may not.
    pub fn judge(&self, claim: &Claim, now: Timestamp) -> Result<(), Cut> {
        let state = self.apps.iter().find(|app| app.id == claim.app).ok_or(Cut::ServerGone)?;
        state.judge(claim, now)
    }
}

impl AppState {
    /// The server of this name in lower case, as claims and scopes name it: `default` is the one
    /// that offers every tool.
    #[must_use]
    pub fn server(&self, name: &str) -> Option<&Server> {
        if name == "default" { Some(self.app.default_server()) } else { self.app.server(name) }
    }

    fn judge(&self, claim: &Claim, now: Timestamp) -> Result<(), Cut> {
        let authentication = self.app.authentication();
        match &claim.key {
            Some(_) if !authentication.admits_api_keys() => {
                return Err(Cut::AuthenticationChanged);
            }
            Some(claims) => self.ring.judge(claims, now).map_err(Cut::Refused)?,
            None if !claim.is_operators && !authentication.accepts_everyone() => {
                return Err(Cut::AuthenticationChanged);
            }
            None => {}
        }
        let Some(server) = self.server(&claim.server).filter(|server| server.is_enabled()) else {
            return Err(Cut::ServerGone);
        };
        if !self.app.mcp_enabled() {
            return Err(Cut::ServerGone);
        }
        if server.upstream() == claim.upstream.as_ref() { Ok(()) } else { Err(Cut::ServerChanged) }
    }
}

/// An app with the version of it that is in force, if it is deployed: its number, its id and its URL.
type AppRow = (Vec<u8>, String, Option<i64>, Option<String>, Option<String>);

/// The store's part of a snapshot.
pub(crate) struct Trust {
    revision: Revision,
    change: ChangeId,
    rings: BTreeMap<AppId, KeyRing>,
    /// The versions in force of the apps that are deployed, by name.
    pub(crate) deployed: Vec<Current>,
}

impl Store {
    /// Reads all that decides from one state of the store.
    pub(crate) async fn load_trust(&self) -> Result<Trust> {
        self.retried(|_| self.read_trust()).await
    }

    async fn read_trust(&self) -> Result<Trust> {
        let mut tx = self.begin_load().await?;
        self.read_trust_in(&mut tx).await
    }

    /// The same, as a transaction sees it.
    pub(crate) async fn read_trust_in(&self, tx: &mut sqlx::AnyConnection) -> Result<Trust> {
        let (value, change): (i64, String) =
            sqlx::query_as("SELECT value, change_id FROM revision").fetch_one(&mut *tx).await?;
        let apps: Vec<AppRow> = sqlx::query_as(
            "SELECT apps.id, apps.name, apps.deployed_version, deployments.id, deployments.public_url \
             FROM apps LEFT JOIN deployments \
             ON deployments.app_id = apps.id AND deployments.version = apps.deployed_version \
             ORDER BY apps.name",
        )
        .fetch_all(&mut *tx)
        .await?;
        let mut access_keys = by_app(
            sqlx::query_as(
                "SELECT app_id, id, slot, sealed FROM access_keys WHERE regenerated_at IS NULL",
            )
            .fetch_all(&mut *tx)
            .await?,
            |(app, id, slot, sealed): (Vec<u8>, Vec<u8>, String, Vec<u8>)| {
                (app, (id, slot, sealed))
            },
        )?;
        let mut revoked = by_app(
            sqlx::query_as("SELECT app_id, id FROM revocations").fetch_all(&mut *tx).await?,
            |row: (Vec<u8>, String)| row,
        )?;
        let mut rings = BTreeMap::new();
        let mut deployed = Vec::new();
        for (id, name, version, deployment, public_url) in apps {
            let app = app_id(&id)?;
            let access_keys = access_keys.remove(&app).unwrap_or_default();
            let revoked = revoked.remove(&app).unwrap_or_default();
            rings.insert(app, self.ring(app, &name, access_keys, &revoked)?);
            if let Some(version) = version {
                let deployment = deployment.ok_or(Error::corrupt("deployed version"))?;
                deployed.push(Current::new(app, name, version, deployment, public_url)?);
            }
        }
        let (revision, change) = (Revision::new(value), ChangeId::new(change));
        Ok(Trust { revision, change, rings, deployed })
    }

    fn ring(
        &self,
        app: AppId,
        name: &str,
        access_keys: Vec<(Vec<u8>, String, Vec<u8>)>,
        revoked: &[String],
    ) -> Result<KeyRing> {
        let mut access_keys = access_keys
            .into_iter()
            .map(|(id, slot, sealed)| {
                let slot = parse_slot(&slot)?;
                let key = self
                    .masters
                    .open(&sealed, &app, slot, access_key_id(&id)?)
                    .map_err(|source| Error::Sealed { app: name.to_owned(), slot, source })?;
                Ok((slot, key))
            })
            .collect::<Result<Vec<_>>>()?;
        let [Some(primary), Some(secondary)] = Slot::ALL.map(|slot| {
            let found = access_keys.iter().position(|(lies_in, _)| *lies_in == slot)?;
            Some(access_keys.swap_remove(found).1)
        }) else {
            return Err(Error::corrupt("set of access keys"));
        };
        let revoked = revoked
            .iter()
            .map(|id| id.parse().map_err(|_| Error::corrupt("revoked id")))
            .collect::<Result<Vec<_>>>()?;
        Ok(KeyRing::new(app, primary, secondary, revoked))
    }
}

/// Sorts rows by the app that each begins with.
fn by_app<R, V>(
    rows: Vec<R>,
    split: impl Fn(R) -> (Vec<u8>, V),
) -> Result<BTreeMap<AppId, Vec<V>>> {
    let mut sorted: BTreeMap<AppId, Vec<V>> = BTreeMap::new();
    for (app, value) in rows.into_iter().map(split) {
        sorted.entry(app_id(&app)?).or_default().push(value);
    }
    Ok(sorted)
}
