//! The data folder: the database, the master key, the operator token.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use keys::{MasterKey, MasterKeys, OperatorToken, SysRng};
use secrecy::{ExposeSecret as _, SecretString};

use crate::config::MasterKeySource;
use crate::error::{Error, Result};
use crate::secret_file::{self, Readers};

/// The name of the data folder inside an app folder.
pub(crate) const IN_APP_FOLDER: &str = ".keyward";

/// The operator whose token lies in the data folder.
pub(crate) const OPERATOR: &str = "operator";

const MASTER_KEY: &str = "master-key";
const OPERATOR_TOKEN: &str = "operator-token";
/// The embedded store's file.
pub(crate) const DATABASE: &str = "keyward.db";
const LOCK: &str = "keyward.lock";
const ENDPOINT: &str = "endpoint.json";

/// A data folder that only its owner can look into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DataDir(PathBuf);

impl DataDir {
    /// Makes the folder if there is none, and checks who can look into it.
    pub(crate) fn prepare(path: &Path) -> Result<Self> {
        let doing = || format!("make the data folder {}", path.display());
        match DirBuilder::new().recursive(true).mode(0o700).create(path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Error::io(doing())(error)),
        }
        let data_dir =
            Self::open(path)?.ok_or_else(|| Error::Failed(format!("cannot {}", doing())))?;
        // Nothing of it may ever be committed with the app.
        let ignore = data_dir.0.join(".gitignore");
        if !ignore.exists() {
            fs::write(&ignore, "*\n").map_err(Error::io(doing()))?;
        }
        Ok(data_dir)
    }

    /// Opens a folder that must be there, and checks who can look into it; none if it is not there.
    pub(crate) fn open(path: &Path) -> Result<Option<Self>> {
        let path = match fs::canonicalize(path) {
            Ok(path) => path,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io(format!("open {}", path.display()))(error)),
        };
        let shown = path.display();
        let metadata = fs::metadata(&path).map_err(Error::io(format!("look at {shown}")))?;
        if !metadata.is_dir() {
            return Err(Error::Unfit(format!("{shown} is no folder: expected the data folder")));
        }
        let is = metadata.mode() & 0o777;
        if is & 0o077 != 0 {
            return Err(Error::Unfit(format!(
                "the data folder {shown} holds keys, and others can look into it (mode {is:o}): run \
                 chmod 700 {shown}"
            )));
        }
        if metadata.uid() != rustix::process::geteuid().as_raw() {
            return Err(Error::Unfit(format!(
                "the data folder {shown} belongs to another user, who could put other keys into it: \
                 use it as that user, or take it over with chown"
            )));
        }
        Ok(Some(Self(path)))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The file whose lock says that a process has the folder.
    pub(crate) fn lock_file(&self) -> PathBuf {
        self.0.join(LOCK)
    }

    /// Where a server says how it can be reached, while it runs.
    pub(crate) fn endpoint_file(&self) -> PathBuf {
        self.0.join(ENDPOINT)
    }

    /// Gives the master keys, making one at the first start. The flag says whether it was made now.
    pub(crate) fn master_keys(&self, source: MasterKeySource) -> Result<(MasterKeys, bool)> {
        match given_master_keys(source)? {
            Some(keys) => Ok((keys, false)),
            None => self.own_master_key(),
        }
    }

    /// Gives the folder's own master key, if it has one.
    pub(crate) fn kept_master_key(&self) -> Result<Option<MasterKeys>> {
        let path = self.0.join(MASTER_KEY);
        let text = secret_file::read(&path, Readers::OwnerOnly)?;
        text.map(|text| Ok(MasterKeys::new(parse_master_key(&path, &text)?, []))).transpose()
    }

    fn own_master_key(&self) -> Result<(MasterKeys, bool)> {
        if let Some(kept) = self.kept_master_key()? {
            return Ok((kept, false));
        }
        let path = self.0.join(MASTER_KEY);
        if self.0.join(DATABASE).exists() {
            let path = path.display();
            return Err(Error::Unfit(format!(
                "{path} is missing, and the database beside it has access keys that are sealed \
                 under it: bring the file back from a backup, or name the master key with \
                 --master-key-file. A new one is never made beside sealed keys, since it could not \
                 open them. To begin anew, without any key that was issued, move {DATABASE} and its \
                 -wal and -shm files away"
            )));
        }
        let key = MasterKey::generate(&mut SysRng).map_err(Error::key("make the master key"))?;
        let made = secret_file::create(&path, &SecretString::from(key.expose()))?;
        let key = read_master_key(&path)?;
        Ok((MasterKeys::new(key, []), made))
    }

    /// Gives the token of the folder's own operator, making it at the first start. The flag says
    /// whether it was made now in a folder that has been served from before.
    pub(crate) fn ensure_operator_token(&self) -> Result<(OperatorToken, bool)> {
        if let Some(token) = self.operator_token()? {
            return Ok((token, false));
        }
        let served_before = self.0.join(DATABASE).exists();
        let token =
            OperatorToken::generate(&mut SysRng).map_err(Error::key("make the operator token"))?;
        let text = SecretString::from(token.expose());
        let made = secret_file::create(&self.0.join(OPERATOR_TOKEN), &text)?;
        let token = self.operator_token()?.ok_or_else(|| {
            Error::Failed(format!("the operator token in {} was taken away", self.0.display()))
        })?;
        Ok((token, made && served_before))
    }

    /// Gives the token of the folder's own operator, if a server has run on it.
    pub(crate) fn operator_token(&self) -> Result<Option<OperatorToken>> {
        let path = self.0.join(OPERATOR_TOKEN);
        secret_file::read(&path, Readers::OwnerOnly)?
            .map(|text| parse_token(&path, &text))
            .transpose()
    }

    /// Puts the token that holds on every replica in place of the folder's own.
    pub(crate) fn replace_operator_token(&self, token: &OperatorToken) -> Result<()> {
        let path = self.0.join(OPERATOR_TOKEN);
        secret_file::replace(&path, token.expose().as_bytes())
            .map(drop)
            .map_err(Error::io(format!("write {}", path.display())))
    }

    /// Says how the server can be reached, for as long as the returned file is held.
    pub(crate) fn announce(&self, endpoint: &[u8]) -> Result<File> {
        let path = self.endpoint_file();
        secret_file::replace(&path, endpoint)
            .map_err(Error::io(format!("write {}", path.display())))
    }
}

