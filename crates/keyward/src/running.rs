//! Which servers run on this machine: what a server says of itself, and how commands find it.
//!
//! A server holds a lock on `endpoint.json` in its data folder for as long as it runs, so that a
//! file that was left behind is never believed: a token is not sent to whoever listens there now.
//! A note in the user's own state folder says which data folders are served, so that a command
//! finds the only one by itself.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::config::Environment;
use crate::data_dir::DataDir;
use crate::error::{Error, Result};
use crate::secret_file;

/// How a server of this machine is reached.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Endpoint {
    pub(crate) manage_url: Url,
    pub(crate) app: String,
}

/// A note that says which data folder is served.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Note {
    data_dir: PathBuf,
}

/// A server's announcement; it is taken back when this is dropped, or the process ends.
#[derive(Debug)]
pub(crate) struct Announced {
    endpoint_file: PathBuf,
    note: Option<PathBuf>,
    _lock: File,
}

impl Drop for Announced {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.endpoint_file));
        if let Some(note) = &self.note {
            drop(fs::remove_file(note));
        }
    }
}

/// Says that a server runs. That no note can be left (no home folder, a read-only one) only costs
/// commands in other folders the search.
pub(crate) fn announce(
    data_dir: &DataDir,
    endpoint: &Endpoint,
    environment: &Environment,
) -> Result<Announced> {
    let bytes = serde_json::to_vec(endpoint).unwrap_or_default();
    let lock = data_dir.announce(&bytes)?;
    Ok(Announced {
        endpoint_file: data_dir.endpoint_file(),
        note: leave_note(data_dir, environment),
        _lock: lock,
    })
}

/// Gives how the server that runs on a data folder is reached; none if none runs.
pub(crate) fn endpoint(data_dir: &DataDir) -> Option<Endpoint> {
    let path = data_dir.endpoint_file();
    let file = File::open(&path).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => {}
        // Nobody holds it: its server has ended without taking it back.
        Ok(()) | Err(TryLockError::Error(_)) => return None,
    }
    serde_json::from_slice(&fs::read(&path).ok()?).ok()
}

/// Gives the data folders that servers of this user run on, and forgets those of servers that have
/// ended.
pub(crate) fn served(environment: &Environment) -> Vec<(DataDir, Endpoint)> {
    let Some(notes) = notes_folder(environment).and_then(|folder| fs::read_dir(folder).ok()) else {
        return Vec::new();
    };
    let mut served: Vec<(DataDir, Endpoint)> = Vec::new();
    for note in notes.flatten() {
        let data_dir = fs::read(note.path())
            .ok()
            .and_then(|bytes| serde_json::from_slice::<Note>(&bytes).ok())
            .and_then(|note| DataDir::open(&note.data_dir).ok().flatten());
        match data_dir.and_then(|data_dir| Some((endpoint(&data_dir)?, data_dir))) {
            Some((endpoint, data_dir)) if served.iter().all(|(other, _)| *other != data_dir) => {
                served.push((data_dir, endpoint));
            }
            Some(_) => {}
            None => {
                drop(fs::remove_file(note.path()));
            }
        }
    }
    served.sort_by(|(one, _), (other, _)| one.path().cmp(other.path()));
    served
}

fn leave_note(data_dir: &DataDir, environment: &Environment) -> Option<PathBuf> {
    let folder = notes_folder(environment)?;
    DirBuilder::new().recursive(true).mode(0o700).create(&folder).ok()?;
    let path = folder.join(format!("{}.json", uuid::Uuid::now_v7().simple()));
    let note = Note { data_dir: data_dir.path().to_owned() };
    secret_file::replace(&path, &serde_json::to_vec(&note).ok()?).ok()?;
    Some(path)
}

/// XDG's folder for what a program remembers, which is the same for every login of a user, or else
/// the one that lasts as long as a login.
fn notes_folder(environment: &Environment) -> Option<PathBuf> {
    let absolute = |name: &str| environment.path(name).filter(|path: &PathBuf| path.is_absolute());
    absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local").join("state")))
        .or_else(|| absolute("XDG_RUNTIME_DIR"))
        .map(|base| base.join("keyward").join("served"))
}

/// The URL of an address on this machine; for one that means every address, the loopback's.
pub(crate) fn url_at(address: SocketAddr) -> Result<Url> {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    let address = SocketAddr::new(ip, address.port());
    Url::parse(&format!("http://{address}/"))
        .map_err(|error| Error::Failed(format!("cannot make a URL of {address}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint_of(app: &str) -> Endpoint {
        Endpoint { manage_url: Url::parse("http://127.0.0.1:7072/").unwrap(), app: app.to_owned() }
    }

    #[test]
    fn a_server_is_found_while_it_runs_and_forgotten_when_it_has_ended() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::from([("HOME", home.path().to_str().unwrap())]);
        let data_dir = DataDir::prepare(&home.path().join("data")).unwrap();
        assert_eq!(endpoint(&data_dir), None);
        let announced = announce(&data_dir, &endpoint_of("tools"), &environment).unwrap();
        assert_eq!(endpoint(&data_dir), Some(endpoint_of("tools")));
        let found = served(&environment);
        assert_eq!(found, [(data_dir.clone(), endpoint_of("tools"))]);
        drop(announced);
        assert_eq!(endpoint(&data_dir), None);
        assert_eq!(served(&environment), []);
    }

    #[test]
    fn what_a_killed_server_left_behind_is_not_believed() {
        let home = tempfile::tempdir().unwrap();
        let data_dir = DataDir::prepare(&home.path().join("data")).unwrap();
        fs::write(data_dir.endpoint_file(), serde_json::to_vec(&endpoint_of("old")).unwrap())
            .unwrap();
        assert_eq!(endpoint(&data_dir), None);
    }
}
