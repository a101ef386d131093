use std::borrow::Cow;
use std::sync::Arc;

use app::{App, LeftOutServer, Server, Transport, Upstream};
use keys::permission::{Issuer, Reader};
use keys::{AppId, Authorized, Scope, Scopes, Slot, Terms, Timestamp};
use store::{AppState, Issue, Knowledge, ListedTool, Subject};
use url::Url;

use super::{Expiry, IssuedKey};
use crate::error::{Error, Quoted, Result};
use crate::{Manage, limits};

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
    knowledge: Vec<Option<Knowledge>>,
    pub(crate) issued: Option<IssuedKey>,
}

/// A server as it is listed.
#[derive(Debug)]
pub(crate) struct ListedServer<'a> {
    pub(crate) server: &'a Server,
    pub(crate) url: &'a str,
    pub(crate) tools: Vec<Tool<'a>>,
    pub(crate) upstream: Option<UpstreamStatus<'a>>,
}

/// A tool that a server offers.
#[derive(Debug)]
pub(crate) struct Tool<'a> {
    pub(crate) name: &'a str,
    pub(crate) description: Option<&'a str>,
}

/// How it stands with the MCP server behind one of ours.
#[derive(Debug)]
pub(crate) struct UpstreamStatus<'a> {
    /// The name that mcp.json has for it, where that is another.
    pub(crate) name: Option<&'a str>,
    pub(crate) transport: &'static str,
    pub(crate) state: &'static str,
    pub(crate) message: Option<Cow<'a, str>>,
    pub(crate) checked_at: Option<Timestamp>,
    pub(crate) unreachable_since: Option<Timestamp>,
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
        let url = url_of(&app.public_url, &app.app, server);
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
        let servers: Vec<&Server> = listed(&app.app, only.as_deref()).collect();
        let urls = servers.iter().map(|server| url_of(&app.public_url, &app.app, server)).collect();
        let issued = self.issue_if_meant(purpose, app, wanted).await?;
        let knowledge = self.knowledge(app.id, &servers).await;
        Ok(ServerList { app: Arc::clone(app), only, urls, knowledge, issued })
    }

    /// What is known of the upstreams among these servers, none for the others. Asks for what is not
    /// known, and does not wait long for it.
    async fn knowledge(&self, app: AppId, servers: &[&Server]) -> Vec<Option<Knowledge>> {
        let catalog = self.replica.catalog();
        let subjects = servers.iter().map(|server| Subject::of(app, server));
        let subjects: Vec<Option<Subject>> = subjects.collect();
        let upstreams: Vec<Subject> = subjects.iter().flatten().cloned().collect();
        catalog.want(&upstreams, limits::TOOLS_AGE);
        catalog.settled(&upstreams, limits::UPSTREAM_WAIT).await;
        subjects.iter().map(|subject| Some(catalog.knowledge(subject.as_ref()?))).collect()
    }

    /// Checks what is wanted of a key in any case, so that a mistake shows before it matters.
    async fn issue_if_meant(
        &self,
        purpose: &Purpose,
        app: &AppState,
        wanted: Wanted,
    ) -> Result<Option<IssuedKey>> {
        if let Some(scopes) = &wanted.scopes {
            self.check_scopes(app, scopes).await?;
        }
        let not_after = wanted.expiry.not_after(self.clock.now(), &self.settings)?;
        let Purpose::Issue(by) = purpose else { return Ok(None) };
        let terms = Terms { not_after, scopes: wanted.scopes };
        let issue = Issue { slot: wanted.slot, terms, label: wanted.label };
        self.issue(by, issue).await.map(Some)
    }

    /// Refuses a scope that opens nothing. A server that is disabled is a target all the same: its
    /// keys wait for it. So is a tool of an upstream whose tools are not known.
    async fn check_scopes(&self, app: &AppState, scopes: &Scopes) -> Result<()> {
        let mut doubted = Vec::new();
        for scope in scopes {
            let server = by_name(&app.app, scope.server());
            let server = server.ok_or_else(|| no_server(&app.app, scope))?;
            let Some(tool) = scope.tool() else { continue };
            match Subject::of(app.id, server) {
                None if server.tool(tool).is_some() => {}
                None => {
                    let tools: Vec<&str> = server.tools().iter().map(|tool| tool.name()).collect();
                    return Err(no_tool(scope, server, &tools.join(", ")));
                }
                Some(subject) if subject.upstream.allows_tool(tool) => {
                    doubted.push((scope, subject));
                }
                Some(subject) => return Err(not_allowed(scope, server, &subject.upstream)),
            }
        }
        doubted.retain(|(scope, subject)| self.lacks(scope, subject).is_some());
        let subjects: Vec<Subject> = doubted.iter().map(|(_, subject)| subject.clone()).collect();
        let catalog = self.replica.catalog();
        catalog.want(&subjects, limits::REFUSING_TOOLS_AGE);
        catalog.settled(&subjects, limits::UPSTREAM_WAIT).await;
        let lacked = doubted.iter().find_map(|(scope, subject)| {
            let tools = self.lacks(scope, subject)?;
            let server = by_name(&app.app, scope.server())?;
            let allowed = tools.iter().map(|tool| tool.name.as_str());
            let allowed = allowed.filter(|name| subject.upstream.allows_tool(name));
            Some(no_tool(scope, server, &listing(allowed)))
        });
        lacked.map_or(Ok(()), Err)
    }

    /// The tools of an upstream that is known not to have the one that the scope names. What an
    /// upstream had before it failed says nothing of what it has now.
    fn lacks(&self, scope: &Scope, subject: &Subject) -> Option<Arc<[ListedTool]>> {
        let known = self.replica.catalog().knowledge(subject);
        let tools = known.tools.filter(|_| known.failure.is_none())?;
        let has = tools.iter().any(|tool| Some(tool.name.as_str()) == scope.tool());
        (!has).then_some(tools)
    }
}

