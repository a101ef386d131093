//! Calling the management listener of a running server.

use std::path::PathBuf;
use std::pin::pin;

use axum::body::Bytes;
use axum::http::{HeaderValue, StatusCode, header};
use reqwest::redirect::Policy;
use reqwest::{RequestBuilder, Response};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use tokio::time::timeout;
use url::Url;

use crate::arguments::CallArguments;
use crate::commands::replica::waiting_for;
use crate::config::{self, Environment};
use crate::data_dir::{self, DataDir};
use crate::error::{Error, Result};
use crate::running::{self, Endpoint};
use crate::{limits, output};

/// Where every operation stands.
const BASE: &str = "runtime/webhooks/workflow/api/management/";

/// The management URL of a server that was configured in no way.
const DEFAULT_URL: &str = "http://127.0.0.1:7072/";

/// What commands find a server by, besides their arguments.
#[derive(Debug)]
pub(crate) struct Surroundings<'a> {
    pub(crate) environment: &'a Environment,
    /// The data folder that the configuration file names.
    pub(crate) configured_data_dir: Option<PathBuf>,
}

/// A running server, and the token to call it with.
pub(crate) struct Client {
    http: reqwest::Client,
    url: Url,
    token: SecretString,
    app: Option<String>,
}

impl Client {
    /// Finds the server and the token: the URL that is given, or the one that the data folder's
    /// server announces; the token that is given, or the data folder's. A token that was only found
    /// is sent to nobody but the server that has it.
    pub(crate) fn find(call: &CallArguments, around: &Surroundings<'_>) -> Result<Self> {
        let given = match &call.manage_url {
            Some(url) => Some(url.clone()),
            None => text(around.environment, "KEYWARD_MANAGE_URL")?,
        };
        let given = given.map(|text| parse_url(&text)).transpose()?;
        let token = text(around.environment, "KEYWARD_TOKEN")?.map(SecretString::from);
        let (url, token) = match (given, token) {
            (Some(url), Some(token)) => (url, token),
            (None, Some(token)) => (own_url(call, around)?, token),
            (Some(url), None) => {
                let data_dir = match &call.data_dir.data_dir {
                    named @ Some(_) => find_data_dir(named.as_ref(), around)?,
                    None => data_dir_at(&url, around)?,
                };
                (url, token_of(&data_dir)?)
            }
            (None, None) => {
                let data_dir = find_data_dir(call.data_dir.data_dir.as_ref(), around)?;
                let endpoint = endpoint_of(&data_dir)?;
                (endpoint.manage_url, token_of(&data_dir)?)
            }
        };
        let http = reqwest::Client::builder()
            // A proxy of the environment, or whom an answer names, has no business with the token.
            .no_proxy()
            .redirect(Policy::none())
            .connect_timeout(limits::CONNECT_TIME)
            .timeout(limits::ANSWER_TIME)
            .user_agent(concat!("keyward/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Error::Failed(format!("cannot make an HTTP client: {error}")))?;
        Ok(Self { http, url, token, app: call.app.clone() })
    }

    /// Calls operations of this app.
    pub(crate) fn of_app(self, app: String) -> Self {
        Self { app: Some(app), ..self }
    }

    /// Names the server, for questions and messages.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// Calls an operation that makes a change, and says for whom it waits where it does for long.
    pub(crate) async fn change(&self, operation: &str, body: &Value) -> Result<Value> {
        let mut changing = pin!(async {
            let request = self.request(operation, &[], body)?.timeout(limits::CHANGE_TIME);
            let response = request.send().await.map_err(|error| self.unanswered(&error))?;
            self.read(response).await
        });
        if let Ok(answer) = timeout(limits::SAY_AFTER, &mut changing).await {
            return answer;
        }
        // A deployment may be what makes the app.
        let (http, url, token) = (self.http.clone(), self.url.clone(), self.token.clone());
        let of_all = Self { http, url, token, app: None };
        let saying = async {
            // That nobody can say it is no failure of the change.
            if let Ok(replicas) = of_all.call("listReplicas", &[], &no_body()).await
                && let Some(text) = waiting_for(&replicas)
            {
                output::tell(&text);
            }
            std::future::pending().await
        };
        tokio::select! {
            answer = changing => answer,
            never = saying => never,
        }
    }

    fn request(
        &self,
        operation: &str,
        query: &[(&str, &str)],
        body: &Value,
    ) -> Result<RequestBuilder> {
        let mut url =
            self.url.join(BASE).and_then(|base| base.join(operation)).map_err(|error| {
                Error::Usage(format!("the management URL {} cannot be called: {error}", self.url))
            })?;
        let app = self.app.as_deref().map(|app| ("app", app));
        let parameters: Vec<(&str, &str)> = query.iter().copied().chain(app).collect();
        if !parameters.is_empty() {
            url.query_pairs_mut().extend_pairs(parameters);
        }
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", self.token.expose_secret()))
            .map_err(|_| {
            Error::Usage("the operator token has characters that no token has".to_owned())
        })?;
        bearer.set_sensitive(true);
        Ok(self.http.post(url).header(header::AUTHORIZATION, bearer).json(body))
    }

    /// Calls an operation and gives what it answers.
    pub(crate) async fn call(
        &self,
        operation: &str,
        query: &[(&str, &str)],
        body: &Value,
    ) -> Result<Value> {
        let request = self.request(operation, query, body)?;
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        self.read(response).await
    }

    /// Calls an operation whose answer is no JSON value, and may be long.
    pub(crate) async fn download(&self, operation: &str) -> Result<Download<'_>> {
        let request = self.request(operation, &[], &no_body())?.timeout(limits::DOWNLOAD_TIME);
        let sent = timeout(limits::ANSWER_TIME, request.send()).await;
        let response =
            sent.map_err(|_| self.silent())?.map_err(|error| self.unreachable(&error))?;
        if response.status().is_success() {
            return Ok(Download { client: self, response });
        }
        let answer = self.read(response).await?;
        Err(Error::Failed(format!("{} answered {answer} instead of a file", self.url)))
    }

    async fn read(&self, mut response: Response) -> Result<Value> {
        let status = response.status();
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(&error))? {
            if bytes.len() + chunk.len() > limits::ANSWER_BYTES {
                return Err(Error::Failed(format!("the answer of {} is too large", self.url)));
            }
            bytes.extend_from_slice(&chunk);
        }
        let answer: Option<Value> = serde_json::from_slice(&bytes).ok();
        match (status.is_success(), answer) {
            (true, Some(answer)) => Ok(answer),
            (_, answer) => Err(self.refusal(status, &answer.unwrap_or_default())),
        }
    }

