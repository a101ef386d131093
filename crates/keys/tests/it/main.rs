//! The crate's behaviour through its public interface.

// Helpers of tests may unwrap as tests do: clippy goes by this attribute.
#![cfg(test)]

mod ids;
mod keyring;
mod narrowing;
mod permissions;
mod properties;
mod scopes;
mod sealing;
mod secrets;
mod sessions;
mod support;
mod timestamps;
mod vectors;
