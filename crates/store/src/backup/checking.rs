//! Reading a backup through before anything is done with it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, Seek};

use keys::{MasterKeys, Slot, Timestamp};

use super::format::{BackupFault, Cell, Line, Reader, has_other_checksum};
use super::tables::{Column, DEPLOYMENTS, OPERATOR_TOKENS, TABLES, Table};
use crate::access_keys::{access_key_id, app_id, parse_slot};
use crate::{Error, Result};

/// The longest name of an app, which is what the commands take.
const APP_NAME_CHARS: usize = 60;

/// A backup that was read through and holds.
#[derive(Debug)]
pub struct Backup<R> {
    from: R,
    summary: BackupSummary,
}

/// What a backup says of itself.
#[derive(Clone, Debug)]
pub struct BackupSummary {
    /// When it was taken.
    pub taken_at: Timestamp,
    /// The store's revision at that time.
    pub revision: i64,
    /// The version of Keyward that wrote it.
    pub written_by: String,
    /// How many apps it has.
    pub apps: usize,
    /// How many rows it has in all.
    pub rows: u64,
    /// Its checksum, in hexadecimal.
    pub sha256: String,
}

impl<R: BufRead + Seek> Backup<R> {
    /// Reads it through: each line, the checksum, that what each row refers to is there, and that `masters`
    /// open every secret in it, if they are given.
    ///
    /// # Errors
    /// [`Error::Backup`]; [`Error::Sealed`] and [`Error::Token`] where no master key opens a secret.
    pub fn read(mut from: R, masters: Option<&MasterKeys>) -> Result<Self> {
        from.rewind().map_err(BackupFault::from)?;
        // What is no backup at all may be of any size, and is not read to its end.
        match Reader::new(&mut from) {
            Ok(_) | Err(BackupFault::Line { .. }) => {}
            Err(fault) => return Err(fault.into()),
        }
        from.rewind().map_err(BackupFault::from)?;
        // A damaged secret opens under no key, and is not to be taken for one under another.
        let is_altered = has_other_checksum(&mut from).map_err(BackupFault::from)?;
        let summary = match Self::look(&mut from, None) {
            Err(error) if is_altered => return Err(altered(error)),
            looked => looked?,
        };
        if masters.is_some() {
            Self::look(&mut from, masters)?;
        }
        Ok(Self { from, summary })
    }

    /// Reads all lines once.
    fn look(from: &mut R, masters: Option<&MasterKeys>) -> Result<BackupSummary> {
        from.rewind().map_err(BackupFault::from)?;
        let mut reader = Reader::new(from)?;
        let taken_at = Timestamp::parse_rfc3339(&reader.header.taken_at)
            .map_err(|_| reader.fault("takenAt is no instant"))?;
        let mut seen = Seen::new(masters);
        let end = loop {
            match reader.next()? {
                Line::End(end) => break end,
                Line::Table(place, table, columns) => {
                    let turned = seen.turn(place, table, columns);
                    turned.map_err(|why| reader.fault(why))?;
                }
                Line::Row(cells) => seen.row(&cells).map_err(|wrong| match wrong {
                    Wrong::Row(why) => Error::from(reader.fault(why)),
                    Wrong::Secret(error) => error,
                })?,
            }
        };
        seen.check_apps().map_err(|why| reader.fault(why))?;
        Ok(BackupSummary {
            taken_at,
            revision: reader.header.revision,
            written_by: reader.header.keyward.clone(),
            apps: seen.apps.len(),
            rows: end.rows,
            sha256: end.sha256,
        })
    }

    /// What it says of itself.
    #[must_use]
    pub const fn summary(&self) -> &BackupSummary {
        &self.summary
    }

    /// Reads its lines again.
    pub(super) fn lines(&mut self) -> Result<Reader<&mut R>, BackupFault> {
        self.from.rewind()?;
        Reader::new(&mut self.from)
    }
}

