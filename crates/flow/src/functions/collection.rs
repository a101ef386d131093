//! Arrays, and what holds for texts alike.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::Function;
use super::string::{cut, units};
use crate::expression::{Budget, Call, Fault, Val, compact, deep_equals, property};

pub(super) static FUNCTIONS: &[Function] = &[
    Function {
        name: "contains",
        parameters: "collection, value",
        least: 2,
        most: Some(2),
        doc: "True if the text has that part, the array that element, or the object that property (names without regard to case).",
        body: contains,
    },
    Function {
        name: "empty",
        parameters: "collection",
        least: 1,
        most: Some(1),
        doc: "True if the text, array or object has nothing in it, or is null.",
        body: empty,
    },
    Function {
        name: "first",
        parameters: "collection",
        least: 1,
        most: Some(1),
        doc: "The first element or character; null of an empty array.",
        body: first,
    },
    Function {
        name: "intersection",
        parameters: "collection, …",
        least: 1,
        most: None,
        doc: "What all the arrays, or all the objects, have.",
        body: intersection,
    },
    Function {
        name: "join",
        parameters: "array, separator",
        least: 2,
        most: Some(2),
        doc: "All elements as text, the separator between them.",
        body: join,
    },
    Function {
        name: "last",
        parameters: "collection",
        least: 1,
        most: Some(1),
        doc: "The last element or character; null of an empty array.",
        body: last,
    },
    Function {
        name: "length",
        parameters: "collection",
        least: 1,
        most: Some(1),
        doc: "The number of elements, or of a text's UTF-16 units.",
        body: length,
    },
    Function {
        name: "reverse",
        parameters: "array",
        least: 1,
        most: Some(1),
        doc: "The array from its end to its beginning.",
        body: reverse,
    },
    Function {
        name: "skip",
        parameters: "collection, count",
        least: 2,
        most: Some(2),
        doc: "All but the first elements or characters.",
        body: skip,
    },
    Function {
        name: "sort",
        parameters: "array, property?",
        least: 1,
        most: Some(2),
        doc: "The array in ascending order, of its elements or of a property they have; texts by their UTF-16 units.",
        body: sort,
    },
    Function {
        name: "take",
        parameters: "collection, count",
        least: 2,
        most: Some(2),
        doc: "The first elements or characters.",
        body: take,
    },
    Function {
        name: "union",
        parameters: "collection, …",
        least: 1,
        most: None,
        doc: "What any of the arrays has, each element once; or all properties of the objects, the last of a name winning.",
        body: union,
    },
];

fn contains<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    let incompatible = |call: &Call<'_>, wanted: &str| call.wrong_type(1, wanted);
    match call.argument(0).json() {
        Some(Value::String(text)) => {
            let Some(part) = call.argument(1).as_str() else {
                return Err(incompatible(call, "a string, to look for in a string,"));
            };
            call.budget().spend(text.len() / 16)?;
            Ok(text.contains(part).into())
        }
        Some(Value::Array(items)) => {
            let wanted = call.argument(1).json();
            for item in items {
                if let Some(wanted) = wanted
                    && deep_equals(item, wanted, call.budget())?
                {
                    return Ok(true.into());
                }
            }
            Ok(false.into())
        }
        Some(Value::Object(members)) => {
            let Some(name) = call.argument(1).as_str() else {
                return Err(incompatible(call, "the name of a property"));
            };
            call.budget().spend(members.len() / 4)?;
            Ok(property(members, name).is_some().into())
        }
        _ => Err(call.wrong_type(0, "an object, an array or a string")),
    }
}

fn empty<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    let is_empty = match call.argument(0).json() {
        Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Array(items)) => items.is_empty(),
        Some(Value::Object(members)) => members.is_empty(),
        _ => return Err(call.wrong_type(0, "an object, an array or a string")),
    };
    Ok(is_empty.into())
}

fn length<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    let length = match call.argument(0).json() {
        Some(Value::String(text)) => {
            call.budget().spend(text.len() / 64)?;
            units(text)
        }
        Some(Value::Array(items)) => items.len(),
        _ => return Err(call.wrong_type(0, "an array or a string")),
    };
    Ok(i64::try_from(length).unwrap_or(i64::MAX).into())
}

