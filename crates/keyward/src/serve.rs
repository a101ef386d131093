//! `keyward serve`: everything wired together.

mod apps;
mod metrics;
mod reload;
mod signals;
mod unfinished;
mod writing;

use std::mem::discriminant;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gateway::{Gateway, Hangup, Launcher, Upstreams};
use keys::{Clock, MasterKeys, OperatorToken, Role, SystemClock};
use manage::{Deployments, Manage, Operator, Operators, Settings};
use secrecy::ExposeSecret as _;
use store::{PostgresSettings, Replica, Store};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};
use url::Url;

use self::apps::Apps;
use self::metrics::Metrics;
use self::reload::Reload;
pub(crate) use self::signals::Signals;
use self::unfinished::Unfinished;
use self::writing::Folder;
use crate::arguments::ServeArguments;
use crate::config::{Config, Database, Environment, Management, MasterKeySource, OperatorEntry};
use crate::data_dir::{self, DataDir};
use crate::error::{Error, Result};
use crate::listener::{self, Answer, Shutdown};
use crate::place::Place;
use crate::ready::Ready;
use crate::running::{self, Announced, Endpoint};
use crate::{descriptors, limits, log, output};

/// Serves until a signal ends it.
pub(crate) async fn run(
    arguments: &ServeArguments,
    config: Config,
    environment: &Environment,
    program: &str,
) -> Result<()> {
    log::start(&config.log, environment)?;
    let mut signals = Signals::new()?;
    // Whoever is told that it is ready may signal it.
    let hangup = signal(SignalKind::hangup()).map_err(Error::io("listen for signals"))?;
    let place = arguments.place();
    let unfinished = Unfinished::found(place.as_ref(), &config)?;
    let mut apps = Apps::new(place, &config, environment).await?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (data_dir, masters, made_master_key) =
        open_data_dir(apps.place(), config.data_dir, config.master_keys)?;
    let masters = Arc::new(masters);
    // Before the database: it tells a folder that has been served from by the file that lies there.
    let own_token = data_dir.ensure_operator_token()?;
    let is_shared = config.database.is_some();
    let store =
        open_store(&data_dir, config.database, Arc::clone(&masters), Arc::clone(&clock)).await?;
    let operators = operators(&data_dir, own_token, &store, &config.operators).await?;

    let mcp_connections = descriptors::data_plane_connections();
    let (data_plane, listen) = listener::bind(config.data_plane.listen, "MCP servers").await?;
    let (management, manage_listen) =
        listener::bind(config.management.listen, "management").await?;
    let public_url = match &config.data_plane.public_url {
        Some(url) => url.clone(),
        None => running::url_at(listen)?,
    };
    let (replica, app_id) = apps.start(&store, &clock, &public_url).await?;
    if let (Some(unfinished), Some(app_id)) = (unfinished, app_id) {
        unfinished.end(&store, app_id).await?;
    }

    let upstreams =
        Arc::new(Upstreams::new(&masters, launcher(environment)?, Arc::clone(&replica)));
    let running = Running::new(
        Arc::clone(&replica),
        Arc::clone(&store),
        Arc::clone(&upstreams),
        Times { drain: config.shutdown_drain, grace: config.shutdown_grace },
    );
    let gateway =
        Gateway::new(Arc::clone(&replica), Arc::clone(&clock), upstreams, running.work.clone());
    let gateway = Arc::new(gateway);
    let metrics = metrics::of(&replica, &gateway);
    running.listen(data_plane, move |hangup| gateway.service(hangup), mcp_connections);
    let manage_url = running::url_at(manage_listen)?;
    let kept = apps.keep(app_id);
    let deployments = apps.deployments(is_shared, |dir| {
        let (store, replica) = (Arc::clone(&store), Arc::clone(&replica));
        let (kept, data_dir) = (kept.clone()?, data_dir.path().to_owned());
        Some(Arc::new(Folder { kept, dir, data_dir, store, replica }))
    });
    let (settings, ticking) = (config.management, Arc::clone(&clock));
    running.serve_management(management, settings, operators, deployments, ticking, metrics);
    running.start_chores(clock);

    let ready = Ready {
        listen: listen.to_string(),
        manage_listen: manage_listen.to_string(),
        public_url,
        app: apps.name(),
        apps: served_apps(&running.replica),
        data_dir: data_dir.path().to_owned(),
    };
    let watch = apps.watch();
    running.keep_current(kept.map(|kept| Reload::new(kept, watch)), hangup);
    let endpoint = Endpoint { manage_url, app: ready.named() };
    let announced = running::announce(&data_dir, &endpoint, environment)?;
    tokio::select! {
        () = until_ready(&replica) => {
            apps.tell_ready(&ready, arguments, made_master_key, program)?;
            signals.next().await;
        }
        () = signals.next() => {}
    }
    running.end(signals, announced).await;
    Ok(())
}

