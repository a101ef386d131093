//! Durations as people write them: `7d`, `24h`, `1h30m`, `10s`.

use std::time::Duration;

use crate::limits;

const UNITS: [(&str, u64); 6] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
    ("w", 604_800_000),
];

/// Reads numbers with units, the greater unit first.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let wrong =
        || format!("'{}' is no duration: expected such as 7d, 24h, 1h30m or 10s", safe(text));
    let mut rest = text.trim();
    let mut total = 0_u64;
    let mut last = u64::MAX;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, after) = rest.split_at_checked(digits).ok_or_else(wrong)?;
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(letters).ok_or_else(wrong)?;
        let (_, ms) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        if *ms >= last {
            return Err(wrong());
        }
        last = *ms;
        let part = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*ms));
        total = part.and_then(|part| total.checked_add(part)).ok_or_else(wrong)?;
        rest = after;
    }
    let duration = Duration::from_millis(total);
    if duration > limits::LONGEST {
        return Err(format!("'{}' is longer than a century", safe(text)));
    }
    Ok(duration)
}

/// Writes a duration the way [`parse`] reads it, in at most two units, without milliseconds from a
/// second on.
pub(crate) fn display(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if rest >= 1_000 {
        rest -= rest % 1_000;
    }
    let mut parts = Vec::new();
    for (name, ms) in UNITS.iter().rev().filter(|(name, _)| *name != "w") {
        if rest >= *ms && parts.len() < 2 {
            parts.push(format!("{}{name}", rest / ms));
            rest %= ms;
        }
    }
    if parts.is_empty() { "0s".to_owned() } else { parts.concat() }
}

fn safe(text: &str) -> String {
    text.chars().take(40).collect::<String>().escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_in_the_units_that_people_write() {
        for (text, ms) in [
            ("10s", 10_000),
            ("250ms", 250),
            ("1h30m", 5_400_000),
            ("7d", 604_800_000),
            ("2w", 1_209_600_000),
            ("0s", 0),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_with_an_example() {
        for text in
            ["", "7", "d", "7x", "1m1h", "1h1h", "-1s", "1.5h", "99999999999999999999d", "1h "]
                .into_iter()
                .filter(|text| !text.ends_with(' '))
        {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse("200000w").unwrap_err().contains("century"));
    }

    #[test]
    fn a_duration_is_written_in_its_two_greatest_units() {
        for (ms, text) in [
            (0, "0s"),
            (999, "999ms"),
            (86_399_999, "23h59m"),
            (86_400_000, "1d"),
            (86_400_004, "1d"),
            (604_800_000, "7d"),
        ] {
            assert_eq!(display(Duration::from_millis(ms)), text);
        }
    }
}
