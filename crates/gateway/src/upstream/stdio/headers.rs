//! What the headers of Streamable HTTP must say, since a child never sees them.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::answers::{HEADER_MISMATCH, INVALID_PARAMS, INVALID_REQUEST};
use super::message::{self, Kind, Message, Params};

const VERSION: &str = "mcp-protocol-version";
const METHOD: &str = "mcp-method";
const NAME: &str = "mcp-name";
const PARAM: &str = "mcp-param-";

/// The protocol versions that begin with `initialize`.
pub(super) const OLDER: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];

/// The first protocol version without sessions.
pub(super) const NEWER: &str = "2026-07-28";

/// How a client and a server speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lifecycle {
    /// In a session that begins with `initialize`.
    Sessions,
    /// Each request by itself.
    Stateless,
}

/// What is wrong with a request; all of it is answered with status 400.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) code: i64,
    pub(super) message: String,
}

impl Fault {
    const fn new(code: i64, message: String) -> Self {
        Self { code, message }
    }
}

/// Finds out how a request is to be answered; without a message, by its headers alone.
pub(super) fn lifecycle(
    headers: &HeaderMap,
    message: Option<&Message<'_>>,
) -> Result<Lifecycle, Fault> {
    let version = sole(headers, VERSION).map_err(|text| Fault::new(INVALID_REQUEST, text))?;
    if let Some(Kind::Request { method, params, .. }) = message.map(|message| &message.kind) {
        if method == "initialize"
            && let Some(wanted) = message::text(*params.protocol_version)
        {
            return match version {
                Some(version) if version != wanted => Err(Fault::new(
                    INVALID_REQUEST,
                    format!(
                        "the header MCP-Protocol-Version says {version} and protocolVersion says \
                         {wanted}"
                    ),
                )),
                _ => Ok(Lifecycle::Sessions),
            };
        }
        if method == "server/discover" || params.meta().protocol_version.is_some() {
            return Ok(Lifecycle::Stateless);
        }
    }
    match version {
        None => Ok(Lifecycle::Sessions),
        Some(version) if OLDER.contains(&version) => Ok(Lifecycle::Sessions),
        Some(NEWER) => Ok(Lifecycle::Stateless),
        Some(version) => Err(Fault::new(
            INVALID_REQUEST,
            format!(
                "the header MCP-Protocol-Version names {version}, which is not a version known here"
            ),
        )),
    }
}

/// Checks what a request without a session must say of itself, but for the headers of a tool's
/// parameters; gives the protocol version that it names.
pub(super) fn check(
    headers: &HeaderMap,
    method: &str,
    params: &Params<'_>,
) -> Result<String, Fault> {
    let mismatch = |text: String| Fault::new(HEADER_MISMATCH, text);
    let meta = params.meta();
    let version = message::text(*meta.protocol_version);
    let capable = meta.client_capabilities.is_some_and(|raw| raw.get().starts_with('{'));
    let missing: Vec<&str> = [
        (version.is_none(), "io.modelcontextprotocol/protocolVersion"),
        (!capable, "io.modelcontextprotocol/clientCapabilities"),
    ]
    .into_iter()
    .filter_map(|(is, name)| is.then_some(name))
    .collect();
    let (Some(version), true) = (version, capable) else {
        let missing = missing.join(" and ");
        let text = format!("params._meta must have {missing} in this protocol version");
        return Err(Fault::new(INVALID_PARAMS, text));
    };
    match sole(headers, VERSION).map_err(mismatch)? {
        Some(header) if header == version => {}
        Some(header) => {
            return Err(mismatch(format!(
                "the header MCP-Protocol-Version says {header} and params._meta says {version}"
            )));
        }
        None => return Err(mismatch("the header MCP-Protocol-Version is missing".to_owned())),
    }
    match sole(headers, METHOD).map_err(mismatch)? {
        Some(header) if header == method => {}
        Some(header) => {
            return Err(mismatch(format!(
                "the header Mcp-Method says {header} and the message's method is {method}"
            )));
        }
        None => return Err(mismatch("the header Mcp-Method is missing".to_owned())),
    }
    if let Some(named) = named(method, params) {
        let header = sole(headers, NAME).map_err(mismatch)?;
        let header = header
            .ok_or_else(|| mismatch(format!("the header Mcp-Name is missing on {method}")))?;
        if decoded(header).as_deref() != Some(named.as_str()) {
            return Err(mismatch(format!("the header Mcp-Name does not say {named} as params do")));
        }
    }
    Ok(version)
}

/// What `Mcp-Name` must say of a message, if its method has that header.
fn named(method: &str, params: &Params<'_>) -> Option<String> {
    let member = match method {
        "tools/call" | "prompts/get" => *params.name,
        "resources/read" | "resources/subscribe" | "resources/unsubscribe" => *params.uri,
        "tasks/get" | "tasks/update" | "tasks/cancel" => *params.task_id,
        _ => None,
    };
    message::text(member)
}

