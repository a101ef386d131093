//! All children of this process: which there are, how they start, and what ends them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use app::{StdioUpstream, Transport, Upstream};
use http::HeaderValue;
use keys::{ApiKeyId, AppId, ChildId, Claims};
use rustix::io::Errno;
use store::{OpenResponse, Replica, Snapshot};
use tokio::sync::Semaphore;
use tokio::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::Launcher;
use super::memory::Memory;
use super::missing::{self, Missing};
use super::process::{self, Backoff, Ending, Feed, Listener as _, Means, Started};
use super::room::{self, Held, Room};
use super::session::Session;
use super::shared::Shared;
use crate::limits;
use crate::upstream::Route;

/// The children, and what starts and ends them.
#[derive(Debug)]
pub(super) struct Children {
    means: Means,
    replica: Arc<Replica>,
    /// The room for children.
    places: Arc<Semaphore>,
    /// Cancelled to end all of them.
    stop: CancellationToken,
    state: Mutex<State>,
    /// Whose program was not there when last looked for.
    missing: Arc<Mutex<BTreeSet<Missing>>>,
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
pub(super) enum NoChild {
    /// It speaks older versions only.
    Older,
    /// It comes again later.
    Later(Duration, &'static str),
    /// It cannot be started.
    Failed(Ending),
}
impl Children {
    pub(super) fn new(launcher: Launcher, replica: Arc<Replica>) -> Self {
        let means = Means {
            launcher: Arc::new(launcher),
            tasks: TaskTracker::new(),
            memory: Memory::new(limits::LINES_KIB),
        };
        Self {
            means,
            replica,
            places: Arc::new(Semaphore::new(limits::CHILD_COUNT)),
            stop: CancellationToken::new(),
            state: Mutex::default(),
            missing: Arc::default(),
        }
    }

    /// Ends the shared children of servers that the snapshot has no longer, or has otherwise. Sessions
    /// end with their claims.
    pub(super) fn keep_only(&self, snapshot: &Snapshot) {
        self.state().servers.retain(|(app, name), server| {
            let stays = is_served(snapshot, *app, name, &server.upstream);
            if let Some(shared) = server.shared.as_ref().filter(|_| !stays) {
                shared.stop.cancel();
            }
            stays
        });
    }

    /// Ends every child and returns when none is left.
    pub(super) async fn end(&self) {
        let tasks = &self.means.tasks;
        self.stop.cancel();
        tasks.close();
        // Each child's own end is bounded; this bounds what is not foreseen.
        let all = limits::END_TIME + limits::LAST_LINES_TIME * 3;
        if tokio::time::timeout(all, tasks.wait()).await.is_err() {
            warn!(
                "Some MCP servers' processes have not ended: their supervisors go on ending them"
            );
        }
    }

