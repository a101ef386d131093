//! The way of an admitted request to an MCP server that exists already, and of its answer back.

mod discovery;
mod filter;
mod http;
mod judge;
mod members;
mod stdio;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ::http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use ::http::request::Parts;
use ::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use app::{Transport, Upstream};
use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use keys::{AppId, Grant, MasterKeys, Presented, SessionOwner, SessionSeals, SysRng};
use store::{Claim, Cut, Replica};

use self::filter::reduce;
use self::http::{Arrived, Client};
use self::judge::{Filter, Verdict};
use self::stdio::Bridge;
pub use self::stdio::{Launcher, Report};
use crate::limits;
use crate::refusal::Refused;

/// Streamable HTTP, session management: names a session of the protocol versions that have them.
const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");

/// The methods of Streamable HTTP, as a refusal names them.
const METHODS: &str = "POST, GET, DELETE";

/// All MCP servers that exist already, and the ways to them.
#[derive(Debug)]
pub struct Upstreams {
    http: Client,
    stdio: Bridge,
    seals: SessionSeals,
}

/// Whose request it is, and where it goes.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) app: AppId,
    /// In lower case.
    pub(crate) server: String,
    pub(crate) upstream: Arc<Upstream>,
    /// What it was admitted on: a session must end with it.
    pub(crate) claim: Arc<Claim>,
}

/// Whose request is on its way, and in which session.
#[derive(Debug)]
pub(crate) struct Passage<'a> {
    claim: &'a Arc<Claim>,
    upstream: &'a Arc<Upstream>,
    /// None for a caller whom the app lets in without a key.
    key: Option<&'a Presented>,
    /// The session id as the client presented it, and as its upstream knows it.
    session: Option<(HeaderValue, String)>,
}

/// The body of an answer that nobody has judged: as it comes from an upstream, or made here of what
/// comes. It is not boxed, since it will be with its guard.
pub(crate) enum Answer {
    Arrived(Arrived),
    Made(Body),
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match self.get_mut() {
            Self::Arrived(body) => Pin::new(body).poll_frame(cx).map_err(axum::Error::new),
            Self::Made(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Arrived(body) => body.is_end_stream(),
            Self::Made(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Arrived(body) => body.size_hint(),
            Self::Made(body) => body.size_hint(),
        }
    }
}

impl Upstreams {
    /// Makes the ways to all upstreams; child processes are started by `launcher`.
    #[must_use]
    pub fn new(masters: &MasterKeys, launcher: Launcher, replica: Arc<Replica>) -> Self {
        Self {
            http: Client::new(),
            stdio: Bridge::new(launcher, replica),
            seals: masters.session_seals(),
        }
    }

    /// Closes connections that wait for nothing any more, until `stop` is ready.
    pub async fn tend(&self, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        while tokio::time::timeout(limits::UPSTREAM_TIDY, &mut stop).await.is_err() {
            self.http.tidy();
        }
    }

    /// Ends every child process; returns when none is left.
    pub async fn end(&self) {
        self.stdio.end().await;
    }

