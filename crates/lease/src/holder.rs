use std::fmt;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "broken")]
use crate::broken::{self, Rule};
use crate::time::{CATCH_UP, MAX_WALL_OFF_MS};
use crate::{
    Answer, Instant, Now, Outcome, Renewal, RevisionName, RowId, Settled, Statement, Term, Terms,
};

/// A replica's own lease (T1, T4, T5).
///
/// A driver asks [`Self::next`] what to do, does it, and tells how it went; it asks again after every
/// event. A load and a renewal may be under way at the same time, one of each.
#[derive(Debug)]
pub struct Holder {
    terms: Terms,
    term: Arc<Term>,
    /// The row that is ours, or may be: an answer that was lost may have been a good one.
    row: Option<RowId>,
    settled: Option<RevisionName>,
    /// What the store knows of it.
    reported: Option<RevisionName>,
    /// Grants to calls that were sent before this was raised do not count.
    forfeits: u64,
    calling: bool,
    renew_at: Instant,
    load: LoadState,
    /// Whether a lapse has not been told yet.
    has_held: bool,
    catch_up: Option<Instant>,
    wall_off_ms: u64,
    is_shut_down: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LoadState {
    Wanted {
        from: Instant,
    },
    /// It may have read the store before the last thing that was heard of it.
    UnderWay {
        again: bool,
    },
    NotWanted,
}

/// What a holder's driver does next.
#[derive(Debug)]
pub enum Next {
    /// Load the store's snapshot, install it, cut, and hand the proof to [`Holder::settled`]; or say
    /// [`Holder::reload_failed`].
    Reload,
    /// Send this, and hand back the answer ([`Holder::answered`]), or say that there was none within
    /// [`Terms::attempt`] ([`Holder::failed`]).
    Send(Call),
    /// Nothing, until then or until something happens.
    Idle {
        /// When to ask again.
        until: Instant,
    },
}

/// A renewal or a registration that is under way.
#[derive(Debug)]
#[must_use]
pub struct Call {
    statement: Statement,
    sent: Now,
    forfeits: u64,
}

impl Call {
    /// What to have the database do.
    #[must_use]
    pub const fn statement(&self) -> &Statement {
        &self.statement
    }

    const fn renewal(&self) -> &Renewal {
        match &self.statement {
            Statement::Register(renewal) | Statement::Renew(renewal) => renewal,
        }
    }
}

/// What an answer has for a consequence at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consequence {
    /// None.
    Nothing,
    /// Cut every open response.
    CutAll(Why),
}

/// Why a replica has to cut every open response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its lease had lapsed, which nobody noticed before the answer came.
    Lapsed,
    /// A waiter has dismissed it.
    Dismissed,
    /// Its wall clock is this many milliseconds off the database's.
    WallClock {
        /// At least.
        off_ms: u64,
    },
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lapsed => f.write_str("its lease had lapsed before it was renewed"),
            Self::Dismissed => {
                f.write_str("another replica waited for it for a whole lease and dismissed it")
            }
            Self::WallClock { off_ms } => write!(
                f,
                "this machine's wall clock is {off_ms} ms off the database's, and more than \
                 {MAX_WALL_OFF_MS} ms are not served with: set the clocks of both by one time source"
            ),
        }
    }
}

/// What becomes of a request that comes to this replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// There is a lease: the snapshot may decide.
    Admitted,
    /// It waits for the lease that is being fetched for everybody who waits, until then at most. It is
    /// not registered as open meanwhile: the answer that ends the waiting may be one that cuts everything.
    Wait {
        /// When it is refused.
        until: Instant,
    },
    /// No lease is to be had at present.
    Refused,
}

impl Holder {
    /// Begins without a lease.
    #[must_use]
    pub fn new(terms: Terms) -> Self {
        Self {
            terms,
            term: Arc::default(),
            row: None,
            settled: None,
            reported: None,
            forfeits: 0,
            calling: false,
            renew_at: Instant::default(),
            load: LoadState::Wanted { from: Instant::default() },
            has_held: false,
            catch_up: None,
            wall_off_ms: 0,
            is_shut_down: false,
        }
    }

    /// Returns the lease as requests see it.
    #[must_use]
    pub fn term(&self) -> Arc<Term> {
        Arc::clone(&self.term)
    }

