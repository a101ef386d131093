//! How long an action waits.

use std::time::{Duration, SystemTime};

use serde_json::Value;
use time::format_description::well_known::Rfc3339;
use time::{Month, OffsetDateTime};

use super::failure::Failure;
use super::view::View;
use crate::plan::{Unit, WaitFor};

/// Returns the time from now until the wait is over; none if that has passed.
pub(super) fn duration(wait: &WaitFor, view: &View<'_>) -> Result<Duration, Failure> {
    match wait {
        WaitFor::Until(timestamp) => {
            let until = view.evaluate(timestamp)?;
            let until = until
                .as_str()
                .and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok())
                .ok_or_else(|| {
                    Failure::bad_request(
                        "the time to wait until has to be written as 2026-01-01T00:00:00Z",
                    )
                })?;
            Ok(SystemTime::from(until).duration_since(view.now).unwrap_or_default())
        }
        WaitFor::Interval { count, unit } => {
            let count = view.evaluate(count)?;
            let unit = view.evaluate(unit)?;
            let count = whole(&count).ok_or_else(|| {
                Failure::bad_request("the count of a Wait has to be an integer, zero or more")
            })?;
            let unit = unit.as_str().and_then(Unit::parse).ok_or_else(|| {
                Failure::bad_request(
                    "the unit of a Wait has to be Second, Minute, Hour, Day, Week or Month",
                )
            })?;
            span(count, unit, view.now)
                .ok_or_else(|| Failure::bad_request("the time to wait is out of range"))
        }
    }
}

fn whole(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.trim().parse().ok())
}

fn span(count: u64, unit: Unit, now: SystemTime) -> Option<Duration> {
    const DAY: u64 = 24 * 60 * 60;
    let seconds = match unit {
        Unit::Second => 1,
        Unit::Minute => 60,
        Unit::Hour => 60 * 60,
        Unit::Day => DAY,
        Unit::Week => 7 * DAY,
        Unit::Month => {
            let then = add_months(OffsetDateTime::from(now), count)?;
            return SystemTime::from(then).duration_since(now).ok();
        }
    };
    count.checked_mul(seconds).map(Duration::from_secs)
}

/// Goes to the same day of a later month, or to its last one.
fn add_months(from: OffsetDateTime, count: u64) -> Option<OffsetDateTime> {
    let months = u64::from(u8::from(from.month())) - 1 + count;
    let year = from.year().checked_add(i32::try_from(months / 12).ok()?)?;
    let month = Month::try_from(u8::try_from(months % 12).ok()? + 1).ok()?;
    let day = from.day().min(month.length(year));
    from.replace_day(1)
        .ok()?
        .replace_year(year)
        .ok()?
        .replace_month(month)
        .ok()?
        .replace_day(day)
        .ok()
}
