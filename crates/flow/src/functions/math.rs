//! Arithmetic: integers stay integers, anything with a float is one, decimals stay exact.

use rust_decimal::Decimal;
use serde_json::Value;

use super::Function;
use super::logical::{compare_numbers, to_float};
use crate::expression::{Call, Fault, Numeric, Val, number_text};
use crate::limits::RANGE_COUNT;

pub(super) static FUNCTIONS: &[Function] = &[
    Function {
        name: "add",
        parameters: "number, number",
        least: 2,
        most: Some(2),
        doc: "The sum.",
        body: add,
    },
    Function {
        name: "div",
        parameters: "dividend, divisor",
        least: 2,
        most: Some(2),
        doc: "The quotient; of two integers the whole part.",
        body: div,
    },
    Function {
        name: "max",
        parameters: "numbers or array",
        least: 1,
        most: None,
        doc: "The highest of the numbers.",
        body: max,
    },
    Function {
        name: "min",
        parameters: "numbers or array",
        least: 1,
        most: None,
        doc: "The lowest of the numbers.",
        body: min,
    },
    Function {
        name: "mod",
        parameters: "dividend, divisor",
        least: 2,
        most: Some(2),
        doc: "What is left of a division; it has the dividend's sign.",
        body: modulo,
    },
    Function {
        name: "mul",
        parameters: "number, number",
        least: 2,
        most: Some(2),
        doc: "The product.",
        body: mul,
    },
    Function {
        name: "rand",
        parameters: "from, to",
        least: 2,
        most: Some(2),
        doc: "A random integer from the first up to, not including, the second.",
        body: rand,
    },
    Function {
        name: "range",
        parameters: "first, count",
        least: 2,
        most: Some(2),
        doc: "An array of integers, at most 100000.",
        body: range,
    },
    Function {
        name: "sub",
        parameters: "number, number",
        least: 2,
        most: Some(2),
        doc: "The first number less the second.",
        body: sub,
    },
];

/// One operation on the three sorts of numbers.
struct Arithmetic {
    integers: fn(i64, i64) -> Option<i64>,
    decimals: fn(Decimal, Decimal) -> Option<Decimal>,
    floats: fn(f64, f64) -> f64,
}

fn to_decimal(number: Numeric) -> Option<Decimal> {
    match number {
        Numeric::Integer(integer) => Some(integer.into()),
        Numeric::Decimal(decimal) => Some(decimal),
        Numeric::Float(float) => decimal_of(float),
    }
}

/// Returns the decimal with the digits that the float is printed with.
pub(super) fn decimal_of(float: f64) -> Option<Decimal> {
    let text = number_text(&serde_json::Number::from_f64(float)?);
    text.parse().or_else(|_| Decimal::from_scientific(&text)).ok()
}

fn calculate<'a>(call: &Call<'a>, arithmetic: &Arithmetic) -> Result<Val<'a>, Fault> {
    let (one, other) = (call.numeric(0)?, call.numeric(1)?);
    let too_large = || call.fault(usize::MAX, "has a result too large for a number");
    match (one, other) {
        (Numeric::Integer(one), Numeric::Integer(other)) => {
            (arithmetic.integers)(one, other).map(Val::from).ok_or_else(too_large)
        }
        (Numeric::Decimal(_), _) | (_, Numeric::Decimal(_)) => {
            let (Some(one), Some(other)) = (to_decimal(one), to_decimal(other)) else {
                return Err(too_large());
            };
            (arithmetic.decimals)(one, other).map(Val::Decimal).ok_or_else(too_large)
        }
        (one, other) => {
            Val::float((arithmetic.floats)(to_float(one), to_float(other))).map_err(|_| too_large())
        }
    }
}

fn add<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    calculate(
        call,
        &Arithmetic {
            integers: i64::checked_add,
            decimals: Decimal::checked_add,
            floats: |one, other| one + other,
        },
    )
}

fn sub<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    calculate(
        call,
        &Arithmetic {
            integers: i64::checked_sub,
            decimals: Decimal::checked_sub,
            floats: |one, other| one - other,
        },
    )
}

fn mul<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    calculate(
        call,
        &Arithmetic {
            integers: i64::checked_mul,
            decimals: Decimal::checked_mul,
            floats: |one, other| one * other,
        },
    )
}

fn refuse_zero(call: &Call<'_>) -> Result<(), Fault> {
    if to_float(call.numeric(1)?) == 0.0 {
        return Err(call.fault(1, "cannot divide by zero"));
    }
    Ok(())
}

fn div<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    call.numeric(0)?;
    refuse_zero(call)?;
    calculate(
        call,
        &Arithmetic {
            integers: i64::checked_div,
            decimals: Decimal::checked_div,
            floats: |one, other| one / other,
        },
    )
}

fn modulo<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    call.numeric(0)?;
    refuse_zero(call)?;
    calculate(
        call,
        &Arithmetic {
            integers: |one, other| Some(one.checked_rem(other).unwrap_or(0)),
            decimals: Decimal::checked_rem,
            floats: |one, other| one % other,
        },
    )
}

fn extreme<'a>(
    call: &mut Call<'a>,
    is_further: fn(std::cmp::Ordering) -> bool,
) -> Result<Val<'a>, Fault> {
    if call.arguments.len() == 1
        && let Some(items) = call.argument(0).as_array()
    {
        let items: Vec<Val<'a>> = items
            .iter()
            .map(|item| Val::Own(if item.is_number() { item.clone() } else { Value::Null }))
            .collect();
        call.budget().spend(items.len())?;
        if items.is_empty() {
            return Err(call.fault(0, "needs at least one number, and the array is empty"));
        }
        call.arguments = items;
    }
    let mut best = 0;
    for index in 0..call.arguments.len() {
        let order = compare_numbers(call.numeric(index)?, call.numeric(best)?);
        if order.is_some_and(is_further) {
            best = index;
        }
    }
    Ok(call.take(best))
}

fn max<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    extreme(call, std::cmp::Ordering::is_gt)
}

fn min<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    extreme(call, std::cmp::Ordering::is_lt)
}

fn rand<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    let (from, to) = (call.integer(0)?, call.integer(1)?);
    if from > to {
        return Err(call
            .fault(0, format!("needs its first number below the second, found {from} and {to}")));
    }
    let width = to.abs_diff(from).max(1);
    let offset = call.names().random() % width;
    Ok(from.saturating_add_unsigned(offset).into())
}

fn range<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    let (first, count) = (call.integer(0)?, call.integer(1)?);
    let end = first.checked_add(count).filter(|end| *end <= i64::from(i32::MAX));
    let Some(end) = end.filter(|_| (0..=RANGE_COUNT).contains(&count)) else {
        return Err(call.fault(
            1,
            format!("needs a count from 0 to {RANGE_COUNT} and numbers up to {}, found {count} from {first}", i32::MAX),
        ));
    };
    let count = usize::try_from(count).unwrap_or_default();
    call.budget().spend(count)?;
    call.budget().build_text(count.saturating_mul(32))?;
    Ok(Val::array((first..end).map(Value::from).collect()))
}
