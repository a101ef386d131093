use std::fmt;

use axum::body::Body;
use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::error::Category;

use crate::error::{Error, Quoted, Result};
use crate::limits;

/// Reads a body that is neither too large nor too slow. Its type does not matter: clients send JSON
/// under any name, or none.
pub(super) async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes> {
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok())
        .and_then(|length| length.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limits::BODY_BYTES as u64) {
        return Err(Error::BodyTooLarge);
    }
    let all = Limited::new(body, limits::BODY_BYTES).collect();
    match tokio::time::timeout(limits::BODY_TIME, all).await {
        Ok(Ok(all)) => Ok(all.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Error::BodyTooLarge),
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
        let text = str::from_utf8(body).map_err(|error| {
            let at = error.valid_up_to();
            invalid(format!("The body is not UTF-8, from byte {at} on: send JSON in UTF-8."))
        })?;
        // Some shells write a byte order mark, which RFC 8259 (section 8.1) lets a reader ignore.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if text.trim_ascii().is_empty() {
            return Ok(None);
        }
        let Raw(members) = serde_json::from_str(text).map_err(|error| not_an_object(&error))?;
        let mut seen: Vec<&str> = Vec::new();
        for (name, _) in &members {
            if !known.contains(&name.as_str()) {
                return Err(unknown(name, known));
            }
            if seen.contains(&name.as_str()) {
                return Err(invalid(format!("The body has {} twice.", Quoted(name))));
            }
            seen.push(name);
        }
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
            "The body must be a JSON object, such as {\"keyType\": \"primary\"}.".to_owned()
        }
        Category::Syntax | Category::Eof | Category::Io => {
            format!("The body is not JSON that can be read here: {error}.")
        }
    })
}

/// An object as it stands in the text: a map would keep only the last of two members of one name.
struct Raw(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Raw;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Raw(members))
            }
        }

        deserializer.deserialize_map(Object)
    }
}
