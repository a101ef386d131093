//! Tools whose calls become tasks, for clients that know the extension
//! `io.modelcontextprotocol/tasks` (SEP-2663).

use std::time::Duration;

use rmcp::ErrorData;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ClientCapabilities, CreateTaskResult,
};
use rmcp::task_manager::{TaskContext, TaskExit, TaskManager, TaskOptions};
use serde_json::{Value, json};

use crate::content::{complete, text, typed};
use crate::input;
use crate::tools::{PAUSE, texts};

/// Names and types.
type Arguments = &'static [(&'static str, &'static str)];

/// Name, description and arguments of each tool; all arguments may be left out.
pub(crate) const TOOLS: [(&str, &str, Arguments); 7] = [
    ("greet", "Greets at once.", &[("name", "string")]),
    ("slow_compute", "Takes its time.", &[("seconds", "number"), ("label", "string")]),
    ("failing_job", "Fails as a tool does; only as a task.", &[]),
    ("protocol_error_job", "Fails as a request does; only as a task.", &[]),
    ("confirm_delete", "Asks on its way; only as a task.", &[("filename", "string")]),
    ("multi_input", "Asks for two things on its way; only as a task.", &[]),
    ("test_tool_with_task", "Asks by its answer, and then becomes a task.", &[]),
];

/// What a tool does until it is done.
#[derive(Clone, Debug)]
enum Job {
    Compute { seconds: f64 },
    Fail,
    Break,
    Confirm { file: String },
    AskTwice,
    Greet { name: String },
}

/// Answers the tools of [`TOOLS`], or None.
pub(crate) async fn call(
    request: &CallToolRequestParams,
    capabilities: Option<&ClientCapabilities>,
    manager: &TaskManager,
) -> Option<Result<CallToolResponse, ErrorData>> {
    let argument = |name: &str| request.arguments.as_ref().and_then(|all| all.get(name));
    let string = |name| argument(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let knows_tasks = capabilities.is_some_and(ClientCapabilities::supports_tasks);
    let job = match request.name.as_ref() {
        "greet" => {
            let greeting = texts([format!("Hello, {}!", string("name"))]);
            return Some(greeting.map(CallToolResponse::Complete));
        }
        "slow_compute" => {
            let seconds = argument("seconds").and_then(Value::as_f64).unwrap_or_default();
            if !knows_tasks {
                return Some(compute(seconds).await.map(CallToolResponse::Complete));
            }
            Job::Compute { seconds }
        }
        "failing_job" => Job::Fail,
        "protocol_error_job" => Job::Break,
        "confirm_delete" => Job::Confirm { file: string("filename") },
        "multi_input" => Job::AskTwice,
        "test_tool_with_task" => match input::name_given(request) {
            Some(name) => Job::Greet { name },
            None => return Some(input::ask_for_name()),
        },
        _ => return None,
    };
    if !knows_tasks {
        let required = ClientCapabilities::builder().enable_tasks().build();
        return Some(Err(ErrorData::missing_required_client_capability(required)));
    }
    let task = manager.spawn(TaskOptions::new(), |cx| Box::pin(job.run(cx)));
    Some(Ok(CallToolResponse::Task(CreateTaskResult::new(task))))
}

impl Job {
    async fn run(self, cx: TaskContext) -> Result<CallToolResult, TaskExit> {
        match self {
            Self::Compute { seconds } => tokio::select! {
                () = cx.cancelled() => Err(TaskExit::Cancelled),
                result = compute(seconds) => Ok(result?),
            },
            Self::Fail => {
                tokio::time::sleep(PAUSE).await;
                Ok(complete(json!({"isError": true, "content": [text("It failed.")]}))?)
            }
            Self::Break => Err(ErrorData::internal_error("it broke", None).into()),
            Self::Confirm { file } => {
                let question = input::form(&format!("Delete {file}?"), "confirm", "boolean");
                cx.request_input("confirm", typed(question)?).await?;
                Ok(texts(["It was decided."])?)
            }
            Self::AskTwice => {
                let (first, second) = (
                    typed(input::form("What is your name?", "name", "string"))?,
                    typed(input::form("Go on?", "confirm", "boolean"))?,
                );
                let (first, second) =
                    tokio::join!(cx.request_input("name", first), cx.request_input("go", second));
                first.and(second)?;
                Ok(texts(["Both were answered."])?)
            }
            Self::Greet { name } => Ok(texts([format!("Hello, {name}!")])?),
        }
    }
}

async fn compute(seconds: f64) -> Result<CallToolResult, ErrorData> {
    let time = Duration::try_from_secs_f64(seconds)
        .map_err(|error| ErrorData::invalid_params(error.to_string(), None))?;
    tokio::time::sleep(time).await;
    texts([format!("Computed for {seconds} s.")])
}
