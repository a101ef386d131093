//! The data plane's router, as a client meets it.

// What helps tests may unwrap as tests do: clippy goes by this attribute.
#![cfg(test)]
#![expect(clippy::disallowed_methods, reason = "a test waits for what it spawns")]

mod address;
mod bodies;
mod connection;
mod cutting;
mod harness;
mod refusals;
mod scopes;
mod tools;
mod upstream_faults;
mod upstream_filter;
mod upstream_http;
mod upstream_sessions;
mod upstream_tools;
