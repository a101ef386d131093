//! `keyward supervise -- PROGRAM ARGUMENTS…`: runs an MCP server's process for as long as whoever
//! started this wants it, and not a moment longer.
//!
//! `serve` runs itself again as this, once for each process. Its standard input is the leash: it ends
//! when `serve` lets go of it, in whatever way `serve` ends. Standard output and standard error are
//! handed down, so that nothing is copied. No configuration is read, no runtime started.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::fd::AsFd as _;
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use gateway::Report;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, getpgrp, getpid, kill_current_process_group,
    kill_process, setpgid, wait,
};
use tokio::signal::unix::{SignalKind, signal};

use crate::{limits, output};

/// What happens to a supervised process.
enum Event {
    /// Nobody holds the other end of standard input any more.
    LetGo,
    /// A child has ended, or an orphan of its.
    Ended(Pid, WaitStatus),
    /// No process is left below this one.
    NoneLeft,
}

/// Runs the command line until it ends or standard input does, and leaves no process behind.
pub(crate) fn run(command: &[OsString]) -> ExitCode {
    let command = command.strip_prefix(&[OsString::from("--")]).unwrap_or(command);
    let report = match supervise(command) {
        Ok(report) => report,
        Err(error) => Report::NotStarted(explained(&error)),
    };
    let code = match report {
        Report::Exited(0) => ExitCode::SUCCESS,
        Report::NotStarted(_) | Report::Exited(_) | Report::Signalled(_) => ExitCode::FAILURE,
    };
    // A line of the child's may have been left without its end.
    output::tell(&format!("\n{report}"));
    code
}

/// The words of the operating system, without the number that follows them.
fn explained(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "there is no such program".to_owned(),
        ErrorKind::PermissionDenied => "the program may not be executed".to_owned(),
        _ => error.to_string(),
    }
}

fn supervise(command: &[OsString]) -> io::Result<Report> {
    let (program, arguments) = command.split_first().ok_or(ErrorKind::InvalidInput)?;
    survive_signals()?;
    if getpgrp() != getpid() {
        setpgid(None, None)?;
    }
    adopt_orphans();
    let mut child = Command::new(program).args(arguments).stdin(Stdio::piped()).spawn()?;
    let pid = pid_of(&child)?;
    let (events, happened) = mpsc::channel();
    if let Some(stdin) = child.stdin.take() {
        let own = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        thread(move || feed(own, stdin))?;
    }
    let letting_go = events.clone();
    thread(move || watch_stdin(&letting_go))?;
    thread(move || reap(&events))?;
    let status = until_ended(pid, &happened);
    end_all(&happened);
    Ok(match status {
        Some(status) => status
            .terminating_signal()
            .map_or_else(|| Report::Exited(status.exit_status().unwrap_or(0)), Report::Signalled),
        // Nothing but SIGKILL moved it.
        None => Report::Signalled(Signal::KILL.as_raw()),
    })
}

fn pid_of(child: &Child) -> io::Result<Pid> {
    let raw = i32::try_from(child.id()).ok();
    raw.and_then(Pid::from_raw).ok_or_else(|| ErrorKind::InvalidData.into())
}

/// Keeps the order of an end: what a terminal or a service manager sends to everyone must not end
/// the supervisor before its child. The child itself is started with the defaults.
fn survive_signals() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let _inside = runtime.enter();
    // The handler stays for the life of the process; nobody needs to know of the signal.
    for kind in [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()] {
        drop(signal(kind)?);
    }
    Ok(())
}

/// Processes whose parent has ended become children of this one, and end with it.
fn adopt_orphans() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_child_subreaper(Some(getpid()));
}

fn thread(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let builder = std::thread::Builder::new().stack_size(limits::SUPERVISOR_STACK);
    builder.spawn(work).map(drop)
}

/// Passes standard input on, until either end is closed.
fn feed(mut from: File, mut to: ChildStdin) {
    if io::copy(&mut from, &mut to).is_err() {
        drop(to);
        // Whoever writes must not be held up by a child that has closed its input.
        drop(io::copy(&mut from, &mut io::sink()));
    }
}

/// Waits for the other end of standard input to be closed, also while a child does not read what is
/// in it.
fn watch_stdin(events: &Sender<Event>) {
    let stdin = io::stdin();
    loop {
        let mut one = [PollFd::new(&stdin, PollFlags::empty())];
        match poll(&mut one, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => break,
        }
        if one.iter().any(|fd| !fd.revents().is_empty()) {
            break;
        }
    }
    drop(events.send(Event::LetGo));
}

/// Takes the end of every child and orphan, so that none is left as a zombie.
fn reap(events: &Sender<Event>) {
    loop {
        let event = match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) => Event::Ended(pid, status),
            Ok(None) | Err(Errno::INTR) => continue,
            Err(_) => break,
        };
        drop(events.send(event));
    }
    drop(events.send(Event::NoneLeft));
}

/// Waits for the child's end, and brings it about once standard input has ended: first the child's
/// own input ends, then it is asked to, then it is made to.
fn until_ended(child: Pid, happened: &Receiver<Event>) -> Option<WaitStatus> {
    let mut steps = [limits::INPUT_ENDS, limits::TERMINATES].into_iter();
    let mut until: Option<Instant> = None;
    loop {
        let event = match until {
            None => happened.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(until) => happened.recv_timeout(until.saturating_duration_since(Instant::now())),
        };
        match event {
            Ok(Event::Ended(pid, status)) if pid == child => return Some(status),
            Ok(Event::Ended(..)) => {}
            Ok(Event::LetGo) => until = steps.next().map(|step| Instant::now() + step),
            Err(RecvTimeoutError::Timeout) => {
                let step = steps.next()?;
                let _ = kill_current_process_group(Signal::TERM);
                until = Some(Instant::now() + step);
            }
            Ok(Event::NoneLeft) | Err(RecvTimeoutError::Disconnected) => return None,
        }
    }
}

/// Ends what is left below this process; what cannot be found takes this one with it.
fn end_all(happened: &Receiver<Event>) {
    let until = Instant::now() + limits::ALL_ENDED;
    while Instant::now() < until {
        for pid in children() {
            let _ = kill_process(pid, Signal::KILL);
        }
        match happened.recv_timeout(Duration::from_millis(10)) {
            Ok(Event::NoneLeft) | Err(RecvTimeoutError::Disconnected) => return,
            Ok(Event::Ended(..) | Event::LetGo) | Err(RecvTimeoutError::Timeout) => {}
        }
    }
    let _ = kill_current_process_group(Signal::KILL);
}

/// The processes right below this one, as far as the system tells.
fn children() -> Vec<Pid> {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let pids = |list: String| -> Vec<Pid> {
        list.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
    };
    lists.flat_map(pids).collect()
}
