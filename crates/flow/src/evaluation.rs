//! Single expressions, evaluated outside a run.

use std::cell::Cell;
use std::time::SystemTime;

use serde_json::{Map, Value};

use crate::expression::{
    ActionNames, Budget, Callee, Environment, ExprKind, FaultKind, Names, PlacedFault, Template,
    Val, depth_exceeds, property,
};
use crate::limits::VALUE_DEPTH;
use crate::problem::Error;

/// What a single expression may refer to.
#[derive(Debug, Clone)]
pub struct Context {
    /// Actions by their names, each as `actions()` gives it (`inputs`, `outputs`, `status`, …).
    pub actions: Map<String, Value>,
    /// Variables by their names.
    pub variables: Map<String, Value>,
    /// Parameters by their names.
    pub parameters: Map<String, Value>,
    /// What `item()` gives.
    pub item: Option<Value>,
    /// What `trigger()` gives: an object with `outputs`, which has `body`.
    pub trigger: Value,
    /// What `utcNow()` gives.
    pub now: SystemTime,
}

impl Default for Context {
    fn default() -> Self {
        Self {
            actions: Map::new(),
            variables: Map::new(),
            parameters: Map::new(),
            item: None,
            trigger: Value::Null,
            now: SystemTime::UNIX_EPOCH,
        }
    }
}

/// A JSON value with expressions in it, parsed and ready to be evaluated by itself.
#[derive(Debug)]
pub struct Evaluation {
    template: Template,
}

impl Evaluation {
    /// Parses the expressions in `value`.
    ///
    /// # Errors
    /// The first fault of syntax or nesting.
    pub fn parse(value: &Value) -> Result<Self, Error> {
        if depth_exceeds(value, VALUE_DEPTH) {
            return Err(Error::Limit {
                pointer: String::new(),
                message: format!("a value may be nested {VALUE_DEPTH} levels deep"),
            });
        }
        let mut faults = Vec::new();
        let template = Template::parse(value, "", &mut faults);
        match faults.into_iter().next() {
            Some(fault) => Err(to_error(&fault)),
            None => Ok(Self { template }),
        }
    }

    /// Names the functions that the language has and this engine does not have yet.
    #[must_use]
    pub fn unsupported(&self) -> Vec<&'static str> {
        let mut names = Vec::new();
        self.template.visit(&mut |_, expression| {
            if let ExprKind::Call { callee: Callee::Later(later), .. } = &expression.kind {
                names.push(later.name);
            }
        });
        names
    }

    /// Evaluates to a value; what it may use is bounded as in a run.
    ///
    /// # Errors
    /// What makes it have no value, with the place drawn.
    pub fn evaluate(&self, context: &Context) -> Result<Value, Error> {
        let names = Surroundings { context, random: Cell::new(0x005E_ED00) };
        let budget = Budget::default();
        let environment = Environment { names: &names, budget: &budget };
        self.template.evaluate_value(environment).map_err(|fault| to_error(&fault))
    }
}

fn to_error(fault: &PlacedFault) -> Error {
    let pointer =
        fault.source.as_ref().map_or_else(String::new, |source| source.pointer.as_ref().to_owned());
    let message = fault.drawn();
    match fault.fault.kind {
        FaultKind::Syntax | FaultKind::Template => Error::Template { pointer, message },
        FaultKind::Limit => Error::Limit { pointer, message },
    }
}

#[derive(Debug)]
struct Surroundings<'c> {
    context: &'c Context,
    random: Cell<u64>,
}

impl Names for Surroundings<'_> {
    fn action(&self, name: &str) -> Option<ActionNames<'_>> {
        let (name, record) = crate::expression::property_entry(&self.context.actions, name)?;
        Some(ActionNames {
            name,
            inputs: record.get("inputs"),
            outputs: record.get("outputs"),
            status: record.get("status").and_then(Value::as_str),
            code: record.get("code").and_then(Value::as_str),
            error: None,
        })
    }

    fn within(&self, _scope: &str) -> Option<Vec<ActionNames<'_>>> {
        None
    }

    fn variable(&self, name: &str) -> Option<&Value> {
        property(&self.context.variables, name)
    }

    fn parameter(&self, name: &str) -> Option<&Value> {
        property(&self.context.parameters, name)
    }

    fn app_setting(&self, _name: &str) -> Option<&str> {
        None
    }

    fn trigger(&self) -> &Value {
        &self.context.trigger
    }

    fn item(&self) -> Option<&Value> {
        self.context.item.as_ref()
    }

    fn workflow_name(&self) -> &'static str {
        ""
    }

    fn run_id(&self) -> &'static str {
        ""
    }

    fn now(&self) -> SystemTime {
        self.context.now
    }

    fn random(&self) -> u64 {
        crate::run::next_random(&self.random)
    }
}

/// Evaluates `template` where it can refer to nothing but app settings.
pub(crate) fn evaluate_with<'a>(
    template: &'a Template,
    names: &'a dyn Names,
    budget: &'a Budget,
) -> Result<Val<'a>, PlacedFault> {
    template.evaluate(Environment { names, budget })
}
