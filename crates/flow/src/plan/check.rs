//! What expressions refer to: functions, actions, variables.

use super::Action;
use super::operation::Operation;
use super::reader::Reader;
use crate::expression::{Callee, Expr, ExprKind, Fault, Source};
use crate::functions;
use crate::limits::PROBLEMS;

/// What the expressions of a workflow ask of its actions.
#[derive(Debug, Default)]
struct Wanted {
    outputs: Vec<usize>,
    inputs: Vec<usize>,
    all: bool,
}

/// Reports every reference that leads nowhere, and marks what has to be kept during a run.
pub(super) fn references(actions: &mut [Action], reader: &mut Reader<'_>) {
    let mut wanted = Wanted::default();
    let mut seen = 0;
    for action in actions.iter() {
        let is_unsupported = matches!(action.operation, Operation::Unsupported { .. });
        let mut expressions: Vec<(&Source, &Expr)> = Vec::new();
        action.operation.visit(&mut |source, expression| expressions.push((source, expression)));
        for (source, expression) in expressions {
            // Within what cannot be run there may be names that only it gives a meaning.
            if !is_unsupported && seen < PROBLEMS {
                seen += usize::from(!check(source, expression, reader));
            }
            collect(expression, reader, &mut wanted);
        }
    }
    for (index, action) in actions.iter_mut().enumerate() {
        action.outputs_wanted = wanted.all || wanted.outputs.contains(&index);
        action.inputs_wanted = wanted.all || wanted.inputs.contains(&index);
    }
}

/// Checks one call; returns whether it is in order.
fn check(source: &Source, expression: &Expr, reader: &mut Reader<'_>) -> bool {
    let ExprKind::Call { callee, name, arguments, .. } = &expression.kind else { return true };
    let fault = match callee {
        Callee::Unknown(unknown) => {
            let hint = functions::nearest(unknown)
                .map_or_else(String::new, |near| format!("; did you mean '{near}'?"));
            Fault::template(format!("there is no function '{unknown}'{hint}")).at(*name)
        }
        Callee::Later(later) => {
            let fault =
                Fault::template(format!("the function '{}' is not available here yet", later.name));
            reader.unsupported(&source.pointer, fault.at(*name).drawn(&source.text));
            return true;
        }
        Callee::Function(function) => {
            if !function.takes(arguments.len()) {
                Fault::template(function.arity_message(arguments.len())).at(expression.span)
            } else if function.name == "utcNow" && !arguments.is_empty() {
                let fault = Fault::template("the function 'utcNow' takes no format here yet");
                reader.unsupported(&source.pointer, fault.at(*name).drawn(&source.text));
                return true;
            } else if let Some(first) = arguments.first()
                && let Some(referred) = first.literal_text()
            {
                let missing = match function.name {
                    "variables" => reader.find_variable(referred).is_none().then_some("variable"),
                    "actions" | "actionBody" | "actionOutputs" | "body" | "outputs" | "result" => {
                        reader.layout().find(referred).is_none().then_some("action")
                    }
                    _ => None,
                };
                match missing {
                    Some(what) => {
                        Fault::template(format!("the workflow has no {what} named '{referred}'"))
                            .at(first.span)
                    }
                    None => return true,
                }
            } else {
                return true;
            }
        }
    };
    reader.problem(&source.pointer, fault.drawn(&source.text));
    false
}

/// Notes which actions' inputs and outputs the call may ask for.
fn collect(expression: &Expr, reader: &Reader<'_>, wanted: &mut Wanted) {
    let ExprKind::Call { callee: Callee::Function(function), arguments, .. } = &expression.kind
    else {
        return;
    };
    let referred =
        arguments.first().and_then(Expr::literal_text).and_then(|name| reader.layout().find(name));
    match (function.name, referred) {
        ("actionBody" | "actionOutputs" | "body" | "outputs", Some(index)) => {
            wanted.outputs.push(index);
        }
        ("actions", Some(index)) => {
            wanted.outputs.push(index);
            wanted.inputs.push(index);
        }
        ("result" | "actions" | "actionBody" | "actionOutputs" | "body" | "outputs", _) => {
            wanted.all = true;
        }
        _ => {}
    }
}
