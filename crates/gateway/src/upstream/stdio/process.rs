//! One child process: started under its supervisor, fed, heard, and ended.

use std::fmt;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;

use app::StdioUpstream;
use bytes::Bytes;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use serde_json::value::RawValue;
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Duration, Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::lines::{Line, Lines, NoLine, Said};
use super::memory::Memory;
use super::noise::Noise;
use super::queue::{Piece, Receiver, Sender, queue};
use super::report::Report;
use super::{Launcher, noise};
use crate::limits;

/// What a child hears, in order.
pub(super) type Feed = Sender<()>;

/// Who listens to a child.
pub(super) trait Listener: Send + Sync + 'static {
    /// Takes one line of its standard output.
    fn hear(&self, line: Line) -> impl Future<Output = ()> + Send;

    /// Takes note of a line that there was no memory for, which answers the request with this id.
    fn miss(&self, id: Option<&RawValue>);

    /// Says how long its long lines may wait for memory.
    fn patience(&self) -> Duration;

    /// Says whether it has said anything that makes sense.
    fn has_heard(&self) -> bool;

    /// Says whether nobody has needed it for too long.
    fn is_idle(&self) -> bool;
}

/// How a child came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// It could not be started; says why, and nothing of its arguments.
    NotStarted(String),
    /// It ended by itself, with this status.
    Exited(i32),
    /// This signal ended it.
    Signalled(i32),
    /// It was ended because nobody needed it any more, or might use it.
    Stopped,
    /// It said nothing for too long after its start.
    Silent,
    /// It wrote a line that is longer than one may be.
    LongLine,
    /// It closed its standard output.
    Closed,
}

/// Completes "this MCP server's process …".
impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted(why) => write!(f, "could not be started: {why}"),
            Self::Exited(status) => write!(f, "ended with exit status {status}"),
            Self::Signalled(signal) => write!(f, "was ended by signal {signal}"),
            Self::Stopped => f.write_str("was ended, since it is no longer needed"),
            Self::Silent => write!(
                f,
                "was ended, since it gave no answer within {} s of its start",
                limits::START_TIME.as_secs()
            ),
            Self::LongLine => write!(
                f,
                "was ended, since it wrote a line of more than {} MiB",
                limits::LINE_BYTES / 1024 / 1024
            ),
            Self::Closed => f.write_str("closed its standard output"),
        }
    }
}

/// A child that was started and is not listened to yet.
pub(super) struct Started {
    child: Child,
    pid: Pid,
    deaths: Signals,
    stdin: (ChildStdin, Receiver<()>),
    stdout: ChildStdout,
    stderr: ChildStderr,
    /// Its room among all children.
    _place: OwnedSemaphorePermit,
}

/// What every child of this process needs.
#[derive(Clone, Debug)]
pub(super) struct Means {
    pub(super) launcher: Arc<Launcher>,
    pub(super) tasks: TaskTracker,
    /// The memory for long lines of all children.
    pub(super) memory: Arc<Memory>,
}

/// Starts a child under its supervisor, in a process group of its own and with no environment but
/// what every child has and what its entry names.
pub(super) fn start(
    launcher: &Launcher,
    upstream: &StdioUpstream,
    place: OwnedSemaphorePermit,
) -> io::Result<(Started, Feed)> {
    let mut command = Command::new(&launcher.program);
    command.args(&launcher.arguments).arg(upstream.command()).args(upstream.args());
    command.env_clear().envs(launcher.environment.iter().map(|(name, value)| (name, value)));
    command.envs(upstream.env()).process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Some(cwd) = upstream.cwd() {
        command.current_dir(cwd);
    }
    let deaths = signal(SignalKind::child())?;
    let mut child = command.spawn()?;
    let missing = || io::Error::from(io::ErrorKind::BrokenPipe);
    let raw = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let (feed, fed) = queue(limits::CHILD_QUEUE_BYTES);
    let started = Started {
        pid: raw.ok_or_else(missing)?,
        stdin: (child.stdin.take().ok_or_else(missing)?, fed),
        stdout: child.stdout.take().ok_or_else(missing)?,
        stderr: child.stderr.take().ok_or_else(missing)?,
        child,
        deaths,
        _place: place,
    };
    Ok((started, feed))
}

