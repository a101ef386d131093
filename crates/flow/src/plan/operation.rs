//! What an action does.

use serde_json::{Map, Value};

use super::condition::Condition;
use super::layout::Laid;
use super::reader::Reader;
use super::schema::Schema;
use crate::expression::{Expr, Source, Template, pointer_step};

#[derive(Debug)]
pub(crate) enum Operation {
    Compose(Template),
    Response {
        status: Template,
        headers: Template,
        body: Option<Template>,
    },
    ParseJson {
        content: Template,
        schema: Option<Schema>,
    },
    If(Condition),
    /// The cases belong to the blocks in order; the last block is the default's.
    Switch {
        on: Template,
        cases: Vec<Value>,
    },
    Scope,
    /// Variables by their index, with what they begin as.
    Initialize(Vec<(usize, Option<Template>)>),
    Set {
        variable: usize,
        value: Template,
    },
    /// Adds the value, or takes it away.
    Increment {
        variable: usize,
        value: Template,
        is_decrement: bool,
    },
    AppendToArray {
        variable: usize,
        value: Template,
    },
    AppendToString {
        variable: usize,
        value: Template,
    },
    Wait(WaitFor),
    Terminate {
        status: TerminateStatus,
        code: Template,
        message: Template,
    },
    /// Well-formed, and not to be run here.
    Unsupported {
        type_name: String,
        templates: Vec<Template>,
    },
}

#[derive(Debug)]
pub(crate) enum WaitFor {
    Interval { count: Template, unit: Template },
    Until(Template),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
}

impl Unit {
    /// Reads the unit's name without regard to case.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        const NAMES: [(&str, Unit); 6] = [
            ("Second", Unit::Second),
            ("Minute", Unit::Minute),
            ("Hour", Unit::Hour),
            ("Day", Unit::Day),
            ("Week", Unit::Week),
            ("Month", Unit::Month),
        ];
        NAMES.iter().find(|(text, _)| name.eq_ignore_ascii_case(text)).map(|(_, unit)| *unit)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TerminateStatus {
    Succeeded,
    Failed,
    Cancelled,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VariableType {
    Boolean,
    Integer,
    Float,
    String,
    Array,
    Object,
}

impl VariableType {
    const ALL: [Self; 6] =
        [Self::Boolean, Self::Integer, Self::Float, Self::String, Self::Array, Self::Object];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Boolean => "Boolean",
            Self::Integer => "Integer",
            Self::Float => "Float",
            Self::String => "String",
            Self::Array => "Array",
            Self::Object => "Object",
        }
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|each| each.name().eq_ignore_ascii_case(name))
    }

    /// Says whether a variable of this type can hold `value`; null can stand in any.
    pub(crate) fn holds(self, value: &Value) -> bool {
        match (self, value) {
            (_, Value::Null)
            | (Self::Boolean, Value::Bool(_))
            | (Self::Float, Value::Number(_))
            | (Self::String, Value::String(_))
            | (Self::Array, Value::Array(_))
            | (Self::Object, Value::Object(_)) => true,
            (Self::Integer, Value::Number(number)) => !number.is_f64(),
            _ => false,
        }
    }
}

impl Operation {
    pub(super) fn read(laid: &Laid<'_>, reader: &mut Reader<'_>) -> Self {
        match laid.type_name.to_ascii_lowercase().as_str() {
            "compose" => Self::Compose(reader.template(laid, "inputs")),
            "response" => Self::response(laid, reader),
            "parsejson" => Self::parse_json(laid, reader),
            "if" => Self::condition(laid, reader),
            "switch" => Self::switch(laid, reader),
            "scope" => Self::Scope,
            "initializevariable" => Self::initialize(laid, reader),
            "setvariable" => {
                let (variable, value) = Self::update(laid, reader, None);
                reader.refuse_self_reference(laid, variable, &value);
                Self::Set { variable, value }
            }
            "incrementvariable" => {
                let (variable, value) = Self::update(laid, reader, Some(Value::from(1)));
                Self::Increment { variable, value, is_decrement: false }
            }
            "decrementvariable" => {
                let (variable, value) = Self::update(laid, reader, Some(Value::from(1)));
                Self::Increment { variable, value, is_decrement: true }
            }
            "appendtoarrayvariable" => {
                let (variable, value) = Self::update(laid, reader, None);
                reader.expect_variable_type(laid, variable, &[VariableType::Array]);
                Self::AppendToArray { variable, value }
            }
            "appendtostringvariable" => {
                let (variable, value) = Self::update(laid, reader, None);
                reader.expect_variable_type(laid, variable, &[VariableType::String]);
                Self::AppendToString { variable, value }
            }
            "wait" => Self::Wait(Self::wait(laid, reader)),
            "terminate" => Self::terminate(laid, reader),
            _ => {
                reader.unsupported(
                    &format!("{}/type", laid.pointer),
                    format!("actions of type '{}' cannot be run here", laid.type_name),
                );
                let templates = ["inputs", "foreach", "expression"]
                    .into_iter()
                    .filter(|part| laid.body.contains_key(*part))
                    .map(|part| reader.template(laid, part))
                    .collect();
                Self::Unsupported { type_name: laid.type_name.to_owned(), templates }
            }
        }
    }

