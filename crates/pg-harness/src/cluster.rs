use std::fs;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::install::{self, Install};

/// The superuser of every cluster. It has no password: the socket lies in a folder of its own.
const USER: &str = "keyward";

/// How long a server may take to start or to end.
const DEADLINE: Duration = Duration::from_secs(60);

/// How far its wall clock is from the machine's, in its folder.
const WALL_CLOCK: &str = "wall-clock";

/// Runs a server for as long as its standard input is open, restarts it when told how to end it, and
/// leaves nothing behind. It has a process group of its own, so that what kills the test program's group
/// does not keep it from cleaning up.
///
/// A server that does not end in time is killed with all its processes. That is needed under libfaketime, which
/// reads the clock in signal handlers, and so once in some hundreds of restarts leaves one that hangs.
const SUPERVISOR: &str = r#"
dir=$1
shift
begin() {
    "$@" >>"$dir/log" 2>&1 &
    server=$!
}
end() {
    kill -"$1" $server
    (sleep 15; kill -KILL $(cat /proc/$server/task/$server/children) $server) &
    watchdog=$!
    wait $server
    kill $watchdog
}
begin "$@"
while read -r signal; do
    end "$signal"
    begin "$@"
done
end QUIT
rm -rf "$dir"
"#;

/// Whether a commit waits for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It does, as in production: for what measures.
    Fsync,
    /// It does not: a power failure would lose data, and tests have none.
    None,
}

/// How a server is made to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Transactions are rolled back and connections closed (SIGINT).
    Fast,
    /// As a crash: the next start recovers from the log (SIGQUIT).
    Crash,
}

/// A running PostgreSQL server with a folder of its own. It ends when this is dropped, or with the process.
#[derive(Debug)]
pub struct Cluster {
    dir: PathBuf,
    has_clock: bool,
    supervisor: Mutex<Supervisor>,
    databases: AtomicU32,
}

#[derive(Debug)]
struct Supervisor {
    child: Child,
    input: Option<ChildStdin>,
}

