//! One session of the older protocol versions: a client and a child of its own, with a pump between.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

use super::answers::{self, INTERNAL, INVALID_REQUEST, Note, Taste, Waiting};
use super::lines::Line;
use super::message::{Id, Kind, Message, Outcome, Params, one_line};
use super::noise::LeftOut;
use super::process::{Ending, Feed, Listener, say};
use super::queue::{NotTaken, Piece, Receiver, Sender, queue};
use crate::limits;
use crate::upstream::Route;
use crate::upstream::judge::Keep;

/// A session, as long as its child lives.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: String,
    pub(super) route: Route,
    /// Cancelled to end it.
    pub(super) stop: CancellationToken,
    feed: Feed,
    heard: AtomicBool,
    state: Mutex<State>,
    left_out: LeftOut,
}

#[derive(Debug)]
struct State {
    calls: BTreeMap<Id, Call>,
    call_count: u64,
    /// What belongs to no request, for the stream that a client may open for it.
    common: Sender<Note>,
    /// The other end of it while no client has the stream open.
    parked: Option<Receiver<Note>>,
    used_at: Instant,
    is_over: bool,
}

/// A request that the child has not answered yet.
#[derive(Debug)]
struct Call {
    number: u64,
    raw_id: Box<RawValue>,
    messages: Sender<Note>,
    progress: Option<Id>,
}

/// Why a request is not passed on.
#[derive(Clone, Copy, Debug)]
enum NotBegun {
    Over,
    SameId,
    TooMany,
}

/// A session whose client does not know of it yet: it ends with the answer that names it.
#[derive(Debug)]
pub(super) struct Unclaimed(Option<Arc<Session>>);

impl Unclaimed {
    pub(super) const fn new(session: Arc<Session>) -> Self {
        Self(Some(session))
    }
}

impl Waiting for Unclaimed {
    fn taken(&mut self) {
        self.0 = None;
    }
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        if let Some(session) = &self.0 {
            session.stop.cancel();
        }
    }
}

impl Session {
    pub(super) fn new(id: String, route: Route, feed: Feed, stop: CancellationToken) -> Self {
        let (common, parked) = queue(limits::BACKLOG_BYTES);
        let state = State {
            calls: BTreeMap::new(),
            call_count: 0,
            common,
            parked: Some(parked),
            used_at: Instant::now(),
            is_over: false,
        };
        let left_out = LeftOut::new(route.server.clone());
        let heard = AtomicBool::new(false);
        Self { id, route, stop, feed, heard, state: Mutex::new(state), left_out }
    }

    /// Since when its client has wanted nothing; none while it wants something.
    pub(super) fn unused_since(&self) -> Option<Instant> {
        let state = self.state();
        let wanted = state.calls.values().any(|call| !call.messages.is_closed());
        let listens = state.parked.is_none() && !state.common.is_closed();
        (!wanted && !listens).then_some(state.used_at)
    }

    /// Takes a client's POST.
    pub(super) async fn post(
        &self,
        message: &Message<'_>,
        body: &Bytes,
        head_within: Duration,
        taste: Taste,
        waiting: impl Waiting,
        status: impl Fn(i64) -> StatusCode,
    ) -> Response<Body> {
        let line = one_line(body);
        let (id, raw_id, params) = match &message.kind {
            Kind::Request { id, raw_id, params, .. } => (id, *raw_id, params),
            Kind::Notification { method, params } => {
                if method == "notifications/cancelled"
                    && let Some(id) = params.request_id.and_then(Id::read)
                {
                    // It will not be answered; what still comes has nobody to go to.
                    self.state().calls.remove(&id);
                }
                return self.tell(line);
            }
            Kind::Response { .. } => return self.tell(line),
        };
        let messages = match self.begin(id, raw_id, params) {
            Ok(messages) => messages,
            Err(why) => return not_begun(raw_id, why),
        };
        if let Err(why) = say(&self.feed, line) {
            self.state().calls.remove(id);
            return not_heard(Some(raw_id), why);
        }
        answers::respond(messages, waiting, head_within, taste, status).await
    }

