//! Several files of an app folder as one change: all of them are written, or none, whatever becomes of the
//! process or the machine.
//!
//! The change is written to a journal first, whole and on the disk: from then on it has happened. The files
//! are put in their places after that, which can be done again at any time, and at last the journal is taken
//! away. It knows nothing of what the files mean.

mod pending;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

pub(crate) use self::pending::pending;

/// The journal in the data folder.
const JOURNAL: &str = "deployment.journal";
/// The journal while it is written.
const UNFINISHED: &str = "deployment.journal.new";
/// A file of the app while it is written, beside its place.
const WRITING: &str = ".keyward-writing";

/// The form of the journal. The first one did not say which folder it was of.
const LAYOUT: u8 = 2;

/// A change of an app folder.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Change<R> {
    layout: u8,
    /// Where the folder lies, without a link on the way, and the app that it is served as.
    pub(crate) of: Of,
    /// The text of each file that is written, by its path in the folder: `FILE` or `FOLDER/FILE`.
    pub(crate) write: BTreeMap<String, String>,
    /// The files that are taken away, and their folders if nothing else is in them.
    pub(crate) remove: Vec<String>,
    /// What whoever makes the change has to know of it, when it is finished.
    pub(crate) record: R,
}

/// Which folder a change is of. Its journal may lie in a data folder that others are served with as well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Of {
    pub(crate) folder: String,
    pub(crate) app: String,
}

impl<R> Change<R> {
    pub(crate) fn new(
        of: Of,
        write: BTreeMap<String, String>,
        remove: Vec<String>,
        record: R,
    ) -> Self {
        Self { layout: LAYOUT, of, write, remove, record }
    }
}

/// Makes the change durable. Nothing is changed where this fails.
pub(crate) fn begin<R: Serialize>(data_dir: &Path, change: &Change<R>) -> io::Result<()> {
    begin_in_steps(data_dir, change, &mut || Ok(()))
}

fn begin_in_steps<R: Serialize>(
    data_dir: &Path,
    change: &Change<R>,
    step: &mut dyn FnMut() -> io::Result<()>,
) -> io::Result<()> {
    let dir = put(data_dir, change, step)?;
    let durable = step().and_then(|()| Ok(rustix::fs::fsync(&dir)?));
    // Whoever asked is told that it has not happened, so no start may find it.
    durable.inspect_err(|_| drop(end(data_dir)))
}

/// Has the journal say that the files are in their places: from now on nothing of it is written again, and what
/// has to be known of the change is still there.
pub(crate) fn note_applied<R: Serialize>(data_dir: &Path, change: &Change<R>) -> io::Result<()> {
    note_applied_in_steps(data_dir, change, &mut || Ok(()))
}

fn note_applied_in_steps<R: Serialize>(
    data_dir: &Path,
    change: &Change<R>,
    step: &mut dyn FnMut() -> io::Result<()>,
) -> io::Result<()> {
    let rest = Change::new(change.of.clone(), BTreeMap::new(), Vec::new(), &change.record);
    let dir = put(data_dir, &rest, step)?;
    step()?;
    Ok(rustix::fs::fsync(&dir)?)
}

/// Puts a journal in its place, whole; gives the folder, which the disk is not known to have yet.
fn put<R: Serialize>(
    data_dir: &Path,
    change: &Change<R>,
    step: &mut dyn FnMut() -> io::Result<()>,
) -> io::Result<OwnedFd> {
    let bytes = serde_json::to_vec(change)?;
    let unfinished = data_dir.join(UNFINISHED);
    step()?;
    // What an earlier attempt left was never a change.
    remove_if_there(&unfinished)?;
    step()?;
    let dir = open_dir(CWD, data_dir)?;
    let mut file = create(&dir, UNFINISHED, 0o600)?;
    step()?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    step()?;
    fs::rename(&unfinished, path(data_dir))?;
    Ok(dir)
}

/// Where the journal is.
pub(crate) fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(JOURNAL)
}

/// Puts the files of a change in their places, as often as it takes.
pub(crate) fn apply<R>(root: &Path, change: &Change<R>) -> io::Result<()> {
    apply_in_steps(root, change, &mut || Ok(()))
}

