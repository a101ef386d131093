use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use url::Url;

use super::CallArguments;
use crate::config;

pub(super) const DEPLOY_EXAMPLES: &str = "\
Examples:
  keyward deploy my-tools
  keyward deploy my-tools --app tools --public-url https://tools.example.com
  keyward deploy --list --app tools
  keyward deploy --rollback --app tools          the version before
  keyward deploy --rollback 3 --app tools";

#[derive(Debug, Args)]
pub(crate) struct DeployArguments {
    /// The app folder: all its files are sent, local.settings.json and mcp.json among them
    #[arg(
        value_hint = ValueHint::DirPath,
        required_unless_present_any = ["list", "rollback"],
        conflicts_with_all = ["list", "rollback"]
    )]
    dir: Option<PathBuf>,
    /// Where MCP clients reach the app [default: where they did so far, or at its name below the
    /// server's own URL]
    #[arg(long, value_name = "URL", value_parser = config::parse_public_url, requires = "dir")]
    pub(crate) public_url: Option<Url>,
    /// List the app's versions, newest first
    #[arg(long, conflicts_with = "rollback")]
    list: bool,
    /// Deploy an older version again [default: the one before the version in force]
    ///
    /// Two rollbacks in a row go back two versions.
    #[arg(long, value_name = "VERSION", num_args = 0..=1, allow_negative_numbers = true, value_parser = version)]
    #[expect(clippy::option_option, reason = "it may be given without a version")]
    rollback: Option<Option<i64>>,
    /// Roll back also where the old version lets in more than the one in force
    #[arg(long, requires = "rollback")]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) call: CallArguments,
}

fn version(text: &str) -> Result<i64, String> {
    let wrong =
        "expected the number of a version, as deploy --list has them; the app is named with --app";
    text.parse().ok().filter(|version| *version > 0).ok_or_else(|| wrong.to_owned())
}

/// What `deploy` is to do.
pub(crate) enum Wanted<'a> {
    Deployment(&'a Path),
    List,
    Rollback(Option<i64>),
}

impl DeployArguments {
    /// Gives what is to be done.
    pub(crate) fn wanted(&self) -> Wanted<'_> {
        match (&self.dir, self.rollback) {
            (Some(dir), _) => Wanted::Deployment(dir),
            (None, Some(version)) => Wanted::Rollback(version),
            (None, None) => Wanted::List,
        }
    }
}
