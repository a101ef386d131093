//! An app as a value made from its files.
//!
//! An app folder is a Logic Apps Standard project, with an editor's mcp.json beside it or alone.
//! This crate takes the bytes of its files and gives an [`App`]: which MCP servers it offers,
//! which workflows are their tools, who is let in; or every [`Problem`] of every file at once,
//! each with its line, its column and what was expected. Reading the folder is the caller's part,
//! and so are the variables and places that mcp.json names ([`Surroundings`]): nothing here knows
//! the disk, the process's environment or HTTP.
//!
//! Three things can be wrong with a file, and each has its answer:
//!
//! * it does not hold (not JSON, a wrong type, a name that cannot be): a [`Problem`], and no app;
//! * it holds and cannot be offered (a workflow that is not a tool, a tool whose workflow is
//!   gone, an MCP server whose variable is not set): a [`LeftOut`] of the app;
//! * it says more than is read here: kept out of the way, since the files carry settings of many
//!   other programs. Only where a misspelt name would change who is let in is it a [`LeftOut`].
//!
//! ```
//! use app::{App, Files};
//!
//! let mut files = Files::new();
//! files.insert("host.json", r#"{"extensions":{"http":{"routePrefix":7}}}"#)?;
//! files.insert("mcpservers.json", "{\n  \"mcpServers\": [{\"name\": \"help desk\", \"tools\": []}]\n}")?;
//!
//! let problems = App::from_files(&files).unwrap_err();
//! assert_eq!(
//!     problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
//!     [
//!         "host.json:1:38 (/extensions/http/routePrefix): expected path segments of letters, \
//!          digits, `-`, `_`, `.` or `~`, like `api`, found a number",
//!         "mcpservers.json:2:27 (/mcpServers/0/name): is no name of a server; expected 1 to 80 \
//!          ASCII letters, digits, `-` or `_`",
//!     ]
//! );
//! # Ok::<(), app::Error>(())
//! ```

mod app;
mod authentication;
mod files;
mod host;
mod json;
pub mod limits;
mod names;
mod parameters;
mod problem;
mod reader;
mod servers;
mod settings;
mod surroundings;
mod upstreams;
mod workflows;

pub use app::App;
pub use authentication::{Authentication, ResourceMetadata};
pub use files::{Error, Files, is_app_file};
pub use json::read_json;
pub use problem::{LeftOut, LeftOutServer, Problem};
pub use servers::Server;
pub use surroundings::{Allowed, INPUT_FILE_SUFFIX, INPUT_VARIABLE, Surroundings, input_key};
pub use upstreams::{HttpUpstream, StdioUpstream, Transport, Upstream, UpstreamNames};
pub use workflows::{Tool, TriggerEntry, WorkflowEntry};
