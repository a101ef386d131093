use std::fmt;

use aes_gcm::aead::{AeadInOut as _, KeyInit as _};
use aes_gcm::{Aes256Gcm, Nonce, Tag};
use rand_core::TryCryptoRng;
use secrecy::{ExposeSecret as _, SecretBox, SecretString};
use zeroize::Zeroizing;

use crate::access_key::derive;
use crate::error::random;
use crate::{
    AccessKey, AccessKeyId, AppId, Error, Malformed, OperatorToken, SessionSeals, Slot, text,
};

const PREFIX: &[u8; text::PREFIX_LEN] = b"kwm1_";

const LAYOUT: u8 = 1;
const SEAL_LABEL: &[u8] = b"keyward access key 1";
const TOKEN_LABEL: &[u8] = b"keyward operator token 1";
const DEPLOYMENT_LABEL: &[u8] = b"keyward deployment 1";

/// What the keys derived from a master key are for, each its own.
const ACCESS_KEYS: &[u8] = b"seal access keys";
const SESSION_IDS: &[u8] = b"seal session ids";
const OPERATOR_TOKENS: &[u8] = b"seal operator tokens";
const DEPLOYMENTS: &[u8] = b"seal deployments";

/// Names a master key without telling it: 4 bytes derived from it, printed in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct MasterKeyId([u8; 4]);

impl fmt::Display for MasterKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

impl fmt::Debug for MasterKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKeyId({self})")
    }
}

/// A secret that seals access keys, operator tokens, deployments and session ids: as text `kwm1_`, 32 random
/// bytes in base64url, and a checksum as API keys have it.
pub struct MasterKey {
    text: SecretString,
    secret: SecretBox<[u8; 32]>,
}

impl MasterKey {
    /// Draws a new master key.
    ///
    /// # Errors
    /// [`Error::Random`] if the random source fails.
    pub fn generate<R: TryCryptoRng + ?Sized>(rng: &mut R) -> Result<Self, Error> {
        let secret = Zeroizing::new(random(rng)?);
        Ok(Self::from_secret(&secret))
    }

    /// Parses the text of a master key, without white space around it.
    ///
    /// # Errors
    /// [`Error::MasterKey`], which does not repeat the text.
    pub fn parse(given: &str) -> Result<Self, Error> {
        let body = text::read(PREFIX, given.as_bytes()).map_err(Error::MasterKey)?;
        match body.as_array() {
            Some(secret) => Ok(Self::from_secret(secret)),
            None => Err(Error::MasterKey(Malformed::BodyLength)),
        }
    }

    fn from_secret(secret: &[u8; 32]) -> Self {
        Self {
            text: text::write(PREFIX, secret),
            secret: SecretBox::init_with_mut(|kept: &mut [u8; 32]| kept.copy_from_slice(secret)),
        }
    }

    /// Returns the text, to be kept in a file of mode 0600: never to a log or an error.
    pub fn expose(&self) -> &str {
        self.text.expose_secret()
    }

    /// Returns the id, which may be shown.
    pub fn id(&self) -> MasterKeyId {
        let mut derived = [0; 32];
        derive(self.secret.expose_secret(), b"master key id", &mut derived);
        let [a, b, c, d, ..] = derived;
        MasterKeyId([a, b, c, d])
    }

    fn cipher(&self, purpose: &[u8]) -> Aes256Gcm {
        let mut derived = Zeroizing::new([0; 32]);
        derive(self.secret.expose_secret(), purpose, &mut derived);
        let derived: &[u8; 32] = &derived;
        Aes256Gcm::new(derived.into())
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey({})", self.id())
    }
}

/// The master keys that are configured: the first seals, all open.
#[derive(Debug)]
pub struct MasterKeys {
    first: MasterKey,
    others: Vec<MasterKey>,
}

impl MasterKeys {
    /// Takes the key that seals, and those that only open.
    pub fn new(first: MasterKey, others: impl IntoIterator<Item = MasterKey>) -> Self {
        Self { first, others: others.into_iter().collect() }
    }

    /// Returns the id of the key that seals.
    pub fn first_id(&self) -> MasterKeyId {
        self.first.id()
    }

    /// Derives what seals session ids, once: each request then costs the cipher alone.
    pub fn session_seals(&self) -> SessionSeals {
        let others = self.others.iter().map(|master| master.cipher(SESSION_IDS)).collect();
        SessionSeals::new(self.first.cipher(SESSION_IDS), others)
    }

    /// Seals an access key for its place with AES-256-GCM, 65 bytes: layout 1, master key id (4),
    /// nonce (12), ciphertext (32), tag (16). Associated data: `keyward access key 1`, app id,
    /// slot (1 or 2), access key id.
    ///
    /// # Errors
    /// [`Error::Random`] if the random source fails.
    pub fn seal<R: TryCryptoRng + ?Sized>(
        &self,
        rng: &mut R,
        key: &AccessKey,
        app: &AppId,
        slot: Slot,
    ) -> Result<Vec<u8>, Error> {
        self.seal_bytes(rng, ACCESS_KEYS, key.secret(), &associated_data(app, slot, key.id()))
    }

    /// Opens an access key that was sealed for this place.
    ///
    /// # Errors
    /// [`Error::SealMalformed`], [`Error::MasterKeyMissing`], or [`Error::SealBroken`] if it was
    /// altered or sealed for another app, slot or id.
    pub fn open(
        &self,
        sealed: &[u8],
        app: &AppId,
        slot: Slot,
        id: AccessKeyId,
    ) -> Result<AccessKey, Error> {
        let secret = self.open_secret(ACCESS_KEYS, sealed, &associated_data(app, slot, id))?;
        Ok(AccessKey::from_secret(id, *secret))
    }

