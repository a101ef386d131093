//! The server itself: which request gets which answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CancelTaskParams, CompleteRequestParams,
    CompleteResult, GetPromptRequestParams, GetPromptResponse, GetTaskParams, GetTaskResult,
    Implementation, InitializeResult, ListPromptsResult, ListResourceTemplatesResult,
    ListResourcesResult, ListToolsResult, LoggingLevel, PaginatedRequestParams, ProtocolVersion,
    ReadResourceRequestParams, ReadResourceResponse, RequestStateCodec, RequestStateError,
    ServerCapabilities, SetLevelRequestParams, SubscribeRequestParams, SubscriptionFilter, Tool,
    UnsubscribeRequestParams, UpdateTaskParams,
};
use rmcp::service::{RequestContext, SubscriptionContext};
use rmcp::task_manager::TaskManager;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use tokio::sync::broadcast;
use uuid::Uuid;

use crate::content::{self, complete};
use crate::{input, tools};

/// More changes than one listener can be behind by.
const CHANGES: usize = 16;
/// After which a client comes back for an answer whose stream was closed.
const RETRY: Duration = Duration::from_millis(100);

/// What listeners are told of.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Change {
    Tools,
    Prompts,
}

/// One session's server (of older protocol versions), or one request's.
pub(crate) struct Conformant {
    shared: Arc<Shared>,
    /// False once the client has asked for nothing below a warning.
    wants_info: AtomicBool,
}

/// What all sessions have in common.
struct Shared {
    states: RequestStateCodec,
    tasks: TaskManager,
    changes: broadcast::Sender<Change>,
    sessions: Option<Arc<LocalSessionManager>>,
}

impl Conformant {
    /// Makes a server; `sessions` are those that it has over HTTP.
    pub(crate) fn new(
        sessions: Option<Arc<LocalSessionManager>>,
    ) -> Result<Self, RequestStateError> {
        let key = [*Uuid::new_v4().as_bytes(), *Uuid::new_v4().as_bytes()].concat();
        let states = RequestStateCodec::try_new(key)?;
        let (changes, _) = broadcast::channel(CHANGES);
        let shared = Arc::new(Shared { states, tasks: TaskManager::new(), changes, sessions });
        Ok(Self { shared, wants_info: AtomicBool::new(true) })
    }

    /// The same server, to a client that has not said anything yet.
    pub(crate) fn for_one_session(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), wants_info: AtomicBool::new(true) }
    }

    pub(crate) fn states(&self) -> &RequestStateCodec {
        &self.shared.states
    }

    pub(crate) fn tasks(&self) -> &TaskManager {
        &self.shared.tasks
    }

    /// Whether messages of the level `info` were asked for: with the request itself since
    /// 2026-07-28, by logging/setLevel before, where who has not said anything gets all of them.
    pub(crate) fn logs_info(&self, cx: &RequestContext<RoleServer>) -> bool {
        if is_newest(cx) {
            cx.meta.log_level().is_some_and(includes_info)
        } else {
            self.wants_info.load(Ordering::Relaxed)
        }
    }

    pub(crate) fn announce(&self, change: Change) {
        // An error says that nobody listens.
        let _nobody_listens = self.shared.changes.send(change);
    }

    /// Closes the stream of a session's first request, if it came over HTTP.
    pub(crate) async fn close_first_stream(&self, cx: &RequestContext<RoleServer>) {
        let parts = cx.extensions.get::<http::request::Parts>();
        let id = parts.and_then(|parts| parts.headers.get("mcp-session-id")?.to_str().ok());
        if let (Some(sessions), Some(id)) = (&self.shared.sessions, id) {
            let session = sessions.sessions.read().await.get(id).cloned();
            if let Some(session) = session {
                let _has_gone = session.close_sse_stream(0, Some(RETRY)).await;
            }
        }
    }
}

