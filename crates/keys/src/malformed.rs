/// Why a text is not the canonical form of a key.
///
/// `Display` is a fragment for a message. Which of several reasons is given for a text with more
/// than one fault is not part of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// The text is longer than [`MAX_TEXT_LEN`](crate::MAX_TEXT_LEN).
    #[error("it is too long")]
    TooLong,
    /// The text does not begin with the prefix of its kind.
    #[error("it does not begin with the right prefix")]
    Prefix,
    /// The last six characters are not the checksum of what is before them.
    #[error("its checksum does not fit, so a character is missing or altered")]
    Checksum,
    /// The body is not base64url in its canonical form.
    #[error("its body is not canonical base64url")]
    Base64,
    /// The body does not have the length that its kind needs.
    #[error("its body has the wrong length")]
    BodyLength,
    /// A caveat's kind is none that this version knows.
    #[error("it carries a restriction of an unknown kind")]
    CaveatKind,
    /// A caveat's length is not its kind's, or passes the end of the body.
    #[error("a restriction in it has the wrong length")]
    CaveatLength,
    /// There are more than [`MAX_CAVEATS`](crate::MAX_CAVEATS) caveats.
    #[error("it carries too many restrictions")]
    TooManyCaveats,
    /// A list of scopes is empty or has an empty entry.
    #[error("it carries an empty scope")]
    EmptyScope,
    /// A scope is not in its canonical form.
    #[error("a scope in it is not in its canonical form")]
    Scope,
    /// A list of scopes is not sorted, or names one twice.
    #[error("the scopes in it are not sorted and unique")]
    ScopeOrder,
    /// A list of scopes has more than [`MAX_SCOPES`](crate::MAX_SCOPES) entries.
    #[error("it carries too many scopes")]
    TooManyScopes,
}

impl Malformed {
    /// Returns the stable name of the reason, in snake case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Prefix => "prefix",
            Self::Checksum => "checksum",
            Self::Base64 => "base64",
            Self::BodyLength => "body_length",
            Self::CaveatKind => "caveat_kind",
            Self::CaveatLength => "caveat_length",
            Self::TooManyCaveats => "too_many_caveats",
            Self::EmptyScope => "empty_scope",
            Self::Scope => "scope",
            Self::ScopeOrder => "scope_order",
            Self::TooManyScopes => "too_many_scopes",
        }
    }
}