impl Cluster {
    /// The one server of this test program, started when it is first asked for.
    ///
    /// # Panics
    /// Where PostgreSQL is not installed or does not start, with what to do.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(Durability::None, &[]))
    }

    /// Starts a server, with settings as `name=value` besides the usual ones.
    ///
    /// # Panics
    /// Where PostgreSQL is not installed or does not start, with what to do.
    #[must_use]
    pub fn start(durability: Durability, settings: &[&str]) -> Self {
        Self::start_with(durability, settings, None)
    }

    /// Starts a server with a wall clock of its own, which [`Self::set_wall_clock`] steps: its processes have
    /// libfaketime between them and the machine's. What they measure times by is the machine's.
    ///
    /// # Panics
    /// Where PostgreSQL or libfaketime is not installed, or the server does not start, with what to do.
    #[must_use]
    pub fn start_with_wall_clock(durability: Durability, settings: &[&str]) -> Self {
        Self::start_with(durability, settings, Some(&install::faketime()))
    }

    fn start_with(durability: Durability, settings: &[&str], faketime: Option<&Path>) -> Self {
        let install = Install::find();
        let dir = tempfile::Builder::new().prefix("keyward-pg-").tempdir().unwrap().keep();
        install.hand_over(&dir);
        let data = dir.join("data");
        let made = install
            .command(install.path("initdb"), &dir)
            .args([
                "--no-sync",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
                "--username",
                USER,
            ])
            .arg("--pgdata")
            .arg(&data)
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));

        let mut command = install.command("sh", &dir);
        command.args(["-c", SUPERVISOR, "sh"]).arg(&dir);
        if let Some(library) = faketime {
            write_wall_clock(&dir, 0);
            command.arg("env").arg(format!("LD_PRELOAD={}", library.display()));
            command.arg(format!("FAKETIME_TIMESTAMP_FILE={}", dir.join(WALL_CLOCK).display()));
            command.args(["FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1"]);
        }
        command.arg(install.path("postgres"));
        command.arg("-D").arg(&data).arg("-k").arg(&dir);
        let mut set = vec!["listen_addresses=", "max_connections=1000", "timezone=UTC"];
        if durability == Durability::None {
            set.extend(["fsync=off", "full_page_writes=off"]);
        }
        for setting in set.iter().chain(settings) {
            command.args(["-c", setting]);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let mut child = command.spawn().unwrap();
        let input = child.stdin.take();
        let supervisor = Mutex::new(Supervisor { child, input });
        let has_clock = faketime.is_some();
        let cluster = Self { dir, has_clock, supervisor, databases: AtomicU32::new(0) };
        cluster.wait_for(|status| status.is_some_and(|status| status.ready));
        cluster
    }

    /// Makes an empty database.
    ///
    /// # Panics
    /// Where the server does not make it.
    pub fn database(&self) -> Database<'_> {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{number}");
        let database = Database { cluster: self, name };
        let admin = format!("postgres:///postgres?host={}&user={USER}", self.dir.display());
        run_on(&admin, format!("CREATE DATABASE {}", database.name));
        database
    }

    /// Ends the server and starts it again; returns when it takes connections.
    ///
    /// # Panics
    /// Where it does not.
    pub fn restart(&self, ending: Ending) {
        let signal = match ending {
            Ending::Fast => "INT",
            Ending::Crash => "QUIT",
        };
        let before = self.status().map(|status| status.pid);
        let mut supervisor = self.supervisor.lock().unwrap_or_else(PoisonError::into_inner);
        let input = supervisor.input.as_mut().unwrap();
        writeln!(input, "{signal}").unwrap();
        drop(supervisor);
        self.wait_for(|status| {
            status.is_some_and(|status| status.ready && Some(status.pid) != before)
        });
    }

    /// Steps the server's wall clock at once: to so many milliseconds after the machine's, or before.
    ///
    /// # Panics
    /// Where the server has no wall clock of its own.
    pub fn set_wall_clock(&self, milliseconds: i64) {
        assert!(self.has_clock, "the server has the machine's wall clock");
        write_wall_clock(&self.dir, milliseconds);
    }

    /// The folder that its socket lies in.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn wait_for(&self, condition: impl Fn(Option<Status>) -> bool) {
        let until = Instant::now() + DEADLINE;
        while !condition(self.status()) {
            let log = || fs::read_to_string(self.dir.join("log")).unwrap_or_default();
            assert!(Instant::now() < until, "PostgreSQL does not start:\n{}", log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What the server says of itself: line 1 has its process, line 8 whether it takes connections.
    fn status(&self) -> Option<Status> {
        let text = fs::read_to_string(self.dir.join("data/postmaster.pid")).ok()?;
        let mut lines = text.lines();
        let pid = lines.next()?.parse().ok()?;
        Some(Status { pid, ready: lines.nth(6).is_some_and(|line| line.trim() == "ready") })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let supervisor = self.supervisor.get_mut().unwrap_or_else(PoisonError::into_inner);
        supervisor.input = None;
        drop(supervisor.child.wait());
    }
}

/// It is read at every look at the clock: always whole.
fn write_wall_clock(dir: &Path, milliseconds: i64) {
    let beside = dir.join("wall-clock.new");
    let sign = if milliseconds < 0 { '-' } else { '+' };
    let (seconds, rest) = (milliseconds.unsigned_abs() / 1000, milliseconds.unsigned_abs() % 1000);
    fs::write(&beside, format!("{sign}{seconds}.{rest:03}\n")).unwrap();
    fs::rename(&beside, dir.join(WALL_CLOCK)).unwrap();
}

struct Status {
    pid: u32,
    ready: bool,
}

/// A database for one test.
#[derive(Clone, Debug)]
pub struct Database<'c> {
    cluster: &'c Cluster,
    name: String,
}

impl Database<'_> {
    /// Where clients reach it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres:///{}?host={}&user={USER}", self.name, self.cluster.dir.display())
    }

    /// Where clients reach it through a proxy that listens on this port of the loopback interface.
    pub(crate) fn url_at(&self, port: u16) -> String {
        format!("postgres://{USER}@127.0.0.1:{port}/{}?sslmode=disable", self.name)
    }

    /// The socket that its server listens on.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.cluster.dir.join(".s.PGSQL.5432")
    }

    /// The server that it lies in.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        self.cluster
    }

    /// Runs statements, each ended by a semicolon, apart from whatever runtime the test has.
    ///
    /// # Panics
    /// Where one fails.
    pub fn run(&self, statements: impl Into<String>) {
        run_on(&self.url(), statements.into());
    }

    /// Gives the one number that a statement returns.
    ///
    /// # Panics
    /// Where it fails or returns another thing than a BIGINT.
    #[must_use]
    pub fn number(&self, statement: impl Into<String>) -> i64 {
        let (url, statement) = (self.url(), statement.into());
        block_on(move || async move {
            let mut connection = PgConnection::connect(&url).await.unwrap();
            sqlx::query_scalar(AssertSqlSafe(statement)).fetch_one(&mut connection).await.unwrap()
        })
    }
}

fn run_on(url: &str, statements: String) {
    let url = url.to_owned();
    block_on(move || async move {
        let mut connection = PgConnection::connect(&url).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    });
}

/// Callers may have a runtime with a paused clock, or none: this one is on a thread of its own.
fn block_on<T: Send + 'static, F: Future<Output = T>>(
    make: impl FnOnce() -> F + Send + 'static,
) -> T {
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(make())
    };
    std::thread::spawn(run).join().expect("the statement is one that works")
}