/// Waits for the first lease, and says why there is none.
async fn until_ready(replica: &Replica) {
    let mut said = None;
    while replica.admit().await.is_err() || replica.readiness().is_err() {
        // How far a clock is off changes with each look, and is told once.
        if let Err(why) = replica.readiness()
            && said.replace(discriminant(&why)) != Some(discriminant(&why))
        {
            warn!("Not ready yet: {why}");
        }
        tokio::time::sleep(limits::READY_AGAIN).await;
    }
}

/// The names and URLs of the apps that are served.
fn served_apps(replica: &Replica) -> Vec<(String, Url)> {
    let snapshot = replica.last_snapshot();
    snapshot.apps().iter().map(|app| (app.name.clone(), app.public_url.clone())).collect()
}

fn open_data_dir(
    place: Option<&Place>,
    named: Option<PathBuf>,
    master_keys: MasterKeySource,
) -> Result<(DataDir, MasterKeys, bool)> {
    let path = named.or_else(|| place.map(Place::data_dir)).ok_or_else(|| {
        Error::Usage(
            "name the folder of an app to serve it: keyward serve DIR. To serve what is deployed, name a \
             data folder: keyward serve --data-dir DIR"
                .to_owned(),
        )
    })?;
    let data_dir = DataDir::prepare(&path)?;
    let (masters, made) = data_dir.master_keys(master_keys)?;
    Ok((data_dir, masters, made))
}

async fn operators(
    data_dir: &DataDir,
    (own, made_anew): (OperatorToken, bool),
    store: &Store,
    entries: &[OperatorEntry],
) -> Result<Operators> {
    let token = shared_token(data_dir, own, made_anew, store).await?;
    let own =
        Operator { name: data_dir::OPERATOR.to_owned(), role: Role::Owner, token, not_after: None };
    let mut operators = vec![own];
    for OperatorEntry { name, role, token_file } in entries {
        let token = data_dir::read_operator_token(token_file)?;
        // A call with it would count as one of the two, with that one's role.
        if let Some(other) = operators.iter().find(|other| other.token.matches(token.expose())) {
            return Err(Error::Unfit(format!(
                "the operators {} and {name} have the same token: put another into {}, since a \
                 token says who calls",
                other.name,
                token_file.display()
            )));
        }
        operators.push(Operator { name: name.clone(), role: *role, token, not_after: None });
    }
    Ok(Operators::new(operators))
}

/// Gives the token of the data folder's own operator, which is the same on all replicas of a database.
async fn shared_token(
    data_dir: &DataDir,
    token: OperatorToken,
    made_anew: bool,
    store: &Store,
) -> Result<OperatorToken> {
    let shared = store.shared_operator_token(data_dir::OPERATOR, &token).await;
    let path = data_dir.path().display();
    match shared.map_err(unreadable_store)? {
        Some(shared) if !shared.matches(token.expose()) => {
            data_dir.replace_operator_token(&shared)?;
            info!("{path} has the database's operator token from now on, in place of its own");
            Ok(shared)
        }
        Some(_) => Ok(token),
        None if made_anew => {
            warn!(
                "{path} had a database and no operator token, so a new one was made: what calls with \
                 the former one is refused with 401 until it has what keyward token prints"
            );
            Ok(token)
        }
        None => Ok(token),
    }
}

async fn open_store(
    data_dir: &DataDir,
    database: Option<Database>,
    masters: Arc<MasterKeys>,
    clock: Arc<dyn Clock>,
) -> Result<Arc<Store>> {
    let (opened, place) = match database {
        None => {
            let opened = Store::open(data_dir.path(), masters, clock).await;
            (opened, data_dir.path().display().to_string())
        }
        Some(database) => {
            let settings = database_settings(database)?;
            let opened = Store::connect(&settings, data_dir.path(), masters, clock).await;
            (opened, settings.address.to_string())
        }
    };
    opened.map(Arc::new).map_err(|error| not_opened(error, &place))
}

