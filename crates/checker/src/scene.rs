//! Everything that takes part, started.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pg_harness::Durability;
use serde_json::json;
use tokio::process::{Child, Command};
use tokio::sync::Mutex;
use tokio_util::task::TaskTracker;

use crate::arguments::Arguments;
use crate::cluster::Server;
use crate::failure::{Doing as _, Failure, Result};
use crate::faults::Victims;
use crate::history::Via;
use crate::load::Way;
use crate::nginx::{self, Front};
use crate::record::Recorder;
use crate::replicas::{Program, Replica};
use crate::upstream;

/// As short as they may be in practice: there are the more of them.
pub(crate) const LEASE: Duration = Duration::from_secs(2);

/// The ports of nginx: for clients, and for operators of the first app; the next app's is the next one.
const FRONT_PORT: u16 = 8080;
const FRONT_MANAGE_PORT: u16 = 9000;

/// All that runs.
pub(crate) struct Scene {
    pub(crate) victims: Arc<Victims>,
    pub(crate) ways: Vec<Way>,
    pub(crate) token: String,
    _nginx: Child,
}

/// Where everything is.
struct Place<'p> {
    dir: &'p Path,
    keyward: &'p Path,
    ips: Ips,
    app_count: usize,
}

impl Scene {
    /// Starts everything, with what it writes in `dir`.
    pub(crate) async fn start(
        arguments: &Arguments,
        dir: &Path,
        recorder: &Recorder,
        tasks: &TaskTracker,
    ) -> Result<Self> {
        let keyward = keyward(arguments)?;
        let app_count = usize::from(arguments.apps);
        let place = Place { dir, keyward: &keyward, ips: Ips::of_this_process(), app_count };
        let upstream = upstream::start(recorder.clone(), tasks).await?;
        place.make_apps(upstream).await?;
        let durability = if arguments.fsync { Durability::Fsync } else { Durability::None };
        let server = Server::start(usize::from(arguments.replicas), durability).await?;
        let mut replicas = Vec::new();
        for (index, proxy) in server.proxies.iter().enumerate() {
            let program = place.program(index, proxy.url(), arguments.broken.as_deref());
            let ip = place.ips.replica(index);
            let replica = Replica::new(index, ip, dir, program, recorder.clone());
            tasks.spawn(Arc::clone(&replica).run());
            // The first one makes the tables.
            replica.ready().await?;
            replicas.push(replica);
        }
        let nginx = nginx::start(&dir.join("nginx"), &place.fronts(&replicas)).await?;
        let token = match replicas.first() {
            Some(first) => place.token(&first.data_dir()).await?,
            None => return Err(Failure::new("there must be replicas")),
        };
        let ways = place.ways(&replicas);
        let restarting = Mutex::default();
        let victims = Victims { server, replicas, recorder: recorder.clone(), restarting };
        Ok(Self { victims: Arc::new(victims), ways, token, _nginx: nginx })
    }
}