/// Which arguments of which tools are repeated in headers.
#[derive(Debug, Default)]
pub(super) struct Annotations(BTreeMap<String, Vec<Annotation>>);

#[derive(Debug)]
struct Annotation {
    /// The properties from the arguments down to the value.
    path: Vec<String>,
    header: String,
}

/// One page of `tools/list`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    tools: Vec<Tool>,
    next_cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Tool {
    name: String,
    #[serde(default)]
    input_schema: Map<String, Value>,
}

impl Annotations {
    /// Adds what a page of tools says, and gives the cursor of the next one.
    pub(super) fn add(&mut self, page: &RawValue) -> Option<String> {
        let page: Page = message::object(page.get()).ok()?;
        for tool in page.tools {
            let mut all = Vec::new();
            annotations(&tool.input_schema, &mut Vec::new(), &mut all);
            if !all.is_empty() {
                self.0.insert(tool.name, all);
            }
        }
        page.next_cursor
    }

    /// Checks the headers of a call's annotated arguments.
    pub(super) fn check(&self, headers: &HeaderMap, params: &Params<'_>) -> Result<(), Fault> {
        let mismatch = |text: String| Fault::new(HEADER_MISMATCH, text);
        let Some(all) = message::text(*params.name).and_then(|name| self.0.get(&name)) else {
            return Ok(());
        };
        let arguments: Value = params
            .arguments
            .and_then(|raw| serde_json::from_str(raw.get()).ok())
            .unwrap_or_default();
        for Annotation { path, header } in all {
            let value = path.iter().try_fold(&arguments, |value, member| value.get(member));
            let expected = value.and_then(primitive);
            let name = format!("{PARAM}{}", header.to_ascii_lowercase());
            let given = sole(headers, &name).map_err(mismatch)?;
            let shown = format!("Mcp-Param-{header}");
            match (given, expected) {
                (None, None) => {}
                (Some(_), None) => {
                    let text =
                        format!("the header {shown} stands for an argument that is not there");
                    return Err(mismatch(text));
                }
                (None, Some(_)) => return Err(mismatch(format!("the header {shown} is missing"))),
                (Some(given), Some(expected)) if decoded(given).as_ref() == Some(&expected) => {}
                (Some(_), Some(_)) => {
                    let text = format!("the header {shown} does not say what the argument says");
                    return Err(mismatch(text));
                }
            }
        }
        Ok(())
    }
}

fn annotations(schema: &Map<String, Value>, path: &mut Vec<String>, all: &mut Vec<Annotation>) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    for (name, property) in properties {
        let Some(property) = property.as_object() else { continue };
        path.push(name.clone());
        match property.get("x-mcp-header").and_then(Value::as_str) {
            Some(header) if !header.is_empty() => {
                all.push(Annotation { path: path.clone(), header: header.to_owned() });
            }
            _ => {}
        }
        annotations(property, path, all);
        path.pop();
    }
}

fn primitive(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Undoes the encoding of values that no header can hold as they are.
fn decoded(value: &str) -> Option<String> {
    let inner = value.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?="));
    let Some(inner) = inner else { return Some(value.to_owned()) };
    String::from_utf8(BASE64_STANDARD.decode(inner).ok()?).ok()
}

/// The only value of a header: whoever stands in between may have read another of several.
fn sole<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, String> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(format!("the header {name} is there more than once"));
    }
    let text = value.to_str().map_err(|_| format!("the header {name} is not visible ASCII"))?;
    Ok(Some(text.trim()))
}

/// Says whether a request has a JSON body.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|value| {
        let essence = value.split(';').next().unwrap_or_default();
        essence.trim().eq_ignore_ascii_case("application/json")
    })
}

