//! What needs no server: reading a key and making a narrower one from it.

use std::io::{self, IsTerminal as _, Read as _};

use keys::{ApiKey, ChildId, Presented, Reach, RevokedId, Scopes, SysRng, Terms, Timestamp};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::key::expires;
use crate::arguments::NarrowArguments;
use crate::error::{Error, Result};
use crate::output;

/// Prints a key that reaches less or ends sooner than the one on standard input.
pub(crate) fn narrow(arguments: &NarrowArguments, now: Timestamp) -> Result<()> {
    let not_after = arguments.expiry.not_after(now);
    if not_after.is_none() && arguments.scopes.is_empty() {
        return Err(Error::Usage(
            "nothing says how the new key is narrower: say --ttl, --not-after or --scope"
                .to_owned(),
        ));
    }
    if let Some(at) = not_after.filter(|at| *at < now) {
        return Err(Error::Usage(format!(
            "--not-after is {at}, which is past: a key that ends then would open nothing"
        )));
    }
    let parent = read_key()?;
    if let Some(at) = parent.not_after().filter(|at| *at < now) {
        return Err(Error::Usage(format!(
            "the key on standard input ended at {at}, and one narrowed from it would open nothing: \
             narrow one that is still valid"
        )));
    }
    let scopes = match arguments.scopes.as_slice() {
        [] => None,
        scopes => {
            let scopes = Scopes::new(scopes.iter().cloned());
            Some(scopes.map_err(Error::key("narrow the key"))?)
        }
    };
    let child = ChildId::generate(&mut SysRng).map_err(Error::key("narrow the key"))?;
    let key =
        parent.narrow(child, &Terms { not_after, scopes }).map_err(Error::key("narrow the key"))?;
    let narrowed = parse(key.expose().as_bytes())?;
    if narrowed.scopes().is_some_and(|reach| reach.iter().next().is_none()) {
        let reach = parent.scopes().map(|reach| names(&reach).join(", ")).unwrap_or_default();
        return Err(Error::Usage(format!(
            "the new key would reach nothing: the one on standard input is for {reach} only"
        )));
    }
    if let (Some(wanted), Some(ends)) = (not_after, narrowed.not_after())
        && ends < wanted
    {
        output::tell(&format!(
            "The key on standard input ends sooner, at {ends}: so does the new one."
        ));
    }
    print(&key, &narrowed, arguments.json, now)
}

fn print(key: &ApiKey, narrowed: &Presented, as_json: bool, now: Timestamp) -> Result<()> {
    if as_json {
        let mut value = described(narrowed, now);
        if let Some(members) = value.as_object_mut() {
            members.insert("headers".to_owned(), json!({ "X-API-Key": key.expose() }));
        }
        return output::print_json(&value);
    }
    output::print(key.expose())?;
    output::tell(&text(narrowed, now));
    Ok(())
}

/// Prints what the key on standard input says of itself.
pub(crate) fn inspect(as_json: bool, now: Timestamp) -> Result<()> {
    let key = read_key()?;
    if as_json {
        return output::print_json(&described(&key, now));
    }
    let who_knows = match key.child_ids() {
        [] => format!(
            "Whether it was issued, and is neither revoked nor \
             ended by a\nregeneration, the server knows: keyward key show {}",
            key.key_id()
        ),
        // The register has the key that was issued, and nothing of what was narrowed from it.
        _ => {
            "It was narrowed, and no register\nlists it: whether it is revoked shows only when an \
              MCP server is called with it, and refuses it."
                .to_owned()
        }
    };
    output::print(&format!(
        "{}\n\nThis is what the key says of itself. {who_knows}",
        text(&key, now)
    ))
}

fn text(key: &Presented, now: Timestamp) -> String {
    let reaches = match key.scopes() {
        None => "the whole app".to_owned(),
        Some(reach) => output::shown(&names(&reach).join(", ")),
    };
    let narrowed = match key.child_ids() {
        [] => "no".to_owned(),
        children => {
            let times = children.len();
            let id = revocation_id(key);
            format!(
                "{times} time{}; to revoke this one alone: {id}",
                if times == 1 { "" } else { "s" }
            )
        }
    };
    let ends = key.not_after().map(|at| at.to_string()).unwrap_or_default();
    format!(
        "id          {}\naccess key  {}\nexpires     {}\nreaches     {reaches}\nnarrowed    {narrowed}",
        key.key_id(),
        key.access_key_id(),
        expires(&ends, now),
    )
}

fn described(key: &Presented, now: Timestamp) -> Value {
    let scopes = key.scopes().map(|reach| names(&reach));
    let children: Vec<String> = key.child_ids().iter().map(ToString::to_string).collect();
    json!({
        "id": key.key_id().to_string(),
        "accessKeyId": key.access_key_id().to_string(),
        "childIds": children,
        "revocationId": revocation_id(key).to_string(),
        "notAfter": key.not_after().map(|at| at.to_string()),
        "expired": key.not_after().is_some_and(|at| now > at),
        "scopes": scopes,
    })
}

fn names(reach: &Reach) -> Vec<String> {
    reach.iter().map(|scope| scope.as_str().to_owned()).collect()
}

/// What revokes this key and no other that it was narrowed from.
fn revocation_id(key: &Presented) -> RevokedId {
    match key.child_ids().last() {
        Some(child) => RevokedId::Child(key.key_id(), *child),
        None => RevokedId::Key(key.key_id()),
    }
}

/// Reads a key from standard input, a little more than the longest has.
fn read_key() -> Result<Presented> {
    if io::stdin().is_terminal() {
        output::tell("Paste the API key and press Enter:");
    }
    let mut text = Zeroizing::new(Vec::new());
    if io::stdin().is_terminal() {
        let mut line = Zeroizing::new(String::new());
        io::stdin().read_line(&mut line).map_err(Error::io("read the key"))?;
        text.extend_from_slice(line.as_bytes());
    } else {
        let most = u64::try_from(keys::MAX_TEXT_LEN).unwrap_or(u64::MAX).saturating_add(64);
        io::stdin().lock().take(most).read_to_end(&mut text).map_err(Error::io("read the key"))?;
    }
    match text.trim_ascii() {
        [] => Err(Error::Usage(
            "there is no API key on standard input: give it as in keyward key inspect < key.txt"
                .to_owned(),
        )),
        text => parse(text),
    }
}

fn parse(text: &[u8]) -> Result<Presented> {
    Presented::parse(text).map_err(|refusal| {
        Error::Usage(format!("what came on standard input is no API key: {refusal}"))
    })
}