/// Says in words for everyone why a child's supervisor could not be started.
pub(super) fn not_started(error: &io::Error, upstream: &StdioUpstream) -> Ending {
    let gone = upstream.cwd().is_some_and(|cwd| !Path::new(cwd).is_dir());
    Ending::NotStarted(if gone {
        "the folder that it is to run in does not exist".to_owned()
    } else {
        error.kind().to_string()
    })
}

/// Puts a line into a child's queue.
pub(super) fn say(feed: &Feed, line: Bytes) -> Result<(), super::queue::NotTaken> {
    feed.try_send(Piece::new(line, ()))
}

impl Started {
    /// Listens to the child until its end, or ends it when `stop` is cancelled; returns when nothing
    /// of it is left.
    pub(super) async fn run(
        self,
        name: &str,
        listener: &impl Listener,
        means: &Means,
        stop: &CancellationToken,
    ) -> Ending {
        let Self { mut child, pid, mut deaths, stdin, stdout, stderr, _place } = self;
        let writing = means.tasks.spawn(write(stdin));
        let mut logging = means.tasks.spawn(log(stderr, name.to_owned()));
        let mut lines = Lines::new(
            BufReader::with_capacity(limits::READ_BYTES, stdout),
            means.memory.share(limits::CHILD_LINES_KIB),
            listener.patience(),
        );
        let heard = {
            let mut dead = pin!(dead(pid, &mut deaths));
            let mut reading = pin!(read(&mut lines, listener));
            let mut is_dead = false;
            let heard = tokio::select! {
                () = stop.cancelled() => Ending::Stopped,
                ending = neglected(listener) => ending,
                ending = &mut reading => ending,
                () = &mut dead => {
                    is_dead = true;
                    end_group(pid);
                    // What it said before its end is still there.
                    drop(timeout(limits::LAST_LINES_TIME, &mut reading).await);
                    Ending::Closed
                }
            };
            // Its input ends: the supervisor sees to the rest.
            writing.abort();
            if heard == Ending::LongLine {
                end_group(pid);
            }
            if !is_dead && timeout(limits::END_TIME, dead).await.is_err() {
                warn!(server.name = name, "Killing the process of {name}: it does not end");
            }
            heard
        };
        // Not yet waited for, so that the group's number is still its own.
        end_group(pid);
        let status = child.wait().await;
        let report = match timeout(limits::LAST_LINES_TIME, &mut logging).await {
            Ok(report) => report.ok().flatten(),
            Err(_) => {
                logging.abort();
                None
            }
        };
        match heard {
            Ending::Closed => ended(report, status.ok()),
            other => other,
        }
    }
}

fn ended(report: Option<Report>, status: Option<ExitStatus>) -> Ending {
    match (report, status) {
        (Some(Report::NotStarted(why)), _) => Ending::NotStarted(why),
        (Some(Report::Exited(status)), _) => Ending::Exited(status),
        (Some(Report::Signalled(signal)), _) => Ending::Signalled(signal),
        (None, Some(status)) => match (status.code(), status.signal()) {
            (Some(code), _) => Ending::Exited(code),
            (None, Some(signal)) => Ending::Signalled(signal),
            (None, None) => Ending::Closed,
        },
        (None, None) => Ending::Closed,
    }
}

/// Ends every process of a group.
fn end_group(leader: Pid) {
    // That none is left is what is wanted.
    let _ = kill_process_group(leader, Signal::KILL);
}

