//! From what was written to what it means.

use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::Duration;

use keys::{MasterKey, Role};
use store::{DatabaseAddress, LeaseTerms};
use url::{Host, Url};

use super::raw::{OPERATOR_FIELDS, RawOperator};
use super::settings::names::{
    ALLOW_ANONYMOUS, ALLOWED_HOSTS, APP_NAME, APPS_APP_SETTINGS, APPS_COMMAND_VARIABLES,
    APPS_COMMANDS, APPS_VARIABLES, BEHIND_TLS_PROXY, DATA_DIR, LISTEN, LOG_FILTER, LOG_FORMAT,
    MANAGE_LISTEN, MANAGE_OFF_LOOPBACK, MANAGE_PUBLIC_URL, MASTER_KEY_FILES, MAX_KEY_LIFETIME,
    PUBLIC_URL, RESOURCE_GROUP, SHUTDOWN_DRAIN, SHUTDOWN_GRACE, STORE_LEASE_S,
    STORE_MAX_CONNECTIONS, STORE_PASSWORD_FILE, STORE_REPLICA_NAME, STORE_URL, SUBSCRIPTION,
};
use super::{
    AppLimits, Config, DataPlane, Database, Environment, Log, LogFormat, Management,
    MasterKeySource, OperatorEntry, Origin, Problem, RawConfig, Value,
};
use crate::{duration, limits, log};

const MASTER_KEY: &str = "KEYWARD_MASTER_KEY";

/// The longest name of an app: what Azure allows, and what a folder's name rarely passes.
const APP_NAME_CHARS: usize = 60;

pub(super) fn check(raw: &RawConfig, environment: &Environment) -> Result<Config, Vec<Problem>> {
    let mut checking = Checking { raw, problems: raw.problems.clone() };
    let config = checking.config(environment);
    if checking.problems.is_empty() { Ok(config) } else { Err(checking.problems) }
}

struct Checking<'r> {
    raw: &'r RawConfig,
    problems: Vec<Problem>,
}

