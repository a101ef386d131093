//! Every bound of the process and of its commands, with its reason. Those of the listeners' requests
//! stand in `gateway::limits` and `manage::limits`.

use std::time::Duration;

/// How many entries of an app folder are looked at: ten times what an app with the most workflows
/// has. A folder with more is a mistake, such as a home folder.
pub(crate) const FOLDER_ENTRIES: usize = 5_000;

/// How long the app folder must be quiet before it is read again: an editor saves within some
/// milliseconds, a checkout writes file after file.
pub(crate) const QUIET: Duration = Duration::from_millis(120);

/// How long a folder that is never quiet is waited for.
pub(crate) const NEVER_QUIET: Duration = Duration::from_secs(2);

/// The most connections at once on the management listener: operators and their scripts.
pub(crate) const MANAGE_CONNECTIONS: usize = 256;

/// How many descriptors the data plane's connections leave to everything else: 256 management
/// connections, and as many again for the store, the app folder's files and its watch.
pub(crate) const DESCRIPTORS_KEPT: usize = 512;

/// The connections that the data plane takes however few descriptors there are.
pub(crate) const FEWEST_CONNECTIONS: usize = 64;

/// Below how many connections the operator is told that the limit of open files is low: a shell's
/// usual soft limit has 1024 descriptors, hard limits have thousands.
pub(crate) const FEW_CONNECTIONS: usize = 1_000;

/// How long an HTTP/2 connection may be silent before it is asked for a sign of life, and how long
/// that may take.
pub(crate) const PING_AFTER: Duration = Duration::from_secs(30);
/// See [`PING_AFTER`].
pub(crate) const PONG_WITHIN: Duration = Duration::from_secs(20);

/// How long to wait after the operating system could not accept a connection (too many open files),
/// at first; it doubles up to a second.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
/// See [`ACCEPT_PAUSE`].
pub(crate) const ACCEPT_PAUSE_MOST: Duration = Duration::from_secs(1);

/// How often the register is told when API keys were used.
pub(crate) const FLUSH_EVERY: Duration = Duration::from_secs(5);

/// How long connections have to write out what was cut, once the grace of a shutdown is over.
pub(crate) const LAST_BYTES: Duration = Duration::from_millis(500);

/// How long requests may take to end in a shutdown, if the configuration does not say.
pub(crate) const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);

/// How soon a replica that has no lease yet looks again whether it has one to announce.
pub(crate) const READY_AGAIN: Duration = Duration::from_millis(100);

/// How long a command waits for a connection to the server, which is near.
pub(crate) const CONNECT_TIME: Duration = Duration::from_secs(5);

/// How long a command waits for an answer.
pub(crate) const ANSWER_TIME: Duration = Duration::from_secs(60);

/// How long a command waits for the answer to a change: the longest lease that may be configured, and what the
/// server waits and works besides.
pub(crate) const CHANGE_TIME: Duration = Duration::from_secs(360);

/// The longest URL of an app, in bytes: as long as proxies and clients take.
pub(crate) const PUBLIC_URL_BYTES: usize = 2048;

/// After how long a command says for whom its change waits: where all replicas are well, it has been
/// answered within milliseconds.
pub(crate) const SAY_AFTER: Duration = Duration::from_secs(1);

/// How long an answer may go on that is a file: what comes of it in each [`ANSWER_TIME`] says whether the server
/// still lives.
pub(crate) const DOWNLOAD_TIME: Duration = Duration::from_hours(24);

/// The largest answer that a command reads, in bytes: a page of a thousand register rows has 400 kB.
pub(crate) const ANSWER_BYTES: usize = 8 * 1024 * 1024;

/// The most rows that `key list` prints unless told otherwise: a screen or a few.
pub(crate) const LISTED_KEYS: u16 = 100;

/// The most rows that `key list` can be told to print: they are held in memory.
pub(crate) const MOST_LISTED_KEYS: u16 = 1000;

/// The largest secret file that is read, in bytes: a master key or token has 54 characters.
pub(crate) const SECRET_BYTES: u64 = 4 * 1024;

/// The largest file with an input of mcp.json, in bytes: a certificate chain has a few thousand, and
/// no longer text is given to an upstream.
pub(crate) const INPUT_BYTES: u64 = 64 * 1024;

/// The largest configuration file that is read, in bytes.
pub(crate) const CONFIG_BYTES: u64 = 256 * 1024;

/// The longest that a duration may be: a century, so that no sum of an instant and it overflows.
pub(crate) const LONGEST: Duration = Duration::from_hours(24 * 36_525);

/// How long a supervised process may take to end once its standard input has. Servers that heed it
/// end within some milliseconds.
pub(crate) const INPUT_ENDS: Duration = Duration::from_secs(1);

/// How long a supervised process may take to end once it was asked to by SIGTERM.
pub(crate) const TERMINATES: Duration = Duration::from_secs(2);

/// How long the end of all processes below a supervisor may take, once they are killed.
pub(crate) const ALL_ENDED: Duration = Duration::from_secs(1);

/// The stack of a supervisor's threads, in bytes: each makes one system call after another.
pub(crate) const SUPERVISOR_STACK: usize = 64 * 1024;