fn apply_in_steps<R>(
    root: &Path,
    change: &Change<R>,
    step: &mut dyn FnMut() -> io::Result<()>,
) -> io::Result<()> {
    let root = open_dir(CWD, root)?;
    for (path, text) in &change.write {
        step()?;
        let (dir, name) = place(&root, path, true)?;
        let Some(dir) = dir else { continue };
        write(&dir, name, text.as_bytes(), step)?;
    }
    for path in &change.remove {
        step()?;
        let (dir, name) = place(&root, path, false)?;
        let Some(dir) = dir else { continue };
        unless_gone(rustix::fs::unlinkat(&dir, name, AtFlags::empty()))?;
        rustix::fs::fsync(&dir)?;
        step()?;
        if let Some((folder, _)) = path.split_once('/') {
            // One that has other files stays.
            let removed = rustix::fs::unlinkat(&root, folder, AtFlags::REMOVEDIR);
            match removed {
                Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    rustix::fs::fsync(&root)?;
    Ok(())
}

/// Sees that no place of a change is behind a link, or a folder by another file's name, before it is made.
///
/// # Errors
/// What is in the way, as a text about the path.
pub(crate) fn check<'p>(
    root: &Path,
    paths: impl IntoIterator<Item = &'p str>,
) -> Result<(), String> {
    for path in paths {
        let folder = path.split_once('/').map(|(folder, _)| folder);
        if let Some(folder) = folder
            && fs::symlink_metadata(root.join(folder)).is_ok_and(|entry| !entry.is_dir())
        {
            return Err(format!(
                "{folder} is a link or a file: a deployment writes into folders alone"
            ));
        }
        if fs::symlink_metadata(root.join(path)).is_ok_and(|entry| !entry.is_file()) {
            return Err(format!("{path} is a link or a folder: a deployment writes files alone"));
        }
    }
    Ok(())
}

/// Takes the journal away, once everything that the change asks for is done.
pub(crate) fn end(data_dir: &Path) -> io::Result<()> {
    remove_if_there(&path(data_dir))?;
    rustix::fs::fsync(&open_dir(CWD, data_dir)?)?;
    Ok(())
}

/// Opens the folder of a path, making it where it is wanted and not there. Nothing of it is a link.
fn place<'p>(
    root: &OwnedFd,
    path: &'p str,
    is_wanted: bool,
) -> io::Result<(Option<OwnedFd>, &'p str)> {
    let Some((folder, name)) = path.split_once('/') else {
        return Ok((Some(root.try_clone()?), path));
    };
    if matches!(folder, "" | "." | "..") || name.contains('/') {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the path leads out of the folder",
        ));
    }
    if is_wanted {
        match rustix::fs::mkdirat(root, folder, Mode::from_raw_mode(0o777)) {
            Ok(()) => rustix::fs::fsync(root)?,
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    match open_dir(root, Path::new(folder)) {
        Ok(dir) => Ok((Some(dir), name)),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !is_wanted => Ok((None, name)),
        Err(error) => Err(error),
    }
}

/// Replaces a file by another one that is whole, with the mode of the one before.
fn write(
    dir: &OwnedFd,
    name: &str,
    bytes: &[u8],
    step: &mut dyn FnMut() -> io::Result<()>,
) -> io::Result<()> {
    let is_secret = name == "local.settings.json";
    let mode = match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(before) => before.st_mode & 0o777,
        Err(_) if is_secret => 0o600,
        Err(_) => 0o644,
    };
    unless_gone(rustix::fs::unlinkat(dir, WRITING, AtFlags::empty()))?;
    let mut file = create(dir, WRITING, mode)?;
    step()?;
    file.write_all(bytes)?;
    file.sync_all()?;
    step()?;
    rustix::fs::renameat(dir, WRITING, dir, name)?;
    step()?;
    rustix::fs::fsync(dir)?;
    Ok(())
}

fn open_dir(at: impl std::os::fd::AsFd, path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
    Ok(rustix::fs::openat(at, path, flags, Mode::empty())?)
}

fn create(dir: &OwnedFd, name: &str, mode: u32) -> io::Result<File> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::WRONLY;
    Ok(File::from(rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(mode))?))
}

