use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::settings::{Kind, SETTINGS, Setting, names};
use super::{Environment, Problem};

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// On the command line.
    Flag(&'static str),
    /// In the environment.
    Variable(&'static str),
    /// In the file, at this line and column.
    File(PathBuf, usize, usize),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) | Self::Variable(name) => f.write_str(name),
            Self::File(path, line, column) => write!(f, "{}:{line}:{column}", path.display()),
        }
    }
}

/// A value as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Text(String),
    Flag(bool),
    Texts(Vec<String>),
    Count(u32),
}

/// A value and where it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) value: Value,
    pub(crate) origin: Origin,
}

/// An `[[operator]]` as it was written.
#[derive(Clone, Debug)]
pub(crate) struct RawOperator {
    pub(crate) place: Origin,
    pub(crate) fields: BTreeMap<&'static str, Given>,
}

/// The names that an `[[operator]]` has.
pub(crate) const OPERATOR_FIELDS: [&str; 3] = ["name", "role", "token_file"];

/// The configuration as it was written, before anything is known of what it means.
///
/// What a table of [`SETTINGS`] does not name is a problem, as is a value of another kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct RawConfig {
    given: BTreeMap<&'static str, Given>,
    pub(crate) operators: Vec<RawOperator>,
    /// The folder of the file, which its relative paths begin at.
    pub(crate) base: Option<PathBuf>,
    pub(crate) problems: Vec<Problem>,
}

impl RawConfig {
    /// Reads a file's text, noting every problem of it.
    pub(crate) fn parse(path: &Path, text: &str) -> Self {
        let mut reading = Reading { path, text, raw: Self::default() };
        reading.raw.base = path.parent().map(Path::to_owned);
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let place = reading.place(&error.span().unwrap_or_default());
            reading.raw.problem(&place, one_line(error.message()));
        }
        reading.table("", table.get_ref());
        reading.raw
    }

    /// Lets the environment win over what is there.
    pub(crate) fn add_environment(&mut self, environment: &Environment) {
        for setting in SETTINGS {
            let Some(variable) = setting.variable else { continue };
            let origin = Origin::Variable(variable);
            let value = match environment.text(variable) {
                Ok(None) => continue,
                Ok(Some(text)) => of_text(setting, text),
                Err(why) => Err(why),
            };
            match value {
                Ok(value) => self.give(setting.name, value, origin),
                Err(why) => self.problem(&origin, why),
            }
        }
    }

    /// Lets a value of the command line win over what is there.
    pub(crate) fn add_flag(&mut self, name: &'static str, value: Option<Value>) {
        let flag = SETTINGS.iter().find(|setting| setting.name == name).and_then(|one| one.flag);
        if let (Some(value), Some(flag)) = (value, flag) {
            self.give(name, value, Origin::Flag(flag));
        }
    }

    /// Gives what was said of a setting, if anything.
    pub(crate) fn given(&self, name: &str) -> Option<&Given> {
        self.given.get(name)
    }

    /// Gives the data folder that the file names. Commands that serve nothing look no further at it.
    pub(crate) fn data_dir_of_file(&self) -> Option<PathBuf> {
        match self.given(names::DATA_DIR)? {
            Given { value: Value::Text(path), origin: Origin::File(..) } => {
                Some(self.base.as_deref().map_or_else(|| path.into(), |base| base.join(path)))
            }
            _ => None,
        }
    }

    /// Notes that something is wrong.
    pub(crate) fn problem(&mut self, place: &Origin, message: impl Into<String>) {
        self.problems.push(Problem { place: place.to_string(), message: message.into() });
    }

    fn give(&mut self, name: &'static str, value: Value, origin: Origin) {
        self.given.insert(name, Given { value, origin });
    }
}

/// Reads a value of the environment, where all is text.
fn of_text(setting: &Setting, text: &str) -> Result<Value, String> {
    match setting.kind {
        Kind::Text => Ok(Value::Text(text.to_owned())),
        Kind::Flag if text.eq_ignore_ascii_case("true") || text == "1" => Ok(Value::Flag(true)),
        Kind::Flag if text.eq_ignore_ascii_case("false") || text == "0" => Ok(Value::Flag(false)),
        Kind::Flag => Err("is neither true nor false".to_owned()),
        Kind::Texts => Ok(Value::Texts(text.split_whitespace().map(str::to_owned).collect())),
        Kind::Count => text.parse().map(Value::Count).map_err(|_| "is no whole number".to_owned()),
    }
}

