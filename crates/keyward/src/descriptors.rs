//! How many sockets and files the process may have open, and how many of them are the data plane's.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{debug, warn};

use crate::limits;

/// Lets the process open as many as it may, and gives how many connections at once the data plane
/// takes of that, so that the management plane and the store never go short.
pub(crate) fn data_plane_connections() -> usize {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        debug!(%error, "Cannot raise the limit of open files: {error}");
    }
    let most = getrlimit(Resource::Nofile).current;
    let connections = share(most);
    debug!(open_files = most, connections, "Taking up to {connections} MCP connections at once");
    if connections < limits::FEW_CONNECTIONS {
        warn!(
            connections,
            "The MCP servers take {connections} connections at once, since this process may open \
             few files: raise the hard limit (ulimit -Hn; LimitNOFILE= of a systemd unit)"
        );
    }
    connections
}

/// Gives the data plane's share of so many descriptors; of any number, if there is no limit.
fn share(most: Option<u64>) -> usize {
    let most = most.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
    most.saturating_sub(limits::DESCRIPTORS_KEPT)
        .clamp(limits::FEWEST_CONNECTIONS, gateway::limits::CONNECTION_COUNT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_plane_leaves_descriptors_to_everything_else() {
        let most = gateway::limits::CONNECTION_COUNT;
        assert_eq!(share(None), most);
        assert_eq!(share(Some(u64::MAX)), most);
        assert_eq!(share(Some(most as u64 + 512)), most);
        assert_eq!(share(Some(most as u64 + 511)), most - 1);
        assert_eq!(share(Some(700)), 188);
        assert_eq!(share(Some(577)), 65);
        assert_eq!(share(Some(576)), 64);
        assert_eq!(share(Some(10)), 64);
    }
}
