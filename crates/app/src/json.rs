//! JSON text with places: what `serde_json` says about syntax, and where a pointer stands.
//!
//! `serde_json` keeps the last of two members with one name and forgets where anything stood, so
//! a second walk over the text, which is known to be valid by then, finds repeated members and
//! the offsets of JSON pointers.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::de::IgnoredAny;
use serde_json::Value;

use crate::files;
use crate::limits;
use crate::problem::Problem;

/// The names by which `serde_json` passes its own types through a map; a file that uses one would
/// have text inside a string read as JSON, past the checks of this module.
const RESERVED: &str = "$serde_json::private::";

/// What is wrong in one document, by JSON pointer.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    found: Vec<(String, String)>,
    /// Those beyond [`limits::PROBLEM_COUNT`].
    more: usize,
}

impl Faults {
    pub(crate) fn push(&mut self, pointer: impl Into<String>, message: impl Into<String>) {
        if self.found.len() < limits::PROBLEM_COUNT {
            self.found.push((pointer.into(), message.into()));
        } else {
            self.more = self.more.saturating_add(1);
        }
    }
}

/// One file's JSON and its text.
pub(crate) struct Document<'f> {
    file: &'f str,
    /// The text as it is in the file, which places are counted in.
    text: &'f str,
    /// The same at the same offsets, white space in place of what is no JSON.
    json: Cow<'f, str>,
    pub(crate) value: Value,
}

impl<'f> Document<'f> {
    /// Parses a file.
    ///
    /// Errors: not UTF-8, too large, too deep, not JSON, or a repeated member. Comments and trailing
    /// commas are no JSON either, but for mcp.json, where editors take them.
    pub(crate) fn parse(file: &'f str, bytes: &'f [u8]) -> Result<Self, Vec<Problem>> {
        let whole = |message: String| vec![at_file(file, message)];
        let most = match file {
            files::PARAMETERS | files::SETTINGS => limits::VALUES_BYTES,
            _ => limits::FILE_BYTES,
        };
        if bytes.len() > most {
            return Err(whole(format!("has {} bytes; expected at most {most}", bytes.len())));
        }
        if matches!(bytes, [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..]) {
            return Err(whole("is UTF-16; expected UTF-8: save it with that encoding".to_owned()));
        }
        let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
                let place = place(&String::from_utf8_lossy(good), good.len());
                let message = "is not UTF-8 here; expected UTF-8 text";
                return Err(vec![at_place(file, place, String::new(), message.to_owned())]);
            }
        };
        if text.trim().is_empty() {
            return Err(whole("is empty; expected a JSON object".to_owned()));
        }
        let syntax = |offset: usize, message: String| {
            vec![at_place(file, place(text, offset), String::new(), message)]
        };
        let json = match file {
            files::UPSTREAMS => without_comments(text).map_err(|offset| {
                syntax(offset, "is no comment: expected `//` or `/*`".to_owned())
            })?,
            _ => Cow::Borrowed(text),
        };
        if let Some(offset) = too_deep(json.as_bytes()) {
            let message = format!("nests deeper than {} arrays and objects", limits::DEPTH);
            return Err(syntax(offset, message));
        }
        let explain = |error: &serde_json::Error| explain_syntax(&json, error);
        if let Err(error) = serde_json::from_str::<IgnoredAny>(&json) {
            let (offset, message) = explain(&error);
            return Err(syntax(offset, message));
        }
        let repeated = repeated_members(file, text, &json);
        if !repeated.is_empty() {
            return Err(repeated);
        }
        // What is left to go wrong is a number too large for any of Rust's.
        let value = match serde_json::from_str(&json) {
            Ok(value) => value,
            Err(error) => {
                let (offset, message) = explain(&error);
                return Err(syntax(offset, message));
            }
        };
        Ok(Self { file, text, json, value })
    }

    /// Gives each fault its place, in the order in which they stand in the file.
    ///
    /// A pointer to something that is missing stands where what should contain it does.
    pub(crate) fn problems(&self, faults: Faults) -> Vec<Problem> {
        let Faults { found, more } = faults;
        if found.is_empty() {
            return Vec::new();
        }
        let offsets = offsets(&self.json, found.iter().map(|(pointer, _)| pointer.as_str()));
        let mut placed: Vec<(usize, Problem)> = found
            .iter()
            .map(|(pointer, message)| {
                let offset = ancestors(pointer).find_map(|p| offsets.get(p).copied());
                let offset = offset.unwrap_or_default();
                let place = place(self.text, offset);
                (offset, at_place(self.file, place, pointer.clone(), message.clone()))
            })
            .collect();
        placed.sort_by_key(|(offset, _)| *offset);
        let mut problems: Vec<Problem> = placed.into_iter().map(|(_, problem)| problem).collect();
        if more > 0 {
            problems.push(at_file(self.file, format!("has {more} more problems")));
        }
        problems
    }
}

