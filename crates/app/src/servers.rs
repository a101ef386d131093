//! mcpservers.json: which tools each server offers, of workflows or of an upstream.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::json::Faults;
use crate::limits;
use crate::problem::LeftOut;
use crate::reader::{Node, Object};
use crate::upstreams::{Entries, Entry, Upstream};
use crate::workflows::{Tool, Workflows};

/// The name by which scopes and commands speak of `/api/mcp`.
pub(crate) const DEFAULT: &str = "default";

/// What an MCP client connects to.
#[derive(Debug, Clone)]
pub struct Server {
    name: String,
    description: Option<String>,
    other_name: Option<String>,
    enabled: bool,
    tools: Vec<Arc<Tool>>,
    upstream: Option<Arc<Upstream>>,
}

impl Server {
    /// Makes the server of `/api/mcp`: every tool of the app.
    pub(crate) fn all(workflows: &Workflows) -> Self {
        Self {
            name: DEFAULT.to_owned(),
            description: None,
            other_name: None,
            enabled: true,
            tools: workflows.tools().map(Arc::clone).collect(),
            upstream: None,
        }
    }

    /// Gives the name as written: 1 to 80 ASCII letters, digits, `-` or `_`, or `default`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Gives the name that mcp.json has for it, which may be any text, where no URL can have that.
    pub fn other_name(&self) -> Option<&str> {
        self.other_name.as_deref()
    }

    /// Gives the description, at most 1024 characters.
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// Says whether the server is served.
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Gives the workflows that are its tools, in the order of the file; all of the app, by name, for
    /// the default server; none for an upstream.
    pub fn tools(&self) -> &[Arc<Tool>] {
        &self.tools
    }

    /// Gives how it is reached if it is an MCP server that exists already.
    pub fn upstream(&self) -> Option<&Arc<Upstream>> {
        self.upstream.as_ref()
    }

    /// Finds a workflow by its exact name, as MCP compares it.
    pub fn tool(&self, name: &str) -> Option<&Arc<Tool>> {
        self.tools.iter().find(|tool| tool.name() == name)
    }

    /// Says whether a tool of exactly that name may be called, as far as the files say: which tools
    /// an upstream really has is not known here.
    pub fn offers(&self, tool: &str) -> bool {
        match &self.upstream {
            Some(upstream) => upstream.allows_tool(tool),
            None => self.tool(tool).is_some(),
        }
    }
}

/// The named servers by their names in lower case.
type Servers = BTreeMap<String, Server>;

/// Adds the servers of mcp.json that mcpservers.json says nothing of.
pub(crate) fn with_upstreams(mut servers: Servers, upstreams: &Entries) -> Vec<Server> {
    for entry in &upstreams.by_name {
        let Some(transport) = &entry.transport else { continue };
        let make = || Server {
            name: entry.name.clone(),
            description: None,
            other_name: entry.other_name(),
            enabled: entry.enabled,
            tools: Vec::new(),
            upstream: Some(Arc::new(Upstream {
                transport: transport.clone(),
                allowed_tools: None,
            })),
        };
        servers.entry(entry.name.to_ascii_lowercase()).or_insert_with(make);
    }
    servers.into_values().collect()
}

