//! How much a run may compute and build.

use std::cell::Cell;
use std::mem;

use serde_json::Value;

use super::fault::Fault;
use crate::limits::{BUILT_BYTES, FUEL, NODE_BYTES, VALUE_DEPTH};

/// What is left of a run's allowance.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    fuel: Cell<u64>,
    bytes: Cell<u64>,
}

impl Default for Budget {
    fn default() -> Self {
        Self { fuel: Cell::new(FUEL), bytes: Cell::new(BUILT_BYTES) }
    }
}

impl Budget {
    /// Takes `steps` evaluation steps.
    pub(crate) fn spend(&self, steps: usize) -> Result<(), Fault> {
        let steps = u64::try_from(steps).unwrap_or(u64::MAX);
        match self.fuel.get().checked_sub(steps) {
            Some(left) => {
                self.fuel.set(left);
                Ok(())
            }
            None => Err(Fault::limit(format!(
                "the run has used up its {FUEL} evaluation steps; do less in one run"
            ))),
        }
    }

    /// Takes `bytes` of what the run may build.
    pub(crate) fn build(&self, bytes: u64) -> Result<(), Fault> {
        match self.bytes.get().checked_sub(bytes) {
            Some(left) => {
                self.bytes.set(left);
                Ok(())
            }
            None => Err(Fault::limit(format!(
                "the run's expressions would build more than {} MiB; work on smaller values",
                BUILT_BYTES / (1024 * 1024)
            ))),
        }
    }

    /// Takes a text of `len` bytes.
    pub(crate) fn build_text(&self, len: usize) -> Result<(), Fault> {
        self.build(u64::try_from(len).unwrap_or(u64::MAX).saturating_add(NODE_BYTES))
    }

    /// Takes a copy of `value`; refuses one that is nested too deep.
    pub(crate) fn build_copy(&self, value: &Value) -> Result<(), Fault> {
        let bytes = measure(value, VALUE_DEPTH).ok_or_else(too_deep)?;
        self.build(bytes)
    }
}

fn too_deep() -> Fault {
    Fault::limit(format!("a value may be nested {VALUE_DEPTH} levels deep, and this one is deeper"))
}

/// Returns about the bytes that `value` takes, or nothing if it is nested deeper than `depth`.
fn measure(value: &Value, depth: usize) -> Option<u64> {
    let len = |text: &str| u64::try_from(text.len()).unwrap_or(u64::MAX);
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => Some(NODE_BYTES),
        Value::String(text) => Some(NODE_BYTES.saturating_add(len(text))),
        Value::Array(items) => {
            let depth = depth.checked_sub(1)?;
            items
                .iter()
                .try_fold(NODE_BYTES, |sum, item| Some(sum.saturating_add(measure(item, depth)?)))
        }
        Value::Object(members) => {
            let depth = depth.checked_sub(1)?;
            members.iter().try_fold(NODE_BYTES, |sum, (name, item)| {
                Some(
                    sum.saturating_add(NODE_BYTES + len(name))
                        .saturating_add(measure(item, depth)?),
                )
            })
        }
    }
}

/// Says whether `value` is nested deeper than `depth`, without recursing further than that.
pub(crate) fn depth_exceeds(value: &Value, depth: usize) -> bool {
    match value {
        Value::Array(items) => match depth.checked_sub(1) {
            Some(depth) => items.iter().any(|item| depth_exceeds(item, depth)),
            None => true,
        },
        Value::Object(members) => match depth.checked_sub(1) {
            Some(depth) => members.values().any(|item| depth_exceeds(item, depth)),
            None => true,
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Drops a value of any depth without recursion.
pub(crate) fn dismantle(value: Value) {
    let mut left = vec![value];
    while let Some(mut value) = left.pop() {
        match &mut value {
            Value::Array(items) => left.append(items),
            Value::Object(members) => {
                left.extend(mem::take(members).into_iter().map(|(_, item)| item));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}
