//! What Keyward keeps, and what a replica decides by.
//!
//! [`Store`] is the durable half: access keys (sealed), the register of issued API keys,
//! revocations, and the audit row of every change, each written in the transaction of the change.
//! [`Replica`] is the half in memory: an immutable [`Snapshot`] that answers without I/O, and the
//! register of open responses, which a new snapshot judges anew. Its [`Catalog`] is what operators are
//! told of upstreams.
//!
//! This crate knows neither HTTP nor MCP. A method that changes anything takes
//! [`keys::Authorized`], so a change without a permission check does not compile.

mod access_keys;
mod api_keys;
mod audit;
mod backend;
mod backup;
mod catalog;
mod counts;
mod deployments;
mod error;
mod hold;
mod operators;
mod replica;
mod replicas;
mod revision;
mod snapshot;

pub use access_keys::AccessKeyRow;
pub use api_keys::{ApiKeyRow, ApiKeyState, Issue, Issued, Page};
pub use backend::{DatabaseAddress, Patience, PostgresSettings, Store};
pub use backup::{AccessKeysAfter, Backup, BackupFault, BackupSummary, Restored};
pub use catalog::{Candidate, Catalog, Failure, Knowledge, ListedTool, Subject};
pub use counts::{Counts, CountsBy, LeaseCounts, Waits};
pub use deployments::{
    Deployed, Deployment, DeploymentRow, KEPT_VERSIONS, Note, Operation, Version,
};
pub use error::Error;
pub use lease::Terms as LeaseTerms;
#[cfg(feature = "broken")]
pub use lease::broken;
pub use replica::{
    AppMaker, Claim, Cut, NotInForce, OpenResponse, Replica, ServedApp, Suspended, Unready,
};
pub use replicas::ReplicaRow;
pub use revision::{Change, ChangeId, Revision};
pub use snapshot::{AppState, Snapshot};

/// What this crate's operations return.
pub type Result<T, E = Error> = std::result::Result<T, E>;
