//! mcp.json: MCP servers that exist already, as editors write them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Transport;
use super::entry;
use super::http::shown_pointer;
use super::text::{Declared, Texts, shown};
use crate::files::{self, Files};
use crate::json::{Document, Faults};
use crate::limits;
use crate::names;
use crate::problem::{LeftOut, LeftOutServer, Problem};
use crate::reader::{Node, Object};
use crate::servers::{DEFAULT, is_name};
use crate::surroundings::Surroundings;

/// The servers of mcp.json.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    pub(crate) by_name: Vec<Entry>,
    pub(crate) left_out: Vec<LeftOut>,
    /// What the configuration does not allow, a line for each server.
    pub(crate) not_allowed: Vec<String>,
    /// Whether the file is there and could not be read, so that what names its servers is no fault.
    pub(crate) unread: bool,
}

/// One server of mcp.json that has a name.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The name as written.
    pub(crate) written: String,
    /// The name that it is served under.
    pub(crate) name: String,
    pub(crate) enabled: bool,
    /// How it is reached; none if it is left out.
    pub(crate) transport: Option<Transport>,
    /// Why it is left out.
    pub(crate) why: Option<String>,
}

impl Entry {
    /// Gives the name as written where that is not the one that it is served under.
    pub(crate) fn other_name(&self) -> Option<String> {
        (self.written != self.name).then(|| self.written.clone())
    }
}

impl Entries {
    /// Finds a server by the name that it is served under, without regard to case, or as written.
    pub(crate) fn find(&self, name: &str) -> Option<&Entry> {
        let served = self.by_name.iter().find(|entry| entry.name.eq_ignore_ascii_case(name));
        served.or_else(|| self.by_name.iter().find(|entry| entry.written == name))
    }

    /// Finds the server that a name which is none's was probably meant for.
    pub(crate) fn closest(&self, name: &str) -> Option<&Entry> {
        let distance = |entry: &Entry| names::distance(name, &entry.name);
        let close = self.by_name.iter().filter_map(|entry| Some((distance(entry)?, entry)));
        close.min_by_key(|(distance, _)| *distance).map(|(_, entry)| entry)
    }

    /// Gives those that are left out.
    pub(crate) fn left_out_servers(&self) -> impl Iterator<Item = LeftOutServer> {
        self.by_name.iter().filter_map(|entry| {
            let (name, written) = (entry.name.clone(), entry.written.clone());
            Some(LeftOutServer { name, written, why: entry.why.clone()? })
        })
    }
}

/// What the servers of mcp.json are called, those that are left out among them.
#[derive(Debug, Default)]
pub struct UpstreamNames {
    entries: Entries,
}

impl UpstreamNames {
    /// Reads mcp.json of an app's files; without it there are none.
    ///
    /// Errors: the file is not JSON. What else is wrong with it is told where an app is made of the files.
    pub fn of(files: &Files) -> Result<Self, Vec<Problem>> {
        let Some(bytes) = files.get(files::UPSTREAMS) else { return Ok(Self::default()) };
        let document = Document::parse(files::UPSTREAMS, bytes)?;
        // What a server lacks here, or has too much, does not change what it is called.
        let (around, mut faults) = (Surroundings::default(), Faults::default());
        let entries = read(&Node::root(&document.value), &around, &mut faults);
        Ok(Self { entries })
    }

    /// Gives the name that a server is served under which is called so: by that name, case apart, or as
    /// it is written.
    pub fn find(&self, name: &str) -> Option<&str> {
        self.entries.find(name).map(|entry| entry.name.as_str())
    }
}

/// Reads the servers, those that cannot be served among them.
pub(crate) fn read(root: &Node<'_>, around: &Surroundings, faults: &mut Faults) -> Entries {
    let mut entries = Entries::default();
    let Some(root) = root.object(faults, "an object with `servers` or `mcpServers`") else {
        entries.unread = true;
        return entries;
    };
    let declared = declared(&root);
    let Some(servers) = servers(&root, faults) else {
        entries.unread = true;
        return entries;
    };
    let mut names: BTreeMap<String, &str> = BTreeMap::new();
    for (written, node) in servers.all() {
        let Some(object) = node.object(faults, "an object with `url` or `command`") else {
            continue;
        };
        let mut texts = Texts::new(around, &declared);
        let transport = entry::read(&object, &node, &mut texts, &mut entries.left_out, faults);
        let enabled = read_enabled(&object, &mut entries.left_out, faults);
        let what = format!("mcp.json server `{}`", shown(written));
        let not_allowed = texts.not_allowed().map(|why| format!("{what}: {why}"));
        entries.not_allowed.extend(not_allowed);
        let why = texts.lacking();
        let transport = transport.filter(|_| why.is_none());
        let Some(name) = read_name(written, &node, faults) else { continue };
        if let Some(other) = names.insert(name.to_ascii_lowercase(), written) {
            let (one, other) = (shown(written), shown(other));
            let message = format!(
                "`{one}` and `{other}` would both be served as `{name}`, case apart: rename one of \
                 them"
            );
            node.fault(faults, message);
            continue;
        }
        entries.left_out.extend(why.clone().map(|why| LeftOut { what, why }));
        let written = written.to_owned();
        entries.by_name.push(Entry { written, name, enabled, transport, why });
    }
    entries
}

