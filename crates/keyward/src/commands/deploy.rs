use std::path::Path;
use std::sync::Arc;

use app::{App, Files};
use serde_json::{Map, Value, json};

use super::key::{member, rows};
use crate::arguments::{DeployArguments, Wanted};
use crate::client::{Client, Surroundings, no_body};
use crate::config;
use crate::error::{Error, Result};
use crate::folder::unreadable;
use crate::output;
use crate::place::Place;
use crate::source::Source;

/// How many paths a line of the list names.
const LISTED_PATHS: usize = 3;

/// Deploys an app, lists its versions, or goes back to one.
pub(crate) async fn run(arguments: &DeployArguments, around: &Surroundings<'_>) -> Result<()> {
    match arguments.wanted() {
        Wanted::Deployment(dir) => deploy(dir, arguments, around).await,
        Wanted::List => list(arguments, around).await,
        Wanted::Rollback(version) => roll_back(version, arguments, around).await,
    }
}

async fn deploy(dir: &Path, arguments: &DeployArguments, around: &Surroundings<'_>) -> Result<()> {
    let place = Place::Folder(dir.to_owned());
    let (files, unreadable_names) = checked(&place, around)?;
    let app = match &arguments.call.app {
        Some(name) => config::check_app_name(name).map_err(Error::Usage)?,
        None => place.app_name_for("--app")?,
    };
    let mut body = Map::new();
    body.insert("files".to_owned(), texts(&files)?);
    if let Some(url) = &arguments.public_url {
        body.insert("publicUrl".to_owned(), url.as_str().into());
    }
    let client = Client::find(&arguments.call, around)?.of_app(app);
    let mut answer = client.change("deployApp", &Value::Object(body)).await.map_err(of_files)?;
    if let Some(left_out) = answer.get_mut("leftOut").and_then(Value::as_array_mut) {
        left_out.extend(unreadable_names.iter().map(|name| unreadable(name).into()));
    }
    if arguments.call.json {
        return output::print_json(&answer);
    }
    output::print(&text(&answer, "deployed"))
}

/// What stands against the files, rather than against the command line.
fn of_files(error: Error) -> Error {
    match error {
        Error::Rejected { code, message }
            if matches!(code.as_str(), "InvalidDeployment" | "DeploymentNotAllowed") =>
        {
            Error::Unfit(format!("{message} ({code})"))
        }
        error => error,
    }
}

async fn list(arguments: &DeployArguments, around: &Surroundings<'_>) -> Result<()> {
    let client = Client::find(&arguments.call, around)?;
    let answer = client.call("listMcpDeployments", &[], &no_body()).await?;
    if arguments.call.json {
        return output::print_json(&answer);
    }
    let lines: Vec<[String; 5]> = rows(&answer).map(line).collect();
    if lines.is_empty() {
        return output::print("No version is kept: the app is served from a folder.");
    }
    output::print(&output::table(["VERSION", "DEPLOYED AT", "BY", "WHAT", "CHANGED"], &lines))
}

async fn roll_back(
    version: Option<i64>,
    arguments: &DeployArguments,
    around: &Surroundings<'_>,
) -> Result<()> {
    let client = Client::find(&arguments.call, around)?;
    let mut body = json!({ "force": arguments.force });
    if let (Some(version), Some(body)) = (version, body.as_object_mut()) {
        body.insert("version".to_owned(), version.into());
    }
    let answer = client.change("rollbackDeployment", &body).await;
    let answer = answer.map_err(|error| match of_files(error) {
        Error::Conflict { code, message } if code == "RollbackWidensAuthentication" => {
            let message = message.replace("send force true", "add --force");
            Error::Rejected { code, message }
        }
        error => error,
    })?;
    if arguments.call.json {
        return output::print_json(&answer);
    }
    let what = format!("restores version {}", number(&answer, "restores"));
    output::print(&text(&answer, &what))
}