struct Reading<'t> {
    path: &'t Path,
    text: &'t str,
    raw: RawConfig,
}

impl Reading<'_> {
    fn table(&mut self, section: &str, table: &DeTable<'_>) {
        for (key, value) in table.iter() {
            let name = match section {
                "" => key.get_ref().to_string(),
                section => format!("{section}.{}", key.get_ref()),
            };
            let is_section = |one: &Setting| {
                one.name.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with('.'))
            };
            let setting = SETTINGS.iter().find(|one| one.name == name);
            match (setting, value.get_ref()) {
                (Some(setting), _) => self.setting(setting, value),
                (None, DeValue::Array(entries)) if name == "operator" => {
                    entries.iter().for_each(|entry| self.operator(entry));
                }
                (None, DeValue::Table(inner)) if SETTINGS.iter().any(is_section) => {
                    self.table(&name, inner);
                }
                (None, _) => {
                    let place = self.place(&key.span());
                    self.raw.problem(&place, unknown(&name, section));
                }
            }
        }
    }

    fn setting(&mut self, setting: &'static Setting, value: &Spanned<DeValue<'_>>) {
        let origin = self.place(&value.span());
        match of_toml(setting.kind, value.get_ref()) {
            Ok(value) => self.raw.give(setting.name, value, origin),
            Err(expected) => {
                let is = value.get_ref().type_str();
                let name = setting.name;
                self.raw.problem(&origin, format!("{name} is of type {is}; expected {expected}"));
            }
        }
    }

    fn operator(&mut self, entry: &Spanned<DeValue<'_>>) {
        let place = self.place(&entry.span());
        let DeValue::Table(table) = entry.get_ref() else {
            self.raw.problem(&place, "operator is no table; expected [[operator]]");
            return;
        };
        let mut fields = BTreeMap::new();
        for (key, value) in table.iter() {
            let origin = self.place(&value.span());
            let field = OPERATOR_FIELDS.into_iter().find(|field| *field == key.get_ref());
            match (field, of_toml(Kind::Text, value.get_ref())) {
                (Some(field), Ok(value)) => {
                    fields.insert(field, Given { value, origin });
                }
                (Some(field), Err(expected)) => {
                    let is = value.get_ref().type_str();
                    self.raw
                        .problem(&origin, format!("{field} is of type {is}; expected {expected}"));
                }
                (None, _) => {
                    let names = OPERATOR_FIELDS.join(", ");
                    let message = format!("operator has no {}; expected {names}", key.get_ref());
                    let place = self.place(&key.span());
                    self.raw.problem(&place, message);
                }
            }
        }
        self.raw.operators.push(RawOperator { place, fields });
    }

    fn place(&self, span: &Range<usize>) -> Origin {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Origin::File(self.path.to_owned(), line, column)
    }
}

fn of_toml(kind: Kind, value: &DeValue<'_>) -> Result<Value, &'static str> {
    match (kind, value) {
        (Kind::Text, DeValue::String(text)) => Ok(Value::Text(text.to_string())),
        (Kind::Text, _) => Err("a string"),
        (Kind::Flag, DeValue::Boolean(flag)) => Ok(Value::Flag(*flag)),
        (Kind::Flag, _) => Err("true or false"),
        (Kind::Texts, DeValue::Array(entries)) => {
            let texts = entries.iter().map(|entry| entry.get_ref().as_str().map(str::to_owned));
            texts.collect::<Option<_>>().map(Value::Texts).ok_or("a list of strings")
        }
        (Kind::Texts, _) => Err("a list of strings"),
        (Kind::Count, DeValue::Integer(number)) => {
            let number = u32::from_str_radix(number.as_str(), number.radix());
            number.map(Value::Count).map_err(|_| "a whole number from 0 to 4294967295")
        }
        (Kind::Count, _) => Err("a whole number"),
    }
}

fn unknown(name: &str, section: &str) -> String {
    let within = |one: &&str| match one.rsplit_once('.') {
        Some((prefix, _)) => prefix == section,
        None => section.is_empty(),
    };
    let mut names: Vec<&str> = SETTINGS.iter().map(|one| one.name).filter(within).collect();
    if section.is_empty() {
        names.extend([
            "[data_plane]",
            "[management]",
            "[apps]",
            "[store]",
            "[log]",
            "[[operator]]",
        ]);
    }
    format!("there is no setting {}; expected one of {}", name.escape_debug(), names.join(", "))
}

fn one_line(message: &str) -> String {
    message.lines().collect::<Vec<_>>().join("; ")
}
