use std::pin::pin;
use std::sync::Arc;

use app::Server;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt as _, Full};
use keys::{Clock, Grant, Presented, Refusal};
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use store::{AppState, Claim, Replica, Snapshot};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;
use tracing::debug;

use crate::address::{self, Target};
use crate::credential::{self, Credential, Unreadable};
use crate::guard::{Guarded, until_cut};
use crate::hangup::Hangup;
use crate::limits;
use crate::refusal::Refused;
use crate::tools::{Means, ToolServer};

const JSON: &str = "application/json";
const EVENT_STREAM: &str = "text/event-stream";

/// The data plane of one replica.
#[derive(Debug)]
pub struct Gateway {
    means: Means,
    /// The room for request bodies, in KiB.
    bodies: Arc<Semaphore>,
    protocol: StreamableHttpServerConfig,
    sessions: Arc<NeverSessionManager>,
}

impl Gateway {
    /// Makes the data plane of `replica`; what outlives a request runs on `tasks`.
    #[must_use]
    pub fn new(replica: Arc<Replica>, clock: Arc<dyn Clock>, tasks: TaskTracker) -> Self {
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
            bodies: Arc::new(Semaphore::new(limits::BODIES_KIB)),
            protocol,
            sessions: Arc::default(),
        }
    }

    /// Answers every request of the data plane's listener.
    pub fn router(self) -> Router {
        Router::new().fallback(answer).with_state(Arc::new(self))
    }

    async fn admit(&self, app: &AppState, request: Request) -> Result<Response, Refused> {
        let server = match address::target(app, request.uri().path()) {
            Target::Server(server) => server,
            Target::Register if request.method() == Method::POST && !is_open(app) => {
                return Err(Refused::NoRegistration);
            }
            Target::Register | Target::Nothing => return Err(nothing_here(app)),
        };
        if !app.app.authentication().admits_api_keys() {
            return Err(access_tokens_only());
        }
        let key = match Credential::read(request.headers()).map_err(unreadable)? {
            Credential::Absent => None,
            Credential::ApiKey(presented) => Some(presented),
            Credential::AccessToken => {
                return Err(Refused::Unauthenticated(
                    "this server takes API keys, not access tokens: send an API key in the header \
                     X-API-Key"
                        .to_owned(),
                ));
            }
        };
        let claims = key.as_ref().map(|presented| presented.claims().clone());
        let Hangup(hangup) = request.extensions().get().cloned().unwrap_or_default();
        let upstream = app.server(&server).and_then(Server::upstream).cloned();
        let claim = Claim { app: app.id, server: server.clone(), upstream, key: claims };
        let open = self.means.replica.open(claim, hangup);
        let snapshot = self.snapshot()?;
        let mut tools = self.tools(&snapshot, app, &server, key.as_ref())?;
        open.accepted();
        if request.method() != Method::POST {
            return Err(Refused::Method("POST"));
        }
        let (parts, body) = request.into_parts();
        let reading = pin!(self.read(declared_length(&parts.headers), body));
        let (body, room) = until_cut(&open, reading).await??;
        // A body may take its time. What the call may do is decided by what holds when it begins.
        let now = self.snapshot()?;
        if !Arc::ptr_eq(&snapshot, &now) {
            tools = self.tools(&now, app, &server, key.as_ref())?;
        }
        let serving = pin!(self.serve(tools, parts, body));
        let response = until_cut(&open, serving).await??;
        drop(room);
        let is_stream = has_type(response.headers(), CONTENT_TYPE, EVENT_STREAM);
        Ok(response.map(|body| Body::new(Guarded::new(body, open, is_stream))))
    }

    fn snapshot(&self) -> Result<Arc<Snapshot>, Refused> {
        self.means.replica.snapshot().map_err(|_| {
            Refused::Unavailable("this replica has lost touch with its store or is shutting down")
        })
    }

    /// The server that was asked for, as far as the key reaches it.
    fn tools(
        &self,
        snapshot: &Snapshot,
        app: &AppState,
        server: &str,
        key: Option<&Presented>,
    ) -> Result<ToolServer, Refused> {
        let mut apps = snapshot.apps().iter();
        let app = apps.find(|current| current.id == app.id).ok_or_else(|| nothing_here(app))?;
        let grant = self.check(app, server, key)?;
        ToolServer::new(Arc::clone(app), server, grant, &self.means)
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
            return Err(Refused::Forbidden(refusal.to_string()));
        }
        Ok(Some(grant))
    }

    /// Reads the whole body, within its bounds of size, time and memory. The permit is its memory's.
    async fn read(
        &self,
        declared: Option<u64>,
        body: Body,
    ) -> Result<(Bytes, OwnedSemaphorePermit), Refused> {
        if declared.is_some_and(|length| length > limits::BODY_BYTES as u64) {
            return Err(Refused::TooLarge(limits::BODY_BYTES));
        }
        let reading = async {
            let mut body = pin!(body);
            let mut bytes = BytesMut::new();
            let mut room = self.room_for(1)?;
            while let Some(frame) = body.frame().await {
                let Ok(data) = frame.map_err(|_| Refused::Broken)?.into_data() else { continue };
                let length = bytes.len() + data.len();
                if length > limits::BODY_BYTES {
                    return Err(Refused::TooLarge(limits::BODY_BYTES));
                }
                // Charged as it arrives: who declares much and sends little takes little.
                room.merge(self.room_for(length / 1024 + 1 - room.num_permits())?);
                bytes.extend_from_slice(&data);
            }
            Ok((bytes.freeze(), room))
        };
        match tokio::time::timeout(limits::BODY_TIME, reading).await {
            Ok(read) => read,
            Err(_) => Err(Refused::Slow),
        }
    }

    fn room_for(&self, kib: usize) -> Result<OwnedSemaphorePermit, Refused> {
        let kib = u32::try_from(kib).unwrap_or(u32::MAX);
        Arc::clone(&self.bodies)
            .try_acquire_many_owned(kib)
            .map_err(|_| Refused::Unavailable("too many large requests are under way"))
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

fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

async fn answer(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let routing = gateway.means.replica.last_snapshot();
    let app = match address::app(&routing, request.uri(), request.headers()) {
        Ok(app) => app,
        Err(refused) => return refused.response("keyward"),
    };
    match gateway.admit(app, request).await {
        Ok(response) => response,
        Err(refused) => {
            debug!(app.name = %app.name, ?refused, "Refused a request to {}", app.name);
            refused.response(&app.name)
        }
    }
}

fn is_open(app: &AppState) -> bool {
    app.app.authentication().accepts_everyone()
}

fn nothing_here(app: &AppState) -> Refused {
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
        Unreadable::Headers(message) => Refused::Unauthenticated(message.to_owned()),
    }
}

fn access_tokens_only() -> Refused {
    Refused::Forbidden(
        "this app's host.json says authentication type OAuth2, and this version of Keyward cannot \
         check access tokens yet: nothing is let in until the type is ApiKey"
            .to_owned(),
    )
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
