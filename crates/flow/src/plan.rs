//! Definition → plan: everything that can be known before a run is checked here, once.

mod check;
mod condition;
mod layout;
mod operation;
mod order;
mod reader;
mod schema;

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use crate::expression::Template;
use crate::problem::{Problem, SchemaProblem};

pub(crate) use operation::{Operation, TerminateStatus, Unit, VariableType, WaitFor};
pub(crate) use schema::Schema;

/// An action's place in its workflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActionIndex(pub(crate) usize);

/// How the reference host would keep a workflow's runs. Keyward keeps neither kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Runs survive a restart of the reference host.
    Stateful,
    /// Runs live in memory.
    Stateless,
}

/// What starts a workflow.
#[derive(Debug, Clone, PartialEq)]
pub struct Trigger {
    pub(crate) name: String,
    pub(crate) type_name: String,
    pub(crate) kind: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) schema: Option<Value>,
}

impl Trigger {
    /// Returns the trigger's name in the definition.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the type as it is written, such as `Request` or `Recurrence`.
    #[must_use]
    pub fn type_name(&self) -> &str {
        &self.type_name
    }

    /// Returns the kind as it is written, such as `Http` or `Button`.
    #[must_use]
    pub fn kind(&self) -> Option<&str> {
        self.kind.as_deref()
    }

    /// Returns the description, which becomes a tool's.
    #[must_use]
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// Returns the JSON schema of the body that the trigger expects.
    #[must_use]
    pub const fn schema(&self) -> Option<&Value> {
        self.schema.as_ref()
    }

    /// Says whether a call starts the workflow: type `Request`, compared without regard to case.
    #[must_use]
    pub fn is_request(&self) -> bool {
        self.type_name.eq_ignore_ascii_case("Request")
    }
}

/// A workflow definition, checked and ready to run.
pub struct Workflow {
    pub(crate) kind: Kind,
    pub(crate) trigger: Trigger,
    pub(crate) schema: Option<Schema>,
    pub(crate) actions: Vec<Action>,
    /// The actions that stand in no other, each after those it runs after.
    pub(crate) root: Vec<usize>,
    pub(crate) by_name: BTreeMap<String, usize>,
    pub(crate) variables: Vec<Variable>,
    pub(crate) variables_by_name: BTreeMap<String, usize>,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) unsupported: Vec<Problem>,
}

/// A step of the plan.
#[derive(Debug)]
pub(crate) struct Action {
    pub(crate) name: String,
    pub(crate) run_after: Vec<RunAfter>,
    pub(crate) operation: Operation,
    /// What stands within the action: one list for each branch, each in running order.
    pub(crate) blocks: Vec<Vec<usize>>,
    /// Some expression may ask for the outputs.
    pub(crate) outputs_wanted: bool,
    /// Some expression may ask for the inputs.
    pub(crate) inputs_wanted: bool,
}

#[derive(Debug)]
pub(crate) struct RunAfter {
    pub(crate) action: usize,
    pub(crate) statuses: Vec<Status>,
}

/// How an action has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Succeeded,
    Failed,
    Skipped,
    TimedOut,
}

impl Status {
    pub(crate) const ALL: [Self; 4] =
        [Self::Succeeded, Self::Failed, Self::Skipped, Self::TimedOut];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Skipped => "Skipped",
            Self::TimedOut => "TimedOut",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) type_of: VariableType,
}

#[derive(Debug)]
pub(crate) struct Parameter {
    pub(crate) name: String,
    pub(crate) default: Template,
}

impl Workflow {
    /// Makes a plan of a whole workflow.json, or says everything that is wrong with it.
    ///
    /// # Errors
    /// Every problem at once (at most 100), each with its place.
    pub fn parse(document: &Value) -> Result<Self, Vec<Problem>> {
        reader::read(document)
    }

    /// Returns the kind; a document without one is stateful.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns what starts the workflow.
    #[must_use]
    pub const fn trigger(&self) -> &Trigger {
        &self.trigger
    }

    /// Says whether an action of type Response stands anywhere in the workflow.
    #[must_use]
    pub fn has_response(&self) -> bool {
        self.actions.iter().any(|action| matches!(action.operation, Operation::Response { .. }))
    }

    /// Returns what is well-formed but cannot be run here: types of actions and triggers, functions.
    /// A workflow with any of it is no tool.
    #[must_use]
    pub fn unsupported(&self) -> &[Problem] {
        &self.unsupported
    }

    /// Checks a body against the trigger's schema; without a schema every body fits.
    ///
    /// # Errors
    /// Every place that does not fit (at most 100), and what was expected there.
    pub fn check_arguments(&self, arguments: &Value) -> Result<(), Vec<SchemaProblem>> {
        match &self.schema {
            Some(schema) => schema.check(arguments),
            None => schema::check_depth(arguments),
        }
    }
}

impl fmt::Debug for Workflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workflow")
            .field("kind", &self.kind)
            .field("trigger", &self.trigger)
            .field("actions", &self.actions)
            .field("unsupported", &self.unsupported)
            .finish_non_exhaustive()
    }
}
