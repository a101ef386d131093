//! The restrictions that an API key carries, as bytes.

use crate::{ChildId, Error, MAX_SCOPES, Malformed, Reach, Scope, Scopes, Terms, Timestamp};

/// The most caveats that one API key carries.
pub const MAX_CAVEATS: usize = 16;

const NOT_AFTER: u8 = 1;
const SCOPES: u8 = 2;
const CHILD: u8 = 3;

/// Kind and length.
const HEAD_LEN: usize = 3;

/// The last instant that is issued: what comes later has no RFC 3339 form.
const LAST_NOT_AFTER_MS: i64 = 253_402_300_799_999;

pub(crate) enum Caveat<'a> {
    NotAfter(Timestamp),
    /// The entries, whose form was checked.
    Scopes(ScopeEntries<'a>),
    Child(ChildId),
}

/// Walks the caveats of a body one by one. Each comes with its own bytes, kind and length
/// included.
#[derive(Clone)]
pub(crate) struct Caveats<'a> {
    rest: &'a [u8],
}

impl<'a> Caveats<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Walks over the bytes alone, of caveats whose form was checked.
    pub(crate) fn raw(self) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = self.rest;
        std::iter::from_fn(move || {
            let (caveat, after) = split_raw(rest)?;
            rest = after;
            Some(caveat)
        })
    }
}

impl<'a> Iterator for Caveats<'a> {
    type Item = Result<Caveat<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let Some((caveat, after)) = split_raw(self.rest) else {
            self.rest = &[];
            return Some(Err(Malformed::CaveatLength));
        };
        self.rest = after;
        Some(parse(caveat))
    }
}

/// Splits off the first caveat by its own length.
fn split_raw(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let [_, high, low, ..] = bytes else { return None };
    bytes.split_at_checked(HEAD_LEN + usize::from(u16::from_be_bytes([*high, *low])))
}

fn parse(caveat: &[u8]) -> Result<Caveat<'_>, Malformed> {
    let ([kind, _, _], value) =
        caveat.split_first_chunk::<HEAD_LEN>().ok_or(Malformed::CaveatLength)?;
    match *kind {
        NOT_AFTER => exact(value)
            .map(|bytes| Caveat::NotAfter(Timestamp::from_unix_ms(i64::from_be_bytes(bytes)))),
        SCOPES => ScopeEntries::check(value).map(Caveat::Scopes),
        CHILD => exact(value).map(|bytes| Caveat::Child(ChildId::from_bytes(bytes))),
        _ => Err(Malformed::CaveatKind),
    }
}

fn exact<const N: usize>(value: &[u8]) -> Result<[u8; N], Malformed> {
    value.try_into().map_err(|_source| Malformed::CaveatLength)
}

/// The entries of a scopes caveat.
#[derive(Clone, Copy)]
pub(crate) struct ScopeEntries<'a> {
    value: &'a [u8],
}

impl<'a> ScopeEntries<'a> {
    fn check(value: &'a [u8]) -> Result<Self, Malformed> {
        let mut rest = value;
        let mut last: &[u8] = &[];
        let mut count = 0;
        while let Some((len, after)) = rest.split_first() {
            let (entry, after) =
                after.split_at_checked(usize::from(*len)).ok_or(Malformed::CaveatLength)?;
            if entry.is_empty() {
                return Err(Malformed::EmptyScope);
            }
            let text = str::from_utf8(entry).map_err(|_source| Malformed::Scope)?;
            Scope::check_canonical(text).map_err(|_why| Malformed::Scope)?;
            // Every entry is more than nothing, so the first passes too.
            if entry <= last {
                return Err(Malformed::ScopeOrder);
            }
            count += 1;
            if count > MAX_SCOPES {
                return Err(Malformed::TooManyScopes);
            }
            (last, rest) = (entry, after);
        }
        if count == 0 { Err(Malformed::EmptyScope) } else { Ok(Self { value }) }
    }

    /// Copies the entries out.
    fn scopes(self) -> Result<Scopes, Error> {
        let mut rest = self.value;
        let entries = std::iter::from_fn(|| {
            let (len, after) = rest.split_first()?;
            let (entry, after) = after.split_at_checked(usize::from(*len))?;
            rest = after;
            str::from_utf8(entry).ok()
        });
        Scopes::new(entries.map(Scope::parse).collect::<Result<Vec<_>, _>>()?)
    }
}

/// Applies every scopes caveat of a body whose form was checked. Nothing means the whole app.
pub(crate) fn reach(bytes: &[u8]) -> Option<Reach> {
    let mut reach: Option<Reach> = None;
    for caveat in Caveats::new(bytes).flatten() {
        let Caveat::Scopes(entries) = caveat else { continue };
        reach = Some(match (reach, entries.scopes()) {
            (None, Ok(scopes)) => scopes.into(),
            (Some(reach), Ok(scopes)) => reach.intersect(&scopes),
            // The form was checked; were it not, a key must reach less and not more.
            (_, Err(_)) => Reach::nothing(),
        });
    }
    reach
}

/// Appends the caveats for these terms: not after, then scopes, then the child id.
pub(crate) fn append(
    body: &mut Vec<u8>,
    terms: &Terms,
    child: Option<ChildId>,
) -> Result<(), Error> {
    if let Some(at) = terms.not_after {
        if !(0..=LAST_NOT_AFTER_MS).contains(&at.unix_ms()) {
            return Err(Error::NotAfterOutOfRange);
        }
        append_one(body, NOT_AFTER, &at.unix_ms().to_be_bytes())?;
    }
    if let Some(scopes) = &terms.scopes {
        let mut value = Vec::new();
        for scope in scopes {
            let len = u8::try_from(scope.as_str().len()).map_err(|_source| Error::TooLong)?;
            value.push(len);
            value.extend_from_slice(scope.as_str().as_bytes());
        }
        append_one(body, SCOPES, &value)?;
    }
    if let Some(child) = child {
        append_one(body, CHILD, child.as_bytes())?;
    }
    Ok(())
}

fn append_one(body: &mut Vec<u8>, kind: u8, value: &[u8]) -> Result<(), Error> {
    let len = u16::try_from(value.len()).map_err(|_source| Error::TooLong)?;
    body.push(kind);
    body.extend_from_slice(&len.to_be_bytes());
    body.extend_from_slice(value);
    Ok(())
}
