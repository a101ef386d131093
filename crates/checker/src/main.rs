//! Looks for a hole in what Keyward promises: that a key is dead everywhere when the call that ended it has
//! returned, whatever goes wrong.
//!
//! It starts a PostgreSQL, replicas of Keyward, nginx and an upstream, uses them as clients and operators do,
//! and makes go wrong what can. It knows Keyward from outside alone, over HTTP and its command line.
//! Everything is taken down by one clock ([`record`]), and [`judge`] says whether it may have been.
//! docs/reliability.md says how to run it and how to read what it prints.

mod arguments;
mod cluster;
mod failure;
mod faults;
mod history;
mod judge;
mod load;
mod nginx;
mod plan;
mod record;
mod replicas;
mod report;
mod scene;
mod upstream;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, interval, sleep};
use tokio_util::task::TaskTracker;

use self::arguments::Arguments;
use self::failure::{Doing as _, Failure, Result};
use self::history::Via;
use self::judge::{Judge, Violation};
use self::load::{Amount, Load};
use self::plan::{Plan, Wishes};
use self::record::Recorder;
use self::report::Report;
use self::scene::{LEASE, Scene};

/// How often the judge looks while the run goes on.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long what happens after a violation is taken down, for who reads about it.
const GO_ON: Duration = Duration::from_secs(2);

/// How long a replica may take to be ready again after all faults have ended.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// How a run ended.
enum Verdict {
    Clean,
    Violated,
    /// It has not seen enough to say anything.
    Lacking,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let ended = tokio::select! {
        ended = run(&arguments) => ended,
        ended = ended_by_signal() => ended,
    };
    match ended {
        Ok(Verdict::Clean) => ExitCode::SUCCESS,
        Ok(Verdict::Violated) => ExitCode::from(1),
        Ok(Verdict::Lacking) => ExitCode::from(2),
        Err(failure) => {
            say(&format!("the checker cannot go on: {failure}"));
            ExitCode::from(3)
        }
    }
}

/// Whatever ends the checker ends with it all that it has started.
async fn ended_by_signal() -> Result<Verdict> {
    let mut terminated = signal(SignalKind::terminate()).doing("signals")?;
    tokio::select! {
        _ = terminated.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    Err(Failure::new("it was told to end"))
}

async fn run(arguments: &Arguments) -> Result<Verdict> {
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    let dir = tempfile::Builder::new().prefix("keyward-checker-").tempdir().doing("a folder")?;
    let path = dir.keep();
    say(&format!("seed {seed}; logs in {}", path.display()));
    let verdict = run_in(arguments, seed, &path).await;
    if matches!(verdict, Ok(Verdict::Clean)) {
        std::fs::remove_dir_all(&path).doing(path.display())?;
    } else {
        say(&format!("logs of all replicas, nginx and PostgreSQL: {}", path.display()));
    }
    verdict
}

async fn run_in(arguments: &Arguments, seed: u64, dir: &Path) -> Result<Verdict> {
    let (recorder, tasks) = (Recorder::new(), TaskTracker::new());
    let scene = Scene::start(arguments, dir, &recorder, &tasks).await?;
    let Scene { victims, ways, token, .. } = &scene;
    let app_count = usize::from(arguments.apps);
    let load = Load::new(ways.clone(), app_count, token.clone(), recorder.clone(), seed);
    never_ready(&load, &recorder).await;
    load.begin(Amount { requests: arguments.requests, streams: arguments.streams });

    let wishes = Wishes {
        lasts: arguments.lasts(),
        replica_count: usize::from(arguments.replicas),
        lease: LEASE,
        kinds: arguments.faults.clone(),
        per_round: arguments.per_round,
    };
    let mut judge = Judge::new(LEASE);
    let began = Instant::now();
    tokio::select! {
        () = watch(&mut judge, &recorder) => sleep(GO_ON).await,
        () = async {
            faults::run(victims, Plan::new(&wishes, seed)).await;
            tokio::time::sleep_until(began + arguments.lasts()).await;
            never_ready(&load, &recorder).await;
        } => {}
    }
    load.end().await;
    drop(std::fs::copy(victims.server.log(), dir.join("postgres.log")));

    let history = recorder.history();
    let (violations, tally) = judge.all(&history);
    let report = Report { history: &history, tally, violations: &violations };
    say(&report.to_string());
    let lacking = report.lacking(arguments.lasts(), &arguments.faults);
    for what in &lacking {
        say(&format!("not enough: {what}"));
    }
    Ok(match (violations.is_empty(), lacking.is_empty()) {
        (false, _) => Verdict::Violated,
        (true, false) => Verdict::Lacking,
        (true, true) => Verdict::Clean,
    })
}

/// Returns at the first violation.
async fn watch(judge: &mut Judge, recorder: &Recorder) {
    let mut ticks = interval(LOOK_EVERY);
    loop {
        ticks.tick().await;
        let now = recorder.now();
        let found: Vec<Violation> = judge.look(&recorder.history(), now);
        if !found.is_empty() {
            return;
        }
    }
}

/// Takes down which replicas do not let anybody in although nothing is wrong.
async fn never_ready(load: &Load, recorder: &Recorder) {
    let unready = load.unready(READY_WITHIN).await.into_iter().filter_map(|via| match via {
        Via::Replica(replica) => Some(replica),
        Via::Proxy => None,
    });
    for replica in unready.collect::<BTreeSet<_>>() {
        recorder.misfortune(replica, "it is not ready although all faults have ended");
    }
}

#[expect(clippy::print_stdout, reason = "it is a program, and this is what it says")]
fn say(text: &str) {
    println!("{text}");
    drop(std::io::stdout().flush());
}
