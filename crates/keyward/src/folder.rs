//! Reading an app folder from the disk.

pub(crate) mod journal;

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use app::{Files, Problem};

use crate::error::{Error, Result};
use crate::{limits, secret_file};

/// The files of an app folder as they lay there.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) files: Files,
    /// What lies there under a name that no file of an app can have, as a text each.
    pub(crate) unreadable_names: Vec<String>,
}

/// Says why nothing under a name of [`Folder::unreadable_names`] is read.
pub(crate) fn unreadable(name: &str) -> String {
    format!("`{name}`: its name is not UTF-8, or has control characters")
}

/// Reads an app folder: the files in it and one level below that make an app, no others.
///
/// # Errors
/// [`Error::App`] with every file that cannot be read.
pub(crate) fn read(dir: &Path) -> Result<Folder> {
    let root = fs::canonicalize(dir).map_err(|error| not_a_folder(dir, error))?;
    let mut reading = Reading {
        root: &root,
        folder: Folder { files: Files::new(), unreadable_names: Vec::new() },
        problems: Vec::new(),
        left: limits::FOLDER_ENTRIES,
    };
    reading.look(&root, "").map_err(|error| not_a_folder(dir, error))?;
    if reading.left == 0 {
        let most = limits::FOLDER_ENTRIES;
        reading.problems.push(problem(".", format!("the folder has more than {most} entries")));
    }
    if reading.problems.is_empty() {
        Ok(reading.folder)
    } else {
        Err(Error::App { dir: dir.to_owned(), problems: reading.problems })
    }
}

fn not_a_folder(dir: &Path, error: io::Error) -> Error {
    let what = dir.display();
    match error.kind() {
        io::ErrorKind::NotFound => Error::Unfit(format!(
            "there is no folder {what}: name the folder of a Logic Apps Standard project, or make \
             one that works with keyward init {what}"
        )),
        io::ErrorKind::NotADirectory => Error::Unfit(format!(
            "{what} is no folder: name the folder of a Logic Apps Standard project; to serve the MCP \
             servers of one mcp.json: keyward serve --mcp-json {what}"
        )),
        _ => Error::io(format!("read the app folder {what}"))(error),
    }
}

struct Reading<'r> {
    root: &'r Path,
    folder: Folder,
    problems: Vec<Problem>,
    /// How many entries may still be looked at.
    left: usize,
}

impl Reading<'_> {
    /// Looks at the entries of the app folder, or of one folder in it.
    fn look(&mut self, dir: &Path, prefix: &str) -> io::Result<()> {
        for entry in fs::read_dir(dir)? {
            if self.left == 0 {
                return Ok(());
            }
            self.left -= 1;
            let entry = entry?;
            let name = match entry.file_name().into_string() {
                Ok(name) => name,
                Err(name) => {
                    let name = name.to_string_lossy().escape_debug().to_string();
                    self.folder.unreadable_names.push(format!("{prefix}{name}"));
                    continue;
                }
            };
            let path = format!("{prefix}{name}");
            if app::is_app_file(&path) {
                self.file(&entry.path(), &path);
            } else if prefix.is_empty() && app::is_app_file(&format!("{name}/workflow.json")) {
                self.subfolder(&entry.path(), &path);
            } else if name.contains(char::is_control) && entry.path().join("workflow.json").exists()
            {
                self.folder.unreadable_names.push(name.escape_debug().to_string());
            }
        }
        Ok(())
    }

    fn subfolder(&mut self, dir: &Path, name: &str) {
        if !dir.is_dir() {
            return;
        }
        // Only what would be read matters: a link to anywhere may lie beside a workflow.
        if !dir.join("workflow.json").exists() {
            return;
        }
        let Some(dir) = self.inside(dir, name) else { return };
        if let Err(error) = self.look(&dir, &format!("{name}/")) {
            self.problems.push(problem(name, format!("cannot be read: {error}")));
        }
    }

    fn file(&mut self, path: &Path, name: &str) {
        let Some(path) = self.inside(path, name) else { return };
        match read_file(&path) {
            Ok(Some(bytes)) => {
                if let Err(error) = self.folder.files.insert(name, bytes) {
                    self.problems.push(problem(name, error.to_string()));
                }
            }
            Ok(None) => self.problems.push(problem(name, "is no file".to_owned())),
            // It was there a moment ago: the change tells its own story.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => self.problems.push(problem(name, format!("cannot be read: {error}"))),
        }
    }

    /// Follows links as far as they stay inside the app folder.
    fn inside(&mut self, path: &Path, name: &str) -> Option<PathBuf> {
        match fs::canonicalize(path) {
            Ok(real) if real.starts_with(self.root) => Some(real),
            Ok(_) => {
                let message =
                    "is a link that leads out of the app folder: put the file itself here";
                self.problems.push(problem(name, message.to_owned()));
                None
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_symlink() => None,
            Err(error) => {
                self.problems.push(problem(name, format!("cannot be read: {error}")));
                None
            }
        }
    }
}

