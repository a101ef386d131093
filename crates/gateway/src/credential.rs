//! What a request offers to prove that it may come in.

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName};
use keys::{Presented, Refusal};

/// The header that carries an API key.
pub(crate) const API_KEY_HEADER: HeaderName = HeaderName::from_static("x-api-key");

/// What a request came with, before anything is checked against a key in force.
#[derive(Debug)]
pub(crate) enum Credential {
    /// Nothing.
    Absent,
    /// An API key that reads well.
    ApiKey(Presented),
    /// A bearer token that is not an API key.
    AccessToken,
}

/// Why what a request came with cannot be a credential.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// An API key that does not read well.
    ApiKey(Refusal),
    /// Headers that cannot be taken together, or at all; says what to do.
    Headers(&'static str),
}

impl Credential {
    /// Reads the credential headers of a request.
    pub(crate) fn read(headers: &HeaderMap) -> Result<Self, Unreadable> {
        let api_key =
            single(headers, &API_KEY_HEADER, "X-API-Key stands more than once: send it once")?;
        let bearer = match single(
            headers,
            &AUTHORIZATION,
            "Authorization stands more than once: send it once",
        )? {
            None => None,
            Some(value) => Some(bearer(value)?),
        };
        match (api_key, bearer) {
            (None, None) => Ok(Self::Absent),
            (Some(key), Some(token)) if key != token => Err(Unreadable::Headers(
                "the request carries two different credentials: send the API key in X-API-Key and no \
                 Authorization header",
            )),
            (Some(key), _) => Self::parse_api_key(key),
            (None, Some(token)) if token.starts_with(b"kwk") => Self::parse_api_key(token),
            (None, Some(_)) => Ok(Self::AccessToken),
        }
    }

    fn parse_api_key(text: &[u8]) -> Result<Self, Unreadable> {
        Presented::parse(text).map(Self::ApiKey).map_err(Unreadable::ApiKey)
    }
}

fn single<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
    repeated: &'static str,
) -> Result<Option<&'h [u8]>, Unreadable> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => Ok(Some(value.as_bytes())),
        (Some(_), Some(_)) => Err(Unreadable::Headers(repeated)),
    }
}

fn bearer(value: &[u8]) -> Result<&[u8], Unreadable> {
    const SCHEME: &[u8] = b"bearer ";
    match value.split_at_checked(SCHEME.len()) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(SCHEME) => Ok(token.trim_ascii()),
        _ => Err(Unreadable::Headers(
            "the Authorization header is not of the form 'Bearer <API key>': send the API key in X-API-Key",
        )),
    }
}

/// Takes out what proves a caller's identity, so that nothing behind the door ever sees it.
pub(crate) fn strip(headers: &mut HeaderMap) {
    headers.remove(&API_KEY_HEADER);
    headers.remove(&AUTHORIZATION);
}
