//! parameters.json: the values of `@parameters()`.

use std::collections::BTreeMap;

use flow::Host;
use serde_json::{Map, Value};

use crate::files;
use crate::json::{Document, Faults, join, push_token, unescape};
use crate::limits;
use crate::reader::Node;
use crate::settings::Settings;

/// The evaluated texts by their pointers; nothing where one has no value.
type Texts = BTreeMap<String, Option<Value>>;

/// Reads every parameter, app settings put in.
pub(crate) fn read(
    root: &Node<'_>,
    settings: &Settings,
    faults: &mut Faults,
) -> Map<String, Value> {
    let mut values = Map::new();
    let Some(root) = root.object(faults, "an object") else { return values };
    let mut parameters = Vec::new();
    let mut texts = Map::new();
    for (name, node) in root.all() {
        if let Some(parameter) = Parameter::read(&node, faults) {
            let Node { value, pointer } = &parameter.value;
            collect(value, &mut pointer.clone(), &mut texts);
            parameters.push((name, parameter));
        }
    }
    if settings.incomplete {
        // What follows from settings that could not be read is no fault of this file.
        return values;
    }
    if texts.len() > limits::EXPRESSION_COUNT {
        let most = limits::EXPRESSION_COUNT;
        faults.push("", format!("has more than {most} texts with an `@`; expected at most {most}"));
        return values;
    }
    let texts = evaluate(texts, settings, faults);
    for (name, parameter) in parameters {
        let Node { value, pointer } = &parameter.value;
        if let Some(value) = put(value, &mut pointer.clone(), &texts)
            && let Some(value) = parameter.fit(value, faults)
        {
            values.insert(name.to_owned(), value);
        }
    }
    values
}

/// Collects the texts that may hold expressions, by their pointers.
fn collect(value: &Value, pointer: &mut String, texts: &mut Map<String, Value>) {
    let length = pointer.len();
    match value {
        // One more than may be is enough to tell that there are too many.
        Value::String(text) if text.contains('@') && texts.len() <= limits::EXPRESSION_COUNT => {
            texts.insert(pointer.clone(), value.clone());
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                push_token(pointer, &index.to_string());
                collect(item, pointer, texts);
                pointer.truncate(length);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                push_token(pointer, name);
                collect(member, pointer, texts);
                pointer.truncate(length);
            }
        }
        _ => {}
    }
}

/// Evaluates the texts, one by one for the sake of their faults; `appsetting()` is all that they
/// can refer to.
fn evaluate(mut texts: Map<String, Value>, settings: &Settings, faults: &mut Faults) -> Texts {
    let host = |texts: &Map<String, Value>| Host::resolve("", texts, settings.values.clone());
    let mut evaluated = Texts::new();
    let values = host(&texts).or_else(|problems| {
        for problem in &problems {
            // The pointer of a text in its file is its name here.
            let pointer = unescape(problem.pointer.trim_start_matches('/'));
            let mut message = problem.message.clone();
            if message.contains("app setting") {
                message.push_str(
                    "\n  give it under `Values` in local.settings.json or in the environment",
                );
            }
            faults.push(&pointer, message);
            evaluated.insert(pointer, None);
        }
        texts.retain(|pointer, _| !evaluated.contains_key(pointer));
        host(&texts)
    });
    let values = values.map(|host| host.parameters).unwrap_or_default();
    evaluated.extend(values.into_iter().map(|(pointer, value)| (pointer, Some(value))));
    evaluated
}

/// Puts the evaluated texts in; nothing where one of them has no value.
fn put(value: &Value, pointer: &mut String, texts: &Texts) -> Option<Value> {
    let length = pointer.len();
    let mut inner = |name: &str, value: &Value| {
        push_token(pointer, name);
        let put = put(value, pointer, texts);
        pointer.truncate(length);
        put
    };
    match value {
        Value::Array(items) => {
            let items = items.iter().enumerate();
            items.map(|(index, item)| inner(&index.to_string(), item)).collect()
        }
        Value::Object(members) => {
            let members = members.iter();
            let put = members.map(|(name, member)| Some((name.clone(), inner(name, member)?)));
            put.collect::<Option<Map<_, _>>>().map(Value::Object)
        }
        other => texts.get(pointer.as_str()).cloned().unwrap_or_else(|| Some(other.clone())),
    }
}

struct Parameter<'d> {
    kind: Option<Type>,
    value: Node<'d>,
}

impl<'d> Parameter<'d> {
    fn read(node: &Node<'d>, faults: &mut Faults) -> Option<Self> {
        let parameter = node.object(faults, "an object with `type` and `value`")?;
        let kind = match parameter.member("type", faults) {
            None => None,
            Some(node) => Some(Type::read(&node, faults)?),
        };
        // A null value is a value: only a missing one is a fault.
        let value = parameter.all().find(|(name, _)| name.eq_ignore_ascii_case("value"));
        let Some((_, value)) = value else {
            let pointer = join(&node.pointer, "value");
            faults.push(pointer, "is missing; expected the parameter's value");
            return None;
        };
        // Looked for again for the fault of two that differ only in case.
        parameter.member("value", faults);
        Some(Self { kind, value })
    }

    /// Makes the value one of the parameter's type.
    fn fit(&self, value: Value, faults: &mut Faults) -> Option<Value> {
        let Some(kind) = self.kind else { return Some(value) };
        // A setting is text: where another type is wanted, the text is its JSON.
        let from_settings = value != *self.value.value;
        let value = match &value {
            Value::String(text) if from_settings && kind != Type::String => {
                match Document::parse(files::SETTINGS, text.as_bytes()) {
                    Ok(document) => document.value,
                    Err(_) => value,
                }
            }
            _ => value,
        };
        if !kind.fits(&value) {
            let message = format!("does not fit the parameter's type; expected {}", kind.what());
            self.value.fault(faults, message);
            return None;
        }
        Some(value)
    }
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
    /// Reads a type's name (workflow definition language, Parameters).
    fn read(node: &Node<'_>, faults: &mut Faults) -> Option<Self> {
        const EXPECTED: &str = "`String`, `SecureString`, `Int`, `Float`, `Bool`, `Array`, \
                                `Object` or `SecureObject`";
        let text = node.string(faults, EXPECTED)?;
        let read = match text.to_ascii_lowercase().as_str() {
            "string" | "securestring" => Self::String,
            "int" => Self::Int,
            "float" => Self::Float,
            "bool" => Self::Bool,
            "array" => Self::Array,
            "object" | "secureobject" => Self::Object,
            _ => {
                node.fault(faults, format!("`{text}` is no parameter type; expected {EXPECTED}"));
                return None;
            }
        };
        Some(read)
    }

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
