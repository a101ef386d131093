//! The crate's behaviour through its public interface.

mod ids;
mod keyring;
mod narrowing;
mod permissions;
mod properties;
mod scopes;
mod sealing;
mod secrets;
mod support;
mod timestamps;
mod vectors;