    fn refusal(&self, status: StatusCode, answer: &Value) -> Error {
        let member = |name: &str| answer.pointer(&format!("/error/{name}")).and_then(Value::as_str);
        let (Some(code), Some(message)) = (member("code"), member("message")) else {
            return Error::Unreachable(format!(
                "{} answered {status}, and not as a Keyward does: give its management URL, which is \
                 another than that of its MCP servers",
                self.url
            ));
        };
        let (code, message) = (output::shown(code), output::shown(message));
        let message = match code.as_str() {
            "MissingAppParameter" => message.replace("add the query parameter 'app'", "add --app"),
            _ => message,
        };
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Error::Refused { code, message },
            StatusCode::NOT_FOUND => Error::NotFound { code, message },
            StatusCode::CONFLICT => Error::Conflict { code, message },
            status if status.is_client_error() => Error::Rejected { code, message },
            _ => Error::Failed(format!("{message} ({code})")),
        }
    }

    /// Why a change has no answer: once it is sent, it may be made.
    fn unanswered(&self, error: &reqwest::Error) -> Error {
        if error.is_connect() || error.is_builder() {
            return self.unreachable(error);
        }
        let why =
            if error.is_timeout() { "did not answer in time" } else { "ended the connection" };
        Error::Unreachable(format!(
            "the server at {} {why}, so it is not known whether the change was made: look before you make it \
             again",
            self.url
        ))
    }

    fn silent(&self) -> Error {
        Error::Unreachable(format!("the server at {} has fallen silent", self.url))
    }

    fn unreachable(&self, error: &reqwest::Error) -> Error {
        let why = if error.is_timeout() {
            "it did not answer in time"
        } else if error.is_connect() {
            "nobody listens there"
        } else {
            "the connection broke"
        };
        Error::Unreachable(format!(
            "cannot reach the server at {}: {why}. Start one with keyward serve DIR, or name another \
             with --manage-url",
            self.url
        ))
    }
}

/// An answer as it comes.
pub(crate) struct Download<'c> {
    client: &'c Client,
    response: Response,
}

impl Download<'_> {
    /// Waits for more; none at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>> {
        let chunk = timeout(limits::ANSWER_TIME, self.response.chunk()).await;
        chunk.map_err(|_| self.client.silent())?.map_err(|error| self.client.unreachable(&error))
    }
}

/// Finds the data folder: the one that is named, `./.keyward`, or that of the only running server.
pub(crate) fn find_data_dir(named: Option<&PathBuf>, around: &Surroundings<'_>) -> Result<DataDir> {
    let named = named.cloned().or_else(|| configured(around));
    if let Some(path) = named {
        return DataDir::open(&path)?.ok_or_else(|| {
            Error::Unreachable(format!(
                "there is no data folder {}: keyward serve makes it when it first starts",
                path.display()
            ))
        });
    }
    if let Some(data_dir) = DataDir::open(data_dir::IN_APP_FOLDER.as_ref())? {
        return Ok(data_dir);
    }
    let mut served = running::served(around.environment);
    match (served.pop(), served.as_slice()) {
        (Some((only, _)), []) => Ok(only),
        (None, _) => Err(Error::Unreachable(
            "no server of this user runs on this machine: start one with keyward serve DIR, or name \
             its data folder with --data-dir DIR/.keyward"
                .to_owned(),
        )),
        (Some(last), others) => {
            let all = others.iter().chain([&last]);
            let lines: String = all
                .map(|(dir, endpoint)| {
                    format!("\n  --data-dir {}   ({})", dir.path().display(), endpoint.app)
                })
                .collect();
            Err(Error::Usage(format!("several servers run on this machine, choose one:{lines}")))
        }
    }
}

