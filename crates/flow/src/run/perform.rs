//! What each action does when its turn comes.

use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Map, Value};

use super::failure::Failure;
use super::host::Settings;
use super::variables::increment;
use super::view::View;
use super::{Effect, Outcome, Response, Run, State, wait};
use crate::evaluation::evaluate_with;
use crate::expression::{Fault, PlacedFault, Template, Val, content_bytes};
use crate::functions::{equals_values, read_json};
use crate::plan::{Action, ActionIndex, Operation, Schema, Status, TerminateStatus, Workflow};

/// What has become of an action that was begun.
enum Begun {
    /// It has ended well, with these outputs.
    Done(Option<Value>),
    /// It is waiting for an event.
    Waiting,
    /// It goes on in the block at this place among its own, if there is one.
    Inside(usize),
    /// It has ended the run.
    Over,
}

impl Run {
    /// Evaluates the parameters' defaults that the host has no value for.
    pub(super) fn prepare(&mut self) -> Result<(), Failure> {
        if let Some(refused) = self.refused.take() {
            return Err(refused);
        }
        let workflow = Arc::clone(&self.workflow);
        let host = Arc::clone(&self.host);
        for parameter in &workflow.parameters {
            if crate::expression::property(&self.host.parameters, &parameter.name).is_none() {
                let names = Settings(&host.app_settings);
                let value = evaluate_with(&parameter.default, &names, &self.budget)
                    .and_then(|value| Ok(value.into_value(&self.budget)?))?;
                self.parameters.insert(parameter.name.clone(), value);
            }
        }
        Ok(())
    }

    /// Takes every action of `block` as far as it goes; returns whether all have ended.
    ///
    /// One pass is enough: each action stands after those it runs after.
    pub(super) fn advance(
        &mut self,
        workflow: &Workflow,
        block: &[usize],
        now: SystemTime,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let mut all_ended = true;
        for &index in block {
            let Some(action) = workflow.actions.get(index) else { continue };
            match self.state(index) {
                State::Ended(_) => continue,
                State::Waiting => {
                    all_ended = false;
                    continue;
                }
                State::Pending => match self.may_begin(action) {
                    None => {
                        all_ended = false;
                        continue;
                    }
                    Some(false) => {
                        self.skip(workflow, index);
                        continue;
                    }
                    Some(true) => self.begin(workflow, index, action, now, effects),
                },
                State::Inside(_) => {}
            }
            if self.is_over {
                return false;
            }
            if let State::Inside(branch) = self.state(index) {
                let inner = action.blocks.get(branch).map(Vec::as_slice).unwrap_or_default();
                if self.advance(workflow, inner, now, effects) {
                    self.end_block(workflow, index, inner);
                } else if self.is_over {
                    return false;
                }
            }
            all_ended &= matches!(self.state(index), State::Ended(_));
        }
        all_ended
    }

    fn state(&self, index: usize) -> State {
        self.records.get(index).map_or(State::Ended(Status::Skipped), |record| record.state)
    }

    fn set_state(&mut self, index: usize, state: State) {
        if let Some(record) = self.records.get_mut(index) {
            record.state = state;
        }
    }

    fn status(&self, index: usize) -> Option<Status> {
        self.records.get(index).and_then(super::Record::status)
    }

    /// Says whether the action's turn has come (true), will never come (false), or is not decided.
    fn may_begin(&self, action: &Action) -> Option<bool> {
        let mut wanted = true;
        for after in &action.run_after {
            wanted &= after.statuses.contains(&self.status(after.action)?);
        }
        Some(wanted)
    }

    /// Skips an action and all that stands in it.
    fn skip(&mut self, workflow: &Workflow, index: usize) {
        self.set_state(index, State::Ended(Status::Skipped));
        if let Some(action) = workflow.actions.get(index) {
            for &inner in action.blocks.iter().flatten() {
                self.skip(workflow, inner);
            }
        }
    }

    fn begin(
        &mut self,
        workflow: &Workflow,
        index: usize,
        action: &Action,
        now: SystemTime,
        effects: &mut Vec<Effect>,
    ) {
        match self.perform(index, action, now, effects) {
            Ok(Begun::Done(outputs)) => {
                if let Some(record) = self.records.get_mut(index) {
                    record.state = State::Ended(Status::Succeeded);
                    record.outputs = outputs;
                }
            }
            Ok(Begun::Waiting) => self.set_state(index, State::Waiting),
            Ok(Begun::Inside(branch)) => {
                self.set_state(index, State::Inside(branch));
                for (other, block) in action.blocks.iter().enumerate() {
                    if other != branch {
                        block.iter().for_each(|&inner| self.skip(workflow, inner));
                    }
                }
            }
            Ok(Begun::Over) => {}
            Err(failure) => {
                action.blocks.iter().flatten().for_each(|&inner| self.skip(workflow, inner));
                if let Some(record) = self.records.get_mut(index) {
                    record.state = State::Ended(Status::Failed);
                    record.failure = Some(failure);
                }
            }
        }
    }

