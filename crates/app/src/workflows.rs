//! The workflows of an app, and which of them are tools.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use flow::{Host, Workflow};
use serde_json::{Map, Value};

use crate::files::Files;
use crate::json::{Document, Faults, at_file};
use crate::limits;
use crate::problem::{LeftOut, Problem};
use crate::settings::Settings;

/// A trigger as a workflow's definition names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TriggerEntry {
    /// The trigger's name.
    pub name: String,
    /// Its `type`, as written: `Request`.
    pub trigger_type: String,
    /// Its `kind`, as written: `Http`.
    pub kind: Option<String>,
}

/// One workflow of an app, whether it is a tool or not.
#[derive(Clone)]
pub struct WorkflowEntry {
    name: String,
    kind: Option<String>,
    disabled: bool,
    triggers: Vec<TriggerEntry>,
    workflow: Arc<Workflow>,
    tool: Option<Arc<Tool>>,
    pub(crate) document: Value,
}

impl WorkflowEntry {
    /// Gives the name of the workflow's folder.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Gives `kind` as workflow.json has it: `Stateful` or `Stateless`.
    pub fn kind(&self) -> Option<&str> {
        self.kind.as_deref()
    }

    /// Says whether an app setting disables the workflow.
    pub fn is_disabled(&self) -> bool {
        self.disabled
    }

    /// Gives every trigger of the definition.
    pub fn triggers(&self) -> &[TriggerEntry] {
        &self.triggers
    }

    /// Gives the checked workflow.
    pub fn workflow(&self) -> &Arc<Workflow> {
        &self.workflow
    }

    /// Gives the tool that the workflow is, if it is one.
    pub fn tool(&self) -> Option<&Arc<Tool>> {
        self.tool.as_ref()
    }
}

/// Shows what the workflow is, not its definition.
impl fmt::Debug for WorkflowEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkflowEntry")
            .field("name", &self.name)
            .field("kind", &self.kind)
            .field("disabled", &self.disabled)
            .field("triggers", &self.triggers)
            .field("tool", &self.tool.is_some())
            .finish_non_exhaustive()
    }
}

/// A workflow that a client can call.
pub struct Tool {
    name: String,
    description: Option<String>,
    input_schema: Arc<Map<String, Value>>,
    workflow: Arc<Workflow>,
    host: Arc<Host>,
}

impl Tool {
    /// Gives the workflow's name: 1 to 128 ASCII letters, digits, `_`, `-` or `.`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Gives the trigger's description.
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// Gives the trigger's schema; its `type` is always `object`.
    pub fn input_schema(&self) -> &Arc<Map<String, Value>> {
        &self.input_schema
    }

    /// Gives the checked workflow.
    pub fn workflow(&self) -> &Arc<Workflow> {
        &self.workflow
    }

    /// Gives what a run of the workflow may read besides its arguments.
    pub fn host(&self) -> &Arc<Host> {
        &self.host
    }
}

/// Shows what a client may see: the host holds app settings.
impl fmt::Debug for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tool")
            .field("name", &self.name)
            .field("description", &self.description)
            .field("input_schema", &self.input_schema)
            .finish_non_exhaustive()
    }
}

/// What the workflows' files give.
#[derive(Debug, Default)]
pub(crate) struct Workflows {
    pub(crate) by_name: BTreeMap<String, WorkflowEntry>,
    /// Workflows that are no tools, each with the reason.
    pub(crate) left_out: BTreeMap<String, String>,
}

impl Workflows {
    /// Finds a workflow without regard to case.
    pub(crate) fn find(&self, name: &str) -> Option<&WorkflowEntry> {
        let fold = || self.by_name.values().find(|entry| entry.name.eq_ignore_ascii_case(name));
        self.by_name.get(name).or_else(fold)
    }

    pub(crate) fn tools(&self) -> impl Iterator<Item = &Arc<Tool>> {
        self.by_name.values().filter_map(WorkflowEntry::tool)
    }

    pub(crate) fn notes(&self, settings: &Settings) -> Vec<LeftOut> {
        let workflows = self
            .left_out
            .iter()
            .map(|(name, why)| LeftOut { what: format!("workflow `{name}`"), why: why.clone() });
        let unknown = settings.workflows().filter(|name| self.find(name).is_none());
        let unknown = unknown.map(|name| LeftOut {
            what: format!("app setting `Workflows.{name}.FlowState`"),
            why: "no workflow has that name".to_owned(),
        });
        workflows.chain(unknown).collect()
    }
}

