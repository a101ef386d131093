use std::sync::Arc;

use app::{App, Authentication, Files};
use keys::permission::{Owner, Reader};
use keys::{AppId, Authorized, SysRng};
use store::{AppMaker, AppState, Deployment, DeploymentRow, Note, Operation, Version};
use tracing::{info, warn};
use url::{Host, Url};

use super::artifacts::{self, Artifacts};
use crate::deployments::{AppFolder, Deployable, Deployments, NotWritten};
use crate::error::{Error, Result};
use crate::{Manage, limits};

/// An app by its name, whether or not it is there.
#[derive(Debug)]
pub(crate) struct NamedApp {
    pub(crate) id: AppId,
    pub(crate) name: String,
    served: Option<Arc<AppState>>,
}

/// A version that is in force.
#[derive(Debug)]
pub(crate) struct Deployed {
    pub(crate) app: Arc<App>,
    pub(crate) name: String,
    /// None of a folder, which keeps no versions.
    pub(crate) version: Option<Version>,
    pub(crate) public_url: Url,
    pub(crate) note: Note,
}

/// A version to be, before it is checked.
struct Candidate {
    name: String,
    files: Files,
    public_url: Option<Url>,
    operation: Operation,
    restores: Option<Version>,
    /// Whether it may let in whom the version in force refuses.
    may_widen: bool,
}

impl Manage {
    /// Finds an app that may be made.
    pub(crate) async fn named_app(&self, name: &str) -> Result<NamedApp> {
        let served = self.replica.last_snapshot().app(name).cloned();
        let id = match &served {
            Some(app) => Some(app.id),
            None => self.store.find_app(name).await?,
        };
        let id = match id {
            Some(id) => id,
            None => AppId::generate(&mut SysRng).map_err(store::Error::Key)?,
        };
        Ok(NamedApp { id, name: name.to_owned(), served })
    }

    /// Replaces all files of an app, which is made if it is not there. When this returns, every replica serves
    /// the new version, and what the old one alone allowed has ended.
    pub(crate) async fn deploy_app(
        &self,
        by: Authorized<Owner>,
        app: NamedApp,
        artifacts: Artifacts,
        public_url: Option<&str>,
    ) -> Result<Deployed> {
        let files = artifacts::whole(artifacts).map_err(Error::InvalidDeployment)?;
        let deployable = match (&self.deployments, &app.served) {
            (Deployments::Store(deployable), _) => deployable,
            (Deployments::Folder(folder), Some(served)) if public_url.is_none() => {
                let read = folder.read().await?;
                return self
                    .write_folder(by, folder, served, read, files, Operation::DeployApp)
                    .await;
            }
            (Deployments::Folder(_), _) => return Err(Error::ServedFromFolder(ONE_FOLDER)),
            (Deployments::Nowhere(why), _) => return Err(Error::ServedFromFolder(why)),
        };
        let name = (deployable.parse_name)(&app.name).map_err(Error::InvalidAppName)?;
        let public_url = public_url.map(|text| (deployable.parse_url)(text)).transpose();
        let public_url = public_url.map_err(Error::InvalidPublicUrl)?;
        let candidate = Candidate {
            name,
            files,
            public_url,
            operation: Operation::DeployApp,
            restores: None,
            may_widen: true,
        };
        self.put(by, deployable, app.served.as_deref(), candidate).await
    }

    /// Writes some files of an app, and app settings, with the same promise.
    pub(crate) async fn deploy_artifacts(
        &self,
        by: Authorized<Owner>,
        app: &Arc<AppState>,
        artifacts: Artifacts,
    ) -> Result<Deployed> {
        let operation = Operation::DeployWorkflowArtifacts;
        let deployable = match &self.deployments {
            Deployments::Store(deployable) => deployable,
            Deployments::Folder(folder) => {
                let read = folder.read().await?;
                let files = artifacts::merged(read.clone(), artifacts);
                let files = files.map_err(Error::InvalidDeployment)?;
                return self.write_folder(by, folder, app, read, files, operation).await;
            }
            Deployments::Nowhere(why) => return Err(Error::ServedFromFolder(why)),
        };
        let files = self.files_in_force(&by, app).await?;
        let files = artifacts::merged(files, artifacts).map_err(Error::InvalidDeployment)?;
        let candidate = Candidate {
            name: app.name.clone(),
            files,
            public_url: None,
            operation,
            restores: None,
            may_widen: true,
        };
        self.put(by, deployable, Some(app), candidate).await
    }

