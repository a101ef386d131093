//! Numbers by a standard or a custom format, as a culture writes them.

use std::fmt::Write as _;

use super::logical::to_float;
use super::number_reader::{Separators, separators};
use crate::expression::{Call, Fault, Numeric, Val, number_text};
use crate::limits::FORMAT_PRECISION;

/// What the reference engine takes for digits that a format does not ask for by number: three where
/// it knows the culture, two where it does not.
const KNOWN_DIGITS: usize = 3;
const UNKNOWN_DIGITS: usize = 2;

struct Culture {
    separators: Separators,
    digits: usize,
    currency: Currency,
}

#[derive(Clone, Copy)]
struct Currency {
    symbol: &'static str,
    digits: usize,
    is_after: bool,
}

pub(super) fn format_number<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    let number = call.numeric(0)?;
    let format = call.string(1)?;
    let culture = if call.has(2) && !call.argument(2).is_null() {
        find_culture(call.string(2)?)
    } else {
        find_culture("en-US")
    };
    call.budget().build_text(format.len() + 400)?;
    let text = match standard(format) {
        Some((letter, precision)) => {
            if precision.is_some_and(|precision| precision > FORMAT_PRECISION) {
                return Err(
                    call.fault(1, format!("takes a precision of at most {FORMAT_PRECISION}"))
                );
            }
            call.budget().build_text(precision.unwrap_or(0))?;
            by_letter(number, letter, precision, &culture).ok_or_else(|| {
                call.fault(1, format!("cannot write this number by the format '{format}'"))
            })?
        }
        None => custom(to_float(number), format, culture.separators),
    };
    Ok(Val::text(text))
}

fn find_culture(name: &str) -> Culture {
    const fn before(symbol: &'static str, digits: usize) -> Currency {
        Currency { symbol, digits, is_after: false }
    }
    const fn after(symbol: &'static str, digits: usize) -> Currency {
        Currency { symbol, digits, is_after: true }
    }
    let lower = name.to_ascii_lowercase();
    let language = lower.split('-').next().unwrap_or_default();
    let currency = match (language, lower.as_str()) {
        (_, "en-gb") => Some(before("£", 2)),
        (_, "en-in") => Some(before("₹", 2)),
        (_, "en-ie") => Some(before("€", 2)),
        (_, "en-us" | "en-ca" | "en-au" | "en-nz" | "es-mx" | "es-us") | ("en", _) => {
            Some(before("$", 2))
        }
        (_, "de-ch") => Some(before("CHF ", 2)),
        (_, "pt-br") => Some(before("R$ ", 2)),
        ("nl", _) => Some(before("€ ", 2)),
        ("de" | "fr" | "es" | "it" | "fi" | "el" | "pt" | "sk" | "sl" | "hr", _) => {
            Some(after(" €", 2))
        }
        ("ja", _) => Some(before("￥", 0)),
        ("zh", _) => Some(before("¥", 2)),
        ("ko", _) => Some(before("₩", 0)),
        ("is" | "da", _) => Some(after(" kr.", if language == "is" { 0 } else { 2 })),
        ("sv" | "nb" | "nn" | "no", _) => Some(after(" kr", 2)),
        ("pl", _) => Some(after(" zł", 2)),
        ("cs", _) => Some(after(" Kč", 2)),
        ("ru", _) => Some(after(" ₽", 2)),
        ("tr", _) => Some(before("₺", 2)),
        _ => None,
    };
    Culture {
        separators: separators(&lower),
        digits: if currency.is_some() { KNOWN_DIGITS } else { UNKNOWN_DIGITS },
        currency: currency.unwrap_or(before("¤", 2)),
    }
}

/// Reads a standard format: one letter and up to nine digits.
fn standard(format: &str) -> Option<(char, Option<usize>)> {
    let mut chars = format.chars();
    let Some(letter) = chars.next() else { return Some(('G', None)) };
    let digits = chars.as_str();
    let is_standard = letter.is_ascii_alphabetic()
        && digits.len() < 10
        && digits.chars().all(|c| c.is_ascii_digit());
    is_standard.then(|| (letter, digits.parse().ok()))
}

