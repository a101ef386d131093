//! What the expressions of a run see of it.

use std::time::SystemTime;

use serde_json::Value;

use super::{Record, Run};
use crate::expression::{ActionNames, Environment, Names, PlacedFault, Template, property};
use crate::plan::{Action, Status};

/// A run at the time of a step.
#[derive(Debug)]
pub(super) struct View<'r> {
    pub(super) run: &'r Run,
    pub(super) now: SystemTime,
}

impl View<'_> {
    pub(super) fn environment(&self) -> Environment<'_> {
        Environment { names: self, budget: &self.run.budget }
    }

    /// Evaluates to a value of its own.
    pub(super) fn evaluate(&self, template: &Template) -> Result<Value, PlacedFault> {
        template.evaluate_value(self.environment())
    }
}

fn names<'r>(action: &'r Action, record: &'r Record) -> ActionNames<'r> {
    ActionNames {
        name: &action.name,
        // A Compose's outputs are its inputs, and are kept once.
        inputs: record.inputs.as_ref().or(match action.operation {
            crate::plan::Operation::Compose(_) => record.outputs.as_ref(),
            _ => None,
        }),
        outputs: record.outputs.as_ref(),
        status: record.status().map(Status::name),
        code: record.code(),
        error: record.failure.as_ref().map(|failure| (&*failure.code, failure.message.as_str())),
    }
}

impl View<'_> {
    fn names_at(&self, index: usize) -> Option<ActionNames<'_>> {
        let action = self.run.workflow.actions.get(index)?;
        Some(names(action, self.run.records.get(index)?))
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.run.workflow.by_name.get(&name.to_lowercase()).copied()
    }
}

impl Names for View<'_> {
    fn action(&self, name: &str) -> Option<ActionNames<'_>> {
        self.names_at(self.find(name)?)
    }

    fn within(&self, scope: &str) -> Option<Vec<ActionNames<'_>>> {
        let action = self.run.workflow.actions.get(self.find(scope)?)?;
        if action.blocks.is_empty() {
            return None;
        }
        Some(action.blocks.iter().flatten().filter_map(|&index| self.names_at(index)).collect())
    }

    fn variable(&self, name: &str) -> Option<&Value> {
        let index = self.run.workflow.variables_by_name.get(&name.to_lowercase()).copied()?;
        self.run.variables.get(index)?.as_ref()
    }

    fn parameter(&self, name: &str) -> Option<&Value> {
        property(&self.run.host.parameters, name).or_else(|| property(&self.run.parameters, name))
    }

    fn app_setting(&self, name: &str) -> Option<&str> {
        self.run.host.app_setting(name)
    }

    fn trigger(&self) -> &Value {
        &self.run.trigger
    }

    fn item(&self) -> Option<&Value> {
        None
    }

    fn workflow_name(&self) -> &str {
        &self.run.host.workflow_name
    }

    fn run_id(&self) -> &str {
        &self.run.id
    }

    fn now(&self) -> SystemTime {
        self.now
    }

    fn random(&self) -> u64 {
        super::next_random(&self.run.random)
    }
}
