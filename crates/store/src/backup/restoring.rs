//! Making an empty store what a backup says.

use std::io::{BufRead, Seek};

use keys::{AccessKey, Caller, Slot, SysRng};
use serde_json::json;
use sqlx::any::AnyArguments;
use sqlx::query::Query;
use sqlx::{Any, AnyConnection, AssertSqlSafe};

use super::checking::{Backup, BackupSummary};
use super::format::{BackupFault, Cell, Line};
use super::tables::{Column, Kind, OPERATOR_TOKENS, On, Table};
use super::taking::owner_of_all;
use crate::audit::{self, Action};
use crate::{Error, Result, Revision, Store};

/// How many rows are written by one statement, and after how many bytes it is sent anyway.
const ROWS_AT_ONCE: usize = 100;
const BYTES_AT_ONCE: usize = 1024 * 1024;

/// What becomes of the access keys in a backup, which knows nothing of what was ended after it was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessKeysAfter {
    /// Both of every app are regenerated, so that every API key issued before is refused.
    Regenerated,
    /// They stay, and what was ended since opens again; so does an operator's token of that time.
    KeptAndEndedKeysRevived,
}

/// What was restored.
#[derive(Clone, Debug)]
pub struct Restored {
    /// The names of the apps, in their order.
    pub apps: Vec<String>,
    /// The store's revision now.
    pub revision: Revision,
}

impl Store {
    /// Writes a backup into this store, which must be empty, in one transaction: all of it or nothing. The
    /// revision gets a name that no replica has heard of.
    ///
    /// # Errors
    /// [`Error::NotEmpty`]; [`Error::Backup`] where the file has changed since it was read;
    /// [`Error::Forbidden`]; [`Error::Database`] with the store as empty as it was; [`Error::OutcomeUnknown`].
    pub async fn restore<R: BufRead + Seek>(
        &self,
        by: &Caller,
        backup: &mut Backup<R>,
        after: AccessKeysAfter,
    ) -> Result<Restored> {
        let mut tx = self.in_restore_time(self.begin_restore()).await?;
        match self.fill(&mut tx, by, backup, after).await {
            Ok(restored) => {
                self.commit_restore(tx).await?;
                Ok(restored)
            }
            Err(error) => {
                // Whoever looks next is not to wait for its locks; it comes to nothing in any case.
                drop(self.in_restore_time(async { Ok(tx.rollback().await?) }).await);
                Err(error)
            }
        }
    }

    async fn fill<R: BufRead + Seek>(
        &self,
        tx: &mut AnyConnection,
        by: &Caller,
        backup: &mut Backup<R>,
        after: AccessKeysAfter,
    ) -> Result<Restored> {
        self.in_restore_time(self.require_empty(&mut *tx)).await?;
        self.write_rows(&mut *tx, backup, after).await?;
        let finish = self.write_consequences(tx, by, backup.summary(), after);
        self.in_restore_time(finish).await
    }

    /// Whether there is nothing in this store yet that a restored backup could get mixed up with.
    async fn require_empty(&self, tx: &mut AnyConnection) -> Result<()> {
        let replicas = (!self.is_embedded()).then_some("replicas");
        for table in self.tables_here().map(|table| table.name).chain(replicas) {
            let (rows,): (i64,) =
                sqlx::query_as(AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}")))
                    .fetch_one(&mut *tx)
                    .await?;
            if rows > 0 {
                return Err(Error::NotEmpty { table, rows });
            }
        }
        Ok(())
    }

    async fn write_rows<R: BufRead + Seek>(
        &self,
        tx: &mut AnyConnection,
        backup: &mut Backup<R>,
        after: AccessKeysAfter,
    ) -> Result<()> {
        let checked = backup.summary().sha256.clone();
        let mut lines = backup.lines()?;
        let mut batch = None;
        loop {
            match lines.next()? {
                Line::Table(_, table, columns) => {
                    self.in_restore_time(flush(&mut batch, &mut *tx)).await?;
                    let is_here = !self.is_embedded() || table.on == On::Both;
                    let revives = after == AccessKeysAfter::KeptAndEndedKeysRevived;
                    let is_wanted = is_here && (table.name != OPERATOR_TOKENS || revives);
                    batch = is_wanted.then(|| Batch::new(table, columns));
                }
                Line::Row(cells) => {
                    if batch.as_mut().is_some_and(|batch| batch.push(cells)) {
                        self.in_restore_time(flush(&mut batch, &mut *tx)).await?;
                    }
                }
                Line::End(end) => {
                    self.in_restore_time(flush(&mut batch, &mut *tx)).await?;
                    let is_same = end.sha256 == checked;
                    let changed = BackupFault::Damaged("it has changed since it was checked");
                    return is_same.then_some(()).ok_or(Error::Backup(changed));
                }
            }
        }
    }

