//! Writing a backup: one state of the store, table by table.

use std::fmt::Write as _;
use std::time::Duration;

use keys::permission::Owner;
use keys::{Authorized, Caller};
use serde_json::json;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row as _};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::format::{Cell, FORMAT, Header, TableLine, Writer};
use super::restoring::bind;
use super::tables::{Column, Kind, On, TABLES, Table};
use crate::access_keys::app_id;
use crate::audit::{self, Action};
use crate::{Error, Result, Store, revision};

/// How many bytes are handed on at once, about.
const CHUNK_BYTES: usize = 64 * 1024;

/// How long whoever asked for a backup may take for one chunk: meanwhile the database keeps an old state for it.
const TAKE_WITHIN: Duration = Duration::from_secs(30);

impl Store {
    /// Sends everything that is kept, in one state of the store, as the lines of a backup. What was sent is a
    /// backup only if this returns well. The audit of every app gets a row about it before the first line.
    ///
    /// # Errors
    /// [`Error::BackupUnderWay`] where one is being taken already; [`Error::BackupNotTaken`] where the
    /// receiver is gone, or takes nothing for 30 seconds; [`Error::Forbidden`]; [`Error::Database`].
    pub async fn back_up(&self, by: &Caller, to: &mpsc::Sender<Vec<u8>>) -> Result<()> {
        let _alone = self.backing_up.try_lock().map_err(|_| Error::BackupUnderWay)?;
        self.record_backup(by).await?;
        let mut reading = self.begin_backup().await?;
        let connection = reading.connection();
        let mut out = Out { writer: Writer::new(), chunk: Vec::new(), to };
        let now = revision::current(connection).await?;
        let header = Header {
            keyward_backup: FORMAT,
            keyward: env!("CARGO_PKG_VERSION").to_owned(),
            database: if self.is_embedded() { "embedded" } else { "postgresql" }.to_owned(),
            taken_at: self.clock.now().to_string(),
            revision: now.revision.get(),
            change: now.change.as_str().to_owned(),
        };
        let line = out.writer.line(&header)?;
        out.put(&line).await?;
        for table in self.tables_here() {
            self.send_table(connection, table, &mut out).await?;
        }
        out.end().await
    }

    /// The tables that this database has.
    pub(super) fn tables_here(&self) -> impl Iterator<Item = &'static Table> {
        let is_embedded = self.is_embedded();
        TABLES.iter().filter(move |table| !is_embedded || table.on == On::Both)
    }

    async fn record_backup(&self, by: &Caller) -> Result<()> {
        self.retried(|_| async move {
            let tx = self
                .in_time(async {
                    let mut tx = self.begin_write().await?;
                    for by in &owner_of_all(&mut tx, by).await? {
                        let (id, now) = (audit::new_id(), self.clock.now());
                        audit::record(&mut tx, by, now, &id, Action::BackUp, "store", json!({}))
                            .await?;
                    }
                    Ok(tx)
                })
                .await?;
            self.commit(tx).await
        })
        .await
    }

    async fn send_table(
        &self,
        connection: &mut AnyConnection,
        table: &'static Table,
        out: &mut Out<'_>,
    ) -> Result<()> {
        let columns = table.columns.iter().map(|column| column.name.to_owned()).collect();
        let line = out.writer.line(&TableLine { table: table.name.to_owned(), columns })?;
        out.put(&line).await?;
        let mut after: Option<Vec<Cell>> = None;
        loop {
            let rows = self.in_time(page(connection, table, after.as_deref())).await?;
            for row in &rows {
                let line = out.writer.row(row)?;
                out.put(&line).await?;
            }
            match rows.last() {
                Some(last) if rows.len() == table.rows_at_once => {
                    after = Some(last.iter().take(table.key).cloned().collect());
                }
                _ => return Ok(()),
            }
        }
    }
}

/// Lets the caller act on every app that there is.
pub(super) async fn owner_of_all(
    connection: &mut AnyConnection,
    by: &Caller,
) -> Result<Vec<Authorized<Owner>>> {
    let apps: Vec<(Vec<u8>,)> =
        sqlx::query_as("SELECT id FROM apps ORDER BY id").fetch_all(connection).await?;
    apps.iter().map(|(id,)| Ok(by.require(app_id(id)?)?)).collect()
}

/// Reads the rows after one, by the primary key: what is read once is not read again, however many there are.
async fn page(
    connection: &mut AnyConnection,
    table: &'static Table,
    after: Option<&[Cell]>,
) -> Result<Vec<Vec<Cell>>> {
    let names = |columns: &[Column]| {
        columns.iter().map(|column| column.name).collect::<Vec<_>>().join(", ")
    };
    let (key, _) = table.columns.split_at_checked(table.key).unwrap_or((table.columns, &[]));
    let key_names = names(key);
    let mut text = format!("SELECT {} FROM {}", names(table.columns), table.name);
    if after.is_some() {
        let places: Vec<String> = (1..=key.len()).map(|place| format!("${place}")).collect();
        let _ = write!(text, " WHERE ({key_names}) > ({})", places.join(", "));
    }
    let _ = write!(text, " ORDER BY {key_names} LIMIT {}", table.rows_at_once);
    let mut query = sqlx::query(AssertSqlSafe(text));
    for (cell, column) in after.into_iter().flatten().zip(key) {
        query = bind(query, cell, column.kind);
    }
    let rows = query.fetch_all(connection).await?;
    rows.iter().map(|row| cells(row, table)).collect()
}

fn cells(row: &AnyRow, table: &Table) -> Result<Vec<Cell>> {
    let cell = |(place, column): (usize, &Column)| {
        Ok(match column.kind {
            Kind::Integer => row.try_get::<Option<i64>, _>(place)?.map(Cell::Integer),
            Kind::Text => row.try_get::<Option<String>, _>(place)?.map(Cell::Text),
            Kind::Bytes => row.try_get::<Option<Vec<u8>>, _>(place)?.map(Cell::Bytes),
        }
        .unwrap_or(Cell::Null))
    };
    table.columns.iter().enumerate().map(cell).collect()
}

/// Gathers lines and sends them.
struct Out<'a> {
    writer: Writer,
    chunk: Vec<u8>,
    to: &'a mpsc::Sender<Vec<u8>>,
}

impl Out<'_> {
    async fn put(&mut self, line: &[u8]) -> Result<()> {
        self.chunk.extend_from_slice(line);
        if self.chunk.len() >= CHUNK_BYTES { self.send().await } else { Ok(()) }
    }

    async fn send(&mut self) -> Result<()> {
        let sent = timeout(TAKE_WITHIN, self.to.send(std::mem::take(&mut self.chunk))).await;
        sent.is_ok_and(|sent| sent.is_ok()).then_some(()).ok_or(Error::BackupNotTaken)
    }

    async fn end(mut self) -> Result<()> {
        let writer = std::mem::replace(&mut self.writer, Writer::new());
        self.chunk.extend_from_slice(&writer.end()?);
        self.send().await
    }
}
