//! Workflow definitions, expressions and runs, as values.
