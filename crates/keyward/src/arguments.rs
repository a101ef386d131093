//! The command line as it is typed.

#![expect(clippy::doc_markdown, reason = "these comments are help texts, read in a terminal")]

mod deploy;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueHint};
use clap_complete::Shell;
use keys::{ApiKeyId, RevokedId, Scope, Slot, Timestamp};
use store::DatabaseAddress;

use self::deploy::DEPLOY_EXAMPLES;
pub(crate) use self::deploy::{DeployArguments, Wanted};
use crate::commands::access_key::AccessKeyCommand;
use crate::commands::backup::BackupArguments;
use crate::commands::configuration::ConfigCommand;
use crate::commands::replica::ReplicaCommand;
use crate::commands::restore::RestoreArguments;
use crate::config::{self, Value};
use crate::error::EXIT_CODES;
use crate::place::Place;
use crate::{duration, log};

#[derive(Debug, Parser)]
#[command(
    name = "keyward",
    version,
    about = "MCP servers behind API keys that expire",
    long_about = "Keyward puts MCP servers behind API keys that expire: the workflows of a Logic Apps \
                  Standard project, and the servers that an editor's mcp.json names.",
    after_help = FIRST_STEPS,
    after_long_help = format!("{FIRST_STEPS}\n\n{EXIT_CODES}"),
    arg_required_else_help = true,
    max_term_width = 100
)]
pub(crate) struct Arguments {
    /// The configuration file (TOML)
    ///
    /// KEYWARD_CONFIG names one as well. `keyward config show` prints what holds, and where each
    /// value comes from.
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const FIRST_STEPS: &str = "\
First steps:
  keyward init my-tools     make an app that works
  keyward serve my-tools    serve it
  keyward key issue         in another terminal: a URL, and an API key for it

With MCP servers that you have already:
  keyward serve --mcp-json .vscode/mcp.json

Commands find a server that runs on this machine by themselves.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Makes a folder with an app that works
    ///
    /// The app is a Logic Apps Standard project with two workflows, which are tools of one MCP
    /// server. The folder must be empty, or not be there.
    #[command(after_help = "Example:\n  keyward init my-tools && keyward serve my-tools")]
    Init {
        /// The folder
        #[arg(value_hint = ValueHint::DirPath)]
        dir: PathBuf,
    },
    /// Serves an app folder, the MCP servers of one mcp.json, or what is deployed
    ///
    /// It goes on until it gets SIGTERM or SIGINT (Ctrl-C). Changes of the folder are served at
    /// once; a change that does not hold is reported, and the last one that did stays in force.
    /// SIGHUP reads the folder again where changes cannot be noticed.
    #[command(after_help = SERVE_EXAMPLES)]
    Serve(Box<ServeArguments>),
    /// Deploys an app to a running server, lists its versions, and goes back to one
    ///
    /// The server runs without a folder (`keyward serve --data-dir DIR`) and serves all apps that are
    /// deployed, on every replica of its database. When this returns, the version is in force on all of them.
    #[command(after_help = DEPLOY_EXAMPLES)]
    Deploy(Box<DeployArguments>),
    /// Shows the MCP servers that a running server offers
    #[command(subcommand)]
    Server(ServerCommand),
    /// Issues, lists, revokes, narrows and reads API keys
    #[command(subcommand)]
    Key(KeyCommand),
    /// Lists and regenerates the two access keys, which API keys are derived from
    #[command(subcommand)]
    AccessKey(AccessKeyCommand),
    /// Shows the replicas that serve from one database
    #[command(subcommand)]
    Replica(ReplicaCommand),
    Backup(BackupArguments),
    Restore(RestoreArguments),
    /// Makes a master key, for access keys that are kept in PostgreSQL
    ///
    /// Every replica is given the same one, and needs it for as long as the keys are to be good: keep a
    /// copy where the database's backups are not. The file gets mode 0600 and must not be there yet.
    #[command(
        after_help = "Example:\n  keyward master-key /etc/keyward/master-key\n  keyward serve my-tools \\\n    \
                      --store-url postgres://keyward@db/keyward \\\n    --master-key-file /etc/keyward/master-key"
    )]
    MasterKey {
        /// The file
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Prints the operator token of a data folder
    ///
    /// It opens the management listener, so whoever has it owns every key: show it to nobody. This
    /// command reads the data folder, and needs no running server.
    #[command(
        after_help = "Example:\n  curl -X POST -H \"Authorization: Bearer $(keyward token)\" \\\n    \
                            http://127.0.0.1:7072/runtime/webhooks/workflow/api/management/listMcpServers"
    )]
    Token {
        #[command(flatten)]
        data_dir: DataDirArgument,
    },
    /// Checks and shows the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Prints the completions for a shell
    #[command(
        after_help = "Example:\n  keyward completions bash > ~/.local/share/bash-completion/completions/keyward"
    )]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Prints a page of docs/ as it should be
    #[command(hide = true)]
    Reference {
        /// The page: cli or configuration
        page: String,
    },
}

