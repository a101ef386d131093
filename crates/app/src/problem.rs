//! What is wrong with a file, and what an app does not offer.

use std::fmt;

/// One thing in one file that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file's path inside the app, with `/`; `environment` for a process's value.
    pub file: String,
    /// The line, from 1; none where the file is missing, too large or not text.
    pub line: Option<usize>,
    /// The column, from 1, in characters.
    pub column: Option<usize>,
    /// The JSON pointer (RFC 6901); empty for the whole file.
    pub pointer: String,
    /// What is wrong, what was expected, what to do. Never a value of `local.settings.json`.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
            if let Some(column) = self.column {
                write!(f, ":{column}")?;
            }
        }
        if !self.pointer.is_empty() {
            write!(f, " ({})", self.pointer)?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for Problem {}

/// Something in the files that holds and yet is not offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// What it is: "workflow `X`", "tool `X` of server `y`", or a file and the pointer in it.
    pub what: String,
    /// Why, and what would bring it back.
    pub why: String,
}

/// A server of mcp.json that is not served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOutServer {
    /// The name that it would be served under.
    pub name: String,
    /// The name as written: any text.
    pub written: String,
    /// Why, and what would bring it back, as in [`LeftOut`].
    pub why: String,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)
    }
}