/// Says why the store at `place`, a folder or a database's address, cannot be opened.
pub(crate) fn not_opened(error: store::Error, place: &str) -> Error {
    match error {
        store::Error::InUse(dir) => Error::InUse(format!(
            "another process serves with the data folder {}: end it, or give this one another \
             folder with --data-dir",
            dir.display()
        )),
        error @ store::Error::Newer { .. } => Error::Unfit(format!(
            "{error}: run a version of Keyward that does, which is the one that migrated it or one \
             shortly before it"
        )),
        error => Error::store(format!("open the store in {place}"))(error),
    }
}

/// Gives what a database is reached by.
pub(crate) fn database_settings(database: Database) -> Result<PostgresSettings> {
    let Database { mut address, password_file, max_connections, terms, replica_name } = database;
    if let Some(path) = password_file {
        address = address.with_password(data_dir::read_password(&path)?.expose_secret());
    }
    if !address.is_trusted() {
        warn!(
            "The database {address} is on another machine and need not prove who it is: say \
             sslmode=verify-full in its URL"
        );
    }
    let usual = PostgresSettings::new(address);
    let max_connections = max_connections.unwrap_or(usual.max_connections);
    let replica_name = replica_name.unwrap_or_else(|| usual.replica_name.clone());
    Ok(PostgresSettings { max_connections, terms, replica_name, ..usual })
}

fn unreadable_store(error: store::Error) -> Error {
    match error {
        store::Error::Sealed { app, slot, source } => Error::Unfit(format!(
            "the {slot} access key of the app {app} cannot be opened: {source}. Name the master key \
             that sealed it with --master-key-file, besides those that are named now"
        )),
        store::Error::Token(source) => Error::Unfit(format!(
            "the operator token in the database cannot be opened: {source}. Name the master key that \
             sealed it with --master-key-file, besides those that are named now"
        )),
        error @ (store::Error::Undeployable { .. } | store::Error::TwoSources(_)) => {
            Error::Unfit(error.to_string())
        }
        error => Error::store("read the store")(error),
    }
}

/// Child processes are supervised by this program itself, so that none outlives it.
fn launcher(environment: &Environment) -> Result<Launcher> {
    // This is the program that runs, also where its file has been replaced meanwhile.
    let own = PathBuf::from("/proc/self/exe");
    let program = if own.exists() {
        own
    } else {
        std::env::current_exe().map_err(Error::io("find this program's own file"))?
    };
    let arguments = vec!["supervise".into(), "--".into()];
    Ok(Launcher { program, arguments, environment: environment.of_children() })
}

/// How long the steps of an end take.
struct Times {
    /// To be noticed by who sends requests.
    drain: Duration,
    /// For requests to end.
    grace: Duration,
}

/// Everything that runs until the end.
struct Running {
    replica: Arc<Replica>,
    store: Arc<Store>,
    upstreams: Arc<Upstreams>,
    shutdown: Shutdown,
    times: Times,
    /// Listeners and their connections.
    connections: TaskTracker,
    /// What requests leave running: workflows, and changes whose caller has gone.
    work: TaskTracker,
    /// What goes on until it is told to stop.
    chores: TaskTracker,
    stop_chores: CancellationToken,
    /// After everything that was admitted.
    stop_lease: CancellationToken,
}

impl Running {
    fn new(
        replica: Arc<Replica>,
        store: Arc<Store>,
        upstreams: Arc<Upstreams>,
        times: Times,
    ) -> Self {
        Self {
            replica,
            store,
            upstreams,
            shutdown: Shutdown::default(),
            times,
            connections: TaskTracker::new(),
            work: TaskTracker::new(),
            chores: TaskTracker::new(),
            stop_chores: CancellationToken::new(),
            stop_lease: CancellationToken::new(),
        }
    }

