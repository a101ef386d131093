use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll};

use app::Upstream;
use futures::task::AtomicWaker;
use keys::{ApiKeyId, AppId, Claims, Clock, Refusal, Timestamp};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::CountsBy;
use crate::hold::Hold;

/// Requests of different cores rarely meet at the same lock; a judgement takes each once.
const SHARDS: usize = 16;

/// After every instant at which a key can end.
const NEVER: Timestamp = Timestamp::from_unix_ms(i64::MAX);

/// What a response is admitted on.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The app that was asked.
    pub app: AppId,
    /// The server's name in lower case, `default` for the default server.
    pub server: String,
    /// Where its requests go, if not to workflows: what goes elsewhere later is another server.
    pub upstream: Option<Arc<Upstream>>,
    /// What the API key that was presented says of itself; none for a request without one.
    pub key: Option<Claims>,
    /// Whether Keyward itself asks, for its operator and not for a client: no authentication type is
    /// about that.
    pub is_operators: bool,
}

/// Why an open response must end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Its API key is no longer good.
    Refused(Refusal),
    /// The app's authentication type no longer accepts what it came with.
    AuthenticationChanged,
    /// Its server is gone or disabled.
    ServerGone,
    /// Its server leads elsewhere now, or offers other tools of the same upstream.
    ServerChanged,
    /// The replica has lost touch with its store.
    Suspended,
    /// The process is ending.
    ShuttingDown,
}

/// The names that cuts are counted by.
const CUTS: [&str; 8] = [
    "expired",
    "revoked",
    "access_key_regenerated",
    "authentication_changed",
    "server_gone",
    "server_changed",
    "suspended",
    "shutting_down",
];

impl Cut {
    /// Returns the stable name of the reason, in snake case, for logs and counters.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.as_str(),
            Self::AuthenticationChanged => "authentication_changed",
            Self::ServerGone => "server_gone",
            Self::ServerChanged => "server_changed",
            Self::Suspended => "suspended",
            Self::ShuttingDown => "shutting_down",
        }
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::AuthenticationChanged => f.write_str("the app's authentication type has changed"),
            Self::ServerGone => f.write_str("this server was removed or disabled"),
            Self::ServerChanged => f.write_str("this server was changed: connect to it again"),
            Self::Suspended => f.write_str("this replica has lost touch with its store"),
            Self::ShuttingDown => f.write_str("this server is shutting down"),
        }
    }
}

/// All responses that are open, and the uses of API keys that the store has not been told of.
pub(crate) struct OpenResponses {
    shards: [Mutex<Shard>; SHARDS],
    next: AtomicUsize,
    cuts: CountsBy<{ CUTS.len() }>,
    clock: Arc<dyn Clock>,
    hold: Hold,
}

struct Shard {
    /// What has been admitted and has ended since.
    ended: Admissions,
    open: BTreeMap<usize, Arc<Entry>>,
    /// No key of an open response that is not cut ends before this.
    earliest: Timestamp,
    uses: BTreeMap<(AppId, ApiKeyId), Timestamp>,
    left: Left,
}

/// What cut responses have left behind.
#[derive(Default)]
struct Left {
    things: Vec<Box<dyn Any + Send>>,
    /// How many there were when they were looked at last.
    seen: usize,
    /// How often they were looked at since there are any.
    looks: u8,
}

/// How often what is left behind is looked at before it is taken, though more may still come.
const MOST_LOOKS: u8 = 10;

/// How many requests were admitted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Admissions {
    pub(crate) all: u64,
    pub(crate) with_key: u64,
}

/// What became of a claim: nothing yet; it was found good for a request; or for what outlives requests.
const UNDECIDED: u8 = 0;
const REQUEST: u8 = 1;
const SESSION: u8 = 2;

struct Entry {
    claim: Arc<Claim>,
    accepted: AtomicU8,
    /// Why it was cut, and what tells the installation that cut it when it is dropped.
    cut: OnceLock<(Cut, mpsc::Sender<()>)>,
    waker: AtomicWaker,
    /// Ends the connection that the response is written to.
    hangup: Arc<CancellationToken>,
}

impl OpenResponses {
    pub(crate) fn new(clock: Arc<dyn Clock>, hold: Hold) -> Self {
        let (shards, cuts) = (Default::default(), CountsBy::new(CUTS));
        Self { shards, next: AtomicUsize::new(0), cuts, clock, hold }
    }

    pub(crate) fn open(
        this: &Arc<Self>,
        claim: Arc<Claim>,
        hangup: Arc<CancellationToken>,
    ) -> OpenResponse {
        let entry = Arc::new(Entry {
            claim,
            accepted: AtomicU8::new(UNDECIDED),
            cut: OnceLock::new(),
            waker: AtomicWaker::new(),
            hangup,
        });
        let id = this.next.fetch_add(1, Ordering::Relaxed);
        let mut shard = this.shard(id);
        shard.earliest = shard.earliest.min(entry.not_after());
        shard.open.insert(id, Arc::clone(&entry));
        drop(shard);
        OpenResponse { all: Arc::clone(this), id, entry }
    }

