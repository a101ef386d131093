use std::sync::Arc;

use app::{App, Server};
use keys::permission::{Issuer, Reader};
use keys::{Authorized, Scopes, Slot, Terms};
use store::{AppState, Issue};

use super::{Expiry, IssuedKey};
use crate::Manage;
use crate::error::{Error, Quoted, Result};

/// The name of the server of all tools.
const DEFAULT: &str = "default";

/// What a caller asks for, and may: only to see where the servers are, or an API key for them too.
#[derive(Debug)]
pub(crate) enum Purpose {
    Look(#[expect(dead_code, reason = "nobody sees a server without it")] Authorized<Reader>),
    Issue(Authorized<Issuer>),
}

/// What is wanted of a server's URL and of an API key for it. The default is what a request without
/// a body asks for.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) slot: Slot,
    pub(crate) expiry: Expiry,
    pub(crate) server: Option<String>,
    pub(crate) scopes: Option<Scopes>,
    pub(crate) label: Option<String>,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            slot: Slot::Primary,
            expiry: Expiry::Default,
            server: None,
            scopes: None,
            label: None,
        }
    }
}

/// Where a server is, and how to get in.
#[derive(Debug)]
pub(crate) struct ServerUrl {
    pub(crate) url: String,
    pub(crate) issued: Option<IssuedKey>,
}

/// Where an app's servers are, and how to get in.
#[derive(Debug)]
pub(crate) struct ServerList {
    app: Arc<AppState>,
    /// The only server that was asked for; all named ones if none.
    only: Option<String>,
    urls: Vec<String>,
    pub(crate) issued: Option<IssuedKey>,
}

impl Manage {
    /// Where the server is that is wanted, the only named one, or else the one of all tools; with
    /// an API key if that is the purpose. What cannot be given as a whole issues nothing.
    pub(crate) async fn server_url(
        &self,
        purpose: &Purpose,
        app: &AppState,
        wanted: Wanted,
    ) -> Result<ServerUrl> {
        check_open(purpose, &app.app)?;
        let server = match (&wanted.server, app.app.servers()) {
            (Some(name), _) => find(&app.app, name)?,
            (None, [only]) => only,
            (None, _) => app.app.default_server(),
        };
        let url = url_of(app, server);
        Ok(ServerUrl { url, issued: self.issue_if_meant(purpose, app, wanted).await? })
    }

    /// All named servers, or the one that is wanted; with one API key if that is the purpose.
    pub(crate) async fn servers(
        &self,
        purpose: &Purpose,
        app: &Arc<AppState>,
        wanted: Wanted,
    ) -> Result<ServerList> {
        check_open(purpose, &app.app)?;
        let only = wanted.server.clone();
        if let Some(name) = &only {
            find(&app.app, name)?;
        }
        let urls = listed(&app.app, only.as_deref()).map(|server| url_of(app, server)).collect();
        let issued = self.issue_if_meant(purpose, app, wanted).await?;
        Ok(ServerList { app: Arc::clone(app), only, urls, issued })
    }

    /// Checks what is wanted of a key in any case, so that a mistake shows before it matters.
    async fn issue_if_meant(
        &self,
        purpose: &Purpose,
        app: &AppState,
        wanted: Wanted,
    ) -> Result<Option<IssuedKey>> {
        if let Some(scopes) = &wanted.scopes {
            check_scopes(&app.app, scopes)?;
        }
        let not_after = wanted.expiry.not_after(self.clock.now(), &self.settings)?;
        let Purpose::Issue(by) = purpose else { return Ok(None) };
        let terms = Terms { not_after, scopes: wanted.scopes };
        let issue = Issue { slot: wanted.slot, terms, label: wanted.label };
        self.issue(by, issue).await.map(Some)
    }
}

impl ServerList {
    /// The servers with their URLs, sorted by name.
    pub(crate) fn servers(&self) -> impl Iterator<Item = (&Server, &str)> {
        listed(&self.app.app, self.only.as_deref()).zip(self.urls.iter().map(String::as_str))
    }
}

fn check_open(purpose: &Purpose, app: &App) -> Result<()> {
    if !app.mcp_enabled() {
        return Err(Error::McpServerNotEnabled);
    }
    match purpose {
        Purpose::Issue(_) if !app.authentication().accepts_api_keys() => {
            Err(Error::McpServerApiKeyNotEnabled)
        }
        Purpose::Issue(_) | Purpose::Look(_) => Ok(()),
    }
}

fn find<'a>(app: &'a App, name: &str) -> Result<&'a Server> {
    by_name(app, name).ok_or_else(|| Error::McpServerNotFound {
        given: name.to_owned(),
        names: all(app).map(|server| server.name().to_owned()).collect(),
    })
}

fn by_name<'a>(app: &'a App, name: &str) -> Option<&'a Server> {
    all(app).find(|server| server.name().eq_ignore_ascii_case(name))
}

fn all(app: &App) -> impl Iterator<Item = &Server> {
    app.servers().iter().chain([app.default_server()])
}

/// The named servers; the one of all tools stands in no file and is listed only if asked for.
fn listed<'a>(app: &'a App, only: Option<&str>) -> impl Iterator<Item = &'a Server> {
    let (named, asked) = match only {
        None => (app.servers(), None),
        Some(name) => (Default::default(), by_name(app, name)),
    };
    named.iter().chain(asked)
}

/// A server that is disabled is a target all the same: its keys wait for it.
fn check_scopes(app: &App, scopes: &Scopes) -> Result<()> {
    let Some(scope) = scopes.iter().find(|scope| !app.offers(scope.server(), scope.tool())) else {
        return Ok(());
    };
    let given = Quoted(scope.as_str());
    let names = |names: Vec<&str>| names.join(", ");
    Err(Error::InvalidScope(match by_name(app, scope.server()) {
        None => {
            let servers = names(all(app).map(Server::name).collect());
            format!("The scope {given} names no server: expected one of {servers}.")
        }
        Some(server) => {
            let tools = names(server.tools().iter().map(|tool| tool.name()).collect());
            let server = server.name();
            format!("The scope {given} names no tool of {server}, whose tools are {tools}.")
        }
    }))
}

fn url_of(app: &AppState, server: &Server) -> String {
    let mut url = app.public_url.as_str().trim_end_matches('/').to_owned();
    let prefix = app.app.route_prefix();
    let named = (server.name() != DEFAULT).then_some(["mcpservers", server.name()]);
    let path = [prefix].into_iter().chain(named.into_iter().flatten()).chain(["mcp"]);
    for segment in path.filter(|segment| !segment.is_empty()) {
        url.push('/');
        url.push_str(segment);
    }
    url
}