impl Checking<'_> {
    fn config(&mut self, environment: &Environment) -> Config {
        let behind_tls_proxy = self.flag(BEHIND_TLS_PROXY);
        let data_plane = self.data_plane(behind_tls_proxy);
        let management = self.management(behind_tls_proxy);
        if data_plane.listen == management.listen && management.listen.port() != 0 {
            self.problem_at(
                MANAGE_LISTEN,
                format!(
                    "{LISTEN} and {MANAGE_LISTEN} are both {}: give one of them another port",
                    management.listen
                ),
            );
        }
        let master_keys = self.master_keys(environment);
        let database = self.database(&master_keys);
        Config {
            data_plane,
            management,
            database,
            app_name: self.parsed(APP_NAME, check_app_name),
            apps: AppLimits {
                commands: self.names(APPS_COMMANDS, |_| true).into_iter().collect(),
                command_variables: self
                    .names(APPS_COMMAND_VARIABLES, is_variable)
                    .into_iter()
                    .collect(),
                variables: self.names(APPS_VARIABLES, is_variable).into_iter().collect(),
                app_settings: self.names(APPS_APP_SETTINGS, |_| true).into_iter().collect(),
            },
            data_dir: self.path(DATA_DIR),
            master_keys,
            shutdown_drain: self.parsed(SHUTDOWN_DRAIN, duration::parse).unwrap_or_default(),
            shutdown_grace: self
                .parsed(SHUTDOWN_GRACE, duration::parse)
                .unwrap_or(limits::SHUTDOWN_GRACE),
            log: Log {
                filter: self
                    .parsed(LOG_FILTER, log::check_filter)
                    .unwrap_or_else(|| "info".to_owned()),
                format: self.parsed(LOG_FORMAT, parse_log_format).unwrap_or(LogFormat::Text),
            },
            operators: self.operators(),
        }
    }

    fn data_plane(&mut self, behind_tls_proxy: bool) -> DataPlane {
        let listen = self.address(LISTEN, 7071);
        let public_url = self.parsed(PUBLIC_URL, parse_public_url);
        if !listen.ip().is_loopback() {
            if !behind_tls_proxy {
                self.problem_at(
                    LISTEN,
                    format!(
                        "{listen} can be reached from beyond this machine, and keys would cross the \
                         network readably: listen on 127.0.0.1, or say --behind-tls-proxy if a \
                         proxy in front does TLS"
                    ),
                );
            }
            if self.raw.given(PUBLIC_URL).is_none() {
                self.problem_at(
                    LISTEN,
                    format!("with {listen}, say where clients reach it: --public-url https://NAME"),
                );
            }
        }
        let allow_anonymous_off_loopback = self.flag(ALLOW_ANONYMOUS);
        DataPlane { listen, public_url, allow_anonymous_off_loopback }
    }

    fn management(&mut self, behind_tls_proxy: bool) -> Management {
        let listen = self.address(MANAGE_LISTEN, 7072);
        let may_leave = self.flag(MANAGE_OFF_LOOPBACK) && behind_tls_proxy;
        if !listen.ip().is_loopback() && !may_leave {
            self.problem_at(
                MANAGE_LISTEN,
                format!(
                    "{listen} can be reached from beyond this machine, and whoever has the token \
                     there owns every key: listen on 127.0.0.1, or say both --manage-off-loopback \
                     and --behind-tls-proxy"
                ),
            );
        }
        let public_url = self.parsed(MANAGE_PUBLIC_URL, parse_public_url);
        let mut allowed_hosts = self.texts(ALLOWED_HOSTS);
        let host = public_url.as_ref().and_then(Url::host_str).map(str::to_owned);
        allowed_hosts.extend(host);
        Management {
            listen,
            public_url,
            allowed_hosts,
            subscription: self.parsed(SUBSCRIPTION, not_empty),
            resource_group: self.parsed(RESOURCE_GROUP, not_empty),
            max_key_lifetime: self.parsed(MAX_KEY_LIFETIME, positive_duration),
        }
    }

    fn master_keys(&mut self, environment: &Environment) -> MasterKeySource {
        let files: Vec<PathBuf> = self
            .texts(MASTER_KEY_FILES)
            .iter()
            .map(|path| self.resolve(MASTER_KEY_FILES, path))
            .collect();
        let given = match environment.text(MASTER_KEY) {
            Ok(given) => given,
            Err(why) => {
                self.problem(MASTER_KEY, why);
                None
            }
        };
        match (files.as_slice(), given) {
            ([], None) => MasterKeySource::DataFolder,
            (_, None) => MasterKeySource::Files(files),
            ([], Some(text)) => {
                let mut keys = Vec::new();
                for (index, one) in text.split_whitespace().enumerate() {
                    match MasterKey::parse(one) {
                        Ok(key) => keys.push(key),
                        Err(error) => {
                            self.problem(MASTER_KEY, format!("key {}: {error}", index + 1));
                        }
                    }
                }
                if keys.is_empty() && text.trim().is_empty() {
                    self.problem(MASTER_KEY, "holds no master key");
                }
                MasterKeySource::Given(keys)
            }
            (_, Some(_)) => {
                self.problem(
                    MASTER_KEY,
                    "master keys are given here and in files: give them in one of the two ways",
                );
                MasterKeySource::Files(files)
            }
        }
    }

    fn database(&mut self, master_keys: &MasterKeySource) -> Option<Database> {
        let password_file = self.path(STORE_PASSWORD_FILE);
        let max_connections = self.count(STORE_MAX_CONNECTIONS);
        if max_connections.is_some_and(|count| count < 2) {
            // Where one hangs, what it was to do is done on another one.
            self.problem_at(STORE_MAX_CONNECTIONS, "is too few: expected 2 or more".to_owned());
        }
        let terms = self.lease();
        let replica_name = self.parsed(STORE_REPLICA_NAME, replica_name);
        let address = self.parsed(STORE_URL, DatabaseAddress::parse)?;
        if address.has_password() {
            self.check_place_of_password();
            if password_file.is_some() {
                self.problem_at(
                    STORE_PASSWORD_FILE,
                    format!("{STORE_URL} has a password already: give it in one of the two places"),
                );
            }
        }
        if matches!(master_keys, MasterKeySource::DataFolder) {
            self.problem_at(
                STORE_URL,
                format!(
                    "the keys in a PostgreSQL database are sealed under a master key that outlives \
                     this machine, and none is given: make one with keyward master-key FILE, keep a \
                     copy, and name the file with {MASTER_KEY_FILES} or --master-key-file, or give it \
                     in {MASTER_KEY}"
                ),
            );
        }
        Some(Database { address, password_file, max_connections, terms, replica_name })
    }

    fn lease(&mut self) -> LeaseTerms {
        let seconds = self.count(STORE_LEASE_S);
        let terms = seconds.map(|seconds| LeaseTerms::new(Duration::from_secs(seconds.into())));
        match terms.transpose() {
            Ok(terms) => terms.unwrap_or_default(),
            Err(error) => {
                let seconds = seconds.unwrap_or_default();
                self.problem_at(STORE_LEASE_S, format!("{STORE_LEASE_S} is {seconds}: {error}"));
                LeaseTerms::default()
            }
        }
    }

    /// A password in the configuration file is as secret as the file.
    fn check_place_of_password(&mut self) {
        let Some(Origin::File(path, ..)) = self.raw.given(STORE_URL).map(|given| &given.origin)
        else {
            return;
        };
        let is_open = std::fs::metadata(path).is_ok_and(|file| file.mode() & 0o007 != 0);
        if is_open {
            let path = path.display();
            self.problem_at(
                STORE_URL,
                format!(
                    "has a password, and others can read {path}: run chmod 640 {path}, or write the \
                     password into a file of its own and name it with {STORE_PASSWORD_FILE}"
                ),
            );
        }
    }

    fn operators(&mut self) -> Vec<OperatorEntry> {
        let raw = self.raw;
        let mut operators: Vec<OperatorEntry> = Vec::new();
        for one in &raw.operators {
            let Some(entry) = self.operator(one) else { continue };
            let taken = entry.name == crate::data_dir::OPERATOR
                || operators.iter().any(|other| other.name == entry.name);
            if taken {
                let message = format!(
                    "the name {} is taken: each operator has its own, and {} is the data folder's",
                    entry.name,
                    crate::data_dir::OPERATOR
                );
                self.problem(&one.place.to_string(), message);
            }
            operators.push(entry);
        }
        operators
    }

    fn operator(&mut self, raw: &RawOperator) -> Option<OperatorEntry> {
        let mut texts = OPERATOR_FIELDS.map(|field| match raw.fields.get(field) {
            Some(given) => match &given.value {
                Value::Text(text) if !text.trim().is_empty() => Some((text.as_str(), given)),
                _ => {
                    self.problem(&given.origin.to_string(), format!("{field} is empty"));
                    None
                }
            },
            None => {
                self.problem(&raw.place.to_string(), format!("the operator has no {field}"));
                None
            }
        });
        let [name, role, token_file] = texts.each_mut().map(Option::take);
        let role = role.and_then(|(text, given)| match text.parse::<Role>() {
            Ok(role) => Some(role),
            Err(error) => {
                self.problem(&given.origin.to_string(), error.to_string());
                None
            }
        });
        if let Some((name, given)) = name
            && (name.chars().count() > 64 || name.chars().any(char::is_control))
        {
            let message = "name is longer than 64 characters or has control characters";
            self.problem(&given.origin.to_string(), message);
        }
        Some(OperatorEntry {
            name: name?.0.to_owned(),
            role: role?,
            token_file: self.below_base(token_file?.0),
        })
    }

    fn address(&mut self, name: &'static str, port: u16) -> SocketAddr {
        self.parsed(name, parse_address).unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], port)))
    }

    fn parsed<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let given = self.raw.given(name)?;
        let Value::Text(text) = &given.value else { return None };
        parse(text).map_err(|why| self.problem(&given.origin.to_string(), why)).ok()
    }

    fn flag(&self, name: &'static str) -> bool {
        matches!(self.raw.given(name).map(|given| &given.value), Some(Value::Flag(true)))
    }

    fn count(&self, name: &'static str) -> Option<u32> {
        match self.raw.given(name)?.value {
            Value::Count(count) => Some(count),
            _ => None,
        }
    }

    fn texts(&self, name: &'static str) -> Vec<String> {
        match self.raw.given(name).map(|given| &given.value) {
            Some(Value::Texts(texts)) => texts.clone(),
            _ => Vec::new(),
        }
    }

    /// Texts of which each is to be the name of something, so that none is there in vain.
    fn names(&mut self, name: &'static str, is_one: impl Fn(&str) -> bool) -> Vec<String> {
        let texts = self.texts(name);
        for text in &texts {
            if text.trim().is_empty() || text.contains(char::is_control) || !is_one(text) {
                let shown = text.escape_debug();
                self.problem_at(name, format!("{name} has '{shown}', which is no name of one"));
            }
        }
        texts
    }

    fn path(&mut self, name: &'static str) -> Option<PathBuf> {
        self.parsed(name, not_empty).map(|path| self.resolve(name, &path))
    }

    /// Paths in the file begin at the file's folder, others where the command is given.
    fn resolve(&self, name: &'static str, path: &str) -> PathBuf {
        match self.raw.given(name).map(|given| &given.origin) {
            Some(Origin::File(..)) => self.below_base(path),
            _ => PathBuf::from(path),
        }
    }

    fn below_base(&self, path: &str) -> PathBuf {
        match &self.raw.base {
            Some(base) => base.join(path),
            None => PathBuf::from(path),
        }
    }

    fn problem_at(&mut self, name: &'static str, message: String) {
        let place =
            self.raw.given(name).map_or_else(|| name.to_owned(), |one| one.origin.to_string());
        self.problem(&place, message);
    }

    fn problem(&mut self, place: &str, message: impl Into<String>) {
        self.problems.push(Problem { place: place.to_owned(), message: message.into() });
    }
}

