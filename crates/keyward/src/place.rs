//! Where an app lies: in a folder, or in one mcp.json.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use app::{Files, Problem};

use crate::commands::init::shell_word;
use crate::config::check_app_name;
use crate::data_dir;
use crate::error::{Error, Result};
use crate::folder::{self, Folder};
use crate::output;

const HOST: &str = "host.json";
const MCP_JSON: &str = "mcp.json";
const MCPSERVERS_JSON: &str = "mcpservers.json";

/// The host.json of an app that is one mcp.json: whoever serves it wants its servers, behind keys.
const IMPLIED_HOST: &str = r#"{"version":"2.0","extensions":{"workflow":{"McpServerEndpoints":{"enable":true,"authentication":{"type":"ApiKey"}}}}}"#;

/// The name of an app that is one mcp.json.
const MCP_JSON_APP: &str = "mcp";

/// Folders that editors keep their files in: a path of such a file begins at the folder above.
const OF_EDITORS: [&str; 2] = [".vscode", ".cursor"];

/// Files that hold MCP servers, where somebody may name their folder and mean them.
const MEANT: [&str; 4] = ["mcp.json", ".mcp.json", ".vscode/mcp.json", ".cursor/mcp.json"];

/// Where an app lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a folder, as it was named.
    Folder(PathBuf),
    /// In one mcp.json, as it was named, whatever its name.
    McpJson(PathBuf),
}

impl Place {
    /// Gives the path as it was named.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Folder(path) | Self::McpJson(path) => path,
        }
    }

    /// Gives what lies there.
    ///
    /// # Errors
    /// [`Error::App`] with every file that cannot be read; [`Error::Unfit`] if nothing is there.
    pub(crate) fn read(&self) -> Result<Folder> {
        match self {
            Self::Folder(dir) => folder::read(dir),
            Self::McpJson(file) => read_mcp_json(file),
        }
    }

    /// Tells of an mcpservers.json that somebody may rely on, and that is not read.
    pub(crate) fn unread_allow_list(&self) -> Option<String> {
        let Self::McpJson(file) = self else { return None };
        let beside = file.with_file_name(MCPSERVERS_JSON);
        beside.is_file().then(|| {
            format!(
                "{}: is not read with --mcp-json: make an app folder of the two with a host.json, or \
                 limit API keys with --scope",
                beside.display()
            )
        })
    }

    /// Makes an error of what does not hold there, with what its reader may have meant.
    pub(crate) fn unfit(&self, files: &Files, mut problems: Vec<Problem>) -> Error {
        match self {
            Self::Folder(dir) => {
                let meant = MEANT.iter().map(|name| dir.join(name)).find(|path| path.is_file());
                let missing = problems.iter_mut().find(|problem| problem.file == HOST);
                if let (Some(problem), None, Some(meant)) = (missing, files.get(HOST), meant) {
                    let _ = write!(
                        problem.message,
                        "; to serve the MCP servers of one file alone: keyward serve --mcp-json {}",
                        shell_word(&meant.to_string_lossy())
                    );
                }
            }
            Self::McpJson(file) => {
                let name = file.file_name().unwrap_or_default().to_string_lossy();
                for problem in problems.iter_mut().filter(|problem| problem.file == MCP_JSON) {
                    problem.file = name.clone().into_owned();
                }
            }
        }
        Error::App { dir: self.path().to_owned(), problems }
    }

    /// Gives the folder that relative paths of mcp.json begin at, absolute.
    pub(crate) fn folder(&self) -> Option<PathBuf> {
        match self {
            Self::Folder(dir) => fs::canonicalize(dir).ok(),
            Self::McpJson(file) => {
                let folder = beside(file)?;
                let is_editors =
                    folder.file_name().is_some_and(|name| OF_EDITORS.iter().any(|of| name == *of));
                match folder.parent() {
                    Some(above) if is_editors => Some(above.to_owned()),
                    _ => Some(folder),
                }
            }
        }
    }

    /// Gives the file whose word on who is let in holds.
    pub(crate) fn host_json(&self) -> PathBuf {
        match self {
            Self::Folder(dir) => dir.join(HOST),
            Self::McpJson(file) => file.clone(),
        }
    }

    /// Gives the data folder where none is named.
    pub(crate) fn data_dir(&self) -> PathBuf {
        match self {
            Self::Folder(dir) => dir.join(data_dir::IN_APP_FOLDER),
            Self::McpJson(file) => file.with_file_name(data_dir::IN_APP_FOLDER),
        }
    }

    /// Gives the app's name where none is given.
    ///
    /// # Errors
    /// [`Error::Usage`] if the folder's name cannot be one.
    pub(crate) fn app_name(&self) -> Result<String> {
        self.app_name_for("--app-name")
    }

    /// Gives the app's name where none is given with this flag.
    ///
    /// # Errors
    /// [`Error::Usage`] if the folder's name cannot be one.
    pub(crate) fn app_name_for(&self, flag: &str) -> Result<String> {
        let Self::Folder(dir) = self else { return Ok(MCP_JSON_APP.to_owned()) };
        let dir = fs::canonicalize(dir).map_err(Error::io(format!("open {}", dir.display())))?;
        let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // Azure's names have letters, digits and hyphens; folders are called anything.
        let fold = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let folded: String = name.chars().map(fold).collect();
        check_app_name(folded.trim_matches('-')).map_err(|_| {
            Error::Usage(format!(
                "the folder's name '{}' cannot be made an app's name: give one with {flag}",
                output::shown(&name)
            ))
        })
    }
}

/// Gives the folder that a file's own entry is in, which is not where a link leads.
pub(crate) fn beside(file: &Path) -> Option<PathBuf> {
    fs::canonicalize(std::path::absolute(file).ok()?.parent()?).ok()
}

fn read_mcp_json(file: &Path) -> Result<Folder> {
    let what = file.display();
    let bytes = match folder::read_file(file) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => {
            let names = MEANT.iter().map(|name| file.join(name));
            let hint = names.filter(|path| path.is_file()).map(|path| path.display().to_string());
            let hint = hint.map(|path| format!(", such as {path}")).next().unwrap_or_default();
            return Err(Error::Unfit(format!(
                "{what} is no file: name an editor's mcp.json{hint}"
            )));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Error::Unfit(format!(
                "there is no file {what}: name an editor's mcp.json, such as .vscode/mcp.json"
            )));
        }
        Err(error) => return Err(Error::io(format!("read {what}"))(error)),
    };
    let mut files = Files::new();
    for (name, bytes) in [(HOST, IMPLIED_HOST.into()), (MCP_JSON, bytes)] {
        files.insert(name, bytes).map_err(|error| Error::Failed(error.to_string()))?;
    }
    Ok(Folder { files, unreadable_names: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_an_editors_file_begin_above_the_editors_folder() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for (file, folder) in [
            ("mcp.json", ""),
            (".mcp.json", ""),
            (".vscode/mcp.json", ""),
            (".cursor/mcp.json", ""),
            ("other/servers.json", "other"),
        ] {
            let path = root.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let place = Place::McpJson(path.clone());
            assert_eq!(
                place.folder().unwrap(),
                root.join(folder).components().collect::<PathBuf>()
            );
            assert_eq!(place.data_dir(), path.parent().unwrap().join(".keyward"));
        }
    }
}
