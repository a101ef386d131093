//! The second pass: reads a definition into a plan.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::condition::Condition;
use super::layout::{Laid, Layout};
use super::operation::{Operation, VariableType};
use super::schema::Schema;
use super::{Action, Kind, Parameter, RunAfter, Status, Trigger, Variable, Workflow, check, order};
use crate::expression::{Callee, ExprKind, PlacedFault, Template, depth_exceeds, pointer_step};
use crate::limits::{PROBLEMS, VALUE_DEPTH};
use crate::problem::Problem;

/// What has been found out so far.
#[derive(Debug)]
pub(super) struct Reader<'l> {
    problems: Vec<Problem>,
    unsupported: Vec<Problem>,
    layout: &'l Layout<'l>,
    variables: Vec<Variable>,
    variables_by_name: BTreeMap<String, usize>,
}

static NOTHING: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);

pub(super) fn read(document: &Value) -> Result<Workflow, Vec<Problem>> {
    if depth_exceeds(document, VALUE_DEPTH) {
        return Err(vec![Problem::new(
            "",
            format!("the document is nested deeper than {VALUE_DEPTH} levels"),
        )]);
    }
    let Value::Object(whole) = document else {
        return Err(vec![Problem::new("", "a workflow has to be an object with a \"definition\"")]);
    };
    let (definition, pointer) = match whole.get("definition") {
        Some(Value::Object(definition)) => (definition, "/definition"),
        Some(_) => {
            return Err(vec![Problem::new("/definition", "the definition has to be an object")]);
        }
        // Templates and exports hold the bare definition.
        None if whole.contains_key("triggers") && whole.contains_key("actions") => (whole, ""),
        None => return Err(vec![Problem::new("", "the document has no \"definition\"")]),
    };

    let mut problems = Vec::new();
    let kind = read_kind(whole.get("kind"), &mut problems);
    let layout =
        Layout::of(definition.get("actions"), &format!("{pointer}/actions"), &mut problems);
    let mut reader = Reader {
        problems,
        unsupported: Vec::new(),
        layout: &layout,
        variables: Vec::new(),
        variables_by_name: BTreeMap::new(),
    };
    let (trigger, schema) = reader.trigger(definition, pointer, &layout);
    let parameters = reader.parameters(definition, pointer);
    for laid in &layout.actions {
        reader.declare_variables(laid);
    }
    let run_after = reader.run_after(&layout);
    let mut sort = |block: &[usize]| order::sort(block, &run_after, &layout, &mut reader.problems);
    let root = sort(&layout.root);
    let blocks: Vec<Vec<Vec<usize>>> = layout
        .actions
        .iter()
        .map(|laid| laid.blocks.iter().map(|block| sort(block)).collect())
        .collect();
    let mut actions: Vec<Action> = Vec::with_capacity(layout.actions.len());
    for ((laid, run_after), blocks) in layout.actions.iter().zip(run_after).zip(blocks) {
        let operation = Operation::read(laid, &mut reader);
        if matches!(operation, Operation::Response { .. }) {
            reader.refuse_secure_data(laid, &["outputs"]);
        }
        actions.push(Action {
            name: laid.name.to_owned(),
            run_after,
            operation,
            blocks,
            outputs_wanted: false,
            inputs_wanted: false,
        });
    }
    check::references(&mut actions, &mut reader);

    let Reader { mut problems, unsupported, variables, variables_by_name, .. } = reader;
    if !problems.is_empty() {
        problems.truncate(PROBLEMS);
        return Err(problems);
    }
    Ok(Workflow {
        kind,
        trigger,
        schema,
        actions,
        root,
        by_name: layout.by_name,
        variables,
        variables_by_name,
        parameters,
        unsupported,
    })
}

fn read_kind(kind: Option<&Value>, problems: &mut Vec<Problem>) -> Kind {
    match kind {
        None | Some(Value::Null) => Kind::Stateful,
        Some(Value::String(kind)) if kind.is_empty() || kind.eq_ignore_ascii_case("Stateful") => {
            Kind::Stateful
        }
        Some(Value::String(kind)) if kind.eq_ignore_ascii_case("Stateless") => Kind::Stateless,
        Some(_) => {
            problems.push(Problem::new("/kind", "the kind is \"Stateful\" or \"Stateless\""));
            Kind::Stateful
        }
    }
}

