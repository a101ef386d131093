use std::fmt;

use rand_core::TryCryptoRng;
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::error::random;
use crate::{Error, Malformed, text};

const PREFIX: &[u8; text::PREFIX_LEN] = b"kwo1_";

/// The token that guards the management plane: `kwo1_`, 32 random bytes in base64url, and a
/// checksum as API keys have it.
pub struct OperatorToken(SecretString);

impl OperatorToken {
    /// Draws a new token.
    ///
    /// # Errors
    /// [`Error::Random`] if the random source fails.
    pub fn generate<R: TryCryptoRng + ?Sized>(rng: &mut R) -> Result<Self, Error> {
        let secret = Zeroizing::new(random::<32, _>(rng)?);
        Ok(Self::from_secret(&secret))
    }

    /// Parses the text of a token, without white space around it.
    ///
    /// # Errors
    /// [`Error::OperatorToken`], which does not repeat the text.
    pub fn parse(given: &str) -> Result<Self, Error> {
        let body = text::read(PREFIX, given.as_bytes()).map_err(Error::OperatorToken)?;
        if body.len() != 32 {
            return Err(Error::OperatorToken(Malformed::BodyLength));
        }
        Ok(Self(SecretString::from(given)))
    }

    pub(crate) fn from_secret(secret: &[u8; 32]) -> Self {
        Self(text::write(PREFIX, secret))
    }

    /// The random bytes behind the text.
    pub(crate) fn secret(&self) -> Result<Zeroizing<[u8; 32]>, Error> {
        let body = text::read(PREFIX, self.expose().as_bytes()).map_err(Error::OperatorToken)?;
        let secret = body.as_array().ok_or(Error::OperatorToken(Malformed::BodyLength))?;
        Ok(Zeroizing::new(*secret))
    }

    /// Returns the text, to be kept in a file of mode 0600 or shown to who asks for it: never to a
    /// log or an error.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Tells whether what a caller presented is this token, in a time that does not depend on
    /// where they differ.
    pub fn matches(&self, presented: &str) -> bool {
        self.expose().as_bytes().ct_eq(presented.as_bytes()).into()
    }
}

impl fmt::Debug for OperatorToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OperatorToken(..)")
    }
}