/// Gives the master keys that are named or given; none where the data folder's own is meant.
pub(crate) fn given_master_keys(source: MasterKeySource) -> Result<Option<MasterKeys>> {
    match source {
        MasterKeySource::DataFolder => Ok(None),
        MasterKeySource::Files(files) => {
            let keys =
                files.iter().map(|path| read_master_key(path)).collect::<Result<Vec<_>>>()?;
            all(keys).map(Some)
        }
        MasterKeySource::Given(keys) => all(keys).map(Some),
    }
}

/// Reads the password of a database's user.
pub(crate) fn read_password(path: &Path) -> Result<SecretString> {
    secret_file::read(path, Readers::OwnerAndGroup)?.ok_or_else(|| missing(path))
}

/// Reads the token of an operator whom the configuration names.
pub(crate) fn read_operator_token(path: &Path) -> Result<OperatorToken> {
    let text = secret_file::read(path, Readers::OwnerAndGroup)?.ok_or_else(|| missing(path))?;
    parse_token(path, &text)
}

fn parse_token(path: &Path, text: &SecretString) -> Result<OperatorToken> {
    OperatorToken::parse(text.expose_secret())
        .map_err(|error| Error::Unfit(format!("{}: {error}", path.display())))
}

fn read_master_key(path: &Path) -> Result<MasterKey> {
    let text = secret_file::read(path, Readers::OwnerAndGroup)?.ok_or_else(|| missing(path))?;
    parse_master_key(path, &text)
}

fn parse_master_key(path: &Path, text: &SecretString) -> Result<MasterKey> {
    MasterKey::parse(text.expose_secret())
        .map_err(|error| Error::Unfit(format!("{}: {error}", path.display())))
}

fn missing(path: &Path) -> Error {
    Error::Unfit(format!("there is no {}: expected a secret in it", path.display()))
}

fn all(mut keys: Vec<MasterKey>) -> Result<MasterKeys> {
    if keys.is_empty() {
        return Err(Error::Unfit("no master key is given".to_owned()));
    }
    let first = keys.remove(0);
    Ok(MasterKeys::new(first, keys))
}
