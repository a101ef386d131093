//! What an operation gives, as JSON; and what every answer has.

use std::borrow::Cow;

use axum::body::Body;
use axum::response::Response;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};
use keys::{Scopes, Timestamp};
use serde::{Serialize, Serializer};
use store::{ApiKeyRow, ReplicaRow};

use crate::error::{Error, Result};
use crate::ops::{
    AccessKeyStatus, IssuedKey, ListedServer, ServerList, ServerUrl, Tool, UpstreamStatus,
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-request-id");

/// RFC 6750, section 3: a request without a token gets no error code.
const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"keyward management\"");
const CHALLENGE_INVALID: HeaderValue =
    HeaderValue::from_static("Bearer realm=\"keyward management\", error=\"invalid_token\"");

pub(super) fn json(answer: &impl Serialize) -> Result<Response> {
    let mut response = Response::new(Body::from(serde_json::to_vec(answer)?));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    Ok(response)
}

/// Makes a refusal what the caller sees, and gives every answer its request id.
pub(super) fn finish(outcome: Result<Response>, request_id: &str) -> Response {
    let mut response = outcome.unwrap_or_else(|error| refusal(&error));
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert(REQUEST_ID, id);
    }
    response
}

fn refusal(error: &Error) -> Response {
    let answer = error.answer();
    let body = ErrorJson { error: ErrorDetail { code: answer.code, message: &answer.message } };
    let mut response = json(&body).unwrap_or_default();
    *response.status_mut() = answer.status;
    if answer.status == StatusCode::UNAUTHORIZED {
        let challenge =
            if matches!(error, Error::NoCredential(_)) { CHALLENGE } else { CHALLENGE_INVALID };
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    if let Error::MethodNotAllowed { takes, .. } = error {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static(takes));
    }
    response
}

#[derive(Serialize)]
struct ErrorJson<'a> {
    error: ErrorDetail<'a>,
}

#[derive(Serialize)]
struct ErrorDetail<'a> {
    code: &'a str,
    message: &'a str,
}

#[derive(Serialize)]
pub(super) struct Empty {}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListJson<T> {
    value: Vec<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_link: Option<String>,
}

impl<T> ListJson<T> {
    pub(super) fn all(value: impl Iterator<Item = T>) -> Self {
        Self::page(value, None)
    }

    pub(super) fn page(value: impl Iterator<Item = T>, next_link: Option<String>) -> Self {
        Self { value: value.collect(), next_link }
    }
}

/// The header that a client of the MCP server sends. The one place where a key leaves this crate.
#[derive(Serialize)]
struct HeadersJson<'a> {
    #[serde(rename = "X-API-Key")]
    api_key: &'a str,
}

impl<'a> From<&'a IssuedKey> for HeadersJson<'a> {
    fn from(issued: &'a IssuedKey) -> Self {
        Self { api_key: issued.key.expose() }
    }
}

/// What a client may keep of a key that it was just given.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct IssuedKeyJson<'a> {
    id: String,
    key_type: &'static str,
    not_after: Option<Instant>,
    scopes: Option<ScopesJson<'a>>,
    label: Option<&'a str>,
}

impl<'a> From<&'a IssuedKey> for IssuedKeyJson<'a> {
    fn from(issued: &'a IssuedKey) -> Self {
        Self {
            id: issued.id.to_string(),
            key_type: issued.slot.as_str(),
            not_after: issued.terms.not_after.map(Instant),
            scopes: issued.terms.scopes.as_ref().map(ScopesJson),
            label: issued.label.as_deref(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ServerUrlJson<'a> {
    value: &'a str,
    method: &'static str,
    base_path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<HeadersJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    api_key: Option<IssuedKeyJson<'a>>,
}

impl<'a> From<&'a ServerUrl> for ServerUrlJson<'a> {
    fn from(server: &'a ServerUrl) -> Self {
        Self {
            value: &server.url,
            method: "POST",
            base_path: &server.url,
            headers: server.issued.as_ref().map(HeadersJson::from),
            api_key: server.issued.as_ref().map(IssuedKeyJson::from),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ServerListJson<'a> {
    value: Vec<ServerJson<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    left_out: Vec<LeftOutServerJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<HeadersJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    api_key: Option<IssuedKeyJson<'a>>,
}

#[derive(Serialize)]
struct ServerJson<'a> {
    name: &'a str,
    description: Option<&'a str>,
    enabled: bool,
    url: &'a str,
    tools: Vec<ToolJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream: Option<UpstreamJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<HeadersJson<'a>>,
}

/// A server of mcp.json that is not served.
#[derive(Serialize)]
struct LeftOutServerJson<'a> {
    name: &'a str,
    reason: &'a str,
}

#[derive(Serialize)]
struct ToolJson<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
}

