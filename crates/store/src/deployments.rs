//! The versions of apps that were deployed.

use std::collections::BTreeMap;
use std::fmt;

use app::Files;
use keys::permission::{Owner, Reader};
use keys::{AppId, Authorized, SysRng, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::{Any, AnyPool, Transaction};
use url::Url;

use crate::access_keys::app_id;
use crate::audit::{self, Action};
use crate::backend::Attempt;
use crate::{Change, Error, Result, Store};

/// How many versions of an app are kept: months of deployments, and 400 MiB at most.
pub const KEPT_VERSIONS: i64 = 50;

/// The form of what is sealed.
const LAYOUT: u8 = 1;

/// The number of a version of an app, from 1 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(i64);

impl Version {
    /// Names a version that may or may not be there.
    #[must_use]
    pub const fn new(number: i64) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What made a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Operation {
    /// All files were replaced.
    DeployApp,
    /// Some files were written.
    DeployWorkflowArtifacts,
    /// The files of an older version were deployed again.
    RollbackDeployment,
}

impl Operation {
    /// The operation's name, as the management plane has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DeployApp => "deployApp",
            Self::DeployWorkflowArtifacts => "deployWorkflowArtifacts",
            Self::RollbackDeployment => "rollbackDeployment",
        }
    }
}

/// What is told of a version: nothing that a file holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Note {
    /// What made it.
    pub operation: Operation,
    /// The version whose files it has, of a rollback.
    pub restores: Option<Version>,
    /// Who is let in: `ApiKey`, `OAuth2`, `Anonymous`, or none where host.json does not say.
    pub authentication: Option<String>,
    /// Whether somebody is let in whom the version before refused.
    pub widens_authentication: bool,
    /// The paths that are other than in the version before, sorted.
    pub changed: Vec<String>,
}

/// A version that is to be deployed.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// The app's name; it is made if it is not there.
    pub app: String,
    /// All its files.
    pub files: Files,
    /// Where clients reach it; where they did so far if none.
    pub public_url: Option<Url>,
    /// The version that is in force, by which this one was made; none for an app that is not deployed.
    pub replaces: Option<Version>,
    /// What is told of it.
    pub note: Note,
}

/// A version that is durable, and must be in force before anybody is told.
#[derive(Clone, Debug)]
pub struct Deployed {
    /// Its number.
    pub version: Version,
    /// What made it.
    pub change: Change,
}

/// A version as its operator sees it.
#[derive(Clone, Debug)]
pub struct DeploymentRow {
    /// Its number.
    pub version: Version,
    /// Whether it is the one in force.
    pub is_current: bool,
    /// When it was deployed.
    pub deployed_at: Timestamp,
    /// Who deployed it.
    pub deployed_by: String,
    /// What is told of it.
    pub note: Note,
}

/// The version of an app that is in force.
#[derive(Debug)]
pub(crate) struct Current {
    pub(crate) app: AppId,
    pub(crate) name: String,
    pub(crate) version: Version,
    /// What no other version has, of any app and any history: its files never change.
    pub(crate) id: String,
    /// None for the one that follows from the replica's own.
    pub(crate) public_url: Option<Url>,
}

impl Current {
    pub(crate) fn new(
        app: AppId,
        name: String,
        version: i64,
        id: String,
        public_url: Option<String>,
    ) -> Result<Self> {
        let parse = |text: String| text.parse().map_err(|_| Error::corrupt("public URL"));
        let public_url = public_url.map(parse).transpose()?;
        Ok(Self { app, name, version: Version(version), id, public_url })
    }
}

/// Files as they are sealed: all are UTF-8, since no other app holds.
#[derive(Deserialize, Serialize)]
struct Sealed {
    layout: u8,
    files: BTreeMap<String, String>,
}

impl Store {
    /// Finds the app called `name`, without regard to case, whether or not anybody serves it.
    ///
    /// # Errors
    /// [`Error::Database`], [`Error::Corrupt`].
    pub async fn find_app(&self, name: &str) -> Result<Option<AppId>> {
        if name.contains('\0') {
            // No text of PostgreSQL has one.
            return Ok(None);
        }
        let name = &*name.to_ascii_lowercase();
        self.retried(|_| {
            self.in_time(async move {
                let row: Option<(Vec<u8>,)> = sqlx::query_as("SELECT id FROM apps WHERE name = $1")
                    .bind(name.to_owned())
                    .fetch_optional(&self.pool)
                    .await?;
                row.map(|(id,)| app_id(&id)).transpose()
            })
        })
        .await
    }

    /// Makes `deployment` the version of its app that is in force, and forgets the oldest one beyond
    /// [`KEPT_VERSIONS`].
    ///
    /// # Errors
    /// [`Error::Overtaken`] where another version than the one it replaces is in force, an app of the name
    /// is another one, or another one has its URL; [`Error::Database`], with nothing changed; [`Error::OutcomeUnknown`].
    pub async fn deploy(
        &self,
        by: &Authorized<Owner>,
        deployment: &Deployment,
    ) -> Result<Deployed> {
        let id = &audit::new_id();
        self.retried(|attempt| async move {
            if attempt == Attempt::Again
                && let Some(change) = self.in_time(self.audited(id)).await?
            {
                let version = self.in_time(self.version_of(id)).await?;
                return Ok(Deployed { version, change });
            }
            let (tx, deployed) = self.in_time(self.write_deployment(by, deployment, id)).await?;
            self.commit(tx).await?;
            Ok(deployed)
        })
        .await
    }

