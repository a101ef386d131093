//! Text. Indexes and lengths count UTF-16 units, as the reference engine's strings do.

use serde_json::Value;

use super::Function;
use crate::expression::{Call, Fault, Val};

pub(super) static FUNCTIONS: &[Function] = &[
    Function {
        name: "chunk",
        parameters: "text or array, size",
        least: 2,
        most: Some(2),
        doc: "An array of pieces of at most that size.",
        body: chunk,
    },
    Function {
        name: "concat",
        parameters: "value, …",
        least: 1,
        most: None,
        doc: "All values as text, one after the other.",
        body: concat,
    },
    Function {
        name: "endsWith",
        parameters: "text, end",
        least: 2,
        most: Some(2),
        doc: "True if the text ends so, without regard to case.",
        body: ends_with,
    },
    Function {
        name: "formatNumber",
        parameters: "number, format, culture?",
        least: 2,
        most: Some(3),
        doc: "The number by a standard (`N2`, `C`, `P0`, `X4`, …) or custom (`#,##0.00`) format.",
        body: super::number_format::format_number,
    },
    Function {
        name: "guid",
        parameters: "format?",
        least: 0,
        most: Some(1),
        doc: "A new random id, in one of the formats `D` (the default), `N`, `B`, `P` and `X`.",
        body: guid,
    },
    Function {
        name: "indexOf",
        parameters: "text, search",
        least: 2,
        most: Some(2),
        doc: "Where the search text begins first, without regard to case; -1 if nowhere.",
        body: index_of,
    },
    Function {
        name: "lastIndexOf",
        parameters: "text, search",
        least: 2,
        most: Some(2),
        doc: "Where the search text begins last, without regard to case; -1 if nowhere.",
        body: last_index_of,
    },
    Function {
        name: "nthIndexOf",
        parameters: "text, search, occurrence",
        least: 3,
        most: Some(3),
        doc: "Where the search text begins for the nth time, counted from the end if negative.",
        body: nth_index_of,
    },
    Function {
        name: "replace",
        parameters: "text, old, new",
        least: 3,
        most: Some(3),
        doc: "The text with every old part replaced, with regard to case.",
        body: replace,
    },
    Function {
        name: "slice",
        parameters: "text, start, end?",
        least: 2,
        most: Some(3),
        doc: "The text from start up to end, both counted from the end if negative.",
        body: slice,
    },
    Function {
        name: "split",
        parameters: "text, separator",
        least: 2,
        most: Some(2),
        doc: "An array of the parts between separators.",
        body: split,
    },
    Function {
        name: "startsWith",
        parameters: "text, beginning",
        least: 2,
        most: Some(2),
        doc: "True if the text begins so, without regard to case.",
        body: starts_with,
    },
    Function {
        name: "substring",
        parameters: "text, start, length?",
        least: 2,
        most: Some(3),
        doc: "A part of the text, which has to lie within it.",
        body: substring,
    },
    Function {
        name: "toLower",
        parameters: "text",
        least: 1,
        most: Some(1),
        doc: "The text in small letters.",
        body: to_lower,
    },
    Function {
        name: "toUpper",
        parameters: "text",
        least: 1,
        most: Some(1),
        doc: "The text in capitals.",
        body: to_upper,
    },
    Function {
        name: "trim",
        parameters: "text",
        least: 1,
        most: Some(1),
        doc: "The text without white space around it.",
        body: trim,
    },
];

/// Counts UTF-16 units.
pub(super) fn units(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.encode_utf16().count() }
}

/// Cuts out `count` UTF-16 units from `start`; half of a pair becomes a replacement character.
pub(super) fn cut(text: &str, start: usize, count: usize) -> String {
    if text.is_ascii() {
        let end = start.saturating_add(count).min(text.len());
        return text.get(start.min(end)..end).unwrap_or_default().to_owned();
    }
    let units: Vec<u16> = text.encode_utf16().skip(start).take(count).collect();
    String::from_utf16_lossy(&units)
}

fn integer(count: usize) -> Val<'static> {
    i64::try_from(count).unwrap_or(i64::MAX).into()
}

fn single(mut mapped: impl Iterator<Item = char>, otherwise: char) -> char {
    match (mapped.next(), mapped.next()) {
        (Some(only), None) => only,
        _ => otherwise,
    }
}

/// Takes away case, character by character.
fn fold(text: &str) -> String {
    text.chars().map(|c| single(c.to_uppercase(), c)).collect()
}

fn text_result<'a>(call: &Call<'a>, text: String) -> Result<Val<'a>, Fault> {
    call.budget().build_text(text.len())?;
    call.budget().spend(text.len() / 16)?;
    Ok(Val::text(text))
}

fn concat<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    let mut text = String::new();
    for argument in &call.arguments {
        argument.append_text(&mut text, call.budget())?;
    }
    Ok(Val::text(text))
}

fn to_lower<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    let text = call.string(0)?.chars().map(|c| single(c.to_lowercase(), c)).collect();
    text_result(call, text)
}

fn to_upper<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    let text = fold(call.string(0)?);
    text_result(call, text)
}

fn trim<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    let text = call.string(0)?.trim().to_owned();
    text_result(call, text)
}

/// Folds the first two arguments for a search without regard to case.
fn folded(call: &Call<'_>) -> Result<(String, String), Fault> {
    let (text, search) = (call.string(0)?, call.string(1)?);
    call.budget().build_text(text.len() + search.len())?;
    call.budget().spend((text.len() + search.len()) / 8)?;
    Ok((fold(text), fold(search)))
}

fn starts_with<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    let (text, search) = folded(call)?;
    Ok(text.starts_with(&search).into())
}

fn ends_with<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    let (text, search) = folded(call)?;
    Ok(text.ends_with(&search).into())
}

