use std::error::Error as _;
use std::fmt;

use http::{Method, StatusCode};
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
        /// Whose it is.
        app: String,
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

/// What a caller is told.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl Error {
    /// Gives the caller's text: what is wrong, and what to do.
    pub(crate) fn answer(&self) -> Answer {
        let of = |status, code, message: String| Answer { status, code, message };
        let bad = |code, message: String| of(StatusCode::BAD_REQUEST, code, message);
        let missing = |code, message: String| of(StatusCode::NOT_FOUND, code, message);
        let conflict = |code, message: String| of(StatusCode::CONFLICT, code, message);
        match self {
            Self::HostNotAllowed => of(
                StatusCode::FORBIDDEN,
                "HostNotAllowed",
                "This listener does not answer to the name in Host: call it as localhost, or \
                 configure the name as an allowed host."
                    .to_owned(),
            ),
            Self::OriginNotAllowed => of(
                StatusCode::FORBIDDEN,
                "OriginNotAllowed",
                "Web pages of other origins may not call this listener.".to_owned(),
            ),
            Self::NoCredential(why) => {
                of(StatusCode::UNAUTHORIZED, "AuthenticationFailed", (*why).to_owned())
            }
            Self::InvalidToken(why) => {
                of(StatusCode::UNAUTHORIZED, "InvalidAuthenticationToken", (*why).to_owned())
            }
            Self::ExpiredToken(at) => of(
                StatusCode::UNAUTHORIZED,
                "ExpiredAuthenticationToken",
                format!("The token in Authorization expired at {at}: use a newer one."),
            ),
            Self::Forbidden(forbidden) => of(
                StatusCode::FORBIDDEN,
                "AuthorizationFailed",
                format!(
                    "This operation needs the role {}, and the caller has the role {}: call it \
                     with the token of an operator who has that role.",
                    forbidden.needed(),
                    forbidden.has()
                ),
            ),
            Self::OperationNotFound => missing(
                "OperationNotFound",
                format!("No operation has this path. The operations are {}.", operation_names()),
            ),
            Self::MethodNotAllowed { method, takes } => of(
                StatusCode::METHOD_NOT_ALLOWED,
                "MethodNotAllowed",
                format!("This operation does not take {}: use {takes}.", Quoted(method.as_str())),
            ),
            Self::MissingApiVersion => bad(
                "MissingApiVersionParameter",
                "The query parameter 'api-version' is required under /subscriptions: add \
                 api-version=2021-02-01."
                    .to_owned(),
            ),
            Self::InvalidApiVersion(given) => bad(
                "InvalidApiVersionParameter",
                format!(
                    "The query parameter 'api-version' is {}: expected a date such as 2021-02-01, \
                     or 2021-02-01-preview.",
                    Quoted(given)
                ),
            ),
            Self::SubscriptionNotFound(given) => missing(
                "SubscriptionNotFound",
                format!("The subscription {} was not found here.", Quoted(given)),
            ),
            Self::ResourceGroupNotFound(given) => missing(
                "ResourceGroupNotFound",
                format!("The resource group {} was not found here.", Quoted(given)),
            ),
            Self::AppNotFound(given) if given.is_empty() => missing(
                "ResourceNotFound",
                "No app is served here yet: keyward deploy DIR deploys one.".to_owned(),
            ),
            Self::AppNotFound(given) => {
                missing("ResourceNotFound", format!("No app {} is served here.", Quoted(given)))
            }
            Self::AppNotNamed(names) => bad(
                "MissingAppParameter",
                format!(
                    "Several apps are served here: add the query parameter 'app', one of {}.",
                    names.join(", ")
                ),
            ),
            Self::InvalidQuery { name, why } => {
                bad("InvalidQueryParameterValue", format!("The query parameter '{name}' {why}."))
            }
            Self::BodyTooLarge => of(
                StatusCode::PAYLOAD_TOO_LARGE,
                "RequestEntityTooLarge",
                format!("The body is larger than {} bytes.", limits::BODY_BYTES),
            ),
            Self::BodyTooSlow => of(
                StatusCode::REQUEST_TIMEOUT,
                "RequestTimeout",
                format!("The body did not arrive within {} s.", limits::BODY_TIME.as_secs()),
            ),
            Self::BodyBroken => {
                bad("InvalidRequestContent", "The body did not arrive whole.".to_owned())
            }
            Self::InvalidRequestContent(message) => bad("InvalidRequestContent", message.clone()),
            Self::InvalidKeyType(message) => bad("InvalidKeyType", message.clone()),
            Self::InvalidNotAfter(message) => bad("InvalidNotAfter", message.clone()),
            Self::InvalidScope(message) => bad("InvalidScope", message.clone()),
            Self::McpServerNotFound { given, names, hint } => missing(
                "McpServerNotFound",
                format!(
                    "The app has no MCP server {}: expected one of {}.{hint}",
                    Quoted(given),
                    names.join(", ")
                ),
            ),
            Self::McpServerNotEnabled => bad(
                "McpServerNotEnabled",
                "The app's MCP endpoints are off: set \
                 extensions.workflow.McpServerEndpoints.enable to true in host.json."
                    .to_owned(),
            ),
            Self::McpServerApiKeyNotEnabled => bad(
                "McpServerApiKeyNotEnabled",
                "The app does not accept API keys: set \
                 extensions.workflow.McpServerEndpoints.authentication.type to ApiKey in \
                 host.json, or call without getApikey=true."
                    .to_owned(),
            ),
            Self::ApiKeyNotFound(given) => missing(
                "ApiKeyNotFound",
                format!(
                    "The app's register has no API key {}: listMcpApiKeys (keyward key list) lists \
                     them.",
                    Quoted(given)
                ),
            ),
            Self::BackupUnderWay => of(
                StatusCode::CONFLICT,
                "BackupUnderWay",
                "Another backup is being taken from this process: wait for its end.".to_owned(),
            ),
            Self::InvalidDeployment(lines) => bad(
                "InvalidDeployment",
                format!("The files do not hold, and nothing was changed: {}.", told(lines)),
            ),
            Self::DeploymentNotAllowed(lines) => bad(
                "DeploymentNotAllowed",
                format!(
                    "This replica's configuration does not allow it, and nothing was changed: {}.",
                    told(lines)
                ),
            ),
            Self::DeploymentTooLarge => of(
                StatusCode::PAYLOAD_TOO_LARGE,
                "RequestEntityTooLarge",
                format!(
                    "The files have more than {} bytes together, or the body more than {}.",
                    limits::DEPLOYMENT_BYTES,
                    limits::DEPLOYMENT_BODY_BYTES
                ),
            ),
            Self::InvalidAppName(why) => bad("InvalidAppName", format!("The app's name {why}.")),
            Self::InvalidPublicUrl(why) => bad("InvalidPublicUrl", format!("publicUrl: {why}.")),
            Self::PublicUrlTaken { url, app } => conflict(
                "PublicUrlTaken",
                format!("The app {app} is reached at {url}: give this one another publicUrl."),
            ),
            Self::DeploymentNotFound(Some(version)) => missing(
                "DeploymentNotFound",
                format!(
                    "No version {version} of the app is kept: listMcpDeployments (keyward deploy --list) \
                     lists them."
                ),
            ),
            Self::DeploymentNotFound(None) => missing(
                "DeploymentNotFound",
                "No version before the one in force is kept: listMcpDeployments (keyward deploy --list) \
                 lists them."
                    .to_owned(),
            ),
            Self::DeploymentConflict => conflict(
                "DeploymentConflict",
                "Somebody else changed the app meanwhile, and nothing of this was deployed: look at \
                 listMcpDeployments (keyward deploy --list), and send it again."
                    .to_owned(),
            ),
            Self::RollbackWidensAuthentication { from, to } => conflict(
                "RollbackWidensAuthentication",
                format!(
                    "That version's authentication type is {to}, which lets in more than {from}, the \
                     one in force: send force true if that is meant."
                ),
            ),
            Self::ServedFromFolder(what) => conflict("ServedFromFolder", (*what).to_owned()),
            Self::NotYetInForce { waiting_for } => of(
                StatusCode::SERVICE_UNAVAILABLE,
                "NotYetInForce",
                format!(
                    "The change is durable, so do not repeat it; but {} may still go by what was \
                     before. It is in force once listMcpAccessKeys (keyward access-key list) says so.",
                    who(waiting_for)
                ),
            ),
            Self::Store(error) if error.is_unavailable() => of(
                StatusCode::SERVICE_UNAVAILABLE,
                "StoreUnavailable",
                "The store does not answer, and nothing was changed. Try again; GET /readyz on this \
                 listener says more."
                    .to_owned(),
            ),
            Self::Store(_)
            | Self::Folder(_)
            | Self::TakenBack
            | Self::CutShort(_)
            | Self::Rendering(_) => of(
                StatusCode::INTERNAL_SERVER_ERROR,
                "InternalServerError",
                "The operation failed here. What it was to change may have stayed as it was: \
                 listMcpAccessKeys, listMcpApiKeys and listMcpDeployments show how it stands. The log \
                 has the reason under the id in x-ms-request-id."
                    .to_owned(),
            ),
        }
    }

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

/// Names replicas as the subject of a sentence.
fn who(replicas: &[String]) -> String {
    match replicas {
        [] => "a replica".to_owned(),
        [one] => format!("the replica {one}"),
        several => format!("the replicas {}", several.join(", ")),
    }
}

/// Lines for one message: the first of them, if they are many.
fn told(lines: &[String]) -> String {
    let told: Vec<&str> = lines.iter().take(limits::TOLD_PROBLEMS).map(String::as_str).collect();
    match lines.len().saturating_sub(told.len()) {
        0 => told.join("; "),
        more => format!("{}; and {more} more", told.join("; ")),
    }
}

fn operation_names() -> String {
    let names: Vec<&str> = crate::OPERATIONS.iter().map(|operation| operation.name).collect();
    names.join(", ")
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
