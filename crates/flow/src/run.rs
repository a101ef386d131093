//! Plan → run: a value that is stepped from event to event.

mod failure;
mod host;
mod perform;
mod variables;
mod view;
mod wait;

use std::borrow::Cow;
use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};

use crate::expression::{Budget, depth_exceeds, dismantle};
use crate::limits::VALUE_DEPTH;
use crate::plan::{ActionIndex, Status, Workflow};
use failure::Failure;
pub use host::Host;

/// Something that happened, for a run to go on from.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The run begins.
    Start,
    /// The time that an [`Effect::Wait`] asked for has passed.
    Elapsed {
        /// The action that was waiting.
        action: ActionIndex,
    },
}

/// Something that a run's owner has to bring about.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Step the run with [`Event::Elapsed`] after this time.
    Wait {
        /// The action that waits.
        action: ActionIndex,
        /// How long, from now.
        duration: Duration,
    },
    /// Answer the caller. A run does this at most once, and may go on after it.
    Respond(Response),
    /// The run is over: no further event changes it.
    Finished(Outcome),
}

/// The answer to whoever called the workflow.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    /// HTTP status, from 100 to 599.
    pub status: u16,
    /// Headers in the order of the definition, values as text.
    pub headers: Vec<(String, String)>,
    /// The body; nothing if the action has none.
    pub body: Option<Value>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Every branch ended well.
    Succeeded,
    /// An action failed and no other was there to handle it.
    Failed {
        /// The action that failed first, or the Terminate that said so.
        action: Option<String>,
        /// A code in Pascal case, such as `InvalidTemplate`.
        code: String,
        /// What went wrong, for a person.
        message: String,
    },
    /// A Terminate cancelled it.
    Cancelled,
}

/// A run of a workflow, as it is between two events.
#[derive(Debug)]
pub struct Run {
    workflow: Arc<Workflow>,
    host: Arc<Host>,
    id: String,
    trigger: Value,
    records: Vec<Record>,
    variables: Vec<Option<Value>>,
    /// The definition's parameters whose defaults are not constant.
    parameters: Map<String, Value>,
    budget: Budget,
    random: Cell<u64>,
    has_responded: bool,
    is_over: bool,
    /// Why the run cannot even start.
    refused: Option<Failure>,
}

/// What is known of an action.
#[derive(Debug, Default)]
struct Record {
    state: State,
    inputs: Option<Value>,
    outputs: Option<Value>,
    failure: Option<Failure>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq)]
enum State {
    #[default]
    Pending,
    Waiting,
    /// One of the action's blocks is running.
    Inside(usize),
    Ended(Status),
}

impl Run {
    /// Makes a run that has not started. `id` also seeds what `guid` and `rand` give, so it has to
    /// be another for each run and hard to guess.
    #[must_use]
    pub fn new(workflow: Arc<Workflow>, host: Arc<Host>, id: String, trigger_body: Value) -> Self {
        let (trigger_body, refused) = if depth_exceeds(&trigger_body, VALUE_DEPTH) {
            dismantle(trigger_body);
            let message = format!("the body is nested deeper than {VALUE_DEPTH} levels");
            (Value::Null, Some(Failure::new("InvalidRequestContent", message)))
        } else {
            (trigger_body, None)
        };
        let mut outputs = Map::with_capacity(1);
        outputs.insert("body".to_owned(), trigger_body);
        let mut trigger = Map::with_capacity(2);
        trigger.insert("name".to_owned(), workflow.trigger().name().into());
        trigger.insert("outputs".to_owned(), Value::Object(outputs));

        let records = workflow.actions.iter().map(|_| Record::default()).collect();
        let variables = workflow.variables.iter().map(|_| None).collect();
        let random = Cell::new(seed(&id));
        Self {
            workflow,
            host,
            id,
            trigger: Value::Object(trigger),
            records,
            variables,
            parameters: Map::new(),
            budget: Budget::default(),
            random,
            has_responded: false,
            is_over: false,
            refused,
        }
    }

    /// Returns the run's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the name of the action at `index`.
    #[must_use]
    pub fn action_name(&self, index: ActionIndex) -> Option<&str> {
        self.workflow.actions.get(index.0).map(|action| action.name.as_str())
    }

    /// Says whether the run has ended.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.is_over
    }

    /// Goes on from `event` as far as it can without another. `now` is the time of the step.
    ///
    /// Bounded: what one run may compute, build and nest is limited, and an expression that wants
    /// more fails its action with the code `ExpressionLimitExceeded`. An event that the run does not
    /// wait for changes nothing.
    #[must_use]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "an event is used up, and later ones carry answers"
    )]
    pub fn step(mut self, event: Event, now: SystemTime) -> (Self, Vec<Effect>) {
        let mut effects = Vec::new();
        if self.is_over {
            return (self, effects);
        }
        match event {
            Event::Start => {
                if let Err(failure) = self.prepare() {
                    self.finish(
                        Outcome::Failed {
                            action: None,
                            code: failure.code.into_owned(),
                            message: failure.message,
                        },
                        &mut effects,
                    );
                    return (self, effects);
                }
            }
            Event::Elapsed { action } => match self.records.get_mut(action.0) {
                Some(record) if record.state == State::Waiting => {
                    record.state = State::Ended(Status::Succeeded);
                }
                _ => return (self, effects),
            },
        }
        let workflow = Arc::clone(&self.workflow);
        let is_done = self.advance(&workflow, &workflow.root, now, &mut effects);
        if is_done && !self.is_over {
            let outcome = self.outcome(&workflow);
            self.finish(outcome, &mut effects);
        }
        (self, effects)
    }

    fn finish(&mut self, outcome: Outcome, effects: &mut Vec<Effect>) {
        self.is_over = true;
        effects.push(Effect::Finished(outcome));
    }

    fn outcome(&self, workflow: &Workflow) -> Outcome {
        if self.block_status(workflow, &workflow.root) == Status::Succeeded {
            return Outcome::Succeeded;
        }
        match self.first_failure(workflow, &workflow.root) {
            Some((action, failure)) => Outcome::Failed {
                action: Some(action.to_owned()),
                code: failure.code.clone().into_owned(),
                message: failure.message.clone(),
            },
            None => Outcome::Failed {
                action: None,
                code: "ActionFailed".to_owned(),
                message: "an action did not succeed, and none was there to handle it".to_owned(),
            },
        }
    }
}

impl Record {
    fn status(&self) -> Option<Status> {
        match self.state {
            State::Ended(status) => Some(status),
            State::Pending | State::Waiting | State::Inside(_) => None,
        }
    }

    fn code(&self) -> Option<&str> {
        match (&self.failure, self.status()) {
            (Some(failure), _) => Some(&failure.code),
            (None, Some(Status::Succeeded)) => Some("OK"),
            (None, Some(Status::Skipped)) => Some("ActionSkipped"),
            _ => None,
        }
    }
}

/// Makes 64 bits of a run's id (FNV-1a).
fn seed(id: &str) -> u64 {
    id.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Returns the next number of the sequence (SplitMix64): quick, well spread, not for secrets.
pub(crate) fn next_random(state: &Cell<u64>) -> u64 {
    let next = state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
    state.set(next);
    let mixed = (next ^ (next >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// A code that is mostly one of ours, sometimes one that a Terminate gives.
type Code = Cow<'static, str>;