/// What is wrong with a file whose checksum is of something else.
fn altered(error: Error) -> Error {
    Error::Backup(match error {
        Error::Backup(BackupFault::Line { line, why }) => BackupFault::DamagedLine { line, why },
        Error::Backup(BackupFault::NewerContent { line, what, .. }) => {
            BackupFault::DamagedLine { line, why: format!("{what} is unknown") }
        }
        Error::Backup(fault) => fault,
        other => return other,
    })
}

enum Wrong {
    Row(String),
    Secret(Error),
}

impl From<String> for Wrong {
    fn from(why: String) -> Self {
        Self::Row(why)
    }
}

/// What has been read, as far as later rows depend on it.
struct Seen<'m> {
    masters: Option<&'m MasterKeys>,
    table: Option<(usize, &'static Table, Vec<&'static Column>)>,
    last_key: Vec<Cell>,
    /// The keys of the rows that others refer to, by table.
    keys: BTreeMap<&'static str, BTreeSet<Vec<Cell>>>,
    /// The name of each app, by its id.
    apps: BTreeMap<Vec<u8>, String>,
    /// The version of each app that is in force, until its row has come.
    deployed: BTreeSet<(Vec<u8>, i64)>,
    /// The slots of each app that have an access key.
    slots: BTreeSet<(Vec<u8>, String)>,
}

impl<'m> Seen<'m> {
    fn new(masters: Option<&'m MasterKeys>) -> Self {
        let referred = TABLES.iter().flat_map(|table| table.references).map(|(_, to)| *to);
        Self {
            masters,
            table: None,
            last_key: Vec::new(),
            keys: referred.map(|name| (name, BTreeSet::new())).collect(),
            apps: BTreeMap::new(),
            deployed: BTreeSet::new(),
            slots: BTreeSet::new(),
        }
    }

    fn turn(
        &mut self,
        place: usize,
        table: &'static Table,
        columns: Vec<&'static Column>,
    ) -> Result<(), String> {
        if self.table.as_ref().is_some_and(|(last, ..)| *last >= place) {
            return Err(format!("{} comes too late, or again", table.name));
        }
        self.table = Some((place, table, columns));
        self.last_key.clear();
        Ok(())
    }

    fn row(&mut self, cells: &[Cell]) -> Result<(), Wrong> {
        let Some((_, table, columns)) = &self.table else {
            return Err(Wrong::Row("a row of no table".to_owned()));
        };
        let key: Vec<Cell> = cells.iter().take(table.key).cloned().collect();
        if self.last_key >= key {
            return Err(Wrong::Row(format!("a row of {} comes too late, or again", table.name)));
        }
        let row = Row { columns, cells };
        for (columns, to) in table.references {
            let wanted: Option<Vec<Cell>> =
                columns.iter().map(|name| row.cell(name).cloned()).collect();
            let is_there = |wanted| self.keys.get(to).is_some_and(|keys| keys.contains(&wanted));
            if !wanted.is_some_and(is_there) {
                return Err(Wrong::Row(format!("it refers to no row of {to}")));
            }
        }
        match table.name {
            "apps" => {
                let (id, name) = (row.bytes("id")?, row.text("name")?);
                app_id(id).map_err(|error| error.to_string())?;
                check_app_name(name)?;
                self.apps.insert(id.to_vec(), name.to_owned());
                if let Some(Cell::Integer(version)) = row.cell("deployed_version") {
                    self.deployed.insert((id.to_vec(), *version));
                }
            }
            "access_keys" if row.cell("sealed").is_some_and(|cell| *cell != Cell::Null) => {
                let (app, slot) = (row.bytes("app_id")?, row.text("slot")?);
                if !self.slots.insert((app.to_vec(), slot.to_owned())) {
                    return Err(Wrong::Row(format!("a second {slot} access key of its app")));
                }
                self.open_access_key(row)?;
            }
            DEPLOYMENTS => {
                self.open_deployment(row)?;
                if let (Some(Cell::Bytes(app)), Some(Cell::Integer(version))) =
                    (row.cell("app_id"), row.cell("version"))
                {
                    self.deployed.remove(&(app.clone(), *version));
                }
            }
            OPERATOR_TOKENS => {
                let (name, sealed) = (row.text("name")?, row.bytes("sealed")?);
                if let Some(masters) = self.masters {
                    let opened = masters.open_operator_token(sealed, name);
                    opened.map_err(|error| Wrong::Secret(Error::Token(error)))?;
                }
            }
            _ => {}
        }
        if let Some(keys) = self.keys.get_mut(table.name) {
            keys.insert(key.clone());
        }
        self.last_key = key;
        Ok(())
    }

