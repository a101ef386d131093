//! Upstreams that are child processes: Streamable HTTP on one side, lines on the other.
//!
//! Clients of the older protocol versions have a session, and each session a child of its own whose
//! messages pass as they are. Clients of 2026-07-28 share one child. A child's messages are read for
//! their envelope alone and never taken apart: what a server says reaches its client as it said it.

mod answers;
mod headers;
mod lines;
mod message;
mod noise;
mod plain;
mod process;
mod queue;
mod report;
mod room;
mod session;
mod shared;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use app::{StdioUpstream, Transport, Upstream};
use axum::body::Body;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use keys::{ApiKeyId, AppId, ChildId, Claims};
use rustix::io::Errno;
use serde_json::json;
use serde_json::value::RawValue;
use store::{Replica, Snapshot};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use self::answers::{Form, METHOD_NOT_FOUND, Note, UNSUPPORTED_VERSION};
use self::headers::{Fault, Lifecycle};
use self::message::{Kind, Message};
use self::process::{Backoff, Ending, Feed, Listener as _, Means, Started};
use self::queue::NotTaken;
pub use self::report::Report;
use self::room::{Held, Room};
use self::session::{Session, Unclaimed};
use self::shared::{NotCalled, Shared};
use super::{Route, SESSION};
use crate::limits;
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
pub(crate) struct Bridge(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    means: Means,
    replica: Arc<Replica>,
    /// The room for children.
    places: Arc<Semaphore>,
    /// Cancelled to end all of them.
    stop: CancellationToken,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    sessions: BTreeMap<String, Arc<Session>>,
    servers: BTreeMap<(AppId, String), ServerState>,
}

/// What is known of one server.
#[derive(Debug)]
struct ServerState {
    upstream: Arc<Upstream>,
    shared: Option<Arc<Shared>>,
    /// Until when it is taken for one that speaks older versions only.
    older_until: Option<Instant>,
    shared_backoff: Backoff,
    session_backoff: Backoff,
}

/// Why a child could not be had.
#[derive(Debug)]
enum NoChild {
    /// It speaks older versions only.
    Older,
    /// It comes again later.
    Later(Duration, &'static str),
    /// It cannot be started.
    Failed(Ending),
}

impl Bridge {
    pub(crate) fn new(launcher: Launcher, replica: Arc<Replica>) -> Self {
        let means = Means {
            launcher: Arc::new(launcher),
            tasks: TaskTracker::new(),
            room: Arc::new(Semaphore::new(limits::LINES_KIB)),
        };
        Self(Arc::new(Inner {
            means,
            replica,
            places: Arc::new(Semaphore::new(limits::CHILD_COUNT)),
            stop: CancellationToken::new(),
            state: Mutex::default(),
        }))
    }

    /// Answers one request. It was admitted and judged, has no credential any more, and its session
    /// id, if it has one, is as it was given out.
    pub(crate) async fn answer(
        &self,
        route: &Route,
        request: Request<Bytes>,
    ) -> Result<Response<Body>, Refused> {
        let (parts, body) = request.into_parts();
        let headers = &parts.headers;
        if parts.method != Method::POST {
            return self.0.without_message(route, &parts.method, headers);
        }
        if !is_json(headers) {
            return Err(Refused::MediaType);
        }
        if !accepts(headers, "application/json") || !accepts(headers, "text/event-stream") {
            return Err(Refused::NotAcceptable);
        }
        let message = Message::read(&body).ok_or(Refused::NotAMessage)?;
        let id = match &message.kind {
            Kind::Request { raw_id, .. } => Some(*raw_id),
            Kind::Notification { .. } | Kind::Response { .. } => None,
        };
        Ok(match headers::lifecycle(headers, Some(&message)) {
            Ok(Lifecycle::Sessions) => self.0.in_session(route, headers, &message, &body).await,
            Ok(Lifecycle::Stateless) => self.0.stateless(route, headers, &message).await,
            Err(fault) => bad_request(id, &fault),
        })
    }

