//! parameters.json: the values of `@parameters()`.

use serde_json::{Map, Value};

use crate::json::{Faults, join};
use crate::reader::Node;
use crate::settings::{Settings, where_to_give};

/// Reads every parameter, app settings put in.
pub(crate) fn read(
    root: &Node<'_>,
    settings: &Settings,
    faults: &mut Faults,
) -> Map<String, Value> {
    let mut parameters = Map::new();
    let Some(root) = root.object(faults, "an object") else { return parameters };
    for (name, node) in root.all() {
        if let Some(value) = read_one(&node, settings, faults) {
            parameters.insert(name.to_owned(), value);
        }
    }
    parameters
}

fn read_one(node: &Node<'_>, settings: &Settings, faults: &mut Faults) -> Option<Value> {
    let parameter = node.object(faults, "an object with `type` and `value`")?;
    let kind = match parameter.member("type", faults) {
        None => None,
        Some(node) => Some(read_type(&node, faults)?),
    };
    // A null value is a value: only a missing one is a fault.
    let value = parameter.all().find(|(name, _)| name.eq_ignore_ascii_case("value"));
    let Some((_, value)) = value else {
        faults.push(join(&node.pointer, "value"), "is missing; expected the parameter's value");
        return None;
    };
    parameter.member("value", faults);
    let resolved = resolve(&value, settings, faults)?;
    let Some(kind) = kind else { return Some(resolved) };
    // A setting is text: where another type is wanted, the text is its JSON.
    let from_settings = resolved != *value.value;
    let resolved = match &resolved {
        Value::String(text) if from_settings && kind != Type::String => {
            serde_json::from_str(text).unwrap_or(resolved)
        }
        _ => resolved,
    };
    if from_settings && settings.incomplete {
        return Some(resolved);
    }
    if !kind.fits(&resolved) {
        value.fault(faults, format!("does not fit the parameter's type; expected {}", kind.what()));
        return None;
    }
    Some(resolved)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    String,
    Int,
    Float,
    Bool,
    Array,
    Object,
}

impl Type {
    fn fits(self, value: &Value) -> bool {
        match self {
            Self::String => value.is_string(),
            Self::Int => value.is_i64() || value.is_u64(),
            Self::Float => value.is_number(),
            Self::Bool => value.is_boolean(),
            Self::Array => value.is_array(),
            Self::Object => value.is_object(),
        }
    }

    const fn what(self) -> &'static str {
        match self {
            Self::String => "a string",
            Self::Int => "an integer",
            Self::Float => "a number",
            Self::Bool => "true or false",
            Self::Array => "a list",
            Self::Object => "an object",
        }
    }
}

/// Reads a type's name (workflow definition language, Parameters).
fn read_type(node: &Node<'_>, faults: &mut Faults) -> Option<Type> {
    const EXPECTED: &str =
        "`String`, `SecureString`, `Int`, `Float`, `Bool`, `Array`, `Object` or `SecureObject`";
    let text = node.string(faults, EXPECTED)?;
    let read = match text.to_ascii_lowercase().as_str() {
        "string" | "securestring" => Type::String,
        "int" => Type::Int,
        "float" => Type::Float,
        "bool" => Type::Bool,
        "array" => Type::Array,
        "object" | "secureobject" => Type::Object,
        _ => {
            node.fault(faults, format!("`{text}` is no parameter type; expected {EXPECTED}"));
            return None;
        }
    };
    Some(read)
}

/// Puts the app settings in, in every string of the value.
fn resolve(node: &Node<'_>, settings: &Settings, faults: &mut Faults) -> Option<Value> {
    let inner = |name: &str, value| Node { value, pointer: join(&node.pointer, name) };
    match node.value {
        Value::String(text) => match resolve_text(text, settings) {
            Ok(text) => Some(Value::String(text)),
            Err(message) => {
                node.fault(faults, message);
                None
            }
        },
        Value::Array(items) => {
            let items = items.iter().enumerate();
            // Collected first: every fault is told, not only the first.
            let resolved: Vec<Option<Value>> = items
                .map(|(index, item)| resolve(&inner(&index.to_string(), item), settings, faults))
                .collect();
            resolved.into_iter().collect::<Option<Vec<Value>>>().map(Value::Array)
        }
        Value::Object(members) => {
            let resolved: Vec<Option<(String, Value)>> = members
                .iter()
                .map(|(name, value)| {
                    Some((name.clone(), resolve(&inner(name, value), settings, faults)?))
                })
                .collect();
            resolved.into_iter().collect::<Option<Map<String, Value>>>().map(Value::Object)
        }
        other => Some(other.clone()),
    }
}

/// Puts the app settings into one text: `@appsetting('X')` alone, or `@{appsetting('X')}` in it.
fn resolve_text(text: &str, settings: &Settings) -> Result<String, String> {
    if let Some(literal) = text.strip_prefix("@@") {
        return Ok(format!("@{literal}"));
    }
    if let Some(expression) = text.strip_prefix('@')
        && !expression.starts_with('{')
    {
        return call(expression, settings);
    }
    let mut resolved = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("@{") {
        if let Some(literal) = before.strip_suffix('@') {
            resolved.push_str(literal);
            resolved.push_str("@{");
            rest = after;
            continue;
        }
        let Some((expression, after)) = after.split_once('}') else {
            return Err("`@{` has no `}`; expected @{appsetting('NAME')}".to_owned());
        };
        resolved.push_str(before);
        resolved.push_str(&call(expression, settings)?);
        rest = after;
    }
    resolved.push_str(rest);
    Ok(resolved)
}

fn call(expression: &str, settings: &Settings) -> Result<String, String> {
    let name = setting_name(expression).ok_or(
        "is another expression than appsetting('NAME'), the only one that parameters.json can \
         hold; write `@@` for a text that begins with `@`",
    )?;
    match settings.value(&name) {
        Some(value) => Ok(value.to_owned()),
        None if settings.incomplete => Ok(String::new()),
        None => Err(format!("there is no app setting `{name}`: {}", where_to_give(&name))),
    }
}

/// Gives NAME of `appsetting('NAME')`; `''` in it stands for one quote.
fn setting_name(expression: &str) -> Option<String> {
    const FUNCTION: &str = "appsetting";
    let expression = expression.trim();
    let function = expression.get(..FUNCTION.len())?;
    let arguments = expression.get(FUNCTION.len()..)?.trim_start();
    let argument = arguments.strip_prefix('(')?.strip_suffix(')')?.trim();
    let quoted = argument.strip_prefix('\'')?.strip_suffix('\'')?;
    let name = quoted.replace("''", "\0");
    let fits = function.eq_ignore_ascii_case(FUNCTION) && !name.is_empty() && !name.contains('\'');
    fits.then(|| name.replace('\0', "'"))
}