    /// Opens the stream of what belongs to no request.
    pub(super) fn get(&self, keep: Option<Keep>) -> Response<Body> {
        let mut state = self.state();
        if state.is_over {
            return unknown(None);
        }
        state.used_at = Instant::now();
        let messages = match state.parked.take() {
            Some(parked) => parked,
            None if state.common.is_closed() => {
                let (common, messages) = queue(limits::BACKLOG_BYTES);
                state.common = common;
                messages
            }
            None => {
                return answers::refuse(
                    StatusCode::CONFLICT,
                    None,
                    INVALID_REQUEST,
                    "this session has a stream open already: it can have one",
                );
            }
        };
        drop(state);
        answers::events(messages, None, keep, ())
    }

    /// Tells every request under way that there is no child to answer it any more.
    pub(super) fn end(&self, ending: &Ending) {
        let mut state = self.state();
        state.is_over = true;
        let calls = std::mem::take(&mut state.calls);
        // The stream ends with the only one who could say anything on it.
        (state.common, _) = queue(0);
        state.parked = None;
        drop(state);
        for call in calls.into_values() {
            call.messages.send_last(lost(&call.raw_id, ending, self.has_heard()));
        }
    }

    fn begin(
        &self,
        id: &Id,
        raw_id: &RawValue,
        params: &Params<'_>,
    ) -> Result<Receiver<Note>, NotBegun> {
        let mut state = self.state();
        state.used_at = Instant::now();
        if state.is_over {
            return Err(NotBegun::Over);
        }
        if state.calls.len() >= limits::SESSION_CALL_COUNT {
            // What nobody waits for any more makes room.
            state.calls.retain(|_, call| !call.messages.is_closed());
        }
        if state.calls.contains_key(id) {
            return Err(NotBegun::SameId);
        }
        if state.calls.len() >= limits::SESSION_CALL_COUNT {
            return Err(NotBegun::TooMany);
        }
        state.call_count += 1;
        let (messages, received) = queue(limits::STREAM_QUEUE_BYTES);
        let call = Call {
            number: state.call_count,
            raw_id: raw_id.to_owned(),
            messages,
            progress: params.meta().progress_token.and_then(Id::read),
        };
        state.calls.insert(id.clone(), call);
        Ok(received)
    }

    fn tell(&self, line: Bytes) -> Response<Body> {
        self.state().used_at = Instant::now();
        match say(&self.feed, line) {
            Ok(()) => answers::accepted(),
            Err(why) => not_heard(None, why),
        }
    }

    /// Who a message goes to that names no request: the only one that is under way, since it most
    /// likely belongs to it; else the stream for all that belongs to none; else the newest request.
    fn listener(&self) -> Option<Sender<Note>> {
        let state = self.state();
        let waiting = || state.calls.values().filter(|call| !call.messages.is_closed());
        if state.calls.len() == 1
            && let Some(only) = waiting().next()
        {
            return Some(only.messages.clone());
        }
        if state.parked.is_none() && !state.common.is_closed() {
            return Some(state.common.clone());
        }
        waiting().max_by_key(|call| call.number).map(|call| call.messages.clone())
    }

