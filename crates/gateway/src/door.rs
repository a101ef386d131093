mod decided;
#[cfg(feature = "broken")]
mod held_up;
mod probe;

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use app::Server;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::Full;
use keys::{Clock, Grant, Presented, Refusal};
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
#[cfg(feature = "broken")]
use store::broken::{self, Rule};
use store::{AppState, Claim, CountsBy, Cut, OpenResponse, Replica, Snapshot};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::decided::{Decided, Last};
use crate::address::{self, Target};
use crate::bodies::{Bodies, declared_length};
use crate::credential::{self, Credential, Unreadable};
use crate::guard::{Guarded, until_cut};
use crate::hangup::Hangup;
use crate::limits;
use crate::refusal::{REASONS, Refused};
use crate::tools::{Means, ToolServer};
use crate::upstream::{Answer, Passage, Upstreams};

const JSON: &str = "application/json";
const EVENT_STREAM: &str = "text/event-stream";

/// The data plane of one replica.
#[derive(Debug)]
pub struct Gateway {
    means: Means,
    upstreams: Arc<Upstreams>,
    bodies: Bodies,
    protocol: StreamableHttpServerConfig,
    sessions: Arc<NeverSessionManager>,
    refused: CountsBy<{ REASONS.len() }>,
}

/// Answers the requests of a connection of the data plane's listener.
#[derive(Clone, Debug)]
pub struct Service(Arc<Connection>);

#[derive(Debug)]
struct Connection {
    gateway: Arc<Gateway>,
    hangup: Arc<CancellationToken>,
    last: Last,
}

impl tower_service::Service<Request> for Service {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let connection = Arc::clone(&self.0);
        // Lent and not given: a future holds what is given to it twice.
        Box::pin(async move { Ok(connection.gateway.answer(&mut request, &connection).await) })
    }
}

const SUSPENDED: &str = "this replica has lost touch with its store or is shutting down";

/// A request that may come in.
struct Admitted {
    decided: Arc<Decided>,
    open: OpenResponse,
    /// By what it was decided.
    snapshot: Arc<Snapshot>,
}

/// What a request was let in to.
struct Entered {
    app: Arc<AppState>,
    /// None where everyone may come in.
    grant: Option<Grant>,
}

impl Gateway {
    /// Makes the data plane of `replica`; what outlives a request runs on `tasks`.
    #[must_use]
    pub fn new(
        replica: Arc<Replica>,
        clock: Arc<dyn Clock>,
        upstreams: Arc<Upstreams>,
        tasks: TaskTracker,
    ) -> Self {
        // Without sessions any replica answers any request, in every protocol version. Host and
        // Origin are checked at the door, by the app's public URL.
        let protocol = StreamableHttpServerConfig::default()
            .with_legacy_session_mode(false)
            .with_json_response(true)
            .with_max_request_body_bytes(limits::BODY_BYTES)
            .disable_allowed_hosts()
            .disable_allowed_origins();
        Self {
            means: Means {
                replica,
                clock,
                tasks,
                runs: Arc::new(Semaphore::new(limits::RUN_COUNT)),
            },
            upstreams,
            bodies: Bodies::new(),
            protocol,
            sessions: Arc::default(),
            refused: CountsBy::new(REASONS),
        }
    }

    /// How many requests were refused, by why.
    #[must_use]
    pub fn refused(&self) -> Vec<(&'static str, u64)> {
        self.refused.read()
    }

    fn refuse(&self, refused: &Refused, realm: &str) -> Response {
        self.refused.count(refused.reason());
        refused.log(realm);
        refused.response(realm)
    }

    /// Makes what answers the requests of one connection; copies of it are the same.
    #[must_use]
    pub fn service(self: &Arc<Self>, Hangup(hangup): Hangup) -> Service {
        let hangup = Arc::new(hangup);
        Service(Arc::new(Connection { gateway: Arc::clone(self), hangup, last: Last::default() }))
    }