    /// Deploys an older version again; the one before that in force if none is named.
    pub(crate) async fn roll_back(
        &self,
        by: Authorized<Owner>,
        reader: &Authorized<Reader>,
        app: &Arc<AppState>,
        version: Option<Version>,
        force: bool,
    ) -> Result<Deployed> {
        let deployable = match &self.deployments {
            Deployments::Store(deployable) => deployable,
            Deployments::Folder(_) => return Err(Error::ServedFromFolder(NO_VERSIONS)),
            Deployments::Nowhere(why) => return Err(Error::ServedFromFolder(why)),
        };
        let rows = self.store.list_deployments(reader).await?;
        let version = match version {
            Some(version) => version,
            None => before(&rows).ok_or(Error::DeploymentNotFound(None))?,
        };
        let files = self.store.deployed_files(&by, &app.name, version).await;
        let files = files.map_err(|error| match error {
            store::Error::NotFound(_) => Error::DeploymentNotFound(Some(version)),
            error => error.into(),
        })?;
        let candidate = Candidate {
            name: app.name.clone(),
            files,
            public_url: None,
            operation: Operation::RollbackDeployment,
            restores: Some(origin(&rows, version)),
            may_widen: force,
        };
        self.put(by, deployable, Some(app), candidate).await
    }

    /// The versions of an app, newest first; none of one that is served from a folder.
    pub(crate) async fn deployed_versions(
        &self,
        by: &Authorized<Reader>,
    ) -> Result<Vec<DeploymentRow>> {
        Ok(self.store.list_deployments(by).await?)
    }

    /// Checks a version and puts it in force.
    async fn put(
        &self,
        by: Authorized<Owner>,
        deployable: &Deployable,
        served: Option<&AppState>,
        candidate: Candidate,
    ) -> Result<Deployed> {
        let Candidate { name, files, public_url, operation, restores, may_widen } = candidate;
        check_size(&files)?;
        let own = public_url.clone().or_else(|| served.map(|served| served.public_url.clone()));
        let own = own.or_else(|| self.replica.url_below(&name.to_ascii_lowercase()));
        let own = own.ok_or(Error::ServedFromFolder(NO_VERSIONS))?;
        let app = Arc::new(make(&deployable.maker, files.clone(), own.clone()).await?);
        self.check_url(&by, &app, &own)?;
        let widens = served.is_some_and(|served| app.widens_authentication_over(&served.app));
        if widens && !may_widen {
            return Err(Error::RollbackWidensAuthentication {
                to: authentication(&app),
                from: served.map_or("nobody", |served| authentication(&served.app)),
            });
        }
        let before = match served {
            Some(served) => self.files_in_force(&by, served).await?,
            None => Files::new(),
        };
        let note = Note {
            operation,
            restores,
            authentication: name_of(app.authentication()).map(str::to_owned),
            widens_authentication: widens,
            changed: artifacts::changed(&before, &files),
        };
        let deployment = Deployment {
            app: name.clone(),
            files,
            public_url,
            replaces: served.and_then(|served| served.version),
            note: note.clone(),
        };
        let store = Arc::clone(&self.store);
        let version = self
            .put_in_force(async move {
                let deployed = store.deploy(&by, &deployment).await?;
                let (name, version) = (&deployment.app, deployed.version);
                info!(caller.name = by.by(), app.name = %name, version = version.get(),
                    "{} deployed version {version} of the app {name}", by.by());
                if deployment.note.widens_authentication {
                    warn!(app.name = %name, "Version {version} of the app {name} lets in more than the one before");
                }
                Ok((deployed.change, deployed.version))
            })
            .await?;
        Ok(Deployed { app, name, version: Some(version), public_url: own, note })
    }

    async fn files_in_force(&self, by: &Authorized<Owner>, app: &AppState) -> Result<Files> {
        match app.version {
            Some(version) => {
                let files = self.store.deployed_files(by, &app.name, version).await;
                files.map_err(|error| match error {
                    // Others have deployed so often that it is forgotten.
                    store::Error::NotFound(_) => Error::DeploymentConflict,
                    error => error.into(),
                })
            }
            None => Ok(Files::new()),
        }
    }

    /// Refuses a URL at which requests would be another app's, or another app's this one's: the longest URL
    /// has what is asked for below it.
    fn check_url(&self, by: &Authorized<Owner>, app: &App, url: &Url) -> Result<()> {
        let clash = |other: &AppState| {
            let other_url = &other.public_url;
            let is_one =
                url.host() == other_url.host() || (is_loopback(url) && is_loopback(other_url));
            is_one
                && (takes_from(url, other_url, other.app.route_prefix())
                    || takes_from(other_url, url, app.route_prefix()))
        };
        let snapshot = self.replica.last_snapshot();
        let mut others = snapshot.apps().iter().filter(|app| app.id != by.app());
        match others.find(|app| clash(app)) {
            Some(app) => Err(Error::PublicUrlTaken {
                url: url.to_string(),
                app: app.name.clone(),
                taken: app.public_url.to_string(),
            }),
            None => Ok(()),
        }
    }

