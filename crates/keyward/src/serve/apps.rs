//! Where the apps come from: a place on this machine, or what is deployed in the store.

use std::path::PathBuf;
use std::sync::Arc;

use keys::{AppId, Clock};
use manage::{AppFolder, Deployable, Deployments};
use store::{Replica, ServedApp, Store};
use tracing::{info, warn};
use url::Url;

use super::reload::Kept;
use crate::arguments::ServeArguments;
use crate::config::{self, Config, Environment};
use crate::error::{Error, Result};
use crate::maker::Maker;
use crate::output;
use crate::place::Place;
use crate::ready::Ready;
use crate::source::{Loaded, Source};
use crate::watch::Watch;

/// What is told where the app is one mcp.json.
const NO_FOLDER: &str = "The app is one mcp.json, which is not written by deployments: edit it.";

/// The apps of one process.
pub(super) enum Apps {
    /// The one that lies in a place.
    Given(Box<Given>),
    /// All that are deployed, now and later.
    Deployed(Arc<Maker>),
}

/// The app that lies in a place.
pub(super) struct Given {
    pub(super) name: String,
    pub(super) source: Source,
    pub(super) loaded: Loaded,
    pub(super) watch: Option<Watch>,
}

impl Apps {
    pub(super) async fn new(
        place: Option<Place>,
        config: &Config,
        environment: &Environment,
    ) -> Result<Self> {
        let Some(place) = place else {
            let maker = Maker::new(environment, &config.apps, &config.data_plane);
            return Ok(Self::Deployed(Arc::new(maker)));
        };
        // The watch comes before the reading: a change between the two is one that it tells of.
        let watch = watch(&place);
        let source = Source::new(&place, environment, &config.data_plane);
        let loaded = source.load().await?;
        let name = app_name(&place, config)?;
        Ok(Self::Given(Box::new(Given { name, source, loaded, watch })))
    }

    pub(super) fn place(&self) -> Option<&Place> {
        match self {
            Self::Given(given) => Some(&given.source.place),
            Self::Deployed(_) => None,
        }
    }

    /// The name of the one that was given.
    pub(super) fn name(&self) -> Option<String> {
        match self {
            Self::Given(given) => Some(given.name.clone()),
            Self::Deployed(_) => None,
        }
    }

    /// What keeps the one that was given as its files are.
    pub(super) fn keep(&self, id: Option<AppId>) -> Option<Arc<Kept>> {
        match (self, id) {
            (Self::Given(given), Some(id)) => {
                let (source, loaded) = (given.source.clone(), given.loaded.clone());
                Some(Arc::new(Kept::new(source, loaded, id, given.name.clone())))
            }
            _ => None,
        }
    }

    /// What notices that the files of the one that was given have changed.
    pub(super) fn watch(&mut self) -> Option<Watch> {
        match self {
            Self::Given(given) => given.watch.take(),
            Self::Deployed(_) => None,
        }
    }

    /// Begins to serve them; gives the id of the one that was given.
    pub(super) async fn start(
        &self,
        store: &Arc<Store>,
        clock: &Arc<dyn Clock>,
        public_url: &Url,
    ) -> Result<(Arc<Replica>, Option<AppId>)> {
        let (store, clock) = (Arc::clone(store), Arc::clone(clock));
        match self {
            Self::Given(given) => {
                let ensured = store.ensure_app(&given.name).await;
                let id = ensured.map_err(Error::store("read the store"))?;
                let served = ServedApp {
                    id,
                    name: given.name.clone(),
                    public_url: public_url.clone(),
                    app: Arc::clone(&given.loaded.app),
                };
                let replica = Replica::start(store, clock, vec![served]).await;
                Ok((replica.map_err(super::unreadable_store)?, Some(id)))
            }
            Self::Deployed(maker) => {
                let (maker, base) = (Arc::<Maker>::clone(maker), public_url.clone());
                let replica = Replica::start_deployed(store, clock, maker, base).await;
                Ok((replica.map_err(super::unreadable_store)?, None))
            }
        }
    }

    /// Where deployments go; `folder` makes what writes the folder of the one that was given.
    pub(super) fn deployments(
        &self,
        is_shared: bool,
        folder: impl FnOnce(PathBuf) -> Option<Arc<dyn AppFolder>>,
    ) -> Deployments {
        let given = match self {
            Self::Given(given) => given,
            Self::Deployed(maker) => {
                return Deployments::Store(Deployable {
                    maker: Arc::<Maker>::clone(maker),
                    parse_name: config::check_app_name,
                    parse_url: config::parse_public_url,
                });
            }
        };
        match &given.source.place {
            _ if is_shared => Deployments::Nowhere(
                "The app is served from a folder of this replica, which others do not have: serve \
                 without a folder, as in keyward serve --data-dir DIR, to deploy apps to the database.",
            ),
            Place::Folder(dir) => match folder(dir.clone()) {
                Some(folder) => Deployments::Folder(folder),
                None => Deployments::Nowhere(NO_FOLDER),
            },
            Place::McpJson(_) => Deployments::Nowhere(NO_FOLDER),
        }
    }

    /// Tells whoever started the process that it is ready.
    pub(super) fn tell_ready(
        &self,
        ready: &Ready,
        arguments: &ServeArguments,
        made_master_key: bool,
        program: &str,
    ) -> Result<()> {
        let what = ready.app.as_deref().unwrap_or("what is deployed");
        let (listen, manage_listen) = (&ready.listen, &ready.manage_listen);
        info!(app.name = %what, "Serving {what} on {listen}, managed on {manage_listen}");
        let told = match self {
            _ if arguments.json => {
                if let Self::Given(given) = self {
                    tell_loaded(&given.loaded);
                }
                output::print_json_line(ready)
            }
            Self::Given(given) => output::print(&ready.text(
                &given.source.place,
                &given.loaded,
                made_master_key,
                program,
            )),
            Self::Deployed(_) => output::print(&ready.text_deployed(made_master_key, program)),
        };
        // Whoever started this may read no more than the log.
        told.or_else(|error| if error.is_broken_pipe() { Ok(()) } else { Err(error) })
    }
}

/// The name of the one app of a place.
pub(super) fn app_name(place: &Place, config: &Config) -> Result<String> {
    config.app_name.clone().map_or_else(|| place.app_name(), Ok)
}

fn tell_loaded(loaded: &Loaded) {
    for line in &loaded.left_out {
        warn!("Left out: {line}");
    }
    for server in loaded.app.servers() {
        if let Some(other) = server.other_name().map(output::shown) {
            info!("The server `{other}` of mcp.json is served as {}", server.name());
        }
    }
}

fn watch(place: &Place) -> Option<Watch> {
    // One that is not there is told of when it is read.
    if !place.path().exists() {
        return None;
    }
    let path = place.path().display();
    Watch::new(place)
        .inspect_err(|error| {
            warn!("Cannot notice changes of {path}: {error}. SIGHUP reads it again");
        })
        .ok()
}
