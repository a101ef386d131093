//! MCP servers that exist already: how each is reached, and what of it may be.

mod entry;
mod file;
mod http;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ::http::{HeaderMap, Uri};

pub use self::file::UpstreamNames;
pub(crate) use self::file::{Entries, Entry, read};

/// An MCP server that exists already, as one value: what differs is another server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    pub(crate) transport: Transport,
    pub(crate) allowed_tools: Option<BTreeSet<String>>,
}

/// How an upstream is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// Over Streamable HTTP.
    Http(HttpUpstream),
    /// As a child process that speaks on its standard input and output.
    Stdio(StdioUpstream),
}

/// An upstream over Streamable HTTP.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpUpstream {
    pub(crate) uri: Uri,
    /// Values are marked as sensitive, which keeps them out of debug output.
    pub(crate) headers: HeaderMap,
}

/// An upstream that is a child process.
#[derive(Clone, PartialEq, Eq)]
pub struct StdioUpstream {
    pub(crate) command: String,
    pub(crate) args: Vec<String>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) cwd: Option<String>,
}

impl Upstream {
    /// Gives how it is reached.
    pub fn transport(&self) -> &Transport {
        &self.transport
    }

    /// Gives the only tools that may be called and seen, by their exact names; none means all.
    pub fn allowed_tools(&self) -> Option<&BTreeSet<String>> {
        self.allowed_tools.as_ref()
    }

    /// Says whether the tool of exactly that name may be called.
    pub fn allows_tool(&self, name: &str) -> bool {
        self.allowed_tools.as_ref().is_none_or(|allowed| allowed.contains(name))
    }
}

impl HttpUpstream {
    /// Gives the MCP endpoint: `http` or `https`, with an authority, and without credentials in it.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Gives what every request carries: the credentials of the upstream's owner.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }
}

impl StdioUpstream {
    /// Gives the program: a name to be looked for in PATH, or a path, which is absolute where
    /// [`Self::cwd`] gives a folder.
    pub fn command(&self) -> &str {
        &self.command
    }

    /// Gives the program's arguments.
    pub fn args(&self) -> &[String] {
        &self.args
    }

    /// Gives what its environment holds besides what every child's does.
    pub fn env(&self) -> &BTreeMap<String, String> {
        &self.env
    }

    /// Gives the folder that it runs in: an absolute path, or none for the one that Keyward runs in,
    /// if the app was made without a folder.
    pub fn cwd(&self) -> Option<&str> {
        self.cwd.as_deref()
    }
}

/// Shows names and no values: any text of mcp.json may have a secret put in.
impl fmt::Debug for HttpUpstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.keys().map(::http::HeaderName::as_str).collect();
        f.debug_struct("HttpUpstream").field("headers", &names).finish_non_exhaustive()
    }
}

/// As of one over HTTP.
impl fmt::Debug for StdioUpstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StdioUpstream")
            .field("args", &self.args.len())
            .field("env", &self.env.keys())
            .finish_non_exhaustive()
    }
}
