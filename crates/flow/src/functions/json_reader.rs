//! JSON out of text, as lenient as the reference engine: comments, single quotes, names without
//! quotes, commas at the end; what comes after the value is not looked at.

use serde_json::{Map, Number, Value};

use crate::expression::{Budget, Fault};
use crate::limits::{JSON_TEXT_DEPTH, NODE_BYTES};

/// Reads the first value of `text`; null if there is none.
pub(crate) fn read_json(text: &str, budget: &Budget) -> Result<Value, Fault> {
    budget.spend(text.len() / 16)?;
    let mut reader = Reader { text, position: 0, budget };
    reader.skip_blank()?;
    if reader.peek().is_none() {
        return Ok(Value::Null);
    }
    reader.value(JSON_TEXT_DEPTH)
}

struct Reader<'t> {
    text: &'t str,
    position: usize,
    budget: &'t Budget,
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.position..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.position += c.len_utf8();
        Some(c)
    }

    fn fault(&self, message: &str) -> Fault {
        let before = self.text.get(..self.position).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Fault::template(format!("{message} (line {line}, column {column})"))
    }

    fn skip_blank(&mut self) -> Result<(), Fault> {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
            self.position += rest.len() - trimmed.len();
            if let Some(comment) = trimmed.strip_prefix("//") {
                self.position += 2 + comment.find('\n').unwrap_or(comment.len());
            } else if let Some(comment) = trimmed.strip_prefix("/*") {
                let Some(end) = comment.find("*/") else {
                    return Err(self.fault("this comment has no end"));
                };
                self.position += 2 + end + 2;
            } else {
                return Ok(());
            }
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value, Fault> {
        self.budget.build(NODE_BYTES)?;
        match self.peek() {
            Some('{') => self.object(depth),
            Some('[') => self.array(depth),
            Some(quote @ ('"' | '\'')) => self.string(quote).map(Value::String),
            Some('-' | '+' | '.' | '0'..='9') => self.number(),
            Some(c) if c.is_alphabetic() => self.word(),
            Some(c) => Err(self.fault(&format!("the character '{c}' cannot begin a value"))),
            None => Err(self.fault("the text ends where a value was expected")),
        }
    }

    fn deeper(&self, depth: usize) -> Result<usize, Fault> {
        depth.checked_sub(1).ok_or_else(|| {
            Fault::limit(format!("JSON may be nested {JSON_TEXT_DEPTH} levels deep"))
        })
    }

    fn array(&mut self, depth: usize) -> Result<Value, Fault> {
        let depth = self.deeper(depth)?;
        self.bump();
        let mut items = Vec::new();
        loop {
            self.skip_blank()?;
            match self.peek() {
                Some(']') => {
                    self.bump();
                    return Ok(Value::Array(items));
                }
                None => return Err(self.fault("the text ends within an array")),
                Some(_) => items.push(self.value(depth)?),
            }
            self.skip_blank()?;
            match self.peek() {
                Some(',') => {
                    self.bump();
                }
                Some(']') => {}
                _ => return Err(self.fault("expected ',' or ']' after an element")),
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, Fault> {
        let depth = self.deeper(depth)?;
        self.bump();
        let mut members = Map::new();
        loop {
            self.skip_blank()?;
            let name = match self.peek() {
                Some('}') => {
                    self.bump();
                    return Ok(Value::Object(members));
                }
                Some(quote @ ('"' | '\'')) => self.string(quote)?,
                Some(c) if is_name_part(c) => self.name(),
                Some(_) => return Err(self.fault("expected the name of a property")),
                None => return Err(self.fault("the text ends within an object")),
            };
            self.skip_blank()?;
            if self.peek() != Some(':') {
                return Err(self.fault("expected ':' after the name of a property"));
            }
            self.bump();
            self.skip_blank()?;
            let value = self.value(depth)?;
            members.insert(name, value);
            self.skip_blank()?;
            match self.peek() {
                Some(',') => {
                    self.bump();
                }
                Some('}') => {}
                _ => return Err(self.fault("expected ',' or '}' after a property")),
            }
        }
    }

    fn name(&mut self) -> String {
        let rest = self.rest();
        let end = rest.find(|c| !is_name_part(c)).unwrap_or(rest.len());
        let name = rest.get(..end).unwrap_or_default().to_owned();
        self.position += end;
        name
    }

    fn word(&mut self) -> Result<Value, Fault> {
        let start = self.position;
        match self.name().as_str() {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            "null" | "undefined" => Ok(Value::Null),
            _ => {
                self.position = start;
                Err(self.fault("a value has to be a string in quotes, a number, an object, an array, true, false or null"))
            }
        }
    }

    fn number(&mut self) -> Result<Value, Fault> {
        let start = self.position;
        let rest = self.rest();
        let end = rest
            .find(|c: char| !matches!(c, '0'..='9' | '-' | '+' | '.' | 'e' | 'E'))
            .unwrap_or(rest.len());
        let text = rest.get(..end).unwrap_or_default();
        let is_integer = !text.contains(['.', 'e', 'E']);
        let number = if is_integer {
            text.parse().map(i64::into).or_else(|_| text.parse().map(u64::into)).ok()
        } else {
            None
        };
        let number: Option<Number> =
            number.or_else(|| text.parse().ok().and_then(Number::from_f64));
        self.position += end;
        number.map(Value::Number).ok_or_else(|| {
            self.position = start;
            self.fault("this is no number, or too large for one")
        })
    }

    fn string(&mut self, quote: char) -> Result<String, Fault> {
        self.bump();
        let mut text = String::new();
        loop {
            let rest = self.rest();
            let Some(stop) = rest.find(['\\', quote]) else {
                return Err(self.fault("the text ends within a string"));
            };
            text.push_str(rest.get(..stop).unwrap_or_default());
            self.position += stop;
            if self.bump() == Some(quote) {
                self.budget.build_text(text.len())?;
                return Ok(text);
            }
            match self.bump() {
                Some('n') => text.push('\n'),
                Some('r') => text.push('\r'),
                Some('t') => text.push('\t'),
                Some('b') => text.push('\u{8}'),
                Some('f') => text.push('\u{c}'),
                Some(same @ ('"' | '\'' | '\\' | '/')) => text.push(same),
                Some('u') => text.push(self.escaped_char()?),
                _ => return Err(self.fault("this escape is unknown")),
            }
        }
    }

    /// Reads the four digits after `\u`, and a second escape where two make one character.
    fn escaped_char(&mut self) -> Result<char, Fault> {
        let first = self.hex()?;
        if (0xd800..0xdc00).contains(&first) && self.rest().starts_with("\\u") {
            let back = self.position;
            self.position += 2;
            let second = self.hex()?;
            if (0xdc00..0xe000).contains(&second) {
                let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.position = back;
        }
        Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn hex(&mut self) -> Result<u32, Fault> {
        let digits =
            self.rest().get(..4).filter(|digits| digits.chars().all(|c| c.is_ascii_hexdigit()));
        match digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()) {
            Some(code) => {
                self.position += 4;
                Ok(code)
            }
            None => Err(self.fault("\\u needs four hexadecimal digits")),
        }
    }
}

fn is_name_part(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}
