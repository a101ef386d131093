//! What each command does, besides `serve`.

pub(crate) mod access_key;
pub(crate) mod backup;
pub(crate) mod configuration;
pub(crate) mod deploy;
mod direct;
pub(crate) mod init;
pub(crate) mod key;
pub(crate) mod master_key;
pub(crate) mod offline;
pub(crate) mod replica;
pub(crate) mod restore;
pub(crate) mod server;
pub(crate) mod supervise;
pub(crate) mod token;
