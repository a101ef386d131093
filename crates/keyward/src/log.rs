//! The log: lines on standard error.
//!
//! Only our own crates log below errors. Others print what must never be printed at their more
//! verbose levels (rmcp prints messages and headers, h2 prints header blocks, sqlx statements), so
//! they are held back whatever the filter says.

use std::io::{self, IsTerminal as _};

use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{EnvFilter, FilterExt as _, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{Layer as _, Registry};

use crate::config::{Environment, Log, LogFormat};
use crate::error::{Error, Result};

/// The crates whose every log line is written here, and so known to hold no secret.
const OURS: [&str; 7] = ["app", "flow", "gateway", "keys", "keyward", "manage", "store"];

/// A crate whose very errors repeat what a client sent.
const SILENT: &str = "rmcp";

/// Starts the log for the rest of the process.
pub(crate) fn start(log: &Log, environment: &Environment) -> Result<()> {
    let unusable = |why: String| Error::Failed(format!("cannot start the log: {why}"));
    let filter =
        EnvFilter::builder().parse(&log.filter).map_err(|error| unusable(error.to_string()))?;
    let filter = filter.and(filter_fn(may_speak).with_max_level_hint(LevelFilter::TRACE));
    let colours = io::stderr().is_terminal() && !environment.has("NO_COLOR");
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(colours);
    let lines = match log.format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    // Not `init`, which would let what others log through the `log` crate in as well.
    tracing::subscriber::set_global_default(Registry::default().with(lines.with_filter(filter)))
        .map_err(|error| unusable(error.to_string()))?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// Checks that a filter can be read.
pub(crate) fn check_filter(text: &str) -> Result<String, String> {
    EnvFilter::builder().parse(text).map(|_| text.to_owned()).map_err(|_| {
        format!(
            "'{}' is no log filter: expected error, warn, info, debug or trace, or such as \
             info,gateway=debug",
            text.escape_debug()
        )
    })
}

fn may_speak(metadata: &Metadata<'_>) -> bool {
    let of = metadata.target().split("::").next().unwrap_or_default();
    OURS.contains(&of) || (*metadata.level() == Level::ERROR && of != SILENT)
}

/// A panic ends the request it happens in, and its message may hold what the request held: only one
/// that stands in the source is repeated.
fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let message =
        panic.payload().downcast_ref::<&'static str>().copied().unwrap_or("(not repeated)");
    tracing::error!(panic.place = %place, "A task panicked at {place}: {message}");
}
