use std::ffi::OsStr;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where Debian and those who follow it put each version's programs.
const DEBIAN: &str = "/usr/lib/postgresql";

const NOT_INSTALLED: &str = "PostgreSQL is not installed, and these tests start one of their own. \
    Install it (on Debian: apt-get install postgresql), or put the folder that has initdb and postgres \
    into PATH. Its service need not run";

const NO_FAKETIME: &str = "libfaketime is not installed, which steps a server's wall clock \
    (on Debian: apt-get install faketime)";

/// Finds the library that stands between a program and the wall clock.
///
/// # Panics
/// With what to install, where it is not there.
pub(crate) fn faketime() -> PathBuf {
    let folders = ["/usr/lib", "/usr/lib64", "/usr/local/lib"].map(PathBuf::from);
    // Debian's are in a folder for each architecture.
    let below = |folder: &PathBuf| fs::read_dir(folder).into_iter().flatten().flatten();
    let all = folders.iter().flat_map(below).map(|entry| entry.path()).chain(folders.clone());
    all.map(|folder| folder.join("faketime/libfaketime.so.1"))
        .find(|library| library.exists())
        .unwrap_or_else(|| panic!("{NO_FAKETIME}"))
}

/// The programs of an installed PostgreSQL, and the user they run as.
#[derive(Clone, Debug)]
pub(crate) struct Install {
    bin: PathBuf,
    /// Whom to become: PostgreSQL refuses to run as root.
    user: Option<User>,
}

#[derive(Clone, Copy, Debug)]
struct User {
    uid: u32,
    gid: u32,
}

impl Install {
    /// Finds the programs.
    ///
    /// # Panics
    /// With what to install, where there are none: a test that needs them never passes without.
    pub(crate) fn find() -> Self {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut debian: Vec<(u32, PathBuf)> = fs::read_dir(DEBIAN)
            .into_iter()
            .flatten()
            .filter_map(|entry| {
                let entry = entry.ok()?;
                Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin")))
            })
            .collect();
        debian.sort();
        let newest_first = debian.into_iter().rev().map(|(_, bin)| bin);
        let has_all = |bin: &PathBuf| ["initdb", "postgres"].iter().all(|p| bin.join(p).exists());
        let bin = std::env::split_paths(&path)
            .chain(newest_first)
            .find(has_all)
            .unwrap_or_else(|| panic!("{NOT_INSTALLED}"));
        Self { bin, user: is_root().then(unprivileged) }
    }

    /// Gives a folder to the user that the programs run as.
    pub(crate) fn hand_over(&self, dir: &Path) {
        if let Some(User { uid, gid }) = self.user {
            std::os::unix::fs::chown(dir, Some(uid), Some(gid)).expect("the folder is ours");
        }
    }

    pub(crate) fn path(&self, program: &str) -> PathBuf {
        self.bin.join(program)
    }

    /// A command that runs in `dir` as the right user, and sees no setting of the caller's.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>, dir: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(dir).env("LC_ALL", "C");
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("PG")) {
                command.env_remove(name);
            }
        }
        if let Some(User { uid, gid }) = self.user {
            command.uid(uid).gid(gid);
        }
        command
    }
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// The user `postgres`, or `nobody`.
fn unprivileged() -> User {
    let passwd = fs::read_to_string("/etc/passwd").expect("there is a /etc/passwd");
    let find = |name: &str| {
        passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            let found = fields.next()? == name;
            let mut number = || fields.nth(1)?.parse().ok();
            let uid = number()?;
            let gid = fields.next()?.parse().ok()?;
            found.then_some(User { uid, gid })
        })
    };
    find("postgres").or_else(|| find("nobody")).expect("there is a user postgres or nobody")
}
