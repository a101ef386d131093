//! Keyward: MCP servers behind API keys that expire.
//!
//! The binary wires the crates together: configuration, command line, log, the two listeners, and
//! the watch on the app folder. Nothing depends on it, and it holds no rule of its own.

mod arguments;
mod client;
mod commands;
mod config;
mod data_dir;
mod descriptors;
mod duration;
mod error;
mod folder;
mod limits;
mod listener;
mod log;
mod maker;
mod output;
mod place;
mod ready;
mod reference;
mod running;
mod secret_file;
mod secrets;
mod serve;
mod source;
mod watch;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use arguments::{Arguments, Command, SettingArguments};
use clap::{CommandFactory as _, Parser as _};
use client::Surroundings;
use commands::configuration::ConfigCommand;
use config::{Config, Environment, RawConfig};
use error::{Error, Result};

/// A tenth of a tool call's time went into the system's allocator (docs/performance.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long what still runs in threads may take once everything else has ended.
const THREADS_END: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let typed: Vec<OsString> = std::env::args_os().collect();
    // Before anything is read or looked at: what follows are another program's arguments.
    if let [_, word, command @ ..] = typed.as_slice()
        && word == "supervise"
    {
        allow_huge_pages(true);
        return commands::supervise::run(command);
    }
    allow_huge_pages(false);
    match run(&typed) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is_broken_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            output::tell(&format!("keyward: {}", error.chain()));
            ExitCode::from(error.exit_code())
        }
    }
}

/// The allocator asks for huge pages, which count as used in whole: an idle stream would hold twice the
/// memory (docs/performance.md). Children inherit the answer, and are to have what the machine gives.
fn allow_huge_pages(allow: bool) {
    #[cfg(target_os = "linux")]
    // Where the kernel refuses, it only costs memory.
    rustix::thread::disable_transparent_huge_pages(!allow).unwrap_or_default();
}

fn run(typed: &[OsString]) -> Result<()> {
    secrets::refuse_in_arguments(typed)?;
    let arguments = match Arguments::try_parse_from(typed) {
        Ok(arguments) => arguments,
        // It knows where each of its texts belongs, and its exit codes are ours: 0 and 2.
        Err(error) => error.exit(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Error::io("start the runtime"))?;
    let done = runtime.block_on(async_main(arguments, &program(typed)));
    runtime.shutdown_timeout(THREADS_END);
    done
}

async fn async_main(arguments: Arguments, program: &str) -> Result<()> {
    let environment = Environment::of_process();
    #[cfg(feature = "broken")]
    if let Ok(Some(rule)) = environment.text("KEYWARD_BROKEN") {
        store::broken::choose(rule).map_err(|error| Error::Unfit(format!("{rule}: {error}")))?;
    }
    let raw = |settings: Option<&SettingArguments>| {
        read_config(arguments.config.as_deref(), &environment, settings)
    };
    match &arguments.command {
        Command::Init { dir } => commands::init::run(dir, program),
        Command::Serve(serve) => {
            let raw = raw(Some(&serve.settings))?;
            let config = Config::new(&raw, &environment).map_err(Error::Config)?;
            serve::run(serve, config, &environment, program).await
        }
        Command::Config(command) => {
            let (ConfigCommand::Check { settings } | ConfigCommand::Show { settings }) = command;
            commands::configuration::run(command, &raw(Some(settings))?, &environment)
        }
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(*shell, &mut Arguments::command(), "keyward", &mut text);
            output::print(&String::from_utf8_lossy(&text))
        }
        Command::Reference { page } => output::print(&reference::page(page)?),
        Command::Deploy(deploy) => {
            commands::deploy::run(deploy, &surroundings(&raw(None)?, &environment)?).await
        }
        Command::Server(command) => {
            commands::server::run(command, &surroundings(&raw(None)?, &environment)?).await
        }
        Command::Key(command) => {
            commands::key::run(command, &surroundings(&raw(None)?, &environment)?).await
        }
        Command::AccessKey(command) => {
            commands::access_key::run(command, &surroundings(&raw(None)?, &environment)?).await
        }
        Command::Replica(command) => {
            commands::replica::run(command, &surroundings(&raw(None)?, &environment)?).await
        }
        Command::Backup(backup) => {
            let raw = raw(None)?;
            let around = surroundings(&raw, &environment)?;
            commands::backup::run(backup, raw, &around).await
        }
        Command::Restore(restore) => {
            let raw = raw(None)?;
            let around = surroundings(&raw, &environment)?;
            commands::restore::run(restore, raw, &around).await
        }
        Command::MasterKey { file } => commands::master_key::make(file),
        Command::Token { data_dir } => {
            commands::token::print(data_dir, &surroundings(&raw(None)?, &environment)?)
        }
    }
}

/// Gathers what was given, the last one winning: the file, the environment, the command line.
fn read_config(
    named: Option<&Path>,
    environment: &Environment,
    settings: Option<&SettingArguments>,
) -> Result<RawConfig> {
    let named: Option<PathBuf> =
        named.map(Path::to_owned).or_else(|| environment.path("KEYWARD_CONFIG"));
    let mut raw = match named {
        Some(path) => RawConfig::parse(&path, &config::read_file(&path)?),
        None => RawConfig::default(),
    };
    raw.add_environment(environment);
    for (name, value) in settings.map(SettingArguments::given).into_iter().flatten() {
        raw.add_flag(name, value);
    }
    Ok(raw)
}

fn surroundings<'e>(raw: &RawConfig, environment: &'e Environment) -> Result<Surroundings<'e>> {
    if !raw.problems.is_empty() {
        return Err(Error::Config(raw.problems.clone()));
    }
    Ok(Surroundings { environment, configured_data_dir: raw.data_dir_of_file() })
}

/// The program as the next command has to name it.
fn program(typed: &[OsString]) -> String {
    match typed.first().and_then(|first| first.to_str()) {
        Some(path) if path.contains('/') => commands::init::shell_word(path),
        _ => "keyward".to_owned(),
    }
}
