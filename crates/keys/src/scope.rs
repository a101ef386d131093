use std::fmt;
use std::str::FromStr;

use crate::Error;

/// The most entries that one list of scopes has.
pub const MAX_SCOPES: usize = 32;

/// The most characters of a server's name.
const MAX_SERVER_LEN: usize = 80;

/// The most bytes of a scope's text: its length is one byte in an API key.
const MAX_SCOPE_LEN: usize = u8::MAX as usize;

/// A server, or one tool of a server. `default` names the server at `/api/mcp`.
///
/// The server's name is 1 to 80 of `a` to `z`, `0` to `9`, `-` and `_`. The tool's name is taken
/// as it is: UTF-8 without ASCII control characters. The whole text has at most 255 bytes. Scopes
/// sort by the bytes of their text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope {
    text: String,
}

impl Scope {
    /// Parses `server` or `server/tool`, split at the first `/`; a server's name is put into lower
    /// case.
    ///
    /// # Errors
    /// [`Error::Scope`] says what is wrong with it.
    pub fn parse(given: &str) -> Result<Self, Error> {
        let mut text = given.to_owned();
        let server_len = given.find('/').unwrap_or(given.len());
        if let Some(server) = text.get_mut(..server_len) {
            server.make_ascii_lowercase();
        }
        match Self::check_canonical(&text) {
            Ok(()) => Ok(Self { text }),
            Err(why) => Err(Error::Scope { given: given.to_owned(), why }),
        }
    }

    /// Checks that a text is in the form that API keys carry, or says why it is not.
    pub(crate) fn check_canonical(text: &str) -> Result<(), &'static str> {
        if text.len() > MAX_SCOPE_LEN {
            return Err("is longer than 255 bytes");
        }
        let (server, tool) = split(text);
        if server.is_empty() {
            return Err("names no server");
        }
        if server.len() > MAX_SERVER_LEN {
            return Err("has a server name of more than 80 characters");
        }
        if !server.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_')) {
            return Err("has a server name with other characters than letters, digits, - and _");
        }
        if tool.is_some_and(str::is_empty) {
            return Err("names no tool after its /");
        }
        if tool.is_some_and(|tool| tool.bytes().any(|b| b.is_ascii_control())) {
            return Err("has a control character in its tool name");
        }
        Ok(())
    }

    /// Returns the server's name, in lower case.
    pub fn server(&self) -> &str {
        split(&self.text).0
    }

    /// Returns the tool's name, or nothing where the scope is the whole server.
    pub fn tool(&self) -> Option<&str> {
        split(&self.text).1
    }

    /// Returns the scope's text, `server` or `server/tool`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Tells whether everything that `other` reaches is reached by this scope.
    fn covers(&self, other: &Self) -> bool {
        let (server, tool) = split(&self.text);
        let (other_server, other_tool) = split(&other.text);
        server == other_server && (tool.is_none() || tool == other_tool)
    }
}

fn split(text: &str) -> (&str, Option<&str>) {
    match text.split_once('/') {
        Some((server, tool)) => (server, Some(tool)),
        None => (text, None),
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scope({})", self.text)
    }
}

impl FromStr for Scope {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

/// A list of scopes as a key carries it: 1 to [`MAX_SCOPES`] entries, sorted, unique.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scopes(Vec<Scope>);

impl Scopes {
    /// Sorts the scopes and leaves out repeated ones.
    ///
    /// # Errors
    /// [`Error::NoScopes`] without any, [`Error::TooManyScopes`] for more than [`MAX_SCOPES`].
    pub fn new(scopes: impl IntoIterator<Item = Scope>) -> Result<Self, Error> {
        let scopes = sorted(scopes.into_iter().collect());
        match scopes.len() {
            0 => Err(Error::NoScopes),
            1..=MAX_SCOPES => Ok(Self(scopes)),
            _ => Err(Error::TooManyScopes),
        }
    }

    /// Returns the scopes in their order.
    pub fn iter(&self) -> std::slice::Iter<'_, Scope> {
        self.0.iter()
    }

    /// Returns what both lists reach.
    pub fn intersect(&self, other: &Self) -> Reach {
        Reach::from(self.clone()).intersect(other)
    }

    /// Tells whether the server, or a tool of it, is reached. Its name may have any case.
    pub fn reaches_server(&self, server: &str) -> bool {
        reaches_server(&self.0, server)
    }

    /// Tells whether this tool of this server is reached. The server's name may have any case.
    pub fn reaches_tool(&self, server: &str, tool: &str) -> bool {
        reaches_tool(&self.0, server, tool)
    }

    /// Tells whether the server is reached with all its tools. Its name may have any case.
    pub fn whole_server(&self, server: &str) -> bool {
        whole_server(&self.0, server)
    }
}

impl<'a> IntoIterator for &'a Scopes {
    type Item = &'a Scope;
    type IntoIter = std::slice::Iter<'a, Scope>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// What is left when all the lists of scopes that a key carries are applied: sorted, unique, and
/// possibly nothing at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach(Vec<Scope>);

impl Reach {
    /// Returns the empty reach.
    pub(crate) const fn nothing() -> Self {
        Self(Vec::new())
    }

    /// Returns what both reach.
    pub fn intersect(&self, other: &Scopes) -> Self {
        let covered = |inner: &[Scope], outer: &[Scope]| -> Vec<Scope> {
            inner.iter().filter(|one| outer.iter().any(|o| o.covers(one))).cloned().collect()
        };
        let mut both = covered(&self.0, &other.0);
        both.extend(covered(&other.0, &self.0));
        Self(sorted(both))
    }

    /// Returns the scopes in their order.
    pub fn iter(&self) -> std::slice::Iter<'_, Scope> {
        self.0.iter()
    }

    /// Tells whether nothing is reached.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Tells whether the server, or a tool of it, is reached. Its name may have any case.
    pub fn reaches_server(&self, server: &str) -> bool {
        reaches_server(&self.0, server)
    }

    /// Tells whether this tool of this server is reached. The server's name may have any case.
    pub fn reaches_tool(&self, server: &str, tool: &str) -> bool {
        reaches_tool(&self.0, server, tool)
    }

    /// Tells whether the server is reached with all its tools. Its name may have any case.
    pub fn whole_server(&self, server: &str) -> bool {
        whole_server(&self.0, server)
    }
}

impl From<Scopes> for Reach {
    fn from(scopes: Scopes) -> Self {
        Self(scopes.0)
    }
}

impl<'a> IntoIterator for &'a Reach {
    type Item = &'a Scope;
    type IntoIter = std::slice::Iter<'a, Scope>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

fn sorted(mut scopes: Vec<Scope>) -> Vec<Scope> {
    scopes.sort_unstable();
    scopes.dedup();
    scopes
}

fn reaches_server(scopes: &[Scope], server: &str) -> bool {
    scopes.iter().any(|scope| scope.server().eq_ignore_ascii_case(server))
}

fn reaches_tool(scopes: &[Scope], server: &str, tool: &str) -> bool {
    scopes.iter().any(|scope| {
        scope.server().eq_ignore_ascii_case(server) && scope.tool().is_none_or(|one| one == tool)
    })
}

fn whole_server(scopes: &[Scope], server: &str) -> bool {
    scopes.iter().any(|scope| scope.tool().is_none() && scope.server().eq_ignore_ascii_case(server))
}
