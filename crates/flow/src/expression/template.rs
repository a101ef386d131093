//! JSON with expressions in it.

use serde_json::{Map, Value};

use super::evaluate::Environment;
use super::fault::{Fault, Span};
use super::parser::{parse_in_braces, parse_whole};
use super::tree::Expr;
use super::value::Val;

/// A JSON value whose strings and names may hold expressions.
#[derive(Debug)]
pub(crate) enum Template {
    /// Without any expression: borrowed as often as wanted, never evaluated.
    Constant(Value),
    /// `@expression`: a value of any type.
    Expression(Source, Expr),
    /// Text with `@{expression}` in it: always a string.
    Interpolation(Source, Vec<Part>),
    Array(Vec<Self>),
    Object(Vec<(Self, Self)>),
}

/// Where an expression comes from.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) text: Box<str>,
    /// The JSON pointer of the string in the document.
    pub(crate) pointer: Box<str>,
}

#[derive(Debug)]
pub(crate) enum Part {
    Text(String),
    Expression(Expr),
}

/// A fault and the template's string that it is in.
#[derive(Debug)]
pub(crate) struct PlacedFault {
    pub(crate) fault: Fault,
    pub(crate) source: Option<Source>,
}

impl PlacedFault {
    /// Returns the message with the place drawn.
    pub(crate) fn drawn(&self) -> String {
        match &self.source {
            Some(source) => self.fault.drawn(&source.text),
            None => self.fault.message.clone(),
        }
    }
}

impl From<Fault> for PlacedFault {
    fn from(fault: Fault) -> Self {
        Self { fault, source: None }
    }
}

/// Escapes a name for a JSON pointer (RFC 6901).
pub(crate) fn pointer_step(pointer: &str, name: &str) -> String {
    format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"))
}

