//! Where a replica's apps come from: folders of its machine, or the store.

use std::collections::BTreeMap;
use std::sync::Arc;

use app::{App, Files};
use keys::AppId;
use tokio::time::timeout;
use tracing::{info, warn};
use url::Url;

use super::{READ_WITHIN, ServedApp};
use crate::deployments::Current;
use crate::snapshot::Trust;
use crate::{Error, Result, Snapshot, Store};

/// Makes apps of files that were deployed, as this replica's configuration allows.
pub trait AppMaker: Send + Sync {
    /// Makes the app that clients reach at this URL. It may take a moment, and read files of the machine.
    ///
    /// # Errors
    /// Everything that does not hold, a line each.
    fn make(&self, files: &Files, public_url: &Url) -> Result<App, Vec<String>>;
}

/// What the store does not hold of a snapshot.
pub(super) enum Sources {
    /// These apps, and none that is deployed.
    Given(Vec<ServedApp>),
    /// All that are deployed.
    Deployed(Deployed),
}

/// The apps that are deployed, as they were made so far.
pub(super) struct Deployed {
    maker: Arc<dyn AppMaker>,
    /// Where clients reach the data plane: an app that was given no URL is below it.
    base: Url,
    made: BTreeMap<AppId, Made>,
}

/// The version of an app that was made last. What has its id has its files.
struct Made {
    id: String,
    app: Arc<App>,
}

impl Sources {
    pub(super) fn deployed(maker: Arc<dyn AppMaker>, base: Url) -> Self {
        Self::Deployed(Deployed { maker, base, made: BTreeMap::new() })
    }

    /// Serves another state of an app that was given.
    pub(super) fn replace(&mut self, id: AppId, app: &Arc<App>) {
        let Self::Given(served) = self else { return };
        for entry in served.iter_mut().filter(|entry| entry.id == id) {
            entry.app = Arc::clone(app);
        }
    }

    /// Reads the store, and makes what was not made before.
    pub(super) async fn read(&mut self, store: &Store) -> Result<Snapshot> {
        let trust = in_time(store.load_trust()).await?;
        match self {
            Self::Given(served) => {
                refuse_two_sources(&trust, served)?;
                Snapshot::new(trust, served.iter().cloned())
            }
            Self::Deployed(deployed) => {
                let served = deployed.serve(store, &trust).await?;
                Snapshot::new(trust, served)
            }
        }
    }
}

/// An app in the store and in a folder would be another one on each replica.
fn refuse_two_sources(trust: &Trust, served: &[ServedApp]) -> Result<()> {
    let both = |current: &&Current| served.iter().any(|served| served.id == current.app);
    match trust.deployed.iter().find(both) {
        Some(current) => Err(Error::TwoSources(current.name.clone())),
        None => Ok(()),
    }
}

impl Deployed {
    /// Each version is read and made once. That happens outside the transaction that says which are in force:
    /// a version never changes, and many new ones may take longer than a transaction may.
    async fn serve(&mut self, store: &Store, trust: &Trust) -> Result<Vec<ServedApp>> {
        let mut served = Vec::new();
        for current in &trust.deployed {
            let url = current.public_url.clone();
            let public_url = url.unwrap_or_else(|| below(&self.base, &current.name));
            let made = self.made.get(&current.app).filter(|made| made.id == current.id);
            let app = match made {
                Some(made) => Arc::clone(&made.app),
                None => self.make(store, current, &public_url).await?,
            };
            served.push(ServedApp { id: current.app, name: current.name.clone(), public_url, app });
        }
        self.made.retain(|app, _| trust.deployed.iter().any(|current| current.app == *app));
        Ok(served)
    }

    async fn make(
        &mut self,
        store: &Store,
        current: &Current,
        public_url: &Url,
    ) -> Result<Arc<App>> {
        let files = in_time(store.current_files(current)).await?;
        let (maker, url) = (Arc::clone(&self.maker), public_url.clone());
        let making = tokio::task::spawn_blocking(move || maker.make(&files, &url));
        let undeployable = |why: String| Error::Undeployable {
            app: current.name.clone(),
            version: current.version,
            why,
        };
        let app = making.await.map_err(|error| undeployable(error.to_string()))?;
        let app = Arc::new(app.map_err(|problems| undeployable(problems.join("; ")))?);
        let (name, version) = (&current.name, current.version);
        info!(app.name = %name, "Serves version {version} of the app {name}");
        for left_out in app.left_out() {
            warn!(app.name = %name, "Left out of {name}: {left_out}");
        }
        self.made.insert(current.app, Made { id: current.id.clone(), app: Arc::clone(&app) });
        Ok(app)
    }
}

/// The URL of an app that was given none.
pub(super) fn below(base: &Url, name: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{name}", base.path().trim_end_matches('/')));
    url
}

async fn in_time<T>(reading: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(READ_WITHIN, reading).await.unwrap_or(Err(Error::TooSlow))
}
