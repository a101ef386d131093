//! The child that all clients of 2026-07-28 share: what names a request is ours on the way in, and
//! each client's own on the way back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::StatusCode;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::time::{Duration, Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::answers::{self, METHOD_NOT_FOUND, Note, Waiting};
use super::headers::Annotations;
use super::lines::Line;
use super::message::{self, Id, Kind, Message, Outcome, Params, one_line};
use super::noise::LeftOut;
use super::process::{Ending, Feed, Listener, say};
use super::queue::{NotTaken, Piece, Receiver, Sender, queue};
use super::session::lost;
use super::users::{self, Identity, Users};
use crate::limits;
use crate::upstream::Route;

/// How many calls are remembered that were given up: their late answers are no noise.
const GIVEN_UP: usize = 1024;

/// The most that is between the numbers of two calls. Servers may read them as 32-bit integers, whose
/// range is left after millions of calls.
const NUMBER_STEP: u64 = 256;

/// A child that many clients use.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) route: Route,
    pub(super) started_at: Instant,
    /// Cancelled to end it.
    pub(super) stop: CancellationToken,
    feed: Feed,
    heard: AtomicBool,
    /// Whether it has said that it speaks a version without sessions.
    proved: AtomicBool,
    /// Whether it has answered anything with a result.
    answered: AtomicBool,
    state: Mutex<State>,
    left_out: LeftOut,
    annotations: tokio::sync::Mutex<Option<Known>>,
}

#[derive(Debug)]
struct Known {
    annotations: Arc<Annotations>,
    at: Instant,
    /// How often the tools had changed by then.
    change_count: u64,
}

#[derive(Debug)]
struct State {
    calls: BTreeMap<u64, Call>,
    /// Calls whose client has gone.
    given_up: BTreeSet<u64>,
    /// Under which the last call was sent; no client can tell which comes next.
    last_number: u64,
    users: Users,
    tools_changed: u64,
    used_at: Instant,
    is_over: bool,
}

/// A request that the child has not answered yet.
#[derive(Debug)]
struct Call {
    raw_id: Box<RawValue>,
    progress: Option<Box<RawValue>>,
    messages: Sender<Note>,
    is_subscription: bool,
    wants_log: bool,
    /// None for who comes without a key, and for what Keyward asks itself.
    user: Option<Identity>,
}

/// A call's client: the child is told when it goes.
#[derive(Debug)]
pub(super) struct Caller {
    shared: Arc<Shared>,
    number: u64,
}

impl Waiting for Caller {}

impl Drop for Caller {
    fn drop(&mut self) {
        self.shared.give_up(self.number);
    }
}

/// Why a request does not reach the child.
#[derive(Debug)]
pub(super) enum NotCalled {
    /// Too many are under way.
    TooMany,
    /// Too many of this key are.
    TooManyOfKey,
    /// The child takes nothing.
    NotHeard(NotTaken),
    /// The child has ended meanwhile.
    Over,
}

impl Shared {
    pub(super) fn new(route: Route, feed: Feed, stop: CancellationToken) -> Self {
        let now = Instant::now();
        let state = State {
            calls: BTreeMap::new(),
            given_up: BTreeSet::new(),
            users: Users::None,
            last_number: random() >> 2,
            tools_changed: 0,
            used_at: now,
            is_over: false,
        };
        let left_out = LeftOut::new(route.server.clone());
        Self {
            route,
            started_at: now,
            stop,
            feed,
            heard: AtomicBool::new(false),
            proved: AtomicBool::new(false),
            answered: AtomicBool::new(false),
            state: Mutex::new(state),
            left_out,
            annotations: tokio::sync::Mutex::default(),
        }
    }

    /// Says whether requests can still be made.
    pub(super) fn is_open(&self) -> bool {
        !self.stop.is_cancelled() && !self.state().is_over
    }

    /// Says whether it has shown that it speaks a version without sessions.
    pub(super) fn is_proved(&self) -> bool {
        self.proved.load(Ordering::Relaxed)
    }

    /// Notes that it has shown so.
    pub(super) fn prove(&self) {
        self.proved.store(true, Ordering::Relaxed);
    }

