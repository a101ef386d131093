//! An app, made from its files.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::authentication::{Authentication, ResourceMetadata};
use crate::files::{self, Files};
use crate::host::{self, HostFile};
use crate::json::{Document, Faults, at_file};
use crate::limits;
use crate::names;
use crate::parameters;
use crate::problem::{LeftOut, LeftOutServer, Problem};
use crate::reader::Node;
use crate::servers::{self, Server};
use crate::settings::{self, Settings};
use crate::surroundings::Surroundings;
use crate::upstreams::{self, Entries, Upstream};
use crate::workflows::{self, WorkflowEntry};

/// What a Logic Apps Standard project offers, as one immutable value.
///
/// Two apps are equal if their files say the same: white space and the order of members apart.
#[derive(Clone)]
pub struct App {
    host: HostFile,
    host_json: Value,
    mcpservers_json: Option<Value>,
    parameters: Map<String, Value>,
    settings: BTreeMap<String, String>,
    workflows: BTreeMap<String, WorkflowEntry>,
    servers: Vec<Server>,
    default_server: Server,
    left_out: Vec<LeftOut>,
    left_out_servers: Vec<LeftOutServer>,
    not_allowed: Vec<String>,
}

impl App {
    /// Makes an app from its files alone.
    ///
    /// Errors: every problem of every file.
    pub fn from_files(files: &Files) -> Result<Self, Vec<Problem>> {
        Self::from_files_in(files, &Surroundings::default())
    }

    /// Makes an app from its files, and from values of the process and places of the machine.
    ///
    /// Errors: every problem of every file, sorted by file and place.
    pub fn from_files_in(files: &Files, around: &Surroundings) -> Result<Self, Vec<Problem>> {
        if files.byte_count() > limits::APP_BYTES {
            let (is, most) = (files.byte_count(), limits::APP_BYTES);
            let message = format!("the app's files have {is} bytes; expected at most {most}");
            return Err(vec![at_file(".", message)]);
        }
        let mut reading = Reading { files, problems: Vec::new() };
        let app = reading.app(around);
        match app {
            Some(app) if reading.problems.is_empty() => Ok(app),
            _ => {
                // Stable: within one file they stand in the order of their places already.
                reading.problems.sort_by(|one, other| one.file.cmp(&other.file));
                Err(reading.problems)
            }
        }
    }

    /// Gives what stands before `/mcp` and `/mcpservers` in every path, without slashes around;
    /// `api` unless host.json says otherwise, and possibly empty.
    pub fn route_prefix(&self) -> &str {
        &self.host.route_prefix
    }

    /// Says whether host.json turns the MCP endpoints on (`McpServerEndpoints.enable`); off if it
    /// says nothing.
    pub fn mcp_enabled(&self) -> bool {
        self.host.mcp_enabled
    }

    /// Gives who is let in.
    pub fn authentication(&self) -> Authentication {
        self.host.authentication
    }

    /// Gives what the app says of itself as an OAuth 2.0 resource.
    pub fn resource_metadata(&self) -> Option<&ResourceMetadata> {
        self.host.resource_metadata.as_ref()
    }

    /// Gives every workflow by its name, tools or not.
    pub fn workflows(&self) -> &BTreeMap<String, WorkflowEntry> {
        &self.workflows
    }

    /// Gives the named servers, sorted by name without regard to case.
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// Gives the server of `/api/mcp`, named `default`: every tool of the app.
    pub fn default_server(&self) -> &Server {
        &self.default_server
    }

    /// Finds a named server, without regard to case; never the default one, which has another
    /// path.
    pub fn server(&self, name: &str) -> Option<&Server> {
        self.servers.iter().find(|server| server.name().eq_ignore_ascii_case(name))
    }

    /// Says whether a scope has a target: the server (`default` for `/api/mcp`, case apart), and
    /// the tool of exactly that name where one is given. Which tools an upstream has is not known
    /// here: every one that may be called counts.
    pub fn offers(&self, server: &str, tool: Option<&str>) -> bool {
        let server = if server.eq_ignore_ascii_case(servers::DEFAULT) {
            Some(&self.default_server)
        } else {
            self.server(server)
        };
        server.is_some_and(|server| tool.is_none_or(|tool| server.offers(tool)))
    }

    /// Gives what the files say and the app does not offer, each with the reason.
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// Gives the servers of mcp.json that are not served, in the order of the file. Each is among
    /// [`Self::left_out`] too.
    pub fn left_out_servers(&self) -> &[LeftOutServer] {
        &self.left_out_servers
    }

    /// Gives what [`Surroundings::allowed`] keeps servers of mcp.json from, a line each that names the
    /// server and what to do. Each server is among [`Self::left_out_servers`] too.
    pub fn not_allowed(&self) -> &[String] {
        &self.not_allowed
    }

