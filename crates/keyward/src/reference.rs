//! The pages of docs/ that are made from the code.

use std::fmt::Write as _;

use clap::{Command, CommandFactory as _};

use crate::arguments::Arguments;
use crate::config::{OPERATOR_FIELDS, SETTINGS, Setting, VARIABLES};
use crate::error::{EXIT_CODES, Error, Result};

/// Gives a page by its name.
pub(crate) fn page(name: &str) -> Result<String> {
    match name {
        "cli" => Ok(cli()),
        "configuration" => Ok(configuration()),
        _ => Err(Error::Usage("there are the pages cli and configuration".to_owned())),
    }
}

fn cli() -> String {
    let mut page = "# The command line\n\nMade from the command line's own help; \
                    `KEYWARD_UPDATE=1 cargo test -p keyward reference` makes it anew.\n"
        .to_owned();
    let mut command = Arguments::command().term_width(100);
    command.build();
    describe(&mut page, &mut command, "keyward");
    let _ = write!(page, "\n## Exit codes\n\n```text\n{EXIT_CODES}\n```\n");
    page
}

fn describe(page: &mut String, command: &mut Command, path: &str) {
    let help = command.render_long_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    let _ = write!(page, "\n## `{path}`\n\n```text\n{}\n```\n", lines.join("\n").trim_end());
    for inner in command
        .get_subcommands_mut()
        .filter(|inner| !inner.is_hide_set() && inner.get_name() != "help")
    {
        let path = format!("{path} {}", inner.get_name());
        describe(page, inner, &path);
    }
}

fn configuration() -> String {
    let mut page = "\
# Configuration

Made from the table of settings; `KEYWARD_UPDATE=1 cargo test -p keyward reference` makes it anew.

Everything has a default: `keyward serve DIR` needs no configuration. What you choose stands in one TOML
file, which `--config FILE` or `KEYWARD_CONFIG` names, in the environment, or on the command line of
`keyward serve`. A flag wins over the environment, which wins over the file, which wins over the default.
`keyward config check` reports everything that is wrong with its place, and `keyward config show` prints
what holds and where each value comes from.

Relative paths in the file begin at the file's folder. Durations are numbers with units, such as `7d`,
`24h`, `1h30m` or `10s`. Secrets are given by file or in the environment, never as a flag.

## A full example

```toml
"
    .to_owned();
    page.push_str(&example());
    page.push_str("```\n\n## Settings\n");
    for setting in SETTINGS {
        page.push_str(&section(setting));
    }
    let _ = write!(
        page,
        "\n### `[[operator]]`\n\nSomebody who may call the management plane besides the data folder's \
         own operator, who is an owner and is named `operator`. Each has {}: a name for audit rows; \
         `reader` (lists), `issuer` (issues API keys too) or `owner` (revokes, regenerates, deploys and backs up too); and \
         a file with an operator token, which others than its owner and group cannot read. No two \
         operators have the same token.\n",
        OPERATOR_FIELDS.map(|field| format!("`{field}`")).join(", ")
    );
    page.push_str("\n## Variables that are no settings\n\n| variable | meaning |\n|---|---|\n");
    for variable in VARIABLES {
        let _ = writeln!(page, "| `{}` | {} |", variable.name, variable.meaning);
    }
    page
}

fn section(setting: &Setting) -> String {
    let default = match setting.default {
        value
            if value.starts_with(['"', '['])
                || value == "false"
                || value.parse::<u32>().is_ok() =>
        {
            format!("`{value}`")
        }
        words => words.to_owned(),
    };
    let mut ways = vec![format!("default: {default}")];
    ways.extend(setting.flag.map(|flag| format!("`{flag}`")));
    ways.extend(setting.variable.map(|variable| format!("`{variable}`")));
    format!("\n### `{}`\n\n{}\n\n{}\n", setting.name, setting.meaning, ways.join(" · "))
}

/// The example file, with every setting.
fn example() -> String {
    let mut text = String::new();
    let mut last = "";
    for setting in SETTINGS {
        let (section, name) = setting.name.rsplit_once('.').unwrap_or(("", setting.name));
        if section != last {
            let _ = write!(text, "\n[{section}]\n");
            last = section;
        }
        let _ = writeln!(text, "{name} = {}", setting.example);
    }
    text.push_str("\n[[operator]]\nname = \"ci\"\nrole = \"issuer\"\ntoken_file = \"/etc/keyward/ci-token\"\n");
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Config, Environment, RawConfig};

    #[test]
    fn the_example_configuration_holds_and_has_every_setting() {
        let raw = RawConfig::parse(Path::new("/etc/keyward.toml"), &example());
        assert_eq!(raw.problems, []);
        for setting in SETTINGS {
            assert!(raw.given(setting.name).is_some(), "{}", setting.name);
        }
        let config = Config::new(&raw, &Environment::default()).unwrap();
        assert_eq!(config.operators.len(), 1);
    }

    #[test]
    fn the_reference_pages_are_those_in_docs() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
        for name in ["cli", "configuration"] {
            let path = docs.join(name).with_extension("md");
            let made = page(name).unwrap();
            if std::env::var_os("KEYWARD_UPDATE").is_some() {
                std::fs::create_dir_all(&docs).unwrap();
                std::fs::write(&path, &made).unwrap();
            }
            let there = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(
                there == made,
                "{} is stale: KEYWARD_UPDATE=1 cargo test -p keyward reference makes it anew",
                path.display()
            );
        }
    }
}
