//! Which app and which server a request is for: by the apps' public URLs and nothing else.

use std::sync::Arc;

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, Uri};
use percent_encoding::percent_decode_str;
use store::{AppState, Snapshot};
use url::{Host, Url};

use crate::limits;
use crate::refusal::Refused;

/// What a path of an app means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The MCP endpoint of the server with this name in lower case, `default` for the default one.
    Server(String),
    /// OAuth's dynamic client registration (RFC 7591), which clients try after any refusal.
    Register,
    /// Something else.
    Nothing,
}

/// Finds the app by the request's Host and path, and refuses other people's Hosts and Origins.
///
/// A browser that was led here under another name (DNS rebinding) sends that name as Host.
pub(crate) fn app<'s>(
    snapshot: &'s Snapshot,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<&'s Arc<AppState>, Refused> {
    const WRONG_HOST: &str = "the Host header names no server here: use the app's public URL";
    if snapshot.apps().is_empty() {
        return Err(Refused::NotFound("no app is served here yet".to_owned()));
    }
    let host = request_host(uri, headers).ok_or(Refused::NotOurs(WRONG_HOST))?;
    // The longest prefix wins: `/a/b` before `/a` before `/`. What is asked at the origin's root, such
    // as /register, is every app's.
    let rank = |app: &&Arc<AppState>| {
        let url = &app.public_url;
        below(url, uri.path()).map(|_| url.path().len())
    };
    let on_host = || snapshot.apps().iter().filter(|app| host.is(&app.public_url));
    let app = on_host()
        .filter(|app| rank(app).is_some())
        .max_by_key(rank)
        .or_else(|| on_host().min_by_key(|app| app.public_url.path().len()))
        .ok_or(Refused::NotOurs(WRONG_HOST))?;
    check_origin(app, headers)?;
    Ok(app)
}

/// What the path means on this app.
pub(crate) fn target(app: &AppState, path: &str) -> Target {
    if path.len() > limits::PATH_BYTES {
        return Target::Nothing;
    }
    if path == "/register" {
        return Target::Register;
    }
    let Some(path) = below(&app.public_url, path) else { return Target::Nothing };
    let prefix = app.app.route_prefix();
    let path = if prefix.is_empty() {
        path
    } else {
        match path.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('/')) {
            Some(rest) => rest,
            None => return Target::Nothing,
        }
    };
    if path == "mcp" {
        return Target::Server("default".to_owned());
    }
    let name = path.strip_prefix("mcpservers/").and_then(|rest| rest.strip_suffix("/mcp"));
    match name.map(|name| percent_decode_str(name).decode_utf8()) {
        // `default` is the other path's: one server, one URL.
        Some(Ok(name)) if !name.eq_ignore_ascii_case("default") => {
            Target::Server(name.to_lowercase())
        }
        _ => Target::Nothing,
    }
}

/// The path below the app's public URL, without its leading slash.
pub(crate) fn below<'p>(public_url: &Url, path: &'p str) -> Option<&'p str> {
    path.strip_prefix(public_url.path().trim_end_matches('/'))?.strip_prefix('/')
}

/// The host that a request names.
struct RequestHost<'r>(&'r str);

fn request_host<'r>(uri: &'r Uri, headers: &'r HeaderMap) -> Option<RequestHost<'r>> {
    let mut named = headers.get_all(HOST).iter();
    let authority = match (uri.authority(), named.next(), named.next()) {
        // HTTP/2 sends :authority, and may send Host beside it.
        (Some(authority), None, _) => authority.as_str(),
        (None, Some(host), None) => host.to_str().ok()?,
        (Some(authority), Some(host), None) if host.as_bytes() == authority.as_str().as_bytes() => {
            authority.as_str()
        }
        _ => return None,
    };
    // Userinfo has no place here, and would hide the host from who looks at the beginning.
    if authority.contains('@') {
        return None;
    }
    // What follows the last colon is a port, unless that colon is inside an IPv6 address.
    match authority.rsplit_once(':') {
        Some((_, after)) if after.contains(']') => Some(RequestHost(authority)),
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(RequestHost(host))
        }
        Some(_) => None,
        None => Some(RequestHost(authority)),
    }
}

impl RequestHost<'_> {
    /// The port is not compared: there is one listener, and a forwarded port may be any. On a loopback
    /// address every loopback name is as good.
    fn is(&self, public_url: &Url) -> bool {
        if public_url.host_str().is_some_and(|own| own.eq_ignore_ascii_case(self.0)) {
            return true;
        }
        match (public_url.host(), Host::parse(self.0)) {
            (Some(own), Ok(host)) => {
                let own = own.to_owned();
                own == host || (is_loopback(&own) && is_loopback(&host))
            }
            _ => false,
        }
    }
}

fn is_loopback(host: &Host<String>) -> bool {
    match host {
        Host::Domain(name) => name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

/// Browsers send Origin; a page of another origin has no business here (MCP, Streamable HTTP,
/// security warning).
fn check_origin(app: &AppState, headers: &HeaderMap) -> Result<(), Refused> {
    const WRONG_ORIGIN: &str = "the Origin header names another origin than the app's public URL";
    for origin in headers.get_all(ORIGIN) {
        let url = origin.to_str().ok().and_then(|text| Url::parse(text).ok());
        if !url.is_some_and(|url| same_origin(&app.public_url, &url)) {
            return Err(Refused::NotOurs(WRONG_ORIGIN));
        }
    }
    Ok(())
}

/// Pages of this machine are alike, whatever their port: it is its user's.
fn same_origin(public_url: &Url, origin: &Url) -> bool {
    let is_local = |url: &Url| url.host().is_some_and(|host| is_loopback(&host.to_owned()));
    public_url.origin() == origin.origin() || (is_local(public_url) && is_local(origin))
}
