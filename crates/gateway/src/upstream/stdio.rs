//! Upstreams that are child processes.

mod report;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use store::Replica;

pub use self::report::Report;
use super::Route;
use crate::refusal::Refused;

/// How a child process is started: the program that supervises it, and what comes before the
/// child's own command line.
#[derive(Clone, Debug)]
pub struct Launcher {
    /// The program.
    pub program: PathBuf,
    /// Its first arguments.
    pub arguments: Vec<OsString>,
}

/// All children of this process.
#[derive(Debug)]
pub(crate) struct Bridge;

impl Bridge {
    pub(crate) fn new(_: Launcher, _: Arc<Replica>) -> Self {
        Self
    }

    pub(crate) async fn answer(
        &self,
        _: &Route,
        _: Request<Bytes>,
    ) -> Result<Response<Body>, Refused> {
        Err(Refused::bad_gateway("child processes are not served yet".to_owned()))
    }

    pub(crate) async fn end(&self) {}
}