    pub(crate) fn count(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).open.len()).sum()
    }

    /// Cuts every open response that `judge` does not let go on.
    pub(crate) fn cut_where(&self, judge: impl Fn(&Claim) -> Result<(), Cut>) -> Closing {
        let (leaving, gone) = mpsc::channel(1);
        for shard in &self.shards {
            for entry in lock(shard).open.values() {
                let Err(cut) = judge(&entry.claim) else { continue };
                let reason = cut.as_str();
                if entry.cut.set((cut, leaving.clone())).is_ok() {
                    self.cuts.count(reason);
                    entry.waker.wake();
                }
            }
        }
        Closing(gone)
    }

    /// Cuts what was opened with a key that has expired by now. Costs a comparison for each shard where
    /// none has.
    pub(crate) fn cut_expired(&self) {
        let now = self.clock.now();
        // What expires by itself is not waited for, so nobody needs to know when it has left.
        let (leaving, _gone) = mpsc::channel(1);
        for shard in &self.shards {
            let mut shard = lock(shard);
            if now <= shard.earliest {
                continue;
            }
            let mut earliest = NEVER;
            for entry in shard.open.values().filter(|entry| entry.cut.get().is_none()) {
                let at = entry.not_after();
                if now <= at {
                    earliest = earliest.min(at);
                } else {
                    let cut = Cut::Refused(Refusal::Expired { at });
                    let reason = cut.as_str();
                    // Cut for another reason at this moment: it ends all the same.
                    if entry.cut.set((cut, leaving.clone())).is_ok() {
                        self.cuts.count(reason);
                    }
                    entry.waker.wake();
                }
            }
            shard.earliest = earliest;
        }
    }

    /// Ends the connections of what was cut and is still there; says how many responses that are.
    pub(crate) fn hang_up(&self) -> usize {
        let mut count = 0;
        for shard in &self.shards {
            for entry in lock(shard).open.values().filter(|entry| entry.cut.get().is_some()) {
                entry.hangup.cancel();
                count += 1;
            }
        }
        count
    }

    /// How many open responses were cut, by [`Cut::as_str`].
    pub(crate) fn cuts(&self) -> Vec<(&'static str, u64)> {
        self.cuts.read()
    }

    /// How many requests were admitted. What is open is looked at, and what has ended was counted then, under
    /// the lock that its end takes anyway: no request pays for being counted.
    pub(crate) fn admissions(&self) -> Admissions {
        let mut sum = Admissions::default();
        for shard in &self.shards {
            let shard = lock(shard);
            sum.all += shard.ended.all;
            sum.with_key += shard.ended.with_key;
            shard.open.values().for_each(|entry| entry.count_in(&mut sum));
        }
        sum
    }

    /// Gives what cut responses have left behind, once no more has come since this was asked last, and from time
    /// to time where more always comes.
    pub(crate) fn take_left(&self) -> Vec<Box<dyn Any + Send>> {
        self.shards.iter().flat_map(|shard| lock(shard).left.take()).collect()
    }

    pub(crate) fn take_uses(&self) -> Vec<(AppId, ApiKeyId, Timestamp)> {
        let now = self.clock.now();
        let mut all = Vec::new();
        for shard in &self.shards {
            let mut shard = lock(shard);
            let closed = std::mem::take(&mut shard.uses);
            all.extend(closed.into_iter().map(|((app, id), at)| (app, id, at)));
            all.extend(shard.open.values().filter_map(|entry| entry.used(now)));
        }
        all
    }

    pub(crate) fn put_back(&self, uses: Vec<(AppId, ApiKeyId, Timestamp)>) {
        let mut shard = self.shard(0);
        for (app, id, at) in uses {
            shard.note(app, id, at);
        }
    }

    fn shard(&self, id: usize) -> MutexGuard<'_, Shard> {
        #[expect(clippy::indexing_slicing, reason = "the remainder is below the number of shards")]
        lock(&self.shards[id % SHARDS])
    }
}

impl Default for Shard {
    fn default() -> Self {
        Self {
            ended: Admissions::default(),
            open: BTreeMap::new(),
            earliest: NEVER,
            uses: BTreeMap::new(),
            left: Left::default(),
        }
    }
}

impl Shard {
    fn note(&mut self, app: AppId, id: ApiKeyId, at: Timestamp) {
        let latest = self.uses.entry((app, id)).or_insert(at);
        *latest = at.max(*latest);
    }
}

