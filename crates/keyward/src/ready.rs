//! What `serve` prints when it is ready.

use std::path::PathBuf;

use app::{App, Authentication, Server, Transport};
use serde::Serialize;
use url::Url;

use crate::commands::init::shell_word;
use crate::output;
use crate::place::Place;
use crate::source::Loaded;

/// Where a server listens and what it serves.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Ready {
    /// The data plane's address and port.
    pub(crate) listen: String,
    /// The management plane's address and port.
    pub(crate) manage_listen: String,
    /// Where clients reach the app.
    pub(crate) public_url: Url,
    /// The app's name; none where what is deployed is served.
    pub(crate) app: Option<String>,
    /// The names and URLs of the apps that are served.
    #[serde(skip)]
    pub(crate) apps: Vec<(String, Url)>,
    /// The data folder, absolute.
    pub(crate) data_dir: PathBuf,
}

impl Ready {
    /// Says it to a person.
    pub(crate) fn text(
        &self,
        place: &Place,
        loaded: &Loaded,
        made_master_key: bool,
        program: &str,
    ) -> String {
        let app = &loaded.app;
        let mut lines = vec![
            format!("Keyward serves the app {} from {}", self.named(), place.path().display()),
            String::new(),
        ];
        let let_in = format!("  ({})", lets_in(app.authentication()));
        lines.extend(self.places(&let_in, made_master_key));
        lines.push(String::new());
        if app.mcp_enabled() {
            lines.push("Servers".to_owned());
            // Where there are upstreams and no workflow, nobody looks for all workflows.
            let all_tools = Some(app.default_server()).filter(|server| {
                !server.tools().is_empty()
                    || app.servers().iter().all(|one| one.upstream().is_none())
            });
            let all = app.servers().iter().chain(all_tools);
            lines.extend(all.flat_map(|server| self.server(app, server)));
        } else {
            lines.push(
                "No server is offered: set extensions.workflow.McpServerEndpoints.enable to true in \
                 host.json"
                    .to_owned(),
            );
        }
        if !loaded.left_out.is_empty() {
            lines.push("\nLeft out".to_owned());
            lines.extend(loaded.left_out.iter().map(|line| format!("  {line}")));
        }
        lines.push(String::new());
        if app.authentication().accepts_api_keys() && app.mcp_enabled() {
            lines.push("Next, in another terminal: a URL, and an API key for it".to_owned());
            lines.push(match app.servers().iter().find(|server| server.is_enabled()) {
                Some(server) => format!("  {program} key issue --server {}", server.name()),
                None => format!("  {program} key issue"),
            });
        }
        let path = shell_word(&place.path().to_string_lossy());
        lines.push(match place {
            Place::Folder(_) => {
                format!("Edit the files in {path} and they are served at once; Ctrl-C ends this.")
            }
            Place::McpJson(_) => {
                format!("Edit {path} and it is served at once; Ctrl-C ends this.")
            }
        });
        lines.join("\n")
    }

    /// Says it to a person where what is deployed is served.
    pub(crate) fn text_deployed(&self, made_master_key: bool, program: &str) -> String {
        let mut lines = vec!["Keyward serves what is deployed".to_owned(), String::new()];
        lines.extend(self.places("", made_master_key));
        lines.push(String::new());
        if self.apps.is_empty() {
            lines.push("No app is deployed yet. Next, in another terminal:".to_owned());
            lines.push(format!("  {program} deploy DIR"));
        } else {
            lines.push("Apps".to_owned());
            lines.extend(self.apps.iter().map(|(name, url)| format!("  {name:<14} {url}")));
            lines.push(String::new());
            lines.push(format!(
                "{program} deploy DIR deploys another version, or another app; it is served at once."
            ));
        }
        lines.push("Ctrl-C ends this.".to_owned());
        lines.join("\n")
    }

    /// What the process serves, in a word.
    pub(crate) fn named(&self) -> String {
        self.app.clone().unwrap_or_else(|| "what is deployed".to_owned())
    }

    fn places(&self, let_in: &str, made_master_key: bool) -> Vec<String> {
        let mut lines = vec![
            format!("  MCP clients  {}{let_in}", self.listen),
            format!("  operators    {}", self.manage_listen),
            format!("  data folder  {}", self.data_dir.display()),
        ];
        if made_master_key {
            lines.push(
                "               Its master key was made now. Back the folder up: without that key \
                 every API key is lost."
                    .to_owned(),
            );
        }
        lines
    }

    fn server(&self, app: &App, server: &Server) -> Vec<String> {
        let is_default = std::ptr::eq(server, app.default_server());
        let name = server.name();
        let state = if server.is_enabled() { "" } else { "  (disabled)" };
        let mut lines =
            vec![format!("  {name:<14} {}{state}", self.url_of(app, server, is_default))];
        let offer = match app.servers().iter().any(|one| one.upstream().is_some()) {
            _ if !is_default => offer(server),
            true => "every workflow, and no server of mcp.json".to_owned(),
            false => "every workflow".to_owned(),
        };
        lines.extend(wrapped(&offer, 78).into_iter().map(|line| format!("  {:<14} {line}", "")));
        lines
    }

    fn url_of(&self, app: &App, server: &Server, is_default: bool) -> String {
        let base = self.public_url.as_str().trim_end_matches('/');
        let named = ["mcpservers", server.name()];
        let named: &[&str] = if is_default { &[] } else { &named };
        let path = [app.route_prefix()].into_iter().chain(named.iter().copied()).chain(["mcp"]);
        path.filter(|segment| !segment.is_empty())
            .fold(base.to_owned(), |url, segment| format!("{url}/{segment}"))
    }
}

/// Says what a server offers: its tools, or how its upstream is reached. What it is is not said: a
/// command's arguments or a URL may hold secrets.
fn offer(server: &Server) -> String {
    let Some(upstream) = server.upstream() else {
        let tools: Vec<&str> = server.tools().iter().map(|tool| tool.name()).collect();
        return if tools.is_empty() { "no tools".to_owned() } else { tools.join(", ") };
    };
    let way = match upstream.transport() {
        Transport::Http(_) => "over HTTP",
        Transport::Stdio(_) => "child process",
    };
    let way = match server.other_name() {
        Some(other) => format!("`{}` in mcp.json, {way}", output::shown(other)),
        None => way.to_owned(),
    };
    match upstream.allowed_tools() {
        None => format!("{way}, all its tools"),
        Some(tools) if tools.is_empty() => format!("{way}, no tools"),
        Some(tools) => {
            let tools: Vec<&str> = tools.iter().map(String::as_str).collect();
            format!("{way}, only {}", tools.join(", "))
        }
    }
}

/// Says who is let in.
fn lets_in(authentication: Authentication) -> &'static str {
    match authentication {
        Authentication::ApiKey => "with an API key",
        Authentication::Absent => {
            "with an API key; access tokens, which host.json allows as well, are not accepted yet"
        }
        Authentication::OAuth2 => {
            "nobody yet: host.json asks for access tokens, which are not accepted yet"
        }
        Authentication::Anonymous => "everyone, without a key",
    }
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.len() + 1 + word.len() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
