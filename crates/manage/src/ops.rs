//! The operations: each holds its rule, and knows nothing of HTTP.

mod keys;
mod replicas;
mod servers;

pub(crate) use self::keys::{AccessKeyStatus, Expiry, IssuedKey};
pub(crate) use self::replicas::ReplicaStatus;
pub(crate) use self::servers::{
    ListedServer, Purpose, ServerList, ServerUrl, Tool, UpstreamStatus, Wanted,
};
