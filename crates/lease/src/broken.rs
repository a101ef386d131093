//! Rules that are broken on purpose, in builds with the feature `broken`, so that the checker can be seen to
//! find it: `tests/checker/broken` runs it. No other build has this module, or a line that asks it.
//!
//! A process chooses one rule at its start. Some faults need two things to happen within microseconds; there the
//! switch holds one of them up, and each such rule has a twin that holds up the same and breaks nothing.

use std::sync::OnceLock;
use std::time::Duration;

/// A rule that can be broken; each is named after what is done instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// T1: a snapshot answers without a lease.
    NoLease,
    /// T2: a response is registered after its key was checked.
    RegisterAfterCheck,
    /// T3: a revision counts as settled before what it ends was cut.
    AcknowledgeBeforeCut,
    /// T3: what was loaded last is installed, whenever its loading began.
    OlderOverNewer,
    /// T4: the lease is counted from when its answer was received.
    CountFromReceipt,
    /// T4: the row's id is the machine's name, which replicas have in common and which outlives them.
    ReusedId,
    /// T4: a row is dismissed by how old its last contact is on the database's wall clock.
    DatabaseClock,
    /// T5: the revision is read without a lock.
    NoShareLock,
    /// T5: a lease is granted to who is behind.
    GrantToLaggard,
}

/// How long a registration is held up.
pub const REGISTRATION_HELD_UP: Duration = Duration::from_millis(300);

/// How long each installation is. Longer, and a replica could not keep up with the checker's changes.
pub const INSTALLATION_HELD_UP: Duration = Duration::from_millis(50);

/// How long each request is.
pub const REQUEST_HELD_UP: Duration = Duration::from_millis(15);

const RULES: [(&str, Rule); 9] = [
    ("no-lease", Rule::NoLease),
    ("register-after-check", Rule::RegisterAfterCheck),
    ("acknowledge-before-cut", Rule::AcknowledgeBeforeCut),
    ("older-over-newer", Rule::OlderOverNewer),
    ("count-from-receipt", Rule::CountFromReceipt),
    ("reused-id", Rule::ReusedId),
    ("database-clock", Rule::DatabaseClock),
    ("no-share-lock", Rule::NoShareLock),
    ("grant-to-laggard", Rule::GrantToLaggard),
];

/// Before a rule's name: hold up what it does and keep it.
const TWIN: &str = "intact:";

#[derive(Clone, Copy)]
struct Choice {
    rule: Rule,
    is_intact: bool,
}

static CHOSEN: OnceLock<Choice> = OnceLock::new();

/// There is no rule of this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no rule of this name can be broken")]
pub struct NoSuchRule;

/// Chooses the rule that this process breaks: its name, or `intact:` and its name for its twin.
///
/// # Errors
/// [`NoSuchRule`].
pub fn choose(name: &str) -> Result<(), NoSuchRule> {
    let (bare, is_intact) = name.strip_prefix(TWIN).map_or((name, false), |bare| (bare, true));
    let (_, rule) = RULES.iter().find(|(name, _)| *name == bare).ok_or(NoSuchRule)?;
    // Once: a process has one fault.
    CHOSEN.set(Choice { rule: *rule, is_intact }).map_err(|_| NoSuchRule)
}

/// Whether this process breaks the rule.
pub fn is(rule: Rule) -> bool {
    CHOSEN.get().is_some_and(|chosen| chosen.rule == rule && !chosen.is_intact)
}

/// Whether it holds up what the rule is about, whether or not it breaks it.
pub fn holds_up(rule: Rule) -> bool {
    CHOSEN.get().is_some_and(|chosen| chosen.rule == rule)
}
