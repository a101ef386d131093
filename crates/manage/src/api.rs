//! The edge: what a request says becomes types, and what an operation gives becomes JSON.

mod address;
mod admission;
mod backups;
mod body;
mod call;
mod deployments;
mod keys;
mod probes;
mod query;
mod rendering;
mod replicas;
mod servers;
mod wanted;

use std::sync::Arc;

use ::keys::Role;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use futures::future::BoxFuture;
use http::request::Parts;
use tracing::{debug, error, info, warn};
use uuid::Uuid;

use self::call::Call;
use crate::Manage;
use crate::error::{Error, Quoted, Result};

/// One operation of the management plane: a POST under each of the two bases.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// Its name, the last segment of its path, which compares without regard to case.
    pub name: &'static str,
    /// The role that a caller needs.
    pub role: Role,
    /// The role that a caller needs for `getApikey=true`, where the operation knows that.
    pub role_for_api_key: Option<Role>,
    run: Run,
}

/// What runs an operation.
#[derive(Clone, Copy, Debug)]
enum Run {
    /// Of an app that is served.
    OfApp(fn(Arc<Manage>, Call) -> Running),
    /// Of an app by its name, since it may have to be made.
    ByName(fn(Arc<Manage>, Call<String>) -> Running),
    /// Of the whole store, whatever app is named.
    OfStore(fn(Arc<Manage>, Call<()>) -> Running),
}

type Running = BoxFuture<'static, Result<Response>>;

/// Everything that is served.
pub const OPERATIONS: &[Operation] = &[
    Operation {
        name: "listMcpServerUrl",
        role: Role::Reader,
        role_for_api_key: Some(Role::Issuer),
        run: Run::OfApp(|manage, call| Box::pin(servers::list_mcp_server_url(manage, call))),
    },
    Operation {
        name: "listMcpServers",
        role: Role::Reader,
        role_for_api_key: Some(Role::Issuer),
        run: Run::OfApp(|manage, call| Box::pin(servers::list_mcp_servers(manage, call))),
    },
    Operation {
        name: "regenerateMcpServerAccessKey",
        role: Role::Owner,
        role_for_api_key: None,
        run: Run::OfApp(|manage, call| {
            Box::pin(keys::regenerate_mcp_server_access_key(manage, call))
        }),
    },
    Operation {
        name: "listMcpAccessKeys",
        role: Role::Reader,
        role_for_api_key: None,
        run: Run::OfApp(|manage, call| Box::pin(keys::list_mcp_access_keys(manage, call))),
    },
    Operation {
        name: "listMcpApiKeys",
        role: Role::Reader,
        role_for_api_key: None,
        run: Run::OfApp(|manage, call| Box::pin(keys::list_mcp_api_keys(manage, call))),
    },
    Operation {
        name: "revokeMcpApiKey",
        role: Role::Owner,
        role_for_api_key: None,
        run: Run::OfApp(|manage, call| Box::pin(keys::revoke_mcp_api_key(manage, call))),
    },
    Operation {
        name: "deployApp",
        role: Role::Owner,
        role_for_api_key: None,
        run: Run::ByName(|manage, call| Box::pin(deployments::deploy_app(manage, call))),
    },
    Operation {
        name: "deployWorkflowArtifacts",
        role: Role::Owner,
        role_for_api_key: None,
        run: Run::OfApp(|manage, call| {
            Box::pin(deployments::deploy_workflow_artifacts(manage, call))
        }),
    },
    Operation {
        name: "listMcpDeployments",
        role: Role::Reader,
        role_for_api_key: None,
        run: Run::OfApp(|manage, call| Box::pin(deployments::list_mcp_deployments(manage, call))),
    },
    Operation {
        name: "rollbackDeployment",
        role: Role::Owner,
        role_for_api_key: None,
        run: Run::OfApp(|manage, call| Box::pin(deployments::rollback_deployment(manage, call))),
    },
    Operation {
        name: "listReplicas",
        role: Role::Reader,
        role_for_api_key: None,
        run: Run::OfStore(|manage, call| Box::pin(replicas::list_replicas(manage, call))),
    },
    Operation {
        name: "backupStore",
        role: Role::Owner,
        role_for_api_key: None,
        run: Run::OfStore(|manage, call| Box::pin(backups::back_up_store(manage, call))),
    },
];

