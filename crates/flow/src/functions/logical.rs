//! Conditions and comparisons.

use std::cmp::Ordering;

use icu_collator::options::CollatorOptions;
use icu_collator::{Collator, CollatorBorrowed};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;
use std::sync::LazyLock;

use super::Function;
use crate::expression::{Budget, Call, Fault, Numeric, Val, deep_equals};

pub(super) static FUNCTIONS: &[Function] = &[
    Function {
        name: "and",
        parameters: "boolean, boolean, …",
        least: 1,
        most: None,
        doc: "True if every argument is true.",
        body: and,
    },
    Function {
        name: "equals",
        parameters: "value, value",
        least: 2,
        most: None,
        doc: "True if both are the same: numbers by their value, strings with regard to case, objects without regard to the order of their properties.",
        body: equals,
    },
    Function {
        name: "greater",
        parameters: "value, value",
        least: 2,
        most: Some(2),
        doc: "True if the first number or string comes after the second.",
        body: greater,
    },
    Function {
        name: "greaterOrEquals",
        parameters: "value, value",
        least: 2,
        most: Some(2),
        doc: "True unless the first number or string comes before the second.",
        body: greater_or_equals,
    },
    Function {
        name: "if",
        parameters: "condition, then, else",
        least: 3,
        most: Some(3),
        doc: "The second argument if the first is true, else the third. Both are evaluated.",
        body: choose,
    },
    Function {
        name: "isFloat",
        parameters: "text, culture?",
        least: 1,
        most: Some(2),
        doc: "True if `float` can read the text.",
        body: super::number_reader::is_float,
    },
    Function {
        name: "isInt",
        parameters: "text",
        least: 1,
        most: Some(1),
        doc: "True if the text is digits, with a sign or without.",
        body: super::number_reader::is_int,
    },
    Function {
        name: "less",
        parameters: "value, value",
        least: 2,
        most: Some(2),
        doc: "True if the first number or string comes before the second.",
        body: less,
    },
    Function {
        name: "lessOrEquals",
        parameters: "value, value",
        least: 2,
        most: Some(2),
        doc: "True unless the first number or string comes after the second.",
        body: less_or_equals,
    },
    Function {
        name: "not",
        parameters: "boolean",
        least: 1,
        most: Some(1),
        doc: "True if the argument is false.",
        body: not,
    },
    Function {
        name: "or",
        parameters: "boolean, boolean, …",
        least: 1,
        most: None,
        doc: "True if any argument is true.",
        body: or,
    },
];

/// The order of strings in the reference engine is a dictionary's: letters before their capitals.
static COLLATOR: LazyLock<Option<CollatorBorrowed<'static>>> =
    LazyLock::new(|| Collator::try_new(Default::default(), CollatorOptions::default()).ok());

fn booleans(call: &Call<'_>) -> Result<Vec<bool>, Fault> {
    (0..call.arguments.len()).map(|index| call.boolean(index)).collect()
}

fn and<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    Ok(booleans(call)?.into_iter().all(|each| each).into())
}

fn or<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    Ok(booleans(call)?.into_iter().any(|each| each).into())
}

fn not<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    Ok((!call.boolean(0)?).into())
}

fn choose<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    let chosen = if call.boolean(0)? { 1 } else { 2 };
    Ok(call.take(chosen))
}

fn equals<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    // With more than two the reference engine says false, and does not complain.
    if call.has(2) {
        return Ok(false.into());
    }
    equals_values(call.argument(0), call.argument(1), call.budget()).map(Val::from)
}

/// Compares as `equals` does: numbers by their value, all else as JSON tokens.
pub(crate) fn equals_values(
    one: &Val<'_>,
    other: &Val<'_>,
    budget: &Budget,
) -> Result<bool, Fault> {
    if let (Some(one), Some(other)) = (one.as_numeric(), other.as_numeric()) {
        return Ok(compare_numbers(one, other) == Some(Ordering::Equal));
    }
    match (one.json(), other.json()) {
        (Some(one), Some(other)) => deep_equals(one, other, budget),
        _ => Ok(false),
    }
}

pub(super) fn compare_numbers(one: Numeric, other: Numeric) -> Option<Ordering> {
    match (one, other) {
        (Numeric::Integer(one), Numeric::Integer(other)) => Some(one.cmp(&other)),
        (Numeric::Decimal(one), Numeric::Decimal(other)) => Some(one.cmp(&other)),
        (Numeric::Decimal(one), Numeric::Integer(other)) => Some(one.cmp(&Decimal::from(other))),
        (Numeric::Integer(one), Numeric::Decimal(other)) => Some(Decimal::from(one).cmp(&other)),
        (one, other) => to_float(one).partial_cmp(&to_float(other)),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a float is what was asked for")]
pub(super) fn to_float(number: Numeric) -> f64 {
    match number {
        Numeric::Integer(integer) => integer as f64,
        Numeric::Float(float) => float,
        Numeric::Decimal(decimal) => decimal.to_f64().unwrap_or(f64::NAN),
    }
}

fn compare(call: &Call<'_>) -> Result<Ordering, Fault> {
    let (one, other) = (call.argument(0), call.argument(1));
    if let (Some(one), Some(other)) = (one.as_str(), other.as_str()) {
        call.budget().spend((one.len() + other.len()) / 8)?;
        return Ok(match COLLATOR.as_ref() {
            Some(collator) => collator.compare(one, other),
            None => one.cmp(other),
        });
    }
    if let (Some(one), Some(other)) = (one.as_numeric(), other.as_numeric()) {
        return compare_numbers(one, other)
            .ok_or_else(|| Fault::template("the numbers cannot be compared"));
    }
    Err(call.fault(
        usize::from(one.as_numeric().is_some()),
        format!(
            "compares two numbers or two strings, found {} and {}",
            one.type_name(),
            other.type_name()
        ),
    ))
}

fn less<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    Ok(compare(call)?.is_lt().into())
}

fn less_or_equals<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    Ok(compare(call)?.is_le().into())
}

fn greater<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    Ok(compare(call)?.is_gt().into())
}

fn greater_or_equals<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    Ok(compare(call)?.is_ge().into())
}
