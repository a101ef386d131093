//! The data plane: MCP over Streamable HTTP, behind API keys.
//!
//! A request passes the door in one order: the app by its public URL, the credential, the grant,
//! and only then the body and the server. A refusal says nothing about what lies behind it. Every
//! response is registered before its key is checked and stays registered to its last byte, so that
//! a key that is ended ends what it opened (see `store::Replica`).
//!
//! This crate does not know the management plane.

mod address;
mod bodies;
mod credential;
mod door;
mod effects;
mod guard;
mod hangup;
pub mod limits;
mod refusal;
mod tools;
mod upstream;

pub use door::{Gateway, Service};
pub use hangup::Hangup;
pub use upstream::{Launcher, Report, Upstreams};