impl<'l> Reader<'l> {
    pub(super) fn problem(&mut self, pointer: &str, message: impl Into<String>) {
        self.problems.push(Problem::new(pointer, message));
    }

    pub(super) fn unsupported(&mut self, pointer: &str, message: impl Into<String>) {
        self.unsupported.push(Problem::new(pointer, message));
    }

    pub(super) const fn layout(&self) -> &'l Layout<'l> {
        self.layout
    }

    pub(super) fn parse(&mut self, value: &Value, pointer: &str) -> Template {
        let mut faults = Vec::new();
        let template = Template::parse(value, pointer, &mut faults);
        self.take_faults(faults);
        template
    }

    fn take_faults(&mut self, faults: Vec<PlacedFault>) {
        self.problems.extend(faults.into_iter().map(|fault| {
            let pointer = fault.source.as_ref().map_or("", |source| source.pointer.as_ref());
            Problem::new(pointer, fault.drawn())
        }));
    }

    pub(super) fn condition(&mut self, value: &Value, pointer: &str) -> Condition {
        let mut faults = Vec::new();
        let condition = Condition::parse(value, pointer, &mut faults, &mut self.problems);
        self.take_faults(faults);
        condition
    }

    /// Parses a property of the action itself; null if it is not there.
    pub(super) fn template(&mut self, laid: &Laid<'_>, name: &str) -> Template {
        match laid.body.get(name) {
            Some(value) => self.parse(value, &pointer_step(&laid.pointer, name)),
            None => {
                let message = format!("an action of type {} needs \"{name}\"", laid.type_name);
                self.problem(&laid.pointer, message);
                Template::Constant(Value::Null)
            }
        }
    }

    pub(super) fn required(
        &mut self,
        of: &Map<String, Value>,
        pointer: &str,
        name: &str,
    ) -> Template {
        match of.get(name) {
            Some(value) => self.parse(value, &pointer_step(pointer, name)),
            None => {
                self.problem(pointer, format!("\"{name}\" is needed here"));
                Template::Constant(Value::Null)
            }
        }
    }

