//! Between types, and between texts and their encodings.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;
use serde_json::Value;

use super::Function;
use super::json_reader::read_json;
use super::math::decimal_of;
use super::number_reader::{culture, float, integer, plain, separators};
use crate::expression::{Call, Fault, Numeric, Val, content, content_bytes};

pub(super) static FUNCTIONS: &[Function] = &[
    row("array", "value", "An array with the value in it; an array as it is.", array),
    row("base64", "value", "The text in base64; an object's or an array's JSON.", base64),
    row(
        "base64ToBinary",
        "text",
        "Content with the bytes that the base64 text stands for.",
        base64_to_binary,
    ),
    row("base64ToString", "text", "The text that the base64 text stands for.", base64_to_string),
    row("binary", "value", "Content with the text's bytes.", binary),
    row("bool", "value", "True or false from a number or from the texts `true` and `false`.", bool),
    Function {
        name: "createArray",
        parameters: "value, …",
        least: 1,
        most: None,
        doc: "An array of the arguments.",
        body: create_array,
    },
    row("dataUri", "value", "The text as a data URI.", data_uri),
    row(
        "dataUriToBinary",
        "text",
        "Content with the data URI's type and bytes.",
        data_uri_to_binary,
    ),
    row("dataUriToString", "text", "The text in a data URI.", data_uri_to_string),
    row("decimal", "value", "A decimal number: exact to 28 digits within an expression.", decimal),
    row("decodeBase64", "text", "The same as `base64ToString`.", base64_to_string),
    row("decodeDataUri", "text", "The same as `dataUriToString`.", data_uri_to_string),
    row(
        "decodeUriComponent",
        "text",
        "The same as `uriComponentToString`.",
        uri_component_to_string,
    ),
    row("encodeUriComponent", "text", "The same as `uriComponent`.", uri_component),
    Function {
        name: "float",
        parameters: "value, culture?",
        least: 1,
        most: Some(2),
        doc: "A floating-point number from a text, as the culture writes it.",
        body: to_float,
    },
    row("int", "value", "An integer from a text or a number.", int),
    row("json", "text", "The value that the JSON text stands for.", json),
    row("string", "value", "The value as text; objects and arrays as JSON.", string),
    row("uriComponent", "text", "The text, all but unreserved characters as %XX.", uri_component),
    row("uriComponentToBinary", "text", "Content with the decoded bytes.", uri_component_to_binary),
    row(
        "uriComponentToString",
        "text",
        "The text with %XX and + decoded.",
        uri_component_to_string,
    ),
];

/// A function of one argument.
const fn row(
    name: &'static str,
    parameters: &'static str,
    doc: &'static str,
    body: super::Body,
) -> Function {
    Function { name, parameters, least: 1, most: Some(1), doc, body }
}

const OCTETS: &str = "application/octet-stream";

fn text_of(call: &Call<'_>) -> Result<String, Fault> {
    let mut text = String::new();
    call.argument(0).append_text(&mut text, call.budget())?;
    Ok(text)
}

/// Returns the argument's bytes: a content object's own, else its text's.
fn bytes_of(call: &Call<'_>) -> Result<Vec<u8>, Fault> {
    match call.argument(0).json().and_then(content_bytes) {
        Some(bytes) => Ok(bytes),
        None => text_of(call).map(String::into_bytes),
    }
}

fn encoded(call: &Call<'_>, bytes: &[u8]) -> Result<String, Fault> {
    call.budget().build_text(bytes.len() / 3 * 4 + 4)?;
    Ok(STANDARD.encode(bytes))
}

fn content_of<'a>(call: &Call<'a>, content_type: &str, bytes: &[u8]) -> Result<Val<'a>, Fault> {
    call.budget().build_text(content_type.len() + bytes.len() / 3 * 4 + 4)?;
    Ok(Val::Own(content(content_type, bytes)))
}

fn decoded(call: &Call<'_>, base64: &str) -> Result<Vec<u8>, Fault> {
    call.budget().build_text(base64.len())?;
    let packed: String = base64.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    STANDARD.decode(packed).map_err(|_| call.fault(0, "cannot read this as base64"))
}

fn lossy<'a>(bytes: Vec<u8>) -> Val<'a> {
    match String::from_utf8(bytes) {
        Ok(text) => Val::text(text),
        Err(error) => Val::text(String::from_utf8_lossy(error.as_bytes()).into_owned()),
    }
}

fn array<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    if call.argument(0).as_array().is_some() {
        return Ok(call.take(0));
    }
    let value = call.take_value(0)?;
    Ok(Val::array(vec![value]))
}

fn create_array<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    let items: Result<Vec<Value>, Fault> =
        (0..call.arguments.len()).map(|index| call.take_value(index)).collect();
    Ok(Val::array(items?))
}

fn string<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    if call.argument(0).as_str().is_some() {
        return Ok(call.take(0));
    }
    text_of(call).map(Val::text)
}

fn json<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    let text = call.string(0)?;
    read_json(text, call.budget()).map(Val::Own).map_err(|fault| match fault.kind {
        crate::expression::FaultKind::Limit => fault,
        _ => call.fault(0, format!("cannot read the text as JSON: {}", fault.message)),
    })
}

fn base64<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    if !matches!(
        call.argument(0).json(),
        Some(Value::String(_) | Value::Object(_) | Value::Array(_))
    ) {
        return Err(call.wrong_type(0, "a string, an object or an array"));
    }
    let bytes = bytes_of(call)?;
    encoded(call, &bytes).map(Val::text)
}