/// Finds the data folder whose server says that it is reached at this URL.
fn data_dir_at(url: &Url, around: &Surroundings<'_>) -> Result<DataDir> {
    let nearest = configured(around).unwrap_or_else(|| data_dir::IN_APP_FOLDER.into());
    let nearest = DataDir::open(&nearest)?.filter(|data_dir| {
        running::endpoint(data_dir).is_some_and(|endpoint| endpoint.manage_url == *url)
    });
    let served = || running::served(around.environment).into_iter();
    nearest
        .or_else(|| served().find(|(_, own)| own.manage_url == *url).map(|(data_dir, _)| data_dir))
        .ok_or_else(|| {
            Error::Usage(format!(
                "no server of this user says that it listens at {url}, and no token is sent to \
                 others: set KEYWARD_TOKEN to an operator token of that server, or name the data \
                 folder whose token it takes with --data-dir"
            ))
        })
}

fn configured(around: &Surroundings<'_>) -> Option<PathBuf> {
    let named = around.environment.path("KEYWARD_DATA_DIR");
    named.or_else(|| around.configured_data_dir.clone())
}

fn own_url(call: &CallArguments, around: &Surroundings<'_>) -> Result<Url> {
    match find_data_dir(call.data_dir.data_dir.as_ref(), around) {
        Ok(data_dir) => endpoint_of(&data_dir).map(|endpoint| endpoint.manage_url),
        Err(error @ Error::Usage(_)) => Err(error),
        // The token is given: a server that says nothing of itself may listen where servers do.
        Err(_) => parse_url(DEFAULT_URL),
    }
}

fn endpoint_of(data_dir: &DataDir) -> Result<Endpoint> {
    running::endpoint(data_dir).ok_or_else(|| {
        Error::Unreachable(format!(
            "no server runs on the data folder {}: start it with keyward serve DIR, or name another \
             with --data-dir or --manage-url",
            data_dir.path().display()
        ))
    })
}

fn token_of(data_dir: &DataDir) -> Result<SecretString> {
    let token = data_dir.operator_token()?.ok_or_else(|| no_token(data_dir))?;
    Ok(SecretString::from(token.expose()))
}

/// Says that a data folder has no operator token yet.
pub(crate) fn no_token(data_dir: &DataDir) -> Error {
    Error::Unreachable(format!(
        "{} has no operator token: keyward serve makes it when it first starts",
        data_dir.path().display()
    ))
}

/// A token is sent readably over plain HTTP: only to this machine.
fn parse_url(text: &str) -> Result<Url> {
    let wrong = |why: &str| {
        let shown = output::shown(text);
        Error::Usage(format!("the management URL '{shown}' {why}"))
    };
    let mut url =
        Url::parse(text).map_err(|_| wrong("is no URL: expected http://127.0.0.1:7072"))?;
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        return Err(wrong("has more than host, port and path: leave the rest out"));
    }
    match url.scheme() {
        "http" if config::is_loopback(&url) => {}
        "http" => {
            return Err(wrong(
                "would send the operator token over the network readably: reach the server through \
                 an SSH tunnel, as http://127.0.0.1:PORT",
            ));
        }
        "https" => {
            return Err(wrong(
                "needs TLS, which this version's commands do not speak yet: reach the server \
                 through an SSH tunnel, as http://127.0.0.1:PORT",
            ));
        }
        _ => return Err(wrong("is not reached over the web: expected http://127.0.0.1:7072")),
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

fn text(environment: &Environment, name: &str) -> Result<Option<String>> {
    let value = environment.text(name).map_err(|why| Error::Usage(format!("{name} {why}")))?;
    Ok(value.map(|value| value.trim().to_owned()))
}

/// A body that says nothing.
pub(crate) fn no_body() -> Value {
    json!({})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_never_sent_over_the_network_readably() {
        for text in ["http://127.0.0.1:7072", "http://localhost:1/base", "http://[::1]:7072/"] {
            assert!(parse_url(text).unwrap().path().ends_with('/'), "{text}");
        }
        for text in [
            "http://10.0.0.1:7072",
            "http://keyward.example.com",
            "http://localhost.example.com",
            "https://keyward.example.com",
            "ftp://127.0.0.1",
            "http://user@127.0.0.1",
            "127.0.0.1:7072",
        ] {
            assert_eq!(parse_url(text).unwrap_err().exit_code(), 2, "{text}");
        }
    }
}
