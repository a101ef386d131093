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