pub(crate) fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let named = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    named.as_deref().unwrap_or(text).parse().map_err(|_| {
        format!("'{}' is no address: expected IP:PORT, such as 127.0.0.1:7071", text.escape_debug())
    })
}

/// Reads the URL that an app is reached at.
pub(crate) fn parse_public_url(text: &str) -> Result<Url, String> {
    if text.len() > limits::PUBLIC_URL_BYTES {
        return Err(format!(
            "a text of {} bytes is no URL of an app: expected {} at most",
            text.len(),
            limits::PUBLIC_URL_BYTES
        ));
    }
    let shown = text.escape_debug();
    let url = Url::parse(text)
        .map_err(|error| format!("'{shown}' is no URL: {error}; expected https://NAME"))?;
    if !matches!(url.scheme(), "https" | "http") || url.host().is_none() {
        return Err(format!("'{shown}' is not reached over the web: expected https://NAME"));
    }
    if url.query().is_some() || url.fragment().is_some() || has_user(&url) {
        return Err(format!("'{shown}' has more than host, port and path: leave the rest out"));
    }
    if url.scheme() == "http" && !is_loopback(&url) {
        return Err(format!(
            "'{shown}' sends keys over the network readably: expected https, or a loopback host"
        ));
    }
    Ok(url)
}

