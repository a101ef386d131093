//! What is known of the tools of upstreams, for those who operate them.
//!
//! Nothing is decided by it that a caller of the data plane could notice. It is in memory only: an
//! upstream can be asked again at any time, and nobody waits long for one that does not answer.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use app::{Server, Upstream};
use keys::{AppId, Timestamp};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::Snapshot;

/// An upstream as a server of an app: what can be known something of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The app.
    pub app: AppId,
    /// The server's name in lower case.
    pub server: String,
    /// How it is reached. What is known of one is not known of another, whatever its name.
    pub upstream: Arc<Upstream>,
}

impl Subject {
    /// Makes the subject of a server; none for one whose tools are workflows.
    #[must_use]
    pub fn of(app: AppId, server: &Server) -> Option<Self> {
        let upstream = Arc::clone(server.upstream()?);
        Some(Self { app, server: server.name().to_ascii_lowercase(), upstream })
    }

    fn place(&self) -> Place {
        (self.app, self.server.clone())
    }
}

/// A tool as its upstream describes it: text of others, within the bounds of whoever asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedTool {
    /// Its exact name.
    pub name: String,
    /// What it says that it does.
    pub description: Option<String>,
}

/// What is known of an upstream's tools at a moment. The default is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Knowledge {
    /// All its tools by its last answer, in its order; none before the first. They stay when it
    /// fails later.
    pub tools: Option<Arc<[ListedTool]>>,
    /// When it was last heard of, or failed.
    pub checked_at: Option<Timestamp>,
    /// Why there is no newer answer, if it failed since.
    pub failure: Option<Failure>,
    /// Whether it is being asked, or will be in a moment.
    pub is_asked: bool,
}

/// Why an upstream gave no list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// A text for an operator, without credentials.
    pub why: String,
    /// Since when every attempt has failed.
    pub since: Timestamp,
}

/// What whoever asks upstreams decides by.
#[derive(Debug)]
pub struct Candidate<'a> {
    /// How it is reached.
    pub upstream: &'a Upstream,
    /// How old an answer may be for somebody who wants one now; none if nobody does.
    pub wanted: Option<Duration>,
    /// How long ago it was last heard of, or failed; none if it was never asked.
    pub age: Option<Duration>,
    /// How often it has failed since its last answer.
    pub failure_count: u32,
}

type Place = (AppId, String);

/// What is known of the tools of every upstream that is enabled.
///
/// One task asks ([`Self::stirred`], [`Self::take_due`], [`Self::tell`]); anybody may want an answer
/// ([`Self::want`], [`Self::settled`]) and read what there is ([`Self::knowledge`]).
pub struct Catalog {
    entries: Mutex<BTreeMap<Place, Entry>>,
    /// Tells those who wait for an answer to look again.
    told: watch::Sender<()>,
    /// Tells the one who asks to look again.
    stirred: Notify,
}

struct Entry {
    upstream: Arc<Upstream>,
    wanted: Option<Duration>,
    is_asked: bool,
    tools: Option<Arc<[ListedTool]>>,
    checked: Option<(Timestamp, Instant)>,
    failure: Option<Failure>,
    failure_count: u32,
}

impl fmt::Debug for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Catalog")
            .field("entry_count", &self.entries().len())
            .finish_non_exhaustive()
    }
}

impl Catalog {
    pub(crate) fn new(snapshot: &Snapshot) -> Self {
        let catalog = Self {
            entries: Mutex::default(),
            told: watch::Sender::new(()),
            stirred: Notify::new(),
        };
        catalog.install(snapshot);
        catalog
    }

    /// Forgets what is no longer served or leads elsewhere, and takes up what is new.
    pub(crate) fn install(&self, snapshot: &Snapshot) {
        let subjects = snapshot.apps().iter().filter(|state| state.app.mcp_enabled());
        let subjects = subjects.flat_map(|state| {
            let enabled = state.app.servers().iter().filter(|server| server.is_enabled());
            enabled.filter_map(|server| Subject::of(state.id, server))
        });
        let mut entries = self.entries();
        let mut former = std::mem::take(&mut *entries);
        for subject in subjects {
            let place = subject.place();
            let kept = former.remove(&place).filter(|entry| entry.upstream == subject.upstream);
            entries.insert(place, kept.unwrap_or_else(|| Entry::new(subject.upstream)));
        }
        drop(entries);
        self.told.send_replace(());
        self.stirred.notify_one();
    }

