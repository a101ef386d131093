//! JSON schemas: compiled once, never fetched.

use std::error::Error as StdError;
use std::fmt;

use jsonschema::{Retrieve, Uri, Validator};
use serde_json::Value;

use crate::expression::depth_exceeds;
use crate::limits::{PROBLEMS, VALUE_DEPTH};
use crate::problem::SchemaProblem;

/// A compiled schema.
pub(crate) struct Schema {
    validator: Validator,
}

/// Refuses to fetch anything, whatever features of the validator another crate turns on.
struct NoRetrieval;

impl Retrieve for NoRetrieval {
    fn retrieve(&self, uri: &Uri<String>) -> Result<Value, Box<dyn StdError + Send + Sync>> {
        Err(format!(
            "'{uri}' lies outside the schema, and nothing is fetched: put it under \"$defs\""
        )
        .into())
    }
}

impl Schema {
    /// Compiles the schema; the error is the pointer within it and what is wrong there.
    pub(crate) fn compile(schema: &Value) -> Result<Self, (String, String)> {
        match jsonschema::options().with_retriever(NoRetrieval).build(schema) {
            Ok(validator) => Ok(Self { validator }),
            Err(error) => Err((error.instance_path().to_string(), describe(&error))),
        }
    }

    /// Returns every place of `value` that does not fit.
    pub(crate) fn check(&self, value: &Value) -> Result<(), Vec<SchemaProblem>> {
        check_depth(value)?;
        if self.validator.is_valid(value) {
            return Ok(());
        }
        let problems = self
            .validator
            .iter_errors(value)
            .take(PROBLEMS)
            .map(|error| SchemaProblem {
                pointer: error.instance_path().to_string(),
                message: error.masked_with("this").to_string(),
            })
            .collect();
        Err(problems)
    }
}

/// Appends what caused the error: where a reference leads nowhere, only the cause says where.
fn describe(error: &jsonschema::ValidationError<'_>) -> String {
    let mut text = error.to_string();
    let mut cause = StdError::source(error);
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

/// Refuses a value that is nested deeper than anything here looks into.
pub(crate) fn check_depth(value: &Value) -> Result<(), Vec<SchemaProblem>> {
    if depth_exceeds(value, VALUE_DEPTH) {
        return Err(vec![SchemaProblem {
            pointer: String::new(),
            message: format!("this is nested deeper than {VALUE_DEPTH} levels"),
        }]);
    }
    Ok(())
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schema").finish_non_exhaustive()
    }
}