fn has_user(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// Whether a URL's host is this machine, by its name or address alone.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Checks the name of an app.
pub(crate) fn check_app_name(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if text.is_empty() || text.chars().count() > APP_NAME_CHARS || !text.chars().all(fits) {
        let shown: String = text.chars().take(80).collect();
        return Err(format!(
            "'{}' is no name of an app: expected 1 to {APP_NAME_CHARS} letters, digits or -",
            shown.escape_debug()
        ));
    }
    Ok(text.to_owned())
}

fn not_empty(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("is empty".to_owned()) } else { Ok(text.to_owned()) }
}

fn positive_duration(text: &str) -> Result<Duration, String> {
    match duration::parse(text)? {
        Duration::ZERO => Err("is zero, which no API key could live".to_owned()),
        duration => Ok(duration),
    }
}

pub(crate) fn parse_log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(format!("'{}' is no log format: expected text or json", text.escape_debug())),
    }
}

/// Whether an app may be given a variable of this name: Keyward's own, but for inputs, hold its secrets.
fn is_variable(text: &str) -> bool {
    let is_own = text.starts_with("KEYWARD_") && !text.starts_with(app::INPUT_VARIABLE);
    !text.contains('=') && !is_own
}

fn replica_name(text: &str) -> Result<String, String> {
    let is_fit = (1..=64).contains(&text.chars().count())
        && !text.contains(char::is_control)
        && !text.trim().is_empty();
    if is_fit {
        Ok(text.to_owned())
    } else {
        Err("expected 1 to 64 characters, none of them a control character".to_owned())
    }
}
