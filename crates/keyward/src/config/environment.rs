use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

/// What comes before the name of an app setting, as on Azure.
const APP_SETTING: &str = "APPSETTING_";

/// What an MCP server's process is given of the environment: enough to find its programs and folders,
/// and none of the secrets that the environment of a service holds.
const OF_CHILDREN: [&str; 4] = ["PATH", "HOME", "TMPDIR", "LANG"];

/// How the names of Keyward's own variables begin.
const OWN: &str = "KEYWARD_";

/// Where an input of mcp.json comes from.
#[derive(Clone, Copy)]
pub(crate) enum InputSource<'e> {
    /// The variable's value is it.
    Value(&'e str),
    /// A file holds it.
    File(&'e Path),
}

/// The process's environment, read once.
#[derive(Clone, Default)]
pub(crate) struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    /// Reads the environment of this process.
    pub(crate) fn of_process() -> Self {
        Self(std::env::vars_os().collect())
    }

    /// Gives the value of a variable that is set and not empty.
    ///
    /// # Errors
    /// A text about a value that is not UTF-8.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, String> {
        let Some(value) = self.os(name) else { return Ok(None) };
        value.to_str().map(Some).ok_or_else(|| "is not UTF-8".to_owned())
    }

    /// Gives the path that a variable holds, if it is set and not empty.
    pub(crate) fn path(&self, name: &str) -> Option<PathBuf> {
        self.os(name).map(PathBuf::from)
    }

    /// Says whether a variable is set and not empty.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.os(name).is_some()
    }

    /// Gives the values that workflows may read, by the names of their app settings.
    pub(crate) fn app_settings(&self) -> BTreeMap<String, String> {
        let setting = |(name, value): (&OsString, &OsString)| {
            let name = name.to_str()?.strip_prefix(APP_SETTING)?;
            Some((name.to_owned(), value.to_str()?.to_owned())).filter(|(name, _)| !name.is_empty())
        };
        self.0.iter().filter_map(setting).collect()
    }

    /// Gives the variables that mcp.json may name: all but Keyward's own, which hold its secrets.
    pub(crate) fn variables(&self) -> BTreeMap<String, String> {
        let all = self.0.iter().filter_map(|(name, value)| Some((name.to_str()?, value.to_str()?)));
        all.filter(|(name, _)| !name.starts_with(OWN))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    /// Gives the inputs of mcp.json by the ends of their variables' names: each value, or the path of
    /// the file that holds it, or why there is none.
    pub(crate) fn inputs(&self) -> BTreeMap<String, Result<InputSource<'_>, String>> {
        let mut inputs = BTreeMap::new();
        for (name, value) in &self.0 {
            let Some(key) = name.to_str().and_then(|name| name.strip_prefix(app::INPUT_VARIABLE))
            else {
                continue;
            };
            let text = value.to_str().ok_or_else(|| format!("{OWN}INPUT_{key} is not UTF-8"));
            inputs.insert(key.to_owned(), text.map(InputSource::Value));
            // An id may end like the name of a file's variable: its own value, then, comes first.
            if let Some(key) = key.strip_suffix(app::INPUT_FILE_SUFFIX) {
                inputs.entry(key.to_owned()).or_insert(Ok(InputSource::File(Path::new(value))));
            }
        }
        inputs
    }

    /// Gives what every MCP server's process has in its environment.
    pub(crate) fn of_children(&self) -> Vec<(OsString, OsString)> {
        let value = |name: &str| Some((name.into(), self.os(name)?.to_owned()));
        OF_CHILDREN.into_iter().filter_map(value).collect()
    }

    fn os(&self, name: &str) -> Option<&OsString> {
        self.0.get(&OsString::from(name)).filter(|value| !value.is_empty())
    }
}

/// Shows names only: values may be secrets.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
impl<const N: usize> From<[(&str, &str); N]> for Environment {
    fn from(pairs: [(&str, &str); N]) -> Self {
        Self(pairs.iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}