impl Place<'_> {
    async fn make_apps(&self, upstream: SocketAddr) -> Result<()> {
        let master_key = self.dir.join("master-key").display().to_string();
        self.run(&["master-key", &master_key]).await?;
        for app in 0..self.app_count {
            let folder = self.folder(app);
            self.run(&["init", &folder.display().to_string()]).await?;
            let servers = json!({ "servers": {
                "events": { "type": "http", "url": format!("http://{upstream}/mcp") },
            }});
            fs::write(folder.join("mcp.json"), servers.to_string()).doing("mcp.json")?;
        }
        Ok(())
    }

    fn folder(&self, app: usize) -> PathBuf {
        self.dir.join(format!("app-{app}"))
    }

    /// Each replica serves one app's folder; the access keys of all are in the same database.
    const fn app_of(&self, replica: usize) -> usize {
        replica % self.app_count
    }

    fn program(&self, replica: usize, store_url: &str, broken: Option<&str>) -> Program {
        let app = self.app_of(replica);
        let arguments = [
            "serve".to_owned(),
            self.folder(app).display().to_string(),
            format!("--app-name=app-{app}"),
            format!("--public-url={}", self.public_url(app)),
            format!("--master-key-file={}", self.dir.join("master-key").display()),
            format!("--store-url={store_url}"),
            "--shutdown-grace=1s".to_owned(),
        ];
        let lease = ("KEYWARD_STORE_LEASE_S".to_owned(), LEASE.as_secs().to_string());
        let broken = broken.map(|broken| ("KEYWARD_BROKEN".to_owned(), broken.to_owned()));
        let environment = [lease].into_iter().chain(broken).collect();
        Program { path: self.keyward.to_owned(), arguments: arguments.to_vec(), environment }
    }

    fn public_url(&self, app: usize) -> String {
        format!("http://{}{}", SocketAddr::new(self.ips.front(), FRONT_PORT), path_of(app))
    }

    fn manage_front(&self, app: usize) -> SocketAddr {
        let port = FRONT_MANAGE_PORT + u16::try_from(app).unwrap_or(0);
        SocketAddr::new(self.ips.front(), port)
    }

    fn serving<'r>(&self, app: usize, all: &'r [Arc<Replica>]) -> Vec<&'r Arc<Replica>> {
        all.iter().filter(|replica| self.app_of(replica.index) == app).collect()
    }

    fn fronts(&self, replicas: &[Arc<Replica>]) -> Vec<Front> {
        let listen = SocketAddr::new(self.ips.front(), FRONT_PORT);
        let front = |app| {
            let to = self.serving(app, replicas).into_iter().map(|replica| replica.data());
            Front { listen, path: format!("{}/", path_of(app)), to: to.collect() }
        };
        let manage = |app| {
            let to = self.serving(app, replicas).into_iter().map(|replica| replica.manage());
            Front { listen: self.manage_front(app), path: "/".to_owned(), to: to.collect() }
        };
        (0..self.app_count).map(front).chain((0..self.app_count).map(manage)).collect()
    }

    fn ways(&self, replicas: &[Arc<Replica>]) -> Vec<Way> {
        let of = |app| {
            let query = format!("app=app-{app}");
            let front = Way {
                app,
                via: Via::Proxy,
                data: self.public_url(app),
                manage: format!("http://{}", self.manage_front(app)),
                query: query.clone(),
            };
            let direct = self.serving(app, replicas).into_iter().map(move |replica| Way {
                app,
                via: Via::Replica(replica.index),
                data: format!("http://{}{}", replica.data(), path_of(app)),
                manage: format!("http://{}", replica.manage()),
                query: query.clone(),
            });
            direct.chain([front])
        };
        (0..self.app_count).flat_map(of).collect()
    }

    async fn token(&self, data_dir: &Path) -> Result<String> {
        let out = self.run(&["token", "--data-dir", &data_dir.display().to_string()]).await?;
        Ok(out.trim().to_owned())
    }

    /// Runs a command that ends by itself.
    async fn run(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(self.keyward);
        command.args(arguments).env_clear().env("HOME", self.dir);
        let output = command.output().await.doing(self.keyward.display())?;
        if !output.status.success() {
            let err = String::from_utf8_lossy(&output.stderr);
            return Err(Failure::new(format!("keyward {arguments:?}: {err}")));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

fn path_of(app: usize) -> String {
    format!("/app-{app}")
}

/// Loopback addresses of this process alone: ports on them are nobody else's, also while a replica that
/// had them is down.
struct Ips([u8; 2]);

impl Ips {
    fn of_this_process() -> Self {
        let [.., high, low] = std::process::id().to_be_bytes();
        // Neither 127.0 nor 127.255, which others use.
        Self([high % 250 + 1, low])
    }

    fn ip(&self, last: usize) -> IpAddr {
        let [high, low] = self.0;
        Ipv4Addr::new(127, high, low, u8::try_from(last).unwrap_or(u8::MAX)).into()
    }

    fn front(&self) -> IpAddr {
        self.ip(1)
    }

    fn replica(&self, index: usize) -> IpAddr {
        self.ip(10 + index)
    }
}

fn keyward(arguments: &Arguments) -> Result<PathBuf> {
    if let Some(given) = &arguments.keyward {
        return std::path::absolute(given).doing(given.display());
    }
    let own = std::env::current_exe().doing("this program's own place")?;
    Ok(own.with_file_name("keyward"))
}
