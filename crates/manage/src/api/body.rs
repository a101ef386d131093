use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::error::{Error, Quoted, Result};
use crate::limits;

/// Reads a body that is neither too large nor too slow. Its type does not matter: clients send JSON
/// under any name, or none.
pub(super) async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes> {
    read_within(headers, body, limits::BODY_BYTES, limits::BODY_TIME, || Error::BodyTooLarge).await
}

/// Reads the body of a deployment, which has all files of an app.
pub(super) async fn read_deployment(headers: &HeaderMap, body: Body) -> Result<Bytes> {
    let (bytes, time) = (limits::DEPLOYMENT_BODY_BYTES, limits::DEPLOYMENT_BODY_TIME);
    read_within(headers, body, bytes, time, || Error::DeploymentTooLarge).await
}

async fn read_within(
    headers: &HeaderMap,
    body: Body,
    bytes: usize,
    time: Duration,
    too_large: fn() -> Error,
) -> Result<Bytes> {
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok())
        .and_then(|length| length.parse::<u64>().ok());
    if announced.is_some_and(|length| length > bytes as u64) {
        return Err(too_large());
    }
    let all = Limited::new(body, bytes).collect();
    match tokio::time::timeout(time, all).await {
        Ok(Ok(all)) => Ok(all.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Error::BodyBroken),
        Err(_) => Err(Error::BodyTooSlow),
    }
}

/// The members of a body's object, each there once and known to the operation.
#[derive(Debug)]
pub(super) struct Members(Vec<(String, Value)>);

impl Members {
    /// Parses a body; gives none for one that is empty or only white space.
    pub(super) fn parse(body: &[u8], known: &[&'static str]) -> Result<Option<Self>> {
        let text = text_of(body)?;
        if text.trim_ascii().is_empty() {
            return Ok(None);
        }
        let Raw(members) = serde_json::from_str(text).map_err(|error| not_an_object(&error))?;
        check_names(&members, known)?;
        Ok(Some(Self(members)))
    }

    fn value(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(one, _)| one == name).map(|(_, value)| value)
    }

    /// Gives a member that is a string.
    pub(super) fn string(&self, name: &str) -> Result<Option<&str>> {
        let Some(value) = self.value(name) else { return Ok(None) };
        value.as_str().map(Some).ok_or_else(|| wrong_type(name, "a string", value))
    }

    /// Gives a member that is true or false; false if it is not there.
    pub(super) fn flag(&self, name: &str) -> Result<bool> {
        let Some(value) = self.value(name) else { return Ok(false) };
        value.as_bool().ok_or_else(|| wrong_type(name, "true or false", value))
    }

    /// Gives a member that is a whole number.
    pub(super) fn number(&self, name: &str) -> Result<Option<i64>> {
        let Some(value) = self.value(name) else { return Ok(None) };
        value.as_i64().map(Some).ok_or_else(|| wrong_type(name, "a whole number", value))
    }

    /// Gives a member that is a list of strings, or null, which is as if it were not there.
    pub(super) fn strings_or_null(&self, name: &str) -> Result<Option<Vec<&str>>> {
        const EXPECTED: &str = "a list of strings, or null";
        let Some(value) = self.value(name) else { return Ok(None) };
        match value {
            Value::Null => Ok(None),
            Value::Array(entries) => {
                let entries = entries.iter().enumerate().map(|(index, entry)| {
                    let wrong = || wrong_type(&format!("{name}[{index}]"), "a string", entry);
                    entry.as_str().ok_or_else(wrong)
                });
                entries.collect::<Result<_>>().map(Some)
            }
            _ => Err(wrong_type(name, EXPECTED, value)),
        }
    }
}

pub(super) fn invalid(message: String) -> Error {
    Error::InvalidRequestContent(message)
}

fn unknown(name: &str, known: &[&str]) -> Error {
    let known = match known {
        [] => "this operation reads no body".to_owned(),
        known => format!("the properties are {}", known.join(", ")),
    };
    invalid(format!("The body has an unknown property {}: {known}.", Quoted(name)))
}

fn wrong_type(name: &str, expected: &str, value: &Value) -> Error {
    let is = match value {
        Value::Null => "null (leave it out for its default)",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    invalid(format!("{name} must be {expected}, and is {is}."))
}

/// The parser's own text would repeat what was sent where it meets a wrong type, and says where in
/// the body it is otherwise.
fn not_an_object(error: &serde_json::Error) -> Error {
    invalid(match error.classify() {
        Category::Data => {
            "The body must be a JSON object with this operation's properties.".to_owned()
        }
        Category::Syntax | Category::Eof | Category::Io => {
            format!("The body is not JSON that can be read here: {error}.")
        }
    })
}

/// An object whose members' values are kept as they stand in the text.
pub(super) struct Object(pub(super) Vec<(String, Box<RawValue>)>);

impl Object {
    /// Parses a body that must be there; its members are there once and known to the operation.
    pub(super) fn parse(body: &[u8], known: &[&'static str]) -> Result<Self> {
        let text = text_of(body)?;
        if text.trim_ascii().is_empty() {
            let known = known.join(", ");
            return Err(invalid(format!("The body is empty: send a JSON object with {known}.")));
        }
        let Raw(members) = serde_json::from_str(text).map_err(|error| not_an_object(&error))?;
        check_names(&members, known)?;
        Ok(Self(members))
    }

    /// Parses a member's value; its members are there once.
    pub(super) fn within(name: &str, value: &RawValue) -> Result<Self> {
        let Raw(members) = serde_json::from_str(value.get()).map_err(|_| {
            invalid(format!("{name} must be an object, and the names in it valid Unicode."))
        })?;
        check_once(&members)?;
        Ok(Self(members))
    }
}

fn text_of(body: &[u8]) -> Result<&str> {
    let text = str::from_utf8(body).map_err(|error| {
        let at = error.valid_up_to();
        invalid(format!("The body is not UTF-8, from byte {at} on: send JSON in UTF-8."))
    })?;
    // Some shells write a byte order mark, which RFC 8259 (section 8.1) lets a reader ignore.
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

fn check_names<T>(members: &[(String, T)], known: &[&'static str]) -> Result<()> {
    match members.iter().find(|(name, _)| !known.contains(&name.as_str())) {
        Some((name, _)) => Err(unknown(name, known)),
        None => check_once(members),
    }
}

fn check_once<T>(members: &[(String, T)]) -> Result<()> {
    let mut seen = BTreeSet::new();
    match members.iter().find(|(name, _)| !seen.insert(name)) {
        Some((name, _)) => Err(invalid(format!("The body has {} twice.", Quoted(name)))),
        None => Ok(()),
    }
}

/// An object as it stands in the text: a map would keep only the last of two members of one name.
struct Raw<T>(Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Raw<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
            type Value = Raw<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw<T>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Raw(members))
            }
        }

        deserializer.deserialize_map(Object(PhantomData))
    }
}