/// Reads the servers, and what they name and cannot offer.
pub(crate) fn read(
    root: &Node<'_>,
    workflows: &Workflows,
    upstreams: &Entries,
    faults: &mut Faults,
) -> (Servers, Vec<LeftOut>) {
    const SERVERS: &str = "a list of servers";
    let mut left_out = Vec::new();
    let entries = root
        .object(faults, "an object with `mcpServers`")
        .and_then(|root| root.required("mcpServers", SERVERS, faults))
        .and_then(|node| {
            let entries = node.list(faults, SERVERS)?;
            within(&node, entries, limits::SERVER_COUNT, "servers", faults)
        });
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    let mut servers = Servers::new();
    for node in entries.unwrap_or_default() {
        let Some(object) = node.object(faults, "an object with `name` and `tools`") else {
            continue;
        };
        let upstream = upstream(&object, upstreams);
        if upstream.is_none() && upstreams.unread && object.member("tools", faults).is_none() {
            // It may be one of mcp.json, and what is wrong there is told.
            continue;
        }
        let name = match upstream {
            Some(entry) => Some(entry.name.clone()),
            None => read_name(&object, faults),
        };
        let server = Server {
            name: name.clone().unwrap_or_default(),
            description: read_description(&object, faults),
            other_name: upstream.and_then(Entry::other_name),
            enabled: object
                .member("enabled", faults)
                .and_then(|node| node.boolean(faults, "true or false"))
                .unwrap_or(true),
            tools: Vec::new(),
            upstream: None,
        };
        let server = match upstream {
            Some(entry) => limited(server, entry, &object, workflows, faults),
            None => {
                let close = name.as_deref().and_then(|name| upstreams.closest(name));
                let name = name.as_deref().unwrap_or_default();
                let tools = read_tools(&object, name, close, workflows, faults, &mut left_out);
                Some(Server { tools, ..server })
            }
        };
        let Some(name) = name else { continue };
        note_others(&object, &mut left_out);
        match names.get(&name.to_ascii_lowercase()) {
            Some(first) => node.fault(
                faults,
                format!(
                    "`{name}` is the name of another server (`{first}`), case apart: rename one of \
                     them"
                ),
            ),
            None => {
                let folded = name.to_ascii_lowercase();
                servers.extend(server.map(|server| (folded.clone(), server)));
                names.insert(folded, name);
            }
        }
    }
    (servers, left_out)
}

/// Finds the server of mcp.json that an entry names.
fn upstream<'u>(entry: &Object<'_>, upstreams: &'u Entries) -> Option<&'u Entry> {
    // A fault of the name's is told where the name is read.
    let name = entry.member("name", &mut Faults::default())?;
    upstreams.find(name.value.as_str()?)
}

/// Gives the server of mcp.json with what mcpservers.json says of it; none if it is left out there.
fn limited(
    server: Server,
    entry: &Entry,
    object: &Object<'_>,
    workflows: &Workflows,
    faults: &mut Faults,
) -> Option<Server> {
    const TOOLS: &str = "a list of tools, each `{\"name\": TOOL}`";
    let allowed_tools = match object.member("tools", faults) {
        None => None,
        Some(node) => {
            let tools = node
                .list(faults, TOOLS)
                .and_then(|tools| within(&node, tools, limits::TOOL_COUNT, "tools", faults))?;
            let mut allowed = BTreeSet::new();
            for tool in tools {
                let name = tool
                    .object(faults, "an object with `name`")
                    .and_then(|tool| tool.required("name", "the name of a tool", faults))
                    .and_then(|node| node.string(faults, "the name of a tool"));
                allowed.extend(name.map(str::to_owned));
            }
            if !allowed.is_empty() && allowed.iter().all(|name| workflows.find(name).is_some()) {
                let name = &entry.name;
                let message = format!(
                    "`{name}` is the name of a server of mcp.json, and the tools listed here are \
                     workflows: rename one of the two servers"
                );
                node.fault(faults, message);
            }
            Some(allowed)
        }
    };
    let transport = entry.transport.clone()?;
    let upstream = Some(Arc::new(Upstream { transport, allowed_tools }));
    Some(Server { enabled: server.enabled && entry.enabled, upstream, ..server })
}

/// Says whether a text is a server's name (CONTRACT.md, section 2), `default` apart.
pub(crate) fn is_name(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let length = text.chars().count();
    length > 0 && length <= limits::SERVER_NAME_CHARS && text.chars().all(fits)
}