    /// Says what to do at `now`. `fresh` makes the id of a new lease row.
    pub fn next(&mut self, now: Now, fresh: impl FnOnce() -> RowId) -> Next {
        if self.is_shut_down {
            return Next::Idle { until: now.boot + self.terms.lease() };
        }
        if let LoadState::Wanted { from } = self.load
            && from <= now.boot
        {
            self.load = LoadState::UnderWay { again: false };
            return Next::Reload;
        }
        match &self.settled {
            Some(settled) if !self.calling && self.renew_at <= now.boot => {
                let settled = settled.clone();
                Next::Send(self.call(settled, now, fresh))
            }
            _ => Next::Idle { until: self.idle_until(now.boot) },
        }
    }

    fn call(&mut self, settled: RevisionName, now: Now, fresh: impl FnOnce() -> RowId) -> Call {
        let lease = self.terms.lease();
        let statement = match &self.row {
            Some(id) => Statement::Renew(Renewal { id: id.clone(), lease, settled }),
            None => Statement::Register(Renewal { id: fresh(), lease, settled }),
        };
        self.calling = true;
        Call { statement, sent: now, forfeits: self.forfeits }
    }

    fn idle_until(&self, now: Instant) -> Instant {
        let mut until = now + self.terms.renew_every();
        if let LoadState::Wanted { from } = self.load {
            until = until.min(from);
        }
        if self.settled.is_some() && !self.calling {
            until = until.min(self.renew_at);
        }
        match self.term.until() {
            Some(end) if now < end => until.min(end),
            _ => until,
        }
    }

    /// Takes the database's answer to `call`; `now` was read after it came.
    #[expect(clippy::needless_pass_by_value, reason = "a call is answered once")]
    pub fn answered(&mut self, call: Call, now: Now, answer: Answer) -> Consequence {
        self.calling = false;
        let lapsed = self.lapse(now.boot);
        self.wall_off_ms = off_ms(call.sent.wall_ms, now.wall_ms, answer.database_wall_ms);
        match answer.outcome {
            Outcome::NoRow => return self.dismissed(now.boot),
            Outcome::Behind { current } => {
                if matches!(call.statement, Statement::Renew(_)) {
                    self.row = Some(call.renewal().id.clone());
                }
                self.behind(&current, now.boot);
            }
            Outcome::Granted => {
                self.granted(&call);
                #[cfg(feature = "broken")]
                if broken::is(Rule::CountFromReceipt) && call.forfeits == self.forfeits {
                    self.term.extend(now.boot + self.terms.held());
                }
            }
        }
        if self.wall_off_ms > MAX_WALL_OFF_MS {
            self.end();
            self.renew_at = now.boot + self.terms.retry();
            return Consequence::CutAll(Why::WallClock { off_ms: self.wall_off_ms });
        }
        if lapsed { Consequence::CutAll(Why::Lapsed) } else { Consequence::Nothing }
    }

    /// The lease counts from the sending: the database began to count it later than that, whatever
    /// kept the answer.
    fn granted(&mut self, call: &Call) {
        self.row = Some(call.renewal().id.clone());
        self.reported = Some(call.renewal().settled.clone());
        self.renew_at = if self.settled == self.reported {
            call.sent.boot + self.terms.renew_every()
        } else {
            call.sent.boot
        };
        // What was given up since then is not given back by an answer that was under way.
        if call.forfeits == self.forfeits {
            self.term.extend(call.sent.boot + self.terms.held());
            self.has_held = true;
            self.catch_up = None;
        } else {
            self.renew_at = call.sent.boot;
        }
    }

    fn behind(&mut self, current: &RevisionName, now: Instant) {
        if self.settled.as_ref() == Some(current) {
            self.renew_at = now;
        } else {
            self.renew_at = now + self.terms.renew_every();
            self.changed();
        }
    }

    fn dismissed(&mut self, now: Instant) -> Consequence {
        self.row = None;
        self.renew_at = now;
        self.forfeit();
        self.changed();
        Consequence::CutAll(Why::Dismissed)
    }

    /// Takes the word that `call` brought an error or no answer in time. Whether it was granted is not
    /// known, and it does not count.
    #[expect(clippy::needless_pass_by_value, reason = "a call fails once")]
    pub fn failed(&mut self, call: Call, now: Now) {
        self.calling = false;
        // A registration that may have made its row is asked after by a renewal of that row.
        self.row = Some(call.renewal().id.clone());
        self.renew_at = now.boot + self.terms.retry();
    }

