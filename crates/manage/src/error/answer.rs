//! What a caller is told of each failure.

use http::StatusCode;

use super::{Error, Quoted};
use crate::limits;

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
                format!(
                    "The body did not arrive within {} s; that of a deployment has {} s.",
                    limits::BODY_TIME.as_secs(),
                    limits::DEPLOYMENT_BODY_TIME.as_secs()
                ),
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
            Self::PublicUrlTaken { url, app, taken } => conflict(
                "PublicUrlTaken",
                format!(
                    "At {url}, requests to this app and to the app {app}, at {taken}, could not be told \
                     apart: give this one another publicUrl."
                ),
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
                     before. It is in force once listReplicas (keyward replica list) shows none of them \
                     behind.",
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
