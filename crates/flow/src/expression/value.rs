//! Values while they are computed, and how the language looks at them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;
use serde_json::{Map, Number, Value};

use super::budget::Budget;
use super::fault::Fault;
use super::json_text::compact;
use super::number_text::number_text;

/// A value that an expression yields: borrowed from the plan or the run's state as long as possible.
#[derive(Debug, Clone)]
pub(crate) enum Val<'a> {
    Ref(&'a Value),
    Own(Value),
    /// A decimal lives only within an expression; as JSON it is a float.
    Decimal(Decimal),
}

/// A number as arithmetic sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Numeric {
    Integer(i64),
    Float(f64),
    Decimal(Decimal),
}

const NULL: &Value = &Value::Null;

impl<'a> Val<'a> {
    pub(crate) const fn null() -> Self {
        Self::Ref(NULL)
    }

    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Own(Value::String(text.into()))
    }

    pub(crate) fn array(items: Vec<Value>) -> Self {
        Self::Own(Value::Array(items))
    }

    pub(crate) fn float(float: f64) -> Result<Self, Fault> {
        number(float).map(|number| Self::Own(Value::Number(number)))
    }

    /// Returns the JSON value, or nothing for a decimal.
    pub(crate) fn json(&self) -> Option<&Value> {
        match self {
            Self::Ref(value) => Some(value),
            Self::Own(value) => Some(value),
            Self::Decimal(_) => None,
        }
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        self.json().and_then(Value::as_str)
    }

    pub(crate) fn as_bool(&self) -> Option<bool> {
        self.json().and_then(Value::as_bool)
    }

    /// Returns the integer, if the value is one that fits 64 bits with a sign.
    pub(crate) fn as_integer(&self) -> Option<i64> {
        self.json().and_then(Value::as_i64)
    }

    pub(crate) fn as_array(&self) -> Option<&[Value]> {
        self.json().and_then(Value::as_array).map(Vec::as_slice)
    }

    pub(crate) fn as_object(&self) -> Option<&Map<String, Value>> {
        self.json().and_then(Value::as_object)
    }

    pub(crate) fn is_null(&self) -> bool {
        self.json().is_some_and(Value::is_null)
    }

    pub(crate) fn as_numeric(&self) -> Option<Numeric> {
        match self {
            Self::Decimal(decimal) => Some(Numeric::Decimal(*decimal)),
            Self::Ref(Value::Number(number)) => numeric(number),
            Self::Own(Value::Number(number)) => numeric(number),
            Self::Ref(_) | Self::Own(_) => None,
        }
    }

    pub(crate) fn type_name(&self) -> &'static str {
        self.json().map_or("Decimal", type_name)
    }

    /// Returns the value as its own, a copy being charged to the budget.
    pub(crate) fn into_value(self, budget: &Budget) -> Result<Value, Fault> {
        match self {
            Self::Own(value) => Ok(value),
            Self::Ref(value) => {
                budget.build_copy(value)?;
                Ok(value.clone())
            }
            Self::Decimal(decimal) => {
                number(decimal.to_f64().unwrap_or(f64::NAN)).map(Value::Number)
            }
        }
    }

    /// Appends the value as text: what interpolation, `concat` and `string` make of it.
    pub(crate) fn append_text(&self, text: &mut String, budget: &Budget) -> Result<(), Fault> {
        let before = text.len();
        match self.json() {
            None => {
                if let Self::Decimal(decimal) = self {
                    text.push_str(&decimal.to_string());
                }
            }
            Some(Value::Null) => {}
            Some(Value::Bool(true)) => text.push_str("True"),
            Some(Value::Bool(false)) => text.push_str("False"),
            Some(Value::Number(number)) => text.push_str(&number_text(number)),
            Some(Value::String(string)) => {
                budget.build_text(string.len())?;
                text.push_str(string);
                return Ok(());
            }
            Some(value) => match content_bytes(value) {
                Some(bytes) => text.push_str(&String::from_utf8_lossy(&bytes)),
                None => {
                    budget.build_copy(value)?;
                    compact(value, text);
                }
            },
        }
        budget.build_text(text.len() - before)
    }
}