    fn serve_management(
        &self,
        listener: TcpListener,
        management: Management,
        operators: Operators,
        deployments: Deployments,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
    ) {
        let manage = Manage {
            store: Arc::clone(&self.store),
            replica: Arc::clone(&self.replica),
            operators,
            clock,
            settings: Settings {
                subscription: management.subscription,
                resource_group: management.resource_group,
                max_lifetime: management.max_key_lifetime,
                allowed_hosts: management.allowed_hosts,
                public_url: management.public_url,
            },
            deployments,
            metrics,
            tasks: self.work.clone(),
        };
        let router = manage::router(manage);
        self.listen(listener, move |_| router.clone(), limits::MANAGE_CONNECTIONS);
    }

    fn listen<A: Answer>(
        &self,
        listener: TcpListener,
        service: impl Fn(Hangup) -> A + Send + Sync + 'static,
        most: usize,
    ) {
        let connections = self.connections.clone();
        let serving = listener::serve(listener, service, most, self.shutdown.clone(), connections);
        self.connections.spawn(serving);
    }

    fn start_chores(&self, clock: Arc<dyn Clock>) {
        let stop = self.stop_chores.clone();
        let (upstreams, replica) = (Arc::clone(&self.upstreams), Arc::clone(&self.replica));
        let stopped = stop.clone().cancelled_owned();
        self.chores.spawn(async move { upstreams.discover(&replica, &*clock, stopped).await });
        let holding = Arc::clone(&self.replica).hold(self.stop_lease.clone().cancelled_owned());
        self.chores.spawn(holding);
        let tending = Arc::clone(&self.replica).tend(stop.clone().cancelled_owned());
        self.chores.spawn(tending);
        let (upstreams, stopped) = (Arc::clone(&self.upstreams), stop.clone().cancelled_owned());
        self.chores.spawn(async move { upstreams.tend(stopped).await });
        let replica = Arc::clone(&self.replica);
        self.chores.spawn(async move {
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(limits::FLUSH_EVERY) => flush(&replica).await,
                }
            }
        });
    }

    fn keep_current(&self, reload: Option<Reload>, hangup: Signal) {
        let (replica, stop) = (Arc::clone(&self.replica), self.stop_chores.clone());
        match reload {
            Some(reload) => self.chores.spawn(reload.run(replica, hangup, stop)),
            None => self.chores.spawn(read_again(replica, hangup, stop)),
        };
    }

    /// Lets who sends requests look elsewhere, while commands still find it, then lets requests end, then ends
    /// them; a second signal ends everything at once.
    async fn end(self, mut signals: Signals, announced: Announced) {
        self.replica.drain();
        self.shutdown.drain.cancel();
        if !self.times.drain.is_zero() {
            let seconds = self.times.drain.as_secs_f32();
            info!("Ending: not ready from now on, and serving for another {seconds} s");
            tokio::select! {
                () = tokio::time::sleep(self.times.drain) => {}
                () = signals.next() => {
                    warn!("Ending at once");
                    return;
                }
            }
        }
        drop(announced);
        info!("Ending: requests have {} s to end", self.times.grace.as_secs_f32());
        self.shutdown.soft.cancel();
        self.stop_chores.cancel();
        for tracker in [&self.connections, &self.work, &self.chores] {
            tracker.close();
        }
        tokio::select! {
            () = self.requests_end() => {}
            () = signals.next() => {
                warn!("Ending at once");
                return;
            }
        }
        self.upstreams.end().await;
        flush(&self.replica).await;
        self.replica.shut_down().await;
        self.stop_lease.cancel();
        self.store.close().await;
        info!("Ended");
    }

    async fn requests_end(&self) {
        let quiet = async {
            self.connections.wait().await;
            self.work.wait().await;
        };
        if tokio::time::timeout(self.times.grace, quiet).await.is_ok() {
            return;
        }
        let open = self.replica.open_count();
        info!("Ending what is still open: {}", output::counted(open, "response"));
        self.replica.shut_down().await;
        // What was cut has its last bytes to write; then nothing is waited for.
        let last = tokio::time::timeout(limits::LAST_BYTES, self.connections.wait());
        if last.await.is_err() {
            self.shutdown.hard.cancel();
            self.connections.wait().await;
        }
    }
}

/// Reads the store again whenever a hangup is signalled, as a folder is.
async fn read_again(replica: Arc<Replica>, mut hangup: Signal, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = hangup.recv() => replica.refresh().await,
        }
    }
}

async fn flush(replica: &Replica) {
    if let Err(error) = replica.flush_uses().await {
        warn!(error = &error as &dyn std::error::Error, "Cannot note the use of API keys: {error}");
    }
}