impl ServerList {
    /// The servers of mcp.json that are not served; none where one server was asked for.
    pub(crate) fn left_out(&self) -> &[LeftOutServer] {
        if self.only.is_none() { self.app.app.left_out_servers() } else { &[] }
    }

    /// The servers, sorted by name.
    pub(crate) fn servers(&self) -> impl Iterator<Item = ListedServer<'_>> {
        let urls = self.urls.iter().map(String::as_str);
        let servers = listed(&self.app.app, self.only.as_deref()).zip(urls).zip(&self.knowledge);
        servers.map(|((server, url), known)| {
            let upstream = server.upstream().zip(known.as_ref());
            ListedServer {
                server,
                url,
                tools: match upstream {
                    Some((upstream, known)) => known_tools(upstream, known).collect(),
                    None => server.tools().iter().map(|tool| Tool::of_workflow(tool)).collect(),
                },
                upstream: upstream.map(|(upstream, known)| {
                    UpstreamStatus::of(server.other_name(), upstream, known)
                }),
            }
        })
    }
}

impl<'a> Tool<'a> {
    /// The public documents show nothing but the name.
    fn of_workflow(tool: &'a app::Tool) -> Self {
        Self { name: tool.name(), description: None }
    }
}

fn known_tools<'a>(upstream: &'a Upstream, known: &'a Knowledge) -> impl Iterator<Item = Tool<'a>> {
    let allowed = known.tools.iter().flat_map(|tools| tools.iter());
    let allowed = allowed.filter(|tool| upstream.allows_tool(&tool.name));
    allowed.map(|tool| Tool { name: &tool.name, description: tool.description.as_deref() })
}

impl<'a> UpstreamStatus<'a> {
    fn of(name: Option<&'a str>, upstream: &Upstream, known: &'a Knowledge) -> Self {
        let (state, message) = match (&known.failure, &known.tools) {
            (Some(failure), _) => ("unreachable", Some(Cow::Borrowed(failure.why.as_str()))),
            (None, Some(tools)) => ("known", missing(upstream, tools).map(Cow::Owned)),
            (None, None) if known.is_asked => ("pending", None),
            (None, None) => ("notAsked", None),
        };
        Self {
            name,
            transport: match upstream.transport() {
                Transport::Http(_) => "http",
                Transport::Stdio(_) => "stdio",
            },
            state,
            message,
            checked_at: known.checked_at,
            unreachable_since: known.failure.as_ref().map(|failure| failure.since),
        }
    }
}

