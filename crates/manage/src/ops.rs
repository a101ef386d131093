//! The operations: each holds its rule, and knows nothing of HTTP.

mod artifacts;
mod backups;
mod deployments;
mod keys;
mod replicas;
mod servers;

pub(crate) use self::artifacts::Artifacts;
pub(crate) use self::deployments::Deployed;
pub(crate) use self::keys::{AccessKeyStatus, Expiry, IssuedKey};
pub(crate) use self::replicas::ReplicaStatus;
pub(crate) use self::servers::{
    ListedServer, Purpose, ServerList, ServerUrl, Tool, UpstreamStatus, Wanted, url_of,
};
