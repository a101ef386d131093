//! Numbers as text, as the reference engine prints them.

use serde_json::Number;

/// Prints a number: integers as they are, floats in the shortest form that reads back the same,
/// with an exponent from 1E+15 upwards and below 0.0001.
pub(crate) fn number_text(number: &Number) -> String {
    match number.as_f64().filter(|_| number.is_f64()) {
        Some(float) => float_text(float),
        None => number.to_string(),
    }
}

/// Returns the shortest significant digits of `float` and the exponent of the first one.
fn float_digits(float: f64) -> (String, i32) {
    let scientific = format!("{:e}", float.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let digits = mantissa.chars().filter(char::is_ascii_digit).collect();
    (digits, exponent.parse().unwrap_or(0))
}

fn float_text(float: f64) -> String {
    let (digits, exponent) = float_digits(float);
    let sign = if float.is_sign_negative() { "-" } else { "" };
    if float == 0.0 {
        return format!("{sign}0");
    }
    if !(-4..15).contains(&exponent) {
        let (first, rest) = digits.split_at_checked(1).unwrap_or((&digits, ""));
        let point = if rest.is_empty() { "" } else { "." };
        let exponent_sign = if exponent < 0 { '-' } else { '+' };
        return format!("{sign}{first}{point}{rest}E{exponent_sign}{:02}", exponent.abs());
    }
    let mut text = sign.to_owned();
    if exponent < 0 {
        text.push_str("0.");
        text.extend((exponent..-1).map(|_| '0'));
        text.push_str(&digits);
        return text;
    }
    let mut left_of_point = exponent + 1;
    for digit in digits.chars() {
        if left_of_point == 0 {
            text.push('.');
        }
        text.push(digit);
        left_of_point -= 1;
    }
    text.extend((0..left_of_point).map(|_| '0'));
    text
}
