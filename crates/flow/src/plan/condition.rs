//! The condition of an `If`: an expression, or a tree of functions written as objects.

use serde_json::Value;

use crate::expression::{
    Call, Callee, Environment, Expr, Fault, PlacedFault, Source, Template, Val, pointer_step,
};
use crate::functions::{self, Function};
use crate::problem::Problem;

/// A condition, or any value within one.
#[derive(Debug)]
pub(crate) enum Condition {
    Value(Template),
    Call { function: &'static Function, arguments: Vec<Self> },
}

impl Condition {
    /// Parses the value of an `expression` property.
    pub(super) fn parse(
        value: &Value,
        pointer: &str,
        faults: &mut Vec<PlacedFault>,
        problems: &mut Vec<Problem>,
    ) -> Self {
        match value {
            Value::Object(members) => {
                let mut each = members.iter();
                match (each.next(), each.next()) {
                    (Some((name, arguments)), None) => {
                        if let Callee::Function(function) = functions::find(name) {
                            let pointer = pointer_step(pointer, name);
                            return Self::call(function, arguments, &pointer, faults, problems);
                        }
                        problems.push(Problem::new(
                            pointer_step(pointer, name),
                            format!("a condition is made of functions such as \"and\" and \"equals\", and '{name}' is none that can be used here"),
                        ));
                    }
                    _ => problems.push(Problem::new(
                        pointer,
                        "a condition has exactly one property: the function, such as {\"and\": [ … ]}",
                    )),
                }
                Self::Value(Template::Constant(Value::Null))
            }
            Value::String(text) if text.starts_with('@') => {
                Self::Value(Template::parse(value, pointer, faults))
            }
            Value::Bool(_) => Self::Value(Template::Constant(value.clone())),
            Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                problems.push(Problem::new(
                    pointer,
                    "a condition is an expression such as \"@equals(1, 1)\" or an object such as {\"equals\": [1, 1]}",
                ));
                Self::Value(Template::Constant(Value::Null))
            }
        }
    }

    fn call(
        function: &'static Function,
        arguments: &Value,
        pointer: &str,
        faults: &mut Vec<PlacedFault>,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let arguments: Vec<Self> = match arguments {
            Value::Array(arguments) => arguments
                .iter()
                .enumerate()
                .map(|(index, argument)| {
                    Self::argument(argument, &format!("{pointer}/{index}"), faults, problems)
                })
                .collect(),
            argument => vec![Self::argument(argument, pointer, faults, problems)],
        };
        // The designer writes an empty group, which holds.
        if arguments.is_empty() && matches!(function.name, "and" | "or") {
            return Self::Value(Template::Constant(Value::Bool(function.name == "and")));
        }
        if !function.takes(arguments.len()) {
            problems.push(Problem::new(pointer, function.arity_message(arguments.len())));
        }
        Self::Call { function, arguments }
    }

    /// Parses an argument: a call if it is an object whose only property names a function.
    fn argument(
        value: &Value,
        pointer: &str,
        faults: &mut Vec<PlacedFault>,
        problems: &mut Vec<Problem>,
    ) -> Self {
        if let Value::Object(members) = value
            && members.len() == 1
            && let Some((name, arguments)) = members.iter().next()
            && let Callee::Function(function) = functions::find(name)
        {
            return Self::call(function, arguments, &pointer_step(pointer, name), faults, problems);
        }
        Self::Value(Template::parse(value, pointer, faults))
    }

    /// Evaluates to true or false.
    pub(crate) fn holds<'a>(&'a self, environment: Environment<'a>) -> Result<bool, PlacedFault> {
        let value = self.evaluate(environment)?;
        value.as_bool().ok_or_else(|| {
            Fault::template(format!(
                "a condition has to be true or false, and this one is of type {}",
                value.type_name()
            ))
            .into()
        })
    }

    fn evaluate<'a>(&'a self, environment: Environment<'a>) -> Result<Val<'a>, PlacedFault> {
        match self {
            Self::Value(template) => template.evaluate(environment),
            Self::Call { function, arguments } => {
                environment.budget.spend(1)?;
                let mut values = Vec::with_capacity(arguments.len());
                for argument in arguments {
                    values.push(argument.evaluate(environment)?);
                }
                Ok(Call::new(function, values, environment).perform()?)
            }
        }
    }

    pub(super) fn visit<'t>(&'t self, visit: &mut dyn FnMut(&'t Source, &'t Expr)) {
        match self {
            Self::Value(template) => template.visit(visit),
            Self::Call { arguments, .. } => {
                arguments.iter().for_each(|argument| argument.visit(visit));
            }
        }
    }
}