impl From<bool> for Val<'_> {
    fn from(value: bool) -> Self {
        Self::Own(Value::Bool(value))
    }
}

impl From<i64> for Val<'_> {
    fn from(value: i64) -> Self {
        Self::Own(Value::from(value))
    }
}

impl From<Value> for Val<'_> {
    fn from(value: Value) -> Self {
        Self::Own(value)
    }
}

/// Returns the float as a JSON number; infinity and what is not a number have none.
pub(crate) fn number(float: f64) -> Result<Number, Fault> {
    Number::from_f64(float).ok_or_else(|| Fault::template("the result is too large for a number"))
}

fn numeric(number: &Number) -> Option<Numeric> {
    match number.as_i64() {
        Some(integer) => Some(Numeric::Integer(integer)),
        None => number.as_f64().map(Numeric::Float),
    }
}

/// Returns the type's name as the reference engine's messages have it.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "Null",
        Value::Bool(_) => "Boolean",
        Value::Number(number) if number.is_f64() => "Float",
        Value::Number(_) => "Integer",
        Value::String(_) => "String",
        Value::Array(_) => "Array",
        Value::Object(_) => "Object",
    }
}

/// Finds a property: by its exact name, else by its name without regard to case.
pub(crate) fn property<'v>(object: &'v Map<String, Value>, name: &str) -> Option<&'v Value> {
    property_entry(object, name).map(|(_, value)| value)
}

pub(crate) fn property_entry<'v>(
    object: &'v Map<String, Value>,
    name: &str,
) -> Option<(&'v String, &'v Value)> {
    object.get_key_value(name).or_else(|| object.iter().find(|(other, _)| same_name(other, name)))
}

/// Says whether two names are the same but for case.
pub(crate) fn same_name(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
        || (!(one.is_ascii() && other.is_ascii())
            && one
                .chars()
                .flat_map(char::to_lowercase)
                .eq(other.chars().flat_map(char::to_lowercase)))
}

/// Compares two values as JSON tokens: an integer is not a float, the order of properties is nothing.
pub(crate) fn deep_equals(one: &Value, other: &Value, budget: &Budget) -> Result<bool, Fault> {
    budget.spend(1)?;
    match (one, other) {
        (Value::Array(one), Value::Array(other)) => {
            if one.len() != other.len() {
                return Ok(false);
            }
            for (one, other) in one.iter().zip(other) {
                if !deep_equals(one, other, budget)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        (Value::Object(one), Value::Object(other)) => {
            if one.len() != other.len() {
                return Ok(false);
            }
            for (name, one) in one {
                match other.get(name) {
                    Some(other) if deep_equals(one, other, budget)? => {}
                    _ => return Ok(false),
                }
            }
            Ok(true)
        }
        (Value::String(one), Value::String(other)) => {
            budget.spend(one.len() / 64)?;
            Ok(one == other)
        }
        _ => Ok(one == other),
    }
}

/// Returns the bytes of a content object, `{"$content-type": …, "$content": base64}`.
pub(crate) fn content_bytes(value: &Value) -> Option<Vec<u8>> {
    let object = value.as_object()?;
    if object.len() != 2 || !object.get("$content-type")?.is_string() {
        return None;
    }
    STANDARD.decode(object.get("$content")?.as_str()?).ok()
}

/// Makes a content object.
pub(crate) fn content(content_type: &str, bytes: &[u8]) -> Value {
    let mut object = Map::new();
    object.insert("$content-type".to_owned(), Value::from(content_type));
    object.insert("$content".to_owned(), Value::from(STANDARD.encode(bytes)));
    Value::Object(object)
}
