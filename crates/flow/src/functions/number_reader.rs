//! Numbers out of text, as lenient as the reference engine.

use crate::expression::{Call, Fault, Val};

/// How a culture writes numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Separators {
    pub(super) decimal: char,
    pub(super) group: char,
}

const INVARIANT: Separators = Separators { decimal: '.', group: ',' };

/// Returns the separators of a culture by its name; unknown ones write as English does.
pub(super) fn separators(culture: &str) -> Separators {
    let language = culture.split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase();
    let (decimal, group) = match (language.as_str(), culture.to_ascii_lowercase().as_str()) {
        (_, "de-ch" | "de-li" | "it-ch") => ('.', '\u{2019}'),
        (_, "de-at") => (',', '\u{a0}'),
        (_, "es-mx" | "es-us") => ('.', ','),
        (_, "en-za") => (',', '\u{a0}'),
        (_, "pt-pt") => (',', '\u{a0}'),
        (
            "de" | "es" | "it" | "nl" | "da" | "is" | "pt" | "tr" | "id" | "el" | "ro" | "hr"
            | "sl",
            _,
        ) => (',', '.'),
        ("fr", _) => (',', '\u{202f}'),
        ("sv" | "nb" | "nn" | "no" | "fi" | "pl" | "cs" | "sk" | "ru" | "uk" | "hu" | "bg", _) => {
            (',', '\u{a0}')
        }
        _ => ('.', ','),
    };
    Separators { decimal, group }
}

/// Reads the separators from a culture's name given as the argument at `index`.
pub(super) fn culture(call: &Call<'_>, index: usize) -> Result<Separators, Fault> {
    if !call.has(index) || call.argument(index).is_null() {
        return Ok(INVARIANT);
    }
    Ok(separators(call.string(index)?))
}

/// Reads a number into digits that Rust reads: white space around, a sign before or after or
/// parentheses, group separators anywhere, one decimal separator, an exponent.
pub(super) fn plain(text: &str, separators: Separators) -> Option<String> {
    let mut rest = text.trim_matches(is_white);
    let mut negative = false;
    if let Some(inner) = rest.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        rest = inner.trim_matches(is_white);
        negative = true;
    }
    let unsigned = rest.strip_prefix(['-', '+']);
    let mut signed = negative;
    if let Some(unsigned) = unsigned {
        negative ^= rest.starts_with('-');
        signed = true;
        rest = unsigned.trim_start_matches(is_white);
    }
    if let Some(unsigned) = rest.strip_suffix(['-', '+']).filter(|_| !signed) {
        negative = rest.ends_with('-');
        rest = unsigned.trim_end_matches(is_white);
    }
    let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (rest, None),
    };
    let mut plain = String::with_capacity(text.len() + 1);
    if negative {
        plain.push('-');
    }
    let (mut digits, mut seen_point) = (0, false);
    for c in mantissa.chars() {
        match c {
            '0'..='9' => {
                digits += 1;
                plain.push(c);
            }
            c if c == separators.decimal && !seen_point => {
                seen_point = true;
                plain.push('.');
            }
            c if c == separators.group && !seen_point && digits > 0 => {}
            _ => return None,
        }
    }
    if digits == 0 {
        return None;
    }
    if let Some(exponent) = exponent {
        let unsigned = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        if unsigned.is_empty()
            || unsigned.len() > 4
            || !unsigned.chars().all(|c| c.is_ascii_digit())
        {
            return None;
        }
        plain.push('e');
        plain.push_str(exponent);
    }
    Some(plain)
}

/// Reads a float; nothing if the text is none.
pub(super) fn float(text: &str, separators: Separators) -> Option<f64> {
    plain(text, separators)?.parse().ok().filter(|float: &f64| float.is_finite())
}

/// Reads an integer: a fraction may stand there only if it is zero.
pub(super) fn integer(text: &str) -> Option<i64> {
    let plain = plain(text, INVARIANT)?;
    if let Ok(integer) = plain.parse() {
        return Some(integer);
    }
    let decimal = rust_decimal::Decimal::from_scientific(&plain)
        .or_else(|_| plain.trim_end_matches('.').parse())
        .ok()?;
    if !decimal.fract().is_zero() {
        return None;
    }
    i64::try_from(decimal.trunc()).ok()
}

fn is_white(c: char) -> bool {
    matches!(c, ' ' | '\t'..='\r')
}

pub(super) fn is_float<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    let separators = culture(call, 1)?;
    Ok(float(call.string(0)?, separators).is_some().into())
}

pub(super) fn is_int<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    let text = call.string(0)?.trim_matches(is_white);
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let all_digits = !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit());
    Ok((all_digits && text.parse::<i64>().is_ok()).into())
}