impl Template {
    /// Parses every expression in `value`, which stands at `pointer`; every fault goes to `faults`.
    pub(crate) fn parse(value: &Value, pointer: &str, faults: &mut Vec<PlacedFault>) -> Self {
        match value {
            Value::String(text) => match Self::parse_text(text, pointer) {
                Ok(template) => template,
                Err(fault) => {
                    let source = Source { text: text.as_str().into(), pointer: pointer.into() };
                    faults.push(PlacedFault { fault, source: Some(source) });
                    Self::Constant(Value::Null)
                }
            },
            Value::Array(items) => {
                let items: Vec<Self> = items
                    .iter()
                    .enumerate()
                    .map(|(index, item)| Self::parse(item, &format!("{pointer}/{index}"), faults))
                    .collect();
                if items.iter().all(Self::is_constant) {
                    Self::Constant(Value::Array(
                        items.into_iter().filter_map(Self::constant).collect(),
                    ))
                } else {
                    Self::Array(items)
                }
            }
            Value::Object(members) => {
                let members: Vec<(Self, Self)> = members
                    .iter()
                    .map(|(name, item)| {
                        let pointer = pointer_step(pointer, name);
                        let name = Self::parse(&Value::from(name.as_str()), &pointer, faults);
                        (name, Self::parse(item, &pointer, faults))
                    })
                    .collect();
                if members.iter().all(|(name, item)| name.is_constant() && item.is_constant()) {
                    let members =
                        members.into_iter().filter_map(|(name, item)| match (name, item) {
                            (Self::Constant(Value::String(name)), Self::Constant(item)) => {
                                Some((name, item))
                            }
                            _ => None,
                        });
                    Self::Constant(Value::Object(members.collect()))
                } else {
                    Self::Object(members)
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => Self::Constant(value.clone()),
        }
    }

    fn parse_text(text: &str, pointer: &str) -> Result<Self, Fault> {
        let constant = |text: &str| Ok(Self::Constant(Value::from(text)));
        let source = || Source { text: text.into(), pointer: pointer.into() };
        if !text.contains('@') {
            return constant(text);
        }
        if text.starts_with('@') && !text.starts_with("@@") && !text.starts_with("@{") {
            return Ok(Self::Expression(source(), parse_whole(text, 1)?));
        }
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut position = 0;
        if text.starts_with("@@") {
            literal.push('@');
            position = 2;
        }
        loop {
            let rest = text.get(position..).unwrap_or_default();
            let Some(at) = rest.find("@{") else {
                literal.push_str(rest);
                break;
            };
            let before = rest.get(..at).unwrap_or_default();
            if let Some(before) = before.strip_suffix('@') {
                literal.push_str(before);
                literal.push_str("@{");
                position += at + 2;
                continue;
            }
            literal.push_str(before);
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal)));
            }
            let (expression, end) = parse_in_braces(text, position + at + 2)?;
            parts.push(Part::Expression(expression));
            position = end;
        }
        if parts.is_empty() {
            return constant(&literal);
        }
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Ok(Self::Interpolation(source(), parts))
    }

    pub(crate) const fn is_constant(&self) -> bool {
        matches!(self, Self::Constant(_))
    }

    fn constant(self) -> Option<Value> {
        match self {
            Self::Constant(value) => Some(value),
            _ => None,
        }
    }

    /// Evaluates every expression. What is constant is borrowed.
    pub(crate) fn evaluate<'a>(
        &'a self,
        environment: Environment<'a>,
    ) -> Result<Val<'a>, PlacedFault> {
        match self {
            Self::Constant(value) => Ok(Val::Ref(value)),
            Self::Expression(source, expression) => {
                environment.evaluate(expression).map_err(|fault| source.place(fault))
            }
            Self::Interpolation(source, parts) => {
                let mut text = String::new();
                for part in parts {
                    match part {
                        Part::Text(literal) => text.push_str(literal),
                        Part::Expression(expression) => environment
                            .evaluate(expression)
                            .and_then(|value| value.append_text(&mut text, environment.budget))
                            .map_err(|fault| source.place(fault.at(expression.span)))?,
                    }
                }
                environment.budget.build_text(text.len()).map_err(|fault| source.place(fault))?;
                Ok(Val::text(text))
            }
            Self::Array(items) => {
                let mut values = Vec::with_capacity(items.len());
                for item in items {
                    values.push(item.evaluate_value(environment)?);
                }
                Ok(Val::array(values))
            }
            Self::Object(members) => {
                let mut object = Map::with_capacity(members.len());
                for (name, item) in members {
                    let value = item.evaluate_value(environment)?;
                    match name.evaluate_value(environment)? {
                        Value::String(name) => object.insert(name, value),
                        other => return Err(name.not_a_name(&other)),
                    };
                }
                Ok(Val::Own(Value::Object(object)))
            }
        }
    }

    /// Evaluates to a value that is the caller's own.
    pub(crate) fn evaluate_value<'a>(
        &'a self,
        environment: Environment<'a>,
    ) -> Result<Value, PlacedFault> {
        let value = self.evaluate(environment)?;
        value.into_value(environment.budget).map_err(|fault| match self.source() {
            Some(source) => source.place(fault),
            None => fault.into(),
        })
    }

    fn not_a_name(&self, value: &Value) -> PlacedFault {
        let fault = Fault::template(format!(
            "the name of a property has to be a string, found {}",
            super::value::type_name(value)
        ));
        match self.source() {
            Some(source) => source.place(fault.at(Span::new(0, source.text.len()))),
            None => fault.into(),
        }
    }

    fn source(&self) -> Option<&Source> {
        match self {
            Self::Expression(source, _) | Self::Interpolation(source, _) => Some(source),
            Self::Constant(_) | Self::Array(_) | Self::Object(_) => None,
        }
    }

    /// Visits every expression with the text it stands in.
    pub(crate) fn visit<'t>(&'t self, visit: &mut dyn FnMut(&'t Source, &'t Expr)) {
        match self {
            Self::Constant(_) => {}
            Self::Expression(source, expression) => {
                expression.visit(&mut |expression| visit(source, expression));
            }
            Self::Interpolation(source, parts) => {
                for part in parts {
                    if let Part::Expression(expression) = part {
                        expression.visit(&mut |expression| visit(source, expression));
                    }
                }
            }
            Self::Array(items) => items.iter().for_each(|item| item.visit(visit)),
            Self::Object(members) => members.iter().for_each(|(name, item)| {
                name.visit(visit);
                item.visit(visit);
            }),
        }
    }
}

impl Source {
    pub(crate) fn place(&self, fault: Fault) -> PlacedFault {
        PlacedFault { fault, source: Some(self.clone()) }
    }
}
