use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use crate::history::FaultKind;

/// Starts replicas of Keyward, lets everything go wrong, and looks for a moment at which an ended key was
/// still good.
///
/// It exits with 0 only if it has found none and has seen enough: in three minutes or more 20 faults of each
/// kind, and 100 changes that returned during one.
#[derive(Clone, Debug, Parser)]
pub(crate) struct Arguments {
    /// The program [default: the keyward beside this one]
    #[arg(long, value_name = "FILE")]
    pub(crate) keyward: Option<PathBuf>,

    /// How long things go wrong
    #[arg(long, value_name = "N", default_value_t = 3.0)]
    pub(crate) minutes: f64,

    /// How many replicas there are
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(2..=8))]
    pub(crate) replicas: u8,

    /// How many apps there are
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=4))]
    pub(crate) apps: u8,

    /// Decides what goes wrong when [default: by chance, and printed]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,

    /// What goes wrong
    #[arg(long, value_name = "KIND,…", value_delimiter = ',', default_values_t = FaultKind::ALL)]
    pub(crate) faults: Vec<FaultKind>,

    /// How often each kind of it does in 15 s
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(crate) per_round: usize,

    /// Requests a second, in all
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) requests: u32,

    /// Streams that are open, in all
    #[arg(long, value_name = "N", default_value_t = 48)]
    pub(crate) streams: usize,

    /// Let commits wait for the disk, where latencies are measured
    #[arg(long)]
    pub(crate) fsync: bool,

    /// The rule that is broken in processes built with the feature `broken`
    #[arg(long, value_name = "NAME")]
    pub(crate) broken: Option<String>,
}

impl Arguments {
    pub(crate) fn lasts(&self) -> Duration {
        Duration::from_secs_f64(self.minutes.clamp(0.0, 24.0 * 60.0) * 60.0)
    }
}
