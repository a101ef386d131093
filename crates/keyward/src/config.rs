//! What the operator chose: one TOML file, the environment and the command line, as checked types.
//!
//! A value on the command line wins over the environment, which wins over the file, which wins over
//! the default. Everything that is wrong is reported at once, each with its place.

mod check;
mod environment;
mod raw;
mod settings;

use std::collections::BTreeSet;
use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use keys::{MasterKey, Role};
use store::{DatabaseAddress, LeaseTerms};
use url::Url;

pub(crate) use self::check::{
    check_app_name, is_loopback, parse_address, parse_log_format, parse_public_url,
};
pub(crate) use self::environment::{Environment, InputSource};
pub(crate) use self::raw::{OPERATOR_FIELDS, Origin, RawConfig, Value};
pub(crate) use self::settings::{SETTINGS, Setting, VARIABLES, names};
use crate::error::Error;
use crate::{limits, secret_file};

/// The configuration, checked.
#[derive(Debug)]
pub(crate) struct Config {
    /// What clients of MCP reach.
    pub(crate) data_plane: DataPlane,
    /// What operators reach.
    pub(crate) management: Management,
    /// The app's name; that of its place if none.
    pub(crate) app_name: Option<String>,
    /// What apps that are deployed may ask of this machine.
    pub(crate) apps: AppLimits,
    /// The data folder; that of the app's place if none.
    pub(crate) data_dir: Option<PathBuf>,
    /// Where keys are kept; in the data folder if none.
    pub(crate) database: Option<Database>,
    /// What seals access keys; the data folder's own if none is given.
    pub(crate) master_keys: MasterKeySource,
    /// How long everything goes on in a shutdown before requests are to end.
    pub(crate) shutdown_drain: Duration,
    /// How long requests may take to end in a shutdown.
    pub(crate) shutdown_grace: Duration,
    /// What is logged, and how.
    pub(crate) log: Log,
    /// Who may call the management plane besides the data folder's own operator.
    pub(crate) operators: Vec<OperatorEntry>,
}

/// The listener that clients of MCP reach.
#[derive(Debug)]
pub(crate) struct DataPlane {
    pub(crate) listen: SocketAddr,
    /// Where clients reach it; the address it listens on if none.
    pub(crate) public_url: Option<Url>,
    /// Whether everyone may be let in from beyond this machine, where the app says Anonymous.
    pub(crate) allow_anonymous_off_loopback: bool,
}

impl DataPlane {
    /// Whether somebody beyond this machine can reach it, directly or through a proxy.
    pub(crate) fn is_exposed(&self) -> bool {
        let is_public = |url: &Url| !is_loopback(url);
        !self.listen.ip().is_loopback() || self.public_url.as_ref().is_some_and(is_public)
    }
}

/// The listener that operators reach.
#[derive(Debug)]
pub(crate) struct Management {
    pub(crate) listen: SocketAddr,
    pub(crate) public_url: Option<Url>,
    pub(crate) allowed_hosts: Vec<String>,
    pub(crate) subscription: Option<String>,
    pub(crate) resource_group: Option<String>,
    pub(crate) max_key_lifetime: Option<Duration>,
}

/// What apps that are deployed may ask of this machine.
#[derive(Clone, Debug, Default)]
pub(crate) struct AppLimits {
    /// The programs that they may run, as mcp.json names them.
    pub(crate) commands: BTreeSet<String>,
    /// The variables that mcp.json may set for them.
    pub(crate) command_variables: BTreeSet<String>,
    /// The variables that mcp.json may name.
    pub(crate) variables: BTreeSet<String>,
    /// The app settings of the process that workflows may read.
    pub(crate) app_settings: BTreeSet<String>,
}

/// A PostgreSQL database.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) address: DatabaseAddress,
    pub(crate) password_file: Option<PathBuf>,
    /// The most connections of the pool; the usual number if none.
    pub(crate) max_connections: Option<u32>,
    /// What follows from the length of a lease.
    pub(crate) terms: LeaseTerms,
    /// What operators call this replica; the machine's name if none.
    pub(crate) replica_name: Option<String>,
}

/// Where the master keys come from.
pub(crate) enum MasterKeySource {
    /// The file `master-key` of the data folder, made at first.
    DataFolder,
    /// These files: the first seals, all open.
    Files(Vec<PathBuf>),
    /// These keys, given in the environment.
    Given(Vec<MasterKey>),
}

impl fmt::Debug for MasterKeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DataFolder => f.write_str("DataFolder"),
            Self::Files(files) => f.debug_tuple("Files").field(files).finish(),
            Self::Given(_) => f.write_str("Given(..)"),
        }
    }
}

/// What is logged, and how.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    /// The filter, as `tracing_subscriber::EnvFilter` reads it.
    pub(crate) filter: String,
    pub(crate) format: LogFormat,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// A line for people.
    Text,
    /// One JSON object for each line.
    Json,
}

/// One who may call the management plane.
#[derive(Debug)]
pub(crate) struct OperatorEntry {
    /// The name that stands in audit rows.
    pub(crate) name: String,
    pub(crate) role: Role,
    /// The file that holds the token, as it begins: `kwo1_`.
    pub(crate) token_file: PathBuf,
}

/// One thing that is wrong, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Where it stands: a place in the file, a variable, a flag.
    pub(crate) place: String,
    /// What is wrong and what to do.
    pub(crate) message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

impl Config {
    /// Checks what was given.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub(crate) fn new(raw: &RawConfig, environment: &Environment) -> Result<Self, Vec<Problem>> {
        check::check(raw, environment)
    }
}

/// Reads the text of the configuration file.
pub(crate) fn read_file(path: &Path) -> Result<String, Error> {
    let problem = |message: String| {
        Error::Config(vec![Problem { place: path.display().to_string(), message }])
    };
    let read = || {
        let file =
            OpenOptions::new().read(true).custom_flags(secret_file::non_blocking()).open(path)?;
        let mut bytes = Vec::new();
        file.take(limits::CONFIG_BYTES + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|error: io::Error| problem(format!("cannot be read: {error}")))?;
    if u64::try_from(bytes.len()).is_ok_and(|len| len > limits::CONFIG_BYTES) {
        return Err(problem(format!("has more than {} bytes", limits::CONFIG_BYTES)));
    }
    String::from_utf8(bytes).map_err(|_| problem("is not UTF-8".to_owned()))
}