const SERVE_EXAMPLES: &str = "\
Examples:
  keyward serve examples/helpdesk
  keyward serve --mcp-json .vscode/mcp.json
  keyward serve --data-dir /var/lib/keyward
  keyward serve my-tools --listen 127.0.0.1:0 --json
  keyward serve my-tools --listen 0.0.0.0:8080 --behind-tls-proxy \\
    --public-url https://tools.example.com";

/// What `serve` takes; what is a setting too is named and explained as there.
#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    /// The app folder; without one, all apps are served that are deployed [keyward deploy]
    ///
    /// Then a data folder must be named. Apps that are deployed later are served at once.
    #[arg(value_hint = ValueHint::DirPath, conflicts_with = "mcp_json")]
    dir: Option<PathBuf>,
    /// Serve the MCP servers of this file instead, as an editor keeps them
    ///
    /// VS Code's mcp.json, Claude's .mcp.json or Cursor's mcp.json. It makes an app of its own, which
    /// lets in API keys only.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    mcp_json: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) settings: SettingArguments,
    /// Print one line of JSON when ready, and nothing else on standard output
    ///
    /// {"listen", "manageListen", "publicUrl", "app", "dataDir"}; app is null without a folder
    #[arg(long)]
    pub(crate) json: bool,
}

impl ServeArguments {
    /// Gives where the app lies; none where what is deployed is served.
    pub(crate) fn place(&self) -> Option<Place> {
        match (&self.mcp_json, &self.dir) {
            (Some(file), _) => Some(Place::McpJson(file.clone())),
            (None, dir) => dir.clone().map(Place::Folder),
        }
    }
}

/// The settings that have a flag.
#[derive(Debug, Args)]
pub(crate) struct SettingArguments {
    /// The address that MCP clients connect to [default: 127.0.0.1:7071]
    ///
    /// Port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    listen: Option<String>,
    /// The address that operators and their tools connect to [default: 127.0.0.1:7072]
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    manage_listen: Option<String>,
    /// The data folder [default: .keyward in the app folder, or beside mcp.json, or none]
    ///
    /// It holds the database, the master key and the operator token, and is refused if others can
    /// read it.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    data_dir: Option<String>,
    /// Where MCP clients reach the app, or deployed apps below it [default: the address that is
    /// listened on]
    #[arg(long, value_name = "URL", value_parser = public_url)]
    public_url: Option<String>,
    /// The app's name [default: the folder's name, or mcp]
    #[arg(long, value_name = "NAME", value_parser = app_name)]
    app_name: Option<String>,
    /// A file with a master key; the first seals access keys, all open them
    ///
    /// May be repeated. Without it the data folder's own master key is used, which is made at first
    /// start.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    master_key_file: Vec<String>,
    /// The PostgreSQL database to keep keys in [default: an embedded one in the data folder]
    ///
    /// postgres://USER@HOST/DATABASE, without a password: KEYWARD_STORE_URL may have one, and
    /// KEYWARD_STORE_PASSWORD_FILE names a file with it. A master key must be given with it.
    #[arg(long, value_name = "URL", value_parser = store_url)]
    store_url: Option<String>,
    /// How long to go on serving in a shutdown while /readyz fails [default: 0s]
    #[arg(long, value_name = "DURATION", value_parser = grace)]
    shutdown_drain: Option<String>,
    /// How long requests may take to end in a shutdown [default: 10s]
    #[arg(long, value_name = "DURATION", value_parser = grace)]
    shutdown_grace: Option<String>,
    /// I know that a proxy in front does TLS: listen beyond this machine
    #[arg(long)]
    behind_tls_proxy: bool,
    /// I know that operators' tokens come in from the network: manage beyond this machine
    #[arg(long)]
    manage_off_loopback: bool,
    /// I know that everyone is let in: serve an app of type Anonymous beyond this machine
    #[arg(long)]
    allow_anonymous_off_loopback: bool,
    /// What is logged: error, warn, info, debug, trace, or such as info,gateway=debug
    #[arg(long, value_name = "FILTER", value_parser = log::check_filter)]
    log: Option<String>,
    /// How a log line looks: text or json
    #[arg(long, value_name = "FORMAT", value_parser = log_format)]
    log_format: Option<String>,
}

