//! Text into tokens.

use super::fault::{Fault, Span};

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    LeftParenthesis,
    RightParenthesis,
    LeftSquareBracket,
    RightSquareBracket,
    RightCurlyBrace,
    Comma,
    Dot,
    QuestionMark,
    Identifier,
    Integer(i64),
    Float(f64),
    StringLiteral(String),
    EndOfData,
}

impl Token {
    /// Returns the token's name as the reference engine's messages have it.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::LeftParenthesis => "LeftParenthesis",
            Self::RightParenthesis => "RightParenthesis",
            Self::LeftSquareBracket => "LeftSquareBracket",
            Self::RightSquareBracket => "RightSquareBracket",
            Self::RightCurlyBrace => "RightCurlyBrace",
            Self::Comma => "Comma",
            Self::Dot => "Dot",
            Self::QuestionMark => "QuestionMark",
            Self::Identifier => "Identifier",
            Self::Integer(_) => "Integer",
            Self::Float(_) => "Float",
            Self::StringLiteral(_) => "StringLiteral",
            Self::EndOfData => "EndOfData",
        }
    }
}

/// Reads tokens from `source`, beginning at `position`.
#[derive(Debug)]
pub(super) struct Lexer<'s> {
    source: &'s str,
    position: usize,
    /// Within `@{…}`, where a closing brace is a token.
    in_braces: bool,
}

impl<'s> Lexer<'s> {
    pub(super) const fn new(source: &'s str, position: usize, in_braces: bool) -> Self {
        Self { source, position, in_braces }
    }

    pub(super) fn text(&self, span: Span) -> &'s str {
        self.source.get(span.start..span.end).unwrap_or_default()
    }

    pub(super) fn next(&mut self) -> Result<(Token, Span), Fault> {
        self.take_while(char::is_whitespace);
        let start = self.position;
        let Some(first) = self.peek() else {
            return Ok((Token::EndOfData, Span::new(start, start)));
        };
        let token = match first {
            '(' => self.single(Token::LeftParenthesis),
            ')' => self.single(Token::RightParenthesis),
            '[' => self.single(Token::LeftSquareBracket),
            ']' => self.single(Token::RightSquareBracket),
            ',' => self.single(Token::Comma),
            '.' => self.single(Token::Dot),
            '?' => self.single(Token::QuestionMark),
            '}' if self.in_braces => self.single(Token::RightCurlyBrace),
            '\'' => self.string(start)?,
            '+' | '-' | '0'..='9' => self.number(start)?,
            first if is_identifier_start(first) => {
                self.take_while(is_identifier_part);
                Token::Identifier
            }
            other => {
                return Err(Fault::syntax(
                    Span::new(start, start + other.len_utf8()),
                    format!("the character '{other}' cannot stand here in an expression"),
                ));
            }
        };
        Ok((token, Span::new(start, self.position)))
    }

    fn peek(&self) -> Option<char> {
        self.source.get(self.position..)?.chars().next()
    }

    fn peek_after(&self) -> Option<char> {
        self.source.get(self.position..)?.chars().nth(1)
    }

    fn bump(&mut self) {
        if let Some(c) = self.peek() {
            self.position += c.len_utf8();
        }
    }

    fn single(&mut self, token: Token) -> Token {
        self.bump();
        token
    }

    fn take_while(&mut self, belongs: impl Fn(char) -> bool) {
        while self.peek().is_some_and(&belongs) {
            self.bump();
        }
    }

    fn string(&mut self, start: usize) -> Result<Token, Fault> {
        self.bump();
        let mut text = String::new();
        loop {
            let rest = self.source.get(self.position..).unwrap_or_default();
            let Some(quote) = rest.find('\'') else {
                return Err(Fault::syntax(
                    Span::new(start, start + 1),
                    "this string has no closing quote (a quote within a string is written '')",
                ));
            };
            text.push_str(rest.get(..quote).unwrap_or_default());
            self.position += quote + 1;
            if self.peek() != Some('\'') {
                return Ok(Token::StringLiteral(text));
            }
            text.push('\'');
            self.bump();
        }
    }

    fn number(&mut self, start: usize) -> Result<Token, Fault> {
        if matches!(self.peek(), Some('+' | '-')) {
            self.bump();
        }
        let digits_from = self.position;
        self.take_while(|c| c.is_ascii_digit());
        let mut is_float = false;
        if self.peek() == Some('.') && self.peek_after().is_some_and(|c| c.is_ascii_digit()) {
            is_float = true;
            self.bump();
            self.take_while(|c| c.is_ascii_digit());
        }
        if self.position > digits_from && matches!(self.peek(), Some('e' | 'E')) {
            is_float = true;
            self.bump();
            if matches!(self.peek(), Some('+' | '-')) {
                self.bump();
            }
            self.take_while(|c| c.is_ascii_digit());
        }
        let span = Span::new(start, self.position);
        let text = self.text(span);
        let token = if is_float {
            text.parse().ok().filter(|float: &f64| float.is_finite()).map(Token::Float)
        } else {
            text.parse().ok().map(Token::Integer)
        };
        token.ok_or_else(|| {
            Fault::syntax(span, format!("'{text}' is not a number, or too large for one"))
        })
    }
}

fn is_identifier_start(c: char) -> bool {
    c.is_alphabetic() || c == '_' || c == '$'
}

fn is_identifier_part(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}