fn place(text: &str, at: Option<usize>) -> Val<'static> {
    match at {
        Some(at) => integer(units(text.get(..at).unwrap_or_default())),
        None => (-1).into(),
    }
}

fn index_of<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    let (text, search) = folded(call)?;
    Ok(place(&text, text.find(&search)))
}

fn last_index_of<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    let (text, search) = folded(call)?;
    // The reference engine finds nothing before the last unit, not after it.
    if search.is_empty() {
        return Ok(integer(units(&text).saturating_sub(1)));
    }
    Ok(place(&text, text.rfind(&search)))
}

fn nth_index_of<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    let (text, search) = folded(call)?;
    let occurrence = call.integer(2)?;
    if occurrence == 0 {
        return Err(call.fault(2, "counts occurrences from 1, or from -1 backwards, not 0"));
    }
    if search.is_empty() {
        return Ok(0.into());
    }
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = text.get(from..).and_then(|rest| rest.find(&search)) {
        call.budget().spend(1 + search.len() / 8)?;
        found.push(from + at);
        // Occurrences may overlap.
        from += at + search.chars().next().map_or(1, char::len_utf8);
    }
    let nth = usize::try_from(occurrence.unsigned_abs()).unwrap_or(usize::MAX) - 1;
    let at = if occurrence > 0 { found.get(nth) } else { found.iter().rev().nth(nth) };
    Ok(place(&text, at.copied()))
}

fn replace<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    let (text, old, new) = (call.string(0)?, call.string(1)?, call.string(2)?);
    if old.is_empty() {
        return Err(call.fault(1, "cannot replace an empty text"));
    }
    call.budget().spend(text.len() / 8)?;
    let count = text.matches(old).count();
    call.budget().build_text(text.len().saturating_add(count.saturating_mul(new.len())))?;
    Ok(Val::text(text.replace(old, new)))
}

fn split<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    let (text, separator) = (call.string(0)?, call.string(1)?);
    let mut parts = Vec::new();
    if separator.is_empty() {
        call.budget().build_text(text.len())?;
        parts.push(Value::from(text));
        return Ok(Val::array(parts));
    }
    for part in text.split(separator) {
        call.budget().spend(1)?;
        call.budget().build_text(part.len())?;
        parts.push(Value::from(part));
    }
    Ok(Val::array(parts))
}

fn substring<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    let text = call.string(0)?;
    let count = units(text);
    let start = call.integer(1)?;
    let start = usize::try_from(start)
        .ok()
        .filter(|start| *start < count || (*start == count && call.has(2)))
        .ok_or_else(|| {
            call.fault(
                1,
                format!("begins within the text, which has {count} characters, not at {start}"),
            )
        })?;
    let length = if call.has(2) {
        let length = call.integer(2)?;
        usize::try_from(length).ok().filter(|length| *length <= count - start).ok_or_else(|| {
            call.fault(2, format!("takes a part of the text, and from {start} on it has {} characters, not {length}", count - start))
        })?
    } else {
        count - start
    };
    let part = cut(text, start, length);
    text_result(call, part)
}

fn slice<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    let text = call.string(0)?;
    let count = units(text);
    let resolve = |index: i64| {
        let distance = usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX);
        if index < 0 { count.saturating_sub(distance) } else { distance.min(count) }
    };
    let start = resolve(call.integer(1)?);
    let end = if call.has(2) { resolve(call.integer(2)?) } else { count };
    let part = cut(text, start, end.saturating_sub(start));
    text_result(call, part)
}

fn chunk<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    let size = call.integer(1)?;
    let size = usize::try_from(size)
        .ok()
        .filter(|size| *size > 0)
        .ok_or_else(|| call.fault(1, format!("needs a size of at least 1, found {size}")))?;
    if let Some(text) = call.argument(0).as_str() {
        let all: Vec<u16> = text.encode_utf16().collect();
        let mut pieces = Vec::new();
        for piece in all.chunks(size) {
            call.budget().spend(1)?;
            call.budget().build_text(piece.len())?;
            pieces.push(Value::from(String::from_utf16_lossy(piece)));
        }
        return Ok(Val::array(pieces));
    }
    if call.argument(0).as_array().is_none() {
        return Err(call.wrong_type(0, "a string or an array"));
    }
    let Value::Array(items) = call.take_value(0)? else { return Ok(Val::null()) };
    let mut items = items.into_iter().peekable();
    let mut pieces = Vec::new();
    while items.peek().is_some() {
        call.budget().spend(1)?;
        call.budget().build_text(0)?;
        pieces.push(Value::Array(items.by_ref().take(size).collect()));
    }
    Ok(Val::array(pieces))
}

fn guid<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    let format = if call.has(0) { call.string(0)? } else { "D" };
    let (high, low) = (call.names().random(), call.names().random());
    let id = uuid::Builder::from_u128((u128::from(high) << 64) | u128::from(low))
        .with_variant(uuid::Variant::RFC4122)
        .with_version(uuid::Version::Random)
        .into_uuid();
    let text = match format {
        "" | "D" | "d" => id.hyphenated().to_string(),
        "N" | "n" => id.simple().to_string(),
        "B" | "b" => id.braced().to_string(),
        "P" | "p" => format!("({})", id.hyphenated()),
        "X" | "x" => {
            let (a, b, c, rest) = id.as_fields();
            let rest: Vec<String> = rest.iter().map(|byte| format!("0x{byte:02x}")).collect();
            format!("{{0x{a:08x},0x{b:04x},0x{c:04x},{{{}}}}}", rest.join(","))
        }
        other => {
            return Err(call.fault(0, format!("has the formats D, N, B, P and X, not '{other}'")));
        }
    };
    Ok(Val::text(text))
}
