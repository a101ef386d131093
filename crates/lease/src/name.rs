use std::fmt;
use std::sync::Arc;

/// How many changes that must be in force the store has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(i64);

impl Revision {
    /// Takes the number as it stands in the store.
    #[must_use]
    pub const fn new(number: i64) -> Self {
        Self(number)
    }

    /// Returns the number as it stands in the store.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The random name of the change that made a revision: two databases that went different ways after
/// a failover or a restore may have the same number, never the same name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChangeId(Arc<str>);

impl ChangeId {
    /// Takes the name as it stands in the store.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// Returns the name as it stands in the store.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ChangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A revision by its number and by the change that made it. Everything that a replica reports, and
/// everything that it is told, is this pair.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RevisionName {
    /// Its number, which only says something about another number of the same history.
    pub revision: Revision,
    /// The change that made it.
    pub change: ChangeId,
}

impl RevisionName {
    /// Whether a replica that has settled this revision has settled `wanted` too, given that both
    /// are of one history: the same pair, or a higher number. The same number under another name is
    /// of another history.
    #[must_use]
    pub fn includes(&self, wanted: &Self) -> bool {
        self.revision > wanted.revision || self == wanted
    }
}

impl fmt::Display for RevisionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.revision, self.change)
    }
}

/// Names a lease row. Random, and a new one for every registration, also of the same process.
///
/// If a process that starts took the id of one that is believed to be gone (its host's name, the name
/// of its pod), one row would speak for both, and the old one may still be serving. If a process that
/// was dismissed took its own id again, its counter would pass the same numbers twice, and a waiter that
/// saw one of them long ago would dismiss it while its lease is good.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowId(Arc<str>);

impl RowId {
    /// Takes a name that nobody has had before: at least 122 random bits.
    #[must_use]
    pub fn new(random: impl Into<Arc<str>>) -> Self {
        Self(random.into())
    }

    /// Returns the name as it stands in the store.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
