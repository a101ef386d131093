use http::header::{AUTHORIZATION, HOST, HeaderName, ORIGIN};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue};
use keys::{Caller, Timestamp};

use crate::error::{Error, Result};
use crate::limits;
use crate::operators::{Operators, Unauthenticated};

/// The host that a request was sent to, with its port if it names one.
pub(super) struct Host(Authority);

impl Host {
    pub(super) fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// Refuses what was sent to a name that is not ours: a page that lets its own name resolve to this
/// machine (DNS rebinding) is of the same origin as its target, and no browser stops it.
pub(super) fn check_host(head: &Parts, allowed: &[String]) -> Result<Host> {
    let host = match head.uri.authority() {
        Some(authority) => authority.clone(),
        None => only(&head.headers, HOST)
            .and_then(|value| Authority::try_from(value.as_bytes()).ok())
            .ok_or(Error::HostNotAllowed)?,
    };
    let name = host.host();
    let name = name.strip_suffix('.').unwrap_or(name);
    let ours = is_loopback(name) || allowed.iter().any(|one| one.eq_ignore_ascii_case(name));
    if ours && !host.as_str().contains('@') { Ok(Host(host)) } else { Err(Error::HostNotAllowed) }
}

fn is_loopback(name: &str) -> bool {
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost")
        || bare.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

/// Refuses what a browser sent for a page of another origin. Only browsers send the header.
pub(super) fn check_origin(head: &Parts, host: &Host) -> Result<()> {
    if !head.headers.contains_key(ORIGIN) {
        return Ok(());
    }
    only(&head.headers, ORIGIN)
        .and_then(|value| value.to_str().ok())
        .and_then(|origin| origin.strip_prefix("https://").or(origin.strip_prefix("http://")))
        .filter(|authority| authority.eq_ignore_ascii_case(host.as_str()))
        .map(drop)
        .ok_or(Error::OriginNotAllowed)
}

/// Finds out who is calling.
pub(super) fn authenticate(head: &Parts, operators: &Operators, now: Timestamp) -> Result<Caller> {
    let token = bearer(&head.headers)?;
    if is_api_key(token) {
        return Err(Error::InvalidToken(
            "Authorization holds an API key, which opens MCP servers and not their management: \
             use an operator token, which begins with kwo1_.",
        ));
    }
    operators.authenticate(token, now).map_err(|why| match why {
        Unauthenticated::Expired(at) => Error::ExpiredToken(at),
        Unauthenticated::Unknown if token.starts_with("eyJ") => Error::InvalidToken(
            "Authorization holds an access token of an identity provider, which is not accepted \
             here: use an operator token, which begins with kwo1_.",
        ),
        Unauthenticated::Unknown => Error::InvalidToken(
            "The token in Authorization is no operator's: use the one that `keyward token` prints.",
        ),
    })
}

/// An API key never opens this plane, whatever its version.
fn is_api_key(token: &str) -> bool {
    token.get(..3).is_some_and(|prefix| prefix.eq_ignore_ascii_case("kwk"))
}

fn bearer(headers: &HeaderMap) -> Result<&str> {
    if !headers.contains_key(AUTHORIZATION) {
        return Err(Error::NoCredential(if headers.contains_key("x-api-key") {
            "X-API-Key opens MCP servers and not their management: send `Authorization: Bearer \
             TOKEN` with an operator token, which begins with kwo1_."
        } else {
            "Send `Authorization: Bearer TOKEN` with the operator token that `keyward token` \
             prints."
        }));
    }
    let value = only(headers, AUTHORIZATION)
        .ok_or(Error::NoCredential("Authorization came more than once: send it once."))?;
    let text = value.to_str().map_err(|_| {
        Error::InvalidToken("The token in Authorization has characters that no token has.")
    })?;
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    let token = token.trim_matches(' ');
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Error::NoCredential(
            "Authorization has another scheme than Bearer: send `Authorization: Bearer TOKEN`.",
        ));
    }
    match token.len() {
        0 => Err(Error::NoCredential("Authorization has no token after Bearer.")),
        1..=limits::TOKEN_BYTES => Ok(token),
        _ => Err(Error::InvalidToken("The token in Authorization is longer than any.")),
    }
}

/// The value of a header that came exactly once.
fn only(headers: &HeaderMap, name: HeaderName) -> Option<&HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}
