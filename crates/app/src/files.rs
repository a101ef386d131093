//! Which files make an app.

use std::collections::BTreeMap;
use std::fmt;

pub(crate) const HOST: &str = "host.json";
pub(crate) const SERVERS: &str = "mcpservers.json";
pub(crate) const PARAMETERS: &str = "parameters.json";
pub(crate) const SETTINGS: &str = "local.settings.json";
pub(crate) const CONNECTIONS: &str = "connections.json";
pub(crate) const UPSTREAMS: &str = "mcp.json";
const WORKFLOW: &str = "workflow.json";

/// What can go wrong before a file is looked into.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The path is none that an app is made of, or leads out of the app.
    #[error(
        "`{path}` is not a file of an app: expected host.json, mcpservers.json, mcp.json, \
         parameters.json, local.settings.json, connections.json or WORKFLOW/workflow.json"
    )]
    NotAnAppFile {
        /// The path as it was given.
        path: String,
    },
}

/// The bytes of an app's files, by their path inside the app.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Files {
    by_path: BTreeMap<String, Vec<u8>>,
}

impl Files {
    /// Makes an empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a file in, in place of one with the same path.
    ///
    /// Errors: [`Error::NotAnAppFile`] where [`is_app_file`] says no.
    pub fn insert(
        &mut self,
        path: impl Into<String>,
        bytes: impl Into<Vec<u8>>,
    ) -> Result<(), Error> {
        let path = path.into();
        if !is_app_file(&path) {
            return Err(Error::NotAnAppFile { path });
        }
        self.by_path.insert(path, bytes.into());
        Ok(())
    }

    /// Takes a file out.
    pub fn remove(&mut self, path: &str) -> Option<Vec<u8>> {
        self.by_path.remove(path)
    }

    /// Gives a file's bytes.
    pub fn get(&self, path: &str) -> Option<&[u8]> {
        self.by_path.get(path).map(Vec::as_slice)
    }

    /// Gives every file, sorted by path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.by_path.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice()))
    }

    /// Gives the bytes of all files together.
    pub(crate) fn byte_count(&self) -> usize {
        self.by_path.values().map(Vec::len).sum()
    }

    /// Gives every workflow by its folder's name.
    pub(crate) fn workflows(&self) -> impl Iterator<Item = (&str, &str, &[u8])> {
        self.iter().filter_map(|(path, bytes)| Some((workflow_of(path)?, path, bytes)))
    }
}

/// Shows paths and sizes: a file may hold secrets.
impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes = self.by_path.iter().map(|(path, bytes)| (path, bytes.len()));
        f.debug_map().entries(sizes).finish()
    }
}

/// Says whether a path inside the app, with `/`, is one that the app is made of.
///
/// What is not (`.git/config`, `README.md`, `workflow-designtime/host.json`) needs neither to be
/// read nor to be watched.
pub fn is_app_file(path: &str) -> bool {
    matches!(path, HOST | SERVERS | PARAMETERS | SETTINGS | CONNECTIONS | UPSTREAMS)
        || workflow_of(path).is_some()
}

/// Gives the workflow's name if the path is a workflow's definition.
fn workflow_of(path: &str) -> Option<&str> {
    let (folder, file) = path.split_once('/')?;
    let named = !folder.is_empty()
        && !folder.starts_with('.')
        && !folder.contains(|c: char| c.is_control() || matches!(c, '\\' | ':'));
    (file == WORKFLOW && named).then_some(folder)
}
