//! The management plane's router in process, on a store of its own.

// What helps tests may unwrap as tests do: clippy goes by this attribute.
#![cfg(test)]

mod admission;
mod backups;
mod content;
mod deployments;
mod durability;
mod issuing;
mod logging;
mod paths;
mod plane;
mod property;
mod register;
mod replicas;
mod revoking;
mod servers;
mod upstreams;