    fn open_access_key(&self, row: Row<'_>) -> Result<(), Wrong> {
        let parsed = || {
            let app = app_id(row.bytes("app_id")?).map_err(|error| error.to_string())?;
            let id = access_key_id(row.bytes("id")?).map_err(|error| error.to_string())?;
            let slot = parse_slot(row.text("slot")?).map_err(|error| error.to_string())?;
            Ok::<_, String>((app, id, slot))
        };
        let (app, id, slot) = parsed()?;
        let Some(masters) = self.masters else { return Ok(()) };
        masters.open(row.bytes("sealed")?, &app, slot, id).map(drop).map_err(|source| {
            let name = self.apps.get(app.as_bytes().as_slice()).cloned().unwrap_or_default();
            Wrong::Secret(Error::Sealed { app: name, slot, source })
        })
    }

    fn open_deployment(&self, row: Row<'_>) -> Result<(), Wrong> {
        let bytes = row.bytes("app_id")?;
        let app = app_id(bytes).map_err(|error| error.to_string())?;
        let version = row.integer("version")?;
        let Some(masters) = self.masters else { return Ok(()) };
        let opened = masters.open_deployment(row.bytes("sealed")?, &app, version);
        opened.map(drop).map_err(|source| {
            let app = self.apps.get(bytes).cloned().unwrap_or_default();
            Wrong::Secret(Error::SealedDeployment { app, version, source })
        })
    }

    /// Each app has what no replica could serve it without: an access key in each slot, and the version that is
    /// in force.
    fn check_apps(&self) -> Result<(), String> {
        for (id, name) in &self.apps {
            for slot in Slot::ALL {
                if !self.slots.contains(&(id.clone(), slot.to_string())) {
                    return Err(format!("the app {name:?} has no {slot} access key"));
                }
            }
        }
        match self.deployed.first() {
            Some((id, version)) => {
                let name = self.apps.get(id).map_or("", String::as_str);
                Err(format!("version {version} of the app {name:?} is in force, and not there"))
            }
            None => Ok(()),
        }
    }
}

/// Sees that an app has a name that `serve` and `deploy` take, since it stands in paths and on terminals.
fn check_app_name(name: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if (1..=APP_NAME_CHARS).contains(&name.chars().count()) && name.chars().all(fits) {
        return Ok(());
    }
    let shown: String = name.chars().take(APP_NAME_CHARS).collect();
    Err(format!(
        "{shown:?} is no name of an app: expected 1 to {APP_NAME_CHARS} letters, digits or -"
    ))
}

#[derive(Clone, Copy)]
struct Row<'a> {
    columns: &'a [&'static Column],
    cells: &'a [Cell],
}

impl<'a> Row<'a> {
    fn cell(self, name: &str) -> Option<&'a Cell> {
        let place = self.columns.iter().position(|column| column.name == name)?;
        self.cells.get(place)
    }

    fn bytes(self, name: &str) -> Result<&'a [u8], String> {
        match self.cell(name) {
            Some(Cell::Bytes(bytes)) => Ok(bytes),
            _ => Err(format!("it has no {name}")),
        }
    }

    fn integer(self, name: &str) -> Result<i64, String> {
        match self.cell(name) {
            Some(Cell::Integer(number)) => Ok(*number),
            _ => Err(format!("it has no {name}")),
        }
    }

    fn text(self, name: &str) -> Result<&'a str, String> {
        match self.cell(name) {
            Some(Cell::Text(text)) => Ok(text),
            _ => Err(format!("it has no {name}")),
        }
    }
}