fn base64_to_string<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    decoded(call, call.string(0)?).map(lossy)
}

fn base64_to_binary<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    let bytes = decoded(call, call.string(0)?)?;
    content_of(call, OCTETS, &bytes)
}

fn binary<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    let bytes = bytes_of(call)?;
    content_of(call, OCTETS, &bytes)
}

fn bool<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    let argument = call.argument(0);
    let value = match argument.json() {
        Some(Value::Bool(value)) => Some(*value),
        Some(Value::String(text)) => {
            let text = text.trim();
            let is = |word: &str| text.eq_ignore_ascii_case(word);
            if is("true") { Some(true) } else { is("false").then_some(false) }
        }
        _ => argument.as_numeric().map(|number| super::logical::to_float(number) != 0.0),
    };
    value.map(Val::from).ok_or_else(|| not_convertible(call, "true or false"))
}

fn not_convertible(call: &Call<'_>, target: &str) -> Fault {
    call.fault(0, format!("cannot make {target} of this {}", call.argument(0).type_name()))
}

fn int<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    let argument = call.argument(0);
    let value = match argument.json() {
        Some(Value::String(text)) => integer(text),
        Some(Value::Bool(value)) => Some(i64::from(*value)),
        _ => match argument.as_numeric() {
            Some(Numeric::Integer(integer)) => Some(integer),
            Some(Numeric::Decimal(decimal)) => decimal.round().to_i64(),
            Some(Numeric::Float(float)) => {
                Decimal::from_f64_retain(float).and_then(|decimal| decimal.round().to_i64())
            }
            None => None,
        },
    };
    value.map(Val::from).ok_or_else(|| not_convertible(call, "an integer"))
}

fn to_float<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    let separators = culture(call, 1)?;
    let argument = call.argument(0);
    let value = match argument.json() {
        Some(Value::String(text)) => float(text, separators),
        Some(Value::Bool(value)) => Some(f64::from(u8::from(*value))),
        _ => argument.as_numeric().map(super::logical::to_float),
    };
    match value {
        Some(value) => Val::float(value),
        None => Err(not_convertible(call, "a floating-point number")),
    }
}

fn decimal<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    let argument = call.argument(0);
    let value = match argument.json() {
        Some(Value::String(text)) => plain(text, separators(""))
            .and_then(|plain| plain.parse().or_else(|_| Decimal::from_scientific(&plain)).ok()),
        _ => match argument.as_numeric() {
            Some(Numeric::Integer(integer)) => Some(integer.into()),
            Some(Numeric::Decimal(decimal)) => Some(decimal),
            Some(Numeric::Float(float)) => decimal_of(float),
            None => None,
        },
    };
    value.map(Val::Decimal).ok_or_else(|| not_convertible(call, "a decimal number"))
}

fn data_uri<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    let object = call.argument(0).as_object();
    let content_type = object
        .and_then(|object| object.get("$content-type")?.as_str())
        .unwrap_or("text/plain;charset=utf-8");
    let bytes = bytes_of(call)?;
    Ok(Val::text(format!("data:{content_type};base64,{}", encoded(call, &bytes)?)))
}

/// Splits a data URI (RFC 2397) into its type and its bytes.
fn read_data_uri<'t>(call: &Call<'_>, text: &'t str) -> Result<(&'t str, Vec<u8>), Fault> {
    let parts = text.strip_prefix("data:").and_then(|rest| rest.split_once(','));
    let Some((head, data)) = parts else {
        return Err(call.fault(0, "needs a data URI, such as data:text/plain;base64,aGk="));
    };
    match head.strip_suffix(";base64") {
        Some(content_type) => Ok((content_type, decoded(call, data)?)),
        None => Ok((head, percent_decoded(data, false))),
    }
}

fn data_uri_to_string<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    read_data_uri(call, call.string(0)?).map(|(_, bytes)| lossy(bytes))
}

fn data_uri_to_binary<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    let (content_type, bytes) = read_data_uri(call, call.string(0)?)?;
    let content_type =
        if content_type.is_empty() { "text/plain;charset=US-ASCII" } else { content_type };
    content_of(call, content_type, &bytes)
}

fn uri_component<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    if call.argument(0).is_null() {
        return Ok(Val::text(""));
    }
    let text = call.string(0)?;
    call.budget().spend(text.len() / 4)?;
    call.budget().build_text(text.len().saturating_mul(3))?;
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            escaped.push(char::from(byte));
        } else {
            let digit = |value: u8| {
                char::from_digit(u32::from(value), 16).unwrap_or('0').to_ascii_uppercase()
            };
            escaped.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    Ok(Val::text(escaped))
}

/// Decodes %XX, and + where it stands for a space; what is no escape stays.
fn percent_decoded(text: &str, plus_is_space: bool) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let digit = |at: usize| after.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        match (byte, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                rest = after.get(2..).unwrap_or_default();
            }
            (b'+', _, _) if plus_is_space => bytes.push(b' '),
            _ => bytes.push(byte),
        }
    }
    bytes
}

fn uri_component_to_string<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    let text = call.string(0)?;
    call.budget().build_text(text.len())?;
    Ok(lossy(percent_decoded(text, true)))
}

fn uri_component_to_binary<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    let bytes = percent_decoded(call.string(0)?, true);
    content_of(call, OCTETS, &bytes)
}