    /// Ends an action whose block has come to its end.
    fn end_block(&mut self, workflow: &Workflow, index: usize, block: &[usize]) {
        let status = self.block_status(workflow, block);
        if let Some(record) = self.records.get_mut(index) {
            record.state = State::Ended(status);
            if status == Status::Failed {
                record.failure = Some(Failure::new(
                    "ActionFailed",
                    "an action within this one failed, and none beside it handled that",
                ));
            }
        }
    }

    /// Judges a block by the last actions of its branches; a skipped one counts as those before it.
    pub(super) fn block_status(&self, workflow: &Workflow, block: &[usize]) -> Status {
        let mut is_last: Vec<usize> = block.to_vec();
        for action in block.iter().filter_map(|&index| workflow.actions.get(index)) {
            is_last.retain(|index| action.run_after.iter().all(|after| after.action != *index));
        }
        let mut left = is_last;
        let mut seen = Vec::new();
        while let Some(index) = left.pop() {
            match self.status(index) {
                Some(Status::Failed | Status::TimedOut) => return Status::Failed,
                Some(Status::Skipped) => {
                    let before =
                        workflow.actions.get(index).map(|action| action.run_after.as_slice());
                    for after in before.unwrap_or_default() {
                        if !seen.contains(&after.action) {
                            seen.push(after.action);
                            left.push(after.action);
                        }
                    }
                }
                Some(Status::Succeeded) | None => {}
            }
        }
        Status::Succeeded
    }

    /// Finds the failure that brought a block down: the first of an action that holds no others.
    pub(super) fn first_failure<'r>(
        &'r self,
        workflow: &'r Workflow,
        block: &[usize],
    ) -> Option<(&'r str, &'r Failure)> {
        block.iter().find_map(|&index| {
            if self.status(index) != Some(Status::Failed) {
                return None;
            }
            let action = workflow.actions.get(index)?;
            let inner = action.blocks.iter().find_map(|block| self.first_failure(workflow, block));
            inner.or_else(|| {
                let failure = self.records.get(index)?.failure.as_ref()?;
                Some((action.name.as_str(), failure))
            })
        })
    }

    fn perform(
        &mut self,
        index: usize,
        action: &Action,
        now: SystemTime,
        effects: &mut Vec<Effect>,
    ) -> Result<Begun, Failure> {
        let view = View { run: self, now };
        match &action.operation {
            Operation::Compose(inputs) => {
                let outputs = view.evaluate(inputs)?;
                Ok(Begun::Done(Some(outputs)))
            }
            Operation::Response { status, headers, body } => {
                let response = respond(&view, status, headers, body.as_ref())?;
                let outputs = action.outputs_wanted.then(|| outputs_of(&response));
                if !self.has_responded {
                    self.has_responded = true;
                    effects.push(Effect::Respond(response));
                }
                Ok(Begun::Done(outputs))
            }
            Operation::ParseJson { content, schema } => {
                let body = parse_json(view.evaluate(content)?, schema.as_ref(), &view)?;
                Ok(Begun::Done(Some(with("body", body))))
            }
            Operation::If(condition) => {
                let holds = condition.holds(view.environment())?;
                Ok(Begun::Inside(usize::from(!holds)))
            }
            Operation::Switch { on, cases } => switch(&view, on, cases).map(Begun::Inside),
            Operation::Scope => Ok(Begun::Inside(0)),
            Operation::Initialize(variables) => {
                for (variable, value) in variables {
                    let view = View { run: self, now };
                    let value = match value {
                        Some(value) => view.evaluate(value)?,
                        None => Value::Null,
                    };
                    self.set_variable(*variable, value)?;
                }
                Ok(Begun::Done(None))
            }
            Operation::Set { variable, value } => {
                let value = view.evaluate(value)?;
                self.set_variable(*variable, value)?;
                Ok(Begun::Done(self.variable_outputs(*variable, action)?))
            }
            Operation::Increment { variable, value, is_decrement } => {
                let by = view.evaluate(value)?;
                let sum = increment(self.variables.get(*variable), &by, *is_decrement)?;
                self.set_variable(*variable, sum)?;
                Ok(Begun::Done(self.variable_outputs(*variable, action)?))
            }
            Operation::AppendToArray { variable, value } => {
                let value = view.evaluate(value)?;
                match self.current(*variable)? {
                    Value::Array(items) => items.push(value),
                    nothing => *nothing = Value::Array(vec![value]),
                }
                Ok(Begun::Done(None))
            }
            Operation::AppendToString { variable, value } => {
                let value = view.evaluate(value)?;
                let mut text = String::new();
                Val::Ref(&value).append_text(&mut text, &self.budget).map_err(PlacedFault::from)?;
                match self.current(*variable)? {
                    Value::String(string) => string.push_str(&text),
                    nothing => *nothing = Value::String(text),
                }
                Ok(Begun::Done(None))
            }
            Operation::Wait(wait) => {
                let duration = wait::duration(wait, &view)?;
                effects.push(Effect::Wait { action: ActionIndex(index), duration });
                Ok(Begun::Waiting)
            }
            Operation::Terminate { status, code, message } => {
                let outcome = terminate(&view, action, *status, code, message)?;
                self.finish(outcome, effects);
                Ok(Begun::Over)
            }
            Operation::Unsupported { type_name, .. } => Err(Failure::new(
                "NotSupported",
                format!("actions of type '{type_name}' cannot be run here"),
            )),
        }
    }
}

