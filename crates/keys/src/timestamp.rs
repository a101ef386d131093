use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::Error;

/// An instant in milliseconds since 1970-01-01T00:00:00Z, negative before it.
///
/// `Display` is RFC 3339 in UTC, with three decimals only where they are not zero. An instant
/// whose year has no four digits, which no clock shows and no key is issued with, is printed as
/// its milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Makes an instant from milliseconds since 1970.
    pub const fn from_unix_ms(ms: i64) -> Self {
        Self(ms)
    }

    /// Returns the milliseconds since 1970.
    pub const fn unix_ms(self) -> i64 {
        self.0
    }

    /// Parses an RFC 3339 instant with any offset; what is finer than a millisecond is cut off,
    /// never rounded up.
    ///
    /// # Errors
    /// [`Error::Timestamp`] if the text is not RFC 3339 (section 5.6, with `T` between date and
    /// time).
    pub fn parse_rfc3339(text: &str) -> Result<Self, Error> {
        let wrong = || Error::Timestamp { given: text.to_owned() };
        // The parser takes any separator, and RFC 3339's grammar has one.
        if !matches!(text.as_bytes().get(10), Some(b'T' | b't')) {
            return Err(wrong());
        }
        let at = OffsetDateTime::parse(text, &Rfc3339).map_err(|_source| wrong())?;
        let ms = at.unix_timestamp_nanos().div_euclid(1_000_000);
        i64::try_from(ms).map(Self).map_err(|_source| wrong())
    }

    /// Returns the instant that much later, cut off to the millisecond, or nothing past the end
    /// of time.
    pub fn checked_add(self, duration: Duration) -> Option<Self> {
        let ms = i64::try_from(duration.as_millis()).ok()?;
        self.0.checked_add(ms).map(Self)
    }

    /// Returns how long after `earlier` this is, zero if it is before it.
    pub fn duration_since(self, earlier: Self) -> Duration {
        if self <= earlier {
            Duration::ZERO
        } else {
            Duration::from_millis(self.0.abs_diff(earlier.0))
        }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000)
            .ok()
            .filter(|at| (0..=9999).contains(&at.year()));
        let Some(at) = at else {
            return write!(f, "{} ms since 1970-01-01T00:00:00Z", self.0);
        };
        let (year, month, day) = at.to_calendar_date();
        let (hour, minute, second, ms) = at.to_hms_milli();
        let month = u8::from(month);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if ms != 0 {
            write!(f, ".{ms:03}")?;
        }
        f.write_str("Z")
    }
}

impl FromStr for Timestamp {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse_rfc3339(text)
    }
}

/// Tells the time of day. What decides by the time takes a [`Timestamp`]; only edges hold a clock.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Returns the present instant.
    fn now(&self) -> Timestamp;
}

/// The machine's wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "this is where the wall clock enters")]
        let now = SystemTime::now();
        let ms = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        match now.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => Timestamp(ms(since)),
            Err(before) => Timestamp(-ms(before.duration())),
        }
    }
}

/// A clock that stands until it is moved. Clones show the same time.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    /// Makes a clock that shows `now`.
    pub fn at(now: Timestamp) -> Self {
        Self(Arc::new(AtomicI64::new(now.0)))
    }

    /// Moves the clock forward, at most to the end of time.
    pub fn advance(&self, duration: Duration) {
        let ms = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        self.0.update(Ordering::SeqCst, Ordering::SeqCst, |now| now.saturating_add(ms));
    }

    /// Sets the clock, forward or back.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}