/// Reads a byte more than a file may have at most, so that the app can say that it is too large; none
/// if it is no file.
pub(crate) fn read_file(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file =
        OpenOptions::new().read(true).custom_flags(secret_file::non_blocking()).open(path)?;
    if !file.metadata()?.is_file() {
        return Ok(None);
    }
    let most = u64::try_from(app::limits::FILE_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

fn problem(file: &str, message: String) -> Problem {
    Problem { file: file.to_owned(), line: None, column: None, pointer: String::new(), message }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::symlink;

    use super::*;

    fn texts(dir: &Path) -> Vec<String> {
        match read(dir) {
            Err(Error::App { problems, .. }) => problems.iter().map(ToString::to_string).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_the_files_of_an_app_are_read() {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["Greet", ".git", "node_modules/deep"] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        for file in
            ["host.json", "README.md", "Greet/workflow.json", "Greet/other.json", ".git/config"]
        {
            fs::write(dir.path().join(file), "{}").unwrap();
        }
        let folder = read(dir.path()).unwrap();
        let paths: Vec<_> = folder.files.iter().map(|(path, _)| path).collect();
        assert_eq!(paths, ["Greet/workflow.json", "host.json"]);
    }

    #[test]
    fn a_link_is_followed_inside_the_folder_and_refused_where_it_leads_out() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "{}").unwrap();
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("real.json"), "{}").unwrap();
        symlink("real.json", dir.path().join("host.json")).unwrap();
        assert!(read(dir.path()).unwrap().files.get("host.json").is_some());
        symlink(outside.path().join("secret"), dir.path().join("parameters.json")).unwrap();
        assert_eq!(
            texts(dir.path()),
            [
                "parameters.json: is a link that leads out of the app folder: put the file itself here"
            ]
        );
    }

    #[test]
    fn a_pipe_in_place_of_a_file_is_a_problem_and_stops_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let made = std::process::Command::new("mkfifo").arg(dir.path().join("host.json")).status();
        assert!(made.unwrap().success());
        assert_eq!(texts(dir.path()), ["host.json: is no file"]);
    }

    #[test]
    fn a_name_that_is_not_utf_8_is_told() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(OsStr::from_bytes(b"Gr\xffet"))).unwrap();
        assert_eq!(read(dir.path()).unwrap().unreadable_names, ["Gr\u{fffd}et"]);
        let escaping = dir.path().join("Gr\u{1b}eet");
        fs::create_dir(&escaping).unwrap();
        assert_eq!(read(dir.path()).unwrap().unreadable_names.len(), 1);
        fs::write(escaping.join("workflow.json"), "{}").unwrap();
        let mut names = read(dir.path()).unwrap().unreadable_names;
        names.sort();
        assert_eq!(names, ["Gr\\u{1b}eet", "Gr\u{fffd}et"]);
    }

    #[test]
    fn a_huge_file_is_not_read_as_a_whole() {
        let dir = tempfile::tempdir().unwrap();
        let file = fs::File::create(dir.path().join("host.json")).unwrap();
        file.set_len(1 << 40).unwrap();
        let files = read(dir.path()).unwrap().files;
        assert_eq!(files.get("host.json").unwrap().len(), app::limits::FILE_BYTES + 1);
    }

    #[test]
    fn a_folder_that_is_not_there_is_told_with_what_makes_one() {
        let dir = tempfile::tempdir().unwrap();
        let error = read(&dir.path().join("none")).unwrap_err();
        assert!(error.to_string().contains("keyward init"), "{error}");
    }
}
