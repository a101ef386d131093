//! The protocol's parts one by one, and all of them at once in a simulation.

// What helps tests may unwrap as tests do: clippy goes by this attribute.
#![cfg(test)]

mod broken;
mod clean;
mod figures;
mod holder;
mod installer;
mod liveness;
mod plans;
mod simulation;
mod waiter;
