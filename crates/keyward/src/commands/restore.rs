use std::fs::OpenOptions;
use std::io::BufReader;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueHint};
use keys::{Caller, MasterKeys, Role, SystemClock};
use serde_json::json;
use store::{AccessKeysAfter, Backup, BackupSummary, Restored, Store};

use super::direct::{self, unfit};
use crate::client::Surroundings;
use crate::config::{Config, MasterKeySource, RawConfig};
use crate::data_dir::{self, DataDir};
use crate::error::{Error, Result};
use crate::{output, secret_file};

const EXAMPLES: &str = "\
Examples:
  keyward restore /backups/keyward-monday.jsonl --data-dir new-tools/.keyward
  keyward restore /backups/keyward-monday.jsonl --store-url postgres://keyward@db/keyward \\
    --master-key-file /etc/keyward/master-key";

/// Makes an empty store what a backup says, and regenerates all access keys
///
/// A backup knows nothing of what was revoked or regenerated after it was taken. So both access keys of
/// every app are regenerated: every API key that was issued before is refused. No process may serve from
/// the data folder or database. See docs/backup.md.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RestoreArguments {
    /// The backup
    #[arg(value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// The data folder to restore into, unless the configuration names a PostgreSQL database
    ///
    /// It has no database yet, or an empty one. Put the master key into it first, as `master-key`.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    data_dir: Option<PathBuf>,
    /// The PostgreSQL database to restore into, as `serve` takes it
    #[arg(long, value_name = "URL", value_parser = direct::store_url)]
    store_url: Option<String>,
    /// A file with a master key, as `serve` takes it; may be repeated
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    master_key_file: Vec<String>,
    /// Do not regenerate the access keys; needs --revive-ended-keys too
    #[arg(long, requires = "revive_ended_keys")]
    keep_access_keys: bool,
    /// I know that API keys which were revoked or regenerated since the backup open again
    #[arg(long, requires = "keep_access_keys")]
    revive_ended_keys: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Restores a backup into an empty store. Nothing is written before the whole file was checked.
pub(crate) async fn run(
    arguments: &RestoreArguments,
    mut raw: RawConfig,
    around: &Surroundings<'_>,
) -> Result<()> {
    let RestoreArguments { file, data_dir, store_url, master_key_file, .. } = arguments;
    direct::add_flags(&mut raw, data_dir.as_ref(), store_url.as_ref(), master_key_file);
    let Config { database, data_dir, master_keys, .. } = direct::config(&raw, around)?;
    if database.is_none() && data_dir.is_none() {
        return Err(Error::Usage(
            "say where to restore to: --data-dir DIR, or --store-url URL for a PostgreSQL database"
                .to_owned(),
        ));
    }
    let masters = Arc::new(masters(master_keys, data_dir.as_deref())?);
    let mut backup = open_backup(file, &masters)?;
    let clock = Arc::new(SystemClock);
    let (store, place) = match (database, data_dir) {
        (Some(database), _) => {
            let place = database.address.to_string();
            (direct::connect(database, masters, clock).await?, place)
        }
        (None, path) => {
            let data_dir = DataDir::prepare(&path.unwrap_or_default())?;
            let place = data_dir.path().display().to_string();
            (direct::open(&data_dir, masters, clock).await?, place)
        }
    };
    let after = if arguments.keep_access_keys && arguments.revive_ended_keys {
        AccessKeysAfter::KeptAndEndedKeysRevived
    } else {
        AccessKeysAfter::Regenerated
    };
    let by = Caller::new("keyward restore", Role::Owner);
    let restored = store.restore(&by, &mut backup, after).await;
    Store::close(&store).await;
    let restored = restored.map_err(|error| failed(error, file, &place))?;
    tell(arguments, after, backup.summary(), &restored, &place)
}