    /// Ends the shared children of servers that the snapshot has no longer, or has otherwise. Sessions
    /// end with their claims.
    pub(crate) fn keep_only(&self, snapshot: &Snapshot) {
        let is_served = |app: &AppId, name: &str, upstream: &Arc<Upstream>| {
            let app = snapshot.apps().iter().find(|served| served.id == *app);
            app.filter(|app| app.app.mcp_enabled())
                .and_then(|app| app.server(name))
                .is_some_and(|server| server.is_enabled() && server.upstream() == Some(upstream))
        };
        self.0.state().servers.retain(|(app, name), server| {
            let stays = is_served(app, name, &server.upstream);
            if let Some(shared) = server.shared.as_ref().filter(|_| !stays) {
                shared.stop.cancel();
            }
            stays
        });
    }

    /// Ends every child and returns when none is left.
    pub(crate) async fn end(&self) {
        let tasks = &self.0.means.tasks;
        self.0.stop.cancel();
        tasks.close();
        // Each child's own end is bounded; this bounds what is not foreseen.
        let all = limits::END_TIME + limits::LAST_LINES_TIME * 3;
        if tokio::time::timeout(all, tasks.wait()).await.is_err() {
            warn!(
                "Some MCP servers' processes have not ended: their supervisors go on ending them"
            );
        }
    }
}

impl Inner {
    fn without_message(
        self: &Arc<Self>,
        route: &Route,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<Response<Body>, Refused> {
        match headers::lifecycle(headers, None) {
            Ok(Lifecycle::Sessions) => {}
            Ok(Lifecycle::Stateless) => return Err(Refused::Method("POST")),
            Err(fault) => return Ok(bad_request(None, &fault)),
        }
        if *method == Method::GET && !accepts(headers, "text/event-stream") {
            return Err(Refused::NotAcceptable);
        }
        let Some(id) = headers.get(SESSION) else {
            // A GET is how some clients find out whether there are streams at all.
            let text = "the header Mcp-Session-Id is missing";
            let fault = Fault { code: answers::INVALID_REQUEST, message: text.to_owned() };
            return Ok(bad_request(None, &fault));
        };
        let session = self.session(route, id).ok_or(Refused::UnknownSession)?;
        if *method == Method::GET {
            return Ok(session.get());
        }
        self.state().sessions.remove(&session.id);
        session.stop.cancel();
        Ok(answers::with_status(StatusCode::NO_CONTENT))
    }

    async fn in_session(
        self: &Arc<Self>,
        route: &Route,
        headers: &HeaderMap,
        message: &Message<'_>,
        body: &Bytes,
    ) -> Response<Body> {
        let raw_id = match &message.kind {
            Kind::Request { raw_id, .. } => Some(*raw_id),
            Kind::Notification { .. } | Kind::Response { .. } => None,
        };
        let form = Form::wanted(headers);
        if let Some(id) = headers.get(SESSION) {
            return match self.session(route, id) {
                Some(session) => {
                    session
                        .post(message, body, limits::HEAD_TIME, form, (), |_| StatusCode::OK)
                        .await
                }
                None => session::unknown(raw_id),
            };
        }
        match &message.kind {
            Kind::Request { method, .. } if method == "initialize" => {}
            _ => {
                let text = "the header Mcp-Session-Id is missing: a session begins with initialize";
                let fault = Fault { code: answers::INVALID_REQUEST, message: text.to_owned() };
                return bad_request(raw_id, &fault);
            }
        }
        let session = match self.open_session(route) {
            Ok(session) => session,
            Err(why) => return no_child(raw_id, &why),
        };
        let unclaimed = Unclaimed::new(Arc::clone(&session));
        let failed = AtomicBool::new(false);
        let status = |_| {
            failed.store(true, Ordering::Relaxed);
            StatusCode::OK
        };
        // The head tells whether there is a session, so that the child's word is waited for.
        let within = limits::START_TIME + limits::HEAD_TIME;
        let mut response = session.post(message, body, within, form, unclaimed, status).await;
        if failed.into_inner() {
            session.stop.cancel();
        } else if response.status() == StatusCode::OK
            && let Ok(id) = HeaderValue::from_str(&session.id)
        {
            response.headers_mut().insert(SESSION, id);
        }
        response
    }

    async fn stateless(
        self: &Arc<Self>,
        route: &Route,
        headers: &HeaderMap,
        message: &Message<'_>,
    ) -> Response<Body> {
        let Kind::Request { raw_id, method, params, .. } = &message.kind else {
            // What a notification names is not known by that name to anyone else.
            return answers::accepted();
        };
        let invalid = |text: String| {
            bad_request(Some(raw_id), &Fault { code: answers::INVALID_REQUEST, message: text })
        };
        if method == "initialize" || method.starts_with("notifications/") {
            // A lenient server would act on it, for everybody.
            let text = format!("{method} is no request of this protocol version");
            return answers::refuse(StatusCode::NOT_FOUND, Some(raw_id), METHOD_NOT_FOUND, &text);
        }
        let text = match plain::plain(message.text) {
            Ok(text) => text,
            Err(why) => return invalid(why),
        };
        let version = match headers::check(headers, method, params) {
            Ok(version) => version,
            Err(fault) => return bad_request(Some(raw_id), &fault),
        };
        let Some(message) = Message::read(text.as_bytes()) else {
            return invalid("the request is not one JSON-RPC message".to_owned());
        };
        let shared = match self.shared(route) {
            Ok(shared) => shared,
            Err(NoChild::Older) => return older(raw_id, method, &version),
            Err(why) => return no_child(Some(raw_id), &why),
        };
        if method == "tools/call" {
            let annotations = shared.annotations(&version).await;
            if let Err(fault) = annotations.check(headers, params) {
                return bad_request(Some(raw_id), &fault);
            }
        }
        if method == "server/discover" && !shared.is_proved() {
            return self.discover(&shared, route, raw_id, &version).await;
        }
        let (messages, caller) = match shared.call(route, &message) {
            Ok(called) => called,
            Err(why) => return not_called(raw_id, &why),
        };
        let (within, form) = (shared::head_within(method), Form::wanted(headers));
        answers::respond(messages, caller, within, form, shared::status).await
    }

    /// Answers the question whether a child speaks a version without sessions. Whatever one says that
    /// does not, the client must come to know that it is to begin a session.
    async fn discover(
        &self,
        shared: &Arc<Shared>,
        route: &Route,
        raw_id: &RawValue,
        version: &str,
    ) -> Response<Body> {
        // The question is ours, so that no client's can be one that every server refuses.
        let params = shared::own_params(version);
        let text = format!(
            r#"{{"jsonrpc":"2.0","id":{raw_id},"method":"server/discover","params":{params}}}"#
        );
        let called = Message::read(text.as_bytes())
            .map_or(Err(NotCalled::Over), |message| shared.call(route, &message));
        let (mut messages, caller) = match called {
            Ok(called) => called,
            Err(why) => return not_called(raw_id, &why),
        };
        let within = if shared.has_heard() { limits::START_TIME } else { limits::DISCOVER_TIME };
        let first = tokio::time::timeout(within, messages.recv()).await.ok().flatten();
        match first {
            Some(piece) if piece.note == Note::Result => {
                shared.prove();
                answers::whole(StatusCode::OK, piece)
            }
            Some(piece) if piece.note == Note::Lost => {
                answers::whole(StatusCode::BAD_GATEWAY, piece)
            }
            Some(queue::Piece { note: Note::Error(code), text, .. })
                if shared::status(code) == StatusCode::BAD_REQUEST =>
            {
                shared.prove();
                answers::whole(StatusCode::BAD_REQUEST, queue::Piece::new(text, Note::Error(code)))
            }
            refused => {
                drop(caller);
                // One that says nothing may be busy, and one that has answered without a session
                // needs none.
                if refused.is_some() && version == headers::NEWER && !shared.has_answered() {
                    self.note_older(shared);
                }
                older(raw_id, "server/discover", "")
            }
        }
    }

    fn note_older(&self, shared: &Arc<Shared>) {
        let name = &shared.route.server;
        info!(server.name = name, "{name} speaks protocol versions with sessions only");
        let mut state = self.state();
        if let Some(server) = state.known(&shared.route) {
            server.older_until = Some(Instant::now() + limits::OLDER_REMEMBERED);
            server.shared_backoff.works();
        }
        if shared.is_unused() {
            shared.stop.cancel();
        }
    }

    /// Gives a session that is known at this server.
    fn session(&self, route: &Route, id: &HeaderValue) -> Option<Arc<Session>> {
        let state = self.state();
        let session = state.sessions.get(id.to_str().ok()?)?;
        let Route { app, server, upstream, .. } = &session.route;
        let is_here = *app == route.app && *server == route.server && *upstream == route.upstream;
        (is_here && !session.stop.is_cancelled()).then(|| Arc::clone(session))
    }

    fn open_session(self: &Arc<Self>, route: &Route) -> Result<Arc<Session>, NoChild> {
        let mut state = self.state();
        if let Some(left) = state.server(route).session_backoff.left(Instant::now()) {
            return Err(NoChild::Later(left, "this MCP server's process ends as it starts"));
        }
        state.make_room(route)?;
        let place = self.place()?;
        let (started, feed) = self.start(route)?;
        let stop = self.stop.child_token();
        let id = uuid::Uuid::new_v4().to_string();
        let session = Arc::new(Session::new(id.clone(), route.clone(), feed, stop));
        state.sessions.insert(id, Arc::clone(&session));
        drop(state);
        self.end_with_claim(&session);
        let (inner, started_session) = (Arc::clone(self), Arc::clone(&session));
        self.means
            .tasks
            .spawn(async move { inner.run_session(started_session, started, place).await });
        Ok(session)
    }

    /// Ends a session with the key, or the server, that it was opened on.
    fn end_with_claim(self: &Arc<Self>, session: &Arc<Session>) {
        let open = self.replica.open(session.route.claim.clone(), CancellationToken::new());
        open.accepted();
        let (inner, session) = (Arc::clone(self), Arc::clone(session));
        self.means.tasks.spawn(async move {
            tokio::select! {
                cut = open.cut() => {
                    session.stop.cancel();
                    // Whoever cut it waits for this, and not for the process.
                    drop(open);
                    inner.state().sessions.remove(&session.id);
                    let name = &session.route.server;
                    info!(server.name = name, "Ending a session of {name}: {cut}");
                }
                () = session.stop.cancelled() => {}
            }
        });
    }

    async fn run_session(
        self: Arc<Self>,
        session: Arc<Session>,
        started: Started,
        place: OwnedSemaphorePermit,
    ) {
        let name = &session.route.server;
        info!(server.name = name, "Started a process of {name} for a session");
        let since = Instant::now();
        let ending = started.run(name, &*session, &self.means, &session.stop, place).await;
        let mut state = self.state();
        state.sessions.remove(&session.id);
        if let Some(server) = state.known(&session.route) {
            let backoff = &mut server.session_backoff;
            if session.has_heard() {
                backoff.works();
            } else if ending != Ending::Stopped {
                backoff.failed(Instant::now(), since.elapsed(), limits::BACKOFF_FREE);
            }
        }
        drop(state);
        tell(name, &ending);
        session.end(&ending);
        // Its claim is no longer needed either.
        session.stop.cancel();
    }

    fn shared(self: &Arc<Self>, route: &Route) -> Result<Arc<Shared>, NoChild> {
        let mut state = self.state();
        let server = state.server(route);
        let now = Instant::now();
        if server.older_until.is_some_and(|until| now < until) {
            return Err(NoChild::Older);
        }
        if let Some(shared) = server.shared.as_ref().filter(|shared| shared.is_open()) {
            return Ok(Arc::clone(shared));
        }
        if let Some(left) = server.shared_backoff.left(now) {
            return Err(NoChild::Later(left, "this MCP server's process has failed"));
        }
        let place = self.place()?;
        let (started, feed) = self.start(route)?;
        let shared = Arc::new(Shared::new(route.clone(), feed, self.stop.child_token()));
        server.shared = Some(Arc::clone(&shared));
        drop(state);
        let (inner, started_shared) = (Arc::clone(self), Arc::clone(&shared));
        self.means
            .tasks
            .spawn(async move { inner.run_shared(started_shared, started, place).await });
        Ok(shared)
    }

    async fn run_shared(
        self: Arc<Self>,
        shared: Arc<Shared>,
        started: Started,
        place: OwnedSemaphorePermit,
    ) {
        let name = &shared.route.server;
        info!(server.name = name, "Started the process of {name} that its clients share");
        let ending = started.run(name, &*shared, &self.means, &shared.stop, place).await;
        let mut state = self.state();
        if let Some(server) = state.known(&shared.route) {
            // One that ends by itself, unused and content, has not failed.
            if ending != Ending::Stopped && (ending != Ending::Exited(0) || !shared.is_unused()) {
                server.shared_backoff.failed(Instant::now(), shared.started_at.elapsed(), 0);
            }
            if server.shared.as_ref().is_some_and(|current| Arc::ptr_eq(current, &shared)) {
                server.shared = None;
            }
        }
        drop(state);
        tell(name, &ending);
        shared.end(&ending);
    }

    fn place(&self) -> Result<OwnedSemaphorePermit, NoChild> {
        if self.stop.is_cancelled() {
            return Err(NoChild::Later(Duration::ZERO, "this server is shutting down"));
        }
        Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            NoChild::Later(limits::IDLE_LOOK, "too many processes of MCP servers are running")
        })
    }

