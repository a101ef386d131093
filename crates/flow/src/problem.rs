//! What is wrong with something that was given.

use std::fmt;

/// A place in a workflow document, and what is wrong there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// JSON pointer (RFC 6901) into the document that was given.
    pub pointer: String,
    /// What is wrong and what was expected; a faulty expression is drawn below it.
    pub message: String,
}

impl Problem {
    pub(crate) fn new(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.pointer.is_empty() { "the document" } else { &self.pointer };
        write!(f, "{place}: {}", self.message)
    }
}

/// A place in a value, and how the value there does not fit its schema.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SchemaProblem {
    /// JSON pointer (RFC 6901) into the value.
    pub pointer: String,
    /// What the schema expects there. Never holds the value itself.
    pub message: String,
}

impl fmt::Display for SchemaProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.pointer.is_empty() { "the value" } else { &self.pointer };
        write!(f, "{place}: {}", self.message)
    }
}

/// Why an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is not an expression, or has no value for what it refers to.
    #[error("{message}")]
    Template {
        /// JSON pointer of the string that holds the expression.
        pointer: String,
        /// What is wrong, with the place drawn below it.
        message: String,
    },
    /// Evaluating it would take more steps, memory or nesting than a run may.
    #[error("{message}")]
    Limit {
        /// JSON pointer of the string that holds the expression.
        pointer: String,
        /// Which bound it is, with the place drawn below it.
        message: String,
    },
}
