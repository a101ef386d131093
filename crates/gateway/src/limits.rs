//! Every bound of the data plane, each with its reason.

use std::time::Duration;

/// The largest request body, in bytes. A tool's arguments are text that a model wrote; the size is
/// what the MCP SDKs allow by default.
pub const BODY_BYTES: usize = 4 * 1024 * 1024;

/// The request bodies that may be in memory at once, in KiB: a hundred thousand common ones, or 64 of
/// the largest. One that finds no room is asked to come again.
pub const BODIES_KIB: usize = 256 * 1024;

/// How long a client may take to send a body once its headers are in. Long enough for
/// [`BODY_BYTES`] over a slow mobile link, short enough that a slow socket cannot be held for ever.
pub const BODY_TIME: Duration = Duration::from_secs(30);

/// How long a client may take to send a request's headers, counted from the connection's start or
/// from the end of the answer before: so it is the life of an idle connection too. One that has begun
/// to send them gets the same time once more.
pub const HEADER_TIME: Duration = Duration::from_secs(60);

/// The most header fields of a request. Clients send about twenty.
pub const HEADER_COUNT: usize = 100;

/// The most bytes of a request's headers. Four times what proxies commonly let through.
pub const HEADER_BYTES: usize = 64 * 1024;

/// The most requests at once on one HTTP/2 connection.
pub const STREAMS_PER_CONNECTION: u32 = 256;

/// The most connections at once on a listener. Each costs some ten KiB when idle; beyond this, new
/// ones wait in the kernel's queue.
pub const CONNECTION_COUNT: usize = 16 * 1024;

/// How long a tool call may run. MCP clients give up after one to five minutes.
pub const RUN_TIME: Duration = Duration::from_mins(10);

/// The most runs at once. A run that waits holds its arguments and what it has built.
pub const RUN_COUNT: usize = 4096;

/// The longest path that is looked at, in bytes: the app's prefix, the route prefix and a server's
/// name of at most 80 characters, each of which may be escaped.
pub const PATH_BYTES: usize = 2 * 1024;

/// How long an upstream may take until its answer begins; what follows may take any time. As long as
/// a workflow may run.
pub const FIRST_BYTE: Duration = RUN_TIME;

/// How long a connection to an upstream may take to be made. On a network that works it takes
/// milliseconds, and one lost packet costs a second.
pub const CONNECT: Duration = Duration::from_secs(5);

/// How long a request's body may take on its way through to an upstream, where nothing of it is kept.
pub const UPLOAD_TIME: Duration = Duration::from_mins(10);

/// How long a connection to an upstream is kept without a request, at most. Less than the 75 s after which
/// common servers close theirs, so that requests rarely meet one that is being closed.
pub const UPSTREAM_IDLE: Duration = Duration::from_secs(60);

/// How often connections without a request are looked through. One that its upstream has closed stays
/// open here for as long.
pub const UPSTREAM_TIDY: Duration = Duration::from_secs(15);

/// How many connections without a request are kept to one upstream.
pub const UPSTREAM_IDLE_COUNT: usize = 1024;

/// How often a silent connection to an upstream is asked whether it is still there.
pub const UPSTREAM_PING: Duration = Duration::from_secs(30);

/// The longest session id that is taken from an upstream, in bytes. They are random ids or signed
/// tokens; sealed and encoded it must fit well into a header.
pub const SESSION_ID_BYTES: usize = 1024;

/// The most members of a JSON-RPC message, of its params or of a tool that is looked at. MCP's largest
/// has about ten.
pub const MEMBER_COUNT: usize = 256;

/// The most bytes of an answer, or of one event in it, that are held to take the tools out of it that
/// are not allowed. Lists of tools are some hundred KiB at most; images in a server's requests to its
/// client are what is larger.
pub const FILTERED_BYTES: usize = 8 * 1024 * 1024;

/// How many upstreams are asked for their tools at once, so that a restart with many of them does not
/// start as many processes at the same moment.
pub const DISCOVERY_COUNT: usize = 8;