    /// Returns the action's inputs, which have to be an object, and their pointer.
    pub(super) fn inputs<'d>(&mut self, laid: &Laid<'d>) -> (&'d Map<String, Value>, String)
    where
        'l: 'd,
    {
        let pointer = format!("{}/inputs", laid.pointer);
        match laid.body.get("inputs") {
            Some(Value::Object(inputs)) => (inputs, pointer),
            Some(_) => {
                self.problem(&pointer, "the inputs have to be an object");
                (&NOTHING, pointer)
            }
            None => (&NOTHING, laid.pointer.clone()),
        }
    }

    pub(super) fn schema(&mut self, schema: &Value, pointer: &str) -> Option<Schema> {
        if schema.is_null() {
            return None;
        }
        match Schema::compile(schema) {
            Ok(schema) => Some(schema),
            Err((place, message)) => {
                self.problem(
                    &format!("{pointer}{place}"),
                    format!("this is no JSON schema: {message}"),
                );
                None
            }
        }
    }

    fn trigger(
        &mut self,
        definition: &Map<String, Value>,
        pointer: &str,
        layout: &Layout<'_>,
    ) -> (Trigger, Option<Schema>) {
        let mut trigger = Trigger {
            name: String::new(),
            type_name: String::new(),
            kind: None,
            description: None,
            schema: None,
        };
        let pointer = format!("{pointer}/triggers");
        let Some(Value::Object(triggers)) = definition.get("triggers") else {
            self.problem(&pointer, "the definition needs \"triggers\", an object with one trigger");
            return (trigger, None);
        };
        let mut each = triggers.iter();
        let (Some((name, body)), None) = (each.next(), each.next()) else {
            self.problem(
                &pointer,
                format!("a workflow has one trigger, and this one has {}", triggers.len()),
            );
            return (trigger, None);
        };
        let pointer = pointer_step(&pointer, name);
        let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
        trigger.name.clone_from(name);
        trigger.kind = text("kind");
        trigger.description = text("description");
        match text("type") {
            Some(type_name) => trigger.type_name = type_name,
            None => self.problem(&pointer, "a trigger needs a \"type\", such as \"Request\""),
        }
        if !trigger.is_request() {
            let message =
                format!("triggers of type '{}' cannot start a workflow here", trigger.type_name);
            self.unsupported(&format!("{pointer}/type"), message);
            return (trigger, None);
        }
        let responds = |laid: &Laid<'_>| laid.type_name.eq_ignore_ascii_case("Response");
        if body.get("splitOn").is_some() && layout.actions.iter().any(responds) {
            self.problem(
                &format!("{pointer}/splitOn"),
                "splitOn makes a run of each element, so there is nobody a Response could answer",
            );
        }
        trigger.schema = body.pointer("/inputs/schema").filter(|schema| !schema.is_null()).cloned();
        let schema = trigger
            .schema
            .as_ref()
            .and_then(|schema| self.schema(schema, &format!("{pointer}/inputs/schema")));
        (trigger, schema)
    }

    fn parameters(&mut self, definition: &Map<String, Value>, pointer: &str) -> Vec<Parameter> {
        let pointer = format!("{pointer}/parameters");
        let parameters = match definition.get("parameters") {
            Some(Value::Object(parameters)) => parameters,
            None | Some(Value::Null) => return Vec::new(),
            Some(_) => {
                self.problem(&pointer, "the parameters have to be an object");
                return Vec::new();
            }
        };
        parameters
            .iter()
            .filter_map(|(name, body)| {
                let (property, default) = ["defaultValue", "value"]
                    .into_iter()
                    .find_map(|property| Some((property, body.get(property)?)))?;
                let pointer = format!("{}/{property}", pointer_step(&pointer, name));
                Some(Parameter { name: name.clone(), default: self.parse(default, &pointer) })
            })
            .collect()
    }

    fn declare_variables(&mut self, laid: &Laid<'_>) {
        if !laid.type_name.eq_ignore_ascii_case("InitializeVariable") {
            return;
        }
        let pointer = format!("{}/inputs/variables", laid.pointer);
        let variables = laid.body.get("inputs").and_then(|inputs| inputs.get("variables"));
        let Some(Value::Array(variables)) = variables else {
            self.problem(&pointer, "an InitializeVariable needs \"variables\", a list");
            return;
        };
        for (position, variable) in variables.iter().enumerate() {
            let pointer = format!("{pointer}/{position}");
            let Some(name) = variable.get("name").and_then(Value::as_str) else {
                self.problem(&pointer, "a variable needs a \"name\"");
                continue;
            };
            let Some(type_of) =
                variable.get("type").and_then(Value::as_str).and_then(VariableType::parse)
            else {
                self.problem(
                    &pointer,
                    "a variable needs a \"type\": boolean, integer, float, string, array or object",
                );
                continue;
            };
            let index = self.variables.len();
            if self.variables_by_name.insert(name.to_lowercase(), index).is_some() {
                self.problem(&pointer, format!("the variable '{name}' is initialized twice"));
            }
            self.variables.push(Variable { name: name.to_owned(), type_of });
        }
    }

    pub(super) fn find_variable(&self, name: &str) -> Option<usize> {
        self.variables_by_name.get(&name.to_lowercase()).copied()
    }

    pub(super) fn unknown_variable(&mut self, pointer: &str, name: &str) {
        self.problem(pointer, format!("no InitializeVariable makes a variable named '{name}'"));
    }

    pub(super) fn expect_variable_type(
        &mut self,
        laid: &Laid<'_>,
        index: usize,
        types: &[VariableType],
    ) {
        let Some(variable) = self.variables.get(index) else { return };
        if types.contains(&variable.type_of) {
            return;
        }
        let wanted: Vec<&str> = types.iter().map(|wanted| wanted.name()).collect();
        let message = format!(
            "the variable '{}' is of type {}, and this needs one of type {}",
            variable.name,
            variable.type_of.name(),
            wanted.join(" or ")
        );
        self.problem(&format!("{}/inputs/name", laid.pointer), message);
    }

    /// Refuses a constant that its variable cannot hold.
    pub(super) fn expect_constant_fits(
        &mut self,
        index: usize,
        value: Option<&Template>,
        pointer: &str,
    ) {
        if let (Some(variable), Some(Template::Constant(value))) =
            (self.variables.get(index), value)
            && !variable.type_of.holds(value)
        {
            let message = format!(
                "the variable '{}' is of type {}, and this is of type {}",
                variable.name,
                variable.type_of.name(),
                crate::expression::type_name(value)
            );
            self.problem(pointer, message);
        }
    }

    pub(super) fn refuse_self_reference(
        &mut self,
        laid: &Laid<'_>,
        index: usize,
        value: &Template,
    ) {
        let Some(name) = self.variables.get(index).map(|variable| variable.name.clone()) else {
            return;
        };
        let mut refers = false;
        value.visit(&mut |_, expression| {
            if let ExprKind::Call { callee: Callee::Function(function), arguments, .. } =
                &expression.kind
                && function.name == "variables"
                && let Some(other) = arguments.first().and_then(|argument| argument.literal_text())
            {
                refers |= crate::expression::same_name(other, &name);
            }
        });
        if refers {
            self.problem(
                &format!("{}/inputs/value", laid.pointer),
                format!(
                    "the new value of '{name}' refers to '{name}' itself: put it through a Compose"
                ),
            );
        }
    }

    pub(super) fn refuse_secure_data(&mut self, laid: &Laid<'_>, refused: &[&str]) {
        let properties = laid
            .body
            .get("runtimeConfiguration")
            .and_then(|configuration| configuration.pointer("/secureData/properties"))
            .and_then(Value::as_array);
        let found =
            properties.into_iter().flatten().filter_map(Value::as_str).find(|property| {
                refused.iter().any(|refused| property.eq_ignore_ascii_case(refused))
            });
        if let Some(found) = found {
            self.problem(
                &format!("{}/runtimeConfiguration/secureData/properties", laid.pointer),
                format!("the {found} of an action of type {} cannot be secured", laid.type_name),
            );
        }
    }

    /// Reads which actions each one runs after; they have to stand in the same block.
    fn run_after(&mut self, layout: &Layout<'_>) -> Vec<Vec<RunAfter>> {
        let mut block_of = vec![usize::MAX; layout.actions.len()];
        let nested = layout.actions.iter().flat_map(|laid| &laid.blocks);
        for (number, block) in std::iter::once(&layout.root).chain(nested).enumerate() {
            for &index in block {
                if let Some(slot) = block_of.get_mut(index) {
                    *slot = number;
                }
            }
        }
        layout
            .actions
            .iter()
            .enumerate()
            .map(|(index, laid)| {
                let pointer = format!("{}/runAfter", laid.pointer);
                let all = match laid.body.get("runAfter") {
                    Some(Value::Object(all)) => all,
                    None | Some(Value::Null) => return Vec::new(),
                    Some(_) => {
                        self.problem(&pointer, "runAfter has to be an object: the action's name and a list of statuses");
                        return Vec::new();
                    }
                };
                all.iter()
                    .filter_map(|(name, statuses)| {
                        let pointer = pointer_step(&pointer, name);
                        let action = layout.find(name).filter(|other| {
                            block_of.get(*other) == block_of.get(index)
                        });
                        let Some(action) = action else {
                            self.problem(&pointer, format!("there is no action '{name}' beside this one"));
                            return None;
                        };
                        Some(RunAfter { action, statuses: self.statuses(statuses, &pointer) })
                    })
                    .collect()
            })
            .collect()
    }

    fn statuses(&mut self, statuses: &Value, pointer: &str) -> Vec<Status> {
        let mut read = Vec::new();
        for status in statuses.as_array().into_iter().flatten() {
            let name = status.as_str().unwrap_or_default();
            match Status::ALL.into_iter().find(|each| each.name().eq_ignore_ascii_case(name)) {
                Some(status) => read.push(status),
                None => self.problem(
                    pointer,
                    "the statuses to run after are Succeeded, Failed, Skipped and TimedOut",
                ),
            }
        }
        if read.is_empty() {
            self.problem(
                pointer,
                "at least one status to run after is needed, such as [\"Succeeded\"]",
            );
        }
        read
    }
}
