//! What happened, by one clock: the whole of what the judge knows.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use keys::{AccessKeyId, ApiKeyId, ChildId, Slot};

/// A reading of the checker's one clock: microseconds since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u64);

impl Moment {
    pub(crate) const START: Self = Self(0);
    pub(crate) const END: Self = Self(u64::MAX);

    pub(crate) const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    pub(crate) const fn micros(self) -> u64 {
        self.0
    }

    pub(crate) const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    pub(crate) fn saturating_sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl std::ops::Add<Duration> for Moment {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>5}.{:06} s", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// By which way something was asked: one replica, or whichever nginx chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Via {
    Replica(usize),
    Proxy,
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replica(index) => write!(f, "replica {index}"),
            Self::Proxy => f.write_str("nginx"),
        }
    }
}

/// An API key, without itself.
#[derive(Clone, Debug)]
pub(crate) struct KeyRecord {
    pub(crate) app: usize,
    pub(crate) slot: Slot,
    pub(crate) access_key: AccessKeyId,
    pub(crate) id: ApiKeyId,
    /// Of a key that was narrowed.
    pub(crate) child: Option<ChildId>,
    /// When it, or what it was narrowed from, was asked for.
    pub(crate) asked: Moment,
    /// When it was here.
    pub(crate) known: Moment,
}

/// What a change ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Slot(Slot),
    Key(ApiKeyId),
    Child(ChildId),
}

/// How a change was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// 200: what it ends is dead everywhere.
    InForce,
    /// 503 `NotYetInForce`: it is durable.
    NotYet,
    /// Nobody took it: nothing has happened.
    NotSent,
    /// Nobody knows: a lost connection, or another 5xx. It may be that its process is still at it.
    Unknown { is_over: bool },
    /// Refused, though it should not be.
    Refused { status: u16 },
}

/// A regeneration or a revocation.
#[derive(Clone, Debug)]
pub(crate) struct ChangeRecord {
    pub(crate) app: usize,
    pub(crate) target: Target,
    pub(crate) via: Via,
    pub(crate) began: Moment,
    /// When it was answered, and how; none while it is under way.
    pub(crate) answered: Option<(Moment, Outcome)>,
}

/// How a request was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// By a server: the key was good.
    Admitted(u16),
    /// By Keyward, because of the key.
    Refused(u16),
    /// By Keyward, because it has no lease, or is not there; or not at all.
    Unavailable,
}

/// One request with a key.
#[derive(Clone, Debug)]
pub(crate) struct RequestRecord {
    pub(crate) key: usize,
    pub(crate) via: Via,
    pub(crate) began: Moment,
    pub(crate) ended: Moment,
    pub(crate) answer: Answer,
    /// When the upstream made what has arrived, where one did.
    pub(crate) emitted: Option<Moment>,
}

/// An event of an upstream, as it arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) number: u64,
    pub(crate) emitted: Moment,
    pub(crate) arrived: Moment,
}

/// A stream that was opened with a key.
#[derive(Clone, Debug)]
pub(crate) struct StreamRecord {
    pub(crate) key: usize,
    pub(crate) via: Via,
    pub(crate) began: Moment,
    /// That which was emitted last. One that is judged good makes all before it good.
    pub(crate) last: Option<Event>,
    pub(crate) event_count: u64,
    pub(crate) ended: Option<Moment>,
}

/// What was made to go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FaultKind {
    /// SIGKILL, and a start after it.
    Kill,
    /// SIGTERM, and a start after it.
    Leave,
    /// SIGSTOP for longer than a lease, and SIGCONT.
    Stop,
    /// Database connections that are cut, refused or fall silent.
    Cut,
    /// Database connections that are slow.
    Slow,
    /// Answers of the database that are late, by less than a renewal waits.
    Late,
    /// PostgreSQL ends and starts.
    Restart,
    /// The database's wall clock steps, and back.
    Clock,
}

impl FaultKind {
    pub(crate) const ALL: [Self; 8] = [
        Self::Kill,
        Self::Leave,
        Self::Stop,
        Self::Cut,
        Self::Slow,
        Self::Late,
        Self::Restart,
        Self::Clock,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Leave => "leave",
            Self::Stop => "stop",
            Self::Cut => "cut",
            Self::Slow => "slow",
            Self::Late => "late",
            Self::Restart => "restart",
            Self::Clock => "clock",
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for FaultKind {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = Self::ALL.into_iter().find(|kind| kind.name() == text);
        named.ok_or("expected kill, leave, stop, cut, slow, late, restart or clock")
    }
}

/// One fault, with what follows from it until it is repaired.
#[derive(Clone, Debug)]
pub(crate) struct FaultRecord {
    pub(crate) kind: FaultKind,
    /// None where it is the database's.
    pub(crate) replica: Option<usize>,
    pub(crate) detail: String,
    pub(crate) began: Moment,
    /// None while it lasts.
    pub(crate) ended: Option<Moment>,
}

/// What nobody asked a replica to do.
#[derive(Clone, Debug)]
pub(crate) struct Misfortune {
    pub(crate) replica: usize,
    pub(crate) at: Moment,
    pub(crate) what: &'static str,
}

/// Everything that happened.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    pub(crate) keys: Vec<KeyRecord>,
    pub(crate) changes: Vec<ChangeRecord>,
    pub(crate) requests: Vec<RequestRecord>,
    pub(crate) streams: Vec<StreamRecord>,
    pub(crate) faults: Vec<FaultRecord>,
    pub(crate) misfortunes: Vec<Misfortune>,
}

impl History {
    /// Whether a fault lasted at some moment of this time.
    pub(crate) fn was_in_a_fault(&self, began: Moment, ended: Moment) -> bool {
        self.faults_between(began, ended).next().is_some()
    }

    pub(crate) fn faults_between(
        &self,
        began: Moment,
        ended: Moment,
    ) -> impl Iterator<Item = &FaultRecord> {
        self.faults.iter().filter(move |fault| {
            fault.began <= ended && fault.ended.unwrap_or(Moment::END) >= began
        })
    }
}
