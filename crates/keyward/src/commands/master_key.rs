use std::path::Path;

use keys::{MasterKey, SysRng};
use secrecy::SecretString;

use crate::error::{Error, Result};
use crate::{output, secret_file};

/// Makes a master key in a file of its own; what is there stays as it is.
pub(crate) fn make(file: &Path) -> Result<()> {
    let key = MasterKey::generate(&mut SysRng).map_err(Error::key("make a master key"))?;
    let shown = file.display();
    if !secret_file::create(file, &SecretString::from(key.expose()))? {
        return Err(Error::Unfit(format!(
            "{shown} is there already, and what it sealed could not be opened without it: give \
             another name"
        )));
    }
    output::print(&format!("Made the master key {} in {shown}. Keep a copy of it.", key.id()))
}