fn by_letter(
    number: Numeric,
    letter: char,
    precision: Option<usize>,
    culture: &Culture,
) -> Option<String> {
    let float = to_float(number);
    let sign = if float < 0.0 { "-" } else { "" };
    let separators = culture.separators;
    let digits = precision.unwrap_or(culture.digits);
    match (letter.to_ascii_uppercase(), number) {
        ('N', _) => Some(format!("{sign}{}", grouped(&fixed(number, digits), separators))),
        ('F', _) => Some(format!("{sign}{}", pointed(&fixed(number, digits), separators))),
        ('P', _) => {
            let percent = fixed_float(float.abs() * 100.0, digits);
            Some(format!("{sign}{}%", grouped(&percent, separators)))
        }
        ('C', _) => {
            let Currency { symbol, digits, is_after } = culture.currency;
            let amount = grouped(&fixed(number, precision.unwrap_or(digits)), separators);
            Some(if is_after {
                format!("{sign}{amount}{symbol}")
            } else {
                format!("{sign}{symbol}{amount}")
            })
        }
        ('D', Numeric::Integer(integer)) => Some(format!(
            "{sign}{:0>width$}",
            integer.unsigned_abs(),
            width = precision.unwrap_or(1)
        )),
        ('X', Numeric::Integer(integer)) => {
            let width = precision.unwrap_or(1);
            Some(if letter == 'X' {
                format!("{integer:0width$X}")
            } else {
                format!("{integer:0width$x}")
            })
        }
        ('E', _) => Some(exponential(float, letter, precision.unwrap_or(6), separators)),
        ('R', Numeric::Float(_)) => Some(general(number, None, separators)),
        ('G', _) => Some(general(number, precision.filter(|digits| *digits > 0), separators)),
        _ => None,
    }
}

/// Prints the absolute value with that many digits after the point; a half is rounded up.
fn fixed(number: Numeric, digits: usize) -> String {
    match number {
        Numeric::Integer(integer) if digits == 0 => integer.unsigned_abs().to_string(),
        Numeric::Integer(integer) => format!("{}.{}", integer.unsigned_abs(), "0".repeat(digits)),
        Numeric::Decimal(decimal) => {
            let text = decimal.abs().normalize().to_string();
            let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
            round(whole, fraction, digits)
        }
        Numeric::Float(float) => fixed_float(float.abs(), digits),
    }
}

fn fixed_float(float: f64, digits: usize) -> String {
    // Enough digits that what is cut off cannot look like a half which it is not.
    let exact = format!("{float:.*}", digits + 40);
    let (whole, fraction) = exact.split_once('.').unwrap_or((&exact, ""));
    round(whole, fraction, digits)
}

/// Rounds decimal digits, half away from zero.
fn round(whole: &str, fraction: &str, digits: usize) -> String {
    let mut kept: Vec<u8> =
        whole.bytes().chain(fraction.bytes().chain(std::iter::repeat(b'0')).take(digits)).collect();
    let goes_up = fraction.as_bytes().get(digits).is_some_and(|digit| *digit >= b'5');
    let mut carry = goes_up;
    for digit in kept.iter_mut().rev() {
        if !carry {
            break;
        }
        carry = *digit == b'9';
        *digit = if carry { b'0' } else { *digit + 1 };
    }
    if carry {
        kept.insert(0, b'1');
    }
    let mut text: String = kept.iter().map(|digit| char::from(*digit)).collect();
    if digits > 0 {
        text.insert(text.len().saturating_sub(digits), '.');
    }
    text
}

fn pointed(digits: &str, separators: Separators) -> String {
    digits.replace('.', &separators.decimal.to_string())
}

fn grouped(digits: &str, separators: Separators) -> String {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let mut text = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            text.push(separators.group);
        }
        text.push(digit);
    }
    if !fraction.is_empty() {
        text.push(separators.decimal);
        text.push_str(fraction);
    }
    text
}

fn exponential(float: f64, letter: char, digits: usize, separators: Separators) -> String {
    let text = format!("{float:.digits$e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}{letter}{sign}{:03}", pointed(mantissa, separators), exponent.abs())
}

