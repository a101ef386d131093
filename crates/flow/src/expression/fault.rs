//! What is wrong with an expression, and a drawing of where.

use crate::limits::DRAWN_CHARS;

/// A range of bytes in the text that an expression was parsed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Span {
    pub(crate) const fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// Returns the span from the beginning of this one to the end of the other.
    pub(crate) const fn to(self, other: Self) -> Self {
        Self { start: self.start, end: other.end }
    }
}

/// Which sort of fault, by what the run says about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// The text is not an expression.
    Syntax,
    /// The expression has no value for these inputs.
    Template,
    /// The expression asks for more than a bound of this crate allows.
    Limit,
}

/// A fault in an expression, with its place in the source text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: FaultKind,
    pub(crate) message: String,
    pub(crate) span: Option<Span>,
}

impl Fault {
    pub(crate) fn syntax(span: Span, message: impl Into<String>) -> Self {
        Self { kind: FaultKind::Syntax, message: message.into(), span: Some(span) }
    }

    pub(crate) fn template(message: impl Into<String>) -> Self {
        Self { kind: FaultKind::Template, message: message.into(), span: None }
    }

    pub(crate) fn limit(message: impl Into<String>) -> Self {
        Self { kind: FaultKind::Limit, message: message.into(), span: None }
    }

    /// Gives the fault a place, unless it has one that is nearer.
    pub(crate) fn at(mut self, span: Span) -> Self {
        if self.span.is_none() {
            self.span = Some(span);
        }
        self
    }

    /// Returns the code under which a run reports the fault.
    pub(crate) const fn code(&self) -> &'static str {
        match self.kind {
            FaultKind::Syntax | FaultKind::Template => "InvalidTemplate",
            FaultKind::Limit => "ExpressionLimitExceeded",
        }
    }

    /// Returns the message followed by the source line with the place marked.
    pub(crate) fn drawn(&self, source: &str) -> String {
        match self.span {
            Some(span) => format!("{}\n{}", self.message, draw(source, span)),
            None => self.message.clone(),
        }
    }
}

/// Draws the line of `source` that `span` begins in, and carets below the span.
pub(crate) fn draw(source: &str, span: Span) -> String {
    let line_start =
        source.get(..span.start).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
    let line_end = source
        .get(span.start..)
        .and_then(|after| after.find('\n'))
        .map_or(source.len(), |at| span.start + at);
    let line = source.get(line_start..line_end).unwrap_or(source).trim_end_matches('\r');
    let chars: Vec<char> = line.chars().collect();
    let char_count =
        |from: usize, to: usize| source.get(from..to).map_or(0, |text| text.chars().count());
    let from = char_count(line_start, span.start).min(chars.len());
    let width = char_count(span.start, span.end.min(line_end)).max(1);

    let shown_from =
        if chars.len() <= DRAWN_CHARS { 0 } else { from.saturating_sub(DRAWN_CHARS / 2) };
    let shown_to = (shown_from + DRAWN_CHARS).min(chars.len());
    let shown: String = chars
        .iter()
        .skip(shown_from)
        .take(shown_to - shown_from)
        .map(|c| if c.is_control() { ' ' } else { *c })
        .collect();
    let before = if shown_from > 0 { "…" } else { "" };
    let after = if shown_to < chars.len() { "…" } else { "" };
    let indent = from - shown_from + before.chars().count();
    let carets = width.min((shown_to + 1).saturating_sub(from)).max(1);
    format!("  {before}{shown}{after}\n  {}{}", " ".repeat(indent), "^".repeat(carets))
}
