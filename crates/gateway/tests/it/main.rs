//! The data plane's router, as a client meets it.

mod address;
mod bodies;
mod cutting;
mod harness;
mod refusals;
mod scopes;
mod tools;
