use std::fs::File;
use std::io::{BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueHint};
use keys::{Caller, MasterKey, MasterKeys, Role, SysRng, SystemClock};
use serde_json::json;
use store::{Backup, BackupSummary, Store};
use tokio::sync::mpsc;

use super::direct::{self, unfit};
use crate::arguments::CallArguments;
use crate::client::{self, Client, Surroundings};
use crate::config::RawConfig;
use crate::data_dir::DATABASE;
use crate::error::{Error, Result};
use crate::output;
use crate::secret_file::Growing;
use crate::serve::Signals;

const EXAMPLES: &str = "\
Examples:
  keyward backup /backups/keyward-monday.jsonl
  keyward backup /backups/last.jsonl --direct --data-dir my-tools/.keyward";

/// Writes everything that a store holds into one file, while it is served
///
/// The secrets in it are sealed; keep the master keys as well, and somewhere else. The running server is
/// asked, which needs the role owner. See docs/backup.md.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct BackupArguments {
    /// The file, which gets mode 0600
    #[arg(value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// Replace a file that has that name; a link, a device or anything else is refused
    #[arg(long)]
    force: bool,
    /// Read the store itself and ask no server
    ///
    /// The database in the data folder, which no process may be using; or a PostgreSQL database, in use
    /// or not.
    #[arg(long, conflicts_with_all = ["manage_url", "app"])]
    direct: bool,
    /// With --direct, the PostgreSQL database, as `serve` takes it
    #[arg(long, value_name = "URL", value_parser = direct::store_url, requires = "direct")]
    store_url: Option<String>,
    /// With --direct on PostgreSQL, a file with a master key, as `serve` takes it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "direct")]
    master_key_file: Vec<String>,
    #[command(flatten)]
    call: CallArguments,
}

const NOTHING: &str = "has no database, so that there is nothing to back up: where the folder is that of a replica \
    on PostgreSQL, name the database with --store-url";

/// Takes a backup. The file gets its name when it is whole.
pub(crate) async fn run(
    arguments: &BackupArguments,
    raw: RawConfig,
    around: &Surroundings<'_>,
) -> Result<()> {
    let BackupArguments { file, force, .. } = arguments;
    check_name(file, *force)?;
    // What is interrupted leaves no file behind, as everything else that fails.
    let mut signals = Signals::new()?;
    let summary = tokio::select! {
        taken = take(arguments, raw, around) => taken?,
        () = signals.next() => return Err(Error::Failed("interrupted".to_owned())),
    };
    let shown = file.display();
    if arguments.call.json {
        return output::print_json(&json!({
            "file": shown.to_string(), "takenAt": summary.taken_at.to_string(),
            "revision": summary.revision, "apps": summary.apps, "rows": summary.rows,
            "sha256": summary.sha256,
        }));
    }
    output::print(&format!(
        "Backed up {} at revision {} into {shown}.\n\
         \n\
         It holds no master key, and opens no access key without: keep copies of the master keys, and not \
         beside the backups. Not in it either are the folder of an app that is served from one, and the \
         configuration.",
        output::counted(summary.rows, "row"),
        summary.revision
    ))
}

async fn take(
    arguments: &BackupArguments,
    raw: RawConfig,
    around: &Surroundings<'_>,
) -> Result<BackupSummary> {
    let BackupArguments { file, force, .. } = arguments;
    let doing = || format!("write {}", file.display());
    let mut growing = Growing::beside(file).map_err(Error::io(doing()))?;
    if arguments.direct {
        let store = open(arguments, raw, around).await?;
        let written = write_directly(&store, &mut growing, &doing()).await;
        store.close().await;
        written?;
    } else {
        let client = Client::find(&arguments.call, around)?;
        let mut answer = client.download("backupStore").await?;
        while let Some(chunk) = answer.next().await? {
            growing.file().write_all(&chunk).map_err(Error::io(doing()))?;
        }
    }
    let written = File::open(growing.path()).map_err(Error::io(doing()))?;
    let backup = Backup::read(BufReader::new(written), None).map_err(|error| {
        Error::Failed(format!("the backup did not come whole, and nothing is kept of it: {error}"))
    })?;
    check_name(file, *force)?;
    let kept = growing.finish(*force).map_err(Error::io(doing()))?;
    if kept { Ok(backup.summary().clone()) } else { Err(there(file)) }
}

async fn write_directly(store: &Store, growing: &mut Growing, doing: &str) -> Result<()> {
    let (to, mut chunks) = mpsc::channel(1);
    let by = Caller::new("keyward backup", Role::Owner);
    let taking = async move {
        let taken = store.back_up(&by, &to).await;
        taken.map_err(Error::store("take the backup"))
    };
    let writing = async {
        while let Some(chunk) = chunks.recv().await {
            growing.file().write_all(&chunk).map_err(Error::io(doing))?;
        }
        Ok(())
    };
    futures::future::try_join(taking, writing).await.map(drop)
}

async fn open(
    arguments: &BackupArguments,
    mut raw: RawConfig,
    around: &Surroundings<'_>,
) -> Result<Store> {
    direct::add_flags(&mut raw, None, arguments.store_url.as_ref(), &arguments.master_key_file);
    let config = direct::config(&raw, around)?;
    let clock = Arc::new(SystemClock);
    // Nothing is sealed or opened.
    let masters = MasterKey::generate(&mut SysRng).map_err(Error::key("draw a key"))?;
    let masters = Arc::new(MasterKeys::new(masters, []));
    let data_dir = arguments.call.data_dir.data_dir.as_ref();
    if let Some(database) = config.database {
        if let Some(data_dir) = data_dir {
            return Err(Error::Usage(format!(
                "two stores are named, the one in {} and {}: leave out --data-dir, or store.url and \
                 KEYWARD_STORE_URL",
                data_dir.display(),
                database.address
            )));
        }
        return direct::connect(database, masters, clock).await;
    }
    let data_dir = client::find_data_dir(data_dir, around)?;
    if !data_dir.path().join(DATABASE).exists() {
        return Err(unfit(data_dir.path(), NOTHING));
    }
    direct::open(&data_dir, masters, clock).await
}

/// Refuses the name of what is not to be replaced, and of what is no file and never is.
fn check_name(file: &Path, force: bool) -> Result<()> {
    let Ok(there_is) = file.symlink_metadata() else { return Ok(()) };
    if !force {
        return Err(there(file));
    }
    if there_is.is_symlink() {
        return Err(unfit(
            file,
            "is a link, which is never replaced: name the file that it leads to",
        ));
    }
    if !there_is.is_file() {
        return Err(unfit(file, "is no file, and never replaced: give another name"));
    }
    Ok(())
}

fn there(file: &Path) -> Error {
    unfit(file, "is there already: give another name, or --force to replace it")
}