impl SettingArguments {
    /// Gives each setting that was typed, by its name.
    pub(crate) fn given(&self) -> [(&'static str, Option<Value>); 14] {
        let text = |text: &Option<String>| text.clone().map(Value::Text);
        let flag = |flag: bool| flag.then_some(Value::Flag(true));
        let files = Some(&self.master_key_file).filter(|files| !files.is_empty());
        [
            (config::names::LISTEN, text(&self.listen)),
            (config::names::MANAGE_LISTEN, text(&self.manage_listen)),
            (config::names::DATA_DIR, text(&self.data_dir)),
            (config::names::PUBLIC_URL, text(&self.public_url)),
            (config::names::APP_NAME, text(&self.app_name)),
            (config::names::MASTER_KEY_FILES, files.cloned().map(Value::Texts)),
            (config::names::STORE_URL, text(&self.store_url)),
            (config::names::SHUTDOWN_DRAIN, text(&self.shutdown_drain)),
            (config::names::SHUTDOWN_GRACE, text(&self.shutdown_grace)),
            (config::names::BEHIND_TLS_PROXY, flag(self.behind_tls_proxy)),
            (config::names::MANAGE_OFF_LOOPBACK, flag(self.manage_off_loopback)),
            (config::names::ALLOW_ANONYMOUS, flag(self.allow_anonymous_off_loopback)),
            (config::names::LOG_FILTER, text(&self.log)),
            (config::names::LOG_FORMAT, text(&self.log_format)),
        ]
    }
}

fn address(text: &str) -> Result<String, String> {
    config::parse_address(text).map(|_| text.to_owned())
}

fn public_url(text: &str) -> Result<String, String> {
    config::parse_public_url(text).map(|_| text.to_owned())
}

fn app_name(text: &str) -> Result<String, String> {
    config::check_app_name(text)
}

fn store_url(text: &str) -> Result<String, String> {
    DatabaseAddress::parse(text).map(|_| text.to_owned())
}

fn grace(text: &str) -> Result<String, String> {
    duration::parse(text).map(|_| text.to_owned())
}

fn log_format(text: &str) -> Result<String, String> {
    config::parse_log_format(text).map(|_| text.to_owned())
}

/// The data folder alone.
#[derive(Debug, Args)]
pub(crate) struct DataDirArgument {
    /// The data folder [default: that of the server that runs on this machine]
    ///
    /// KEYWARD_DATA_DIR names one as well. Without either it is ./.keyward if there is one, else
    /// that of the only running server of this user.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) data_dir: Option<PathBuf>,
}

/// Which server to call, and how the answer is printed.
#[derive(Debug, Args)]
pub(crate) struct CallArguments {
    /// The management URL [default: that of the data folder's server]
    ///
    /// KEYWARD_MANAGE_URL names one as well. KEYWARD_TOKEN then holds the operator token, unless a
    /// server of this user listens there, or --data-dir names the folder that has it.
    #[arg(long, value_name = "URL")]
    pub(crate) manage_url: Option<String>,
    #[command(flatten)]
    pub(crate) data_dir: DataDirArgument,
    /// The app, where the server has more than one
    #[arg(long, value_name = "NAME")]
    pub(crate) app: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ServerCommand {
    /// Lists the MCP servers with their URLs and tools
    ///
    /// Servers of mcp.json are asked for their tools where what is known of them is older than 3
    /// minutes, and listed with what is known after 1.5 s: one that is down keeps nobody from the list.
    /// Those that are left out come last, with the reason.
    List {
        #[command(flatten)]
        call: CallArguments,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Issues an API key
    ///
    /// The key is printed once and kept nowhere: the register holds what it is, not the key.
    /// Without a time it is valid for 24 hours.
    #[command(after_help = ISSUE_EXAMPLES)]
    Issue(Box<IssueArguments>),
    /// Lists the issued API keys, newest first
    List {
        /// How many to list at most, 1 to 1000
        #[arg(
            long,
            value_name = "COUNT",
            default_value_t = crate::limits::LISTED_KEYS,
            value_parser = clap::value_parser!(u16).range(1..=i64::from(crate::limits::MOST_LISTED_KEYS))
        )]
        limit: u16,
        #[command(flatten)]
        call: CallArguments,
    },
    /// Shows one issued API key
    Show {
        /// The key's id, as `key list` and `key inspect` print it
        id: ApiKeyId,
        #[command(flatten)]
        call: CallArguments,
    },
    /// Revokes an API key, or one that was narrowed from it
    ///
    /// When this returns, the key is refused everywhere, and so is all that was narrowed from it.
    Revoke {
        /// The key's id; KEY/CHILD for a narrowed one, as `key inspect` prints it
        id: RevokedId,
        #[command(flatten)]
        call: CallArguments,
    },
    /// Makes an API key that reaches less or ends sooner, from one on standard input
    ///
    /// This needs no server: whoever holds a key can hand on less than it. The new key is printed
    /// on standard output, what it is on standard error. At least one of --ttl, --not-after and
    /// --scope says how it is narrower.
    #[command(after_help = NARROW_EXAMPLES)]
    Narrow(NarrowArguments),
    /// Reads what an API key on standard input says of itself
    ///
    /// This needs no server, and so cannot tell whether the key is still accepted.
    #[command(after_help = "Example:\n  keyward key inspect < key.txt")]
    Inspect {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

const ISSUE_EXAMPLES: &str = "\
Examples:
  keyward key issue                                      the whole app, for 24 hours
  keyward key issue --server helpdesk --ttl 7d --label ci
  keyward key issue --scope helpdesk/LookUpArticle --key-type secondary
  keyward key issue --quiet > key.txt                    the key alone";

const NARROW_EXAMPLES: &str = "\
Examples:
  keyward key narrow --ttl 1h < key.txt > key-for-an-hour.txt
  keyward key narrow --scope helpdesk/LookUpArticle < key.txt";

#[derive(Debug, Args)]
pub(crate) struct IssueArguments {
    /// The server whose URL is printed [default: that of the scopes, else the only one, else
    /// /api/mcp with the tools of all workflows]
    ///
    /// The key reaches the whole app all the same, unless --scope says otherwise. With scopes it
    /// must be a server of one of them, and must be named if they are of several.
    #[arg(long, value_name = "NAME")]
    pub(crate) server: Option<String>,
    /// What the key reaches: SERVER or SERVER/TOOL [default: the whole app]
    ///
    /// May be repeated. `default` names the server with the tools of all workflows. A server of
    /// mcp.json may be named as it stands there, too.
    #[arg(long = "scope", value_name = "SCOPE")]
    pub(crate) scopes: Vec<String>,
    /// A name for the register
    #[arg(long, value_name = "TEXT")]
    pub(crate) label: Option<String>,
    /// The access key to derive it from: primary or secondary
    #[arg(long, value_name = "SLOT", default_value = "primary")]
    pub(crate) key_type: Slot,
    #[command(flatten)]
    pub(crate) expiry: ExpiryArguments,
    /// The key never expires: it ends when it is revoked or its access key regenerated
    #[arg(long, conflicts_with_all = ["ttl", "not_after"])]
    pub(crate) never_expire: bool,
    /// Print the key alone
    #[arg(long, short, conflicts_with = "json")]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) call: CallArguments,
}

#[derive(Debug, Args)]
pub(crate) struct ExpiryArguments {
    /// How long it is valid, such as 7d, 24h or 1h30m
    #[arg(long, value_name = "DURATION", value_parser = lifetime, conflicts_with = "not_after")]
    pub(crate) ttl: Option<std::time::Duration>,
    /// The last instant at which it is valid, such as 2026-01-01T00:00:00Z
    #[arg(long, value_name = "INSTANT")]
    pub(crate) not_after: Option<Timestamp>,
}

#[derive(Debug, Args)]
pub(crate) struct NarrowArguments {
    #[command(flatten)]
    pub(crate) expiry: ExpiryArguments,
    /// What the new key reaches of what the old one does: SERVER or SERVER/TOOL
    ///
    /// May be repeated. `default` names the server with the tools of all workflows.
    #[arg(long = "scope", value_name = "SCOPE", value_parser = scope)]
    pub(crate) scopes: Vec<Scope>,
    /// Print the key and what it is as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

fn lifetime(text: &str) -> Result<std::time::Duration, String> {
    match duration::parse(text)? {
        std::time::Duration::ZERO => Err("that is no time at all: say how long the key is valid, \
                                          such as 7d, 24h or 1h30m"
            .to_owned()),
        lifetime => Ok(lifetime),
    }
}

/// Parses a scope. Where only the server's name does not fit, says how mcp.json's would be served.
pub(crate) fn scope(text: &str) -> Result<Scope, String> {
    Scope::parse(text).map_err(|error| {
        let fold = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
        let (server, rest) = text.split_at(text.find('/').unwrap_or(text.len()));
        let served = format!("{}{rest}", server.chars().map(fold).collect::<String>());
        match Scope::parse(&served) {
            Ok(_) => format!("{error}; did you mean '{}'?", crate::output::shown(&served)),
            Err(_) => error.to_string(),
        }
    })
}