    fn response(laid: &Laid<'_>, reader: &mut Reader<'_>) -> Self {
        if laid.in_loop {
            reader.problem(&laid.pointer, "a Response cannot stand in an action that repeats");
        }
        if laid.body.get("limit").is_some_and(|limit| limit.get("timeout").is_some()) {
            reader
                .problem(&format!("{}/limit/timeout", laid.pointer), "a Response takes no timeout");
        }
        let (inputs, pointer) = reader.inputs(laid);
        let status = match inputs.get("statusCode") {
            Some(status) => reader.parse(status, &format!("{pointer}/statusCode")),
            None => Template::Constant(Value::from(200)),
        };
        let headers = match inputs.get("headers") {
            Some(headers @ (Value::Object(_) | Value::String(_))) => {
                reader.parse(headers, &format!("{pointer}/headers"))
            }
            Some(Value::Null) | None => Template::Constant(Value::Object(Map::new())),
            Some(_) => {
                reader.problem(&format!("{pointer}/headers"), "headers have to be an object");
                Template::Constant(Value::Null)
            }
        };
        let body = inputs.get("body").map(|body| reader.parse(body, &format!("{pointer}/body")));
        Self::Response { status, headers, body }
    }

    fn parse_json(laid: &Laid<'_>, reader: &mut Reader<'_>) -> Self {
        let (inputs, pointer) = reader.inputs(laid);
        let content = reader.required(inputs, &pointer, "content");
        let schema = inputs
            .get("schema")
            .and_then(|schema| reader.schema(schema, &format!("{pointer}/schema")));
        Self::ParseJson { content, schema }
    }

    fn condition(laid: &Laid<'_>, reader: &mut Reader<'_>) -> Self {
        let pointer = format!("{}/expression", laid.pointer);
        match laid.body.get("expression") {
            Some(expression) => Self::If(reader.condition(expression, &pointer)),
            None => {
                reader.problem(&laid.pointer, "an If needs an \"expression\"");
                Self::If(Condition::Value(Template::Constant(Value::Null)))
            }
        }
    }

    fn switch(laid: &Laid<'_>, reader: &mut Reader<'_>) -> Self {
        let on = reader.required(laid.body, &laid.pointer, "expression");
        let mut cases = Vec::new();
        match laid.body.get("cases") {
            Some(Value::Object(all)) => {
                for (name, case) in all {
                    let pointer = pointer_step(&format!("{}/cases", laid.pointer), name);
                    match case.get("case") {
                        Some(value @ (Value::String(_) | Value::Number(_))) => {
                            cases.push(value.clone());
                        }
                        _ => {
                            reader.problem(
                                &pointer,
                                "a case needs a \"case\", a string or an integer",
                            );
                            cases.push(Value::Null);
                        }
                    }
                }
            }
            None => {}
            Some(_) => {
                reader.problem(&format!("{}/cases", laid.pointer), "cases have to be an object");
            }
        }
        Self::Switch { on, cases }
    }

    fn initialize(laid: &Laid<'_>, reader: &mut Reader<'_>) -> Self {
        if laid.is_nested {
            reader.problem(
                &laid.pointer,
                "a variable is initialized at the top level, not within another action",
            );
        }
        let (inputs, pointer) = reader.inputs(laid);
        let variables = inputs.get("variables").and_then(Value::as_array);
        let mut initial = Vec::new();
        for (position, declared) in variables.into_iter().flatten().enumerate() {
            let pointer = format!("{pointer}/variables/{position}");
            let name = declared.get("name").and_then(Value::as_str).unwrap_or_default();
            let Some(variable) = reader.find_variable(name) else { continue };
            let value = declared
                .get("value")
                .filter(|value| !value.is_null())
                .map(|value| reader.parse(value, &format!("{pointer}/value")));
            reader.expect_constant_fits(variable, value.as_ref(), &format!("{pointer}/value"));
            initial.push((variable, value));
        }
        Self::Initialize(initial)
    }