    fn start(&self, route: &Route) -> Result<(Started, Feed), NoChild> {
        let Transport::Stdio(upstream) = route.upstream.transport() else {
            return Err(NoChild::Failed(Ending::NotStarted("it is no process".to_owned())));
        };
        process::start(&self.means.launcher, upstream)
            .map_err(|error| failed_start(&route.server, upstream, &error))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code that holds the lock can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What is known of a server that is still the one that something was begun on.
    fn known(&mut self, route: &Route) -> Option<&mut ServerState> {
        let server = self.servers.get_mut(&(route.app, route.server.clone()))?;
        (server.upstream == route.upstream).then_some(server)
    }

    /// What is known of a server; what was known of another that had its name is forgotten.
    fn server(&mut self, route: &Route) -> &mut ServerState {
        let fresh = || ServerState {
            upstream: Arc::clone(&route.upstream),
            shared: None,
            older_until: None,
            shared_backoff: Backoff::default(),
            session_backoff: Backoff::default(),
        };
        let server = self.servers.entry((route.app, route.server.clone())).or_insert_with(fresh);
        if server.upstream != route.upstream {
            if let Some(shared) = &server.shared {
                shared.stop.cancel();
            }
            *server = fresh();
        }
        server
    }

    /// Ends a session where there are too many.
    fn make_room(&mut self, route: &Route) -> Result<(), NoChild> {
        let here = |session: &&Arc<Session>| {
            session.route.app == route.app && session.route.server == route.server
        };
        let all: Vec<_> = self.sessions.values().filter(here).cloned().collect();
        let held: Vec<_> = all
            .iter()
            .map(|session| {
                let (key, children) = holder(&session.route);
                Held { key, children, unused_since: session.unused_since() }
            })
            .collect();
        let (key, children) = holder(route);
        let ending = match room::room(&held, &key, &children) {
            Room::Free => return Ok(()),
            Room::Without(number) => all.get(number),
            Room::Full => None,
        };
        let Some(ending) = ending else {
            return Err(NoChild::Later(limits::IDLE_LOOK, "too many sessions are open"));
        };
        ending.stop.cancel();
        self.sessions.remove(&ending.id);
        Ok(())
    }
}

/// Whose a session on this route is: the key, and what it was narrowed to.
fn holder(route: &Route) -> (Option<ApiKeyId>, &[ChildId]) {
    let key = route.claim.key.as_ref();
    (key.map(Claims::key_id), key.map(Claims::child_ids).unwrap_or_default())
}

fn failed_start(name: &str, upstream: &StdioUpstream, error: &io::Error) -> NoChild {
    let full = [Errno::MFILE, Errno::NFILE, Errno::AGAIN, Errno::NOMEM];
    let is_full = full.into_iter().any(|full| error.raw_os_error() == Some(full.raw_os_error()));
    if is_full {
        warn!(server.name = name, "Cannot start a process of {name} now: {error}");
        return NoChild::Later(limits::IDLE_LOOK, "there is no room for another process");
    }
    let ending = process::not_started(error, upstream);
    tell(name, &ending);
    NoChild::Failed(ending)
}

fn tell(name: &str, ending: &Ending) {
    match ending {
        Ending::Stopped => info!(server.name = name, "A process of {name} has ended"),
        _ => warn!(server.name = name, "A process of {name} {ending}"),
    }
}

fn no_child(id: Option<&RawValue>, why: &NoChild) -> Response<Body> {
    match why {
        NoChild::Later(after, text) => answers::busy(id, *after, text),
        NoChild::Failed(ending) => {
            answers::bad_gateway(id, &format!("this MCP server's process {ending}"))
        }
        NoChild::Older => answers::busy(id, Duration::ZERO, "this MCP server needs a session"),
    }
}

fn not_called(id: &RawValue, why: &NotCalled) -> Response<Body> {
    let text = match why {
        NotCalled::TooMany => "too many requests are under way at this MCP server",
        NotCalled::Over | NotCalled::NotHeard(NotTaken::Gone) => {
            "this MCP server's process has just ended"
        }
        NotCalled::NotHeard(NotTaken::Full) => "this MCP server does not read its requests",
    };
    answers::busy(Some(id), Duration::ZERO, text)
}

/// Tells a client that a server speaks older versions only.
fn older(id: &RawValue, method: &str, requested: &str) -> Response<Body> {
    let text = "this MCP server speaks protocol versions that begin with initialize only";
    if method == "server/discover" {
        return answers::refuse(StatusCode::NOT_FOUND, Some(id), METHOD_NOT_FOUND, text);
    }
    let data = json!({ "supported": headers::OLDER, "requested": requested });
    let text = answers::error_text(Some(id), UNSUPPORTED_VERSION, text, &data);
    let piece = queue::Piece::new(text, Note::Error(UNSUPPORTED_VERSION));
    answers::whole(StatusCode::BAD_REQUEST, piece)
}

fn bad_request(id: Option<&RawValue>, fault: &Fault) -> Response<Body> {
    answers::refuse(StatusCode::BAD_REQUEST, id, fault.code, &fault.message)
}

fn is_json(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|value| {
        let essence = value.split(';').next().unwrap_or_default();
        essence.trim().eq_ignore_ascii_case("application/json")
    })
}

/// Whether a client takes a media type; one that says nothing takes everything.
fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    let mut values = headers.get_all(ACCEPT).iter().peekable();
    let (family, _) = media_type.split_once('/').unwrap_or((media_type, ""));
    let any_of_family = format!("{family}/*");
    values.peek().is_none()
        || values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).any(
            |range| {
                let essence = range.split(';').next().unwrap_or_default().trim();
                [media_type, "*/*", any_of_family.as_str()]
                    .iter()
                    .any(|one| essence.eq_ignore_ascii_case(one))
            },
        )
}