    async fn answer(&self, request: &mut Request, connection: &Connection) -> Response {
        if probe::is_one(request) {
            return probe::answer(&self.means.replica);
        }
        let routing = self.means.replica.last_snapshot();
        let app = match address::app(&routing, request.uri(), request.headers()) {
            Ok(app) => app,
            Err(refused) => return self.refuse(&refused, "keyward"),
        };
        // Before anything is registered: what ends the waiting for a lease may cut everything.
        if self.means.replica.admit().await.is_err() {
            return self.refuse(&Refused::Unavailable(SUSPENDED), &app.name);
        }
        let answered = match self.admit(app, request, connection) {
            Err(refused) => Err(refused),
            Ok(admitted) => match &admitted.decided.claim.upstream {
                // Large, and every request's future would be as large as its largest part.
                None => Box::pin(self.call(&admitted, request))
                    .await
                    .map(|response| guard(response, admitted.open)),
                Some(_) => self
                    .pass_on(&admitted, request)
                    .await
                    .map(|response| guard(response, admitted.open)),
            },
        };
        answered.unwrap_or_else(|refused| self.refuse(&refused, &app.name))
    }

    fn admit(
        &self,
        app: &AppState,
        request: &Request,
        connection: &Connection,
    ) -> Result<Admitted, Refused> {
        #[cfg(feature = "broken")]
        if broken::holds_up(Rule::RegisterAfterCheck) {
            return self.admit_held_up(app, request, connection);
        }
        if let Some(decided) = connection.last.get(app.id, request) {
            let open = self.open(&decided.claim, connection);
            let snapshot = self.snapshot()?;
            if decided.is_by(&snapshot) {
                // Time alone has moved on.
                open.trusted()?;
                open.accepted();
                return Ok(Admitted { decided, open, snapshot });
            }
        }
        let (claim, key) = Self::read(app, request)?;
        let open = self.open(&claim, connection);
        let snapshot = self.snapshot()?;
        let Entered { grant, .. } = self.enter(&snapshot, &claim, key.as_ref())?;
        open.accepted();
        let decided = Arc::new(Decided::new(claim, key, grant, &snapshot));
        connection.last.set(app.id, request, &decided);
        Ok(Admitted { decided, open, snapshot })
    }

    /// Registers a response, before anything of it is decided.
    fn open(&self, claim: &Arc<Claim>, connection: &Connection) -> OpenResponse {
        self.means.replica.open(Arc::clone(claim), Arc::clone(&connection.hangup))
    }

    /// Reads what a request asks for, and with what.
    fn read(app: &AppState, request: &Request) -> Result<(Arc<Claim>, Option<Presented>), Refused> {
        let path = request.uri().path();
        let server = match address::target(app, path) {
            Target::Server(server) => server,
            Target::Register if request.method() == Method::POST && !is_open(app) => {
                return Err(Refused::NoRegistration);
            }
            Target::Register | Target::Nothing => return Err(nothing_here(app, path)),
        };
        if !app.app.authentication().admits_api_keys() {
            return Err(access_tokens_only());
        }
        let key = match Credential::read(request.headers()).map_err(unreadable)? {
            Credential::Absent => None,
            Credential::ApiKey(presented) => Some(presented),
            Credential::AccessToken => {
                return Err(Refused::Unauthenticated {
                    reason: "access_token",
                    message:
                        "this server takes API keys, not access tokens: send an API key in the \
                              header X-API-Key"
                            .to_owned(),
                });
            }
        };
        let claim = Claim {
            app: app.id,
            upstream: app.server(&server).and_then(Server::upstream).cloned(),
            server,
            key: key.as_ref().map(|presented| presented.claims().clone()),
            is_operators: false,
        };
        Ok((Arc::new(claim), key))
    }

    /// Answers a request to a server of workflows.
    async fn call(&self, admitted: &Admitted, request: &mut Request) -> Result<Response, Refused> {
        let Admitted { decided, open, snapshot } = admitted;
        if request.method() != Method::POST {
            return Err(Refused::Method("POST"));
        }
        let (parts, body) = std::mem::take(request).into_parts();
        let reading = pin!(self.bodies.read(declared_length(&parts.headers), body));
        let (body, room) = until_cut(open, reading).await??;
        let entered = self.enter_again(snapshot, decided)?;
        let Entered { app, grant } = match entered {
            Some(entered) => entered,
            None => Entered {
                app: Arc::clone(app_of(snapshot, &decided.claim)?),
                grant: decided.grant.clone(),
            },
        };
        let tools = ToolServer::new(app, &decided.claim.server, grant, &self.means);
        let serving = pin!(self.serve(tools, parts, body));
        let response = until_cut(open, serving).await??;
        drop(room);
        Ok(response)
    }

