//! A backup: everything that the store holds, as one stream of lines (docs/backup.md), and an empty store
//! made of it.

mod checking;
mod format;
mod restoring;
mod tables;
mod taking;

pub use self::checking::{Backup, BackupSummary};
pub use self::format::BackupFault;
pub use self::restoring::{AccessKeysAfter, Restored};