fn general(number: Numeric, digits: Option<usize>, separators: Separators) -> String {
    let float = match (number, digits) {
        (Numeric::Integer(integer), None) => return integer.to_string(),
        (Numeric::Decimal(decimal), None) => return pointed(&decimal.to_string(), separators),
        (_, None) => to_float(number),
        (_, Some(digits)) => {
            format!("{:.*e}", digits - 1, to_float(number)).parse().unwrap_or_default()
        }
    };
    let text =
        serde_json::Number::from_f64(float).map_or_else(String::new, |number| number_text(&number));
    pointed(&text, separators)
}

/// A piece of a custom format.
#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Zero,
    Digit,
    Point,
    Text(char),
}

#[derive(Debug, Default)]
struct Section {
    pieces: Vec<Piece>,
    is_grouped: bool,
    /// Powers of ten that the number is multiplied with.
    scale: i32,
    exponent: Option<(char, bool, usize)>,
}

fn custom(number: f64, format: &str, separators: Separators) -> String {
    let sections = sections(format);
    let first = sections.first();
    let (section, signed) = match (number, sections.as_slice()) {
        (number, [_, negative, ..]) if number < 0.0 && !negative.pieces.is_empty() => {
            (Some(negative), false)
        }
        (0.0, [_, _, zero, ..]) => (Some(zero), false),
        _ => (first, number < 0.0),
    };
    let Some(section) = section else { return String::new() };
    let text = section.write(number.abs(), separators);
    let is_zero = !text.contains(|c: char| c.is_ascii_digit() && c != '0');
    if is_zero
        && number != 0.0
        && let Some(zero) = sections.get(2)
    {
        return zero.write(0.0, separators);
    }
    if signed && !is_zero { format!("-{text}") } else { text }
}

fn sections(format: &str) -> Vec<Section> {
    let mut all = vec![Section::default()];
    let mut chars = format.chars().peekable();
    let mut commas = 0;
    let mut seen_point = false;
    while let Some(c) = chars.next() {
        if c == ';' {
            if let Some(section) = all.last_mut() {
                section.scale -= 3 * commas;
            }
            (commas, seen_point) = (0, false);
            all.push(Section::default());
            continue;
        }
        let Some(section) = all.last_mut() else { break };
        match c {
            '0' | '#' => {
                // Commas between digits group; those before the point or the end divide.
                if commas > 0 && !seen_point {
                    section.is_grouped = true;
                }
                commas = 0;
                section.pieces.push(if c == '0' { Piece::Zero } else { Piece::Digit });
            }
            '.' if !seen_point => {
                section.scale -= 3 * commas;
                commas = 0;
                seen_point = true;
                section.pieces.push(Piece::Point);
            }
            '.' => {}
            ',' => {
                let after_digit =
                    section.pieces.iter().any(|piece| matches!(piece, Piece::Zero | Piece::Digit));
                commas += i32::from(after_digit && !seen_point);
            }
            '%' | '‰' => {
                section.scale += if c == '%' { 2 } else { 3 };
                section.pieces.push(Piece::Text(c));
            }
            '\'' | '"' => {
                for text in chars.by_ref().take_while(|text| *text != c) {
                    section.pieces.push(Piece::Text(text));
                }
            }
            '\\' => section.pieces.extend(chars.next().map(Piece::Text)),
            'E' | 'e' if matches!(chars.peek(), Some('0' | '+' | '-')) => {
                let plus = chars.peek() == Some(&'+');
                if matches!(chars.peek(), Some('+' | '-')) {
                    chars.next();
                }
                let mut width = 0;
                while chars.next_if_eq(&'0').is_some() {
                    width += 1;
                }
                section.exponent = Some((c, plus, width));
            }
            text => section.pieces.push(Piece::Text(text)),
        }
    }
    if let Some(section) = all.last_mut() {
        section.scale -= 3 * commas;
    }
    all
}