/// Takes the element at a place that `index` picks from the length.
fn element<'a>(
    call: &mut Call<'a>,
    index: impl FnOnce(usize) -> Option<usize>,
) -> Result<Val<'a>, Fault> {
    match call.take(0) {
        Val::Ref(Value::Array(items)) => {
            Ok(index(items.len()).and_then(|at| items.get(at)).map_or(Val::null(), Val::Ref))
        }
        Val::Own(Value::Array(mut items)) => Ok(match index(items.len()) {
            Some(at) if at < items.len() => Val::Own(items.swap_remove(at)),
            _ => Val::null(),
        }),
        other => match other.as_str() {
            Some(text) => {
                let at = index(units(text)).unwrap_or(0);
                Ok(Val::text(cut(text, at, 1)))
            }
            None => {
                if let Some(slot) = call.arguments.first_mut() {
                    *slot = other;
                }
                Err(call.wrong_type(0, "an array or a string"))
            }
        },
    }
}

fn first<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    element(call, |_| Some(0))
}

fn last<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    element(call, |count| count.checked_sub(1))
}

/// Reads the count that `skip` and `take` have as their second argument.
fn count(call: &Call<'_>) -> Result<usize, Fault> {
    let count = call.integer(1)?;
    usize::try_from(count)
        .map_err(|_| call.fault(1, format!("needs a count of zero or more, found {count}")))
}

fn part<'a>(call: &mut Call<'a>, from: usize, count: usize) -> Result<Val<'a>, Fault> {
    if let Some(text) = call.argument(0).as_str() {
        let part = cut(text, from, count);
        call.budget().build_text(part.len())?;
        return Ok(Val::text(part));
    }
    match call.take(0) {
        Val::Ref(Value::Array(items)) => {
            let mut part = Vec::new();
            for item in items.iter().skip(from).take(count) {
                part.push(Val::Ref(item).into_value(call.budget())?);
            }
            Ok(Val::array(part))
        }
        Val::Own(Value::Array(items)) => {
            Ok(Val::array(items.into_iter().skip(from).take(count).collect()))
        }
        other => {
            if let Some(slot) = call.arguments.first_mut() {
                *slot = other;
            }
            Err(call.wrong_type(0, "an array or a string"))
        }
    }
}

fn skip<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    let from = count(call)?;
    part(call, from, usize::MAX)
}

fn take<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    let count = count(call)?;
    part(call, 0, count)
}

fn join<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    let separator = call.string(1)?;
    let mut text = String::new();
    for (index, item) in call.array(0)?.iter().enumerate() {
        if index > 0 {
            call.budget().build_text(separator.len())?;
            text.push_str(separator);
        }
        Val::Ref(item).append_text(&mut text, call.budget())?;
    }
    Ok(Val::text(text))
}

fn reverse<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    call.array(0)?;
    let mut value = call.take_value(0)?;
    if let Value::Array(items) = &mut value {
        items.reverse();
    }
    Ok(Val::Own(value))
}

/// Returns a text that two values share exactly if they are deeply equal.
fn canonical(value: &Value, budget: &Budget) -> Result<String, Fault> {
    let mut text = String::new();
    compact(&sorted(value), &mut text);
    budget.build_text(text.len())?;
    budget.spend(1 + text.len() / 16)?;
    Ok(text)
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        Value::Object(members) => {
            let mut all: Vec<_> =
                members.iter().map(|(name, item)| (name.clone(), sorted(item))).collect();
            all.sort_by(|one, other| one.0.cmp(&other.0));
            Value::Object(all.into_iter().collect())
        }
        other => other.clone(),
    }
}

/// Checks that the arguments are all arrays (true) or all objects (false).
fn all_arrays(call: &Call<'_>) -> Result<bool, Fault> {
    let is_array = call.argument(0).as_array().is_some();
    for index in 0..call.arguments.len() {
        let fits = if is_array {
            call.argument(index).as_array().is_some()
        } else {
            call.argument(index).as_object().is_some()
        };
        if !fits {
            return Err(call.wrong_type(index, "arrays only, or objects only,"));
        }
    }
    Ok(is_array)
}

