use std::fmt;

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rand_core::TryCryptoRng;
use secrecy::{ExposeSecret as _, SecretBox};
use sha2::Sha256;
use zeroize::{Zeroize as _, Zeroizing};

use crate::api_key::{self, ApiKey};
use crate::caveat::{self, Caveats};
use crate::error::random;
use crate::{AccessKeyId, ApiKeyId, AppId, Error, Scopes, Timestamp};

/// The length of a tag, which is all of HMAC-SHA-256.
pub(crate) const TAG_LEN: usize = 32;

const FIRST_TAG_LABEL: &[u8] = b"keyward api key 1";

/// What an API key is issued under, or narrowed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The last millisecond at which the key is valid; nothing means that it never expires (or,
    /// when narrowing, that its expiry stays).
    pub not_after: Option<Timestamp>,
    /// What the key reaches; nothing means the whole app (or, when narrowing, what it reached).
    pub scopes: Option<Scopes>,
}

/// An access key: the secret of a slot, which API keys are derived from.
///
/// It has no text form. It leaves only sealed, by [`MasterKeys::seal`](crate::MasterKeys::seal).
pub struct AccessKey {
    id: AccessKeyId,
    secret: SecretBox<[u8; 32]>,
    /// HMAC with the derived key already absorbed, which saves half of the work of a first tag.
    keyed: Hmac<Sha256>,
}

impl AccessKey {
    /// Draws a new access key.
    ///
    /// # Errors
    /// [`Error::Random`] if the random source fails.
    pub fn generate<R: TryCryptoRng + ?Sized>(rng: &mut R) -> Result<Self, Error> {
        Self::generate_apart_from(&[], rng)
    }

    /// Draws a new access key with an id other than those taken, which are the app's present ones
    /// and the one that is being replaced: an open response is judged by the id alone.
    ///
    /// # Errors
    /// [`Error::Random`] if the random source fails, or keeps repeating itself.
    pub fn generate_apart_from<R: TryCryptoRng + ?Sized>(
        taken: &[AccessKeyId],
        rng: &mut R,
    ) -> Result<Self, Error> {
        // One draw in four thousand million falls on a taken id; a second in a row is a fault.
        for _ in 0..4 {
            let id = AccessKeyId::generate(rng)?;
            if !taken.contains(&id) {
                return Ok(Self::from_secret(id, random(rng)?));
            }
        }
        Err(Error::Random)
    }

    /// Makes the access key that has this secret, as test vectors need it.
    pub fn from_secret(id: AccessKeyId, mut secret: [u8; 32]) -> Self {
        let mut derived = Zeroizing::new([0; 32]);
        derive(&secret, b"api key", &mut derived);
        let key = Self {
            id,
            secret: SecretBox::init_with_mut(|kept: &mut [u8; 32]| *kept = secret),
            keyed: hmac(&derived),
        };
        secret.zeroize();
        key
    }

    /// Returns the public id, which every API key derived from this access key carries.
    pub const fn id(&self) -> AccessKeyId {
        self.id
    }

    /// Derives an API key for `app`.
    ///
    /// # Errors
    /// [`Error::NotAfterOutOfRange`] for a not-after before 1970 or past the year 9999, and
    /// [`Error::TooLong`] if the key's text would pass [`MAX_TEXT_LEN`](crate::MAX_TEXT_LEN).
    pub fn issue(&self, app: &AppId, id: ApiKeyId, terms: &Terms) -> Result<ApiKey, Error> {
        let mut body = Vec::new();
        body.extend_from_slice(self.id.as_bytes());
        body.extend_from_slice(id.as_bytes());
        let head_len = body.len();
        caveat::append(&mut body, terms, None)?;
        let caveats = Caveats::new(body.get(head_len..).unwrap_or_default());
        let tag = self.tag(app, id, caveats);
        api_key::write(body, &tag)
    }

    /// Computes the tag of an API key with these caveats.
    pub(crate) fn tag(
        &self,
        app: &AppId,
        id: ApiKeyId,
        caveats: Caveats<'_>,
    ) -> Zeroizing<[u8; TAG_LEN]> {
        let mut first = self.keyed.clone();
        first.update(FIRST_TAG_LABEL);
        first.update(app.as_bytes());
        first.update(self.id.as_bytes());
        first.update(id.as_bytes());
        extend_tag(Zeroizing::new(first.finalize().into_bytes().into()), caveats)
    }

    pub(crate) fn secret(&self) -> &[u8; 32] {
        self.secret.expose_secret()
    }
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccessKey({})", self.id)
    }
}

/// Computes the tag that a key has after these caveats more.
pub(crate) fn extend_tag(
    mut tag: Zeroizing<[u8; TAG_LEN]>,
    caveats: Caveats<'_>,
) -> Zeroizing<[u8; TAG_LEN]> {
    for caveat in caveats.raw() {
        let mut next = hmac(&tag);
        next.update(caveat);
        *tag = next.finalize().into_bytes().into();
    }
    tag
}

/// HMAC under a key of 32 bytes.
fn hmac(key: &[u8; 32]) -> Hmac<Sha256> {
    // HMAC fills a short key up with zeros to its block of 64 bytes; a whole block cannot have the
    // wrong length.
    let mut block = Zeroizing::new([0; 64]);
    for (to, from) in block.iter_mut().zip(key) {
        *to = *from;
    }
    let block: &[u8; 64] = &block;
    Hmac::new(block.into())
}

/// HKDF-SHA-256 without a salt.
pub(crate) fn derive(secret: &[u8; 32], info: &[u8], derived: &mut [u8; 32]) {
    #[expect(clippy::expect_used, reason = "HKDF refuses only more than 255 times 32 bytes")]
    Hkdf::<Sha256>::new(None, secret).expand(info, derived).expect("32 bytes are not too many");
}