    /// Keeps a message for the stream that a client may open.
    fn keep(&self, line: Line) {
        let most = usize::try_from(limits::BACKLOG_BYTES).unwrap_or(usize::MAX);
        if line.text.len() > most {
            return self.left_out.tell("too long to be kept for a client that has no stream open");
        }
        let mut state = self.state();
        if state.common.is_closed() && state.parked.is_none() {
            let (common, parked) = queue(limits::BACKLOG_BYTES);
            state.common = common;
            state.parked = Some(parked);
        }
        // There may be no client for long: what it is to hear is bounded by itself.
        let text = line.hold.map_or(line.text.clone(), |_| Bytes::copy_from_slice(&line.text));
        let kept = state.common.try_send(Piece::new(text, Note::More));
        drop(state);
        if kept.is_err() {
            self.left_out.tell("for a client that has no stream open, and has missed many");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code that holds the lock can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener for Session {
    async fn hear(&self, mut line: Line) {
        let Some(message) = Message::read(&line.text) else {
            return self.left_out.tell_no_message(line.text.len());
        };
        self.heard.store(true, Ordering::Relaxed);
        let listener = match &message.kind {
            Kind::Response { id, outcome, .. } => {
                let Some(call) = self.state().calls.remove(id) else {
                    return self.left_out.tell("it answers no request that is under way");
                };
                let note = match outcome {
                    Outcome::Result(_) => Note::Result,
                    Outcome::Error(code) => Note::Error(*code),
                };
                let piece = Piece::new(line.text.clone(), note).holding(line.hold.take());
                return call.messages.send_last(piece);
            }
            Kind::Notification { method, params } if method == "notifications/progress" => {
                let token = params.progress_token.and_then(Id::read);
                let state = self.state();
                let call =
                    state.calls.values().find(|call| token.is_some() && call.progress == token);
                call.map(|call| call.messages.clone())
            }
            Kind::Request { .. } | Kind::Notification { .. } => None,
        };
        let Some(listener) = listener.or_else(|| self.listener()) else {
            return self.keep(line);
        };
        let is_short = line.hold.is_none();
        let piece = Piece::new(line.text.clone(), Note::More).holding(line.hold.take());
        match listener.send(piece, limits::SLOW_CLIENT_TIME).await {
            Ok(()) => {}
            Err(NotTaken::Gone) if is_short => self.keep(line),
            Err(NotTaken::Gone) => {
                self.left_out.tell("a long one, for a client that has just gone");
            }
            Err(NotTaken::Full) => self.left_out.tell("its client does not read"),
        }
    }

    fn miss(&self, id: Option<&RawValue>) {
        let call = id.and_then(Id::read).and_then(|id| self.state().calls.remove(&id));
        match call {
            Some(call) => call.messages.send_last(answers::no_memory(&call.raw_id)),
            None => self.left_out.tell("there was no memory for it"),
        }
    }

    fn patience(&self) -> Duration {
        limits::LINE_ROOM_TIME
    }

    fn has_heard(&self) -> bool {
        self.heard.load(Ordering::Relaxed)
    }

    fn is_idle(&self) -> bool {
        self.unused_since().is_some_and(|since| since.elapsed() >= limits::SESSION_IDLE)
    }
}

/// Says of a call that its child will not answer it. One that has never said anything is no upstream.
pub(super) fn lost(raw_id: &RawValue, ending: &Ending, has_heard: bool) -> Piece<Note> {
    let (code, note) = if has_heard {
        (INTERNAL, Note::Error(INTERNAL))
    } else {
        (crate::refusal::CODE.into(), Note::Lost)
    };
    let text = format!("this MCP server's process {ending}");
    Piece::new(answers::error_text(Some(raw_id), code, &text, &Value::Null), note)
}

/// Says that a session is not known, as `UnknownSession` does, with the request's id.
pub(super) fn unknown(id: Option<&RawValue>) -> Response<Body> {
    answers::refuse(
        StatusCode::NOT_FOUND,
        id,
        crate::refusal::CODE.into(),
        "this session is not known: initialize a new one",
    )
}

fn not_begun(id: &RawValue, why: NotBegun) -> Response<Body> {
    match why {
        NotBegun::Over => unknown(Some(id)),
        NotBegun::SameId => answers::refuse(
            StatusCode::BAD_REQUEST,
            Some(id),
            INVALID_REQUEST,
            "a request with this id is under way in this session: each needs an id of its own",
        ),
        NotBegun::TooMany => answers::busy(
            Some(id),
            Duration::ZERO,
            "too many requests are under way in this session",
        ),
    }
}

/// Says that a child takes no more.
fn not_heard(id: Option<&RawValue>, why: NotTaken) -> Response<Body> {
    match why {
        NotTaken::Full => {
            answers::busy(id, Duration::from_secs(1), "this MCP server does not read its requests")
        }
        // It has closed its input, and ends.
        NotTaken::Gone => unknown(id),
    }
}
