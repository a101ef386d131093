//! What stands in mcp.json as `${…}`: variables, inputs and places.

use std::collections::BTreeMap;

use crate::limits;
use crate::surroundings::{
    INPUT_FILE_SUFFIX, INPUT_VARIABLE, OWN_VARIABLES, Surroundings, input_key,
};

/// What `inputs` of the file says of an id, whose value an editor asks a person for.
#[derive(Clone, Copy)]
pub(super) enum Declared<'s> {
    /// Nothing is there if nobody is asked.
    Asked,
    /// The value that stands in the editor's box before a person types.
    Default(&'s str),
    /// There is one, and the input is a password: what stands in a file beside it is a placeholder.
    Secret,
}

/// Puts values in place of `${…}` for one server, and keeps why it could not.
pub(super) struct Texts<'s> {
    around: &'s Surroundings,
    /// What `inputs` of the file declares, by its id.
    declared: &'s BTreeMap<&'s str, Declared<'s>>,
    /// What the server lacks, a sentence each, and never a value.
    lacks: Vec<String>,
    /// Those of them that the configuration could change.
    not_allowed: Vec<String>,
    /// How many bytes all texts have together.
    byte_count: usize,
}

impl<'s> Texts<'s> {
    pub(super) fn new(
        around: &'s Surroundings,
        declared: &'s BTreeMap<&'s str, Declared<'s>>,
    ) -> Self {
        Self { around, declared, lacks: Vec::new(), not_allowed: Vec::new(), byte_count: 0 }
    }

