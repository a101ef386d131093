//! The variables of a run.

use serde_json::{Number, Value, json};

use super::Run;
use super::failure::Failure;
use crate::expression::{PlacedFault, Val, number, type_name};
use crate::plan::{Action, VariableType};

impl Run {
    pub(super) fn set_variable(&mut self, index: usize, value: Value) -> Result<(), Failure> {
        let (Some(declared), Some(slot)) =
            (self.workflow.variables.get(index), self.variables.get_mut(index))
        else {
            return Err(Failure::bad_request("there is no such variable"));
        };
        let value = match (declared.type_of, value) {
            // A float variable holds floats, whatever it is given.
            (VariableType::Float, Value::Number(integer)) if !integer.is_f64() => {
                let float = integer.as_f64().and_then(Number::from_f64);
                float.map_or(Value::Null, Value::Number)
            }
            (_, value) => value,
        };
        if !declared.type_of.holds(&value) {
            return Err(Failure::bad_request(format!(
                "the variable '{}' is of type {}, and the value is of type {}",
                declared.name,
                declared.type_of.name(),
                type_name(&value)
            )));
        }
        *slot = Some(value);
        Ok(())
    }

    pub(super) fn current(&mut self, index: usize) -> Result<&mut Value, Failure> {
        let name = self.workflow.variables.get(index).map_or("", |declared| &declared.name);
        match self.variables.get_mut(index) {
            Some(Some(value)) => Ok(value),
            _ => Err(Failure::bad_request(format!("the variable '{name}' is not initialized yet"))),
        }
    }

    /// Returns `{"body": {"name", "value"}}` of a variable, if any expression may ask for it.
    pub(super) fn variable_outputs(
        &self,
        variable: usize,
        action: &Action,
    ) -> Result<Option<Value>, Failure> {
        if !action.outputs_wanted {
            return Ok(None);
        }
        let name = self.workflow.variables.get(variable).map_or("", |declared| &declared.name);
        let value = match self.variables.get(variable) {
            Some(Some(value)) => {
                Val::Ref(value).into_value(&self.budget).map_err(PlacedFault::from)?
            }
            _ => Value::Null,
        };
        Ok(Some(json!({ "body": { "name": name, "value": value } })))
    }
}

/// Adds to a number, or takes away from it; a variable without a value counts as zero.
pub(super) fn increment(
    current: Option<&Option<Value>>,
    by: &Value,
    is_decrement: bool,
) -> Result<Value, Failure> {
    let zero = Value::from(0);
    let current = match current {
        Some(Some(Value::Null)) => &zero,
        Some(Some(current)) => current,
        _ => return Err(Failure::bad_request("the variable is not initialized yet")),
    };
    let out_of_range = || Failure::bad_request("the sum is out of range");
    match (current.as_i64(), by.as_i64()) {
        (Some(current), Some(by)) => {
            let sum = if is_decrement { current.checked_sub(by) } else { current.checked_add(by) };
            sum.map(Value::from).ok_or_else(out_of_range)
        }
        _ => match (current.as_f64(), by.as_f64()) {
            (Some(current), Some(by)) => {
                let sum = if is_decrement { current - by } else { current + by };
                number(sum).map(Value::Number).map_err(|_| out_of_range())
            }
            _ => Err(Failure::bad_request(format!(
                "numbers are incremented by numbers, and this is a variable of type {} and a value of type {}",
                type_name(current),
                type_name(by)
            ))),
        },
    }
}
