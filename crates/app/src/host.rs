//! host.json.

use url::{Host, Url};

use crate::authentication::{Authentication, ResourceMetadata};
use crate::json::Faults;
use crate::limits;
use crate::problem::LeftOut;
use crate::reader::{Node, Object};

/// What host.json says of the MCP endpoints.
#[derive(Debug, Clone)]
pub(crate) struct HostFile {
    pub(crate) route_prefix: String,
    pub(crate) mcp_enabled: bool,
    pub(crate) authentication: Authentication,
    pub(crate) resource_metadata: Option<ResourceMetadata>,
    pub(crate) left_out: Vec<LeftOut>,
}

impl Default for HostFile {
    fn default() -> Self {
        Self {
            route_prefix: "api".to_owned(),
            // The how-to turns the endpoints on by `"enable": true`; without it there are none.
            mcp_enabled: false,
            authentication: Authentication::Absent,
            resource_metadata: None,
            left_out: Vec::new(),
        }
    }
}

pub(crate) fn read(root: &Node<'_>, faults: &mut Faults) -> HostFile {
    let mut host = HostFile::default();
    let Some(root) = root.object(faults, "an object") else { return host };
    let Some(extensions) = section(&root, "extensions", faults) else { return host };
    if let Some(http) = section(&extensions, "http", faults)
        && let Some(node) = http.member("routePrefix", faults)
        && let Some(prefix) = route_prefix(&node, faults)
    {
        host.route_prefix = prefix;
    }
    if let Some(workflow) = section(&extensions, "workflow", faults)
        && let Some(endpoints) = section(&workflow, "McpServerEndpoints", faults)
    {
        read_endpoints(&endpoints, &mut host, faults);
    }
    host
}

fn read_endpoints(endpoints: &Object<'_>, host: &mut HostFile, faults: &mut Faults) {
    const KNOWN: &[&str] = &["enable", "authentication", "ProtectedResourceMetadata"];
    if let Some(enable) = endpoints.member("enable", faults) {
        host.mcp_enabled = enable.boolean(faults, "true or false").unwrap_or_default();
    }
    note_others(endpoints, KNOWN, &mut host.left_out);
    if let Some(authentication) = section(endpoints, "authentication", faults) {
        note_others(&authentication, &["type"], &mut host.left_out);
        if let Some(node) = authentication.member("type", faults) {
            let read = read_type(&node, faults);
            host.authentication = read.unwrap_or(host.authentication);
        }
    }
    if let Some(metadata) = section(endpoints, "ProtectedResourceMetadata", faults) {
        host.resource_metadata = Some(read_metadata(&metadata, &mut host.left_out, faults));
    }
}

fn read_type(node: &Node<'_>, faults: &mut Faults) -> Option<Authentication> {
    const EXPECTED: &str = "`ApiKey`, `OAuth2`, `Anonymous`, or no `type` at all for OAuth 2.0 \
                            access tokens and API keys together";
    let text = node.string(faults, EXPECTED)?;
    let read = Authentication::from_type(text);
    if read.is_none() {
        node.fault(faults, format!("`{text}` is no authentication type; expected {EXPECTED}"));
    }
    read
}

/// Reads the prefix of every path: segments of unreserved characters (RFC 3986, section 2.3).
fn route_prefix(node: &Node<'_>, faults: &mut Faults) -> Option<String> {
    const EXPECTED: &str = "path segments of letters, digits, `-`, `_`, `.` or `~`, like `api`";
    let prefix = node.string(faults, EXPECTED)?.trim_matches('/');
    let fits = |segment: &str| {
        !segment.is_empty()
            && !segment.starts_with('.')
            && segment.chars().all(|c| c.is_ascii_alphanumeric() || "-_.~".contains(c))
    };
    if prefix.chars().count() > limits::ROUTE_PREFIX_CHARS {
        let most = limits::ROUTE_PREFIX_CHARS;
        node.fault(faults, format!("is too long; expected at most {most} characters"));
        return None;
    }
    if !prefix.is_empty() && !prefix.split('/').all(fits) {
        node.fault(faults, format!("cannot be a route prefix; expected {EXPECTED}"));
        return None;
    }
    Some(prefix.to_owned())
}

fn read_metadata(
    metadata: &Object<'_>,
    left_out: &mut Vec<LeftOut>,
    faults: &mut Faults,
) -> ResourceMetadata {
    let mut read = ResourceMetadata::default();
    if let Some(node) = metadata.member("Resource", faults) {
        read.resource = url(&node, true, faults);
    }
    for node in items(metadata, "AuthorizationServers", faults) {
        read.authorization_servers.extend(url(&node, false, faults));
    }
    for node in items(metadata, "ScopesSupported", faults) {
        read.scopes_supported.extend(scope(&node, faults));
    }
    for node in items(metadata, "BearerMethodsSupported", faults) {
        match node.string(faults, "`header`") {
            Some("header") => read.bearer_methods_supported.push("header".to_owned()),
            Some("body" | "query") => left_out.push(LeftOut {
                what: format!("host.json {}", node.pointer),
                why: "access tokens are taken from the Authorization header only".to_owned(),
            }),
            Some(_) => node.fault(faults, "is no way to send a token; expected `header`"),
            None => {}
        }
    }
    read
}

/// Reads an identifier of RFC 9728 or RFC 8414 and keeps its very text, which is what is compared.
fn url(node: &Node<'_>, query: bool, faults: &mut Faults) -> Option<String> {
    const EXPECTED: &str = "an https URL";
    let text = node.string(faults, EXPECTED)?;
    let url = match Url::parse(text) {
        Ok(url) => url,
        Err(error) => {
            node.fault(faults, format!("is no URL ({error}); expected {EXPECTED}"));
            return None;
        }
    };
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    let fault = match url.scheme() {
        "https" | "http" if url.fragment().is_some() => "must have no fragment (`#`)",
        "https" | "http" if !query && url.query().is_some() => "must have no query (`?`)",
        "https" | "http" if !url.username().is_empty() || url.password().is_some() => {
            "must name no user and no password"
        }
        "https" => return Some(text.to_owned()),
        "http" if loopback => return Some(text.to_owned()),
        _ => "expected an https URL (http only for localhost)",
    };
    node.fault(faults, fault);
    None
}

/// Reads a scope (RFC 6749, section 3.3).
fn scope(node: &Node<'_>, faults: &mut Faults) -> Option<String> {
    let text = node.string(faults, "a scope")?;
    let fits = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\');
    if text.is_empty() || !text.chars().all(fits) {
        let message = "is no scope; expected visible ASCII characters except `\"` and `\\`";
        node.fault(faults, message);
        return None;
    }
    Some(text.to_owned())
}

fn section<'d>(of: &Object<'d>, name: &str, faults: &mut Faults) -> Option<Object<'d>> {
    of.member(name, faults)?.object(faults, "an object")
}

fn items<'d>(of: &Object<'d>, name: &str, faults: &mut Faults) -> Vec<Node<'d>> {
    let member = of.member(name, faults);
    member.and_then(|node| node.list(faults, "a list of strings")).unwrap_or_default()
}

/// A misspelt name here changes who is let in, so it is told.
fn note_others(object: &Object<'_>, known: &[&str], left_out: &mut Vec<LeftOut>) {
    let listed = known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    for pointer in object.others(known) {
        left_out.push(LeftOut {
            what: format!("host.json {pointer}"),
            why: format!("is not read; what is read here: {listed}"),
        });
    }
}
