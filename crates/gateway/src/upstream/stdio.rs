//! Upstreams that are child processes: Streamable HTTP on one side, lines on the other.
//!
//! Clients of the older protocol versions have a session, and each session a child of its own whose
//! messages pass as they are. Clients of 2026-07-28 share one child. A child's messages are read for
//! their envelope alone and never taken apart: what a server says reaches its client as it said it.

mod answers;
mod children;
mod exchange;
mod headers;
mod lines;
mod memory;
mod message;
mod missing;
mod noise;
mod plain;
mod process;
mod queue;
mod report;
mod room;
mod scan;
mod session;
mod shared;
mod users;

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::{Method, Request, Response};
use store::{Replica, Snapshot};

use self::answers::{Form, Taste};
use self::children::Children;
use self::headers::Lifecycle;
use self::message::{Kind, Message};
pub use self::report::Report;
use super::Route;
use super::judge::Keep;
use crate::refusal::Refused;

/// How a child process is started: the program that supervises it, what comes before the child's own
/// command line, and what every child's environment holds.
#[derive(Clone)]
pub struct Launcher {
    /// The program.
    pub program: PathBuf,
    /// Its first arguments.
    pub arguments: Vec<OsString>,
    /// What every child's environment holds; what its entry names comes on top.
    pub environment: Vec<(OsString, OsString)>,
}

/// Shows the names of the environment and no values.
impl fmt::Debug for Launcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.environment.iter().map(|(name, _)| name).collect();
        f.debug_struct("Launcher")
            .field("program", &self.program)
            .field("arguments", &self.arguments)
            .field("environment", &names)
            .finish()
    }
}

/// All children of this process.
#[derive(Debug)]
pub(crate) struct Bridge(Arc<Children>);

impl Bridge {
    /// Makes a bridge without any child.
    pub(crate) fn new(launcher: Launcher, replica: Arc<Replica>) -> Self {
        Self(Arc::new(Children::new(launcher, replica)))
    }

    /// Answers one request. It was admitted and judged, has no credential any more, and its session
    /// id, if it has one, is as it was given out. Lists of
    /// tools are reduced to those that `keep` allows.
    pub(crate) async fn answer(
        &self,
        route: &Route,
        request: Request<Bytes>,
        keep: Option<Keep>,
    ) -> Result<Response<Body>, Refused> {
        let (parts, body) = request.into_parts();
        let headers = &parts.headers;
        if parts.method != Method::POST {
            return self.0.without_message(route, &parts.method, headers, keep);
        }
        if !headers::is_json(headers) {
            return Err(Refused::MediaType);
        }
        if !headers::accepts(headers, "application/json")
            || !headers::accepts(headers, "text/event-stream")
        {
            return Err(Refused::NotAcceptable);
        }
        let taste = Taste { form: Form::wanted(headers), keep };
        let message = Message::read(&body).ok_or(Refused::NotAMessage)?;
        let id = match &message.kind {
            Kind::Request { raw_id, .. } => Some(*raw_id),
            Kind::Notification { .. } | Kind::Response { .. } => None,
        };
        Ok(match headers::lifecycle(headers, Some(&message)) {
            Ok(Lifecycle::Sessions) => {
                self.0.in_session(route, headers, &message, &body, taste).await
            }
            Ok(Lifecycle::Stateless) => self.0.stateless(route, headers, &message, taste).await,
            Err(fault) => exchange::bad_request(id, &fault),
        })
    }

    /// Ends the shared children of servers that the snapshot has no longer, or has otherwise. Sessions
    /// end with their claims.
    pub(crate) fn keep_only(&self, snapshot: &Snapshot) {
        self.0.keep_only(snapshot);
    }

    /// Tells of servers whose program is not there.
    pub(crate) fn tell_missing(&self, snapshot: &Snapshot) {
        self.0.tell_missing(snapshot);
    }

    /// Ends every child and returns when none is left.
    pub(crate) async fn end(&self) {
        self.0.end().await;
    }
}