    /// Passes a request on to an upstream.
    async fn pass_on(
        &self,
        admitted: &Admitted,
        request: &mut Request,
    ) -> Result<Response<Answer>, Refused> {
        credential::strip(request.headers_mut());
        let Decided { claim, key, grant, .. } = &*admitted.decided;
        let passage = self.upstreams.prepare(claim, key.as_ref(), request)?;
        let grant = grant.as_ref();
        if passage.needs_whole_body(grant, request.method()) {
            let passing = Box::pin(self.pass_whole(admitted, &passage, request));
            return Ok(passing.await?.map(Answer::Made));
        }
        let passing = pin!(self.upstreams.pass(&passage, grant, request));
        until_cut(&admitted.open, passing).await?
    }

    /// Passes a request on that goes nowhere before all of it is here.
    async fn pass_whole(
        &self,
        admitted: &Admitted,
        passage: &Passage<'_>,
        request: &mut Request,
    ) -> Result<Response, Refused> {
        let Admitted { decided, open, snapshot } = admitted;
        let (parts, body) = std::mem::take(request).into_parts();
        let reading = pin!(self.bodies.read(declared_length(&parts.headers), body));
        let (body, _room) = until_cut(open, reading).await??;
        let again = self.enter_again(snapshot, decided)?;
        let grant = again.as_ref().map_or(&decided.grant, |again| &again.grant).as_ref();
        let passing = pin!(self.upstreams.pass_whole(passage, grant, parts, body));
        until_cut(open, passing).await?
    }

    fn snapshot(&self) -> Result<Arc<Snapshot>, Refused> {
        self.means.replica.snapshot().map_err(|_| Refused::Unavailable(SUSPENDED))
    }

    /// Decides whether the request may go on: by its key, and then by whether the server is there.
    fn enter(
        &self,
        snapshot: &Snapshot,
        claim: &Claim,
        key: Option<&Presented>,
    ) -> Result<Entered, Refused> {
        let Claim { server, upstream, .. } = claim;
        let app = app_of(snapshot, claim)?;
        let grant = self.check(app, server, key)?;
        let served = served(app, server)?;
        if served.upstream() != upstream.as_ref() {
            return Err(Cut::ServerChanged.into());
        }
        Ok(Entered { app: Arc::clone(app), grant })
    }

    /// A body may take its time. What the call may do is decided by what holds when it begins: none is
    /// what held before.
    fn enter_again(
        &self,
        before: &Arc<Snapshot>,
        decided: &Decided,
    ) -> Result<Option<Entered>, Refused> {
        let now = self.snapshot()?;
        if Arc::ptr_eq(before, &now) {
            return Ok(None);
        }
        self.enter(&now, &decided.claim, decided.key.as_ref()).map(Some)
    }

    /// Decides by the snapshot's app alone what the claim may reach; none is everything, for a
    /// request without a credential on an app that lets everyone in.
    fn check(
        &self,
        app: &AppState,
        server: &str,
        key: Option<&Presented>,
    ) -> Result<Option<Grant>, Refused> {
        let authentication = app.app.authentication();
        let Some(presented) = key else {
            return match (authentication.accepts_everyone(), authentication.accepts_api_keys()) {
                (true, _) => Ok(None),
                (false, true) => Err(Refusal::Missing.into()),
                (false, false) => Err(access_tokens_only()),
            };
        };
        if !authentication.admits_api_keys() {
            return Err(access_tokens_only());
        }
        let grant = app.ring.check(presented, self.means.clock.now())?;
        if !grant.reaches_server(server) {
            let refusal = Refusal::OutOfScope { server: server.to_owned(), tool: None };
            let (reason, message) = (refusal.as_str(), refusal.to_string());
            return Err(Refused::Forbidden { reason, message });
        }
        Ok(Some(grant))
    }

    async fn serve(
        &self,
        tools: ToolServer,
        mut parts: Parts,
        body: Bytes,
    ) -> Result<Response, Refused> {
        credential::strip(&mut parts.headers);
        parts.extensions.clear();
        accept_both(&mut parts.headers);
        let is_json = has_type(&parts.headers, CONTENT_TYPE, JSON);
        let service = StreamableHttpService::new(
            move || Ok(tools.clone()),
            Arc::clone(&self.sessions),
            self.protocol.clone(),
        );
        let response = service.handle(Request::from_parts(parts, Full::new(body))).await;
        smooth(response.map(Body::new), is_json)
    }
}

