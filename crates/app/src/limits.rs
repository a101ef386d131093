//! Every bound on an app's files, with its reason.
//!
//! They keep a hostile or mistaken folder from costing more than a moment: the largest public
//! workflow that was looked at has 15 kB, and a Standard app rarely has more than a hundred.

/// The largest file, in bytes: seventy times the largest public workflow that was looked at.
pub const FILE_BYTES: usize = 1024 * 1024;

/// The largest parameters.json or local.settings.json, in bytes: each tool keeps a copy of both.
pub const VALUES_BYTES: usize = 128 * 1024;

/// All files together, in bytes: what is parsed and kept in memory for one app.
pub const APP_BYTES: usize = 32 * 1024 * 1024;

/// How deep arrays and objects may nest: the JSON parser's own recursion ends right after it.
pub const DEPTH: usize = 127;

/// How many workflows an app may have: each is one entry of every tool list of the default server.
pub const WORKFLOW_COUNT: usize = 500;

/// How many texts of parameters.json may hold an `@`: each is evaluated at every load, and has its
/// pointer, which hostile names make long, kept meanwhile.
pub const EXPRESSION_COUNT: usize = 1000;

/// How many servers an app may name: as many as it may have workflows.
pub const SERVER_COUNT: usize = 500;

/// How many headers an upstream over HTTP may be given: a credential and a few choices.
pub const UPSTREAM_HEADER_COUNT: usize = 64;

/// All headers of one upstream, in bytes: many servers take 8 to 16 KiB, the client's among them.
pub const UPSTREAM_HEADER_BYTES: usize = 16 * 1024;

/// The longest URL of an upstream, in bytes: what many servers take.
pub const UPSTREAM_URL_BYTES: usize = 8 * 1024;

/// How many arguments a child process may be given.
pub const UPSTREAM_ARG_COUNT: usize = 256;

/// How many environment variables an entry of mcp.json may name.
pub const UPSTREAM_ENV_COUNT: usize = 256;

/// The longest argument, variable or path of a child process, in bytes, once values are put in:
/// half of what Linux takes for one.
pub const UPSTREAM_TEXT_BYTES: usize = 64 * 1024;

/// All texts of one server of mcp.json, in bytes, once values are put in: a short file that names a
/// long variable over and over costs no more than this for each server.
pub const UPSTREAM_BYTES: usize = 256 * 1024;

/// How many tools one server may name: as many as there can be workflows.
pub const TOOL_COUNT: usize = WORKFLOW_COUNT;

/// How many problems of one file are reported one by one: a person stops reading long before,
/// and finding the place of each costs one walk over the file.
pub const PROBLEM_COUNT: usize = 50;

/// The longest server name, in characters (CONTRACT.md, section 2).
pub const SERVER_NAME_CHARS: usize = 80;

/// The longest description of a server, in characters (CONTRACT.md, section 2).
pub const DESCRIPTION_CHARS: usize = 1024;

/// The longest tool name, in characters (MCP 2025-11-25, Server features, Tools: Tool names).
pub const TOOL_NAME_CHARS: usize = 128;

/// The longest route prefix, in characters: it stands in every URL that is printed.
pub const ROUTE_PREFIX_CHARS: usize = 100;
