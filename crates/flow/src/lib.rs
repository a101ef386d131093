//! Workflow definitions, expressions and runs, as values.
//!
//! [`Workflow::parse`] makes a plan of a workflow.json, or says everything that is wrong with it.
//! A [`Run`] of it is a value too: [`Run::step`] takes an [`Event`] and returns the run as it is
//! afterwards, with the [`Effect`]s that its owner has to bring about. Nothing here does I/O, reads
//! a clock, knows a task or a thread, or blocks; every step is bounded.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::SystemTime;
//!
//! use flow::{Effect, Event, Host, Run, Workflow};
//! use serde_json::json;
//!
//! let workflow = Workflow::parse(&json!({
//!     "definition": {
//!         "triggers": { "manual": { "type": "Request", "kind": "Http" } },
//!         "actions": {
//!             "Answer": {
//!                 "type": "Response",
//!                 "inputs": { "statusCode": 200, "body": "Hello @{triggerBody()?['name']}!" },
//!                 "runAfter": {}
//!             }
//!         }
//!     },
//!     "kind": "Stateless"
//! }))
//! .expect("a workflow");
//!
//! let run = Run::new(
//!     Arc::new(workflow),
//!     Arc::new(Host::default()),
//!     "run-1".to_owned(),
//!     json!({ "name": "Ada" }),
//! );
//! let (_run, effects) = run.step(Event::Start, SystemTime::UNIX_EPOCH);
//! let Some(Effect::Respond(response)) = effects.first() else { panic!("an answer") };
//! assert_eq!(response.body, Some(json!("Hello Ada!")));
//! ```

mod evaluation;
mod expression;
mod functions;
mod limits;
mod plan;
mod problem;
mod run;

pub use evaluation::{Context, Evaluation};
pub use functions::functions_page;
pub use plan::{ActionIndex, Kind, Trigger, Workflow};
pub use problem::{Error, Problem, SchemaProblem};
pub use run::{Effect, Event, Host, Outcome, Response, Run};