    /// Says whether it has answered anything with a result.
    pub(super) fn has_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// Says whether no request is under way.
    pub(super) fn is_unused(&self) -> bool {
        self.state().calls.is_empty()
    }

    /// Sends a client's request under a name of ours. The call is given up when the caller is dropped.
    pub(super) fn call(
        self: &Arc<Self>,
        route: &Route,
        message: &Message<'_>,
    ) -> Result<(Receiver<Note>, Caller), NotCalled> {
        let is_listing = matches!(&message.kind, Kind::Request { method, .. }
            if matches!(method.as_str(), "server/discover" | "tools/list"));
        // Keyward's own lists are asked for without a key, and there is no client to tell of.
        let user = route.claim.key.as_ref().map(Identity::of);
        if user.is_some() || !is_listing {
            self.state().users.add(user.clone());
        }
        self.ask(message, user)
    }

    fn ask(
        self: &Arc<Self>,
        message: &Message<'_>,
        user: Option<Identity>,
    ) -> Result<(Receiver<Note>, Caller), NotCalled> {
        let Kind::Request { raw_id, method, params, .. } = &message.kind else {
            return Err(NotCalled::Over);
        };
        let meta = params.meta();
        let (messages, received) = queue(limits::STREAM_QUEUE_BYTES);
        let call = Call {
            raw_id: (*raw_id).to_owned(),
            progress: meta.progress_token.map(ToOwned::to_owned),
            messages,
            is_subscription: method == "subscriptions/listen",
            wants_log: meta.log_level.is_some(),
            user,
        };
        let number = self.begin(call)?;
        let caller = Caller { shared: Arc::clone(self), number };
        let ours = number.to_string();
        let mut parts = vec![(*raw_id, ours.as_str())];
        parts.extend(meta.progress_token.map(|token| (token, ours.as_str())));
        let line = message.with(&parts).ok_or(NotCalled::Over)?;
        say(&self.feed, one_line(&line)).map_err(|why| {
            // It was never told of it, so it need not be told that it is over.
            self.state().calls.remove(&number);
            NotCalled::NotHeard(why)
        })?;
        Ok((received, caller))
    }

    /// Which arguments of its tools are repeated in headers; asked of it where that is not known. One
    /// that does not answer in time has none.
    pub(super) async fn annotations(self: &Arc<Self>, version: &str) -> Arc<Annotations> {
        let mut known = self.annotations.lock().await;
        let change_count = self.state().tools_changed;
        if let Some(known) = &*known
            && known.change_count == change_count
            && known.at.elapsed() < limits::SCHEMAS_FRESH
        {
            return Arc::clone(&known.annotations);
        }
        let mut annotations = Annotations::default();
        let asking = self.ask_tools(version, &mut annotations);
        if timeout(limits::SCHEMAS_TIME, asking).await.is_err() {
            self.left_out.tell("the schemas of its tools came too late");
        }
        let annotations = Arc::new(annotations);
        let at = Instant::now();
        *known = Some(Known { annotations: Arc::clone(&annotations), at, change_count });
        annotations
    }

    async fn ask_tools(self: &Arc<Self>, version: &str, annotations: &mut Annotations) {
        let mut cursor = None;
        for _ in 0..limits::SCHEMAS_PAGES {
            let mut params = own_params(version);
            if let (Some(cursor), Some(params)) = (cursor, params.as_object_mut()) {
                params.insert("cursor".to_owned(), cursor);
            }
            let request =
                json!({ "jsonrpc": "2.0", "id": 0, "method": "tools/list", "params": params });
            let text = request.to_string();
            let Some(message) = Message::read(text.as_bytes()) else { return };
            let Ok((mut answer, _caller)) = self.ask(&message, None) else { return };
            // Progress was not asked for, so that the first message is the last.
            let Some(piece) = answer.recv().await else { return };
            let text = piece.text().unwrap_or_default();
            let Some(Kind::Response { outcome: Outcome::Result(page), .. }) =
                Message::read(&text).map(|message| message.kind)
            else {
                return;
            };
            match annotations.add(page) {
                Some(next) => cursor = Some(next.into()),
                None => return,
            }
        }
    }

