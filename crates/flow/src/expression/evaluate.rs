//! Trees into values.

use serde_json::Value;

use super::budget::Budget;
use super::fault::Fault;
use super::names::Names;
use super::tree::{Access, Callee, Expr, ExprKind};
use super::value::{Numeric, Val, property, type_name};
use crate::functions::Function;

/// What an evaluation works with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Environment<'a> {
    pub(crate) names: &'a dyn Names,
    pub(crate) budget: &'a Budget,
}

/// A call of a function whose arguments have their values.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) function: &'static Function,
    pub(crate) arguments: Vec<Val<'a>>,
    pub(crate) environment: Environment<'a>,
    spans: &'a [Expr],
}

impl<'a> Environment<'a> {
    /// Evaluates the expression. All arguments are evaluated, those of `if` and `and` too, as the
    /// reference engine does.
    pub(crate) fn evaluate(self, expression: &'a Expr) -> Result<Val<'a>, Fault> {
        self.budget.spend(1)?;
        let (callee, name, arguments, accesses) = match &expression.kind {
            ExprKind::Literal(value) => return Ok(Val::Ref(value)),
            ExprKind::Call { callee, name, arguments, accesses } => {
                (callee, *name, arguments, accesses)
            }
        };
        let function = match callee {
            Callee::Function(function) => *function,
            Callee::Later(later) => {
                return Err(Fault::template(format!(
                    "the function '{}' is not available here yet",
                    later.name
                ))
                .at(name));
            }
            Callee::Unknown(unknown) => {
                // Its arguments come first in the reference engine too, so that their fault shows.
                for argument in arguments {
                    self.evaluate(argument)?;
                }
                return Err(Fault::template(format!("there is no function '{unknown}'")).at(name));
            }
        };
        let value = self.call(function, arguments).map_err(|fault| fault.at(name))?;
        self.select_all(value, accesses)
    }

    fn call(self, function: &'static Function, arguments: &'a [Expr]) -> Result<Val<'a>, Fault> {
        if !function.takes(arguments.len()) {
            return Err(Fault::template(function.arity_message(arguments.len())));
        }
        let mut values = Vec::with_capacity(arguments.len());
        for argument in arguments {
            values.push(self.evaluate(argument)?);
        }
        Call { function, arguments: values, environment: self, spans: arguments }.perform()
    }

    fn select_all(self, mut value: Val<'a>, accesses: &'a [Access]) -> Result<Val<'a>, Fault> {
        for access in accesses {
            self.budget.spend(1)?;
            let key = self.evaluate(&access.key)?;
            value = select(value, &key, access.optional).map_err(|fault| fault.at(access.span))?;
        }
        Ok(value)
    }
}

/// Selects a property or an element.
fn select<'a>(from: Val<'a>, key: &Val<'_>, optional: bool) -> Result<Val<'a>, Fault> {
    let Some(json) = from.json() else {
        return Err(not_selectable(key, "Decimal"));
    };
    if json.is_null() {
        if optional {
            return Ok(Val::null());
        }
        return Err(Fault::template(format!(
            "{} cannot be selected from null (write '?' before it where null may stand)",
            key_text(key)
        )));
    }
    let found = match json {
        Value::Object(members) => {
            let Some(name) = key.as_str() else {
                return Err(Fault::template(format!(
                    "{} cannot be selected: the properties of an object are selected by names",
                    key_text(key)
                )));
            };
            if property(members, name).is_none() {
                if optional {
                    return Ok(Val::null());
                }
                return Err(missing_property(name, members.keys()));
            }
            take_property(from, name)
        }
        Value::Array(items) => {
            let Some(index) = key.as_integer() else {
                return Err(Fault::template(format!(
                    "{} cannot be selected: the elements of an array are selected by an integer",
                    key_text(key)
                )));
            };
            match usize::try_from(index).ok().filter(|index| *index < items.len()) {
                Some(index) => take_element(from, index),
                None if optional => return Ok(Val::null()),
                None if items.is_empty() => {
                    return Err(Fault::template(format!(
                        "there is no element {index}: the array is empty"
                    )));
                }
                None => {
                    return Err(Fault::template(format!(
                        "there is no element {index}: the array's go from 0 to {}",
                        items.len() - 1
                    )));
                }
            }
        }
        other => return Err(not_selectable(key, type_name(other))),
    };
    Ok(found.unwrap_or(Val::null()))
}

fn take_property<'a>(from: Val<'a>, name: &str) -> Option<Val<'a>> {
    match from {
        Val::Ref(value) => property(value.as_object()?, name).map(Val::Ref),
        Val::Own(Value::Object(mut members)) => {
            let name = super::value::property_entry(&members, name)?.0.clone();
            members.swap_remove(&name).map(Val::Own)
        }
        Val::Own(_) | Val::Decimal(_) => None,
    }
}