    /// Takes the proof that a revision is installed and its cut is done, and reports it at once.
    pub fn settled(&mut self, settled: Settled, now: Instant) {
        self.load = match self.load {
            LoadState::UnderWay { again: true } => LoadState::Wanted { from: now },
            LoadState::UnderWay { again: false } => LoadState::NotWanted,
            other => other,
        };
        self.settled = Some(settled.into_name());
        if self.settled != self.reported || !self.term.is_live(now) {
            self.renew_at = self.renew_at.min(now);
        }
    }

    /// Takes the word that the store could not be loaded, or could not be understood. The lease that is
    /// left goes on; none is granted for what is behind, so it ends by itself.
    pub fn reload_failed(&mut self, now: Instant) {
        self.load = LoadState::Wanted { from: now + self.terms.retry() };
    }

    /// Takes the word that the store has changed, or may have: a notification, or a listening
    /// connection that had to be made anew.
    pub const fn changed(&mut self) {
        self.load = match self.load {
            LoadState::NotWanted => LoadState::Wanted { from: Instant::EARLIEST },
            LoadState::UnderWay { .. } => LoadState::UnderWay { again: true },
            LoadState::Wanted { from } => LoadState::Wanted { from },
        };
    }

    /// Gives the lease up, and what was settled with it: nothing is admitted before something is settled
    /// anew and granted. An answer that is under way grants nothing. The store is loaded again, unless
    /// this is said in the middle of an installation, whose proof follows.
    pub fn forfeit(&mut self) {
        self.settled = None;
        if self.load == LoadState::NotWanted {
            self.changed();
        }
        self.end();
    }

    fn end(&mut self) {
        self.forfeits += 1;
        self.has_held = false;
        self.term.end();
    }

    /// Whether the lease has ended since this was asked last: then cut every open response. Each of
    /// them asks [`Term::is_live`] for itself before it hands anything on; this ends what is idle.
    pub fn lapse(&mut self, now: Instant) -> bool {
        self.has_held && !self.term.is_live(now) && std::mem::replace(&mut self.has_held, false)
    }

    /// Says what becomes of a request. Requests that find no lease share one catch-up; after one that
    /// has failed, they are refused for as long as a renewal pauses, so that a database that is gone
    /// does not fill the replica with requests that wait.
    pub fn arrive(&mut self, now: Instant) -> Arrival {
        if self.term.is_live(now) {
            return Arrival::Admitted;
        }
        if self.is_shut_down || self.wall_off_ms > MAX_WALL_OFF_MS {
            return Arrival::Refused;
        }
        let until = match self.catch_up {
            Some(until) if now < until => until,
            Some(until) if now < until + self.terms.retry() => return Arrival::Refused,
            _ => {
                self.renew_at = self.renew_at.min(now);
                if let LoadState::Wanted { from } = self.load {
                    self.load = LoadState::Wanted { from: from.min(now) };
                }
                now + CATCH_UP
            }
        };
        self.catch_up = Some(until);
        Arrival::Wait { until }
    }

    /// Ends the lease for good. Cut every open response, and then delete the row that this returns; where
    /// that fails, whoever makes a change next waits for it once.
    pub fn shut_down(&mut self) -> Option<RowId> {
        self.is_shut_down = true;
        self.end();
        self.row.take()
    }

    /// Names the lease row that is this replica's, or may be.
    #[must_use]
    pub const fn row(&self) -> Option<&RowId> {
        self.row.as_ref()
    }

    /// Names what is installed and cut.
    #[must_use]
    pub const fn settled_name(&self) -> Option<&RevisionName> {
        self.settled.as_ref()
    }

    /// How far this machine's wall clock was from the database's at the last answer, at least.
    #[must_use]
    pub const fn wall_off(&self) -> Duration {
        Duration::from_millis(self.wall_off_ms)
    }
}

/// How far `database` is outside of what passed here between sending and receiving.
fn off_ms(sent: i64, received: i64, database: i64) -> u64 {
    let (first, last) = (sent.min(received), sent.max(received));
    if database < first {
        first.abs_diff(database)
    } else if database > last {
        database.abs_diff(last)
    } else {
        0
    }
}
