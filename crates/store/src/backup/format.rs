//! The lines of a backup: a header, for each table a line that names it and a line for each row, and a last
//! line with how many rows there are and the checksum of all lines before it.

use std::fmt::Write as _;
use std::io::{self, BufRead, Read as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::tables::{Column, Kind, MAX_COUNT, Table};

/// The version of the format. What adds tables or columns leaves it; what changes lines raises it.
pub(super) const FORMAT: u64 = 1;

/// The longest line, in bytes. The files of an app have 32 MiB at most; as JSON texts they may have twice as much,
/// and in Base64 a third more than that.
const LINE_BYTES: u64 = 128 * 1024 * 1024;

/// The first line.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Header {
    /// Always [`FORMAT`].
    pub(super) keyward_backup: u64,
    /// The version of Keyward that wrote it.
    pub(super) keyward: String,
    /// `embedded` or `postgresql`.
    pub(super) database: String,
    /// RFC 3339.
    pub(super) taken_at: String,
    /// The store's revision.
    pub(super) revision: i64,
    /// That revision's name.
    pub(super) change: String,
}

/// Names the table that the rows after it belong to.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct TableLine {
    pub(super) table: String,
    pub(super) columns: Vec<String>,
}

/// The last line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct EndLine {
    pub(super) rows: u64,
    /// In hexadecimal, of all lines before.
    pub(super) sha256: String,
}

/// What is wrong with a file that is to be restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupFault {
    /// It has no bytes.
    #[error("it is empty")]
    Empty,
    /// It begins with something else.
    #[error("it is no backup of Keyward, or is compressed or encrypted")]
    NoBackup,
    /// A newer version of Keyward wrote it.
    #[error("its format is version {0}, and this Keyward reads version {FORMAT}: use a newer one")]
    NewerFormat(u64),
    /// A newer version of Keyward wrote it, with a table or a column that this one does not have.
    #[error("line {line}: {what} is of a newer version: use one that is at least {written_by}")]
    NewerContent {
        /// The line's number, from 1.
        line: u64,
        /// What this version does not know.
        what: String,
        /// The version that wrote it.
        written_by: String,
    },
    /// Its last line is missing.
    #[error("it was cut off after {0} lines")]
    CutOff(u64),
    /// What its last line says does not fit what is before it.
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    /// The checksum in its last line is of something else, and this line shows the damage.
    #[error("it is damaged: line {line}: {why}")]
    DamagedLine {
        /// The line's number, from 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
    /// A line is not what it can be.
    #[error("line {line}: {why}")]
    Line {
        /// The line's number, from 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
    /// It cannot be read.
    #[error("it cannot be read")]
    Unreadable(#[from] io::Error),
}

/// One value of a row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cell {
    Null,
    Integer(i64),
    Text(String),
    Bytes(Vec<u8>),
}

impl Cell {
    fn read(value: Value, column: &Column) -> Option<Self> {
        match (column.kind, value) {
            (_, Value::Null) => column.is_nullable.then_some(Self::Null),
            (Kind::Integer, Value::Number(number)) => {
                number.as_i64().filter(|number| column.can_be(*number)).map(Self::Integer)
            }
            (Kind::Text, Value::String(text)) => Some(Self::Text(text)),
            (Kind::Bytes, Value::String(text)) => STANDARD.decode(text).ok().map(Self::Bytes),
            _ => None,
        }
    }

    fn to_value(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Integer(number) => Value::from(*number),
            Self::Text(text) => Value::from(text.as_str()),
            Self::Bytes(bytes) => Value::from(STANDARD.encode(bytes)),
        }
    }
}

/// Makes the lines of a backup.
pub(super) struct Writer {
    hash: Sha256,
    rows: u64,
}

impl Writer {
    pub(super) fn new() -> Self {
        Self { hash: Sha256::new(), rows: 0 }
    }

    /// Makes a line of its own.
    pub(super) fn line(&mut self, value: &impl Serialize) -> serde_json::Result<Vec<u8>> {
        let mut line = serde_json::to_vec(value)?;
        line.push(b'\n');
        self.hash.update(&line);
        Ok(line)
    }