fn app_of<'s>(snapshot: &'s Snapshot, claim: &Claim) -> Result<&'s Arc<AppState>, Cut> {
    snapshot.apps().iter().find(|app| app.id == claim.app).ok_or(Cut::ServerGone)
}

/// Finds the server, which only who may reach it is told of.
fn served<'a>(app: &'a AppState, name: &str) -> Result<&'a Server, Refused> {
    if !app.app.mcp_enabled() {
        return Err(Refused::NotFound(
            "this app's MCP endpoints are off: \
             extensions.workflow.McpServerEndpoints.enable in its host.json is not true"
                .to_owned(),
        ));
    }
    match app.server(name) {
        Some(server) if server.is_enabled() => Ok(server),
        Some(_) => Err(Refused::NotFound("this server is disabled".to_owned())),
        None => Err(Refused::NotFound(
            "this app has no server of that name: `keyward server list` shows them".to_owned(),
        )),
    }
}

fn guard<B>(response: Response<B>, open: OpenResponse) -> Response
where
    B: http_body::Body<Data = Bytes, Error = axum::Error> + Send + Unpin + 'static,
{
    let headers = response.headers();
    let is_stream =
        has_type(headers, CONTENT_TYPE, EVENT_STREAM) && !headers.contains_key(CONTENT_ENCODING);
    response.map(|body| Body::new(Guarded::new(body, open, is_stream)))
}

fn is_open(app: &AppState) -> bool {
    app.app.authentication().accepts_everyone()
}

/// Says where the app's servers are to who has found the app.
fn nothing_here(app: &AppState, path: &str) -> Refused {
    if address::below(&app.public_url, path).is_none() {
        let message = "nothing is served at this path: use the URL that you were given";
        return Refused::NotFound(message.to_owned());
    }
    let base = app.public_url.as_str().trim_end_matches('/');
    let prefix = app.app.route_prefix();
    let slash = if prefix.is_empty() { "" } else { "/" };
    Refused::NotFound(format!(
        "nothing is served at this path: MCP servers are at {base}{slash}{prefix}/mcp and \
         {base}{slash}{prefix}/mcpservers/NAME/mcp"
    ))
}

fn unreadable(why: Unreadable) -> Refused {
    match why {
        Unreadable::ApiKey(refusal) => refusal.into(),
        Unreadable::Headers(message) => {
            Refused::Unauthenticated { reason: "repeated", message: message.to_owned() }
        }
    }
}

fn access_tokens_only() -> Refused {
    Refused::Forbidden {
        reason: "access_token",
        message: "this app's host.json says authentication type OAuth2, and this version of Keyward cannot \
         check access tokens yet: nothing is let in until the type is ApiKey"
            .to_owned(),
    }
}

/// The protocol wants both types named; clients that take anything, curl among them, mean both.
fn accept_both(headers: &mut HeaderMap) {
    let takes_anything =
        |value: &HeaderValue| value.as_bytes().windows(3).any(|part| part == b"*/*");
    if headers.get_all(ACCEPT).iter().next().is_none()
        || headers.get_all(ACCEPT).iter().any(takes_anything)
    {
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
    }
}

/// rmcp answers what is not a message in plain text, and bad JSON as a wrong media type; clients
/// read neither.
fn smooth(response: Response, is_json: bool) -> Result<Response, Refused> {
    let status = response.status();
    if !status.is_client_error() || has_type(response.headers(), CONTENT_TYPE, JSON) {
        return Ok(response);
    }
    match status {
        StatusCode::UNSUPPORTED_MEDIA_TYPE if is_json => Err(Refused::NotAMessage),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Err(Refused::MediaType),
        StatusCode::NOT_ACCEPTABLE => Err(Refused::NotAcceptable),
        StatusCode::PAYLOAD_TOO_LARGE => Err(Refused::TooLarge(limits::BODY_BYTES)),
        _ => Ok(response),
    }
}

fn has_type(headers: &HeaderMap, name: http::HeaderName, media_type: &str) -> bool {
    headers.get(name).and_then(|value| value.to_str().ok()).is_some_and(|value| {
        let essence = value.split(';').next().unwrap_or_default();
        essence.trim().eq_ignore_ascii_case(media_type)
    })
}