    /// Gives what is known now; nothing of a server that is disabled, which nobody asks.
    #[must_use]
    pub fn knowledge(&self, subject: &Subject) -> Knowledge {
        let entries = self.entries();
        entries
            .get(&subject.place())
            .filter(|entry| entry.upstream == subject.upstream)
            .map_or_else(Knowledge::default, |entry| Knowledge {
                tools: entry.tools.clone(),
                checked_at: entry.checked.map(|(at, _)| at),
                failure: entry.failure.clone(),
                is_asked: entry.is_pending(),
            })
    }

    /// Asks for answers that are at most this old. One that fails is asked again when whoever asks
    /// finds it worth while.
    pub fn want(&self, subjects: &[Subject], max_age: Duration) {
        self.with_each(subjects, |entry| {
            if !entry.is_asked {
                entry.wanted = Some(entry.wanted.map_or(max_age, |other| other.min(max_age)));
            }
        });
        self.stirred.notify_one();
    }

    /// Returns when what is wanted of these has been answered or has failed, and at the latest
    /// after `within`.
    pub async fn settled(&self, subjects: &[Subject], within: Duration) {
        let mut told = self.told.subscribe();
        let all = async {
            loop {
                let mut is_pending = false;
                self.with_each(subjects, |entry| is_pending |= entry.is_pending());
                if !is_pending || told.changed().await.is_err() {
                    return;
                }
            }
        };
        // Past the time, what there is has to do.
        drop(tokio::time::timeout(within, all).await);
    }

    /// Returns when something may have become due: at once after an installation or a wish. For one
    /// task only.
    pub async fn stirred(&self) {
        self.stirred.notified().await;
    }

    /// Takes up what is due, to be asked by the caller, who has to [`Self::tell`] how it went.
    /// Wishes for the others are met by what is known.
    pub fn take_due(&self, is_due: impl Fn(&Candidate<'_>) -> bool) -> Vec<Subject> {
        let mut due = Vec::new();
        let idle = |(_, entry): &(&Place, &mut Entry)| !entry.is_asked;
        for ((app, server), entry) in self.entries().iter_mut().filter(idle) {
            let candidate = Candidate {
                upstream: &entry.upstream,
                wanted: entry.wanted,
                age: entry.checked.map(|(_, checked)| checked.elapsed()),
                failure_count: entry.failure_count,
            };
            entry.is_asked = is_due(&candidate);
            entry.wanted = None;
            if entry.is_asked {
                let upstream = Arc::clone(&entry.upstream);
                due.push(Subject { app: *app, server: server.clone(), upstream });
            }
        }
        self.told.send_replace(());
        due
    }

    /// Notes an answer: the tools, or a text for operators that says why there are none. What has
    /// been replaced meanwhile stays unknown.
    pub fn tell(&self, subject: &Subject, answer: Result<Vec<ListedTool>, String>, at: Timestamp) {
        let mut entries = self.entries();
        let entry = entries.get_mut(&subject.place());
        if let Some(entry) = entry.filter(|entry| entry.upstream == subject.upstream) {
            entry.note(answer, at);
        }
        drop(entries);
        self.told.send_replace(());
    }

    fn with_each(&self, subjects: &[Subject], mut act: impl FnMut(&mut Entry)) {
        let mut entries = self.entries();
        for subject in subjects {
            let entry = entries.get_mut(&subject.place());
            if let Some(entry) = entry.filter(|entry| entry.upstream == subject.upstream) {
                act(entry);
            }
        }
    }

    /// No code that holds the lock can panic half-way through a change.
    fn entries(&self) -> MutexGuard<'_, BTreeMap<Place, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    const fn new(upstream: Arc<Upstream>) -> Self {
        Self {
            upstream,
            wanted: None,
            is_asked: false,
            tools: None,
            checked: None,
            failure: None,
            failure_count: 0,
        }
    }

    fn note(&mut self, answer: Result<Vec<ListedTool>, String>, at: Timestamp) {
        self.is_asked = false;
        self.checked = Some((at, Instant::now()));
        match answer {
            Ok(tools) => {
                self.tools = Some(tools.into());
                self.failure = None;
                self.failure_count = 0;
            }
            Err(why) => {
                let since = self.failure.as_ref().map_or(at, |failure| failure.since);
                self.failure = Some(Failure { why, since });
                self.failure_count = self.failure_count.saturating_add(1);
            }
        }
    }

    const fn is_pending(&self) -> bool {
        self.is_asked || self.wanted.is_some()
    }
}