fn masters(source: MasterKeySource, data_dir: Option<&Path>) -> Result<MasterKeys> {
    if let Some(given) = data_dir::given_master_keys(source)? {
        return Ok(given);
    }
    let folder = data_dir.map(DataDir::open).transpose()?.flatten();
    let kept = folder.as_ref().map(DataDir::kept_master_key).transpose()?.flatten();
    kept.ok_or_else(|| {
        Error::Unfit(format!(
            "{} has no master key, and a backup has none either: make the folder (mkdir -m 700) and copy the \
             master-key of the old one into it, with mode 600; or name it with --master-key-file",
            data_dir.map_or_else(|| "the data folder".to_owned(), |dir| dir.display().to_string())
        ))
    })
}

fn open_backup(file: &Path, masters: &MasterKeys) -> Result<Backup<BufReader<std::fs::File>>> {
    let doing = || format!("read {}", file.display());
    let opened = OpenOptions::new().read(true).custom_flags(secret_file::non_blocking()).open(file);
    let opened = opened.map_err(Error::io(doing()))?;
    if !opened.metadata().map_err(Error::io(doing()))?.is_file() {
        return Err(unfit(file, "is no file: expected a backup"));
    }
    Backup::read(BufReader::new(opened), Some(masters))
        .map_err(|error| failed(error, file, "the store"))
}

fn failed(error: store::Error, file: &Path, place: &str) -> Error {
    match error {
        store::Error::Backup(store::BackupFault::Unreadable(source)) => {
            Error::io(format!("read {}", file.display()))(source)
        }
        store::Error::Backup(fault) => {
            let fault = output::shown(&fault.to_string());
            unfit(file, &format!("cannot be restored, and nothing was changed: {fault}"))
        }
        store::Error::Sealed { app, slot, source } => {
            sealed(file, &format!("the {slot} access key of app {app}"), &source)
        }
        store::Error::SealedDeployment { app, version, source } => {
            sealed(file, &format!("version {version} of app {app}"), &source)
        }
        store::Error::Token(source) => sealed(file, "the operator token", &source),
        error @ store::Error::NotEmpty { .. } => Error::Unfit(format!(
            "nothing was changed in {place}: {error}. A backup is restored into a new data folder or an \
             empty database, which no process serves from yet"
        )),
        error @ store::Error::OutcomeUnknown(_) => {
            let chain = Error::store("restore the backup")(error).chain();
            Error::Failed(format!(
                "{chain}. Run the same command again: where the store is not empty then, it was durable"
            ))
        }
        error => Error::store("restore the backup")(error),
    }
}

fn sealed(file: &Path, what: &str, why: &keys::Error) -> Error {
    let why = format!(
        "needs another master key, and nothing was changed: {what} does not open, since {why}. Name it with \
         --master-key-file"
    );
    unfit(file, &output::shown(&why))
}

fn tell(
    arguments: &RestoreArguments,
    after: AccessKeysAfter,
    summary: &BackupSummary,
    restored: &Restored,
    place: &str,
) -> Result<()> {
    let regenerated = after == AccessKeysAfter::Regenerated;
    if arguments.json {
        return output::print_json(&json!({
            "takenAt": summary.taken_at.to_string(), "rows": summary.rows, "apps": restored.apps,
            "revision": restored.revision.get(), "accessKeysRegenerated": regenerated,
        }));
    }
    let keys = if regenerated {
        "Both access keys of every app were regenerated: every API key that was issued before is refused \
         now. Issue new ones (keyward key issue) and hand them out."
    } else {
        "The access keys are those of that time: API keys that were revoked or regenerated since are \
         accepted again, and keyward key list shows them. API keys that were issued from them \
         since are accepted too, and no list shows them. Regenerating both access keys (keyward access-key \
         regenerate) ends them all."
    };
    let apps = match restored.apps.as_slice() {
        [] => "no app".to_owned(),
        [only] => format!("the app {}", output::shown(only)),
        apps => format!("the apps {}", output::shown(&apps.join(", "))),
    };
    output::print(&format!(
        "Restored the backup of {} into {place}: {apps}, {}.\n\n{keys}\n\nServe it as before, with the \
         same master key.",
        summary.taken_at,
        output::counted(summary.rows, "row"),
    ))
}