    async fn write_deployment(
        &self,
        by: &Authorized<Owner>,
        deployment: &Deployment,
        id: &str,
    ) -> Result<(Transaction<'static, Any>, Deployed)> {
        let (app, now) = (by.app(), self.clock.now());
        let mut tx = self.begin_change().await?;
        let kept_url = self.prepare(&mut tx, by, deployment).await?;
        let public_url =
            deployment.public_url.as_ref().map(|url| url.as_str().to_owned()).or(kept_url);
        if let Some(url) = &public_url {
            refuse_taken(&mut tx, &app, url).await?;
        }
        let (newest,): (i64,) =
            sqlx::query_as("SELECT COALESCE(MAX(version), 0) FROM deployments WHERE app_id = $1")
                .bind(app.as_bytes().to_vec())
                .fetch_one(&mut *tx)
                .await?;
        let version = newest.checked_add(1).map(Version).ok_or(Error::corrupt("version"))?;
        let sealed = self.seal_files(&deployment.files, &app, version)?;
        sqlx::query(
            "INSERT INTO deployments \
             (app_id, version, id, sealed, public_url, deployed_at, deployed_by, note) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(app.as_bytes().to_vec())
        .bind(version.0)
        .bind(id.to_owned())
        .bind(sealed)
        .bind(public_url)
        .bind(now.unix_ms())
        .bind(by.by().to_owned())
        .bind(json!(deployment.note).to_string())
        .execute(&mut *tx)
        .await?;
        sqlx::query("UPDATE apps SET deployed_version = $1 WHERE id = $2")
            .bind(version.0)
            .bind(app.as_bytes().to_vec())
            .execute(&mut *tx)
            .await?;
        sqlx::query("DELETE FROM deployments WHERE app_id = $1 AND version <= $2")
            .bind(app.as_bytes().to_vec())
            .bind(version.0 - KEPT_VERSIONS)
            .execute(&mut *tx)
            .await?;
        let action = Action::Deploy(deployment.note.operation);
        let detail = json!(deployment.note);
        audit::record(&mut tx, by, now, id, action, &version.to_string(), detail).await?;
        let name = self.count_up(&mut tx).await?;
        let change = Change { name, audit_id: id.to_owned() };
        Ok((tx, Deployed { version, change }))
    }

    /// Sees that the deployment still replaces what it was made from, or makes its app. Gives the URL that
    /// the app was given before.
    async fn prepare(
        &self,
        tx: &mut sqlx::AnyConnection,
        by: &Authorized<Owner>,
        deployment: &Deployment,
    ) -> Result<Option<String>> {
        let name = deployment.app.to_ascii_lowercase();
        let found: Option<(Vec<u8>, Option<i64>, Option<String>)> = sqlx::query_as(
            "SELECT apps.id, apps.deployed_version, deployments.public_url \
             FROM apps LEFT JOIN deployments \
             ON deployments.app_id = apps.id AND deployments.version = apps.deployed_version \
             WHERE apps.name = $1",
        )
        .bind(name.clone())
        .fetch_optional(&mut *tx)
        .await?;
        let replaces = deployment.replaces.map(Version::get);
        match found {
            Some((id, current, url)) if app_id(&id)? == by.app() && current == replaces => Ok(url),
            None if replaces.is_none() => {
                self.insert_app(tx, &by.app(), &name, by.by()).await?;
                Ok(None)
            }
            Some(_) | None => Err(Error::Overtaken),
        }
    }

    /// Writes the audit row of a deployment into a folder, once however often it is asked for with this id.
    ///
    /// # Errors
    /// [`Error::Database`], with nothing written; [`Error::OutcomeUnknown`].
    pub async fn record_deployment(
        &self,
        by: &Authorized<Owner>,
        id: &str,
        note: &Note,
    ) -> Result<Change> {
        self.retried(|_| async move {
            if let Some(change) = self.in_time(self.audited(id)).await? {
                return Ok(change);
            }
            let (tx, change) = self.in_time(self.write_record(by, id, note)).await?;
            self.commit(tx).await?;
            Ok(change)
        })
        .await
    }

    async fn write_record(
        &self,
        by: &Authorized<Owner>,
        id: &str,
        note: &Note,
    ) -> Result<(Transaction<'static, Any>, Change)> {
        let mut tx = self.begin_change().await?;
        let (now, action) = (self.clock.now(), Action::Deploy(note.operation));
        audit::record(&mut tx, by, now, id, action, "folder", json!(note)).await?;
        let name = self.count_up(&mut tx).await?;
        Ok((tx, Change { name, audit_id: id.to_owned() }))
    }

    async fn version_of(&self, id: &str) -> Result<Version> {
        let row: Option<(i64,)> = sqlx::query_as("SELECT version FROM deployments WHERE id = $1")
            .bind(id.to_owned())
            .fetch_optional(&self.pool)
            .await?;
        row.map(|(version,)| Version(version)).ok_or(Error::NotFound("deployment"))
    }

    /// The versions of an app that are kept, newest first.
    ///
    /// # Errors
    /// [`Error::Database`], [`Error::Corrupt`].
    pub async fn list_deployments(&self, by: &Authorized<Reader>) -> Result<Vec<DeploymentRow>> {
        self.retried(|_| self.in_time(self.read_deployments(by.app()))).await
    }

    async fn read_deployments(&self, app: AppId) -> Result<Vec<DeploymentRow>> {
        let rows: Vec<(i64, Option<i64>, i64, String, String)> = sqlx::query_as(
            "SELECT deployments.version, apps.deployed_version, deployed_at, deployed_by, note \
             FROM deployments JOIN apps ON apps.id = deployments.app_id \
             WHERE app_id = $1 ORDER BY deployments.version DESC",
        )
        .bind(app.as_bytes().to_vec())
        .fetch_all(&self.pool)
        .await?;
        let row = |(version, current, deployed_at, deployed_by, note): (i64, _, _, _, String)| {
            Ok(DeploymentRow {
                version: Version(version),
                is_current: current == Some(version),
                deployed_at: Timestamp::from_unix_ms(deployed_at),
                deployed_by,
                note: serde_json::from_str(&note)
                    .map_err(|_| Error::corrupt("deployment's note"))?,
            })
        };
        rows.into_iter().map(row).collect()
    }

    /// The files of a version.
    ///
    /// # Errors
    /// [`Error::NotFound`] where it is not kept; [`Error::Undeployable`] where it cannot be opened.
    pub async fn deployed_files(
        &self,
        by: &Authorized<Owner>,
        app: &str,
        version: Version,
    ) -> Result<Files> {
        let id = by.app();
        self.retried(|_| self.in_time(self.read_files(&self.pool, id, app, version, None))).await
    }

    /// The files of the version that is in force.
    pub(crate) async fn current_files(&self, current: &Current) -> Result<Files> {
        let Current { app, name, version, id, .. } = current;
        self.retried(|_| self.in_time(self.read_files(&self.own, *app, name, *version, Some(id))))
            .await
    }

    async fn read_files(
        &self,
        pool: &AnyPool,
        app: AppId,
        name: &str,
        version: Version,
        of: Option<&str>,
    ) -> Result<Files> {
        let row: Option<(Vec<u8>, String)> =
            sqlx::query_as("SELECT sealed, id FROM deployments WHERE app_id = $1 AND version = $2")
                .bind(app.as_bytes().to_vec())
                .bind(version.0)
                .fetch_optional(pool)
                .await?;
        let (sealed, _) = row
            .filter(|(_, id)| of.is_none_or(|of| of == id))
            .ok_or(Error::NotFound("deployment"))?;
        let undeployable = |why: String| Error::Undeployable { app: name.to_owned(), version, why };
        let opened = self.masters.open_deployment(&sealed, &app, version.0).map_err(|error| {
            undeployable(format!(
                "its files cannot be opened: {error}. Name the master key that sealed them, besides \
                 those that are named now"
            ))
        })?;
        let sealed: Sealed = serde_json::from_slice(&opened)
            .ok()
            .filter(|sealed: &Sealed| sealed.layout == LAYOUT)
            .ok_or_else(|| {
                undeployable("it was sealed by a newer version of Keyward".to_owned())
            })?;
        let mut files = Files::new();
        for (path, text) in sealed.files {
            files.insert(path, text).map_err(|error| {
                undeployable(format!("a newer version of Keyward made it: {error}"))
            })?;
        }
        Ok(files)
    }

    fn seal_files(&self, files: &Files, app: &AppId, version: Version) -> Result<Vec<u8>> {
        let text = |(path, bytes): (&'_ str, &'_ [u8])| {
            let text = String::from_utf8(bytes.to_vec()).map_err(|_| Error::corrupt("file"))?;
            Ok((path.to_owned(), text))
        };
        let files = files.iter().map(text).collect::<Result<_>>()?;
        let sealed = Sealed { layout: LAYOUT, files };
        let bytes = serde_json::to_vec(&sealed).map_err(|_| Error::corrupt("set of files"))?;
        self.masters.seal_deployment(&mut SysRng, &bytes, app, version.0).map_err(Error::Key)
    }
}

/// Two apps that are given one URL at once: the second one loses.
async fn refuse_taken(tx: &mut sqlx::AnyConnection, app: &AppId, url: &str) -> Result<()> {
    let taken: Option<(String,)> = sqlx::query_as(
        "SELECT apps.name FROM apps JOIN deployments \
         ON deployments.app_id = apps.id AND deployments.version = apps.deployed_version \
         WHERE apps.id <> $1 AND rtrim(deployments.public_url, '/') = $2",
    )
    .bind(app.as_bytes().to_vec())
    .bind(url.trim_end_matches('/').to_owned())
    .fetch_optional(tx)
    .await?;
    if taken.is_some() { Err(Error::Overtaken) } else { Ok(()) }
}
