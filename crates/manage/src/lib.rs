//! The management plane: operations on an app's MCP servers and keys, in the form that clients of
//! Azure Resource Manager know.
//!
//! A request goes three files deep. [`router`] admits it (Host and Origin, the caller, the
//! operation, the app), a function of `api` extracts what it says and renders what comes back, a
//! function of `ops` holds the rule, and `store` makes the change in one transaction. A function
//! that changes anything takes [`keys::Authorized`], so none runs without the caller's role.
//!
//! [`OPERATIONS`] is the one list of what is served: the router is made from it, and so is the test
//! that calls each without a token and with too little of a role.
//!
//! This crate knows neither the data plane nor where the configuration comes from.

mod api;
mod deployments;
mod error;
pub mod limits;
mod operators;
mod ops;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::TaskTracker;
use url::Url;

pub use self::api::{OPERATIONS, Operation, router};
pub use self::deployments::{AppFolder, Deployable, Deployments, NotWritten};
pub use self::operators::{Operator, Operators, Unauthenticated};

/// What the management plane acts on.
pub struct Manage {
    /// What is kept.
    pub store: Arc<store::Store>,
    /// What decides, on this replica.
    pub replica: Arc<store::Replica>,
    /// Who may call.
    pub operators: Operators,
    /// Tells when a request was made.
    pub clock: Arc<dyn keys::Clock>,
    /// What the operator chose.
    pub settings: Settings,
    /// Where deployments go.
    pub deployments: Deployments,
    /// Writes what this process counts, as `GET /metrics` answers it: what there is to count is known where
    /// both planes are.
    pub metrics: Box<dyn Fn() -> String + Send + Sync>,
    /// Runs what goes on when its caller's connection has ended. A shutdown waits for it.
    pub tasks: TaskTracker,
}

impl fmt::Debug for Manage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manage")
            .field("operators", &self.operators)
            .field("settings", &self.settings)
            .field("deployments", &self.deployments)
            .finish_non_exhaustive()
    }
}

/// What the operator chose. The default accepts any subscription and resource group, has no
/// maximum lifetime, and answers to loopback names only.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The only subscription accepted in a path of Azure Resource Manager, case apart; any if none.
    pub subscription: Option<String>,
    /// The only resource group accepted there, case apart; any if none.
    pub resource_group: Option<String>,
    /// The longest that an API key may live from the request on, which also forbids one that never
    /// expires; no limit if none.
    pub max_lifetime: Option<Duration>,
    /// The names in `Host` that are answered besides those of the loopback interface, without a
    /// port; case apart.
    pub allowed_hosts: Vec<String>,
    /// Where callers reach this listener if not over plain HTTP at the host they named, such as
    /// behind a proxy that does TLS. Only links from one page of a list to the next say it.
    pub public_url: Option<Url>,
}