    /// Gives the name of the server that a name which is none's was probably meant for.
    pub fn closest_server(&self, given: &str) -> Option<&str> {
        let all = self.servers.iter().chain([&self.default_server]);
        let distance = |server: &Server| {
            let names = [Some(server.name()), server.other_name()];
            names.into_iter().flatten().filter_map(|name| names::distance(given, name)).min()
        };
        let close = all.filter_map(|server| Some((distance(server)?, server)));
        close.min_by_key(|(distance, _)| *distance).map(|(_, server)| server.name())
    }

    /// Gives host.json.
    pub fn host_json(&self) -> &Value {
        &self.host_json
    }

    /// Gives mcpservers.json, if there is one.
    pub fn mcpservers_json(&self) -> Option<&Value> {
        self.mcpservers_json.as_ref()
    }

    /// Says whether somebody is let in here whom `previous` refused, which where its MCP endpoints are off
    /// is everybody.
    pub fn widens_authentication_over(&self, previous: &Self) -> bool {
        self.mcp_enabled()
            && (!previous.mcp_enabled() || self.authentication().widens(previous.authentication()))
    }

    fn documents(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.workflows.iter().map(|(name, entry)| (name, &entry.document))
    }

    /// Gives what mcp.json says, once values are put in. What mcpservers.json adds is compared as
    /// it is written.
    fn upstreams(&self) -> impl Iterator<Item = (&str, Option<&str>, bool, &Arc<Upstream>)> {
        self.servers.iter().filter_map(|server| {
            let names = (server.name(), server.other_name());
            Some((names.0, names.1, server.is_enabled(), server.upstream()?))
        })
    }
}

impl PartialEq for App {
    fn eq(&self, other: &Self) -> bool {
        self.host_json == other.host_json
            && self.mcpservers_json == other.mcpservers_json
            && self.upstreams().eq(other.upstreams())
            && self.parameters == other.parameters
            && self.settings == other.settings
            && self.documents().eq(other.documents())
    }
}

/// Shows what clients may see: settings and parameters may be secrets.
impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("route_prefix", &self.host.route_prefix)
            .field("mcp_enabled", &self.host.mcp_enabled)
            .field("authentication", &self.host.authentication)
            .field("servers", &self.servers)
            .field("workflows", &self.workflows)
            .field("left_out", &self.left_out)
            .finish_non_exhaustive()
    }
}

struct Reading<'f> {
    files: &'f Files,
    problems: Vec<Problem>,
}

impl<'f> Reading<'f> {
    fn app(&mut self, around: &Surroundings) -> Option<App> {
        let settings = self.settings(&around.settings);
        let parameters =
            self.read(files::PARAMETERS, |root, faults| parameters::read(root, &settings, faults));
        let (_, parameters) = parameters.unwrap_or_default();
        let host = self.read(files::HOST, host::read);
        if self.files.get(files::HOST).is_none() {
            let message = "is missing; expected the host.json of a Logic Apps Standard project";
            self.problems.push(at_file(files::HOST, message));
        }
        let workflows = workflows::read(self.files, &parameters, &settings, &mut self.problems);
        let upstreams = self
            .read(files::UPSTREAMS, |root, faults| upstreams::read(root, around, faults))
            .map(|(_, entries)| entries);
        let upstreams = upstreams.unwrap_or_else(|| Entries {
            unread: self.files.get(files::UPSTREAMS).is_some(),
            ..Entries::default()
        });
        let servers = self.read(files::SERVERS, |root, faults| {
            servers::read(root, &workflows, &upstreams, faults)
        });
        self.read(files::CONNECTIONS, |root, faults| {
            root.object(faults, "an object");
        });
        let (host_json, host) = host?;
        let (mcpservers_json, servers) = servers.unzip();
        let (servers, unoffered) = servers.unwrap_or_default();
        let servers = servers::with_upstreams(servers, &upstreams);
        let mut left_out = host.left_out.clone();
        let left_out_servers = upstreams.left_out_servers().collect();
        left_out.extend(upstreams.left_out);
        left_out.extend(workflows.notes(&settings));
        left_out.extend(unoffered);
        Some(App {
            host,
            host_json,
            mcpservers_json,
            parameters,
            settings: settings.values,
            default_server: Server::all(&workflows),
            workflows: workflows.by_name,
            servers,
            left_out,
            left_out_servers,
            not_allowed: upstreams.not_allowed,
        })
    }

    fn settings(&mut self, environment: &BTreeMap<String, String>) -> Settings {
        let (_, mut settings) = self.read(files::SETTINGS, settings::read).unwrap_or_default();
        self.problems.extend(settings.add_environment(environment));
        settings.incomplete = !self.problems.is_empty();
        settings
    }

    /// Reads one file, if it is there and JSON.
    fn read<T>(
        &mut self,
        file: &'f str,
        read: impl FnOnce(&Node<'_>, &mut Faults) -> T,
    ) -> Option<(Value, T)> {
        let bytes = self.files.get(file)?;
        match Document::parse(file, bytes) {
            Ok(document) => {
                let mut faults = Faults::default();
                let read = read(&Node::root(&document.value), &mut faults);
                self.problems.extend(document.problems(faults));
                Some((document.value, read))
            }
            Err(problems) => {
                self.problems.extend(problems);
                None
            }
        }
    }
}