fn read_name(server: &Object<'_>, faults: &mut Faults) -> Option<String> {
    const EXPECTED: &str = "1 to 80 ASCII letters, digits, `-` or `_`";
    let node = server.required("name", EXPECTED, faults)?;
    let name = node.string(faults, EXPECTED)?;
    if !is_name(name) {
        node.fault(faults, format!("is no name of a server; expected {EXPECTED}"));
        return None;
    }
    if name.eq_ignore_ascii_case(DEFAULT) {
        let message = "`default` is the server of all tools: choose another name";
        node.fault(faults, message);
        return None;
    }
    Some(name.to_owned())
}

fn read_description(server: &Object<'_>, faults: &mut Faults) -> Option<String> {
    let node = server.member("description", faults)?;
    let description = node.string(faults, "a string")?;
    let length = description.chars().count();
    if length > limits::DESCRIPTION_CHARS {
        let most = limits::DESCRIPTION_CHARS;
        node.fault(faults, format!("has {length} characters; expected at most {most}"));
        return None;
    }
    Some(description.to_owned())
}

fn read_tools(
    server: &Object<'_>,
    server_name: &str,
    close: Option<&Entry>,
    workflows: &Workflows,
    faults: &mut Faults,
    left_out: &mut Vec<LeftOut>,
) -> Vec<Arc<Tool>> {
    const TOOLS: &str = "a list of tools, each `{\"name\": WORKFLOW}`";
    let meant = close.map(|entry| format!("did you mean `{}`?", entry.name));
    let expected = match &meant {
        Some(meant) => format!("{TOOLS}; or, for a server of mcp.json, {meant}"),
        None => TOOLS.to_owned(),
    };
    let entries = server.required("tools", &expected, faults).and_then(|node| {
        let entries = node.list(faults, TOOLS)?;
        within(&node, entries, limits::TOOL_COUNT, "tools", faults)
    });
    let (mut tools, mut unoffered) = (Vec::new(), Vec::new());
    let mut named = BTreeSet::new();
    for node in entries.unwrap_or_default() {
        let name = node
            .object(faults, "an object with `name`")
            .and_then(|tool| tool.required("name", "the name of a workflow", faults))
            .and_then(|node| node.string(faults, "the name of a workflow"));
        let Some(name) = name else { continue };
        let why = if !named.insert(name.to_ascii_lowercase()) {
            Some("the server names it twice".to_owned())
        } else {
            match workflows.find(name) {
                None => Some("no workflow has that name".to_owned()),
                Some(entry) => match entry.tool() {
                    Some(tool) => {
                        tools.push(Arc::clone(tool));
                        None
                    }
                    None => workflows.left_out.get(entry.name()).cloned(),
                },
            }
        };
        let what = format!("tool `{name}` of server `{server_name}`");
        unoffered.extend(why.map(|why| LeftOut { what, why }));
    }
    let is_none_known = named.iter().all(|name| workflows.find(name).is_none());
    match meant.filter(|_| is_none_known) {
        // An allow-list that is none would be thought to hold.
        Some(meant) => left_out.push(LeftOut {
            what: format!("mcpservers.json server `{server_name}`"),
            why: format!("has no workflow, and limits no server of mcp.json: {meant}"),
        }),
        None => left_out.extend(unoffered),
    }
    tools
}

fn within<'d>(
    node: &Node<'d>,
    entries: Vec<Node<'d>>,
    most: usize,
    what: &str,
    faults: &mut Faults,
) -> Option<Vec<Node<'d>>> {
    if entries.len() > most {
        let message = format!("has {} {what}; expected at most {most}", entries.len());
        node.fault(faults, message);
        return None;
    }
    Some(entries)
}

/// A misspelt `enabled` would leave a server open, so it is told. The portal sends `url` back.
fn note_others(server: &Object<'_>, left_out: &mut Vec<LeftOut>) {
    for pointer in server.others(&["name", "description", "tools", "enabled", "url"]) {
        left_out.push(LeftOut {
            what: format!("mcpservers.json {pointer}"),
            why: "is not read; what is read here: `name`, `description`, `tools`, `enabled`"
                .to_owned(),
        });
    }
}
