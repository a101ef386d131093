//! Says what was seen: counts, latencies, and each violation with what happened around it.

use std::fmt::{self, Write as _};
use std::time::Duration;

use crate::history::{
    Answer, ChangeRecord, FaultKind, History, KeyRecord, Misfortune, Moment, Outcome, Target, Via,
};
use crate::judge::{Tally, Violation};

/// How much of what happened before and after a violation is shown.
const AROUND: Duration = Duration::from_secs(4);

/// How many lines of it are shown before the violation, and after.
const LINES: usize = 25;

/// How many violations are told in full.
const SHOWN: usize = 5;

/// The upper ends of the histogram's columns, in milliseconds.
const COLUMNS: [u64; 10] = [5, 10, 20, 50, 100, 300, 1_000, 2_200, 4_000, 7_000];

/// What a run of three minutes or more must have seen.
const FAULTS_OF_EACH_KIND: usize = 20;
const CHANGES_DURING_A_FAULT: usize = 100;
const CERTAIN_REQUESTS: usize = 200;
const ENOUGH_AFTER: Duration = Duration::from_mins(3);

/// What was counted.
pub(crate) struct Report<'h> {
    pub(crate) history: &'h History,
    pub(crate) tally: Tally,
    pub(crate) violations: &'h [Violation],
}