    /// Seals the token of the operator `name` in the same layout. Associated data: `keyward operator
    /// token 1`, the name.
    ///
    /// # Errors
    /// [`Error::Random`] if the random source fails.
    pub fn seal_operator_token<R: TryCryptoRng + ?Sized>(
        &self,
        rng: &mut R,
        token: &OperatorToken,
        name: &str,
    ) -> Result<Vec<u8>, Error> {
        let data = [TOKEN_LABEL, name.as_bytes()].concat();
        self.seal_bytes(rng, OPERATOR_TOKENS, &*token.secret()?, &data)
    }

    /// Opens an operator token that was sealed for this name.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_operator_token(&self, sealed: &[u8], name: &str) -> Result<OperatorToken, Error> {
        let data = [TOKEN_LABEL, name.as_bytes()].concat();
        Ok(OperatorToken::from_secret(&*self.open_secret(OPERATOR_TOKENS, sealed, &data)?))
    }

    /// Seals the files of an app's version, as bytes of any length, in the same layout with a ciphertext of
    /// that length. Associated data: `keyward deployment 1`, app id, version (8 bytes, big-endian).
    ///
    /// # Errors
    /// [`Error::Random`] if the random source fails; [`Error::Seal`] for more bytes than a cipher takes.
    pub fn seal_deployment<R: TryCryptoRng + ?Sized>(
        &self,
        rng: &mut R,
        files: &[u8],
        app: &AppId,
        version: i64,
    ) -> Result<Vec<u8>, Error> {
        self.seal_bytes(rng, DEPLOYMENTS, files, &deployment_data(app, version))
    }

    /// Opens the files that were sealed for this app and version.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_deployment(
        &self,
        sealed: &[u8],
        app: &AppId,
        version: i64,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.open_bytes(DEPLOYMENTS, sealed, &deployment_data(app, version))
    }

    /// Tells whether the first master key sealed this, so that what another one sealed can be
    /// sealed anew.
    pub fn sealed_by_first(&self, sealed: &[u8]) -> bool {
        Sealed::parse(sealed).is_some_and(|parts| parts.master_key_id == self.first.id())
    }

    fn seal_bytes<R: TryCryptoRng + ?Sized>(
        &self,
        rng: &mut R,
        purpose: &[u8],
        secret: &[u8],
        data: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let nonce = random::<12, _>(rng)?;
        let mut secret = Zeroizing::new(secret.to_vec());
        let tag = self
            .first
            .cipher(purpose)
            .encrypt_inout_detached(&Nonce::from(nonce), data, secret.as_mut_slice().into())
            .map_err(|_source| Error::Seal)?;
        Ok([&[LAYOUT], &self.first.id().0[..], &nonce, &secret, &tag].concat())
    }

    /// Opens what has the 32 bytes of a secret.
    fn open_secret(
        &self,
        purpose: &[u8],
        sealed: &[u8],
        data: &[u8],
    ) -> Result<Zeroizing<[u8; 32]>, Error> {
        if Sealed::parse(sealed).is_none_or(|parts| parts.ciphertext.len() != 32) {
            return Err(Error::SealMalformed);
        }
        let opened = self.open_bytes(purpose, sealed, data)?;
        opened.as_array().map(|secret| Zeroizing::new(*secret)).ok_or(Error::SealMalformed)
    }

    fn open_bytes(
        &self,
        purpose: &[u8],
        sealed: &[u8],
        data: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let parts = Sealed::parse(sealed).ok_or(Error::SealMalformed)?;
        let mut refusal = Error::MasterKeyMissing { id: parts.master_key_id };
        for master in [&self.first].into_iter().chain(&self.others) {
            if master.id() != parts.master_key_id {
                continue;
            }
            let mut secret = Zeroizing::new(parts.ciphertext.to_vec());
            let opened = master.cipher(purpose).decrypt_inout_detached(
                &Nonce::from(parts.nonce),
                data,
                secret.as_mut_slice().into(),
                &Tag::from(parts.tag),
            );
            if opened.is_ok() {
                return Ok(secret);
            }
            refusal = Error::SealBroken;
        }
        Err(refusal)
    }
}

struct Sealed<'s> {
    master_key_id: MasterKeyId,
    nonce: [u8; 12],
    ciphertext: &'s [u8],
    tag: [u8; 16],
}

impl<'s> Sealed<'s> {
    fn parse(sealed: &'s [u8]) -> Option<Self> {
        let (&LAYOUT, rest) = sealed.split_first()? else { return None };
        let (master_key_id, rest) = rest.split_first_chunk()?;
        let (nonce, rest) = rest.split_first_chunk()?;
        let (ciphertext, tag) = rest.split_last_chunk()?;
        Some(Self {
            master_key_id: MasterKeyId(*master_key_id),
            nonce: *nonce,
            ciphertext,
            tag: *tag,
        })
    }
}

fn deployment_data(app: &AppId, version: i64) -> Vec<u8> {
    [DEPLOYMENT_LABEL, app.as_bytes(), &version.to_be_bytes()].concat()
}

fn associated_data(app: &AppId, slot: Slot, id: AccessKeyId) -> Vec<u8> {
    let slot = match slot {
        Slot::Primary => 1,
        Slot::Secondary => 2,
    };
    [SEAL_LABEL, app.as_bytes(), &[slot], id.as_bytes()].concat()
}