fn remove_if_there(path: &PathBuf) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn unless_gone(removed: rustix::io::Result<()>) -> io::Result<()> {
    match removed {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use tempfile::TempDir;

    use super::*;

    /// A data folder, and an app folder as it was before.
    pub(super) struct Place {
        dir: TempDir,
    }

    impl Place {
        pub(super) fn new() -> Self {
            let place = Self { dir: tempfile::tempdir().unwrap() };
            for (path, text) in before() {
                let path = place.root().join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            fs::create_dir(place.data()).unwrap();
            place
        }

        fn root(&self) -> PathBuf {
            self.dir.path().join("app")
        }

        pub(super) fn data(&self) -> PathBuf {
            self.dir.path().join("data")
        }

        /// What a start does with what it finds.
        fn recover(&self) {
            if let Some(change) = pending::<String>(&self.data()).unwrap() {
                assert_eq!(change.record, self::change().record);
                apply(&self.root(), &change).unwrap();
                end(&self.data()).unwrap();
            }
        }

        fn files(&self) -> BTreeMap<String, String> {
            let mut files = BTreeMap::new();
            for path in [
                "host.json",
                "mcpservers.json",
                "A/workflow.json",
                "B/workflow.json",
                "C/workflow.json",
            ] {
                if let Ok(text) = fs::read_to_string(self.root().join(path)) {
                    files.insert(path.to_owned(), text);
                }
            }
            files
        }
    }

    fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
    }

    fn before() -> BTreeMap<String, String> {
        texts(&[("host.json", "1"), ("A/workflow.json", "1"), ("B/workflow.json", "1")])
    }

    fn after() -> BTreeMap<String, String> {
        let mut after = change().write;
        after.insert("A/workflow.json".to_owned(), "1".to_owned());
        after
    }

    fn of() -> Of {
        Of { folder: "/app".to_owned(), app: "tools".to_owned() }
    }

    pub(super) fn change() -> Change<String> {
        let write =
            texts(&[("host.json", "2"), ("mcpservers.json", "2"), ("C/workflow.json", "2")]);
        Change::new(of(), write, vec!["B/workflow.json".to_owned()], "who".to_owned())
    }

    /// Makes the change and stops before the step of this number; says whether it came to its end.
    fn stop_at(place: &Place, stop: usize) -> bool {
        let mut left = stop;
        let mut step = || {
            if left == 0 {
                return Err(io::Error::other("stopped"));
            }
            left -= 1;
            Ok(())
        };
        let change = change();
        begin_in_steps(&place.data(), &change, &mut step)
            .and_then(|()| apply_in_steps(&place.root(), &change, &mut step))
            .and_then(|()| note_applied_in_steps(&place.data(), &change, &mut step))
            .and_then(|()| step())
            .and_then(|()| end(&place.data()))
            .is_ok()
    }

    #[test]
    fn a_change_that_stops_at_any_step_is_made_whole_or_not_at_all() {
        let mut outcomes = Vec::new();
        for stop in 0.. {
            let place = Place::new();
            let came_to_its_end = stop_at(&place, stop);
            place.recover();
            let files = place.files();
            assert!(files == before() || files == after(), "stopped at {stop}: {files:?}");
            outcomes.push(files == after());
            assert!(pending::<String>(&place.data()).unwrap().is_none());
            // What was left behind is in nobody's way.
            assert!(stop_at(&place, usize::MAX));
            assert_eq!(place.files(), after());
            assert!(!place.root().join("B").exists());
            let left = fs::read_dir(place.root()).unwrap().count()
                + fs::read_dir(place.data()).unwrap().count();
            assert_eq!(left, 4, "host.json, mcpservers.json, A and C");
            if came_to_its_end {
                break;
            }
        }
        let first = outcomes.iter().position(|made| *made).unwrap();
        assert!(first > 3 && outcomes.len() > first + 10, "{outcomes:?}");
        assert!(
            outcomes.get(first..).unwrap().iter().all(|made| *made),
            "once it has happened, it has"
        );
    }

    #[test]
    fn recovering_that_stops_is_done_again() {
        for stop in 0..20 {
            let place = Place::new();
            begin(&place.data(), &change()).unwrap();
            let mut left = stop;
            let mut step = || {
                left -= 1;
                if left < 0 { Err(io::Error::other("stopped")) } else { Ok(()) }
            };
            drop(apply_in_steps(&place.root(), &change(), &mut step));
            place.recover();
            assert_eq!(place.files(), after());
        }
    }

    #[test]
    fn what_is_in_its_place_is_written_once() {
        let place = Place::new();
        begin(&place.data(), &change()).unwrap();
        apply(&place.root(), &change()).unwrap();
        note_applied(&place.data(), &change()).unwrap();
        fs::write(place.root().join("host.json"), "3").unwrap();
        place.recover();
        assert_eq!(place.files().get("host.json").unwrap(), "3");
    }

    #[test]
    fn a_change_that_is_not_known_to_be_durable_is_none() {
        let place = Place::new();
        let is_there = || path(&place.data()).exists();
        let mut step = || if is_there() { Err(io::Error::other("the disk")) } else { Ok(()) };
        begin_in_steps(&place.data(), &change(), &mut step).unwrap_err();
        assert_eq!(pending::<String>(&place.data()).unwrap(), None);
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        let place = Place::new();
        let outside = tempfile::tempdir().unwrap();
        symlink(outside.path(), place.root().join("C")).unwrap();
        let paths = ["host.json", "C/workflow.json"];
        assert!(check(&place.root(), paths).unwrap_err().contains("C is a link"));
        assert!(apply(&place.root(), &change()).is_err());
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
        // A file that is a link is replaced, and not what it leads to.
        let place = Place::new();
        let target = outside.path().join("target");
        fs::write(&target, "theirs").unwrap();
        fs::remove_file(place.root().join("host.json")).unwrap();
        symlink(&target, place.root().join("host.json")).unwrap();
        assert!(check(&place.root(), ["host.json"]).unwrap_err().contains("host.json is a link"));
        apply(&place.root(), &change()).unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "theirs");
        for path in ["../x", "./x", "/x", "a/b/c"] {
            let change = Change::new(of(), texts(&[(path, "x")]), Vec::new(), ());
            assert!(apply(&place.root(), &change).is_err(), "{path}");
        }
    }

    #[test]
    fn a_journal_is_its_owners_and_modes_stay() {
        let place = Place::new();
        let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        fs::set_permissions(place.root().join("host.json"), fs::Permissions::from_mode(0o640))
            .unwrap();
        begin(&place.data(), &change()).unwrap();
        assert_eq!(mode(place.data().join(JOURNAL)), 0o600);
        apply(&place.root(), &change()).unwrap();
        assert_eq!(mode(place.root().join("host.json")), 0o640);
        let settings = Change::new(of(), texts(&[("local.settings.json", "{}")]), Vec::new(), ());
        apply(&place.root(), &settings).unwrap();
        assert_eq!(mode(place.root().join("local.settings.json")), 0o600);
    }
}
