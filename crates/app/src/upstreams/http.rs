//! The URL and the headers of an upstream over HTTP.

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use url::Url;

use super::HttpUpstream;
use super::entry::pairs;
use super::text::Texts;
use crate::json::Faults;
use crate::limits;
use crate::problem::LeftOut;
use crate::reader::{Node, Object};

/// Headers that frame a message, hold for one connection, or say which host is meant (RFC 9110,
/// sections 7.2 and 7.6.1): another value would have two programs read one message differently.
const FRAMING: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Headers that belong to each message: editors' files name them, and the client's own hold.
const PER_MESSAGE: &[&str] =
    &["accept", "accept-encoding", "content-encoding", "content-type", "last-event-id"];

/// How the names begin of the headers that the protocol itself writes.
const PROTOCOL: &str = "mcp-";

pub(super) fn read(
    url: &Node<'_>,
    entry: &Object<'_>,
    texts: &mut Texts<'_>,
    notes: &mut Vec<LeftOut>,
    faults: &mut Faults,
) -> Option<HttpUpstream> {
    let uri = read_uri(url, texts, faults);
    let headers = read_headers(entry, texts, notes, faults);
    Some(HttpUpstream { uri: uri?, headers })
}

fn read_uri(node: &Node<'_>, texts: &mut Texts<'_>, faults: &mut Faults) -> Option<Uri> {
    const EXPECTED: &str = "an http or https URL, such as `https://mcp.example.com/mcp`";
    let text = texts.fill(node.string(faults, EXPECTED)?)?;
    match parse(text.trim()) {
        Ok(uri) => Some(uri),
        // What was put in may be a secret, so the message has nothing of the URL.
        Err(why) => {
            node.fault(faults, why.unwrap_or_else(|| format!("is no URL; expected {EXPECTED}")));
            None
        }
    }
}

fn parse(text: &str) -> Result<Uri, Option<String>> {
    if text.len() > limits::UPSTREAM_URL_BYTES {
        let most = limits::UPSTREAM_URL_BYTES;
        return Err(Some(format!("is too long; expected at most {most} bytes")));
    }
    let url = Url::parse(text).map_err(|_| None)?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err(None);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Some(
            "must name no user and no password: put credentials into `headers`".to_owned(),
        ));
    }
    if url.fragment().is_some() {
        return Err(Some("must have no fragment (`#`)".to_owned()));
    }
    url.as_str().parse().map_err(|_| None)
}

fn read_headers(
    entry: &Object<'_>,
    texts: &mut Texts<'_>,
    notes: &mut Vec<LeftOut>,
    faults: &mut Faults,
) -> HeaderMap {
    const EXPECTED: &str = "an object of strings";
    let mut headers = HeaderMap::new();
    let mut bytes = 0_usize;
    for (given, node) in pairs(entry, "headers", limits::UPSTREAM_HEADER_COUNT, faults) {
        let Some(text) = node.string(faults, EXPECTED) else { continue };
        let Ok(name) = HeaderName::from_bytes(given.as_bytes()) else {
            node.fault(faults, "is no name of a header");
            continue;
        };
        if let Some(why) = refused(&name) {
            node.fault(faults, why);
            continue;
        }
        if let Some(why) = not_sent(&name) {
            let what = format!("mcp.json {}", shown_pointer(&node.pointer));
            notes.push(LeftOut { what, why });
            continue;
        }
        let Some(text) = texts.fill(text) else { continue };
        bytes = bytes.saturating_add(given.len()).saturating_add(text.len());
        let value = text.trim_matches([' ', '\t']);
        // RFC 9110, section 5.5: what is beyond ASCII has no meaning that both ends agree on.
        let value = Some(value).filter(|value| value.is_ascii());
        let Some(mut value) = value.and_then(|value| HeaderValue::from_str(value).ok()) else {
            let message = "has a value that no header can have; expected visible ASCII characters \
                           and spaces, and no line break";
            node.fault(faults, message);
            continue;
        };
        value.set_sensitive(true);
        if headers.contains_key(&name) {
            node.fault(faults, "is a header that stands here already, case apart: keep one");
            continue;
        }
        headers.insert(name, value);
    }
    if bytes > limits::UPSTREAM_HEADER_BYTES
        && let Some(node) = entry.member("headers", faults)
    {
        let most = limits::UPSTREAM_HEADER_BYTES;
        node.fault(faults, format!("is too large; expected at most {most} bytes of headers"));
    }
    headers
}

fn refused(name: &HeaderName) -> Option<String> {
    if FRAMING.contains(&name.as_str()) {
        return Some(format!(
            "`{name}` belongs to the connection, and Keyward writes it: remove it here"
        ));
    }
    (name == "mcp-session-id").then(|| {
        "`mcp-session-id` is given by the server to each of its clients: remove it here".to_owned()
    })
}

fn not_sent(name: &HeaderName) -> Option<String> {
    let text = name.as_str();
    (PER_MESSAGE.contains(&text) || text.starts_with(PROTOCOL))
        .then(|| "is not sent: each request has its own".to_owned())
}

pub(super) fn shown_pointer(pointer: &str) -> String {
    pointer.escape_debug().to_string()
}
