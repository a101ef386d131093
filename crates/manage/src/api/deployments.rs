use std::sync::Arc;

use axum::response::Response;
use keys::permission::{Owner, Reader};
use serde::Serialize;
use serde_json::value::RawValue;
use store::{DeploymentRow, Version};

use super::body::{self, Members, Object, invalid};
use super::call::Call;
use super::rendering::{self, Instant, ListJson};
use crate::error::{Quoted, Result};
use crate::ops::{Artifacts, Deployed, url_of};
use crate::{Manage, limits};

pub(super) async fn deploy_app(manage: Arc<Manage>, call: Call<String>) -> Result<Response> {
    let app = manage.named_app(&call.app).await?;
    let by = call.caller.require::<Owner>(app.id)?;
    let body = body::read_deployment(&call.headers, call.body).await?;
    let given = given(&body, &["files", "publicUrl"])?;
    if given.artifacts.files.is_empty() {
        return Err(invalid("files has no file: send all files of the app.".to_owned()));
    }
    let deployed = manage.deploy_app(by, app, given.artifacts, given.public_url.as_deref()).await?;
    rendering::json(&DeployedJson::from(&deployed))
}

pub(super) async fn deploy_workflow_artifacts(manage: Arc<Manage>, call: Call) -> Result<Response> {
    let by = call.require::<Owner>()?;
    let body = body::read_deployment(&call.headers, call.body).await?;
    let artifacts = given(&body, &["files", "appSettings"])?.artifacts;
    if artifacts.files.is_empty() && artifacts.app_settings.is_empty() {
        return Err(invalid("The body names no file and no app setting to write.".to_owned()));
    }
    let deployed = manage.deploy_artifacts(by, &call.app, artifacts).await?;
    rendering::json(&DeployedJson::from(&deployed))
}

pub(super) async fn list_mcp_deployments(manage: Arc<Manage>, mut call: Call) -> Result<Response> {
    let by = call.require::<Reader>()?;
    call.members(&[]).await?;
    let rows = manage.deployed_versions(&by).await?;
    rendering::json(&ListJson::all(rows.iter().map(DeploymentJson::from)))
}

pub(super) async fn rollback_deployment(manage: Arc<Manage>, mut call: Call) -> Result<Response> {
    let by = call.require::<Owner>()?;
    let reader = call.require::<Reader>()?;
    let members = call.members(&["version", "force"]).await?;
    let version = members.as_ref().map(|members| members.number("version")).transpose()?.flatten();
    let force = members.as_ref().map(|members: &Members| members.flag("force")).transpose()?;
    let (version, force) = (version.map(Version::new), force.unwrap_or_default());
    let deployed = manage.roll_back(by, &reader, &call.app, version, force).await?;
    rendering::json(&DeployedJson::from(&deployed))
}

/// What a deployment's body says.
#[derive(Default)]
struct Given {
    artifacts: Artifacts,
    public_url: Option<String>,
}

fn given(body: &[u8], known: &[&'static str]) -> Result<Given> {
    let mut given = Given::default();
    for (name, value) in Object::parse(body, known)?.0 {
        match name.as_str() {
            "files" => given.artifacts.files = files(&value)?,
            "appSettings" => given.artifacts.app_settings = settings(&value)?,
            _ => given.public_url = Some(text(&name, &value)?),
        }
    }
    Ok(given)
}

/// Reads each file's text: that of a string, or JSON as it stands.
fn files(value: &RawValue) -> Result<Vec<(String, String)>> {
    let files = Object::within("files", value)?.0.into_iter().map(|(path, content)| {
        let json = content.get();
        let text = match json.as_bytes().first() {
            Some(b'"') => text(&path, &content)?,
            Some(b'{') => json.to_owned(),
            _ => {
                let path = Quoted(&path);
                return Err(invalid(format!(
                    "The content of {path} must be an object, or a string with the file's text."
                )));
            }
        };
        Ok((path, text))
    });
    files.collect()
}

fn settings(value: &RawValue) -> Result<Vec<(String, String)>> {
    let settings = Object::within("appSettings", value)?.0.into_iter();
    let settings = settings.map(|(name, value)| {
        if name.trim().is_empty() || name.contains(char::is_control) {
            return Err(invalid(format!("{} is no name of an app setting.", Quoted(&name))));
        }
        let value = text(&name, &value)?;
        Ok((name, value))
    });
    settings.collect()
}

/// Reads a string; no message repeats what else it is, since it may be a secret.
fn text(name: &str, value: &RawValue) -> Result<String> {
    serde_json::from_str(value.get())
        .map_err(|_| invalid(format!("{} must be text, as a JSON string.", Quoted(name))))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DeployedJson<'a> {
    app: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<Version>,
    public_url: &'a str,
    changed: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    restores: Option<Version>,
    widens_authentication: bool,
    servers: Vec<ServerJson<'a>>,
    left_out: Vec<String>,
}

#[derive(Serialize)]
struct ServerJson<'a> {
    name: &'a str,
    url: String,
}

impl<'a> From<&'a Deployed> for DeployedJson<'a> {
    fn from(deployed: &'a Deployed) -> Self {
        let Deployed { app, name, version, public_url, note } = deployed;
        let servers = app.servers().iter().filter(|_| app.mcp_enabled());
        let servers = servers
            .map(|server| ServerJson { name: server.name(), url: url_of(public_url, app, server) });
        Self {
            app: name,
            version: *version,
            public_url: public_url.as_str().trim_end_matches('/'),
            changed: &note.changed,
            restores: note.restores,
            widens_authentication: note.widens_authentication,
            servers: servers.collect(),
            left_out: app.left_out().iter().map(ToString::to_string).collect(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DeploymentJson<'a> {
    version: Version,
    is_current: bool,
    deployed_at: Instant,
    deployed_by: &'a str,
    operation: &'static str,
    restores: Option<Version>,
    authentication: Option<&'a str>,
    widens_authentication: bool,
    changed: &'a [String],
}

impl<'a> From<&'a DeploymentRow> for DeploymentJson<'a> {
    fn from(row: &'a DeploymentRow) -> Self {
        Self {
            version: row.version,
            is_current: row.is_current,
            deployed_at: Instant(row.deployed_at),
            deployed_by: &row.deployed_by,
            operation: row.note.operation.as_str(),
            restores: row.note.restores,
            authentication: row.note.authentication.as_deref(),
            widens_authentication: row.note.widens_authentication,
            changed: &row.note.changed,
        }
    }
}

// The limit stands where the body is read, and is told where it is passed.
const _: () = assert!(limits::DEPLOYMENT_BODY_BYTES > limits::DEPLOYMENT_BYTES);
