use crate::{Malformed, Timestamp};

/// Why a request's API key is not accepted.
///
/// `Display` is the text that the client gets: which it is, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no credential.
    #[error(
        "No API key was sent. Send one in the X-API-Key header; whoever runs this MCP server \
         issues them."
    )]
    Missing,
    /// There are two different credentials, or a header is repeated.
    #[error("More than one credential was sent. Send one API key, once, in the X-API-Key header.")]
    Repeated,
    /// The app takes no API keys.
    #[error("This MCP server does not accept API keys.")]
    NotAccepted,
    /// The text is not that of an API key.
    #[error(
        "The API key is malformed: {0}. Copy the whole key again, from kwk1_ to its last \
         character, or ask whoever runs this MCP server for a new one."
    )]
    Malformed(Malformed),
    /// Its not-after has passed.
    #[error("The API key expired at {at}. Ask whoever runs this MCP server for a new one.")]
    Expired {
        /// The last instant at which it was valid.
        at: Timestamp,
    },
    /// Its access key is none of those in force.
    #[error(
        "The API key was derived from an access key that was regenerated, or belongs to another \
         app. Ask whoever runs this MCP server for a new one."
    )]
    AccessKeyRegenerated,
    /// Its tag is wrong.
    #[error(
        "The API key was not issued for this app, or was altered. Check that it belongs to this \
         URL, or ask whoever runs this MCP server for a new one."
    )]
    NotIssuedHere,
    /// The key, or one it was narrowed from, was revoked.
    #[error("The API key was revoked. Ask whoever runs this MCP server for a new one.")]
    Revoked,
    /// The key is good, and does not reach what was asked for.
    #[error(
        "The API key is not for {}: its scopes do not name it. Ask whoever runs this MCP server \
         for a key that reaches it.", target(.server, .tool.as_deref())
    )]
    OutOfScope {
        /// The server that was asked for.
        server: String,
        /// The tool, prompt or resource, if the server is reached and it is not.
        tool: Option<String>,
    },
}

impl Refusal {
    /// Returns the stable name of the reason, in snake case, for logs and counters.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Repeated => "repeated",
            Self::NotAccepted => "not_accepted",
            Self::Malformed(_) => "malformed",
            Self::Expired { .. } => "expired",
            Self::AccessKeyRegenerated => "access_key_regenerated",
            Self::NotIssuedHere => "not_issued_here",
            Self::Revoked => "revoked",
            Self::OutOfScope { .. } => "out_of_scope",
        }
    }
}

/// Names what was asked for, escaped: a client may have sent anything.
fn target(server: &str, tool: Option<&str>) -> String {
    match tool {
        None => format!("this server ({server:?})"),
        Some(tool) => format!("{tool:?} of this server ({server:?})"),
    }
}