impl Left {
    fn take(&mut self) -> Vec<Box<dyn Any + Send>> {
        let is_all = self.things.len() == self.seen || self.looks >= MOST_LOOKS;
        if is_all {
            (self.seen, self.looks) = (0, 0);
            return std::mem::take(&mut self.things);
        }
        self.seen = self.things.len();
        self.looks += 1;
        Vec::new()
    }
}

impl Entry {
    fn not_after(&self) -> Timestamp {
        self.claim.key.as_ref().and_then(Claims::not_after).unwrap_or(NEVER)
    }

    fn used(&self, now: Timestamp) -> Option<(AppId, ApiKeyId, Timestamp)> {
        let key = self.claim.key.as_ref()?;
        let is_used = self.accepted.load(Ordering::Relaxed) != UNDECIDED;
        is_used.then(|| (self.claim.app, key.key_id(), now))
    }

    fn count_in(&self, admissions: &mut Admissions) {
        if self.accepted.load(Ordering::Relaxed) == REQUEST {
            admissions.all += 1;
            admissions.with_key += u64::from(self.claim.key.is_some());
        }
    }
}

/// No code that holds a shard's lock can panic half-way through a change of it.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What was just cut and has not left yet.
pub(crate) struct Closing(mpsc::Receiver<()>);

impl Closing {
    /// Returns when all of it is dropped.
    pub(crate) async fn gone(&mut self) {
        // Nothing is ever sent: the channel ends with its last sender.
        while self.0.recv().await.is_some() {}
    }
}

/// One response from before its credential is checked to its last byte.
///
/// Whoever makes bytes for the client asks [`Self::trusted`] *after* it has
/// the next bytes and before it hands them on: what was made after a cut then never leaves.
pub struct OpenResponse {
    all: Arc<OpenResponses>,
    id: usize,
    entry: Arc<Entry>,
}

impl fmt::Debug for OpenResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenResponse").field("id", &self.id).finish_non_exhaustive()
    }
}

impl OpenResponse {
    /// Notes that the claim was checked and found good for a request: its API key counts as used.
    pub fn accepted(&self) {
        self.entry.accepted.store(REQUEST, Ordering::Relaxed);
    }

    /// Notes that what goes on by the claim is no request, but what one has opened: its API key counts as used
    /// for as long.
    pub fn outlives_its_request(&self) {
        self.entry.accepted.store(SESSION, Ordering::Relaxed);
    }

    /// Whether it may go on at this instant, by clocks and not by a timer: a process that was stopped
    /// runs before its timers do.
    ///
    /// # Errors
    /// Why it must end.
    pub fn trusted(&self) -> Result<(), Cut> {
        if let Some((cut, _)) = self.entry.cut.get() {
            return Err(cut.clone());
        }
        if !self.all.hold.is_live() {
            return Err(Cut::Suspended);
        }
        let at = self.entry.not_after();
        if self.all.clock.now() > at { Err(Cut::Refused(Refusal::Expired { at })) } else { Ok(()) }
    }

    /// Ready once it was cut; wakes the task when that happens later. An expiry is noticed by
    /// [`crate::Replica::tend`], so that no response needs a timer, and by [`Self::trusted`] at once.
    pub fn poll_cut(&self, cx: &Context<'_>) -> Poll<Cut> {
        self.entry.waker.register(cx.waker());
        match self.entry.cut.get() {
            Some((cut, _)) => Poll::Ready(cut.clone()),
            None => Poll::Pending,
        }
    }

    /// Takes what is of no more use once it was cut, and has [`crate::Replica::tend`] drop it a moment later:
    /// where many are cut at once, all their clients are told before connections to upstreams are closed.
    pub fn leave_behind(&self, thing: impl Send + 'static) {
        self.all.shard(self.id).left.things.push(Box::new(thing));
    }

    /// Waits until it must end.
    pub async fn cut(&self) -> Cut {
        poll_fn(|cx| self.poll_cut(cx)).await
    }
}

impl Drop for OpenResponse {
    fn drop(&mut self) {
        let now = self.all.clock.now();
        let mut shard = self.all.shard(self.id);
        shard.open.remove(&self.id);
        self.entry.count_in(&mut shard.ended);
        if let Some((app, id, at)) = self.entry.used(now) {
            shard.note(app, id, at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_behind_is_kept_while_more_comes_and_not_for_ever() {
        let mut left = Left::default();
        assert!(left.take().is_empty());
        left.things.push(Box::new(1));
        assert!(left.take().is_empty(), "more may come");
        assert_eq!(left.take().len(), 1);
        let taken: Vec<usize> = (0..25)
            .map(|_| {
                left.things.push(Box::new(1));
                left.take().len()
            })
            .collect();
        assert_eq!(taken.iter().sum::<usize>() + left.things.len(), 25);
        assert!(left.things.len() <= usize::from(MOST_LOOKS) + 1, "{taken:?}");
    }
}
