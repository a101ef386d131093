mod answer;

use std::error::Error as _;
use std::fmt;

use http::Method;
use keys::{Forbidden, Timestamp};
use store::Version;

use crate::limits;

/// What the crate's functions return.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// What a caller of the management plane can do about a failure.
///
/// `Display` is for the log, and repeats nothing that a caller sent; [`Error::answer`] is for the
/// caller.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The request names a host that is not ours: a page of another site may have sent it.
    #[error("the host is not one of this listener's")]
    HostNotAllowed,
    /// A browser sent it for a page of another site.
    #[error("the origin is not this listener's own")]
    OriginNotAllowed,
    /// It does not say who is calling.
    #[error("no usable credential")]
    NoCredential(&'static str),
    /// What it says does not prove it.
    #[error("the token is no operator's")]
    InvalidToken(&'static str),
    /// It proves it no longer.
    #[error("the token has expired")]
    ExpiredToken(Timestamp),
    /// The caller lacks a role.
    #[error("not authorized")]
    Forbidden(#[from] Forbidden),
    /// No operation has this path.
    #[error("no such operation")]
    OperationNotFound,
    /// The operation is not called so.
    #[error("the method is not allowed")]
    MethodNotAllowed {
        /// What it was called with.
        method: Method,
        /// What it is called with.
        takes: &'static str,
    },
    /// A path of Azure Resource Manager came without a version.
    #[error("no api-version")]
    MissingApiVersion,
    /// The version is none.
    #[error("a malformed api-version")]
    InvalidApiVersion(String),
    /// Another subscription is configured.
    #[error("no such subscription")]
    SubscriptionNotFound(String),
    /// Another resource group is configured.
    #[error("no such resource group")]
    ResourceGroupNotFound(String),
    /// No app has this name.
    #[error("no such app")]
    AppNotFound(String),
    /// There are several apps, and the request names none.
    #[error("no app named")]
    AppNotNamed(Vec<String>),
    /// A parameter of the query is not what it can be.
    #[error("an invalid query parameter")]
    InvalidQuery {
        /// The parameter's name.
        name: &'static str,
        /// What is wrong with it, as the rest of a sentence that begins with its name.
        why: String,
    },
    /// The body is larger than any that means something.
    #[error("the body is too large")]
    BodyTooLarge,
    /// The body did not arrive in time.
    #[error("the body is too slow")]
    BodyTooSlow,
    /// The body ended before it was whole.
    #[error("the body did not arrive whole")]
    BodyBroken,
    /// The body is not what the operation reads.
    #[error("invalid request content")]
    InvalidRequestContent(String),
    /// Neither primary nor secondary.
    #[error("an invalid key type")]
    InvalidKeyType(String),
    /// No instant that an API key can end at.
    #[error("an invalid not-after")]
    InvalidNotAfter(String),
    /// A scope without a target, or more than a key can carry.
    #[error("an invalid scope")]
    InvalidScope(String),
    /// No server has this name.
    #[error("no such MCP server")]
    McpServerNotFound {
        /// What was asked for.
        given: String,
        /// What there is.
        names: Vec<String>,
        /// A sentence with a space before it, or nothing.
        hint: String,
    },
    /// The app's MCP endpoints are off.
    #[error("MCP endpoints are off")]
    McpServerNotEnabled,
    /// The app's authentication type excludes API keys.
    #[error("API keys are not accepted")]
    McpServerApiKeyNotEnabled,
    /// The register has no such API key.
    #[error("no such API key")]
    ApiKeyNotFound(String),
    /// Files that make no app, or are not written so: a line each.
    #[error("an invalid deployment")]
    InvalidDeployment(Vec<String>),
    /// It asks for more than this replica's configuration allows: a line each.
    #[error("a deployment that is not allowed here")]
    DeploymentNotAllowed(Vec<String>),
    /// All files together, or the body, are too large.
    #[error("the deployment is too large")]
    DeploymentTooLarge,
    /// No name of an app, as a fragment.
    #[error("an invalid name of an app")]
    InvalidAppName(String),
    /// No URL that an app can be reached at, as a fragment.
    #[error("an invalid public URL")]
    InvalidPublicUrl(String),
    /// Another app is reached there.
    #[error("the public URL is taken")]
    PublicUrlTaken {
        /// The URL.
        url: String,
        /// Whose requests they are.
        app: String,
        /// The URL of that app.
        taken: String,
    },
    /// No such version is kept; or none before the one in force.
    #[error("no such deployment")]
    DeploymentNotFound(Option<Version>),
    /// Somebody else has deployed the app meanwhile.
    #[error("another deployment came first")]
    DeploymentConflict,
    /// A rollback would let in whom the version in force refuses.
    #[error("the rollback widens authentication")]
    RollbackWidensAuthentication {
        /// The type in force.
        from: &'static str,
        /// The type of the old version.
        to: &'static str,
    },
    /// The app is served from a folder: what to do, as a sentence.
    #[error("the app is served from a folder")]
    ServedFromFolder(&'static str),
    /// The folder could not be written.
    #[error("the folder could not be written")]
    Folder(#[source] std::io::Error),
    /// The store failed.
    #[error("the store failed")]
    Store(#[source] store::Error),
    /// Another backup is being taken.
    #[error("another backup is being taken")]
    BackupUnderWay,
    /// A change is durable, and somebody may still go by what was before it.
    #[error("not yet in force")]
    NotYetInForce {
        /// What operators call the replicas that are waited for.
        waiting_for: Vec<String>,
    },
    /// A failover or a restore has taken a change back before it was in force.
    #[error("the database has gone back behind the change")]
    TakenBack,
    /// A task of ours ended before its work did.
    #[error("the operation was cut short")]
    CutShort(#[from] tokio::task::JoinError),
    /// What we would answer is no JSON.
    #[error("the answer could not be rendered")]
    Rendering(#[from] serde_json::Error),
}

impl Error {
    /// Gives everything that led here, for the log.
    pub(crate) fn chain(&self) -> String {
        let mut chain = self.to_string();
        let mut source = self.source();
        while let Some(error) = source {
            chain.push_str(": ");
            chain.push_str(&error.to_string());
            source = error.source();
        }
        chain
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Key(keys::Error::NotAfterOutOfRange) => {
                Self::InvalidNotAfter("notAfter must lie before the year 10000.".to_owned())
            }
            store::Error::Key(error @ keys::Error::TooLong) => {
                Self::InvalidScope(format!("scopes are too many for one key: {error}."))
            }
            store::Error::Forbidden(forbidden) => Self::Forbidden(forbidden),
            store::Error::BackupUnderWay => Self::BackupUnderWay,
            store::Error::Overtaken => Self::DeploymentConflict,
            error @ (store::Error::Key(_)
            | store::Error::InUse(_)
            | store::Error::Migrating
            | store::Error::Newer { .. }
            | store::Error::Address(_)
            | store::Error::Token(_)
            | store::Error::Folder { .. }
            | store::Error::Sealed { .. }
            | store::Error::NotFound(_)
            | store::Error::Undeployable { .. }
            | store::Error::TwoSources(_)
            | store::Error::Corrupt { .. }
            | store::Error::TooSlow
            | store::Error::Backup(_)
            | store::Error::BackupLine(_)
            | store::Error::BackupNotTaken
            | store::Error::NotEmpty { .. }
            | store::Error::SealedDeployment { .. }
            | store::Error::OutcomeUnknown(_)
            | store::Error::Migration(_)
            | store::Error::Database(_)) => Self::Store(error),
        }
    }
}

/// What a caller sent, as a message to it may repeat it: cut short, on one line, and never a
/// secret that was put in the wrong place.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if holds_secret(self.0) {
            return f.write_str("(a secret, not repeated)");
        }
        let mut rest = self.0.chars();
        let shown: String = rest.by_ref().take(limits::QUOTED_CHARS).collect();
        let more = if rest.next().is_some() { "…" } else { "" };
        write!(f, "'{}{more}'", shown.escape_debug())
    }
}

/// Whether a text has one of our secrets in it: an API key, an operator token or a master key.
pub(crate) fn holds_secret(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["kwk1_", "kwo1_", "kwm1_"].iter().any(|prefix| text.contains(prefix))
}
