//! What an expression can refer to.

use std::fmt;
use std::time::SystemTime;

use serde_json::Value;

/// The parts of an action that expressions can refer to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ActionNames<'a> {
    pub(crate) name: &'a str,
    pub(crate) inputs: Option<&'a Value>,
    pub(crate) outputs: Option<&'a Value>,
    /// Nothing before the action has ended.
    pub(crate) status: Option<&'a str>,
    pub(crate) code: Option<&'a str>,
    /// The code and the message of what failed.
    pub(crate) error: Option<(&'a str, &'a str)>,
}

/// What the referencing functions look up. Names compare without regard to case.
pub(crate) trait Names: fmt::Debug {
    fn action(&self, name: &str) -> Option<ActionNames<'_>>;
    /// Returns the actions directly within a scope; nothing if there is no such scope.
    fn within(&self, scope: &str) -> Option<Vec<ActionNames<'_>>>;
    fn variable(&self, name: &str) -> Option<&Value>;
    fn parameter(&self, name: &str) -> Option<&Value>;
    fn app_setting(&self, name: &str) -> Option<&str>;
    /// Returns `{"name", "outputs": {"body"}}`, or null outside a run.
    fn trigger(&self) -> &Value;
    fn item(&self) -> Option<&Value>;
    fn workflow_name(&self) -> &str;
    fn run_id(&self) -> &str;
    fn now(&self) -> SystemTime;
    /// Returns the next number of the run's own sequence.
    fn random(&self) -> u64;
}
