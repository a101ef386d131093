//! What a body asks of an API key, as types.

use keys::{Scope, Scopes, Slot, Timestamp};

use super::body::{Members, invalid};
use crate::error::{Error, Quoted, Result};
use crate::limits;
use crate::ops::{Expiry, Wanted};

/// The properties that the two operations on server URLs read.
pub(super) const PROPERTIES: &[&str] =
    &["keyType", "notAfter", "neverExpire", "serverName", "scopes", "label"];

pub(super) fn wanted(members: Option<&Members>) -> Result<Wanted> {
    let Some(members) = members else { return Ok(Wanted::default()) };
    // Types first: what a value means is looked at in a body that is well-formed throughout.
    let key_type = members.string("keyType")?;
    let not_after = members.string("notAfter")?;
    let never_expire = members.flag("neverExpire")?;
    let server = members.string("serverName")?;
    let given_scopes = members.strings_or_null("scopes")?;
    let label = members.string("label")?;
    Ok(Wanted {
        slot: key_type.map_or(Ok(Slot::Primary), slot)?,
        expiry: expiry(not_after, never_expire)?,
        server: server.map(str::to_owned),
        scopes: given_scopes.as_deref().map(scopes).transpose()?,
        label: label.map(check_label).transpose()?,
    })
}

pub(super) fn slot(given: &str) -> Result<Slot> {
    given.parse().map_err(|_| {
        let given = Quoted(given);
        Error::InvalidKeyType(format!("keyType is {given}: expected primary or secondary."))
    })
}

fn expiry(not_after: Option<&str>, never_expire: bool) -> Result<Expiry> {
    match (not_after, never_expire) {
        (Some(_), true) => Err(Error::InvalidNotAfter(
            "notAfter and neverExpire exclude each other: give one of them.".to_owned(),
        )),
        (None, true) => Ok(Expiry::Never),
        (None, false) => Ok(Expiry::Default),
        (Some(given), false) => Timestamp::parse_rfc3339(given).map(Expiry::At).map_err(|_| {
            Error::InvalidNotAfter(format!(
                "notAfter is {}: expected an RFC 3339 instant such as 2026-01-01T00:00:00Z.",
                Quoted(given)
            ))
        }),
    }
}

fn scopes(given: &[&str]) -> Result<Scopes> {
    let entries = given.iter().enumerate().map(|(index, entry)| {
        Scope::parse(entry).map_err(|_| {
            Error::InvalidScope(format!(
                "scopes[{index}] is {}: expected SERVER or SERVER/TOOL, where default names the \
                 server of all tools.",
                Quoted(entry)
            ))
        })
    });
    Scopes::new(entries.collect::<Result<Vec<_>>>()?)
        .map_err(|error| Error::InvalidScope(format!("scopes cannot be used: {error}.")))
}

/// A label is shown in terminals and on pages: what moves the cursor or turns the text around is
/// refused.
fn check_label(given: &str) -> Result<String> {
    let turns = |c: char| matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if given.chars().any(|c| c.is_control() || turns(c)) {
        return Err(invalid("label has control characters: leave them out.".to_owned()));
    }
    let count = given.chars().count();
    if count > limits::LABEL_CHARS {
        let most = limits::LABEL_CHARS;
        return Err(invalid(format!("label has {count} characters: expected at most {most}.")));
    }
    if crate::error::holds_secret(given) {
        return Err(invalid(
            "label holds a secret, and the register would keep it: name the key otherwise."
                .to_owned(),
        ));
    }
    Ok(given.to_owned())
}
