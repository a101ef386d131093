//! Objects and their properties.

use serde_json::Value;

use super::Function;
use crate::expression::{Call, Fault, Val, property_entry};

pub(super) static FUNCTIONS: &[Function] = &[
    Function {
        name: "addProperty",
        parameters: "object, name, value",
        least: 3,
        most: Some(3),
        doc: "The object with one more property, which it must not have yet.",
        body: add_property,
    },
    Function {
        name: "coalesce",
        parameters: "value, …",
        least: 1,
        most: None,
        doc: "The first argument that is not null.",
        body: coalesce,
    },
    Function {
        name: "removeProperty",
        parameters: "object, name",
        least: 2,
        most: Some(2),
        doc: "The object without the property, if it has it.",
        body: remove_property,
    },
    Function {
        name: "setProperty",
        parameters: "object, name, value",
        least: 3,
        most: Some(3),
        doc: "The object with the property set, whether it had it or not.",
        body: set_property,
    },
];

fn coalesce<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    let first = call.arguments.iter().position(|argument| !argument.is_null());
    Ok(first.map_or(Val::null(), |index| call.take(index)))
}

/// Returns the property's name as the object writes it, if it has the property.
fn existing(call: &Call<'_>) -> Result<Option<String>, Fault> {
    let members = call.object(0)?;
    let name = call.string(1)?;
    call.budget().spend(members.len() / 4)?;
    Ok(property_entry(members, name).map(|(name, _)| name.clone()))
}

fn put<'a>(call: &mut Call<'a>, name: String) -> Result<Val<'a>, Fault> {
    let value = call.take_value(2)?;
    let mut object = call.take_value(0)?;
    if let Value::Object(members) = &mut object {
        members.insert(name, value);
    }
    Ok(Val::Own(object))
}

fn add_property<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    if let Some(name) = existing(call)? {
        return Err(call.fault(1, format!("adds a property, and the object has '{name}' already")));
    }
    let name = call.string(1)?.to_owned();
    put(call, name)
}

fn set_property<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    let name = match existing(call)? {
        Some(name) => name,
        None => call.string(1)?.to_owned(),
    };
    put(call, name)
}

fn remove_property<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    let Some(name) = existing(call)? else { return Ok(call.take(0)) };
    let mut object = call.take_value(0)?;
    if let Value::Object(members) = &mut object {
        members.shift_remove(&name);
    }
    Ok(Val::Own(object))
}