    /// Makes a request that was admitted on `claim` ready to go: its session is opened.
    pub(crate) fn prepare<'a>(
        &self,
        claim: &'a Arc<Claim>,
        key: Option<&'a Presented>,
        request: &mut Request<Body>,
    ) -> Result<Passage<'a>, Refused> {
        let upstream = claim.upstream.as_ref().ok_or(Cut::ServerChanged)?;
        if ![Method::POST, Method::GET, Method::DELETE].contains(request.method()) {
            return Err(Refused::Method(METHODS));
        }
        let headers = request.headers_mut();
        if self.http.has_sent(headers) {
            return Err(Refused::Loop);
        }
        let mut presented = headers.get_all(SESSION).iter();
        let session = match (presented.next().cloned(), presented.next()) {
            (None, _) => None,
            (Some(sealed), None) => {
                let id = self
                    .seals
                    .open(sealed.as_bytes(), &claim.app, &claim.server, &owner(key))
                    .ok_or(Refused::UnknownSession)?;
                Some((sealed, id))
            }
            (Some(_), Some(_)) => return Err(Refused::UnknownSession),
        };
        if let Some((_, id)) = &session {
            let id = HeaderValue::from_str(id).map_err(|_| Refused::UnknownSession)?;
            headers.insert(SESSION, id);
        }
        Ok(Passage { claim, upstream, key, session })
    }

    /// Passes a request on whose body nobody needs to see. The request is taken.
    pub(crate) async fn pass(
        &self,
        passage: &Passage<'_>,
        grant: Option<&Grant>,
        request: &mut Request<Body>,
    ) -> Result<Response<Answer>, Refused> {
        let mut keep = passage.filter(grant).map(|filter| filter.keep());
        if keep.is_some() {
            let headers = request.headers_mut();
            accept_plain(headers);
            // No message that nobody judged.
            headers.remove(CONTENT_LENGTH);
            headers.remove(CONTENT_TYPE);
            *request.body_mut() = Body::empty();
        }
        let is_get = request.method() == Method::GET;
        let response = match passage.upstream.transport() {
            Transport::Http(upstream) => {
                self.http.send(upstream, request).await?.map(Answer::Arrived)
            }
            // Large, and what goes over HTTP would pay for it.
            Transport::Stdio(_) => {
                let request = std::mem::take(request).map(|_| Bytes::new());
                let route = passage.route();
                // It reduces each message by itself.
                let answer = self.stdio.answer(&route, request, keep.take());
                Box::pin(answer).await?.map(Answer::Made)
            }
        };
        let response = self.seal(passage, response)?;
        Ok(match keep {
            // A stream may replay what another request asked for.
            Some(keep) if is_get => reduce(response.map(Body::new), keep).map(Answer::Made),
            _ => response,
        })
    }

    /// Judges a request by its whole body, and passes on what was judged.
    pub(crate) async fn pass_whole(
        &self,
        passage: &Passage<'_>,
        grant: Option<&Grant>,
        mut parts: Parts,
        body: Bytes,
    ) -> Result<Response<Body>, Refused> {
        let filter = passage.filter(grant);
        let (body, keep) = match filter.map(|filter| (filter.judge(&parts.headers, &body), filter))
        {
            None => (body, None),
            Some((Verdict::Answer(response), _)) => return Ok(response),
            Some((Verdict::Forward { body, lists_tools }, filter)) => {
                accept_plain(&mut parts.headers);
                parts.headers.insert(CONTENT_LENGTH, body.len().into());
                // Within a session answers go by id, and an id that its client took back, or uses
                // twice, may be another request's when the answer comes.
                let is_process = matches!(passage.upstream.transport(), Transport::Stdio(_));
                let may_list = lists_tools || is_process || passage.session.is_some();
                (body, may_list.then(|| filter.keep()))
            }
        };
        let mut keep = keep;
        let request = Request::from_parts(parts, body);
        let response = match passage.upstream.transport() {
            Transport::Http(upstream) => {
                let mut request = request.map(Body::from);
                self.http.send(upstream, &mut request).await?.map(Body::new)
            }
            Transport::Stdio(_) => {
                self.stdio.answer(&passage.route(), request, keep.take()).await?
            }
        };
        let response = self.seal(passage, response)?;
        Ok(match keep {
            Some(keep) => reduce(response, keep),
            None => response,
        })
    }

    /// Asks an upstream on the operator's behalf.
    pub(crate) async fn ask(
        &self,
        route: &Route,
        request: Request<Bytes>,
    ) -> Result<Response<Body>, Refused> {
        match route.upstream.transport() {
            Transport::Http(upstream) => {
                let mut request = request.map(Body::from);
                Ok(self.http.send(upstream, &mut request).await?.map(Body::new))
            }
            Transport::Stdio(_) => self.stdio.answer(route, request, None).await,
        }
    }

    /// Seals the session id of an answer to where and by whom the session was opened.
    fn seal<B>(
        &self,
        passage: &Passage<'_>,
        mut response: Response<B>,
    ) -> Result<Response<B>, Refused> {
        let Passage { claim, key, session, .. } = passage;
        let Some(id) = response.headers().get(SESSION) else { return Ok(response) };
        let sealed = match session {
            // The same session goes by the same name.
            Some((sealed, known)) if known.as_bytes() == id.as_bytes() => sealed.clone(),
            _ => self
                .seals
                .seal(&mut SysRng, id.as_bytes(), &claim.app, &claim.server, &owner(*key))
                .ok()
                .and_then(|sealed| HeaderValue::try_from(sealed).ok())
                .ok_or_else(|| {
                    Refused::bad_gateway(
                        "the MCP server behind this URL answered with a session id that cannot be \
                         one: it must have 1 to 1024 visible ASCII characters"
                            .to_owned(),
                    )
                })?,
        };
        response.headers_mut().insert(SESSION, sealed);
        Ok(response)
    }
}

impl Passage<'_> {
    /// Whether the request can only go on once its whole body is there.
    pub(crate) fn needs_whole_body(&self, grant: Option<&Grant>, method: &Method) -> bool {
        method == Method::POST
            && (matches!(self.upstream.transport(), Transport::Stdio(_))
                || self.filter(grant).is_some())
    }

    fn filter<'f>(&'f self, grant: Option<&'f Grant>) -> Option<Filter<'f>> {
        Filter::of(&self.claim.server, grant, self.upstream)
    }

    fn route(&self) -> Route {
        Route {
            app: self.claim.app,
            server: self.claim.server.clone(),
            upstream: Arc::clone(self.upstream),
            claim: Arc::clone(self.claim),
        }
    }
}

/// Whose a session is; asked only where there is one, since it costs a hash.
fn owner(key: Option<&Presented>) -> SessionOwner {
    key.map_or(SessionOwner::ANYONE, SessionOwner::api_key)
}

/// What is to be read on its way back must not be compressed.
fn accept_plain(headers: &mut HeaderMap) {
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
}
