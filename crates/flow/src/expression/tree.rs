//! Parsed expressions.

use serde_json::Value;

use super::fault::Span;
use crate::functions::{Function, Later};

/// A node of a parsed expression.
#[derive(Debug)]
pub(crate) struct Expr {
    pub(crate) kind: ExprKind,
    pub(crate) span: Span,
}

#[derive(Debug)]
pub(crate) enum ExprKind {
    Literal(Value),
    Call {
        callee: Callee,
        /// Where the function's name stands.
        name: Span,
        arguments: Vec<Expr>,
        /// What is selected from the result, in order: a flat list, so that no chain is too long.
        accesses: Vec<Access>,
    },
}

/// A property or an element that is selected.
#[derive(Debug)]
pub(crate) struct Access {
    pub(crate) key: Expr,
    /// `?` stands before it: nothing is selected from null, and what is missing is null.
    pub(crate) optional: bool,
    pub(crate) span: Span,
}

/// What a call calls.
#[derive(Debug, Clone)]
pub(crate) enum Callee {
    Function(&'static Function),
    /// Known to the language, not to this engine.
    Later(&'static Later),
    Unknown(String),
}

impl Expr {
    /// Visits this node and every node below it.
    pub(crate) fn visit<'e>(&'e self, visit: &mut dyn FnMut(&'e Self)) {
        visit(self);
        if let ExprKind::Call { arguments, accesses, .. } = &self.kind {
            for argument in arguments {
                argument.visit(visit);
            }
            for access in accesses {
                access.key.visit(visit);
            }
        }
    }

    /// Returns the text if this is a string literal.
    pub(crate) fn literal_text(&self) -> Option<&str> {
        match &self.kind {
            ExprKind::Literal(value) => value.as_str(),
            ExprKind::Call { .. } => None,
        }
    }
}
