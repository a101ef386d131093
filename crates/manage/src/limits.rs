//! Every bound of the management plane, with its reason.

use std::time::Duration;

/// The largest body, in bytes. The largest that means anything, 32 scopes and a label, has 9 kB.
pub const BODY_BYTES: usize = 64 * 1024;

/// How long a body may take to arrive. It fits in one packet or a few.
pub const BODY_TIME: Duration = Duration::from_secs(10);

/// The longest bearer token that is looked at, in bytes: an operator token has 54 characters, the
/// access tokens that clients of Azure send by mistake up to 4 kB.
pub const TOKEN_BYTES: usize = 8 * 1024;

/// How long an API key lives if the request does not say, as on Azure.
pub const DEFAULT_LIFETIME: Duration = Duration::from_hours(24);

/// The longest label of an API key, in characters.
pub const LABEL_CHARS: usize = 128;

/// How many rows a page of a list has if the request does not say.
pub const PAGE_ROWS: u16 = 100;

/// The most rows that a page may have: about 400 kB of JSON.
pub const MAX_PAGE_ROWS: u16 = 1000;

/// How much of what a caller sent is repeated in a message to it, in characters.
pub const QUOTED_CHARS: usize = 80;

/// How long a list of servers waits for upstreams that are being asked for their tools. One that is
/// up answers in a fraction of it; one that is not is listed as what is known of it.
pub const UPSTREAM_WAIT: Duration = Duration::from_millis(1500);

/// How old an upstream's tools may be in a list of servers. Tools change when an upstream is
/// upgraded, and asking costs it a few requests.
pub const TOOLS_AGE: Duration = Duration::from_mins(3);

/// How old an upstream's tools may be when they are to refuse a scope: what was added a moment ago
/// is found, and a caller that tries many names does not make as many requests of the upstream.
pub const REFUSING_TOOLS_AGE: Duration = Duration::from_secs(2);

/// How many names of tools a message lists: what a person reads, and no more of an upstream's text.
pub const NAMED_TOOLS: usize = 30;

/// All files of a deployment with their paths, in bytes: every replica reads them within the 2 seconds that
/// it gives the store, and the largest public Standard app that was looked at has a twentieth.
pub const DEPLOYMENT_BYTES: usize = 8 * 1024 * 1024;

/// The largest body of a deployment, in bytes: text grows in a JSON string, by half where it is JSON itself.
pub const DEPLOYMENT_BODY_BYTES: usize = 16 * 1024 * 1024;

/// How long the body of a deployment may take to arrive, over a slow line.
pub const DEPLOYMENT_BODY_TIME: Duration = Duration::from_mins(1);

/// The longest path of a file, in bytes: the longest name that a folder can have, and `/workflow.json`.
pub const PATH_BYTES: usize = 269;

/// How many problems of a deployment one message tells: nobody reads more at once.
pub const TOLD_PROBLEMS: usize = 50;