    pub(super) fn row(&mut self, cells: &[Cell]) -> serde_json::Result<Vec<u8>> {
        self.rows += 1;
        let values: Vec<Value> = cells.iter().map(Cell::to_value).collect();
        self.line(&values)
    }

    /// Makes the last line.
    pub(super) fn end(mut self) -> serde_json::Result<Vec<u8>> {
        let end = EndLine { rows: self.rows, sha256: hexadecimal(&self.hash.clone().finalize()) };
        self.line(&end)
    }
}

/// What a line says, in a file whose lines before it hold.
#[derive(Debug)]
pub(super) enum Line {
    /// Rows of this table follow, with these columns.
    Table(usize, &'static Table, Vec<&'static Column>),
    /// A row of the table that was named last.
    Row(Vec<Cell>),
    /// There is nothing more, and the checksum fits.
    End(EndLine),
}

/// Reads the lines of a backup.
#[derive(Debug)]
pub(super) struct Reader<R> {
    from: R,
    hash: Sha256,
    line: Vec<u8>,
    number: u64,
    rows: u64,
    columns: Vec<&'static Column>,
    pub(super) header: Header,
}

impl<R: BufRead> Reader<R> {
    /// Reads the first line.
    pub(super) fn new(from: R) -> Result<Self, BackupFault> {
        let header = Header {
            keyward_backup: FORMAT,
            keyward: String::new(),
            database: String::new(),
            taken_at: String::new(),
            revision: 0,
            change: String::new(),
        };
        let (hash, line, columns) = (Sha256::new(), Vec::new(), Vec::new());
        let mut reader = Self { from, hash, line, number: 0, rows: 0, columns, header };
        let is_whole = reader.fill().map_err(|fault| match fault {
            BackupFault::Line { .. } => BackupFault::NoBackup,
            fault => fault,
        })?;
        if reader.line.is_empty() {
            return Err(BackupFault::Empty);
        }
        let first: Option<Value> = serde_json::from_slice(&reader.line).ok();
        let format = first.as_ref().and_then(|first| first.get("keywardBackup")?.as_u64());
        match (format, first) {
            (Some(FORMAT), Some(first)) if is_whole => {
                reader.header = serde_json::from_value(first)
                    .map_err(|error| reader.fault(error.to_string()))?;
                let revision = reader.header.revision;
                if !(0..=MAX_COUNT).contains(&revision) {
                    let why = format!("the revision {revision} is not between 0 and {MAX_COUNT}");
                    return Err(reader.fault(why));
                }
            }
            (Some(FORMAT), _) => return Err(BackupFault::CutOff(1)),
            (Some(newer), _) => return Err(BackupFault::NewerFormat(newer)),
            (None, _) if !is_whole && begins_as_backup(&reader.line) => {
                return Err(BackupFault::CutOff(0));
            }
            (None, _) => return Err(BackupFault::NoBackup),
        }
        reader.hash.update(&reader.line);
        Ok(reader)
    }

    /// Reads the next line; whether it came whole.
    fn fill(&mut self) -> Result<bool, BackupFault> {
        self.line.clear();
        (&mut self.from).take(LINE_BYTES).read_until(b'\n', &mut self.line)?;
        self.number += 1;
        if u64::try_from(self.line.len()).is_ok_and(|len| len >= LINE_BYTES) {
            return Err(self.fault(format!("it has more than {LINE_BYTES} bytes")));
        }
        Ok(self.line.ends_with(b"\n"))
    }

    /// Says what is wrong with the line that was read last.
    pub(super) fn fault(&self, why: impl Into<String>) -> BackupFault {
        BackupFault::Line { line: self.number, why: why.into() }
    }

