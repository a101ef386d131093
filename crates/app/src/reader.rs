//! Reading a document's values, each with its pointer, every fault noted.

use serde_json::{Map, Value};

use crate::json::{Faults, join};

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Node<'d> {
    pub(crate) value: &'d Value,
    pub(crate) pointer: String,
}

impl<'d> Node<'d> {
    pub(crate) fn root(value: &'d Value) -> Self {
        Self { value, pointer: String::new() }
    }

    /// Notes a fault of this value.
    pub(crate) fn fault(&self, faults: &mut Faults, message: impl Into<String>) {
        faults.push(&self.pointer, message);
    }

    pub(crate) fn object(&self, faults: &mut Faults, what: &str) -> Option<Object<'d>> {
        match self.value {
            Value::Object(members) => Some(Object { members, pointer: self.pointer.clone() }),
            _ => self.wrong(faults, what),
        }
    }

    pub(crate) fn list(&self, faults: &mut Faults, what: &str) -> Option<Vec<Self>> {
        let Value::Array(items) = self.value else {
            return self.wrong(faults, what);
        };
        let node = |(index, value): (usize, &'d Value)| Self {
            value,
            pointer: join(&self.pointer, &index.to_string()),
        };
        Some(items.iter().enumerate().map(node).collect())
    }

    pub(crate) fn string(&self, faults: &mut Faults, what: &str) -> Option<&'d str> {
        match self.value {
            Value::String(text) => Some(text),
            _ => self.wrong(faults, what),
        }
    }

    pub(crate) fn boolean(&self, faults: &mut Faults, what: &str) -> Option<bool> {
        match self.value {
            Value::Bool(flag) => Some(*flag),
            _ => self.wrong(faults, what),
        }
    }

    fn wrong<T>(&self, faults: &mut Faults, what: &str) -> Option<T> {
        self.fault(faults, format!("expected {what}, found {}", kind(self.value)));
        None
    }
}

/// An object's members, found without regard to case, as the Azure host's own readers do.
#[derive(Debug)]
pub(crate) struct Object<'d> {
    pub(crate) members: &'d Map<String, Value>,
    pointer: String,
}

impl<'d> Object<'d> {
    /// Gives the member of that name; null counts as absent.
    ///
    /// Two names that differ only in case are a fault: which of them holds would be a guess.
    pub(crate) fn member(&self, name: &str, faults: &mut Faults) -> Option<Node<'d>> {
        let mut found = self.all().filter(|(given, _)| given.eq_ignore_ascii_case(name));
        let (first, node) = found.next()?;
        for (given, again) in found {
            again.fault(faults, format!("`{given}` is `{first}` again: keep one of the two"));
        }
        (!node.value.is_null()).then_some(node)
    }

    /// Gives the member of that name, whose absence is a fault.
    pub(crate) fn required(&self, name: &str, what: &str, faults: &mut Faults) -> Option<Node<'d>> {
        let member = self.member(name, faults);
        if member.is_none() {
            let pointer = join(&self.pointer, name);
            faults.push(pointer, format!("is missing; expected {what}"));
        }
        member
    }

    /// Gives every member with its name.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'d str, Node<'d>)> {
        self.members.iter().map(|(name, value)| {
            (name.as_str(), Node { value, pointer: join(&self.pointer, name) })
        })
    }

    /// Gives the pointers of the members that have none of the names given.
    pub(crate) fn others(&self, known: &[&str]) -> Vec<String> {
        let is_known = |name: &str| known.iter().any(|known| known.eq_ignore_ascii_case(name));
        self.all().filter(|(name, _)| !is_known(name)).map(|(_, node)| node.pointer).collect()
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