/// Reads the folder and sees that it holds. What a value of parameters.json lacks on this machine may be there
/// where it is served, which has the last word on everything.
fn checked(place: &Place, around: &Surroundings<'_>) -> Result<(Files, Vec<String>)> {
    let folder = place.read()?;
    let source = Source {
        place: place.clone(),
        environment: Arc::new(around.environment.clone()),
        needs_credential: false,
    };
    let app = App::from_files_in(&folder.files, &source.surroundings());
    if let Err(problems) = app
        && problems.iter().any(|problem| problem.file != "parameters.json")
    {
        return Err(place.unfit(&folder.files, problems));
    }
    Ok((folder.files, folder.unreadable_names))
}

fn texts(files: &Files) -> Result<Value> {
    let text = |(path, bytes): (&str, &[u8])| match str::from_utf8(bytes) {
        Ok(text) => Ok((path.to_owned(), text.into())),
        Err(_) => Err(Error::Unfit(format!("{path} is not UTF-8: save it with that encoding"))),
    };
    files.iter().map(text).collect::<Result<_>>().map(Value::Object)
}

fn text(answer: &Value, what: &str) -> String {
    let (app, version) = (member(answer, "app"), number(answer, "version"));
    let url = member(answer, "publicUrl");
    let mut lines = vec![if version.is_empty() {
        format!("{app}: {what}, and in force at {url}")
    } else {
        format!("{app}: version {version} {what}, and is in force everywhere, at {url}")
    }];
    if answer.get("widensAuthentication").and_then(Value::as_bool) == Some(true) {
        lines.push("Its authentication type lets in more than the one before did.".to_owned());
    }
    let listed = |name: &str| answer.get(name).and_then(Value::as_array).into_iter().flatten();
    let servers: Vec<String> = listed("servers")
        .map(|server| format!("  {:<14} {}", member(server, "name"), member(server, "url")))
        .collect();
    lines.push(match servers.is_empty() {
        true => "\nNo named server is offered.".to_owned(),
        false => format!("\nServers\n{}", servers.join("\n")),
    });
    let as_text = |value: &Value| output::shown(value.as_str().unwrap_or_default());
    let changed: Vec<String> = listed("changed").map(as_text).collect();
    lines.push(match changed.is_empty() {
        true => "\nNo file has changed.".to_owned(),
        false => format!("\nChanged\n  {}", changed.join("\n  ")),
    });
    let left_out: Vec<String> = listed("leftOut").map(as_text).collect();
    if !left_out.is_empty() {
        lines.push(format!("\nLeft out\n  {}", left_out.join("\n  ")));
    }
    lines.join("\n")
}

fn line(row: &Value) -> [String; 5] {
    let version = number(row, "version");
    let is_current = row.get("isCurrent").and_then(Value::as_bool) == Some(true);
    let mut what = match member(row, "operation").as_str() {
        "deployApp" => "all files".to_owned(),
        "deployWorkflowArtifacts" => "some files".to_owned(),
        _ => format!("restores {}", number(row, "restores")),
    };
    if row.get("widensAuthentication").and_then(Value::as_bool) == Some(true) {
        what.push_str(", lets in more");
    }
    let changed = row.get("changed").and_then(Value::as_array);
    let paths = changed.into_iter().flatten().filter_map(Value::as_str).map(output::shown);
    let mut named: Vec<String> = paths.collect();
    let more = named.len().saturating_sub(LISTED_PATHS);
    named.truncate(LISTED_PATHS);
    if more > 0 {
        named.push(format!("and {more} more"));
    }
    [
        if is_current { format!("{version} (in force)") } else { version },
        member(row, "deployedAt"),
        member(row, "deployedBy"),
        what,
        named.join(", "),
    ]
}

fn number(row: &Value, name: &str) -> String {
    row.get(name).and_then(Value::as_i64).map(|number| number.to_string()).unwrap_or_default()
}
