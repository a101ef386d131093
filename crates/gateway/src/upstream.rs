//! The way of an admitted request to an MCP server that exists already, and of its answer back.

mod discovery;
mod filter;
mod http;
mod judge;
mod members;
mod stdio;

use std::sync::Arc;

use ::http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use ::http::request::Parts;
use ::http::{HeaderName, HeaderValue, Method, Request, Response};
use app::{Transport, Upstream};
use axum::body::Body;
use bytes::Bytes;
use keys::{AppId, Grant, MasterKeys, Presented, SessionOwner, SessionSeals, SysRng};
use store::{Claim, Replica};

use self::filter::reduce;
use self::http::Client;
use self::judge::{Filter, Verdict};
use self::stdio::Bridge;
pub use self::stdio::{Launcher, Report};
use crate::bodies::declared_length;
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

/// A request on its way, without its body.
#[derive(Debug)]
pub(crate) struct Passage<'a> {
    route: Route,
    /// None for a caller whom the app lets in without a key.
    key: Option<&'a Presented>,
    /// The session id as the client presented it, and as its upstream knows it.
    session: Option<(HeaderValue, String)>,
    parts: Parts,
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

    /// Ends every child process; returns when none is left.
    pub async fn end(&self) {
        self.stdio.end().await;
    }

    /// Makes an admitted request ready to go: no credential of its caller, and its session opened.
    pub(crate) fn prepare<'a>(
        &self,
        route: Route,
        key: Option<&'a Presented>,
        mut parts: Parts,
    ) -> Result<Passage<'a>, Refused> {
        if ![Method::POST, Method::GET, Method::DELETE].contains(&parts.method) {
            return Err(Refused::Method(METHODS));
        }
        if self.http.has_sent(&parts.headers) {
            return Err(Refused::Loop);
        }
        let mut presented = parts.headers.get_all(SESSION).iter();
        let session = match (presented.next().cloned(), presented.next()) {
            (None, _) => None,
            (Some(sealed), None) => {
                let id = self
                    .seals
                    .open(sealed.as_bytes(), &route.app, &route.server, &owner(key))
                    .ok_or(Refused::UnknownSession)?;
                Some((sealed, id))
            }
            (Some(_), Some(_)) => return Err(Refused::UnknownSession),
        };
        if let Some((_, id)) = &session {
            let id = HeaderValue::from_str(id).map_err(|_| Refused::UnknownSession)?;
            parts.headers.insert(SESSION, id);
        }
        Ok(Passage { route, key, session, parts })
    }

    /// Passes a request on whose body nobody needs to see.
    pub(crate) async fn pass(
        &self,
        passage: Passage<'_>,
        grant: Option<&Grant>,
        body: Body,
    ) -> Result<Response<Body>, Refused> {
        let Passage { route, key, session, mut parts } = passage;
        let filter = Filter::of(&route.server, grant, &route.upstream);
        let mut keep = filter.map(|filter| filter.keep());
        let body = if keep.is_some() {
            accept_plain(&mut parts);
            // No message that nobody judged.
            parts.headers.remove(CONTENT_LENGTH);
            parts.headers.remove(CONTENT_TYPE);
            Body::empty()
        } else {
            body
        };
        let is_get = parts.method == Method::GET;
        let response = match route.upstream.transport() {
            Transport::Http(upstream) => self.http.send(upstream, parts, body).await?,
            // Large, and what goes over HTTP would pay for it.
            Transport::Stdio(_) => {
                let request = Request::from_parts(parts, Bytes::new());
                // It reduces each message by itself.
                Box::pin(self.stdio.answer(&route, request, keep.take())).await?
            }
        };
        let response = self.seal(&route, key, session.as_ref(), response)?;
        Ok(match keep {
            // A stream may replay what another request asked for.
            Some(keep) if is_get => reduce(response, keep),
            _ => response,
        })
    }

    /// Judges a request by its whole body, and passes on what was judged.
    pub(crate) async fn pass_whole(
        &self,
        passage: Passage<'_>,
        grant: Option<&Grant>,
        body: Bytes,
    ) -> Result<Response<Body>, Refused> {
        let Passage { route, key, session, mut parts } = passage;
        let filter = Filter::of(&route.server, grant, &route.upstream);
        let (body, keep) = match filter.map(|filter| (filter.judge(&parts.headers, &body), filter))
        {
            None => (body, None),
            Some((Verdict::Answer(response), _)) => return Ok(response),
            Some((Verdict::Forward { body, lists_tools }, filter)) => {
                accept_plain(&mut parts);
                parts.headers.insert(CONTENT_LENGTH, body.len().into());
                // Within a session answers go by id, and an id that its client took back, or uses
                // twice, may be another request's when the answer comes.
                let is_process = matches!(route.upstream.transport(), Transport::Stdio(_));
                let may_list = lists_tools || is_process || session.is_some();
                (body, may_list.then(|| filter.keep()))
            }
        };
        let mut keep = keep;
        let response = match route.upstream.transport() {
            Transport::Http(upstream) => self.http.send(upstream, parts, Body::from(body)).await?,
            Transport::Stdio(_) => {
                let request = Request::from_parts(parts, body);
                self.stdio.answer(&route, request, keep.take()).await?
            }
        };
        let response = self.seal(&route, key, session.as_ref(), response)?;
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
                let (parts, body) = request.into_parts();
                self.http.send(upstream, parts, Body::from(body)).await
            }
            Transport::Stdio(_) => self.stdio.answer(route, request, None).await,
        }
    }

    /// Seals the session id of an answer to where and by whom the session was opened.
    fn seal(
        &self,
        route: &Route,
        key: Option<&Presented>,
        session: Option<&(HeaderValue, String)>,
        mut response: Response<Body>,
    ) -> Result<Response<Body>, Refused> {
        let Some(id) = response.headers().get(SESSION) else { return Ok(response) };
        let sealed = match session {
            // The same session goes by the same name.
            Some((sealed, known)) if known.as_bytes() == id.as_bytes() => sealed.clone(),
            _ => self
                .seals
                .seal(&mut SysRng, id.as_bytes(), &route.app, &route.server, &owner(key))
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
    /// What it says of the length of its body.
    pub(crate) fn declared_length(&self) -> Option<u64> {
        declared_length(&self.parts.headers)
    }

    /// Whether it can only go on once its whole body is there.
    pub(crate) fn needs_whole_body(&self, grant: Option<&Grant>) -> bool {
        let Route { server, upstream, .. } = &self.route;
        self.parts.method == Method::POST
            && (matches!(upstream.transport(), Transport::Stdio(_))
                || Filter::of(server, grant, upstream).is_some())
    }
}

/// Whose a session is; asked only where there is one, since it costs a hash.
fn owner(key: Option<&Presented>) -> SessionOwner {
    key.map_or(SessionOwner::ANYONE, SessionOwner::api_key)
}

/// What is to be read on its way back must not be compressed.
fn accept_plain(parts: &mut Parts) {
    parts.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
}
