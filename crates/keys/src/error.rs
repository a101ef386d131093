/// What can go wrong when something is made, parsed, sealed or opened.
///
/// A presented API key that is not accepted is a [`Refusal`](crate::Refusal) instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The random source gave nothing.
    #[error("reading the random source failed")]
    Random,
    /// The text of the API key would pass [`MAX_TEXT_LEN`](crate::MAX_TEXT_LEN).
    #[error(
        "the API key would be longer than {} characters: name fewer scopes, or whole servers",
        crate::MAX_TEXT_LEN
    )]
    TooLong,
    /// The API key would carry more than [`MAX_CAVEATS`](crate::MAX_CAVEATS) caveats.
    #[error(
        "the API key would carry more than {} caveats: narrow one that was narrowed less often",
        crate::MAX_CAVEATS
    )]
    TooManyCaveats,
    /// A list of scopes is empty.
    #[error("a list of scopes needs at least one entry: leave it out for the whole app")]
    NoScopes,
    /// A list of scopes has more than [`MAX_SCOPES`](crate::MAX_SCOPES) entries.
    #[error("a list of scopes has at most {} entries: name whole servers", crate::MAX_SCOPES)]
    TooManyScopes,
    /// A scope is not `server` or `server/tool`.
    #[error("the scope {given:?} {why}: expected \"server\" or \"server/tool\"")]
    Scope {
        /// The text that was given.
        given: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A not-after lies before 1970 or after the year 9999.
    #[error("a not-after lies between 1970-01-01T00:00:00Z and 9999-12-31T23:59:59.999Z")]
    NotAfterOutOfRange,
    /// An instant is not RFC 3339.
    #[error("{given:?} is not an RFC 3339 instant such as \"2026-01-01T00:00:00Z\"")]
    Timestamp {
        /// The text that was given.
        given: String,
    },
    /// A slot is neither `primary` nor `secondary`.
    #[error("{given:?} is no slot: expected \"primary\" or \"secondary\"")]
    Slot {
        /// The text that was given.
        given: String,
    },
    /// A role is none of `reader`, `issuer`, `owner`.
    #[error("{given:?} is no role: expected \"reader\", \"issuer\" or \"owner\"")]
    Role {
        /// The text that was given.
        given: String,
    },
    /// An id does not have its form.
    #[error("{given:?} is no {what}: expected {expected}")]
    Id {
        /// The text that was given.
        given: String,
        /// Which kind of id was wanted.
        what: &'static str,
        /// The form that it has.
        expected: &'static str,
    },
    /// The text of a master key does not hold.
    #[error("the text is no master key (`kwm1_…`): {0}")]
    MasterKey(crate::Malformed),
    /// The text of an operator token does not hold.
    #[error("the text is no operator token (`kwo1_…`): {0}")]
    OperatorToken(crate::Malformed),
    /// What was sealed does not have the layout of it.
    #[error("what was sealed does not have the layout of it")]
    SealMalformed,
    /// The master key that sealed it is not among those configured.
    #[error("the master key {id} that sealed it is not configured")]
    MasterKeyMissing {
        /// Which one it was.
        id: crate::MasterKeyId,
    },
    /// What was sealed was altered, or belongs to another app and place.
    #[error("what was sealed was altered, or belongs to another app or place")]
    SealBroken,
    /// A session id is not what MCP allows, or longer than
    /// [`MAX_SESSION_ID_LEN`](crate::MAX_SESSION_ID_LEN).
    #[error("the session id is not 1 to {} characters of visible ASCII", crate::MAX_SESSION_ID_LEN)]
    SessionId,
    /// Sealing failed.
    #[error("sealing failed")]
    Seal,
}

/// Fills an array with random bytes.
pub(crate) fn random<const N: usize, R: rand_core::TryCryptoRng + ?Sized>(
    rng: &mut R,
) -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    rng.try_fill_bytes(&mut bytes).map_err(|_source| Error::Random)?;
    Ok(bytes)
}