impl Report<'_> {
    /// What a run of this length should have seen and has not.
    pub(crate) fn lacking(&self, lasted: Duration, kinds: &[FaultKind]) -> Vec<String> {
        if lasted < ENOUGH_AFTER {
            return Vec::new();
        }
        let mut lacking = Vec::new();
        let mut want = |what: String, count: usize, least: usize| {
            if count < least {
                lacking.push(format!("{count} {what}, where {least} would be enough"));
            }
        };
        for kind in kinds {
            let name = kind.name();
            want(format!("faults of the kind {name}"), self.faults(*kind), FAULTS_OF_EACH_KIND);
        }
        let during = self.returned_in_a_fault();
        want("changes in force during a fault".to_owned(), during, CHANGES_DURING_A_FAULT);
        let Tally { good_admitted, ended_refused, .. } = self.tally;
        want("requests with good keys let in".to_owned(), good_admitted, CERTAIN_REQUESTS);
        want("requests with ended keys refused".to_owned(), ended_refused, CERTAIN_REQUESTS);
        lacking
    }

    /// Faults that have happened and were repaired.
    fn faults(&self, kind: FaultKind) -> usize {
        let all = self.history.faults.iter();
        all.filter(|fault| fault.kind == kind && fault.ended.is_some()).count()
    }

    /// When each change began that is in force, and when it returned.
    fn in_force(&self) -> impl Iterator<Item = (Moment, Moment)> {
        self.history.changes.iter().filter_map(|change| match change.answered {
            Some((answered, Outcome::InForce)) => Some((change.began, answered)),
            _ => None,
        })
    }

    /// How many of them returned while a fault lasted.
    fn returned_in_a_fault(&self) -> usize {
        self.in_force().filter(|(_, at)| self.history.was_in_a_fault(*at, *at)).count()
    }

    fn outcomes(&self, is: impl Fn(&Option<(Moment, Outcome)>) -> bool) -> usize {
        self.history.changes.iter().filter(|change| is(&change.answered)).count()
    }

    fn latencies(&self, f: &mut fmt::Formatter<'_>, name: &str, in_fault: bool) -> fmt::Result {
        let mut all: Vec<Duration> = self
            .in_force()
            .filter(|(began, ended)| self.history.was_in_a_fault(*began, *ended) == in_fault)
            .map(|(began, ended)| ended.saturating_since(began))
            .collect();
        all.sort();
        write!(f, "  {name:<14}")?;
        let mut from = 0;
        for column in COLUMNS {
            let to = all.partition_point(|took| *took <= Duration::from_millis(column));
            write!(f, "{:>8}", to - from)?;
            from = to;
        }
        write!(f, "{:>8}", all.len() - from)?;
        let at = |part: usize| all.get((all.len() * part / 100).min(all.len().saturating_sub(1)));
        let ms = |took: Option<&Duration>| took.map_or(0.0, |took| took.as_secs_f64() * 1000.0);
        writeln!(
            f,
            "   p50 {:.1} ms, p99 {:.1} ms, most {:.1} ms",
            ms(at(50)),
            ms(at(99)),
            ms(all.last())
        )
    }

    fn violation(&self, f: &mut fmt::Formatter<'_>, violation: &Violation) -> fmt::Result {
        let history = self.history;
        let (key, at) = match *violation {
            Violation::AdmittedAfterItsEnd { request }
            | Violation::AnswerAfterItsEnd { request }
            | Violation::GoodKeyRefused { request }
            | Violation::WrongAnswer { request } => match history.requests.get(request) {
                Some(record) => (Some(record.key), record.began),
                None => return Ok(()),
            },
            Violation::EventAfterItsEnd { stream } => match history.streams.get(stream) {
                Some(record) => {
                    (Some(record.key), record.last.map_or(record.began, |last| last.emitted))
                }
                None => return Ok(()),
            },
            Violation::TooSlow { change } | Violation::ChangeRefused { change } => {
                match history.changes.get(change) {
                    Some(record) => (None, record.began),
                    None => return Ok(()),
                }
            }
            Violation::Misfortune { misfortune } => match history.misfortunes.get(misfortune) {
                Some(record) => (None, record.at),
                None => return Ok(()),
            },
        };
        writeln!(f, "\nVIOLATION: {violation}")?;
        let key_record = key.and_then(|key| history.keys.get(key));
        if let Some(record) = key_record {
            writeln!(f, "  {}", KeyShown(record))?;
        }
        let timeline = self.timeline(key, key_record, at);
        let middle = timeline.partition_point(|(when, _)| *when <= at);
        for (when, line) in timeline.iter().skip(middle.saturating_sub(LINES)).take(2 * LINES) {
            writeln!(f, "  {when}  {line}")?;
        }
        Ok(())
    }

    /// What happened around a moment, to a key where it is about one.
    fn timeline(
        &self,
        key: Option<usize>,
        record: Option<&KeyRecord>,
        at: Moment,
    ) -> Vec<(Moment, String)> {
        let (from, to) = (at.saturating_sub(AROUND), at + AROUND);
        let is_near = |moment: Moment| from <= moment && moment <= to;
        let mut lines = Vec::new();
        let mut tell = |when: Moment, line: String| lines.push((when, line));
        for fault in self.history.faults_between(from, to) {
            let whose = fault.replica.map_or("the database".to_owned(), |r| format!("replica {r}"));
            tell(fault.began, format!("{whose}: {}", fault.detail));
            if let Some(ended) = fault.ended {
                tell(ended, format!("{whose}: the end of that ({})", fault.kind.name()));
            }
        }
        for change in &self.history.changes {
            let concerns = record.is_none_or(|key| key.app == change.app);
            let until = change.answered.as_ref().map_or(Moment::END, |(answered, _)| *answered);
            if !concerns || change.began > to || until < from {
                continue;
            }
            let what = ChangeShown(change);
            tell(change.began, format!("{what} asked of {}", change.via));
            if let Some((answered, outcome)) = &change.answered {
                tell(*answered, format!("{what} answered by {}: {outcome:?}", change.via));
            }
        }
        for request in self.history.requests.iter().filter(|request| Some(request.key) == key) {
            if is_near(request.began) || is_near(request.ended) {
                let emitted =
                    request.emitted.map(|at| format!(", made at {at}")).unwrap_or_default();
                let answer = request.answer;
                tell(request.began, format!("a request to {}", request.via));
                tell(request.ended, format!("… answered by {}: {answer:?}{emitted}", request.via));
            }
        }
        for stream in self.history.streams.iter().filter(|stream| Some(stream.key) == key) {
            tell(stream.began, format!("a stream of {}", stream.via));
            if let Some(last) = stream.last {
                let (number, emitted) = (last.number, last.emitted);
                tell(last.arrived, format!("… its last event, {number}, made at {emitted}"));
            }
            if let Some(ended) = stream.ended {
                tell(ended, format!("… ended by {}", stream.via));
            }
        }
        for Misfortune { replica, at, what } in &self.history.misfortunes {
            if is_near(*at) {
                tell(*at, format!("replica {replica}: {what}"));
            }
        }
        lines.sort();
        lines
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let history = self.history;
        for violation in self.violations.iter().take(SHOWN) {
            self.violation(f, violation)?;
        }
        let faults: Vec<String> = FaultKind::ALL
            .iter()
            .map(|kind| format!("{} {}", kind.name(), self.faults(*kind)))
            .collect();
        writeln!(f, "\nfaults         {}", faults.join(", "))?;
        let during = self.returned_in_a_fault();
        let of = |is: fn(&Outcome) -> bool| {
            self.outcomes(|answered| answered.as_ref().is_some_and(|(_, outcome)| is(outcome)))
        };
        let slots = history.changes.iter();
        let slots = slots.filter(|change| matches!(change.target, Target::Slot(_))).count();
        writeln!(
            f,
            "changes        {} ({slots} regenerations, {} revocations): in force {} ({during} of them \
             during a fault), not yet {}, unknown {}, nobody there {}, under way {}",
            history.changes.len(),
            history.changes.len() - slots,
            of(|outcome| *outcome == Outcome::InForce),
            of(|outcome| *outcome == Outcome::NotYet),
            of(|outcome| matches!(outcome, Outcome::Unknown { .. })),
            of(|outcome| *outcome == Outcome::NotSent),
            self.outcomes(Option::is_none),
        )?;
        let answers = |is: fn(&Answer) -> bool| {
            history.requests.iter().filter(|request| is(&request.answer)).count()
        };
        writeln!(
            f,
            "requests       {}: let in {}, refused {}, no answer or none without a lease {}",
            history.requests.len(),
            answers(|answer| matches!(answer, Answer::Admitted(_))),
            answers(|answer| matches!(answer, Answer::Refused(_))),
            answers(|answer| *answer == Answer::Unavailable),
        )?;
        let Tally { good_admitted, good_unavailable, ended_refused, ended_unavailable } =
            self.tally;
        writeln!(
            f,
            "  certain      good key: let in {good_admitted}, unavailable {good_unavailable}; ended \
             key: refused {ended_refused}, unavailable {ended_unavailable}",
        )?;
        let by_proxy = history.requests.iter().filter(|one| one.via == Via::Proxy).count();
        let events: u64 = history.streams.iter().map(|stream| stream.event_count).sum();
        let cut = history.streams.iter().filter(|stream| stream.ended.is_some()).count();
        writeln!(f, "  by nginx     {by_proxy}")?;
        writeln!(f, "streams        {}, ended {cut}, with {events} events", history.streams.len())?;
        writeln!(f, "keys           {}", history.keys.len())?;
        let mut head = String::new();
        for column in COLUMNS {
            write!(head, "{:>8}", format!("≤{column}"))?;
        }
        writeln!(
            f,
            "changes in force, by how many milliseconds they took\n  {:<14}{head}    more",
            ""
        )?;
        self.latencies(f, "healthy", false)?;
        self.latencies(f, "with a fault", true)?;
        writeln!(f, "violations     {}", self.violations.len())
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AdmittedAfterItsEnd { .. } => {
                "a request that began after the return of what ended its key was let in"
            }
            Self::AnswerAfterItsEnd { .. } => {
                "an answer arrived that the upstream made after the return of what ended the key"
            }
            Self::EventAfterItsEnd { .. } => {
                "an event arrived that the upstream made after the return of what ended the key"
            }
            Self::GoodKeyRefused { .. } => "a key that nothing had ended was refused",
            Self::WrongAnswer { .. } => "a request was answered as none should be",
            Self::TooSlow { .. } => "a change took longer than a lease and 5 seconds",
            Self::ChangeRefused { .. } => "a change was refused",
            Self::Misfortune { .. } => "a replica did not do what it should",
        })
    }
}

struct KeyShown<'k>(&'k KeyRecord);

impl fmt::Display for KeyShown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let KeyRecord { app, slot, access_key, id, child, .. } = self.0;
        write!(f, "key {id} of app {app}, {slot}, derived from access key {access_key}")?;
        child.map_or(Ok(()), |child| write!(f, ", narrowed as {child}"))
    }
}

struct ChangeShown<'c>(&'c ChangeRecord);

impl fmt::Display for ChangeShown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.target {
            Target::Slot(slot) => write!(f, "regeneration of app {}, {slot},", self.0.app),
            Target::Key(id) => write!(f, "revocation of {id}"),
            Target::Child(id) => write!(f, "revocation of the narrowed {id}"),
        }
    }
}
