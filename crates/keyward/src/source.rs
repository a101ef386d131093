//! An app folder, or one mcp.json, as an app: what is read, what may be served, what changed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use app::{App, Files, Server, Surroundings};

use crate::config::{DataPlane, Environment, InputSource};
use crate::error::{Error, Result};
use crate::place::Place;
use crate::{folder, output, secret_file};

/// Where an app comes from.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// Where it lies.
    pub(crate) place: Place,
    /// What holds values for workflows and for mcp.json.
    pub(crate) environment: Arc<Environment>,
    /// Whether a client can come from beyond this machine, and may not come without a key.
    pub(crate) needs_credential: bool,
}

/// An app and the files that it was made from.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    pub(crate) app: Arc<App>,
    pub(crate) files: Files,
    /// What the files hold and the app does not offer, a line each.
    pub(crate) left_out: Vec<String>,
}

impl Source {
    pub(crate) fn new(place: &Place, environment: &Environment, data_plane: &DataPlane) -> Self {
        let needs_credential = data_plane.is_exposed() && !data_plane.allow_anonymous_off_loopback;
        let environment = Arc::new(environment.clone());
        Self { place: place.clone(), environment, needs_credential }
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`Error::App`] with all that does not hold; [`Error::Unfit`] for an app that would let
    /// everyone in from beyond this machine.
    pub(crate) async fn load(&self) -> Result<Loaded> {
        let this = self.clone();
        let task = tokio::task::spawn_blocking(move || this.load_now());
        task.await.map_err(|error| Error::Failed(format!("cannot read the app: {error}")))?
    }

    fn load_now(&self) -> Result<Loaded> {
        let folder = self.place.read()?;
        let app = self.make(&folder.files)?;
        let unreadable = folder.unreadable_names.iter().map(|name| folder::unreadable(name));
        let left_out = app.left_out().iter().map(ToString::to_string);
        let left_out = left_out.chain(unreadable).chain(self.place.unread_allow_list()).collect();
        Ok(Loaded { app: Arc::new(app), files: folder.files, left_out })
    }

    /// Makes an app of files as they lie there, or shall.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub(crate) fn make(&self, files: &Files) -> Result<App> {
        let app = App::from_files_in(files, &self.surroundings())
            .map_err(|problems| self.place.unfit(files, problems))?;
        if self.needs_credential && app.authentication().accepts_everyone() {
            return Err(Error::Unfit(format!(
                "{}: the authentication type is Anonymous, and the app can be reached from beyond \
                 this machine: set it to ApiKey, listen on 127.0.0.1, or say \
                 --allow-anonymous-off-loopback to let everyone in",
                self.place.host_json().display()
            )));
        }
        Ok(app)
    }

    /// Gathers what mcp.json and workflows may name. Files with inputs are read each time: what is
    /// in them may be renewed.
    pub(crate) fn surroundings(&self) -> Surroundings {
        Surroundings {
            settings: self.environment.app_settings(),
            variables: self.environment.variables(),
            inputs: inputs(&self.environment, |_| true),
            folder: self.place.folder().and_then(text),
            home: home(&self.environment),
            allowed: None,
        }
    }
}

/// Reads the inputs of mcp.json that are wanted, by the ends of their variables' names.
pub(crate) fn inputs(
    environment: &Environment,
    is_wanted: impl Fn(&str) -> bool,
) -> BTreeMap<String, Result<String, String>> {
    let inputs = environment.inputs().into_iter().filter(|(key, _)| is_wanted(key));
    let inputs = inputs.map(|(key, source)| {
        let value = match source {
            Ok(InputSource::Value(value)) => Ok(value.to_owned()),
            Ok(InputSource::File(path)) => secret_file::read_input(path),
            Err(why) => Err(why),
        };
        (key, value)
    });
    inputs.collect()
}

/// The user's home folder, where it is one.
pub(crate) fn home(environment: &Environment) -> Option<String> {
    environment.path("HOME").filter(|home| home.is_absolute()).and_then(text)
}

fn text(path: PathBuf) -> Option<String> {
    path.into_os_string().into_string().ok()
}

impl Loaded {
    /// Says what `newer` has, lacks or has otherwise, a line each.
    pub(crate) fn changes(&self, newer: &Self) -> Vec<String> {
        let (old, new) = (&self.app, &newer.app);
        let mut changes = Vec::new();
        if old.authentication() != new.authentication() {
            changes.push(format!("authentication is now {:?}", new.authentication()));
        }
        if old.mcp_enabled() != new.mcp_enabled() {
            let state = if new.mcp_enabled() { "on" } else { "off" };
            changes.push(format!("the MCP endpoints are now {state}"));
        }
        if old.route_prefix() != new.route_prefix() {
            changes.push(format!("the route prefix is now '{}'", new.route_prefix()));
        }
        for server in all(new) {
            match find(old, server.name()) {
                None => {
                    changes.push(format!("server {} added{}", server.name(), otherwise(server)));
                }
                Some(before) => changes.extend(tool_changes(before, server)),
            }
        }
        let gone = all(old).filter(|server| find(new, server.name()).is_none());
        changes.extend(gone.map(|server| format!("server {} removed", server.name())));
        changes.extend(self.file_changes(newer));
        let fresh = newer.left_out.iter().filter(|line| !self.left_out.contains(line));
        changes.extend(fresh.map(|line| format!("left out: {line}")));
        changes
    }

    fn file_changes(&self, newer: &Self) -> Option<String> {
        let changed =
            newer.files.iter().filter(|(path, bytes)| self.files.get(path) != Some(bytes));
        let gone = self.files.iter().filter(|(path, _)| newer.files.get(path).is_none());
        let paths: Vec<&str> = changed.chain(gone).map(|(path, _)| path).collect();
        (!paths.is_empty()).then(|| format!("files: {}", paths.join(", ")))
    }
}

fn tool_changes(old: &Server, new: &Server) -> Vec<String> {
    let name = new.name();
    let mut changes = Vec::new();
    if old.is_enabled() != new.is_enabled() {
        let state = if new.is_enabled() { "enabled" } else { "disabled" };
        changes.push(format!("server {name} {state}"));
    }
    let added = new.tools().iter().filter(|tool| old.tool(tool.name()).is_none());
    changes.extend(added.map(|tool| format!("tool {} added to {name}", tool.name())));
    changes.extend(upstream_changes(old, new));
    let removed = old.tools().iter().filter(|tool| new.tool(tool.name()).is_none());
    changes.extend(removed.map(|tool| format!("tool {} removed from {name}", tool.name())));
    changes
}

/// Says that another upstream stands behind a server, and nothing of what it is: any part may be a
/// secret.
fn upstream_changes(old: &Server, new: &Server) -> Option<String> {
    let name = new.name();
    match (old.upstream(), new.upstream()) {
        (None, None) => None,
        (Some(old), Some(new)) if old == new => None,
        (Some(old), Some(new)) if old.transport() == new.transport() => {
            Some(format!("other tools of server {name} may be called"))
        }
        _ => Some(format!("server {name} leads elsewhere")),
    }
}

/// The name that mcp.json has for the server, where that is another.
fn otherwise(server: &Server) -> String {
    let other = server.other_name().map(output::shown);
    other.map(|other| format!(" (`{other}` in mcp.json)")).unwrap_or_default()
}

fn all(app: &App) -> impl Iterator<Item = &Server> {
    app.servers().iter().chain([app.default_server()])
}

fn find<'a>(app: &'a App, name: &str) -> Option<&'a Server> {
    all(app).find(|server| server.name() == name)
}