impl<'a> From<&Tool<'a>> for ToolJson<'a> {
    fn from(tool: &Tool<'a>) -> Self {
        Self { name: tool.name, description: tool.description }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct UpstreamJson<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    transport: &'static str,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checked_at: Option<Instant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unreachable_since: Option<Instant>,
}

impl<'a> From<UpstreamStatus<'a>> for UpstreamJson<'a> {
    fn from(status: UpstreamStatus<'a>) -> Self {
        Self {
            name: status.name,
            transport: status.transport,
            state: status.state,
            message: status.message,
            checked_at: status.checked_at.map(Instant),
            unreachable_since: status.unreachable_since.map(Instant),
        }
    }
}

impl<'a> From<&'a ServerList> for ServerListJson<'a> {
    fn from(list: &'a ServerList) -> Self {
        let headers = || list.issued.as_ref().map(HeadersJson::from);
        let servers =
            list.servers().map(|ListedServer { server, url, tools, upstream }| ServerJson {
                name: server.name(),
                description: server.description(),
                enabled: server.is_enabled(),
                url,
                tools: tools.iter().map(ToolJson::from).collect(),
                upstream: upstream.map(UpstreamJson::from),
                headers: headers(),
            });
        let left_out = list.left_out().iter();
        Self {
            value: servers.collect(),
            left_out: left_out
                .map(|one| LeftOutServerJson { name: &one.written, reason: &one.why })
                .collect(),
            headers: headers(),
            api_key: list.issued.as_ref().map(IssuedKeyJson::from),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AccessKeyJson<'a> {
    slot: &'static str,
    id: String,
    created_at: Instant,
    created_by: &'a str,
    revision: i64,
    in_force: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lagging: Vec<LaggingJson<'a>>,
}

/// A replica that has not settled an access key yet.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LaggingJson<'a> {
    name: &'a str,
    id: &'a str,
    settled: i64,
    contact_at: Instant,
    contact_age_ms: u64,
}

impl<'a> From<&'a ReplicaRow> for LaggingJson<'a> {
    fn from(replica: &'a ReplicaRow) -> Self {
        Self {
            name: &replica.name,
            id: &replica.id,
            settled: replica.settled.get(),
            contact_at: Instant(replica.contact_at),
            contact_age_ms: u64::try_from(replica.contact_age.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

impl<'a> From<&'a AccessKeyStatus> for AccessKeyJson<'a> {
    fn from(status: &'a AccessKeyStatus) -> Self {
        let AccessKeyStatus { row, in_force, lagging } = status;
        Self {
            slot: row.slot.as_str(),
            id: row.id.to_string(),
            created_at: Instant(row.created_at),
            created_by: &row.created_by,
            revision: row.revision.get(),
            in_force: *in_force,
            lagging: lagging.iter().map(LaggingJson::from).collect(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ApiKeyJson<'a> {
    id: String,
    label: Option<&'a str>,
    key_type: &'static str,
    issued_at: Instant,
    issued_by: &'a str,
    not_after: Option<Instant>,
    scopes: Option<ScopesJson<'a>>,
    last_used_at: Option<Instant>,
    state: &'static str,
}

impl<'a> From<&'a ApiKeyRow> for ApiKeyJson<'a> {
    fn from(row: &'a ApiKeyRow) -> Self {
        Self {
            id: row.id.to_string(),
            label: row.label.as_deref(),
            key_type: row.slot.as_str(),
            issued_at: Instant(row.issued_at),
            issued_by: &row.issued_by,
            not_after: row.not_after.map(Instant),
            scopes: row.scopes.as_ref().map(ScopesJson),
            last_used_at: row.last_used_at.map(Instant),
            state: row.state.as_str(),
        }
    }
}

pub(super) struct Instant(pub(super) Timestamp);

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

struct ScopesJson<'a>(&'a Scopes);

impl Serialize for ScopesJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(keys::Scope::as_str))
    }
}
