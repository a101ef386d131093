//! Files that hold one secret each: made so that only their owner can read them, and refused if
//! others can.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::limits;

/// Who besides its owner may be able to read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readers {
    /// Nobody.
    OwnerOnly,
    /// Its group, as secrets come that are mounted into a container.
    OwnerAndGroup,
}

/// Reads a secret, without the white space around it; none if there is no such file.
pub(crate) fn read(path: &Path, readers: Readers) -> Result<Option<SecretString>> {
    let doing = || format!("read {}", path.display());
    let file = match OpenOptions::new().read(true).custom_flags(non_blocking()).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io(doing())(error)),
    };
    check_readers(path, &file, readers)?;
    let mut text = Zeroizing::new(String::new());
    file.take(limits::SECRET_BYTES).read_to_string(&mut text).map_err(Error::io(doing()))?;
    Ok(Some(SecretString::from(text.trim())))
}

/// Reads a value of mcp.json: the whole file, but for a line break at its end. The error says why it
/// cannot be had, and neither the path nor what is in it.
pub(crate) fn read_input(path: &Path) -> Result<String, String> {
    let read = || {
        let file = OpenOptions::new().read(true).custom_flags(non_blocking()).open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is no file"));
        }
        let mut text = String::new();
        file.take(limits::INPUT_BYTES.saturating_add(1)).read_to_string(&mut text)?;
        Ok(text)
    };
    let text = read().map_err(|error| format!("its file cannot be read: {error}"))?;
    if u64::try_from(text.len()).is_ok_and(|len| len > limits::INPUT_BYTES) {
        return Err(format!("its file has more than {} bytes", limits::INPUT_BYTES));
    }
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

fn check_readers(path: &Path, file: &File, readers: Readers) -> Result<()> {
    let metadata = file.metadata().map_err(Error::io(format!("look at {}", path.display())))?;
    if !metadata.is_file() {
        return Err(Error::Unfit(format!(
            "{} is no file: expected one secret in it",
            path.display()
        )));
    }
    let (forbidden, mode) = match readers {
        Readers::OwnerOnly => (0o077, "600"),
        Readers::OwnerAndGroup => (0o007, "640"),
    };
    if metadata.permissions().mode() & forbidden != 0 {
        let path = path.display();
        let is = metadata.mode() & 0o777;
        return Err(Error::Unfit(format!(
            "{path} holds a secret and others can read it (mode {is:o}): run chmod {mode} {path}, \
             and replace the secret if others have been here"
        )));
    }
    Ok(())
}

/// Makes a file that holds a secret, durable when this returns. If there is one already, it stays
/// as it is, and this gives false.
pub(crate) fn create(path: &Path, secret: &SecretString) -> Result<bool> {
    let doing = || format!("write {}", path.display());
    let beside = beside(path);
    write(&beside, secret.expose_secret().as_bytes()).map_err(Error::io(doing()))?;
    // A link is made whole or not at all, and never in place of another's.
    let linked = fs::hard_link(&beside, path);
    fs::remove_file(&beside).map_err(Error::io(doing()))?;
    match linked {
        Ok(()) => {
            sync_folder_of(path).map_err(Error::io(doing()))?;
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(Error::io(doing())(error)),
    }
}

/// Replaces a file that only its owner can read, as a whole. The returned file is the new one.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let beside = beside(path);
    let file = write(&beside, bytes)?;
    // The lock comes before the name, so that nobody sees the file without it.
    file.try_lock().map_err(io::Error::from)?;
    fs::rename(&beside, path)?;
    Ok(file)
}

/// A file that only its owner can read, and that has its name once it is whole: it is gone if this is dropped
/// before.
#[derive(Debug)]
pub(crate) struct Growing {
    file: File,
    path: PathBuf,
    name: PathBuf,
}

impl Growing {
    /// Begins a file beside the one that it is to be.
    pub(crate) fn beside(path: &Path) -> io::Result<Self> {
        let beside = beside(path);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        Ok(Self { file, path: beside, name: path.to_owned() })
    }

    pub(crate) const fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Where it is until it is whole.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it its name, durable when this returns. If another file has that and is not to be replaced, it
    /// stays as it is, and this gives false.
    pub(crate) fn finish(self, replace: bool) -> io::Result<bool> {
        self.file.sync_all()?;
        if replace {
            fs::rename(&self.path, &self.name)?;
        } else {
            match fs::hard_link(&self.path, &self.name) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
                // Some file systems have no links.
                Err(_) if self.name.symlink_metadata().is_ok() => return Ok(false),
                Err(_) => fs::rename(&self.path, &self.name)?,
            }
        }
        sync_folder_of(&self.name)?;
        Ok(true)
    }
}

impl Drop for Growing {
    fn drop(&mut self) {
        // It has its name by now, or is of no use.
        drop(fs::remove_file(&self.path));
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    Ok(file)
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", uuid::Uuid::now_v7().simple()));
    path.with_file_name(name)
}

fn sync_folder_of(path: &Path) -> io::Result<()> {
    let Some(folder) = path.parent() else { return Ok(()) };
    // A name alone is one of the folder that we are in.
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder)?.sync_all()
}

/// A pipe in place of a file must not stop us.
pub(crate) fn non_blocking() -> i32 {
    i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default()
}
