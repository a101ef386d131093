use std::error::Error as _;
use std::fmt::Write as _;
use std::path::PathBuf;

use crate::config;

/// What the crate's functions return.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a command did not do what it was asked to, by what its caller can do about it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The command line, or what came on standard input, is not what the command takes.
    #[error("{0}")]
    Usage(String),
    /// The configuration does not hold.
    #[error("the configuration does not hold:{}", list(.0))]
    Config(Vec<config::Problem>),
    /// The app folder's files do not hold.
    #[error("the app in {} does not hold:{}", dir.display(), list(problems))]
    App {
        /// The app folder.
        dir: PathBuf,
        /// Everything that is wrong with it.
        problems: Vec<app::Problem>,
    },
    /// What is asked for would be unsafe, or a folder or file is not as it must be.
    #[error("{0}")]
    Unfit(String),
    /// Another process has what is needed.
    #[error("{0}")]
    InUse(String),
    /// No server answers.
    #[error("{0}")]
    Unreachable(String),
    /// The server knows no such thing.
    #[error("{message} ({code})")]
    NotFound {
        /// The server's word for it.
        code: String,
        /// What it says.
        message: String,
    },
    /// The server does not let the caller do it.
    #[error("{message} ({code})")]
    Refused {
        /// The server's word for it.
        code: String,
        /// What it says.
        message: String,
    },
    /// The server found something wrong with what it was asked.
    #[error("{message} ({code})")]
    Rejected {
        /// The server's word for it.
        code: String,
        /// What it says.
        message: String,
    },
    /// What the server has, or does meanwhile, stands against it.
    #[error("{message} ({code})")]
    Conflict {
        /// The server's word for it.
        code: String,
        /// What it says.
        message: String,
    },
    /// The server failed, or something of this machine did.
    #[error("{0}")]
    Failed(String),
    /// Something of this machine failed.
    #[error("cannot {doing}")]
    Io {
        /// What was being done, as the rest of a sentence that begins with "cannot".
        doing: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The store failed.
    #[error("cannot {doing}")]
    Store {
        /// What was being done.
        doing: String,
        /// What the store said.
        source: store::Error,
    },
    /// A key cannot be made.
    #[error("cannot {doing}")]
    Key {
        /// What was being done.
        doing: &'static str,
        /// What the key material said.
        source: keys::Error,
    },
}

impl Error {
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        |source| Self::Io { doing, source }
    }

    pub(crate) fn store(doing: impl Into<String>) -> impl FnOnce(store::Error) -> Self {
        let doing = doing.into();
        |source| Self::Store { doing, source }
    }

    pub(crate) fn key(doing: &'static str) -> impl FnOnce(keys::Error) -> Self {
        move |source| Self::Key { doing, source }
    }

    /// The exit code, by the kind of what went wrong ([`EXIT_CODES`] says them all).
    pub(crate) const fn exit_code(&self) -> u8 {
        match self {
            Self::Failed(_) | Self::Conflict { .. } | Self::Io { .. } | Self::Store { .. } => 1,
            Self::Usage(_) | Self::Rejected { .. } | Self::Key { .. } => 2,
            Self::Config(_) | Self::App { .. } | Self::Unfit(_) => 3,
            Self::Unreachable(_) => 4,
            Self::Refused { .. } => 5,
            Self::NotFound { .. } => 6,
            Self::InUse(_) => 7,
        }
    }

    /// Whether whoever read our output has gone, which is no failure: `keyward key list | head`.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == std::io::ErrorKind::BrokenPipe)
    }

    /// The whole text, with everything that led here.
    pub(crate) fn chain(&self) -> String {
        let mut chain = self.to_string();
        let mut source = self.source();
        while let Some(error) = source {
            // Some errors of libraries have their source's text in their own.
            let text = error.to_string();
            if !chain.ends_with(&text) {
                let _ = write!(chain, ": {text}");
            }
            source = error.source();
        }
        chain
    }
}

/// What each exit code means, as help and reference have it.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed: the message says what, on this machine or in the server
  2  the command line, or a value in it, is wrong
  3  the configuration, the app folder, the data folder or a backup is not fit
  4  no server can be reached
  5  the server refused the caller: no token, a wrong one, or too little of a role
  6  the server knows no such server, key or app
  7  the data folder or an address is in use by another process";

fn list(problems: &[impl std::fmt::Display]) -> String {
    problems.iter().fold(String::new(), |mut text, problem| {
        let _ = write!(text, "\n  {problem}");
        text
    })
}
