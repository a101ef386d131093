use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::access_key::{TAG_LEN, extend_tag};
use crate::caveat::{self, Caveat, Caveats};
use crate::{
    AccessKey, AccessKeyId, ApiKeyId, AppId, ChildId, Claims, Error, MAX_CAVEATS, Malformed, Reach,
    Refusal, Terms, Timestamp, text,
};

/// The most characters that the text of an API key has.
pub const MAX_TEXT_LEN: usize = 1024;

const PREFIX: &[u8; text::PREFIX_LEN] = b"kwk1_";

/// Access key id and key id.
const HEAD_LEN: usize = 4 + 16;

/// An API key that was just issued or narrowed.
///
/// Its text leaves through [`ApiKey::expose`] and no other way.
pub struct ApiKey(SecretString);

impl ApiKey {
    /// Returns the text, to be handed to whom the key is for: never to a log, an error or a store.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(..)")
    }
}

/// Writes an API key: a body without its tag, and the tag.
pub(crate) fn write(mut body: Vec<u8>, tag: &[u8; TAG_LEN]) -> Result<ApiKey, Error> {
    if text::text_len(body.len() + TAG_LEN) > MAX_TEXT_LEN {
        return Err(Error::TooLong);
    }
    body.reserve_exact(TAG_LEN);
    let mut body = Zeroizing::new(body);
    body.extend_from_slice(tag);
    Ok(ApiKey(text::write(PREFIX, &body)))
}

/// An API key that somebody presented: its text has the form of one, and nothing is verified yet.
pub struct Presented {
    /// Head, caveats, tag; at least as long as head and tag.
    body: Zeroizing<Vec<u8>>,
    claims: Claims,
    caveat_count: usize,
}

impl Presented {
    /// Parses the text of an API key. Takes any bytes, and looks at no more than
    /// [`MAX_TEXT_LEN`] of them.
    ///
    /// # Errors
    /// [`Refusal::Malformed`] if it is not the one text of an API key.
    pub fn parse(text: &[u8]) -> Result<Self, Refusal> {
        Self::parse_text(text).map_err(Refusal::Malformed)
    }

    fn parse_text(text: &[u8]) -> Result<Self, Malformed> {
        if text.len() > MAX_TEXT_LEN {
            return Err(Malformed::TooLong);
        }
        let body = text::read(PREFIX, text)?;
        let (access_key_id, rest) = body.split_first_chunk().ok_or(Malformed::BodyLength)?;
        let (key_id, rest) = rest.split_first_chunk().ok_or(Malformed::BodyLength)?;
        let (caveats, _tag) = rest.split_last_chunk::<TAG_LEN>().ok_or(Malformed::BodyLength)?;
        let mut claims = Claims {
            access_key_id: AccessKeyId::from_bytes(*access_key_id),
            key_id: ApiKeyId::from_bytes(*key_id),
            child_ids: Vec::new(),
            not_after: None,
        };
        let mut caveat_count = 0;
        for caveat in Caveats::new(caveats) {
            caveat_count += 1;
            if caveat_count > MAX_CAVEATS {
                return Err(Malformed::TooManyCaveats);
            }
            match caveat? {
                Caveat::NotAfter(at) => {
                    claims.not_after = Some(claims.not_after.map_or(at, |earlier| earlier.min(at)));
                }
                Caveat::Scopes(_) => {}
                Caveat::Child(id) => claims.child_ids.push(id),
            }
        }
        Ok(Self { body, claims, caveat_count })
    }

    /// Returns what the key says of itself.
    pub const fn claims(&self) -> &Claims {
        &self.claims
    }

    /// Returns the id of the access key that it says it was derived from.
    pub const fn access_key_id(&self) -> AccessKeyId {
        self.claims.access_key_id
    }

    /// Returns the id that it was issued with, which narrowing keeps.
    pub const fn key_id(&self) -> ApiKeyId {
        self.claims.key_id
    }

    /// Returns the ids that narrowings added, the first narrowing's first.
    pub fn child_ids(&self) -> &[ChildId] {
        self.claims.child_ids()
    }

    /// Returns the last instant at which the key is valid, the earliest of those it carries;
    /// nothing if it never expires.
    pub const fn not_after(&self) -> Option<Timestamp> {
        self.claims.not_after
    }

    /// Computes what the key reaches, the intersection of all scopes it carries; nothing if it is
    /// the whole app.
    pub fn scopes(&self) -> Option<Reach> {
        caveat::reach(self.caveats())
    }

    /// Returns the SHA-256 of the caveats: what, beside the ids, makes one key differ from another.
    pub fn caveats_digest(&self) -> [u8; 32] {
        Sha256::digest(self.caveats()).into()
    }

    /// Makes a key that reaches no more and lasts no longer, without any secret but this key: adds
    /// the terms' not-after, their scopes, and the child id, in this order.
    ///
    /// Terms that are wider than this key's change nothing: all that a key carries applies.
    ///
    /// # Errors
    /// [`Error::NotAfterOutOfRange`], [`Error::TooManyCaveats`] past [`MAX_CAVEATS`] in all, and
    /// [`Error::TooLong`] past [`MAX_TEXT_LEN`].
    pub fn narrow(&self, child: ChildId, terms: &Terms) -> Result<ApiKey, Error> {
        let added_count =
            1 + usize::from(terms.not_after.is_some()) + usize::from(terms.scopes.is_some());
        if self.caveat_count + added_count > MAX_CAVEATS {
            return Err(Error::TooManyCaveats);
        }
        let (untagged, tag) = self.untagged();
        let mut body = untagged.to_vec();
        caveat::append(&mut body, terms, Some(child))?;
        let added = Caveats::new(body.get(untagged.len()..).unwrap_or_default());
        let tag = extend_tag(Zeroizing::new(*tag), added);
        write(body, &tag)
    }

    /// Tells, in constant time, whether the key was derived from this access key for this app.
    pub(crate) fn is_derived_from(&self, key: &AccessKey, app: &AppId) -> bool {
        let (_, tag) = self.untagged();
        let right = key.tag(app, self.key_id(), Caveats::new(self.caveats()));
        tag.ct_eq(&*right).into()
    }

    fn caveats(&self) -> &[u8] {
        self.untagged().0.get(HEAD_LEN..).unwrap_or_default()
    }

    fn untagged(&self) -> (&[u8], &[u8; TAG_LEN]) {
        self.body.split_last_chunk().unwrap_or((&[], &[0; TAG_LEN]))
    }
}

impl fmt::Debug for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presented").field("claims", &self.claims).finish_non_exhaustive()
    }
}
