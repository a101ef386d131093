//! Why an action failed.

use super::Code;
use crate::expression::PlacedFault;

/// A code and a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) code: Code,
    pub(super) message: String,
}

impl Failure {
    pub(super) fn new(code: impl Into<Code>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into() }
    }

    /// The inputs are not what the action can work with.
    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new("BadRequest", message)
    }
}

impl From<PlacedFault> for Failure {
    fn from(fault: PlacedFault) -> Self {
        let place = match fault.source.as_ref().map(|source| source.pointer.as_ref()) {
            Some(pointer) if !pointer.is_empty() => format!("at {pointer}: "),
            _ => String::new(),
        };
        Self::new(fault.fault.code(), format!("{place}{}", fault.drawn()))
    }
}
