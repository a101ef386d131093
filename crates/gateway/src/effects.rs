//! Does what a run asks for, and turns what it answers into a tool's result.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use app::Tool;
use flow::{Effect, Event, Outcome, Response, Run};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use keys::Clock;
use rmcp::model::{CallToolResult, ContentBlock};
use serde_json::{Map, Value, json};
use tracing::warn;
use uuid::Uuid;

use crate::limits;
use crate::tools::Means;

/// Runs a tool's workflow until it answers. What a run does after its answer goes on without the
/// caller, as on the reference host.
pub(crate) async fn call(
    tool: &Tool,
    arguments: Map<String, Value>,
    means: &Means,
) -> CallToolResult {
    let arguments = Value::Object(arguments);
    if let Err(problems) = tool.workflow().check_arguments(&arguments) {
        let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
        let message = format!("The arguments do not fit the tool's schema: {}", all.join("; "));
        return failure("InvalidArguments", &message, None, None);
    }
    let Ok(place) = Arc::clone(&means.runs).try_acquire_owned() else {
        let message = format!("{} runs are under way: try again in a moment", limits::RUN_COUNT);
        return failure("TooManyRuns", &message, None, None);
    };
    let id = Uuid::now_v7().simple().to_string();
    let run = Run::new(Arc::clone(tool.workflow()), Arc::clone(tool.host()), id.clone(), arguments);
    let mut driver = Driver::start(run, Arc::clone(&means.clock));
    let result = match tokio::time::timeout(limits::RUN_TIME, driver.answer()).await {
        Ok(Answer::Responded(response)) => success(response),
        Ok(Answer::Finished(outcome)) => without_response(&outcome, &id),
        Err(_) => {
            let message = format!("The run gave no answer in {} s", limits::RUN_TIME.as_secs());
            failure("RunTimedOut", &message, None, Some(&id))
        }
    };
    if driver.outcome.is_none() && !driver.waits.is_empty() {
        let name = tool.name().to_owned();
        means.tasks.spawn(async move {
            if tokio::time::timeout(limits::RUN_TIME, driver.finish()).await.is_err() {
                warn!(run.id = id, "Gave up a run of {name} that went on for too long");
            }
            drop(place);
        });
    }
    result
}

/// What the caller of a tool waits for.
enum Answer {
    Responded(Response),
    Finished(Outcome),
}

/// A run and what it waits for.
struct Driver {
    /// None only while it takes a step.
    run: Option<Run>,
    clock: Arc<dyn Clock>,
    effects: VecDeque<Effect>,
    waits: FuturesUnordered<Pin<Box<dyn Future<Output = Event> + Send>>>,
    outcome: Option<Outcome>,
}

impl Driver {
    fn start(run: Run, clock: Arc<dyn Clock>) -> Self {
        let mut driver = Self {
            run: Some(run),
            clock,
            effects: VecDeque::new(),
            waits: FuturesUnordered::new(),
            outcome: None,
        };
        driver.step(Event::Start);
        driver
    }

    fn step(&mut self, event: Event) {
        if let Some(run) = self.run.take() {
            let ms = u64::try_from(self.clock.now().unix_ms()).unwrap_or(0);
            let now = SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
            let (run, effects) = run.step(event, now);
            self.run = Some(run);
            self.effects.extend(effects);
        }
    }

    /// Goes on until the run responds, or ends without.
    async fn answer(&mut self) -> Answer {
        loop {
            match self.effects.pop_front() {
                Some(Effect::Respond(response)) => {
                    // What follows the response in the same step is the run's own business.
                    self.settle();
                    return Answer::Responded(response);
                }
                Some(Effect::Finished(outcome)) => return Answer::Finished(outcome),
                Some(Effect::Wait { action, duration }) => self.wait(action, duration),
                None => match self.waits.next().await {
                    Some(event) => self.step(event),
                    None => return Answer::Finished(lost()),
                },
            }
        }
    }

    /// Goes on until the run ends.
    async fn finish(mut self) {
        self.settle();
        while self.outcome.is_none() {
            match self.waits.next().await {
                Some(event) => self.step(event),
                None => return,
            }
            self.settle();
        }
    }

    fn settle(&mut self) {
        while let Some(effect) = self.effects.pop_front() {
            match effect {
                Effect::Respond(_) => {}
                Effect::Finished(outcome) => self.outcome = Some(outcome),
                Effect::Wait { action, duration } => self.wait(action, duration),
            }
        }
    }

    fn wait(&self, action: flow::ActionIndex, duration: Duration) {
        self.waits.push(Box::pin(async move {
            tokio::time::sleep(duration).await;
            Event::Elapsed { action }
        }));
    }
}

/// A run that neither ended nor waits for anything is a fault of the engine: say so, end it.
fn lost() -> Outcome {
    Outcome::Failed {
        action: None,
        code: "RunStalled".to_owned(),
        message: "The run stopped without an end".to_owned(),
    }
}

fn success(response: Response) -> CallToolResult {
    let is_error = response.status >= 400;
    let (content, structured) = match response.body {
        None => (Vec::new(), None),
        Some(Value::String(text)) => (vec![ContentBlock::text(text)], None),
        Some(body) => (vec![ContentBlock::text(body.to_string())], Some(body)),
    };
    result(content, structured, is_error)
}

fn without_response(outcome: &Outcome, id: &str) -> CallToolResult {
    match outcome {
        Outcome::Failed { action, code, message } => {
            failure(code, message, action.as_deref(), Some(id))
        }
        Outcome::Succeeded | Outcome::Cancelled => failure(
            "NoResponse",
            "The run ended without reaching a Response action",
            None,
            Some(id),
        ),
    }
}

fn failure(code: &str, message: &str, action: Option<&str>, run: Option<&str>) -> CallToolResult {
    let place = action.map(|action| format!("The action '{action}' failed ({code}): "));
    let place = place.unwrap_or_else(|| format!("{code}: "));
    let run_text = run.map(|run| format!(" (run {run})")).unwrap_or_default();
    let text = format!("{place}{message}{run_text}");
    let mut error = json!({ "code": code, "message": message });
    if let Some(error) = error.as_object_mut() {
        error.extend(action.map(|action| ("action".to_owned(), action.into())));
        error.extend(run.map(|run| ("runId".to_owned(), run.into())));
    }
    result(vec![ContentBlock::text(text)], Some(json!({ "error": error })), true)
}

fn result(content: Vec<ContentBlock>, structured: Option<Value>, is_error: bool) -> CallToolResult {
    let mut result =
        if is_error { CallToolResult::error(content) } else { CallToolResult::success(content) };
    result.structured_content = structured;
    result
}