    /// Reads the variable and the value of an action that changes a variable.
    fn update(
        laid: &Laid<'_>,
        reader: &mut Reader<'_>,
        default: Option<Value>,
    ) -> (usize, Template) {
        reader.refuse_secure_data(laid, &["inputs", "outputs"]);
        let (inputs, pointer) = reader.inputs(laid);
        let variable = match inputs.get("name").and_then(Value::as_str) {
            Some(name) => match reader.find_variable(name) {
                Some(variable) => variable,
                None => {
                    reader.unknown_variable(&format!("{pointer}/name"), name);
                    usize::MAX
                }
            },
            None => {
                reader.problem(&pointer, "the \"name\" of a variable is needed, as a string");
                usize::MAX
            }
        };
        let value = match (inputs.get("value"), default) {
            (None, Some(default)) => Template::Constant(default),
            _ => reader.required(inputs, &pointer, "value"),
        };
        (variable, value)
    }

    fn wait(laid: &Laid<'_>, reader: &mut Reader<'_>) -> WaitFor {
        let (inputs, pointer) = reader.inputs(laid);
        if let Some(Value::Object(until)) = inputs.get("until") {
            return WaitFor::Until(reader.required(
                until,
                &format!("{pointer}/until"),
                "timestamp",
            ));
        }
        let Some(Value::Object(interval)) = inputs.get("interval") else {
            reader.problem(
                &pointer,
                "a Wait needs an \"interval\" such as {\"count\": 5, \"unit\": \"Second\"}, or an \"until\"",
            );
            return WaitFor::Until(Template::Constant(Value::Null));
        };
        let pointer = format!("{pointer}/interval");
        let count = reader.required(interval, &pointer, "count");
        let unit = reader.required(interval, &pointer, "unit");
        if let Template::Constant(Value::String(name)) = &unit
            && Unit::parse(name).is_none()
        {
            reader.problem(
                &format!("{pointer}/unit"),
                "the unit is Second, Minute, Hour, Day, Week or Month",
            );
        }
        WaitFor::Interval { count, unit }
    }

    fn terminate(laid: &Laid<'_>, reader: &mut Reader<'_>) -> Self {
        let (inputs, pointer) = reader.inputs(laid);
        let status = match inputs.get("runStatus").and_then(Value::as_str) {
            Some(status) if status.eq_ignore_ascii_case("Succeeded") => TerminateStatus::Succeeded,
            Some(status) if status.eq_ignore_ascii_case("Failed") => TerminateStatus::Failed,
            Some(status) if status.eq_ignore_ascii_case("Cancelled") => TerminateStatus::Cancelled,
            _ => {
                reader.problem(
                    &format!("{pointer}/runStatus"),
                    "the runStatus is Succeeded, Failed or Cancelled",
                );
                TerminateStatus::Failed
            }
        };
        let mut part = |name: &str| match inputs.get("runError").and_then(|error| error.get(name)) {
            Some(value) => reader.parse(value, &format!("{pointer}/runError/{name}")),
            None => Template::Constant(Value::Null),
        };
        Self::Terminate { status, code: part("code"), message: part("message") }
    }

    /// Visits every expression of the action with the text it stands in.
    pub(super) fn visit<'t>(&'t self, visit: &mut dyn FnMut(&'t Source, &'t Expr)) {
        match self {
            Self::Compose(template)
            | Self::Set { value: template, .. }
            | Self::Increment { value: template, .. }
            | Self::AppendToArray { value: template, .. }
            | Self::AppendToString { value: template, .. }
            | Self::ParseJson { content: template, .. }
            | Self::Switch { on: template, .. }
            | Self::Wait(WaitFor::Until(template)) => template.visit(visit),
            Self::Response { status, headers, body } => {
                status.visit(visit);
                headers.visit(visit);
                if let Some(body) = body {
                    body.visit(visit);
                }
            }
            Self::If(condition) => condition.visit(visit),
            Self::Scope => {}
            Self::Initialize(variables) => {
                variables
                    .iter()
                    .filter_map(|(_, value)| value.as_ref())
                    .for_each(|value| value.visit(visit));
            }
            Self::Wait(WaitFor::Interval { count, unit }) => {
                count.visit(visit);
                unit.visit(visit);
            }
            Self::Terminate { code, message, .. } => {
                code.visit(visit);
                message.visit(visit);
            }
            Self::Unsupported { templates, .. } => {
                templates.iter().for_each(|template| template.visit(visit));
            }
        }
    }
}