    /// Checks files and writes them into the folder that an app is served from.
    async fn write_folder(
        &self,
        by: Authorized<Owner>,
        folder: &Arc<dyn AppFolder>,
        served: &Arc<AppState>,
        read: Files,
        files: Files,
        operation: Operation,
    ) -> Result<Deployed> {
        check_size(&files)?;
        let (making, made_of) = (Arc::clone(folder), files.clone());
        let made = tokio::task::spawn_blocking(move || making.make(&made_of)).await?;
        let app = Arc::new(made.map_err(Error::InvalidDeployment)?);
        let note = Note {
            operation,
            restores: None,
            authentication: name_of(app.authentication()).map(str::to_owned),
            widens_authentication: app.widens_authentication_over(&served.app),
            changed: artifacts::changed(&read, &files),
        };
        let (folder, told, name) = (Arc::clone(folder), note.clone(), served.name.clone());
        let task = self.tasks.spawn(async move {
            let caller = by.by().to_owned();
            folder.write(by, read, files, told).await?;
            info!(caller.name = %caller, app.name = %name,
                "{caller} deployed into the folder of the app {name}");
            Ok::<(), NotWritten>(())
        });
        task.await??;
        let (name, public_url) = (served.name.clone(), served.public_url.clone());
        Ok(Deployed { app, name, version: None, public_url, note })
    }
}

const ONE_FOLDER: &str = "This process serves one app from its folder, at its own URL: name that app and \
                          no publicUrl, or serve without a folder to deploy others.";

const NO_VERSIONS: &str = "The app is served from a folder, which keeps no versions: serve without a folder \
                           and deploy the app to have them.";

impl From<NotWritten> for Error {
    fn from(error: NotWritten) -> Self {
        match error {
            NotWritten::Overtaken => Self::DeploymentConflict,
            NotWritten::Unfit(why) => Self::InvalidDeployment(vec![why]),
            NotWritten::Failed(source) => Self::Folder(source),
            NotWritten::Store(error) => error.into(),
        }
    }
}

async fn make(maker: &Arc<dyn AppMaker>, files: Files, public_url: Url) -> Result<App> {
    let maker = Arc::clone(maker);
    let made = tokio::task::spawn_blocking(move || maker.make(&files, &public_url)).await?;
    let app = made.map_err(Error::InvalidDeployment)?;
    match app.not_allowed() {
        [] => Ok(app),
        lines => Err(Error::DeploymentNotAllowed(lines.to_vec())),
    }
}

/// Whether a URL's host is this machine: requests to any of its names are alike.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn check_size(files: &Files) -> Result<()> {
    if artifacts::byte_count(files) > limits::DEPLOYMENT_BYTES {
        return Err(Error::DeploymentTooLarge);
    }
    Ok(())
}

/// The version before the one in force. What was rolled back to counts as the version that it restores, so that
/// two rollbacks go back two versions.
fn before(rows: &[DeploymentRow]) -> Option<Version> {
    let current = rows.iter().find(|row| row.is_current)?;
    let current = current.note.restores.unwrap_or(current.version);
    rows.iter().map(|row| row.version).find(|version| *version < current)
}

/// The version whose files a version has.
fn origin(rows: &[DeploymentRow], version: Version) -> Version {
    let row = rows.iter().find(|row| row.version == version);
    row.and_then(|row| row.note.restores).unwrap_or(version)
}

const fn name_of(authentication: Authentication) -> Option<&'static str> {
    match authentication {
        Authentication::Absent => None,
        Authentication::ApiKey => Some("ApiKey"),
        Authentication::OAuth2 => Some("OAuth2"),
        Authentication::Anonymous => Some("Anonymous"),
    }
}

/// Whether an app at `url` has requests that are meant for servers of the one at `other`, which are below
/// its `route_prefix`.
fn takes_from(url: &Url, other: &Url, route_prefix: &str) -> bool {
    let segments = |path: &str| -> Vec<String> {
        path.split('/').filter(|segment| !segment.is_empty()).map(str::to_owned).collect()
    };
    let path = segments(url.path());
    let Some(below) = path.strip_prefix(&*segments(other.path())) else { return false };
    let servers = segments(route_prefix);
    match below.strip_prefix(&*servers) {
        Some([first, ..]) => matches!(first.as_str(), "mcp" | "mcpservers"),
        Some([]) => true,
        None => servers.starts_with(below),
    }
}

/// The type as a message says it.
fn authentication(app: &App) -> &'static str {
    if !app.mcp_enabled() {
        return "none at all (McpServerEndpoints.enable is off)";
    }
    name_of(app.authentication()).unwrap_or("absent")
}