fn with(name: &str, value: Value) -> Value {
    let mut object = Map::with_capacity(1);
    object.insert(name.to_owned(), value);
    Value::Object(object)
}

fn respond(
    view: &View<'_>,
    status: &Template,
    headers: &Template,
    body: Option<&Template>,
) -> Result<Response, Failure> {
    let status = view.evaluate(status)?;
    let status = match &status {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    let status = status
        .and_then(|status| u16::try_from(status).ok())
        .filter(|status| (100..600).contains(status))
        .ok_or_else(|| {
            Failure::bad_request(
                "the statusCode of a Response has to be an integer from 100 to 599",
            )
        })?;
    let headers = match view.evaluate(headers)? {
        Value::Object(headers) => headers
            .into_iter()
            .map(|(name, value)| {
                let mut text = String::new();
                Val::Own(value).append_text(&mut text, &view.run.budget)?;
                Ok((name, text))
            })
            .collect::<Result<Vec<_>, Fault>>()
            .map_err(PlacedFault::from)?,
        Value::Null => Vec::new(),
        _ => return Err(Failure::bad_request("the headers of a Response have to be an object")),
    };
    let body = body.map(|body| view.evaluate(body)).transpose()?;
    Ok(Response { status, headers, body })
}

fn outputs_of(response: &Response) -> Value {
    let headers: Map<String, Value> = response
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), Value::from(value.as_str())))
        .collect();
    let mut outputs = Map::new();
    outputs.insert("statusCode".to_owned(), response.status.into());
    outputs.insert("headers".to_owned(), Value::Object(headers));
    if let Some(body) = &response.body {
        outputs.insert("body".to_owned(), body.clone());
    }
    Value::Object(outputs)
}

fn parse_json(content: Value, schema: Option<&Schema>, view: &View<'_>) -> Result<Value, Failure> {
    let text = match &content {
        Value::String(text) => Some(text.clone()),
        content => content_bytes(content).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
    };
    let body = match text {
        Some(text) => read_json(&text, &view.run.budget).map_err(|fault| {
            Failure::new(fault.code(), format!("the content is no JSON: {}", fault.message))
        })?,
        None => content,
    };
    if let Some(schema) = schema
        && let Err(problems) = schema.check(&body)
    {
        let listed: Vec<String> = problems.iter().take(10).map(ToString::to_string).collect();
        return Err(Failure::new(
            "ValidationFailed",
            format!("the content does not fit the schema: {}", listed.join("; ")),
        ));
    }
    Ok(body)
}

fn switch(view: &View<'_>, on: &Template, cases: &[Value]) -> Result<usize, Failure> {
    let value = on.evaluate(view.environment())?;
    if !matches!(value.json(), Some(Value::String(_) | Value::Number(_))) {
        return Err(Failure::bad_request(format!(
            "a Switch goes by a string or an integer, and this is of type {}",
            value.type_name()
        )));
    }
    for (index, case) in cases.iter().enumerate() {
        let is_case = equals_values(&value, &Val::Ref(case), &view.run.budget);
        if is_case.map_err(PlacedFault::from)? {
            return Ok(index);
        }
    }
    Ok(cases.len())
}

fn terminate(
    view: &View<'_>,
    action: &Action,
    status: TerminateStatus,
    code: &Template,
    message: &Template,
) -> Result<Outcome, Failure> {
    let text = |template: &Template| -> Result<Option<String>, Failure> {
        let value = template.evaluate(view.environment())?;
        if value.is_null() {
            return Ok(None);
        }
        let mut text = String::new();
        value.append_text(&mut text, &view.run.budget).map_err(PlacedFault::from)?;
        Ok(Some(text))
    };
    match status {
        TerminateStatus::Succeeded => Ok(Outcome::Succeeded),
        TerminateStatus::Cancelled => Ok(Outcome::Cancelled),
        TerminateStatus::Failed => Ok(Outcome::Failed {
            action: Some(action.name.clone()),
            code: text(code)?.unwrap_or_else(|| "Terminated".to_owned()),
            message: text(message)?.unwrap_or_else(|| "a Terminate ended the run".to_owned()),
        }),
    }
}
