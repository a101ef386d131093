//! The store and the replica, through their public face.

// What helps tests may unwrap as tests do: clippy goes by this attribute.
#![cfg(test)]
#![expect(clippy::disallowed_methods, reason = "a test waits for what it spawns")]

mod audit;
mod backend;
mod catalog;
mod harness;
mod register;
mod replica;
mod rotation;