fn is_newest(cx: &RequestContext<RoleServer>) -> bool {
    cx.protocol_version().is_some_and(|version| version >= ProtocolVersion::V_2026_07_28)
}

fn includes_info(level: LoggingLevel) -> bool {
    matches!(level, LoggingLevel::Debug | LoggingLevel::Info)
}

impl ServerHandler for Conformant {
    fn get_info(&self) -> InitializeResult {
        let capabilities = ServerCapabilities::builder()
            .enable_logging()
            .enable_completions()
            .enable_prompts()
            .enable_prompts_list_changed()
            .enable_resources()
            .enable_resources_subscribe()
            .enable_tools()
            .enable_tool_list_changed()
            .enable_tasks()
            .build();
        let itself = Implementation::new("conformant", env!("CARGO_PKG_VERSION"));
        InitializeResult::new(capabilities).with_server_info(itself)
    }

    async fn list_tools(
        &self,
        _page: Option<PaginatedRequestParams>,
        _cx: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        complete(tools::all())
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        tools::named(name)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        cx: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        tools::call(self, request, cx).await
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        _cx: RequestContext<RoleServer>,
    ) -> Result<GetTaskResult, ErrorData> {
        self.shared.tasks.get_task(&request.task_id).map(GetTaskResult::new)
    }

    async fn update_task(
        &self,
        request: UpdateTaskParams,
        _cx: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.shared.tasks.update_task(&request.task_id, request.input_responses)
    }

    async fn cancel_task(
        &self,
        request: CancelTaskParams,
        _cx: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.shared.tasks.cancel_task(&request.task_id)
    }

    async fn list_resources(
        &self,
        _page: Option<PaginatedRequestParams>,
        _cx: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        complete(content::resources())
    }

    async fn list_resource_templates(
        &self,
        _page: Option<PaginatedRequestParams>,
        _cx: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        complete(content::resource_templates())
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        cx: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let read = content::read(&request.uri, cx.protocol_version().as_ref())?;
        complete(read).map(ReadResourceResponse::Complete)
    }

    async fn subscribe(
        &self,
        _request: SubscribeRequestParams,
        _cx: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn unsubscribe(
        &self,
        _request: UnsubscribeRequestParams,
        _cx: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn list_prompts(
        &self,
        _page: Option<PaginatedRequestParams>,
        _cx: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        complete(content::prompts())
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        _cx: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        if let Some(answer) = input::prompt(&request) {
            return answer;
        }
        let prompt = content::prompt(&request.name, &request.arguments.unwrap_or_default())?;
        complete(prompt).map(GetPromptResponse::Complete)
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        _cx: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        complete(content::completion(&request.argument.value))
    }

    async fn set_level(
        &self,
        request: SetLevelRequestParams,
        cx: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        if is_newest(&cx) {
            return Err(ErrorData::method_not_found::<rmcp::model::SetLevelRequestMethod>());
        }
        self.wants_info.store(includes_info(request.level), Ordering::Relaxed);
        Ok(())
    }

    fn accepted_subscription_filter(
        &self,
        requested: &SubscriptionFilter,
    ) -> Option<SubscriptionFilter> {
        Some(requested.clone())
    }

    async fn listen(&self, subscription: SubscriptionContext) -> Result<(), ErrorData> {
        let mut changes = self.shared.changes.subscribe();
        loop {
            let change = tokio::select! {
                () = subscription.cancelled() => return Ok(()),
                change = changes.recv() => change,
            };
            let sink = subscription.sink();
            // What was not asked for is refused by the sink, and nothing is lost by that.
            let _unasked = match change {
                Ok(Change::Tools) => sink.notify_tool_list_changed().await,
                Ok(Change::Prompts) => sink.notify_prompt_list_changed().await,
                Err(broadcast::error::RecvError::Lagged(_)) => continue,
                Err(broadcast::error::RecvError::Closed) => return Ok(()),
            };
        }
    }
}
