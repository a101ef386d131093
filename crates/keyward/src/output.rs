//! What a command prints: on standard output what was asked for, on standard error what to know.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;

use crate::error::{Error, Result};

/// Prints on standard output, with a line feed at its end.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    let written = writeln!(out, "{}", text.trim_end_matches('\n')).and_then(|()| out.flush());
    written.map_err(Error::io("write the output"))
}

/// Prints a value as indented JSON.
pub(crate) fn print_json(value: &impl Serialize) -> Result<()> {
    print(&serde_json::to_string_pretty(value).map_err(|error| unprintable(&error))?)
}

/// Prints a value as JSON on one line.
pub(crate) fn print_json_line(value: &impl Serialize) -> Result<()> {
    print(&serde_json::to_string(value).map_err(|error| unprintable(&error))?)
}

fn unprintable(error: &serde_json::Error) -> Error {
    Error::Failed(format!("cannot write the output as JSON: {error}"))
}

/// Tells a person something on standard error; that nobody hears it is no failure.
pub(crate) fn tell(text: &str) {
    drop(writeln!(io::stderr().lock(), "{text}"));
}

/// Asks a person on the terminal to type `word`; without a terminal nobody can.
pub(crate) fn confirm(question: &str, word: &str) -> Result<bool> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Error::Usage(format!(
            "{question} Nobody can confirm it, since there is no terminal: add --yes"
        )));
    }
    let mut err = io::stderr().lock();
    let asked = write!(err, "{question}\nType {word} to go on: ").and_then(|()| err.flush());
    asked.map_err(Error::io("ask for confirmation"))?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).map_err(Error::io("read the confirmation"))?;
    Ok(answer.trim().eq_ignore_ascii_case(word))
}

/// Says how many there are of something.
pub(crate) fn counted(count: impl Display, what: &str) -> String {
    let count = count.to_string();
    let plural = if count == "1" { "" } else { "s" };
    format!("{count} {what}{plural}")
}

/// Lays rows out in columns, two spaces apart.
pub(crate) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = head.map(|title| title.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: [&str; N]| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let rows = rows.iter().map(|row| line(row.each_ref().map(String::as_str)));
    std::iter::once(line(head)).chain(rows).collect::<Vec<_>>().join("\n")
}

/// Makes text of others fit to be shown: what moves the cursor or turns text around is escaped.
pub(crate) fn shown(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let escape = |c: char| {
        if c.is_control() || turns(c) { c.escape_default().to_string() } else { c.to_string() }
    };
    text.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_columns_as_wide_as_their_widest_cell() {
        let rows = [["a".to_owned(), "long cell".to_owned()], ["bbbb".to_owned(), "c".to_owned()]];
        assert_eq!(table(["one", "two"], &rows), "one   two\na     long cell\nbbbb  c");
    }

    #[test]
    fn text_of_others_cannot_move_the_cursor() {
        assert_eq!(shown("a\u{1b}[2Jb\u{202e}"), "a\\u{1b}[2Jb\\u{202e}");
    }
}