/// Finds the object with the servers, which VS Code calls `servers`, and others `mcpServers`.
fn servers<'d>(root: &Object<'d>, faults: &mut Faults) -> Option<Object<'d>> {
    const EXPECTED: &str = "an object with a member for each server";
    let mut find = |name: &str| {
        let node = root.member(name, faults)?;
        node.object(faults, EXPECTED).map(|object| (node, object))
    };
    let (one, other) = (find("servers"), find("mcpServers"));
    let (node, servers) = match (one, other) {
        (Some((_, one)), Some((other_node, other))) => {
            if one.members.is_empty() {
                (other_node, other)
            } else if other.members.is_empty() {
                return within(one, None, faults);
            } else {
                let message = "stands beside `servers`, and both name servers: put all into one";
                other_node.fault(faults, message);
                return None;
            }
        }
        (Some(found), None) | (None, Some(found)) => found,
        (None, None) => {
            // Where one is there and is no object, that is told already.
            if root.all().all(|(name, node)| !is_outer(name) || node.value.is_null()) {
                let message = "has no servers; expected `servers` or `mcpServers`, an object with a \
                               member for each";
                faults.push("", message);
            }
            return None;
        }
    };
    within(servers, Some(&node), faults)
}

fn is_outer(name: &str) -> bool {
    name.eq_ignore_ascii_case("servers") || name.eq_ignore_ascii_case("mcpServers")
}

fn within<'d>(
    servers: Object<'d>,
    node: Option<&Node<'d>>,
    faults: &mut Faults,
) -> Option<Object<'d>> {
    let (is, most) = (servers.members.len(), limits::SERVER_COUNT);
    if is <= most {
        return Some(servers);
    }
    let pointer = node.map(|node| node.pointer.clone()).unwrap_or_default();
    faults.push(pointer, format!("has {is} servers; expected at most {most}"));
    None
}

/// What `inputs` says of each id.
fn declared<'d>(root: &Object<'d>) -> BTreeMap<&'d str, Declared<'d>> {
    let inputs = root.members.get("inputs").and_then(Value::as_array);
    let read = |input: &'d Value| {
        let text = |name: &str| input.get(name).and_then(Value::as_str);
        let default = text("default").filter(|default| !default.is_empty());
        let is_password = input.get("password").is_some_and(|flag| *flag != Value::Bool(false));
        let declared = match (text("type"), default) {
            (Some("promptString" | "pickString"), Some(_)) if is_password => Declared::Secret,
            (Some("promptString" | "pickString"), Some(default)) => Declared::Default(default),
            _ => Declared::Asked,
        };
        Some((text("id")?, declared))
    };
    inputs.into_iter().flatten().filter_map(read).collect()
}

/// Reads whether the server is served. A misspelt name of either member would leave it open, so it
/// is told; editors have many other members.
fn read_enabled(entry: &Object<'_>, left_out: &mut Vec<LeftOut>, faults: &mut Faults) -> bool {
    let mut flag = |name: &str| {
        entry.member(name, faults).and_then(|node| node.boolean(faults, "true or false"))
    };
    let enabled = flag("enabled") != Some(false) && flag("disabled") != Some(true);
    for (name, node) in entry.all() {
        if is_misspelt(name) {
            left_out.push(LeftOut {
                what: format!("mcp.json {}", shown_pointer(&node.pointer)),
                why: "is not read; what says whether a server is served: `enabled`, `disabled`"
                    .to_owned(),
            });
        }
    }
    enabled
}

fn is_misspelt(name: &str) -> bool {
    let folded: String =
        name.chars().filter(|c| !matches!(c, '_' | '-')).flat_map(char::to_lowercase).collect();
    let folded = folded.strip_prefix("is").unwrap_or(&folded);
    let near = |to: &str| strsim::osa_distance(folded, to) <= 2;
    !["enabled", "disabled"].iter().any(|known| name.eq_ignore_ascii_case(known))
        && (near("enabled") || near("disabled"))
}

/// Gives the name that a server is served under.
fn read_name(written: &str, node: &Node<'_>, faults: &mut Faults) -> Option<String> {
    let fold = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    let name: String = written.chars().take(limits::SERVER_NAME_CHARS).map(fold).collect();
    if !is_name(written) && !name.contains(|c: char| c.is_ascii_alphanumeric()) {
        let message = "has a name without any ASCII letter or digit, which no URL here can have: \
                       rename it";
        node.fault(faults, message);
        return None;
    }
    if name.eq_ignore_ascii_case(DEFAULT) {
        let message = "`default` is the server of all tools: choose another name";
        node.fault(faults, message);
        return None;
    }
    Some(name)
}