fn take_element(from: Val<'_>, index: usize) -> Option<Val<'_>> {
    match from {
        Val::Ref(value) => value.get(index).map(Val::Ref),
        Val::Own(Value::Array(mut items)) => {
            (index < items.len()).then(|| Val::Own(items.swap_remove(index)))
        }
        Val::Own(_) | Val::Decimal(_) => None,
    }
}

fn key_text(key: &Val<'_>) -> String {
    match key.json() {
        Some(Value::String(name)) => format!("'{name}'"),
        Some(value) => format!("'{value}'"),
        None => "this".to_owned(),
    }
}

fn not_selectable(key: &Val<'_>, type_name: &str) -> Fault {
    Fault::template(format!(
        "{} cannot be selected: a value of type {type_name} has neither properties nor elements",
        key_text(key)
    ))
}

fn missing_property<'n>(name: &str, there: impl Iterator<Item = &'n String>) -> Fault {
    let names: Vec<&str> = there.map(String::as_str).collect();
    let shown = names.iter().take(20).copied().collect::<Vec<_>>().join("', '");
    let more = if names.len() > 20 { ", …" } else { "" };
    if names.is_empty() {
        return Fault::template(format!("there is no property '{name}': the object is empty"));
    }
    Fault::template(format!("there is no property '{name}'; there are '{shown}'{more}"))
}

const ORDINALS: [&str; 5] = ["first", "second", "third", "fourth", "fifth"];

impl<'a> Call<'a> {
    /// Makes a call whose arguments do not come from a text.
    pub(crate) const fn new(
        function: &'static Function,
        arguments: Vec<Val<'a>>,
        environment: Environment<'a>,
    ) -> Self {
        Self { function, arguments, environment, spans: &[] }
    }

    pub(crate) fn perform(mut self) -> Result<Val<'a>, Fault> {
        (self.function.body)(&mut self)
    }

    pub(crate) fn budget(&self) -> &'a Budget {
        self.environment.budget
    }

    pub(crate) fn names(&self) -> &'a dyn Names {
        self.environment.names
    }

    /// Returns the argument at `index`; null where it was left out.
    pub(crate) fn argument(&self, index: usize) -> &Val<'a> {
        const NOTHING: &Val<'static> = &Val::null();
        self.arguments.get(index).unwrap_or(NOTHING)
    }

    pub(crate) fn has(&self, index: usize) -> bool {
        index < self.arguments.len()
    }

    /// Takes the argument at `index` out of the call.
    pub(crate) fn take(&mut self, index: usize) -> Val<'a> {
        self.arguments
            .get_mut(index)
            .map_or(Val::null(), |slot| std::mem::replace(slot, Val::null()))
    }

    /// Takes the argument at `index` as a value of its own.
    pub(crate) fn take_value(&mut self, index: usize) -> Result<Value, Fault> {
        self.take(index).into_value(self.environment.budget)
    }

    pub(crate) fn string(&self, index: usize) -> Result<&str, Fault> {
        self.argument(index).as_str().ok_or_else(|| self.wrong_type(index, "a string"))
    }

    pub(crate) fn integer(&self, index: usize) -> Result<i64, Fault> {
        self.argument(index).as_integer().ok_or_else(|| self.wrong_type(index, "an integer"))
    }

    pub(crate) fn boolean(&self, index: usize) -> Result<bool, Fault> {
        self.argument(index).as_bool().ok_or_else(|| self.wrong_type(index, "a boolean"))
    }

    pub(crate) fn numeric(&self, index: usize) -> Result<Numeric, Fault> {
        self.argument(index).as_numeric().ok_or_else(|| self.wrong_type(index, "a number"))
    }

    pub(crate) fn array(&self, index: usize) -> Result<&[Value], Fault> {
        self.argument(index).as_array().ok_or_else(|| self.wrong_type(index, "an array"))
    }

    pub(crate) fn object(&self, index: usize) -> Result<&serde_json::Map<String, Value>, Fault> {
        self.argument(index).as_object().ok_or_else(|| self.wrong_type(index, "an object"))
    }

    /// Says that the argument at `index` is not `wanted`.
    pub(crate) fn wrong_type(&self, index: usize, wanted: &str) -> Fault {
        let found = self.argument(index).type_name();
        let which = if self.arguments.len() > 1 {
            format!("{} argument", ORDINALS.get(index).unwrap_or(&"next"))
        } else {
            "argument".to_owned()
        };
        self.fault(index, format!("needs {wanted} as its {which}, found {found}"))
    }

    /// Makes a fault that begins with the function's name and stands at the argument.
    pub(crate) fn fault(&self, index: usize, message: impl AsRef<str>) -> Fault {
        let fault =
            Fault::template(format!("the function '{}' {}", self.function.name, message.as_ref()));
        match self.spans.get(index) {
            Some(argument) => fault.at(argument.span),
            None => fault,
        }
    }
}
