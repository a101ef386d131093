use std::fmt;
use std::str::FromStr;

use rand_core::TryCryptoRng;
use uuid::Uuid;

use crate::error::random;
use crate::{Error, Timestamp};

/// Declares an id of so many random bytes, printed and parsed as lower-case hexadecimal.
macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident, $len:literal, $what:literal, $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $len]);

        impl $name {
            /// Draws a new id.
            ///
            /// # Errors
            /// [`Error::Random`] if the random source fails.
            pub fn generate<R: TryCryptoRng + ?Sized>(rng: &mut R) -> Result<Self, Error> {
                random(rng).map(Self)
            }

            /// Makes the id that has these bytes.
            pub const fn from_bytes(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// Returns the id's bytes.
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self, Error> {
                parse_hex(text).map(Self).ok_or_else(|| Error::Id {
                    given: text.to_owned(),
                    what: $what,
                    expected: $expected,
                })
            }
        }
    };
}

random_id!(
    /// The id of an app: random, made with the app, never its name.
    AppId, 16, "app id", "32 hexadecimal digits"
);
random_id!(
    /// The public id of an access key, which every API key derived from it carries.
    AccessKeyId, 4, "access key id", "8 hexadecimal digits"
);
random_id!(
    /// The id that a narrowing adds to an API key.
    ChildId, 16, "child id", "32 hexadecimal digits"
);

fn parse_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = hex_digit(*high)? << 4 | hex_digit(*low)?;
    }
    Some(bytes)
}

const fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// The id of an API key: a UUID of version 7 (RFC 9562, section 5.7), so that ids sort by when
/// they were made. Printed and parsed in its hyphenated form.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiKeyId(Uuid);

impl ApiKeyId {
    /// Draws a new id that begins with `now`.
    ///
    /// # Errors
    /// [`Error::Random`] if the random source fails.
    pub fn generate<R: TryCryptoRng + ?Sized>(now: Timestamp, rng: &mut R) -> Result<Self, Error> {
        let ms = u64::try_from(now.unix_ms()).unwrap_or(0);
        Ok(Self(uuid::Builder::from_unix_timestamp_millis(ms, &random(rng)?).into_uuid()))
    }

    /// Makes the id that has these bytes, whatever their version.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// Returns the id's bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Display for ApiKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.hyphenated())
    }
}

impl fmt::Debug for ApiKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKeyId({self})")
    }
}

impl FromStr for ApiKeyId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        // Braces, URNs and forms without hyphens are UUIDs too, and no id of ours is printed so.
        let uuid = if text.len() == 36 { Uuid::try_parse(text).ok() } else { None };
        uuid.map(Self).ok_or_else(|| Error::Id {
            given: text.to_owned(),
            what: "API key id",
            expected: "a UUID with hyphens",
        })
    }
}

/// What a revocation ends: an API key with all that was narrowed from it, or one narrowed key with
/// all that was narrowed from that.
///
/// Printed and parsed as `KEY`, `KEY/CHILD` or `CHILD`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RevokedId {
    /// An issued API key.
    Key(ApiKeyId),
    /// A key that was narrowed from the API key with this id.
    Child(ApiKeyId, ChildId),
    /// A narrowed key of which no more is known than its child id.
    AnyChild(ChildId),
}

impl RevokedId {
    /// Returns the id of the issued API key, which a narrowed key shares with its parent; nothing
    /// where it is not known.
    pub const fn key_id(&self) -> Option<ApiKeyId> {
        match self {
            Self::Key(key) | Self::Child(key, _) => Some(*key),
            Self::AnyChild(_) => None,
        }
    }
}

impl fmt::Display for RevokedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => write!(f, "{key}"),
            Self::Child(key, child) => write!(f, "{key}/{child}"),
            Self::AnyChild(child) => child.fmt(f),
        }
    }
}

impl FromStr for RevokedId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text.split_once('/') {
            None => match text.parse() {
                Ok(child) => Ok(Self::AnyChild(child)),
                Err(_) => text.parse().map(Self::Key),
            },
            Some((key, child)) => Ok(Self::Child(key.parse()?, child.parse()?)),
        }
    }
}

/// One of the two places of an app that an access key stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// The slot that API keys are derived from unless another is named.
    Primary,
    /// The other slot, so that clients can move before the first is regenerated.
    Secondary,
}

impl Slot {
    /// Both slots, primary first.
    pub const ALL: [Self; 2] = [Self::Primary, Self::Secondary];

    /// Returns the slot's name, `primary` or `secondary`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Secondary => "secondary",
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Slot {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|slot| slot.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| Error::Slot { given: text.to_owned() })
    }
}
