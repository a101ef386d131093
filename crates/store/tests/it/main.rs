//! The store and the replica, through their public face.
//!
//! What is in `suite/` holds on every database: each of its modules is compiled once for SQLite and once
//! for PostgreSQL, and says `fixture()` where it needs a store.

// What helps tests may unwrap as tests do: clippy goes by this attribute.
#![cfg(test)]
#![expect(clippy::disallowed_methods, reason = "a test waits for what it spawns")]
#![expect(clippy::duplicate_mod, reason = "one suite, a module for each database")]

mod backups;
mod crosswise;
mod folder;
mod harness;
mod postgres;
mod sqlite;