/// How long an upstream may take for each answer when it is asked for its tools. A child process may
/// have to be fetched and started first; nobody waits for it but the list's next reader.
pub const DISCOVERY_ANSWER_TIME: Duration = Duration::from_secs(20);

/// How long all pages of its tools may take, so that one upstream cannot keep the others from being
/// asked. A page takes a fraction of a second.
pub const DISCOVERY_TIME: Duration = Duration::from_mins(1);

/// The largest answer that is read of an upstream that is asked for its tools, in bytes. Schemas,
/// which are not kept, are most of it.
pub const DISCOVERY_BYTES: usize = 4 * 1024 * 1024;

/// How long an upstream that gave no list of tools is left alone before it is asked again, the first
/// time; twice as long each time after. An operator who mends it and looks again soon sees it.
pub const DISCOVERY_PAUSE: Duration = Duration::from_secs(1);

/// The longest that it is left alone.
pub const LONGEST_DISCOVERY_PAUSE: Duration = Duration::from_secs(30);

/// The most tools of an upstream that are listed. Models choose well among dozens.
pub const LISTED_TOOLS: usize = 4096;

/// The most pages that they may come in: one that hands out cursors for ever is noticed.
pub const LISTED_PAGES: usize = 64;

/// The longest name of a tool that is listed, in bytes: no scope could have a longer one.
pub const LISTED_NAME_BYTES: usize = 255;

/// How much of a tool's description is kept, in characters.
pub const LISTED_DESCRIPTION_CHARS: usize = 1024;

/// The longest line that is taken from a child process, in bytes: an image or a document in base64 has
/// some MiB, and the whole line is held in memory.
pub const LINE_BYTES: usize = 32 * 1024 * 1024;

/// What a line of a child takes without being counted, in KiB. Nearly all are shorter, and there is
/// one at most for each child.
pub const SHORT_LINE_KIB: usize = 64;

/// What all long lines of children may hold of memory at once, in KiB: eight of the longest. They hold
/// it from their reading until their clients have taken them.
pub const LINES_KIB: usize = 256 * 1024;

/// What the long lines of one child may hold of it, in KiB: two of the longest, so that neither a child
/// nor clients of its that do not read take the memory of the others.
pub const CHILD_LINES_KIB: usize = 64 * 1024;

/// How long a long line of a session's child waits for memory that others hold. Those leave as fast as
/// clients read, or are given up after [`SLOW_CLIENT_TIME`].
pub const LINE_ROOM_TIME: Duration = Duration::from_secs(15);

/// How long one of a child that is shared waits: what it says to others waits as well.
pub const SHARED_LINE_ROOM_TIME: Duration = Duration::from_secs(1);

/// How often who waits for memory looks for lines that their clients have given up.
pub const LINE_ROOM_LOOK: Duration = Duration::from_millis(250);

/// How much of a long line is handed to its client's connection at once, in bytes. A connection keeps
/// up to sixteen of them, which are copies: the line itself goes as soon as its client has lost it.
pub const PART_BYTES: usize = 64 * 1024;

/// How many bytes of a long line a client must take in a second, after [`SLOW_CLIENT_TIME`]: a tenth
/// of a slow mobile link.
pub const SLOW_CLIENT_RATE: usize = 64 * 1024;

/// How much of a child's output is read at once, in bytes: a quarter of a pipe.
pub const READ_BYTES: usize = 16 * 1024;

/// What waits for a child that does not read, in bytes: two of the largest requests. A child that
/// computes on its only thread reads nothing meanwhile.
pub const CHILD_QUEUE_BYTES: u32 = 8 * 1024 * 1024;

/// What waits for a client that does not read its stream, in bytes, before its socket's own buffers.
pub const STREAM_QUEUE_BYTES: u32 = 1024 * 1024;

/// How long a child of its own is held up by a client that does not read; then what it says is lost. A
/// long line that waits for such a client is lost as well, once others need its memory.
pub const SLOW_CLIENT_TIME: Duration = Duration::from_secs(10);