impl Section {
    fn write(&self, number: f64, separators: Separators) -> String {
        let point = self
            .pieces
            .iter()
            .position(|piece| *piece == Piece::Point)
            .unwrap_or(self.pieces.len());
        let is_digit = |piece: &&Piece| matches!(piece, Piece::Zero | Piece::Digit);
        let (whole_pieces, fraction_pieces) =
            self.pieces.split_at_checked(point).unwrap_or((&self.pieces, &[]));
        let whole_count = whole_pieces.iter().filter(is_digit).count();
        let fraction_count = fraction_pieces.iter().filter(is_digit).count();

        // The reference engine takes fifteen digits of the number, and rounds those.
        let text = format!("{number:.14e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let mut exponent = exponent.parse::<i32>().unwrap_or(0) + self.scale;
        let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
        let mut shown_exponent = 0;
        if self.exponent.is_some() && number != 0.0 {
            let wanted = i32::try_from(whole_count.max(1)).unwrap_or(1) - 1;
            shown_exponent = exponent - wanted;
            exponent = wanted;
        }
        let (whole, fraction) = place_point(&digits, exponent);
        let rounded = round(&whole, &fraction, fraction_count);
        let (whole, fraction) = rounded.split_once('.').unwrap_or((&rounded, ""));
        let whole = whole.trim_start_matches('0');

        let mut text = String::new();
        write_whole(
            &mut text,
            whole_pieces,
            whole,
            whole_count,
            self.is_grouped.then_some(separators.group),
        );
        write_fraction(&mut text, fraction_pieces, fraction, separators.decimal);
        if let Some((letter, plus, width)) = self.exponent {
            let sign = if shown_exponent < 0 {
                "-"
            } else if plus {
                "+"
            } else {
                ""
            };
            // Writing to a String cannot fail.
            let _infallible = write!(text, "{letter}{sign}{:0width$}", shown_exponent.abs());
        }
        text
    }
}

/// Splits digits, the first of which stands for 10^exponent, at the point.
fn place_point(digits: &str, exponent: i32) -> (String, String) {
    if exponent < 0 {
        let zeros = usize::try_from(-exponent - 1).unwrap_or_default();
        return ("0".to_owned(), format!("{}{digits}", "0".repeat(zeros.min(2_000))));
    }
    let count = usize::try_from(exponent).unwrap_or_default() + 1;
    match digits.split_at_checked(count) {
        Some((whole, fraction)) => (whole.to_owned(), fraction.to_owned()),
        None => {
            (format!("{digits}{}", "0".repeat((count - digits.len()).min(2_000))), String::new())
        }
    }
}

fn write_whole(
    text: &mut String,
    pieces: &[Piece],
    whole: &str,
    count: usize,
    group: Option<char>,
) {
    // Digits beyond the format's places stand before its first one.
    let first_zero = pieces
        .iter()
        .filter(|piece| matches!(piece, Piece::Zero | Piece::Digit))
        .position(|piece| *piece == Piece::Zero)
        .unwrap_or(count);
    let shown = whole.len().max(count - first_zero);
    let digits: Vec<char> =
        "0".repeat(shown.saturating_sub(whole.len())).chars().chain(whole.chars()).collect();
    let mut next = 0;
    let mut put = |text: &mut String, until: usize| {
        while next < until {
            let left = digits.len() - next;
            if let Some(digit) = digits.get(next) {
                if let Some(group) = group
                    && next > 0
                    && left.is_multiple_of(3)
                {
                    text.push(group);
                }
                text.push(*digit);
            }
            next += 1;
        }
    };
    let mut place = 0;
    for piece in pieces {
        match piece {
            Piece::Zero | Piece::Digit => {
                place += 1;
                // This place is the (count - place)th before the point.
                put(text, (digits.len() + place).saturating_sub(count));
            }
            Piece::Text(c) => text.push(*c),
            Piece::Point => {}
        }
    }
    if count == 0 {
        put(text, digits.len());
    }
}

fn write_fraction(text: &mut String, pieces: &[Piece], fraction: &str, point: char) {
    let zeros = pieces
        .iter()
        .filter(|piece| matches!(piece, Piece::Zero | Piece::Digit))
        .enumerate()
        .filter(|(_, piece)| **piece == Piece::Zero)
        .map(|(place, _)| place + 1)
        .last()
        .unwrap_or(0);
    let shown = fraction.trim_end_matches('0').len().max(zeros);
    let mut digits = fraction.chars().take(shown);
    for piece in pieces {
        match piece {
            Piece::Point if shown > 0 => text.push(point),
            Piece::Point => {}
            Piece::Zero | Piece::Digit => text.extend(digits.next()),
            Piece::Text(c) => text.push(*c),
        }
    }
}