    /// Tells every call under way that there is no child to answer it any more.
    pub(super) fn end(&self, ending: &Ending) {
        let mut state = self.state();
        state.is_over = true;
        let calls = std::mem::take(&mut state.calls);
        drop(state);
        for call in calls.into_values() {
            call.messages.send_last(lost(&call.raw_id, ending, self.has_heard()));
        }
    }

    fn begin(&self, call: Call) -> Result<u64, NotCalled> {
        let mut state = self.state();
        if state.is_over {
            return Err(NotCalled::Over);
        }
        if state.calls.len() >= limits::SHARED_CALL_COUNT {
            return Err(NotCalled::TooMany);
        }
        let mut users = state.calls.values().filter_map(|call| call.user.as_ref());
        if call.user.as_ref().is_some_and(|user| !users::may_call(user, &mut users)) {
            return Err(NotCalled::TooManyOfKey);
        }
        state.used_at = Instant::now();
        state.last_number += 1 + random() % NUMBER_STEP;
        let number = state.last_number;
        state.calls.insert(number, call);
        Ok(number)
    }

    fn give_up(&self, number: u64) {
        let mut state = self.state();
        if state.calls.remove(&number).is_none() {
            return;
        }
        state.used_at = Instant::now();
        state.given_up.insert(number);
        if state.given_up.len() > GIVEN_UP {
            state.given_up.pop_first();
        }
        drop(state);
        let params = json!({ "requestId": number, "reason": "the client has gone" });
        let text =
            json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params });
        // A child that takes nothing will not take this either.
        let _ = say(&self.feed, text.to_string().into());
    }

    fn answer(&self, line: &mut Line, message: &Message<'_>, id: &Id, outcome: Outcome<'_>) {
        let Kind::Response { raw_id, .. } = &message.kind else { return };
        if matches!(outcome, Outcome::Result(_)) {
            self.answered.store(true, Ordering::Relaxed);
        }
        let mut state = self.state();
        let call = id.number().and_then(|number| state.calls.remove(&number));
        let Some(call) = call else {
            let late = id.number().is_some_and(|number| state.given_up.remove(&number));
            drop(state);
            if !late {
                self.left_out.tell("it answers no request that is under way");
            }
            return;
        };
        state.used_at = Instant::now();
        drop(state);
        let theirs = call.raw_id.get();
        let mut parts = vec![(*raw_id, theirs)];
        let note = match outcome {
            Outcome::Error(code) => Note::Error(code),
            Outcome::Result(result) => {
                let tag = message::subscription_of(result).filter(|_| call.is_subscription);
                parts.extend(tag.map(|tag| (tag, theirs)));
                Note::Result
            }
        };
        if let Some(text) = message.with(&parts) {
            call.messages.send_last(Piece::new(text, note).holding(line.hold.take()));
        }
    }

    fn notify(&self, line: &mut Line, message: &Message<'_>, method: &str, params: &Params<'_>) {
        let mut state = self.state();
        if method == "notifications/tools/list_changed" {
            state.tools_changed += 1;
        }
        let named = |raw: Option<&RawValue>| raw.and_then(Id::read).and_then(|id| id.number());
        let subscription = *params.meta().subscription_id;
        let (number, part) = match (method, subscription, *params.progress_token) {
            ("notifications/cancelled", _, _) => {
                // A subscription that the child ends has no other end.
                let number = named(*params.request_id).filter(|number| {
                    state.calls.get(number).is_some_and(|call| call.is_subscription)
                });
                drop(number.and_then(|number| state.calls.remove(&number)));
                return;
            }
            (_, Some(tag), _) => (named(Some(tag)), Some(tag)),
            ("notifications/progress", None, Some(token)) => (named(Some(token)), Some(token)),
            ("notifications/message", None, _) => (state.only_one_that_wants_log(), None),
            _ => (None, None),
        };
        let call = number.and_then(|number| state.calls.get(&number));
        let theirs = call.and_then(|call| match (subscription, part) {
            (Some(_), _) => call.is_subscription.then_some(&call.raw_id),
            (None, Some(_)) => call.progress.as_ref(),
            (None, None) => Some(&call.raw_id),
        });
        let (Some(call), Some(theirs)) = (call, theirs) else {
            drop(state);
            return self.left_out.tell("it belongs to no request that is under way");
        };
        let parts: Vec<_> = part.map(|part| (part, theirs.get())).into_iter().collect();
        let Some(text) = message.with(&parts) else { return };
        let piece = Piece::new(text, Note::More).holding(line.hold.take());
        let taken = call.messages.try_send(piece);
        drop(state);
        if let (Err(NotTaken::Full), Some(number)) = (taken, number) {
            // The others must not wait for it.
            self.left_out.tell("its client does not read, so its call is given up");
            self.give_up(number);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code that holds the lock can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The only call under way, if log messages can be its alone: it has asked for them, and nobody
    /// else has ever used this child, which may still log what it did for others.
    fn only_one_that_wants_log(&self) -> Option<u64> {
        match self.users {
            Users::One(Some(_)) => {}
            // Without a key, the next client need not be who the last one was.
            Users::One(None) if self.given_up.is_empty() => {}
            Users::One(None) | Users::None | Users::Many => return None,
        }
        let mut calls = self.calls.iter().filter(|(_, call)| !call.is_subscription);
        let (number, call) = calls.next()?;
        (calls.next().is_none() && call.wants_log).then_some(*number)
    }
}

impl Listener for Shared {
    async fn hear(&self, mut line: Line) {
        let text = line.text.clone();
        let Some(message) = Message::read(&text) else {
            return self.left_out.tell_no_message(line.text.len());
        };
        self.heard.store(true, Ordering::Relaxed);
        match &message.kind {
            Kind::Response { id, outcome, .. } => self.answer(&mut line, &message, id, *outcome),
            Kind::Notification { method, params } => {
                self.notify(&mut line, &message, method, params);
            }
            Kind::Request { raw_id, method, .. } => {
                // Nobody is there to ask: this protocol version knows no such requests.
                let _ = say(&self.feed, refused(raw_id, method));
            }
        }
    }

    fn miss(&self, id: Option<&RawValue>) {
        let number = id.and_then(Id::read).and_then(|id| id.number());
        let call = number.and_then(|number| self.state().calls.remove(&number));
        match call {
            Some(call) => call.messages.send_last(answers::no_memory(&call.raw_id)),
            None => self.left_out.tell("there was no memory for it"),
        }
    }

    fn patience(&self) -> Duration {
        limits::SHARED_LINE_ROOM_TIME
    }

    fn has_heard(&self) -> bool {
        self.heard.load(Ordering::Relaxed)
    }

    fn is_idle(&self) -> bool {
        let state = self.state();
        state.calls.is_empty() && state.used_at.elapsed() >= limits::SHARED_IDLE
    }
}

/// The params of a request of ours.
pub(super) fn own_params(version: &str) -> serde_json::Value {
    json!({ "_meta": {
        "io.modelcontextprotocol/protocolVersion": version,
        "io.modelcontextprotocol/clientInfo":
            { "name": "keyward", "version": env!("CARGO_PKG_VERSION") },
        "io.modelcontextprotocol/clientCapabilities": {},
    } })
}

/// Gives 32 random bits.
fn random() -> u64 {
    let id = uuid::Uuid::new_v4();
    id.as_bytes().iter().skip(12).fold(0, |bits, byte| bits << 8 | u64::from(*byte))
}

fn refused(raw_id: &RawValue, method: &str) -> Bytes {
    if method == "ping" {
        return format!(r#"{{"jsonrpc":"2.0","id":{raw_id},"result":{{}}}}"#).into();
    }
    let text = "a request of the server's has nobody to go to in this protocol version";
    answers::error_text(Some(raw_id), METHOD_NOT_FOUND, text, &serde_json::Value::Null)
}

/// The status of an answer to a request without a session.
pub(super) fn status(code: i64) -> StatusCode {
    match code {
        -32022..=-32020 => StatusCode::BAD_REQUEST,
        METHOD_NOT_FOUND => StatusCode::NOT_FOUND,
        _ => StatusCode::OK,
    }
}

/// How long an answer to this method waits for its first message before it becomes a stream.
pub(super) fn head_within(method: &str) -> Duration {
    // It is a stream in any case.
    if method == "subscriptions/listen" { limits::HEAD_TIME / 10 } else { limits::HEAD_TIME }
}