/// What a child says to a client that has no stream open, in bytes: kept for the next one.
pub const BACKLOG_BYTES: u32 = 256 * 1024;

/// How often a silent stream says that it is still there: half of what impatient proxies wait.
pub const HEARTBEAT: Duration = Duration::from_secs(15);

/// How long an answer waits for its first message before it becomes a stream, so that neither clients
/// nor proxies take it for dead.
pub const HEAD_TIME: Duration = Duration::from_secs(10);

/// How long a child may take from its start to its first message. A package runner may have to
/// download what it runs; clients wait a minute for `initialize`.
pub const START_TIME: Duration = Duration::from_secs(60);

/// How long a child that has just started may leave the question unanswered whether it speaks
/// 2026-07-28. Some servers of older versions say nothing before `initialize`, and the client falls
/// back to that all the sooner.
pub const DISCOVER_TIME: Duration = Duration::from_secs(15);

/// How long it is remembered that a server does not speak 2026-07-28. Finding out costs a process.
pub const OLDER_REMEMBERED: Duration = Duration::from_mins(5);

/// How long the processes of a child may take to end once its input has: a second more than its
/// supervisor takes at most.
pub const END_TIME: Duration = Duration::from_secs(5);

/// How long is waited for what a child has written before its end.
pub const LAST_LINES_TIME: Duration = Duration::from_secs(1);

/// How often children are looked at for one that nobody needs.
pub const IDLE_LOOK: Duration = Duration::from_secs(5);

/// How long a session lives without a request or a stream. People leave an editor open over lunch;
/// a client whose session has ended begins another.
pub const SESSION_IDLE: Duration = Duration::from_mins(30);

/// How long a child that is shared lives without a request. Starting another costs a second or two.
pub const SHARED_IDLE: Duration = Duration::from_mins(10);

/// The most children at once. A server on Node takes some 80 MB, and each takes four descriptors.
pub const CHILD_COUNT: usize = 256;

/// The most sessions of one server at once, so that one server leaves room for the others.
pub const SERVER_SESSION_COUNT: usize = 128;

/// The most sessions of one API key at one server, so that one client leaves room for the others.
pub const KEY_SESSION_COUNT: usize = 64;

/// The most requests under way in one session: a model calls some ten tools at once.
pub const SESSION_CALL_COUNT: usize = 64;

/// The most requests under way at a child that is shared.
pub const SHARED_CALL_COUNT: usize = 1024;

/// The most of them of one API key: twice what a session may have, and an eighth of all, so that one
/// client leaves room for the others.
pub const KEY_CALL_COUNT: usize = 128;

/// The most of them of one API key with all that were narrowed from it.
pub const KEY_CALL_COUNT_IN_ALL: usize = 512;

/// How long a child that has failed is not started again, at first; it doubles with every failure.
pub const BACKOFF_FIRST: Duration = Duration::from_millis(500);
/// See [`BACKOFF_FIRST`].
pub const BACKOFF_MOST: Duration = Duration::from_secs(60);

/// How many failed starts of sessions cost no wait: what one client says at its start may be what its
/// server does not survive.
pub const BACKOFF_FREE: u32 = 3;

/// How long a child must have run for its failures before to be forgotten.
pub const BACKOFF_FORGETS: Duration = Duration::from_secs(60);

/// The most lines of a child that are logged in [`LOG_PERIOD`].
pub const LOG_LINES: u32 = 50;
/// See [`LOG_LINES`].
pub const LOG_PERIOD: Duration = Duration::from_secs(1);

/// The most bytes of a child's line that are logged.
pub const LOG_LINE_BYTES: u64 = 2 * 1024;

/// How long a call waits for the schemas of a child's tools, which say which headers it must have.
pub const SCHEMAS_TIME: Duration = Duration::from_secs(5);

/// How long the schemas are taken for true, if nothing says that they have changed.
pub const SCHEMAS_FRESH: Duration = Duration::from_mins(1);

/// The most pages of tools that are read for their schemas.
pub const SCHEMAS_PAGES: usize = 32;