/// Reads the JSON of one of an app's files as an app is made of it: after a byte order mark too.
///
/// Errors: not UTF-8, too large, too deep, not JSON, or a repeated member.
pub fn read_json(file: &str, bytes: &[u8]) -> Result<Value, Vec<Problem>> {
    Document::parse(file, bytes).map(|document| document.value)
}

/// Makes a problem of a whole file.
pub(crate) fn at_file(file: &str, message: impl Into<String>) -> Problem {
    Problem {
        file: file.to_owned(),
        line: None,
        column: None,
        pointer: String::new(),
        message: message.into(),
    }
}

/// Adds a name to a JSON pointer (RFC 6901, section 3).
pub(crate) fn join(pointer: &str, name: &str) -> String {
    let mut joined = pointer.to_owned();
    push_token(&mut joined, name);
    joined
}

/// Gives the name that a token of a JSON pointer stands for.
pub(crate) fn unescape(token: &str) -> String {
    token.replace("~1", "/").replace("~0", "~")
}

/// Adds a name to a JSON pointer in place.
pub(crate) fn push_token(pointer: &mut String, name: &str) {
    pointer.push('/');
    for c in name.chars() {
        match c {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            c => pointer.push(c),
        }
    }
}

fn at_place(
    file: &str,
    (line, column): (usize, usize),
    pointer: String,
    message: String,
) -> Problem {
    Problem { file: file.to_owned(), line: Some(line), column: Some(column), pointer, message }
}

/// Line and column, both from 1, the column in characters.
fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count().saturating_add(1);
    let in_line = before.rsplit('\n').next().unwrap_or_default();
    (line, in_line.chars().count().saturating_add(1))
}

/// Gives the text with white space in place of comments and trailing commas, byte for byte; or where
/// something begins as a comment does and is none.
fn without_comments(text: &str) -> Result<Cow<'_, str>, usize> {
    let mut stripped = text.to_owned();
    if json_strip_comments::strip(&mut stripped).is_ok() {
        return Ok(Cow::Owned(stripped));
    }
    // It stops right after the slash that it has blanked.
    let differs = |(one, other): (u8, u8)| one != other;
    Err(text.bytes().zip(stripped.bytes()).rposition(differs).unwrap_or_default())
}

/// Where the nesting passes the limit, if it does.
fn too_deep(bytes: &[u8]) -> Option<usize> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for (offset, byte) in bytes.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => depth = depth.saturating_add(1),
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > limits::DEPTH {
            return Some(offset);
        }
    }
    None
}

/// Where the syntax breaks and how.
fn explain_syntax(text: &str, error: &serde_json::Error) -> (usize, String) {
    let line_start: usize =
        text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    let mut offset = line_start.saturating_add(error.column().saturating_sub(1)).min(text.len());
    while !text.is_char_boundary(offset) {
        offset = offset.saturating_sub(1);
    }
    let rest = text.get(offset..).unwrap_or_default();
    if rest.starts_with("//") || rest.starts_with("/*") {
        return (offset, "is a comment, which JSON does not have: remove it".to_owned());
    }
    let before = text.get(..offset).unwrap_or_default();
    if rest.starts_with(['}', ']']) && before.trim_end().ends_with(',') {
        return (offset, "ends after a comma, which JSON does not allow: remove it".to_owned());
    }
    let said = error.to_string();
    let said = said.split(" at line ").next().unwrap_or_default();
    (offset, format!("is not JSON: {said}"))
}