fn union<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    if all_arrays(call)? {
        let mut seen = BTreeSet::new();
        let mut items = Vec::new();
        for index in 0..call.arguments.len() {
            for item in call.array(index)? {
                if seen.insert(canonical(item, call.budget())?) {
                    items.push(Val::Ref(item).into_value(call.budget())?);
                }
            }
        }
        return Ok(Val::array(items));
    }
    let mut members = Map::new();
    for index in 0..call.arguments.len() {
        if let Value::Object(all) = call.take_value(index)? {
            members.extend(all);
        }
    }
    Ok(Val::Own(Value::Object(members)))
}

fn intersection<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    if all_arrays(call)? {
        let mut others = Vec::new();
        for index in 1..call.arguments.len() {
            let all: Result<BTreeSet<String>, Fault> =
                call.array(index)?.iter().map(|item| canonical(item, call.budget())).collect();
            others.push(all?);
        }
        let mut seen = BTreeSet::new();
        let mut items = Vec::new();
        for item in call.array(0)? {
            let text = canonical(item, call.budget())?;
            if others.iter().all(|other| other.contains(&text)) && seen.insert(text) {
                items.push(Val::Ref(item).into_value(call.budget())?);
            }
        }
        return Ok(Val::array(items));
    }
    let mut members = Map::new();
    'members: for (name, item) in call.object(0)? {
        for index in 1..call.arguments.len() {
            match call.object(index)?.get(name) {
                Some(other) if deep_equals(item, other, call.budget())? => {}
                _ => continue 'members,
            }
        }
        members.insert(name.clone(), Val::Ref(item).into_value(call.budget())?);
    }
    Ok(Val::Own(Value::Object(members)))
}

/// What an array is sorted by. All keys of one array are of one kind but for nulls, so that the
/// order is total.
#[derive(Debug, PartialEq, PartialOrd)]
enum SortKey {
    Null,
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Text(Vec<u16>),
}

fn sort<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    let items = call.array(0)?;
    call.budget().spend(items.len().saturating_mul(16))?;
    let mut values = Vec::with_capacity(items.len());
    if call.has(1) {
        let name = call.string(1)?;
        for item in items {
            match item.as_object().and_then(|members| property(members, name)) {
                Some(value) => values.push(value),
                None => {
                    return Err(
                        call.fault(1, format!("finds no property '{name}' in some element"))
                    );
                }
            }
        }
    } else {
        values.extend(items);
    }
    let mut bytes = 0;
    for value in &values {
        bytes += value.as_str().map_or(8, |text| 2 * text.len());
    }
    call.budget().build_text(bytes)?;
    let keys = sort_keys(&values).ok_or_else(|| {
        call.fault(0, "sorts numbers, strings or booleans, and not these together")
    })?;
    let mut order: Vec<(SortKey, usize)> =
        keys.into_iter().enumerate().map(|(index, key)| (key, index)).collect();
    order.sort_by(|one, other| one.0.partial_cmp(&other.0).unwrap_or(Ordering::Equal));
    let mut sorted = Vec::with_capacity(order.len());
    let Value::Array(mut items) = call.take_value(0)? else { return Ok(Val::null()) };
    for (_, index) in order {
        sorted.push(items.get_mut(index).map_or(Value::Null, Value::take));
    }
    Ok(Val::array(sorted))
}

fn sort_keys(values: &[&Value]) -> Option<Vec<SortKey>> {
    let is = |kind: fn(&Value) -> bool| {
        let mut present = values.iter().filter(|value| !value.is_null());
        present.all(|value| kind(value))
    };
    let key: fn(&Value) -> Option<SortKey> = if is(Value::is_string) {
        |value| value.as_str().map(|text| SortKey::Text(text.encode_utf16().collect()))
    } else if is(Value::is_boolean) {
        |value| value.as_bool().map(SortKey::Boolean)
    } else if is(|value| value.as_i64().is_some()) {
        |value| value.as_i64().map(SortKey::Integer)
    } else {
        // Among numbers the reference engine takes texts as the numbers they spell.
        |value| {
            let float = match value {
                Value::String(text) => {
                    text.trim().parse().ok().filter(|float: &f64| float.is_finite())
                }
                other => other.as_f64(),
            };
            float.map(SortKey::Float)
        }
    };
    values
        .iter()
        .map(|value| if value.is_null() { Some(SortKey::Null) } else { key(value) })
        .collect()
}