/// Whether a client takes a media type; one that says nothing takes everything.
pub(super) fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    let mut values = headers.get_all(ACCEPT).iter().peekable();
    let (family, _) = media_type.split_once('/').unwrap_or((media_type, ""));
    let any_of_family = format!("{family}/*");
    values.peek().is_none()
        || values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).any(
            |range| {
                let essence = range.split(';').next().unwrap_or_default().trim();
                [media_type, "*/*", any_of_family.as_str()]
                    .iter()
                    .any(|one| essence.eq_ignore_ascii_case(one))
            },
        )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const META: &str = r#"{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| {
            (http::HeaderName::from_static(name), http::HeaderValue::from_str(value).unwrap())
        });
        pairs.collect()
    }

    fn checked(method: &str, params: &str, pairs: &[(&'static str, &str)]) -> Result<(), i64> {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
        let message = Message::read(text.as_bytes()).unwrap();
        let Kind::Request { method, params, .. } = &message.kind else { panic!("{message:?}") };
        check(&headers(pairs), method, params).map(drop).map_err(|fault| fault.code)
    }

    #[test]
    fn a_request_by_itself_says_in_its_headers_what_its_message_says() {
        let version = (VERSION, NEWER);
        let list = format!(r#"{{"_meta":{META}}}"#);
        let call = format!(r#"{{"name":"é","_meta":{META}}}"#);
        let all = [version, (METHOD, "tools/call"), (NAME, "=?base64?w6k=?=")];
        for (method, params, headers, expected) in [
            ("tools/list", &list, &[version, (METHOD, "tools/list")][..], Ok(())),
            ("tools/list", &list, &[version, (METHOD, "TOOLS/LIST")], Err(HEADER_MISMATCH)),
            ("tools/list", &list, &[version], Err(HEADER_MISMATCH)),
            ("tools/list", &list, &[(METHOD, "tools/list")], Err(HEADER_MISMATCH)),
            (
                "tools/list",
                &list,
                &[(VERSION, "v999"), (METHOD, "tools/list")],
                Err(HEADER_MISMATCH),
            ),
            ("tools/call", &call, &all, Ok(())),
            ("tools/call", &call, &[all[0], all[1], (NAME, "e")], Err(HEADER_MISMATCH)),
            ("tools/call", &call, &all[..2], Err(HEADER_MISMATCH)),
            ("tools/list", &"{}".to_owned(), &[version], Err(INVALID_PARAMS)),
            ("server/discover", &r#"{"_meta":7}"#.to_owned(), &[], Err(INVALID_PARAMS)),
        ] {
            assert_eq!(checked(method, params, headers), expected, "{method} {params} {headers:?}");
        }
        let twice = [version, (METHOD, "tools/list")];
        let mut twice = headers(&twice);
        twice.append(METHOD, http::HeaderValue::from_static("tools/list"));
        assert!(sole(&twice, METHOD).is_err());
    }

    #[test]
    fn annotated_arguments_stand_in_headers_too() {
        let page = json!({ "tools": [
            { "name": "plain" },
            { "name": "t", "inputSchema": { "properties": {
                "region": { "type": "string", "x-mcp-header": "Region" },
                "deep": { "properties": { "n": { "x-mcp-header": "N" } } },
            } } },
        ], "nextCursor": "next" });
        let page = serde_json::value::to_raw_value(&page).unwrap();
        let mut all = Annotations::default();
        assert_eq!(all.add(&page), Some("next".to_owned()));
        let ok = |arguments: &str, pairs: &[(&'static str, &str)]| {
            let text = format!(r#"{{"name":"t","arguments":{arguments}}}"#);
            all.check(&headers(pairs), &message::object(&text).unwrap()).is_ok()
        };
        let (region, n) = (("mcp-param-region", "eu"), ("mcp-param-n", "7"));
        assert!(ok(r#"{"region":"eu","deep":{"n":7}}"#, &[region, n]));
        assert!(ok(r#"{"region":null}"#, &[]) && ok("{}", &[]));
        assert!(!ok(r#"{"region":"eu"}"#, &[]));
        assert!(!ok(r#"{"region":"us"}"#, &[region]));
        assert!(!ok("{}", &[region]));
    }

    #[test]
    fn the_version_decides_how_a_request_is_answered() {
        let of = |version: Option<&str>, text: &str| {
            let pairs: Vec<_> = version.map(|version| (VERSION, version)).into_iter().collect();
            let message = (!text.is_empty()).then(|| Message::read(text.as_bytes()).unwrap());
            lifecycle(&headers(&pairs), message.as_ref()).map_err(|fault| fault.code)
        };
        use Lifecycle::{Sessions, Stateless};
        let request = |method: &str, params: &str| {
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#)
        };
        let initialize = request("initialize", r#"{"protocolVersion":"2026-07-28"}"#);
        let bare = request("initialize", &format!(r#"{{"_meta":{META}}}"#));
        for (version, text, expected) in [
            (None, "", Ok(Sessions)),
            (Some("2025-11-25"), "", Ok(Sessions)),
            (Some(NEWER), "", Ok(Stateless)),
            (Some("2031-01-01"), "", Err(INVALID_REQUEST)),
            (None, initialize.as_str(), Ok(Sessions)),
            (Some("2025-06-18"), &initialize, Err(INVALID_REQUEST)),
            (Some(NEWER), &bare, Ok(Stateless)),
            (None, &request("server/discover", "{}"), Ok(Stateless)),
            (Some("v999"), &request("m", &format!(r#"{{"_meta":{META}}}"#)), Ok(Stateless)),
            (None, &request("tools/list", "{}"), Ok(Sessions)),
        ] {
            assert_eq!(of(version, text), expected, "{version:?} {text}");
        }
    }
}
