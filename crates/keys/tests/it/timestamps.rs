use std::time::Duration;

use keys::{Clock, ManualClock, SystemClock, Timestamp};

use crate::support::{NOW, at};

#[test]
fn an_instant_prints_as_rfc_3339_with_decimals_only_where_they_count() {
    for (ms, text) in [
        (0, "1970-01-01T00:00:00Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (1_767_225_600_000, "2026-01-01T00:00:00Z"),
        (1_767_225_600_120, "2026-01-01T00:00:00.120Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
    ] {
        let instant = Timestamp::from_unix_ms(ms);
        assert_eq!(instant.to_string(), text);
        assert_eq!(text.parse(), Ok(instant));
    }
    assert_eq!(
        Timestamp::from_unix_ms(i64::MAX).to_string(),
        "9223372036854775807 ms since 1970-01-01T00:00:00Z"
    );
}

#[test]
fn what_is_finer_than_a_millisecond_is_cut_off() {
    for (text, ms) in [
        ("2026-01-01T00:00:00.1239999Z", 123),
        ("2026-01-01T00:00:00.0009Z", 0),
        ("2026-01-01T00:00:00.999999999999Z", 999),
        ("2026-01-01T01:30:00.5+01:30", 500),
        ("2025-12-31t23:00:00-01:00", 0),
        ("2026-01-01T00:00:00-00:00", 0),
    ] {
        assert_eq!(Timestamp::parse_rfc3339(text), Ok(at(ms)), "{text}");
    }
    let before = Timestamp::parse_rfc3339("1969-12-31T23:59:59.9995Z").unwrap();
    assert_eq!(before.unix_ms(), -1, "before 1970 too, cutting off is towards the past");
}

#[test]
fn what_is_not_rfc_3339_is_refused() {
    for text in [
        "",
        "2026-01-01",
        "2026-01-01T00:00:00",
        "2026-01-01 00:00:00Z",
        "2026-01-01T00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00:00+0100",
        "2026-01-01T00:00:00Z ",
        "20260-01-01T00:00:00Z",
        "1767225600000",
        "2026-01-0\u{e9}T00:00:00Z",
    ] {
        assert!(Timestamp::parse_rfc3339(text).is_err(), "{text:?}");
    }
}

#[test]
fn instants_add_and_subtract_without_wrapping() {
    assert_eq!(NOW.checked_add(Duration::from_millis(5)), Some(at(5)));
    assert_eq!(NOW.checked_add(Duration::MAX), None);
    assert_eq!(Timestamp::from_unix_ms(i64::MAX).checked_add(Duration::from_millis(1)), None);
    assert_eq!(at(5).duration_since(NOW), Duration::from_millis(5));
    assert_eq!(NOW.duration_since(at(5)), Duration::ZERO);
    let all = Timestamp::from_unix_ms(i64::MAX).duration_since(Timestamp::from_unix_ms(i64::MIN));
    assert_eq!(all, Duration::from_millis(u64::MAX));
}

#[test]
fn a_manual_clock_moves_when_told_and_its_clones_with_it() {
    let clock = ManualClock::at(NOW);
    let same = clock.clone();
    clock.advance(Duration::from_secs(1));
    assert_eq!(same.now(), at(1000));
    same.set(NOW);
    assert_eq!(clock.now(), NOW);
    clock.advance(Duration::MAX);
    assert_eq!(clock.now(), Timestamp::from_unix_ms(i64::MAX));
}

#[test]
fn the_system_clock_is_past_the_day_that_this_was_written() {
    assert!(SystemClock.now() > NOW);
}
