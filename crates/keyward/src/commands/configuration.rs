use clap::Subcommand;
use store::DatabaseAddress;

use crate::arguments::SettingArguments;
use crate::config::{Config, Environment, RawConfig, SETTINGS, Setting, Value, names};
use crate::error::{Error, Result};
use crate::output;

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Reports everything that is wrong with the configuration
    Check {
        #[command(flatten)]
        settings: Box<SettingArguments>,
    },
    /// Prints what holds, and where each value comes from; secrets are not shown
    Show {
        #[command(flatten)]
        settings: Box<SettingArguments>,
    },
}

/// Runs a command on the configuration.
pub(crate) fn run(
    command: &ConfigCommand,
    raw: &RawConfig,
    environment: &Environment,
) -> Result<()> {
    Config::new(raw, environment).map_err(Error::Config)?;
    match command {
        ConfigCommand::Check { .. } => output::print("The configuration holds."),
        ConfigCommand::Show { .. } => output::print(&show(raw, environment)),
    }
}

/// Writes what holds as TOML, each value with where it comes from.
fn show(raw: &RawConfig, environment: &Environment) -> String {
    let mut lines = Vec::new();
    for setting in SETTINGS {
        lines.push(match raw.given(setting.name) {
            Some(given) => {
                format!("{} = {}  # {}", setting.name, shown(setting, &given.value), given.origin)
            }
            None if is_literal(setting.default) => {
                format!("{} = {}  # default", setting.name, setting.default)
            }
            None => format!("# {}: {}  # default", setting.name, setting.default),
        });
    }
    for operator in &raw.operators {
        lines.push(format!("\n[[operator]]  # {}", operator.place));
        let fields = operator.fields.iter();
        lines.extend(fields.map(|(name, given)| format!("{name} = {}", toml_text(&given.value))));
    }
    for secret in ["KEYWARD_MASTER_KEY", "KEYWARD_TOKEN"] {
        if environment.has(secret) {
            lines.push(format!("# {secret} is set, and not shown"));
        }
    }
    lines.join("\n")
}

/// Whether a default is one as it would stand in the file, and not words about it.
fn is_literal(default: &str) -> bool {
    default.starts_with(['"', '[']) || default == "false" || default.parse::<u32>().is_ok()
}

/// A value without what must not be shown of it.
fn shown(setting: &Setting, value: &Value) -> String {
    match value {
        Value::Text(url) if setting.name == names::STORE_URL => {
            let address = DatabaseAddress::parse(url).map(|address| address.to_string());
            toml_text(&Value::Text(address.unwrap_or_default()))
        }
        value => toml_text(value),
    }
}

fn toml_text(value: &Value) -> String {
    match value {
        Value::Text(text) => toml::Value::String(text.clone()).to_string(),
        Value::Flag(flag) => flag.to_string(),
        Value::Count(count) => count.to_string(),
        Value::Texts(texts) => {
            let texts = texts.iter().map(|text| toml::Value::String(text.clone()));
            toml::Value::Array(texts.collect()).to_string()
        }
    }
}
