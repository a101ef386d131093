//! What surrounds a run.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::SystemTime;

use serde_json::{Map, Value};

use crate::evaluation::evaluate_with;
use crate::expression::{
    ActionNames, Budget, Names, Template, depth_exceeds, pointer_step, same_name,
};
use crate::limits::VALUE_DEPTH;
use crate::problem::Problem;

/// What an app gives to the runs of one of its workflows.
#[derive(Debug, Clone, Default)]
pub struct Host {
    /// The workflow's name, the name of its folder.
    pub workflow_name: String,
    /// The values of parameters.json by their names. `parameters()` looks here before it takes the
    /// definition's default.
    pub parameters: Map<String, Value>,
    /// What `appsetting()` reads.
    pub app_settings: BTreeMap<String, String>,
}

impl Host {
    /// Makes a host, evaluating the expressions in `parameters`: `@appsetting('name')` and what can
    /// be made of it. The pointers of problems begin with the parameter's name.
    ///
    /// # Errors
    /// Every expression that does not parse or has no value.
    pub fn resolve(
        workflow_name: impl Into<String>,
        parameters: &Map<String, Value>,
        app_settings: BTreeMap<String, String>,
    ) -> Result<Self, Vec<Problem>> {
        let names = Settings(&app_settings);
        let budget = Budget::default();
        let mut resolved = Map::new();
        let mut problems = Vec::new();
        for (name, value) in parameters {
            let pointer = pointer_step("", name);
            if depth_exceeds(value, VALUE_DEPTH) {
                let message = format!("this is nested deeper than {VALUE_DEPTH} levels");
                problems.push(Problem::new(pointer, message));
                continue;
            }
            let mut faults = Vec::new();
            let template = Template::parse(value, &pointer, &mut faults);
            let value = if faults.is_empty() {
                evaluate_with(&template, &names, &budget)
                    .and_then(|value| Ok(value.into_value(&budget)?))
            } else {
                Ok(Value::Null)
            };
            match value {
                Ok(value) => {
                    resolved.insert(name.clone(), value);
                }
                Err(fault) => faults.push(fault),
            }
            problems.extend(faults.into_iter().map(|fault| {
                let place = fault.source.as_ref().map(|source| source.pointer.as_ref());
                Problem::new(place.unwrap_or(&pointer), fault.drawn())
            }));
        }
        if problems.is_empty() {
            Ok(Self { workflow_name: workflow_name.into(), parameters: resolved, app_settings })
        } else {
            Err(problems)
        }
    }

    /// Finds an app setting: by its exact name, else without regard to case.
    pub(super) fn app_setting(&self, name: &str) -> Option<&str> {
        find_setting(&self.app_settings, name)
    }
}

fn find_setting<'s>(settings: &'s BTreeMap<String, String>, name: &str) -> Option<&'s str> {
    let exact = settings.get(name);
    exact
        .or_else(|| {
            settings.iter().find(|(other, _)| same_name(other, name)).map(|(_, value)| value)
        })
        .map(String::as_str)
}

/// App settings, and nothing else.
#[derive(Debug)]
pub(super) struct Settings<'s>(pub(super) &'s BTreeMap<String, String>);

impl Names for Settings<'_> {
    fn action(&self, _name: &str) -> Option<ActionNames<'_>> {
        None
    }
    fn within(&self, _scope: &str) -> Option<Vec<ActionNames<'_>>> {
        None
    }
    fn variable(&self, _name: &str) -> Option<&Value> {
        None
    }
    fn parameter(&self, _name: &str) -> Option<&Value> {
        None
    }
    fn app_setting(&self, name: &str) -> Option<&str> {
        find_setting(self.0, name)
    }
    fn trigger(&self) -> &Value {
        &Value::Null
    }
    fn item(&self) -> Option<&Value> {
        None
    }
    fn workflow_name(&self) -> &'static str {
        ""
    }
    fn run_id(&self) -> &'static str {
        ""
    }
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }
    fn random(&self) -> u64 {
        // Outside a run nothing is random.
        super::next_random(&Cell::new(0))
    }
}
