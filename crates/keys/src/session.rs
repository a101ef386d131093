use std::fmt;

use aes_gcm::aead::AeadInOut as _;
use aes_gcm::{Aes256Gcm, Nonce, Tag};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand_core::TryCryptoRng;

use crate::error::random;
use crate::{AccessKeyId, ApiKeyId, AppId, Error, Presented};

/// The most bytes that the session id of an upstream has, before it is sealed.
pub const MAX_SESSION_ID_LEN: usize = 1024;

const LABEL: &[u8] = b"keyward session id 1";
const NONCE_LEN: usize = 12;
const TAG_LEN: usize = 16;

/// The most characters of a sealed session id.
const MAX_SEALED_LEN: usize = ((NONCE_LEN + MAX_SESSION_ID_LEN + TAG_LEN) * 4).div_ceil(3);

/// Who opens a session: nobody else may present it.
///
/// What is told apart is the key as it is: one narrowed from it, or issued anew, is another.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SessionOwner(Identity);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Identity {
    Anyone,
    ApiKey { access_key_id: AccessKeyId, key_id: ApiKeyId, caveats_digest: [u8; 32] },
}

impl SessionOwner {
    /// Whoever comes without a credential to an app that lets everyone in: all of them are one.
    pub const ANYONE: Self = Self(Identity::Anyone);

    /// Whoever presents this API key. That it verifies is the caller's to check.
    pub fn api_key(presented: &Presented) -> Self {
        Self(Identity::ApiKey {
            access_key_id: presented.access_key_id(),
            key_id: presented.key_id(),
            caveats_digest: presented.caveats_digest(),
        })
    }

    fn append_to(&self, bytes: &mut Vec<u8>) {
        match &self.0 {
            Identity::Anyone => bytes.push(0),
            Identity::ApiKey { access_key_id, key_id, caveats_digest } => {
                bytes.push(1);
                bytes.extend_from_slice(access_key_id.as_bytes());
                bytes.extend_from_slice(key_id.as_bytes());
                bytes.extend_from_slice(caveats_digest);
            }
        }
    }
}

impl fmt::Debug for SessionOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Identity::Anyone => f.write_str("SessionOwner(anyone)"),
            Identity::ApiKey { key_id, .. } => write!(f, "SessionOwner({key_id})"),
        }
    }
}

/// Seals the session ids of upstreams to where and by whom they were opened.
///
/// Made by [`MasterKeys::session_seals`](crate::MasterKeys::session_seals): the first master key
/// seals, all open. A sealed id is unpadded base64url of nonce (12 random bytes), ciphertext and
/// tag (16) of AES-256-GCM, so it is the visible ASCII that a header wants. Associated data:
/// `keyward session id 1`, app id, the length of the server's name in 4 bytes, that name in lower
/// case, then 0 for anyone, or 1, access key id, key id and SHA-256 of the caveats.
pub struct SessionSeals {
    first: Aes256Gcm,
    others: Vec<Aes256Gcm>,
}

impl SessionSeals {
    pub(crate) const fn new(first: Aes256Gcm, others: Vec<Aes256Gcm>) -> Self {
        Self { first, others }
    }

    /// Seals a session id for its owner on this server, whose name may have any case. No two seals
    /// of one id are alike.
    ///
    /// # Errors
    /// [`Error::SessionId`] unless it has 1 to [`MAX_SESSION_ID_LEN`] characters of visible ASCII,
    /// which is what MCP allows (Streamable HTTP, session management); [`Error::Random`] if the
    /// random source fails.
    pub fn seal<R: TryCryptoRng + ?Sized>(
        &self,
        rng: &mut R,
        session_id: &[u8],
        app: &AppId,
        server: &str,
        owner: &SessionOwner,
    ) -> Result<String, Error> {
        if !is_session_id(session_id) {
            return Err(Error::SessionId);
        }
        let nonce = random::<NONCE_LEN, _>(rng)?;
        let mut sealed = Vec::with_capacity(NONCE_LEN + session_id.len() + TAG_LEN);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(session_id);
        let (_, ciphertext) = sealed.split_at_mut(NONCE_LEN);
        let tag = self
            .first
            .encrypt_inout_detached(
                &Nonce::from(nonce),
                &associated_data(app, server, owner),
                ciphertext.into(),
            )
            .map_err(|_source| Error::SessionId)?;
        sealed.extend_from_slice(&tag);
        Ok(URL_SAFE_NO_PAD.encode(sealed))
    }

    /// Opens what was sealed for this owner on this server, whose name may have any case. Nothing
    /// for anything else, and no telling what was wrong with it: to whoever presents it, it is an
    /// unknown session.
    pub fn open(
        &self,
        sealed: &[u8],
        app: &AppId,
        server: &str,
        owner: &SessionOwner,
    ) -> Option<String> {
        if sealed.len() > MAX_SEALED_LEN {
            return None;
        }
        let sealed = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonce, rest) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let (ciphertext, tag) = rest.split_last_chunk::<TAG_LEN>()?;
        let data = associated_data(app, server, owner);
        [&self.first].into_iter().chain(&self.others).find_map(|cipher| {
            let mut session_id = ciphertext.to_vec();
            cipher
                .decrypt_inout_detached(
                    &Nonce::from(*nonce),
                    &data,
                    session_id.as_mut_slice().into(),
                    &Tag::from(*tag),
                )
                .ok()?;
            String::from_utf8(session_id).ok()
        })
    }
}

impl fmt::Debug for SessionSeals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionSeals(..)")
    }
}

fn is_session_id(bytes: &[u8]) -> bool {
    (1..=MAX_SESSION_ID_LEN).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
}

fn associated_data(app: &AppId, server: &str, owner: &SessionOwner) -> Vec<u8> {
    let mut data = Vec::with_capacity(192);
    data.extend_from_slice(LABEL);
    data.extend_from_slice(app.as_bytes());
    let server_len = u32::try_from(server.len()).unwrap_or(u32::MAX);
    data.extend_from_slice(&server_len.to_be_bytes());
    data.extend(server.bytes().map(|byte| byte.to_ascii_lowercase()));
    owner.append_to(&mut data);
    data
}
