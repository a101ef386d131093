//! What an app is made with besides its files.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// How a variable's name begins that gives an input of mcp.json.
pub const INPUT_VARIABLE: &str = "KEYWARD_INPUT_";

/// How a variable's name ends that names a file with an input's value.
pub const INPUT_FILE_SUFFIX: &str = "_FILE";

/// How the names of variables begin that only Keyward reads: they hold operators' tokens.
pub(crate) const OWN_VARIABLES: &str = "KEYWARD_";

/// What an app is made with besides its files: values of the process and places of the machine.
///
/// Nothing of it is read by this crate itself, so that an app is a function of its arguments.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// App settings of the process, which win over those of local.settings.json. Workflows can
    /// read every one by `appsetting()`.
    pub settings: BTreeMap<String, String>,
    /// Environment variables that mcp.json may name, as in `${env:NAME}`.
    pub variables: BTreeMap<String, String>,
    /// What mcp.json asks for as `${input:ID}`, by [`input_key`]; or why it cannot be had, in words
    /// without the value.
    pub inputs: BTreeMap<String, Result<String, String>>,
    /// The folder that relative paths of mcp.json begin at, absolute.
    pub folder: Option<String>,
    /// The user's home folder, absolute.
    pub home: Option<String>,
    /// What mcp.json may ask of the machine; everything if none, as where whoever wrote the file may use
    /// the machine anyway.
    pub allowed: Option<Allowed>,
}

/// What an app may ask of a machine that its author has no business on: what its configuration names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// The programs that may be run, as an entry names them, relative ones below its folder. Their
    /// arguments and their folder are the entry's.
    pub commands: BTreeSet<String>,
    /// The variables that an entry may set for its program, by their exact names. Shells, interpreters and
    /// the linker have ones that make them run something else, each its own.
    pub command_variables: BTreeSet<String>,
    /// The variables that may be read, those of inputs among them by their whole names.
    pub variables: BTreeSet<String>,
}

/// Shows names only: values may be secrets.
impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |of: &BTreeMap<String, String>| of.keys().cloned().collect::<Vec<_>>();
        f.debug_struct("Surroundings")
            .field("settings", &names(&self.settings))
            .field("variables", &names(&self.variables))
            .field("inputs", &self.inputs.keys())
            .field("folder", &self.folder)
            .field("home", &self.home)
            .field("allowed", &self.allowed)
            .finish()
    }
}

/// Gives the end of the variable's name that an input's value comes from: the id in upper case, `_`
/// in place of all but ASCII letters and digits.
pub fn input_key(id: &str) -> String {
    let fold = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    id.chars().map(fold).collect()
}
