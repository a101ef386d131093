//! local.settings.json and the process's own values: the app settings.

use std::collections::{BTreeMap, BTreeSet};

use crate::json::{Faults, at_file};
use crate::problem::Problem;
use crate::reader::Node;

/// The app settings, and which workflows they disable.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    pub(crate) values: BTreeMap<String, String>,
    /// Names of workflows in lower case.
    disabled: BTreeSet<String>,
    /// Names of workflows as the settings have them.
    named: BTreeSet<String>,
    /// Whether something could not be read, so that a missing setting is no fault of its reader.
    pub(crate) incomplete: bool,
}

impl Settings {
    pub(crate) fn disables(&self, workflow: &str) -> bool {
        self.disabled.contains(&workflow.to_ascii_lowercase())
    }

    /// Gives the names of workflows that a setting speaks of.
    pub(crate) fn workflows(&self) -> impl Iterator<Item = &str> {
        self.named.iter().map(String::as_str)
    }

    /// Adds the process's values, which win over the file's, as they do for the Functions host.
    pub(crate) fn add_environment(
        &mut self,
        environment: &BTreeMap<String, String>,
    ) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (name, value) in environment {
            if let Err(message) = self.add(name, value) {
                let message = format!("{name} {message}");
                problems.push(at_file("environment", message));
            }
        }
        problems
    }

    fn add(&mut self, name: &str, value: &str) -> Result<(), &'static str> {
        if let Some(workflow) = workflow_of(name) {
            let folded = workflow.to_ascii_lowercase();
            if value.eq_ignore_ascii_case("disabled") {
                self.disabled.insert(folded);
            } else if value.eq_ignore_ascii_case("enabled") {
                self.disabled.remove(&folded);
            } else {
                return Err(
                    "has another value than `Enabled` and `Disabled`; expected one of them",
                );
            }
            self.named.insert(workflow.to_owned());
        }
        self.values.insert(name.to_owned(), value.to_owned());
        Ok(())
    }
}

/// Reads local.settings.json. No message of it repeats a value: they may be secrets.
pub(crate) fn read(root: &Node<'_>, faults: &mut Faults) -> Settings {
    let mut settings = Settings::default();
    let Some(root) = root.object(faults, "an object") else { return settings };
    if let Some(node) = root.member("IsEncrypted", faults)
        && node.boolean(faults, "true or false") == Some(true)
    {
        let message = "the values are encrypted; expected plain ones: run `func settings decrypt`";
        node.fault(faults, message);
        return settings;
    }
    let Some(values) = root.member("Values", faults) else { return settings };
    let Some(values) = values.object(faults, "an object of strings") else { return settings };
    for (name, node) in values.all() {
        let Some(value) = node.string(faults, "a string") else { continue };
        if let Err(message) = settings.add(name, value) {
            node.fault(faults, message);
        }
    }
    settings
}

/// Gives NAME of `Workflows.NAME.FlowState`.
fn workflow_of(setting: &str) -> Option<&str> {
    let (prefix, rest) = setting.split_once('.')?;
    let (name, suffix) = rest.rsplit_once('.')?;
    let fits = prefix.eq_ignore_ascii_case("Workflows") && suffix.eq_ignore_ascii_case("FlowState");
    (fits && !name.is_empty()).then_some(name)
}
