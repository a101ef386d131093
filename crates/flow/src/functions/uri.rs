//! Parts of a URI (RFC 3986).

use super::Function;
use crate::expression::{Call, Fault, Val};

pub(super) static FUNCTIONS: &[Function] = &[
    row("uriHost", "The host.", host),
    row("uriPath", "The path.", path),
    row("uriPathAndQuery", "The path and the query.", path_and_query),
    row("uriPort", "The port; the scheme's own where none is written.", port),
    row("uriQuery", "The query with its question mark.", query),
    row("uriScheme", "The scheme.", scheme),
];

const fn row(name: &'static str, doc: &'static str, body: super::Body) -> Function {
    Function { name, parameters: "uri", least: 1, most: Some(1), doc, body }
}

struct Uri<'t> {
    scheme: &'t str,
    host: &'t str,
    port: i64,
    path: &'t str,
    /// With its question mark; empty if there is none.
    query: &'t str,
}

fn host<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    Ok(Val::text(read(call)?.host.to_lowercase()))
}

fn path<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    Ok(Val::text(read(call)?.path))
}

fn path_and_query<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    let uri = read(call)?;
    Ok(Val::text(format!("{}{}", uri.path, uri.query)))
}

fn port<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    Ok(read(call)?.port.into())
}

fn query<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    Ok(Val::text(read(call)?.query))
}

fn scheme<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    Ok(Val::text(read(call)?.scheme.to_lowercase()))
}

fn read<'c>(call: &'c Call<'_>) -> Result<Uri<'c>, Fault> {
    let text = call.string(0)?;
    call.budget().build_text(text.len())?;
    split(text).ok_or_else(|| {
        call.fault(0, "needs a well-formed absolute URI, such as https://example.com/path")
    })
}

fn split(text: &str) -> Option<Uri<'_>> {
    if !is_well_formed(text) {
        return None;
    }
    let (scheme, rest) = text.split_once("://")?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    if !is_scheme {
        return None;
    }
    let rest = rest.split('#').next().unwrap_or_default();
    let authority_end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at_checked(authority_end)?;
    let (path, query) = rest.split_at_checked(rest.find('?').unwrap_or(rest.len()))?;
    let authority = authority.rsplit('@').next().unwrap_or_default();
    let host_end = match authority.rfind(']') {
        Some(bracket) => bracket + 1,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at_checked(host_end)?;
    if host.is_empty() && !scheme.eq_ignore_ascii_case("file") {
        return None;
    }
    let port = match port.strip_prefix(':').unwrap_or(port) {
        "" => default_port(scheme),
        digits => i64::from(digits.parse::<u16>().ok()?),
    };
    let path = if path.is_empty() { "/" } else { path };
    // A query that is empty is none to the reference engine.
    let query = if query == "?" { "" } else { query };
    Some(Uri { scheme, host, port, path, query })
}

fn default_port(scheme: &str) -> i64 {
    match scheme.to_ascii_lowercase().as_str() {
        "http" | "ws" => 80,
        "https" | "wss" => 443,
        "ftp" => 21,
        _ => -1,
    }
}

/// Says whether there are only characters that a URI may have, and every % begins an escape.
fn is_well_formed(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.iter().enumerate().all(|(index, &byte)| match byte {
        b'%' => {
            let digits = bytes.get(index + 1..index + 3);
            digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
        }
        b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' => false,
        byte => byte.is_ascii_graphic(),
    })
}
