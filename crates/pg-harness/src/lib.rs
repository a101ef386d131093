//! A PostgreSQL of their own for tests: no service, no container, nothing shared with anybody.
//!
//! [`Cluster::shared`] starts one server for a test program and [`Cluster::database`] makes a fresh
//! database in it for each test. The server listens on a Unix socket in a folder of its own, runs as
//! an unprivileged user where the tests run as root, and ends with the test program however that ends.
//! [`Proxy`] stands between a client and a server, and cuts or swallows where it is told to.
//!
//! Only tests depend on this crate, and it depends on no other crate of Keyward.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what helps tests fails as tests do"
)]

mod cluster;
mod install;
mod proxy;

pub use cluster::{Cluster, Database, Durability, Ending};
pub use proxy::{Delays, Fault, Proxy};
