//! What backup and restore have in common: a store without a server.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use keys::{Clock, MasterKeys};
use store::{DatabaseAddress, Store};

use crate::client::Surroundings;
use crate::config::{self, Config, Database, RawConfig, Value};
use crate::data_dir::DataDir;
use crate::error::{Error, Result};
use crate::serve;

pub(super) fn store_url(text: &str) -> Result<String, String> {
    DatabaseAddress::parse(text).map(|_| text.to_owned())
}

/// Adds what was typed to what the file and the environment say.
pub(super) fn add_flags(
    raw: &mut RawConfig,
    data_dir: Option<&PathBuf>,
    store_url: Option<&String>,
    master_key_files: &[String],
) {
    let data_dir = data_dir.map(|dir| dir.display().to_string());
    raw.add_flag(config::names::DATA_DIR, data_dir.map(Value::Text));
    raw.add_flag(config::names::STORE_URL, store_url.cloned().map(Value::Text));
    let files = (!master_key_files.is_empty()).then(|| Value::Texts(master_key_files.to_vec()));
    raw.add_flag(config::names::MASTER_KEY_FILES, files);
}

pub(super) fn config(raw: &RawConfig, around: &Surroundings<'_>) -> Result<Config> {
    Config::new(raw, around.environment).map_err(Error::Config)
}

/// Opens the embedded store of a folder that no process uses.
pub(super) async fn open(
    data_dir: &DataDir,
    masters: Arc<MasterKeys>,
    clock: Arc<dyn Clock>,
) -> Result<Store> {
    let opened = Store::open(data_dir.path(), masters, clock).await;
    opened.map_err(|error| serve::not_opened(error, &data_dir.path().display().to_string()))
}

/// Connects to a database, whoever else uses it.
pub(super) async fn connect(
    database: Database,
    masters: Arc<MasterKeys>,
    clock: Arc<dyn Clock>,
) -> Result<Store> {
    let settings = serve::database_settings(database)?;
    let opened = Store::connect_without_folder(&settings, masters, clock).await;
    opened.map_err(|error| serve::not_opened(error, &settings.address.to_string()))
}

pub(super) fn unfit(path: &Path, why: &str) -> Error {
    Error::Unfit(format!("{} {why}", path.display()))
}
