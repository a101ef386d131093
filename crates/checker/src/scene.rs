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

/// The ports of nginx, for clients and for operators.
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
            let program = place.program(proxy.url(), arguments.broken.as_deref());
            let ip = place.ips.replica(index);
            let replica = Replica::new(index, ip, dir, program, recorder.clone());
            tasks.spawn(Arc::clone(&replica).run());
            // The first one makes the tables.
            replica.ready().await?;
            replicas.push(replica);
        }
        let nginx = nginx::start(&dir.join("nginx"), &place.fronts(&replicas)).await?;
        let data_dir = match replicas.first() {
            Some(first) => first.data_dir().display().to_string(),
            None => return Err(Failure::new("there must be replicas")),
        };
        place.deploy(&data_dir).await?;
        let token = place.run(&["token", "--data-dir", &data_dir]).await?.trim().to_owned();
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
        self.dir.join(name_of(app))
    }

    /// By one replica: the others hear of it.
    async fn deploy(&self, data_dir: &str) -> Result<()> {
        for app in 0..self.app_count {
            let folder = self.folder(app).display().to_string();
            self.run(&["deploy", &folder, "--data-dir", data_dir]).await?;
        }
        Ok(())
    }

    fn program(&self, store_url: &str, broken: Option<&str>) -> Program {
        let arguments = [
            "serve".to_owned(),
            format!("--public-url={}", self.front()),
            format!("--master-key-file={}", self.dir.join("master-key").display()),
            format!("--store-url={store_url}"),
            "--shutdown-grace=1s".to_owned(),
        ];
        let lease = ("KEYWARD_STORE_LEASE_S".to_owned(), LEASE.as_secs().to_string());
        let broken = broken.map(|broken| ("KEYWARD_BROKEN".to_owned(), broken.to_owned()));
        let environment = [lease].into_iter().chain(broken).collect();
        Program { path: self.keyward.to_owned(), arguments: arguments.to_vec(), environment }
    }

    /// Where clients reach nginx.
    fn front(&self) -> String {
        format!("http://{}", SocketAddr::new(self.ips.front(), FRONT_PORT))
    }

    /// Where operators reach it.
    fn manage_front(&self) -> String {
        format!("http://{}", SocketAddr::new(self.ips.front(), FRONT_MANAGE_PORT))
    }

    fn fronts(&self, replicas: &[Arc<Replica>]) -> [Front; 2] {
        let front = |port, to: Vec<SocketAddr>| Front {
            listen: SocketAddr::new(self.ips.front(), port),
            to,
        };
        let data = replicas.iter().map(|replica| replica.data()).collect();
        let manage = replicas.iter().map(|replica| replica.manage()).collect();
        [front(FRONT_PORT, data), front(FRONT_MANAGE_PORT, manage)]
    }

    fn ways(&self, replicas: &[Arc<Replica>]) -> Vec<Way> {
        let mut ends = vec![(Via::Proxy, self.front(), self.manage_front())];
        ends.extend(replicas.iter().map(|replica| {
            let (data, manage) = (replica.data(), replica.manage());
            (Via::Replica(replica.index), format!("http://{data}"), format!("http://{manage}"))
        }));
        let of = |app: usize| {
            let name = name_of(app);
            ends.iter().map(move |(via, data, manage)| Way {
                app,
                via: *via,
                data: format!("{data}/{name}"),
                manage: manage.clone(),
                query: format!("app={name}"),
            })
        };
        (0..self.app_count).flat_map(of).collect()
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

fn name_of(app: usize) -> String {
    format!("app-{app}")
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