/// What is to be said of tools that are allowed and are not there.
fn missing(upstream: &Upstream, tools: &[ListedTool]) -> Option<String> {
    let allowed = upstream.allowed_tools()?.iter().map(String::as_str);
    let missing = allowed.filter(|name| tools.iter().all(|tool| tool.name != *name));
    let missing: Vec<&str> = missing.collect();
    let names = (!missing.is_empty()).then(|| listing(missing.into_iter()))?;
    Some(format!("mcpservers.json allows tools that this server does not have: {names}"))
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
        hint: hint(app, name),
    })
}

/// Finds a server by its name, without regard to case, or by the one that mcp.json has for it.
fn by_name<'a>(app: &'a App, name: &str) -> Option<&'a Server> {
    let served = all(app).find(|server| server.name().eq_ignore_ascii_case(name));
    served.or_else(|| all(app).find(|server| server.other_name() == Some(name)))
}

/// What to say to whoever names a server that is not there, as a sentence after others.
fn hint(app: &App, name: &str) -> String {
    let is_it = |one: &&LeftOutServer| one.name.eq_ignore_ascii_case(name) || one.written == name;
    match (app.left_out_servers().iter().find(is_it), app.closest_server(name)) {
        (Some(one), _) => format!(" mcp.json has it, and it is left out: {}.", one.why),
        (None, Some(close)) => format!(" Did you mean {close}?"),
        (None, None) => String::new(),
    }
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

fn no_server(app: &App, scope: &Scope) -> Error {
    let given = Quoted(scope.as_str());
    let servers = all(app).map(Server::name).collect::<Vec<_>>().join(", ");
    let hint = hint(app, scope.server());
    Error::InvalidScope(format!(
        "The scope {given} names no server: expected one of {servers}.{hint}"
    ))
}

fn no_tool(scope: &Scope, server: &Server, tools: &str) -> Error {
    let (given, server) = (Quoted(scope.as_str()), server.name());
    Error::InvalidScope(if tools.is_empty() {
        format!("The scope {given} names no tool of {server}, which has none.")
    } else {
        format!("The scope {given} names no tool of {server}, whose tools are {tools}.")
    })
}

fn not_allowed(scope: &Scope, server: &Server, upstream: &Upstream) -> Error {
    let (given, server) = (Quoted(scope.as_str()), server.name());
    let allowed = listing(upstream.allowed_tools().into_iter().flatten().map(String::as_str));
    Error::InvalidScope(format!(
        "The scope {given} names a tool that mcpservers.json does not allow of {server}: it allows \
         {allowed}."
    ))
}

/// Names for a message: those of an upstream are text of others, and may be thousands.
fn listing<'a>(mut names: impl Iterator<Item = &'a str>) -> String {
    let named = names.by_ref().take(limits::NAMED_TOOLS).map(|name| Quoted(name).to_string());
    let mut named: Vec<String> = named.collect();
    let more = names.count();
    if more > 0 {
        named.push(format!("and {more} more"));
    }
    named.join(", ")
}

/// Where a server of an app is that is reached at this URL.
pub(crate) fn url_of(public_url: &Url, app: &App, server: &Server) -> String {
    let mut url = public_url.as_str().trim_end_matches('/').to_owned();
    let prefix = app.route_prefix();
    let named = (server.name() != DEFAULT).then_some(["mcpservers", server.name()]);
    let path = [prefix].into_iter().chain(named.into_iter().flatten()).chain(["mcp"]);
    for segment in path.filter(|segment| !segment.is_empty()) {
        url.push('/');
        url.push_str(segment);
    }
    url
}