    /// Writes what follows from restoring.
    async fn write_consequences(
        &self,
        tx: &mut AnyConnection,
        by: &Caller,
        summary: &BackupSummary,
        after: AccessKeysAfter,
    ) -> Result<Restored> {
        sqlx::query("UPDATE revision SET value = $1 WHERE only_row = 1")
            .bind(summary.revision)
            .execute(&mut *tx)
            .await?;
        let now = self.clock.now();
        for by in &owner_of_all(&mut *tx, by).await? {
            let fate = match after {
                AccessKeysAfter::Regenerated => "regenerated",
                AccessKeysAfter::KeptAndEndedKeysRevived => "keptAndEndedKeysRevived",
            };
            let detail = json!({ "takenAt": summary.taken_at.to_string(),
                "revision": summary.revision, "sha256": summary.sha256, "accessKeys": fate });
            let id = audit::new_id();
            audit::record(&mut *tx, by, now, &id, Action::Restore, "store", detail).await?;
            if after == AccessKeysAfter::KeptAndEndedKeysRevived {
                continue;
            }
            for slot in Slot::ALL {
                let key = AccessKey::generate(&mut SysRng).map_err(Error::Key)?;
                self.replace_access_key(&mut *tx, by, slot, &key, &audit::new_id()).await?;
            }
        }
        let revision = self.count_up(&mut *tx).await?.revision;
        // A store that no replica could serve from must not come to be.
        self.read_trust_in(&mut *tx).await?;
        let apps: Vec<(String,)> =
            sqlx::query_as("SELECT name FROM apps ORDER BY name").fetch_all(tx).await?;
        Ok(Restored { apps: apps.into_iter().map(|(name,)| name).collect(), revision })
    }
}

/// Rows of one table that wait to be written together.
struct Batch {
    table: &'static Table,
    columns: Vec<&'static Column>,
    rows: Vec<Vec<Cell>>,
    bytes: usize,
}

impl Batch {
    fn new(table: &'static Table, columns: Vec<&'static Column>) -> Self {
        Self { table, columns, rows: Vec::new(), bytes: 0 }
    }

    /// Adds a row; whether there are enough now.
    fn push(&mut self, cells: Vec<Cell>) -> bool {
        let length = |cell: &Cell| match cell {
            Cell::Null | Cell::Integer(_) => 8,
            Cell::Text(text) => text.len(),
            Cell::Bytes(bytes) => bytes.len(),
        };
        self.bytes += cells.iter().map(length).sum::<usize>();
        self.rows.push(cells);
        self.rows.len() >= ROWS_AT_ONCE || self.bytes >= BYTES_AT_ONCE
    }

    async fn write(&self, tx: &mut AnyConnection) -> Result<()> {
        let width = self.columns.len();
        let names: Vec<&str> = self.columns.iter().map(|column| column.name).collect();
        let row = |row: usize| {
            let places = (1..=width).map(|place| format!("${}", row * width + place));
            format!("({})", places.collect::<Vec<_>>().join(", "))
        };
        let rows: Vec<String> = (0..self.rows.len()).map(row).collect();
        let text = format!(
            "INSERT INTO {} ({}) VALUES {}",
            self.table.name,
            names.join(", "),
            rows.join(", ")
        );
        let mut query = sqlx::query(AssertSqlSafe(text));
        for (cell, column) in self.rows.iter().flat_map(|row| row.iter().zip(&self.columns)) {
            query = bind(query, cell, column.kind);
        }
        query.execute(tx).await?;
        Ok(())
    }
}

async fn flush(batch: &mut Option<Batch>, tx: &mut AnyConnection) -> Result<()> {
    if let Some(batch) = batch.as_mut().filter(|batch| !batch.rows.is_empty()) {
        batch.write(tx).await?;
        batch.rows.clear();
        batch.bytes = 0;
    }
    Ok(())
}

/// Gives a query its next value. A null has its column's type, which PostgreSQL wants to know.
pub(super) fn bind<'q>(
    query: Query<'q, Any, AnyArguments>,
    cell: &Cell,
    kind: Kind,
) -> Query<'q, Any, AnyArguments> {
    match (cell, kind) {
        (Cell::Integer(number), _) => query.bind(*number),
        (Cell::Text(text), _) => query.bind(text.clone()),
        (Cell::Bytes(bytes), _) => query.bind(bytes.clone()),
        (Cell::Null, Kind::Integer) => query.bind(None::<i64>),
        (Cell::Null, Kind::Text) => query.bind(None::<String>),
        (Cell::Null, Kind::Bytes) => query.bind(None::<Vec<u8>>),
    }
}
