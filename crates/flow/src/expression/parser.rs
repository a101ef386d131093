//! Tokens into a tree.

use serde_json::Value;

use super::fault::{Fault, FaultKind, Span};
use super::lexer::{Lexer, Token};
use super::tree::{Access, Expr, ExprKind};
use crate::functions;
use crate::limits::EXPRESSION_DEPTH;

/// Parses the expression that fills `source` from `start` to its end.
pub(super) fn parse_whole(source: &str, start: usize) -> Result<Expr, Fault> {
    let mut parser = Parser::new(source, start, false)?;
    let expression = parser.expression(EXPRESSION_DEPTH)?;
    parser.expect(&Token::EndOfData)?;
    Ok(expression)
}

/// Parses the expression at `start` that a closing brace ends; returns it and where the brace ends.
pub(super) fn parse_in_braces(source: &str, start: usize) -> Result<(Expr, usize), Fault> {
    let mut parser = Parser::new(source, start, true)?;
    let expression = parser.expression(EXPRESSION_DEPTH)?;
    // The token after the brace is text, not an expression: it must not be read.
    if parser.token == Token::RightCurlyBrace {
        return Ok((expression, parser.span.end));
    }
    Err(parser.unexpected("RightCurlyBrace"))
}

struct Parser<'s> {
    lexer: Lexer<'s>,
    token: Token,
    span: Span,
}

impl<'s> Parser<'s> {
    fn new(source: &'s str, start: usize, in_braces: bool) -> Result<Self, Fault> {
        let mut lexer = Lexer::new(source, start, in_braces);
        let (token, span) = lexer.next()?;
        Ok(Self { lexer, token, span })
    }

    fn expression(&mut self, depth: usize) -> Result<Expr, Fault> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(Fault {
                kind: FaultKind::Limit,
                message: format!(
                    "an expression may be nested {EXPRESSION_DEPTH} levels deep, and this one is deeper"
                ),
                span: Some(self.span),
            });
        };
        match &mut self.token {
            Token::StringLiteral(text) => {
                let value = Value::String(std::mem::take(text));
                self.literal(value)
            }
            Token::Integer(integer) => {
                let value = Value::from(*integer);
                self.literal(value)
            }
            Token::Float(float) => {
                let value = Value::from(*float);
                self.literal(value)
            }
            Token::Identifier => self.named(depth),
            _ => Err(self.unexpected("Identifier")),
        }
    }

    fn literal(&mut self, value: Value) -> Result<Expr, Fault> {
        let span = self.advance()?;
        Ok(Expr { kind: ExprKind::Literal(value), span })
    }

    /// Parses `true`, `false`, `null`, or a call with all that is selected from its result.
    fn named(&mut self, depth: usize) -> Result<Expr, Fault> {
        let name = self.lexer.text(self.span);
        let name_span = self.advance()?;
        if self.token != Token::LeftParenthesis {
            let constant =
                [("true", Value::Bool(true)), ("false", Value::Bool(false)), ("null", Value::Null)];
            return match constant.into_iter().find(|(text, _)| name.eq_ignore_ascii_case(text)) {
                Some((_, value)) => Ok(Expr { kind: ExprKind::Literal(value), span: name_span }),
                None => Err(self.unexpected("LeftParenthesis")),
            };
        }
        self.advance()?;
        let mut arguments = Vec::new();
        if self.token != Token::RightParenthesis {
            arguments.push(self.expression(depth)?);
            while self.token == Token::Comma {
                self.advance()?;
                arguments.push(self.expression(depth)?);
            }
        }
        let mut span = name_span.to(self.expect(&Token::RightParenthesis)?);
        let mut accesses = Vec::new();
        while let Some(access) = self.access(depth)? {
            span = span.to(access.span);
            accesses.push(access);
        }
        let callee = functions::find(name);
        Ok(Expr { kind: ExprKind::Call { callee, name: name_span, arguments, accesses }, span })
    }

    fn access(&mut self, depth: usize) -> Result<Option<Access>, Fault> {
        let start = self.span;
        let optional = self.token == Token::QuestionMark;
        if optional {
            self.advance()?;
        }
        let key = match self.token {
            Token::Dot => {
                self.advance()?;
                if self.token != Token::Identifier {
                    return Err(self.unexpected("Identifier"));
                }
                let name = Value::from(self.lexer.text(self.span));
                self.literal(name)?
            }
            Token::LeftSquareBracket => {
                self.advance()?;
                let key = self.expression(depth)?;
                let end = self.expect(&Token::RightSquareBracket)?;
                return Ok(Some(Access { key, optional, span: start.to(end) }));
            }
            _ if optional => return Err(self.unexpected("Dot' or 'LeftSquareBracket")),
            _ => return Ok(None),
        };
        let span = start.to(key.span);
        Ok(Some(Access { key, optional, span }))
    }

    /// Reads the next token and returns the span of the one that was current.
    fn advance(&mut self) -> Result<Span, Fault> {
        let span = self.span;
        (self.token, self.span) = self.lexer.next()?;
        Ok(span)
    }

    fn expect(&mut self, token: &Token) -> Result<Span, Fault> {
        if self.token != *token {
            return Err(self.unexpected(token.name()));
        }
        if *token == Token::EndOfData { Ok(self.span) } else { self.advance() }
    }

    fn unexpected(&self, wanted: &str) -> Fault {
        Fault::syntax(
            self.span,
            format!("expected the token '{wanted}', found '{}'", self.token.name()),
        )
    }
}
