//! Tests of the crate through its public face.

// Helpers of tests may unwrap as tests do: clippy goes by this attribute.
#![cfg(test)]

mod bounds;
mod cases;
mod corpus;
mod plans;
mod runs;
