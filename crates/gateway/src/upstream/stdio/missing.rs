//! Servers whose program is not there, found before anybody uses them.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use app::{App, StdioUpstream, Transport};

use super::Launcher;

/// Where programs are looked for without a `PATH` (POSIX leaves it to the C library).
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// A server whose program was not found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Missing {
    pub(super) server: String,
    command: String,
    looked_in: String,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, command, looked_in } = self;
        write!(
            f,
            "{server} cannot be started as things are: there is no program `{command}` {looked_in}. It is \
             served all the same, and looked for again each time that it is used: install it, or \
             correct `command` in mcp.json"
        )
    }
}

/// Gives the servers of an app whose program is not there, as their supervisor would look for it.
pub(super) fn missing(launcher: &Launcher, app: &App) -> Vec<Missing> {
    let enabled = app.servers().iter().filter(|server| server.is_enabled() && app.mcp_enabled());
    let looked_for = enabled.filter_map(|server| {
        let Transport::Stdio(upstream) = server.upstream()?.transport() else { return None };
        let looked_in = look(launcher, upstream)?;
        let command = upstream.command().escape_debug().to_string();
        Some(Missing { server: server.name().to_owned(), command, looked_in })
    });
    looked_for.collect()
}

/// Says where a program was looked for and is not; none if it is there.
fn look(launcher: &Launcher, upstream: &StdioUpstream) -> Option<String> {
    let command = Path::new(upstream.command());
    let cwd = upstream.cwd().map(PathBuf::from).unwrap_or_default();
    if upstream.command().contains('/') {
        let is_there = is_program(&cwd.join(command));
        return (!is_there).then(|| "at that path that may be executed".to_owned());
    }
    let own = upstream.env().get("PATH").map(OsString::from);
    let is_own = own.is_some();
    let everyones = launcher.environment.iter().find(|(name, _)| name == "PATH");
    let path = own.or_else(|| everyones.map(|(_, path)| path.clone()));
    let path = path.unwrap_or_else(|| OsStr::new(DEFAULT_PATH).to_owned());
    if std::env::split_paths(&path).any(|folder| is_program(&cwd.join(folder).join(command))) {
        return None;
    }
    Some(if is_own {
        // What an entry's environment holds is nobody's business.
        "in the PATH of its `env`".to_owned()
    } else {
        format!("in PATH ({})", path.display())
    })
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use app::Files;

    use super::*;

    #[test]
    fn a_program_is_looked_for_where_its_supervisor_would() {
        let mut files = Files::new();
        let host = r#"{"version": "2.0", "extensions": {"workflow": {"McpServerEndpoints":
            {"enable": true}}}}"#;
        files.insert("host.json", host).unwrap();
        let servers = r#"{"servers": {
            "there": {"command": "sh"}, "path": {"command": "/bin/sh"},
            "gone": {"command": "no-such-program-x"}, "lost": {"command": "/no/such/sh"},
            "own": {"command": "sh", "env": {"PATH": "/no/such/secret"}},
            "folder": {"command": "/bin"}, "here": {"command": "./sh", "cwd": "/bin"},
            "far": {"url": "http://[::1]/"}}}"#;
        files.insert("mcp.json", servers).unwrap();
        let app = App::from_files(&files).unwrap();
        let launcher = Launcher {
            program: PathBuf::new(),
            arguments: Vec::new(),
            environment: vec![("PATH".into(), "/no/such:/bin".into())],
        };
        let mut told: Vec<_> = missing(&launcher, &app).iter().map(ToString::to_string).collect();
        told.sort();
        let begins = [
            "folder cannot be started as things are: there is no program `/bin` at that path",
            "gone cannot be started as things are: there is no program `no-such-program-x` in PATH \
             (/no/such:/bin)",
            "lost cannot be started as things are: there is no program `/no/such/sh` at that path",
            "own cannot be started as things are: there is no program `sh` in the PATH of its `env`",
        ];
        assert_eq!(told.len(), begins.len(), "{told:?}");
        for (told, begins) in told.iter().zip(begins) {
            assert!(told.starts_with(begins) && !told.contains("secret"), "{told}");
        }
    }
}