/// Reads every workflow; those that do not parse are problems.
pub(crate) fn read(
    files: &Files,
    parameters: &Map<String, Value>,
    settings: &Settings,
    problems: &mut Vec<Problem>,
) -> Workflows {
    let mut workflows = Workflows::default();
    let count = files.workflows().count();
    if count > limits::WORKFLOW_COUNT {
        let most = limits::WORKFLOW_COUNT;
        let message = format!("the app has {count} workflows; expected at most {most}");
        problems.push(at_file(".", message));
        return workflows;
    }
    let mut folded: BTreeMap<String, &str> = BTreeMap::new();
    for (name, path, bytes) in files.workflows() {
        if let Some(other) = folded.insert(name.to_ascii_lowercase(), name) {
            let message = format!(
                "its name differs from the workflow `{other}` in case only: rename one of them"
            );
            problems.push(at_file(path, message));
        }
        let host = || Host {
            workflow_name: name.to_owned(),
            parameters: parameters.clone(),
            app_settings: settings.values.clone(),
        };
        let read = Document::parse(path, bytes)
            .and_then(|document| read_one(name, document, settings.disables(name), host));
        match read {
            Ok((entry, why_not)) => {
                if !why_not.is_empty() {
                    // A drawn expression spans lines and must not share one with its neighbour.
                    let drawn = why_not.iter().any(|why| why.contains('\n'));
                    let why_not = why_not.join(if drawn { "\n" } else { "; " });
                    workflows.left_out.insert(name.to_owned(), why_not);
                }
                workflows.by_name.insert(name.to_owned(), entry);
            }
            Err(found) => problems.extend(found),
        }
    }
    workflows
}

/// Reads one workflow, and says what keeps it from being a tool.
fn read_one(
    name: &str,
    document: Document<'_>,
    disabled: bool,
    host: impl Fn() -> Host,
) -> Result<(WorkflowEntry, Vec<String>), Vec<Problem>> {
    let workflow = match Workflow::parse(&document.value) {
        Ok(workflow) => Arc::new(workflow),
        Err(found) => return Err(document.problems(faults(&found))),
    };
    let triggers = triggers(&document.value);
    let mut why_not = reasons(name, &document, disabled, &triggers, &workflow);
    let schema = input_schema(workflow.trigger().schema());
    if schema.is_none() {
        why_not.push(
            "its schema is not one of an object, and a tool's arguments are an object: give it \
             `\"type\": \"object\"`"
                .to_owned(),
        );
    }
    let tool = schema.filter(|_| why_not.is_empty()).map(|input_schema| {
        Arc::new(Tool {
            name: name.to_owned(),
            description: workflow.trigger().description().map(str::to_owned),
            input_schema: Arc::new(input_schema),
            workflow: Arc::clone(&workflow),
            host: Arc::new(host()),
        })
    });
    let kind = document.value.get("kind").and_then(Value::as_str).map(str::to_owned);
    let name = name.to_owned();
    let document = document.value;
    Ok((WorkflowEntry { name, kind, disabled, triggers, workflow, tool, document }, why_not))
}

fn reasons(
    name: &str,
    document: &Document<'_>,
    disabled: bool,
    triggers: &[TriggerEntry],
    workflow: &Workflow,
) -> Vec<String> {
    let mut reasons = Vec::new();
    if disabled {
        reasons.push(format!("the app setting `Workflows.{name}.FlowState` disables it"));
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if name.chars().count() > limits::TOOL_NAME_CHARS || !name.chars().all(fits) {
        reasons.push(format!(
            "its name is none that a tool can have; expected 1 to {} ASCII letters, digits, `_`, \
             `-` or `.`",
            limits::TOOL_NAME_CHARS
        ));
    }
    match triggers {
        [trigger] => {
            let TriggerEntry { name, trigger_type, kind } = trigger;
            let is_http = |kind: &str| kind.eq_ignore_ascii_case("Http");
            if !trigger_type.eq_ignore_ascii_case("Request")
                || !kind.as_deref().is_some_and(is_http)
            {
                let kind = kind.as_ref().map_or("no kind".to_owned(), |k| format!("kind `{k}`"));
                reasons.push(format!(
                    "its trigger `{name}` is of type `{trigger_type}` and {kind}; a tool's is of \
                     type `Request` and kind `Http`"
                ));
            }
        }
        other => reasons.push(format!("it has {} triggers; a tool has one", other.len())),
    }
    if !workflow.has_response() {
        reasons.push("it has no Response action, so a call would have no answer".to_owned());
    }
    let unsupported = document.problems(faults(workflow.unsupported()));
    reasons.extend(unsupported.iter().map(ToString::to_string));
    reasons
}

fn faults(found: &[flow::Problem]) -> Faults {
    let mut faults = Faults::default();
    for problem in found {
        faults.push(&problem.pointer, &problem.message);
    }
    faults
}

fn triggers(document: &Value) -> Vec<TriggerEntry> {
    let text = |value: &Value, name| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let triggers = document.pointer("/definition/triggers").and_then(Value::as_object);
    let entry = |(name, value): (&String, &Value)| TriggerEntry {
        name: name.clone(),
        trigger_type: text(value, "type").unwrap_or_default(),
        kind: text(value, "kind"),
    };
    triggers.map(|triggers| triggers.iter().map(entry).collect()).unwrap_or_default()
}

/// Makes the schema one of an object, as MCP wants it; none if it is one of something else.
fn input_schema(schema: Option<&Value>) -> Option<Map<String, Value>> {
    let object = || Value::String("object".to_owned());
    let Some(schema) = schema else {
        return Some(Map::from_iter([("type".to_owned(), object())]));
    };
    let mut schema = schema.as_object()?.clone();
    let is_object = |value: &Value| value == "object";
    match schema.get_mut("type") {
        None => {
            schema.shift_insert(0, "type".to_owned(), object());
        }
        Some(Value::Array(types)) if types.iter().any(is_object) => {
            schema.insert("type".to_owned(), object());
        }
        Some(given) if is_object(given) => {}
        Some(_) => return None,
    }
    Some(schema)
}