    /// Notes that a server speaks older versions only.
    pub(super) fn note_older(&self, shared: &Arc<Shared>) {
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

    /// Tells of servers whose program is not there, once for each: they are served all the same.
    pub(super) fn tell_missing(&self, snapshot: &Snapshot) {
        let (launcher, known) = (Arc::clone(&self.means.launcher), Arc::clone(&self.missing));
        let apps: Vec<_> = snapshot.apps().iter().map(|app| Arc::clone(&app.app)).collect();
        // A folder that programs are looked for in may be on a network that has gone.
        self.means.tasks.spawn_blocking(move || {
            let found = apps.iter().flat_map(|app| missing::missing(&launcher, app)).collect();
            let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
            let before = std::mem::replace(&mut *known, found);
            for missing in known.difference(&before) {
                warn!(server.name = missing.server, "{missing}");
            }
        });
    }

    /// Gives a session that is known at this server.
    pub(super) fn session(&self, route: &Route, id: &HeaderValue) -> Option<Arc<Session>> {
        let state = self.state();
        let session = state.sessions.get(id.to_str().ok()?)?;
        let Route { app, server, upstream, .. } = &session.route;
        let is_here = *app == route.app && *server == route.server && *upstream == route.upstream;
        (is_here && !session.stop.is_cancelled()).then(|| Arc::clone(session))
    }

    /// Ends a session, which nobody finds any more.
    pub(super) fn end_session(&self, session: &Session) {
        self.state().sessions.remove(&session.id);
        session.stop.cancel();
    }

    /// Starts a child for a session of its own.
    pub(super) fn open_session(self: &Arc<Self>, route: &Route) -> Result<Arc<Session>, NoChild> {
        // Before it is seen whether the server is served: what comes in force later cuts it.
        let open = self.replica.open(route.claim.clone(), CancellationToken::new());
        let mut state = self.state();
        if let Some(left) = state.server(route).session_backoff.left(Instant::now()) {
            return Err(NoChild::Later(left, "this MCP server's process ends as it starts"));
        }
        state.make_room(route)?;
        let (started, feed) = self.start(route)?;
        let stop = self.stop.child_token();
        let id = uuid::Uuid::new_v4().to_string();
        let session = Arc::new(Session::new(id.clone(), route.clone(), feed, stop));
        state.sessions.insert(id, Arc::clone(&session));
        drop(state);
        self.end_with_claim(open, &session);
        let (children, started_session) = (Arc::clone(self), Arc::clone(&session));
        self.means.tasks.spawn(async move { children.run_session(started_session, started).await });
        Ok(session)
    }

    /// Ends a session with the key, or the server, that it was opened on.
    fn end_with_claim(self: &Arc<Self>, open: OpenResponse, session: &Arc<Session>) {
        open.outlives_its_request();
        let (children, session) = (Arc::clone(self), Arc::clone(session));
        self.means.tasks.spawn(async move {
            tokio::select! {
                cut = open.cut() => {
                    session.stop.cancel();
                    // Whoever cut it waits for this, and not for the process.
                    drop(open);
                    children.state().sessions.remove(&session.id);
                    let name = &session.route.server;
                    info!(server.name = name, "Ending a session of {name}: {cut}");
                }
                () = session.stop.cancelled() => {}
            }
        });
    }

    async fn run_session(self: Arc<Self>, session: Arc<Session>, started: Started) {
        let name = &session.route.server;
        info!(server.name = name, "Started a process of {name} for a session");
        let since = Instant::now();
        let ending = started.run(name, &*session, &self.means, &session.stop).await;
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

    /// Gives the child that all share, which is started where there is none.
    pub(super) fn shared(self: &Arc<Self>, route: &Route) -> Result<Arc<Shared>, NoChild> {
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
        let (started, feed) = self.start(route)?;
        let shared = Arc::new(Shared::new(route.clone(), feed, self.stop.child_token()));
        server.shared = Some(Arc::clone(&shared));
        drop(state);
        let (children, started_shared) = (Arc::clone(self), Arc::clone(&shared));
        self.means.tasks.spawn(async move { children.run_shared(started_shared, started).await });
        Ok(shared)
    }

    async fn run_shared(self: Arc<Self>, shared: Arc<Shared>, started: Started) {
        let name = &shared.route.server;
        info!(server.name = name, "Started the process of {name} that its clients share");
        let ending = started.run(name, &*shared, &self.means, &shared.stop).await;
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

    /// Starts a child, with the state locked: whatever comes in force meanwhile is seen here, or finds
    /// the child there when it comes to end it.
    fn start(&self, route: &Route) -> Result<(Started, Feed), NoChild> {
        let Route { app, server, upstream, .. } = route;
        if !is_served(&self.replica.last_snapshot(), *app, server, upstream) {
            return Err(NoChild::Later(Duration::ZERO, "this MCP server has just changed"));
        }
        if self.stop.is_cancelled() {
            return Err(NoChild::Later(Duration::ZERO, "this server is shutting down"));
        }
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            NoChild::Later(limits::IDLE_LOOK, "too many processes of MCP servers are running")
        })?;
        let Transport::Stdio(upstream) = route.upstream.transport() else {
            return Err(NoChild::Failed(Ending::NotStarted("it is no process".to_owned())));
        };
        process::start(&self.means.launcher, upstream, place)
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

/// Whether this server is one of the snapshot's, and leads there.
fn is_served(snapshot: &Snapshot, app: AppId, name: &str, upstream: &Arc<Upstream>) -> bool {
    let app = snapshot.apps().iter().find(|served| served.id == app);
    app.filter(|app| app.app.mcp_enabled())
        .and_then(|app| app.server(name))
        .is_some_and(|server| server.is_enabled() && server.upstream() == Some(upstream))
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

#[cfg(test)]
mod tests {
    use app::{App, Files};
    use keys::{Clock, ManualClock, MasterKey, MasterKeys, SysRng, Timestamp};
    use store::{Claim, ServedApp, Store};

    use super::*;

    fn app(command: &str) -> Arc<App> {
        let mut files = Files::new();
        let host = r#"{"version": "2.0", "extensions": {"workflow": {"McpServerEndpoints":
            {"enable": true}}}}"#;
        files.insert("host.json", host).unwrap();
        let servers = format!(r#"{{"servers": {{"desk": {{"command": "{command}"}}}}}}"#);
        files.insert("mcp.json", servers.as_bytes()).unwrap();
        Arc::new(App::from_files(&files).unwrap())
    }

    #[tokio::test]
    async fn a_request_that_comes_late_starts_no_process_of_a_server_that_was_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let masters = Arc::new(MasterKeys::new(MasterKey::generate(&mut SysRng).unwrap(), []));
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(Timestamp::from_unix_ms(0)));
        let store = Store::open(dir.path(), masters, Arc::clone(&clock)).await.unwrap();
        let id = store.ensure_app("tools").await.unwrap();
        let former = app("one");
        let served = ServedApp {
            id,
            name: "tools".to_owned(),
            public_url: "http://localhost".parse().unwrap(),
            app: Arc::clone(&former),
        };
        let replica = Replica::start(Arc::new(store), clock, vec![served]).await.unwrap();
        let launcher =
            Launcher { program: "/bin/cat".into(), arguments: Vec::new(), environment: Vec::new() };
        let children = Arc::new(Children::new(launcher, Arc::clone(&replica)));
        let upstream = former.server("desk").unwrap().upstream().unwrap();
        let claim = Arc::new(Claim {
            app: id,
            server: "desk".to_owned(),
            upstream: Some(Arc::clone(upstream)),
            key: None,
            is_operators: true,
        });
        let upstream = Arc::clone(upstream);
        let route = Route { app: id, server: "desk".to_owned(), upstream, claim };
        assert!(children.shared(&route).is_ok() && children.open_session(&route).is_ok());
        replica.serve_app(id, app("other")).await;
        children.keep_only(&replica.last_snapshot());
        for late in [children.shared(&route).err(), children.open_session(&route).err()] {
            assert!(matches!(late, Some(NoChild::Later(..))), "{late:?}");
        }
        assert_eq!(replica.open_count(), 0);
        children.end().await;
    }
}
