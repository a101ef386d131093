//! Real processes of Keyward, which are started again whenever they end.

use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::failure::{Doing as _, Failure, Result};
use crate::record::Recorder;

/// The ports on each replica's own loopback address.
const DATA_PORT: u16 = 7071;
const MANAGE_PORT: u16 = 7072;

/// How long a replica may take to start while the database is well.
const STARTS_WITHIN: Duration = Duration::from_secs(60);

/// How long a process may take that was told to end: it may be stopped for a while.
const ENDS_WITHIN: Duration = Duration::from_secs(12);

/// Between the end of a process that could not start and the next attempt, as a service manager does it.
const START_AGAIN: Duration = Duration::from_millis(100);

/// How one is started, besides the address and the folders.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    /// What it serves.
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
}

/// One replica: the process that runs now, or the one that is being started.
#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) index: usize,
    pub(crate) ip: IpAddr,
    dir: PathBuf,
    program: Program,
    recorder: Recorder,
    /// How long it stays down after it was ended; none where nobody ended it.
    ended: Mutex<Option<Duration>>,
    running: watch::Sender<Option<Process>>,
}

/// A process that said that it is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Process(Pid);

impl Replica {
    pub(crate) fn new(
        index: usize,
        ip: IpAddr,
        dir: &Path,
        program: Program,
        recorder: Recorder,
    ) -> Arc<Self> {
        let (dir, ended, running) = (dir.to_owned(), Mutex::default(), watch::Sender::new(None));
        Arc::new(Self { index, ip, dir, program, recorder, ended, running })
    }

    pub(crate) fn data(&self) -> SocketAddr {
        SocketAddr::new(self.ip, DATA_PORT)
    }

    pub(crate) fn manage(&self) -> SocketAddr {
        SocketAddr::new(self.ip, MANAGE_PORT)
    }

    /// Where its log is, of all its processes.
    pub(crate) fn log(&self) -> PathBuf {
        self.dir.join(format!("replica-{}.log", self.index))
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.dir.join(format!("data-{}", self.index))
    }

    /// Runs it, one process after the other, for as long as this is polled.
    pub(crate) async fn run(self: Arc<Self>) {
        loop {
            if let Err(failure) = self.run_once().await {
                self.recorder.misfortune(self.index, "it cannot be started at all");
                self.running.send_modify(|_| {});
                drop(failure);
                return;
            }
            let down = self.ended.lock().unwrap_or_else(PoisonError::into_inner).take();
            sleep(down.unwrap_or(START_AGAIN)).await;
        }
    }

    async fn run_once(&self) -> Result<()> {
        let mut child = self.spawn()?;
        let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let is_ready = timeout(STARTS_WITHIN, ready(&mut child)).await.unwrap_or(false);
        if is_ready && let Some(pid) = pid {
            self.running.send_replace(Some(Process(pid)));
        } else {
            drop(child.start_kill());
        }
        drop(child.wait().await);
        let was_running = self.running.send_replace(None).is_some();
        let is_ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        if was_running && !is_ended {
            self.recorder.misfortune(self.index, "the process ended by itself");
        }
        Ok(())
    }

    fn spawn(&self) -> Result<Child> {
        let log = File::options().create(true).append(true).open(self.log());
        let mut command = Command::new(&self.program.path);
        command.args(&self.program.arguments).args(["--json", "--data-dir"]).arg(self.data_dir());
        command.args(["--listen", &self.data().to_string()]);
        command.args(["--manage-listen", &self.manage().to_string()]);
        command.env_clear().envs(self.program.environment.clone());
        command.env("HOME", self.dir.join(format!("home-{}", self.index)));
        command.current_dir(&self.dir).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log.doing("a log")?);
        command.spawn().doing(self.program.path.display())
    }

    /// Waits until a process of it is ready.
    pub(crate) async fn ready(&self) -> Result<()> {
        let mut running = self.running.subscribe();
        let waiting = timeout(STARTS_WITHIN, running.wait_for(Option::is_some)).await;
        let is_ready = waiting.is_ok_and(|waited| waited.is_ok());
        let log = self.log();
        is_ready.then_some(()).ok_or_else(|| {
            Failure::new(format!("replica {} does not start: see {}", self.index, log.display()))
        })
    }

    /// Ends it, at once or as an operator does; returns when the next process is ready, which is started after
    /// this pause.
    pub(crate) async fn end(&self, politely: bool, down: Duration) {
        let mut running = self.running.subscribe();
        // Being started already: the fault is that it is down.
        let Some(Process(pid)) = *running.borrow_and_update() else {
            drop(running.wait_for(Option::is_some).await);
            return;
        };
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(down);
        if politely {
            kill_process(pid, Signal::TERM).unwrap_or(());
            let is_gone = |now: &Option<Process>| *now != Some(Process(pid));
            drop(timeout(ENDS_WITHIN, running.wait_for(is_gone)).await);
        }
        if *running.borrow() == Some(Process(pid)) {
            kill_process(pid, Signal::KILL).unwrap_or(());
        }
        let is_next = |now: &Option<Process>| now.is_some_and(|now| now != Process(pid));
        drop(running.wait_for(is_next).await);
    }

    /// Stops it for so long, unless it is killed meanwhile.
    pub(crate) async fn stop(&self, lasts: Duration) {
        let Some(process) = *self.running.borrow() else { return sleep(lasts).await };
        kill_process(process.0, Signal::STOP).unwrap_or(());
        sleep(lasts).await;
        if *self.running.borrow() == Some(process) {
            kill_process(process.0, Signal::CONT).unwrap_or(());
        }
    }
}

/// Waits for the line that says so.
async fn ready(child: &mut Child) -> bool {
    let Some(out) = child.stdout.take() else { return false };
    let line = BufReader::new(out).lines().next_line().await;
    line.is_ok_and(|line| line.is_some_and(|line| line.starts_with('{')))
}
