use tokio_util::sync::CancellationToken;

/// Ends a connection, whatever its client is waiting for.
///
/// A listener gives one to what answers the requests of a connection, and drops the connection when it
/// is cancelled. A response that was cut and does not leave, because its client takes no more
/// bytes, takes its connection with it: nothing that waits in a buffer for such a client may reach it
/// later.
#[derive(Clone, Debug, Default)]
pub struct Hangup(pub CancellationToken);