    pub(super) fn around(&self) -> &'s Surroundings {
        self.around
    }

    /// Notes why the server cannot be served.
    pub(super) fn lack(&mut self, why: String) {
        if !self.lacks.contains(&why) {
            self.lacks.push(why);
        }
    }

    /// Notes that the server asks for more than the configuration allows.
    pub(super) fn refuse(&mut self, why: String) {
        if !self.not_allowed.contains(&why) {
            self.not_allowed.push(why.clone());
        }
        self.lack(why);
    }

    /// Gives what of all that the server lacks is not allowed, as one text.
    pub(super) fn not_allowed(&self) -> Option<String> {
        (!self.not_allowed.is_empty()).then(|| self.not_allowed.join("; "))
    }

    /// Gives all that the server lacks as one text, if it lacks anything.
    pub(super) fn lacking(self) -> Option<String> {
        (!self.lacks.is_empty()).then(|| self.lacks.join("; "))
    }

    /// Gives a text with every `${…}` replaced. What is put in is not looked into again.
    pub(super) fn fill(&mut self, text: &str) -> Option<String> {
        let mut filled = String::new();
        let mut rest = text;
        let mut whole = true;
        while let Some((before, after)) = rest.split_once("${") {
            filled.push_str(before);
            let Some((form, after)) = after.split_once('}') else {
                self.lack("a `${` has no `}` after it".to_owned());
                return None;
            };
            match self.value(form) {
                Ok(value) => filled.push_str(&value),
                Err(why) => {
                    match why {
                        Why::Lacks(why) => self.lack(why),
                        Why::NotAllowed(why) => self.refuse(why),
                    }
                    whole = false;
                }
            }
            if filled.len() > limits::UPSTREAM_TEXT_BYTES {
                // Whoever reads it says that it is too long.
                break;
            }
            rest = after;
        }
        filled.push_str(rest);
        self.byte_count = self.byte_count.saturating_add(filled.len());
        if self.byte_count > limits::UPSTREAM_BYTES {
            let most = limits::UPSTREAM_BYTES;
            self.lack(format!("its values have more than {most} bytes together"));
            return None;
        }
        whole.then_some(filled)
    }

    fn value(&self, form: &str) -> Result<String, Why> {
        if let Some(name) = form.strip_prefix("env:") {
            return Ok(self.variable(name)?.map(str::to_owned).ok_or_else(|| unset(name))?);
        }
        if let Some(id) = form.strip_prefix("input:") {
            return self.input(id);
        }
        if let Some((name, default)) = form.split_once(":-") {
            let value = self.variable(name)?.filter(|value| !value.is_empty());
            return Ok(value.unwrap_or(default).to_owned());
        }
        match form {
            "workspaceFolder" => Ok(self.folder()?.to_owned()),
            "workspaceFolderBasename" => {
                Ok(self.folder()?.rsplit('/').next().unwrap_or_default().to_owned())
            }
            "userHome" => Ok(self.around.home.clone().ok_or_else(|| {
                "`${userHome}` has no value: set HOME where Keyward runs".to_owned()
            })?),
            "pathSeparator" | "/" => Ok("/".to_owned()),
            _ => Ok(self.variable(form)?.map(str::to_owned).ok_or_else(|| unset(form))?),
        }
    }

    fn folder(&self) -> Result<&str, String> {
        let folder = self.around.folder.as_deref();
        folder.ok_or_else(|| "`${workspaceFolder}` has no value here: write the path".to_owned())
    }

    fn variable(&self, name: &str) -> Result<Option<&str>, Why> {
        let first = |c: char| c.is_ascii_alphabetic() || c == '_';
        let fits =
            name.starts_with(first) && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !fits {
            return Err(format!(
                "`${{{}}}` cannot be filled in here; what can: `${{env:NAME}}`, `${{NAME}}`, \
                 `${{NAME:-default}}`, `${{input:ID}}`, `${{workspaceFolder}}`, `${{userHome}}`",
                kind_of(name)
            )
            .into());
        }
        if name.starts_with(OWN_VARIABLES) {
            return Err(format!(
                "the variable `{name}` is Keyward's own, and not given away: use one with a name \
                 that does not begin with `{OWN_VARIABLES}`"
            )
            .into());
        }
        self.check_allowed(name)?;
        Ok(self.around.variables.get(name).map(String::as_str))
    }

    fn check_allowed(&self, variable: &str) -> Result<(), Why> {
        match &self.around.allowed {
            Some(allowed) if !allowed.variables.contains(variable) => {
                let name = shown(variable);
                Err(Why::NotAllowed(format!(
                    "deployed apps may not read the variable `{name}` here: add it to `apps.variables` of \
                     Keyward's configuration"
                )))
            }
            _ => Ok(()),
        }
    }

    fn input(&self, id: &str) -> Result<String, Why> {
        let (shown, key) = (shown(id), input_key(id));
        let allowed = self.check_allowed(&format!("{INPUT_VARIABLE}{key}"));
        match self.around.inputs.get(&key).filter(|_| allowed.is_ok()) {
            Some(Ok(value)) => return Ok(value.clone()),
            Some(Err(why)) => {
                return Err(format!("the input `{shown}` cannot be read: {why}").into());
            }
            None => {}
        }
        let declared = self.declared.get(id);
        if let Some(Declared::Default(default)) = declared {
            return Ok((*default).to_owned());
        }
        allowed?;
        let but = match declared {
            Some(Declared::Default(_) | Declared::Asked) => "",
            Some(Declared::Secret) => ", and the default of a password is not used",
            None => ", and `inputs` declares none of that id",
        };
        let key = self::shown(&key);
        Err(format!(
            "the input `{shown}` is not given{but}: set {INPUT_VARIABLE}{key} where Keyward runs, or \
             {INPUT_VARIABLE}{key}{INPUT_FILE_SUFFIX} to the path of a file that holds it"
        )
        .into())
    }
}

/// Why a form has no value.
enum Why {
    Lacks(String),
    /// The configuration could allow it.
    NotAllowed(String),
}

impl From<String> for Why {
    fn from(why: String) -> Self {
        Self::Lacks(why)
    }
}

fn unset(name: &str) -> String {
    format!("the variable `{}` is not set: set it where Keyward runs", shown(name))
}

/// The part of an unknown form that says which it is; what follows may be a value.
fn kind_of(form: &str) -> String {
    match form.split_once(':') {
        Some((kind, _)) => format!("{}:…", shown(kind)),
        None => shown(form),
    }
}

/// A name as it may stand in a message: short, and without control characters.
pub(super) fn shown(name: &str) -> String {
    let mut shown: String = name.chars().take(limits::SERVER_NAME_CHARS).collect();
    if shown.len() < name.len() {
        shown.push('…');
    }
    shown.escape_debug().to_string().replace("\\\"", "\"").replace("\\'", "'")
}