    /// Reads a line; after [`Line::End`] there is none.
    pub(super) fn next(&mut self) -> Result<Line, BackupFault> {
        if !self.fill()? {
            return Err(BackupFault::CutOff(self.number.saturating_sub(1)));
        }
        let no_json = |error: serde_json::Error| self.fault(format!("it is no JSON: {error}"));
        if self.line.starts_with(b"[") {
            let values: Vec<Value> = serde_json::from_slice(&self.line).map_err(no_json)?;
            let row = self.row(values)?;
            self.rows += 1;
            self.hash.update(&self.line);
            return Ok(Line::Row(row));
        }
        let value: Value = serde_json::from_slice(&self.line).map_err(no_json)?;
        if let Ok(table) = TableLine::deserialize(&value) {
            let line = self.table(&table)?;
            self.hash.update(&self.line);
            return Ok(line);
        }
        match EndLine::deserialize(&value) {
            Ok(end) => self.end(end),
            Err(_) => Err(self.fault("it is neither a table nor a row nor the end")),
        }
    }

    fn row(&self, values: Vec<Value>) -> Result<Vec<Cell>, BackupFault> {
        if self.columns.is_empty() || values.len() != self.columns.len() {
            let (is, expected) = (values.len(), self.columns.len());
            return Err(self.fault(format!("a row of {is} values, where {expected} are expected")));
        }
        let cell = |(value, column): (Value, &&'static Column)| {
            Cell::read(value, column)
                .ok_or_else(|| self.fault(format!("{} is not what it can be", column.name)))
        };
        values.into_iter().zip(&self.columns).map(cell).collect()
    }

    fn table(&mut self, line: &TableLine) -> Result<Line, BackupFault> {
        let newer = |what: String| BackupFault::NewerContent {
            line: self.number,
            what,
            written_by: self.header.keyward.clone(),
        };
        let (place, table) =
            Table::find(&line.table).ok_or_else(|| newer(format!("the table {:?}", line.table)))?;
        let column = |name: &String| {
            table
                .column(name)
                .ok_or_else(|| newer(format!("the column {name:?} of {}", table.name)))
        };
        let columns: Vec<&'static Column> =
            line.columns.iter().map(column).collect::<Result<_, _>>()?;
        let has_twice =
            |column: &Column| columns.iter().filter(|other| other.name == column.name).count() > 1;
        let begins_with_key =
            table.columns.iter().take(table.key).eq(columns.iter().take(table.key).copied());
        if !begins_with_key || columns.iter().any(|column| has_twice(column)) {
            return Err(self.fault(format!("the columns of {} are not as they can be", table.name)));
        }
        self.columns.clone_from(&columns);
        Ok(Line::Table(place, table, columns))
    }

    fn end(&mut self, end: EndLine) -> Result<Line, BackupFault> {
        let is = hexadecimal(&self.hash.clone().finalize());
        if end.sha256 != is {
            return Err(BackupFault::Damaged("the checksum in its last line is of something else"));
        }
        if end.rows != self.rows {
            return Err(BackupFault::Damaged("it has more or fewer rows than its last line says"));
        }
        self.fill()?;
        if !self.line.is_empty() {
            return Err(BackupFault::Damaged("something comes after its last line"));
        }
        Ok(Line::End(end))
    }
}

/// Whether the last line of a file has another checksum than that of all lines before it: read by itself, no
/// line is looked into. A file without a last line has none.
pub(super) fn has_other_checksum(from: &mut impl BufRead) -> io::Result<bool> {
    let (mut hash, mut before, mut line) = (Sha256::new(), Sha256::new(), Vec::new());
    while !from.fill_buf()?.is_empty() {
        before.clone_from(&hash);
        line.clear();
        from.take(LINE_BYTES).read_until(b'\n', &mut line)?;
        hash.update(&line);
    }
    let end = serde_json::from_slice::<EndLine>(&line).ok().filter(|_| line.ends_with(b"\n"));
    Ok(end.is_some_and(|end| end.sha256 != hexadecimal(&before.finalize())))
}

/// Whether the beginning of a first line is that of a backup's.
fn begins_as_backup(line: &[u8]) -> bool {
    const BEGINNING: &[u8] = b"{\"keywardBackup\":";
    line.iter().zip(BEGINNING).all(|(one, other)| one == other)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