/// Waits until a process is dead, and leaves it to be waited for.
async fn dead(pid: Pid, deaths: &mut Signals) {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    loop {
        match waitid(WaitId::Pid(pid), options) {
            Ok(None) => {}
            Ok(Some(_)) | Err(_) => return,
        }
        if deaths.recv().await.is_none() {
            return;
        }
    }
}

async fn read(lines: &mut Lines<BufReader<ChildStdout>>, listener: &impl Listener) -> Ending {
    loop {
        match lines.next().await {
            Ok(Said::Line(line)) => listener.hear(line).await,
            Ok(Said::PassedOver(id)) => listener.miss(id.as_deref()),
            Err(NoLine::Ended) => return Ending::Closed,
            Err(NoLine::TooLong) => return Ending::LongLine,
        }
    }
}

/// Waits until it has been silent since its start for too long, or idle.
async fn neglected(listener: &impl Listener) -> Ending {
    sleep_until(Instant::now() + limits::START_TIME).await;
    if !listener.has_heard() {
        return Ending::Silent;
    }
    loop {
        if listener.is_idle() {
            return Ending::Stopped;
        }
        sleep_until(Instant::now() + limits::IDLE_LOOK).await;
    }
}

/// Writes what is to be said, until nobody has anything more to say.
async fn write((mut stdin, mut lines): (ChildStdin, Receiver<()>)) {
    while let Some(line) = lines.recv().await {
        let written = async {
            stdin.write_all(&line.text().unwrap_or_default()).await?;
            stdin.write_all(b"\n").await
        };
        if written.await.is_err() {
            // It has closed its input; that it ends is noticed elsewhere.
            return;
        }
    }
}

/// Passes standard error on to our log, and gives what the supervisor says at its end.
async fn log(mut stderr: ChildStderr, name: String) -> Option<Report> {
    let mut noise = Noise::new(limits::LOG_LINES, limits::LOG_PERIOD);
    let mut lines = noise::Texts::new();
    let mut report = None;
    while let Some(line) = lines.next(&mut stderr).await {
        if let Some(said) = Report::read(&line) {
            report = Some(said);
            continue;
        }
        report = None;
        if let Some(missed) = noise.admits(Instant::now()) {
            if missed > 0 {
                info!(server.name = name, "{name} wrote {missed} more lines, which are left out");
            }
            info!(server.name = name, "{name}: {line}");
        }
    }
    report
}

/// How long to wait before a child is started again that has just failed.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failure_count: u32,
    until: Option<Instant>,
}

impl Backoff {
    /// Gives how long there is still to wait.
    pub(super) fn left(&self, now: Instant) -> Option<Duration> {
        self.until
            .and_then(|until| until.checked_duration_since(now))
            .filter(|left| !left.is_zero())
    }

    /// Notes a failure of a child that had run for so long; the first few may be `free`.
    pub(super) fn failed(&mut self, now: Instant, ran: Duration, free: u32) {
        if ran >= limits::BACKOFF_FORGETS {
            self.failure_count = 0;
        }
        self.failure_count = self.failure_count.saturating_add(1);
        if let Some(over) = self.failure_count.checked_sub(free + 1) {
            let factor = 2_u32.saturating_pow(over.min(16));
            let wait = limits::BACKOFF_FIRST.saturating_mul(factor).min(limits::BACKOFF_MOST);
            self.until = Some(now + wait);
        }
    }

    /// Notes that a child works.
    pub(super) fn works(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_doubles_the_wait_up_to_a_bound_and_a_long_run_forgets() {
        let mut backoff = Backoff::default();
        let now = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..10 {
            backoff.failed(now, Duration::ZERO, 1);
            waits.push(backoff.left(now).map_or(0, |left| left.as_millis()));
        }
        assert_eq!(waits, [0, 500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
        backoff.failed(now, limits::BACKOFF_FORGETS, 0);
        assert_eq!(backoff.left(now), Some(limits::BACKOFF_FIRST));
        assert_eq!(backoff.left(now + limits::BACKOFF_FIRST), None);
    }
}
