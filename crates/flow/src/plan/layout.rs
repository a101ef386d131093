//! The first pass: which actions there are, and where each stands.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::expression::pointer_step;
use crate::limits::ACTIONS;
use crate::problem::Problem;

/// An action as it stands in the definition.
#[derive(Debug)]
pub(super) struct Laid<'d> {
    pub(super) name: &'d str,
    pub(super) pointer: String,
    pub(super) body: &'d Map<String, Value>,
    pub(super) type_name: &'d str,
    /// Stands in another action.
    pub(super) is_nested: bool,
    /// Stands, at any depth, in an action that repeats.
    pub(super) in_loop: bool,
    pub(super) blocks: Vec<Vec<usize>>,
}

#[derive(Debug, Default)]
pub(super) struct Layout<'d> {
    pub(super) actions: Vec<Laid<'d>>,
    pub(super) root: Vec<usize>,
    pub(super) by_name: BTreeMap<String, usize>,
    is_full: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Inside {
    action: bool,
    repeating: bool,
}

impl<'d> Layout<'d> {
    pub(super) fn of(
        actions: Option<&'d Value>,
        pointer: &str,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let mut layout = Self::default();
        layout.root = layout.block(actions, pointer, Inside::default(), problems);
        layout
    }

    /// Returns the index of the action with this name, compared without regard to case.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.by_name.get(&name.to_lowercase()).copied()
    }

    fn block(
        &mut self,
        actions: Option<&'d Value>,
        pointer: &str,
        inside: Inside,
        problems: &mut Vec<Problem>,
    ) -> Vec<usize> {
        let Some(actions) = actions else { return Vec::new() };
        let Value::Object(actions) = actions else {
            problems
                .push(Problem::new(pointer, "actions have to be an object, one property for each"));
            return Vec::new();
        };
        actions
            .iter()
            .filter_map(|(name, action)| {
                self.action(name, action, pointer_step(pointer, name), inside, problems)
            })
            .collect()
    }

    fn action(
        &mut self,
        name: &'d str,
        action: &'d Value,
        pointer: String,
        inside: Inside,
        problems: &mut Vec<Problem>,
    ) -> Option<usize> {
        let Value::Object(body) = action else {
            problems.push(Problem::new(pointer, "an action has to be an object"));
            return None;
        };
        let Some(type_name) = body.get("type").and_then(Value::as_str) else {
            problems.push(Problem::new(pointer, "an action needs a \"type\", such as \"Compose\""));
            return None;
        };
        if self.find(name).is_some() {
            problems.push(Problem::new(
                pointer,
                format!(
                    "there is another action named '{name}'; names have to differ by more than case"
                ),
            ));
            return None;
        }
        let index = self.actions.len();
        if index >= ACTIONS {
            if !self.is_full {
                self.is_full = true;
                let message =
                    format!("a workflow may have {ACTIONS} actions, and this is one more");
                problems.push(Problem::new(pointer, message));
            }
            return None;
        }
        self.by_name.insert(name.to_lowercase(), index);
        let repeats = ["foreach", "until"].iter().any(|kind| type_name.eq_ignore_ascii_case(kind));
        self.actions.push(Laid {
            name,
            pointer: pointer.clone(),
            body,
            type_name,
            is_nested: inside.action,
            in_loop: inside.repeating,
            blocks: Vec::new(),
        });
        let within = Inside { action: true, repeating: inside.repeating || repeats };
        let blocks = self.blocks(body, type_name, &pointer, within, problems);
        if let Some(laid) = self.actions.get_mut(index) {
            laid.blocks = blocks;
        }
        Some(index)
    }

    /// Lays out what stands within an action: `If` has two blocks, `Switch` one for each case and
    /// the default's last, everything else at most one.
    fn blocks(
        &mut self,
        body: &'d Map<String, Value>,
        type_name: &str,
        pointer: &str,
        inside: Inside,
        problems: &mut Vec<Problem>,
    ) -> Vec<Vec<usize>> {
        let nested = |branch: &'d str| body.get(branch).and_then(|branch| branch.get("actions"));
        let mut blocks = Vec::new();
        if type_name.eq_ignore_ascii_case("Switch") {
            if let Some(Value::Object(cases)) = body.get("cases") {
                for (name, case) in cases {
                    let pointer =
                        format!("{}/actions", pointer_step(&format!("{pointer}/cases"), name));
                    blocks.push(self.block(case.get("actions"), &pointer, inside, problems));
                }
            }
            let pointer = format!("{pointer}/default/actions");
            blocks.push(self.block(nested("default"), &pointer, inside, problems));
            return blocks;
        }
        if let Some(actions) = body.get("actions") {
            blocks.push(self.block(Some(actions), &format!("{pointer}/actions"), inside, problems));
        } else if ["if", "scope"].iter().any(|kind| type_name.eq_ignore_ascii_case(kind)) {
            blocks.push(Vec::new());
        }
        if type_name.eq_ignore_ascii_case("If") {
            let pointer = format!("{pointer}/else/actions");
            blocks.push(self.block(nested("else"), &pointer, inside, problems));
        }
        blocks
    }
}
