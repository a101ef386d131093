//! A workflow server, as MCP sees it.

use std::fmt;
use std::sync::Arc;

use app::{Server, Tool as WorkflowTool};
use keys::{Clock, Grant, Refusal};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, ErrorCode, Implementation, InitializeResult,
    ListToolsResult, PaginatedRequestParams, ServerCapabilities, SubscriptionFilter, Tool,
};
use rmcp::service::{RequestContext, SubscriptionContext};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use store::{AppState, Replica};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::effects;
use crate::refusal::CODE;

/// One server of one app for one request: what the request's key reaches of it, and nothing else.
#[derive(Clone)]
pub(crate) struct ToolServer(Arc<Inner>);

struct Inner {
    app: Arc<AppState>,
    /// In lower case; the app has such a server.
    name: String,
    /// None where everyone may come in.
    grant: Option<Grant>,
    means: Means,
}

/// What every server of the data plane works with.
#[derive(Clone, Debug)]
pub(crate) struct Means {
    pub(crate) replica: Arc<Replica>,
    pub(crate) clock: Arc<dyn Clock>,
    /// For what outlives a request.
    pub(crate) tasks: TaskTracker,
    /// One place for each run under way.
    pub(crate) runs: Arc<Semaphore>,
}

impl fmt::Debug for ToolServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ToolServer").field(&self.0.name).finish()
    }
}

impl ToolServer {
    /// Stands for the server called `name`, which the app has and `grant` reaches.
    pub(crate) fn new(app: Arc<AppState>, name: &str, grant: Option<Grant>, means: &Means) -> Self {
        let name = name.to_owned();
        Self(Arc::new(Inner { app, name, grant, means: means.clone() }))
    }

    fn server(&self) -> Option<&Server> {
        self.0.app.server(&self.0.name)
    }

    fn reaches(&self, tool: &str) -> bool {
        let Inner { grant, name, .. } = &*self.0;
        grant.as_ref().is_none_or(|grant| grant.reaches_tool(name, tool))
    }

    fn tools_of(&self, server: Option<&Server>) -> Vec<Tool> {
        let all = server.map(Server::tools).unwrap_or_default().iter();
        all.filter(|tool| self.reaches(tool.name())).map(|tool| describe(tool)).collect()
    }

    /// The tools that the key reaches, by what the app has become since the request was admitted.
    fn tools_now(&self) -> Vec<Tool> {
        let snapshot = self.0.means.replica.last_snapshot();
        let app = snapshot.apps().iter().find(|app| app.id == self.0.app.id);
        self.tools_of(app.and_then(|app| app.server(&self.0.name)))
    }
}

impl ServerHandler for ToolServer {
    fn get_info(&self) -> InitializeResult {
        let server = self.server();
        let name = server.map_or(self.0.name.as_str(), Server::name);
        let capabilities =
            ServerCapabilities::builder().enable_tools().enable_tool_list_changed().build();
        let implementation = Implementation::new(name, env!("CARGO_PKG_VERSION"));
        let info = InitializeResult::new(capabilities).with_server_info(implementation);
        match server.and_then(Server::description) {
            Some(description) => info.with_instructions(description),
            None => info,
        }
    }

    async fn list_tools(
        &self,
        _page: Option<PaginatedRequestParams>,
        _cx: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(self.tools_of(self.server())))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.server()?.tool(name).filter(|_| self.reaches(name)).map(|tool| describe(tool))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        cx: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        if !self.reaches(&request.name) {
            let refusal = Refusal::OutOfScope {
                server: self.0.name.clone(),
                tool: Some(request.name.into_owned()),
            };
            return Err(ErrorData::new(ErrorCode(CODE), refusal.to_string(), None));
        }
        let tool =
            self.server().and_then(|server| server.tool(&request.name)).ok_or_else(|| {
                ErrorData::invalid_params(
                    format!("this server has no tool {:?}: tools/list shows them", request.name),
                    None,
                )
            })?;
        let arguments = request.arguments.unwrap_or_default();
        tokio::select! {
            result = effects::call(tool, arguments, &self.0.means) => Ok(result.into()),
            // rmcp runs this on a task of its own, which a cut or a client that goes away only tells.
            () = cx.ct.cancelled() => Err(ErrorData::internal_error("the call was ended", None)),
        }
    }

    fn accepted_subscription_filter(
        &self,
        requested: &SubscriptionFilter,
    ) -> Option<SubscriptionFilter> {
        Some(requested.supported_by(&self.get_info().capabilities))
    }

    async fn listen(&self, cx: SubscriptionContext) -> Result<(), ErrorData> {
        let mut installations = self.0.means.replica.installations();
        let mut told = self.tools_of(self.server());
        loop {
            tokio::select! {
                () = cx.cancelled() => return Ok(()),
                changed = installations.changed() => if changed.is_err() { return Ok(()) },
            }
            let now = self.tools_now();
            if now != told {
                told = now;
                if cx.sink().notify_tool_list_changed().await.is_err() {
                    return Ok(());
                }
            }
        }
    }
}

fn describe(tool: &WorkflowTool) -> Tool {
    let description = tool.description().map(|text| text.to_owned().into());
    Tool::new_with_raw(tool.name().to_owned(), description, Arc::clone(tool.input_schema()))
}