fn repeated_members(file: &str, text: &str, json: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    Walk::new(json).value(&mut String::new(), &mut |pointer, offset, found| {
        let message = match found {
            Found::Value => return,
            Found::Repeated => "stands here a second time: keep one of the two",
            Found::Reserved => "is a reserved name: use another",
        };
        if problems.len() < limits::PROBLEM_COUNT {
            let place = place(text, offset);
            problems.push(at_place(file, place, pointer.to_owned(), message.to_owned()));
        }
    });
    problems
}

/// The pointer and all that contain it, the nearest first.
fn ancestors(pointer: &str) -> impl Iterator<Item = &str> {
    let above = pointer.rmatch_indices('/').filter_map(|(at, _)| pointer.get(..at));
    std::iter::once(pointer).chain(above)
}

/// The offsets of those values among `pointers`, and of all that contain them, that exist.
fn offsets<'p>(text: &str, pointers: impl Iterator<Item = &'p str>) -> BTreeMap<&'p str, usize> {
    let wanted: BTreeSet<&str> = pointers.flat_map(ancestors).collect();
    let mut offsets = BTreeMap::new();
    Walk::new(text).value(&mut String::new(), &mut |pointer, offset, found| {
        if let (Found::Value, Some(pointer)) = (found, wanted.get(pointer)) {
            offsets.insert(*pointer, offset);
        }
    });
    offsets
}

#[derive(Clone, Copy)]
enum Found {
    Value,
    Repeated,
    Reserved,
}

/// A walk over valid JSON no deeper than [`limits::DEPTH`]; on anything else it stops early.
struct Walk<'t> {
    text: &'t str,
    at: usize,
}

type Visit<'v> = dyn FnMut(&str, usize, Found) + 'v;

impl<'t> Walk<'t> {
    fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    fn value(&mut self, pointer: &mut String, visit: &mut Visit<'_>) {
        let first = self.peek();
        visit(pointer, self.at, Found::Value);
        match first {
            Some(b'{') => self.object(pointer, visit),
            Some(b'[') => self.array(pointer, visit),
            Some(b'"') => drop(self.string()),
            _ => self.scalar(),
        }
    }

    fn object(&mut self, pointer: &mut String, visit: &mut Visit<'_>) {
        let mut names = BTreeSet::new();
        self.advance();
        while self.peek() == Some(b'"') {
            let offset = self.at;
            let name = self.string();
            let length = pointer.len();
            push_token(pointer, &name);
            if name.starts_with(RESERVED) {
                visit(pointer, offset, Found::Reserved);
            }
            if !names.insert(name) {
                visit(pointer, offset, Found::Repeated);
            }
            self.skip(b':');
            self.value(pointer, visit);
            pointer.truncate(length);
            self.skip(b',');
        }
        self.skip(b'}');
    }

    fn array(&mut self, pointer: &mut String, visit: &mut Visit<'_>) {
        self.advance();
        for index in 0_usize.. {
            if matches!(self.peek(), Some(b']') | None) {
                break;
            }
            let length = pointer.len();
            push_token(pointer, &index.to_string());
            self.value(pointer, visit);
            pointer.truncate(length);
            self.skip(b',');
        }
        self.skip(b']');
    }

    fn string(&mut self) -> String {
        let start = self.at;
        self.advance();
        loop {
            match self.byte() {
                Some(b'\\') => self.at = self.at.saturating_add(2),
                Some(b'"') | None => break,
                Some(_) => self.advance(),
            }
        }
        self.advance();
        let quoted = self.text.get(start..self.at).unwrap_or_default();
        serde_json::from_str(quoted).unwrap_or_default()
    }

    fn scalar(&mut self) {
        self.advance();
        while self.byte().is_some_and(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b)) {
            self.advance();
        }
    }

    fn peek(&mut self) -> Option<u8> {
        while self.byte().is_some_and(|b| b.is_ascii_whitespace()) {
            self.advance();
        }
        self.byte()
    }

    fn skip(&mut self, expected: u8) {
        if self.peek() == Some(expected) {
            self.advance();
        }
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn advance(&mut self) {
        self.at = self.at.saturating_add(1);
    }
}