/// Makes the router of the management listener.
///
/// It has no routes of its own: paths compare without regard to case here, which axum's do not.
pub fn router(manage: Manage) -> Router {
    Router::new().fallback(answer).with_state(Arc::new(manage))
}

async fn answer(State(manage): State<Arc<Manage>>, request: Request) -> Response {
    let mut seen = Seen { id: Uuid::now_v7().to_string(), ..Seen::default() };
    let (head, body) = request.into_parts();
    if let Some(answer) = probes::answer(&manage, &head) {
        // Nobody reads a log line for each second.
        return rendering::finish(Ok(answer), &seen.id);
    }
    let outcome = respond(manage, head, body, &mut seen).await;
    seen.log(&outcome);
    rendering::finish(outcome, &seen.id)
}

/// Decides in this order: is it for us, who calls, is there such an operation, is it called right,
/// of which app. The rest is the operation's: whether the caller has the role, and only then the
/// body.
async fn respond(
    manage: Arc<Manage>,
    head: Parts,
    body: Body,
    seen: &mut Seen,
) -> Result<Response> {
    let host = admission::check_host(&head, &manage.settings.allowed_hosts)?;
    admission::check_origin(&head, &host)?;
    let caller = admission::authenticate(&head, &manage.operators, manage.clock.now())?;
    caller.name().clone_into(&mut seen.caller);
    if let Some(answer) = probes::metrics(&manage, &head) {
        seen.operation = probes::METRICS_OPERATION;
        return answer;
    }
    let address = address::parse(head.uri.path()).ok_or(Error::OperationNotFound)?;
    seen.operation = address.operation.name;
    if head.method != http::Method::POST {
        return Err(Error::MethodNotAllowed { method: head.method, takes: "POST" });
    }
    let query = query::Query::parse(head.uri.query().unwrap_or_default());
    let snapshot = manage.replica.last_snapshot();
    let url = call::page_url(&head, &host, manage.settings.public_url.as_ref());
    let headers = head.headers;
    match address.operation.run {
        Run::OfApp(run) => {
            let app = address.app(&query, &manage.settings, &snapshot)?;
            app.name.clone_into(&mut seen.app);
            run(manage, Call { caller, app, query, url, headers, body }).await
        }
        Run::OfStore(run) => {
            address.check_app(&query, &manage.settings, &snapshot)?;
            run(manage, Call { caller, app: (), query, url, headers, body }).await
        }
        Run::ByName(run) => {
            let app = address.app_name(&query, &manage.settings, &snapshot)?;
            seen.app = Quoted(&app).to_string().trim_matches('\'').to_owned();
            run(manage, Call { caller, app, query, url, headers, body }).await
        }
    }
}

/// What the log says of a request: never a header's value, a query's or a body's.
#[derive(Default)]
struct Seen {
    id: String,
    caller: String,
    operation: &'static str,
    app: String,
}

impl Seen {
    fn log(&self, outcome: &Result<Response>) {
        let Self { id, caller, operation, app } = self;
        match outcome {
            Ok(_) if *operation == probes::METRICS_OPERATION => {
                debug!(request.id = %id, caller.name = %caller, "{caller} read the metrics");
            }
            Ok(_) => info!(request.id = %id, caller.name = %caller, app.name = %app, operation,
                "{caller} called {operation}"),
            Err(refused) => {
                let answer = refused.answer();
                let (status, code) = (answer.status.as_u16(), answer.code);
                if answer.status.is_server_error() {
                    error!(request.id = %id, caller.name = %caller, app.name = %app, operation,
                        status, code, "{operation} failed: {}", refused.chain());
                } else {
                    warn!(request.id = %id, caller.name = %caller, app.name = %app, operation,
                        status, code, "Refused: {refused}");
                }
            }
        }
    }
}
