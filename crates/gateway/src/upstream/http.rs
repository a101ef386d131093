//! Upstreams over HTTP: bytes stream through both ways, over connections that are kept.

mod kept;

use std::error::Error as StdError;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use app::HttpUpstream;
use axum::body::Body;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, LOCATION, TRANSFER_ENCODING, VIA};
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri, Version};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};
use tokio::time::{Sleep, sleep};
use tracing::{debug, warn};

use self::kept::{Connections, Exchange, Failure};
use crate::limits;
use crate::refusal::Refused;

/// What concerns one connection and not what is sent over it (RFC 9110, 7.6.1).
fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// What a caller says that an upstream must not hear: proofs of who calls, which are ours, and words
/// that only a proxy may add.
fn is_callers_own(name: &str) -> bool {
    matches!(
        name,
        "host"
            | "origin"
            | "referer"
            | "cookie"
            | "expect"
            | "forwarded"
            | "proxy-authorization"
            | "x-real-ip"
    ) || name.starts_with("x-forwarded-")
}

/// What an upstream says to its caller, which is Keyward, and what would bind the client to it.
fn is_upstreams_own(name: &str) -> bool {
    matches!(
        name,
        "www-authenticate"
            | "proxy-authenticate"
            | "set-cookie"
            | "alt-svc"
            | "strict-transport-security"
            | "clear-site-data"
    )
}

/// Connections to all upstreams over HTTP.
#[derive(Debug)]
pub(crate) struct Client {
    /// By what it knows its own requests again (RFC 9110, 7.6.3).
    via: HeaderValue,
    plain: Arc<Connections>,
    /// Made when the first upstream needs it: the system's roots take a megabyte.
    tls: OnceLock<Pool<HttpsConnector<HttpConnector>, Arriving>>,
}

impl Client {
    pub(crate) fn new() -> Self {
        let name = format!("1.1 keyward-{}", uuid::Uuid::new_v4().simple());
        let via = HeaderValue::try_from(name).unwrap_or(HeaderValue::from_static("1.1 keyward"));
        Self { via, plain: Arc::new(Connections::new(connector())), tls: OnceLock::new() }
    }

    /// Whether a request with these headers has come from here: an upstream that leads back to this
    /// very server would be asked without end.
    pub(crate) fn has_sent(&self, headers: &HeaderMap) -> bool {
        let own = self.via.as_bytes();
        headers.get_all(VIA).iter().any(|via| {
            via.as_bytes().split(|byte| *byte == b',').any(|part| part.trim_ascii() == own)
        })
    }

    /// Sends a request on and gives the upstream's answer, whose body arrives as it is read. The request
    /// is taken.
    ///
    /// It has no credentials any more. One that is dropped is ended at the upstream too.
    pub(crate) async fn send(
        &self,
        upstream: &HttpUpstream,
        request: &mut Request<Body>,
    ) -> Result<Response<Arrived>, Refused> {
        let mut request = outgoing(upstream, std::mem::take(request));
        request.headers_mut().append(VIA, self.via.clone());
        let uri = upstream.uri();
        let sent = match uri.authority() {
            Some(authority) if uri.scheme() == Some(&Scheme::HTTP) => {
                name_origin(&mut request, authority.as_str());
                let sent = self.plain.send(uri, authority, &mut request).await;
                sent.map(|response| response.map(Arrived::Kept))
            }
            _ => Box::pin(self.send_over_tls(request)).await,
        };
        match sent {
            Ok(response) => receive(upstream, response),
            Err(failure) => Err(unreachable(upstream, &failure)),
        }
    }

    async fn send_over_tls(
        &self,
        request: Request<Arriving>,
    ) -> Result<Response<Arrived>, Failure> {
        let pool = self.tls.get_or_init(tls_pool);
        match tokio::time::timeout(limits::FIRST_BYTE, pool.request(request)).await {
            Ok(Ok(response)) => Ok(response.map(Arrived::Pooled)),
            Ok(Err(error)) if error.is_connect() => Err(Failure::Connect(error.into())),
            Ok(Err(error)) => Err(Failure::Exchange(error.into())),
            Err(_) => Err(Failure::Late),
        }
    }

    /// Closes the connections that wait for nothing any more; to be called now and then.
    pub(crate) fn tidy(&self) {
        self.plain.tidy();
    }
}

/// The body of an upstream's answer.
pub(crate) enum Arrived {
    /// Over plain HTTP/1.1.
    Kept(Exchange),
    /// Over TLS, which chooses the version.
    Pooled(Incoming),
}

impl http_body::Body for Arrived {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Kept(exchange) => Pin::new(exchange).poll_frame(cx),
            Self::Pooled(incoming) => Pin::new(incoming).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Kept(exchange) => exchange.is_end_stream(),
            Self::Pooled(incoming) => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Kept(exchange) => exchange.size_hint(),
            Self::Pooled(incoming) => incoming.size_hint(),
        }
    }
}

fn tls_pool() -> Pool<HttpsConnector<HttpConnector>, Arriving> {
    Pool::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(limits::UPSTREAM_IDLE)
        .pool_max_idle_per_host(limits::UPSTREAM_IDLE_COUNT)
        .http1_max_headers(limits::HEADER_COUNT)
        .timer(TokioTimer::new())
        .http2_keep_alive_interval(limits::UPSTREAM_PING)
        .http2_max_header_list_size(u32::try_from(limits::HEADER_BYTES).unwrap_or(u32::MAX))
        .build(tls_connector())
}

fn connector() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_keepalive(Some(limits::UPSTREAM_PING));
    connector.set_connect_timeout(Some(limits::CONNECT));
    // The other connector wraps this one.
    connector.enforce_http(false);
    connector
}

fn tls_connector() -> HttpsConnector<HttpConnector> {
    let config = ClientConfig::builder();
    let config = match config.with_native_roots() {
        Ok(config) => config.with_no_client_auth(),
        Err(error) => {
            warn!(
                error = &error as &dyn std::error::Error,
                "No certificate authorities were found on this machine, so no https upstream can be \
                 trusted: install ca-certificates, or name a file of them in SSL_CERT_FILE"
            );
            ClientConfig::builder()
                .with_root_certificates(RootCertStore::empty())
                .with_no_client_auth()
        }
    };
    HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(connector())
}

fn outgoing(upstream: &HttpUpstream, request: Request<Body>) -> Request<Arriving> {
    let (mut parts, body) = request.into_parts();
    strip(&mut parts.headers, is_callers_own);
    for (name, value) in upstream.headers() {
        parts.headers.insert(name, value.clone());
    }
    parts.uri = upstream.uri().clone();
    // The pool chooses what the connection speaks.
    parts.version = Version::HTTP_11;
    parts.extensions.clear();
    Request::from_parts(parts, Arriving { body, deadline: None, upload: None })
}

/// Makes of an absolute URI the form in which a server is asked for it (RFC 9112, 3.2.1).
fn name_origin(request: &mut Request<Arriving>, authority: &str) {
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = Uri::from(path.unwrap_or(PathAndQuery::from_static("/")));
    if let Ok(host) = HeaderValue::from_str(authority) {
        request.headers_mut().entry(HOST).or_insert(host);
    }
}

fn receive(
    upstream: &HttpUpstream,
    mut response: Response<Arrived>,
) -> Result<Response<Arrived>, Refused> {
    let status = response.status();
    // Passed on, a 401 would have clients sign in with us, and a redirect would lead them past us.
    if matches!(
        status,
        StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::PROXY_AUTHENTICATION_REQUIRED
    ) {
        return Err(Refused::bad_gateway(format!(
            "the MCP server behind this URL does not let Keyward in: {} answered {status}. Whoever \
             runs this server corrects its credentials (`headers` in mcp.json)",
            place(upstream)
        )));
    }
    if status.is_redirection() && response.headers().contains_key(LOCATION) {
        return Err(Refused::bad_gateway(format!(
            "the MCP server behind this URL has moved: {} answered {status}, and redirects are not \
             followed. Whoever runs this server corrects its `url` in mcp.json",
            place(upstream)
        )));
    }
    if status.is_informational() {
        return Err(Refused::bad_gateway(format!(
            "the MCP server behind this URL gave no answer: {} answered {status}, which nobody asked for",
            place(upstream)
        )));
    }
    let headers = response.headers_mut();
    if headers.contains_key(TRANSFER_ENCODING) {
        // It overrides the length (RFC 9112, 6.3), and does not go on from here.
        headers.remove(CONTENT_LENGTH);
    }
    strip(headers, is_upstreams_own);
    *response.version_mut() = Version::HTTP_11;
    response.extensions_mut().clear();
    Ok(response)
}

/// Takes out what concerns one connection, and what `is_unwanted` besides.
fn strip(headers: &mut HeaderMap, is_unwanted: fn(&str) -> bool) {
    if headers.contains_key(CONNECTION) {
        strip_named(headers);
    }
    while let Some(name) = headers
        .keys()
        .find(|name| is_hop_by_hop(name.as_str()) || is_unwanted(name.as_str()))
        .cloned()
    {
        headers.remove(name);
    }
}

/// Takes out what the other side itself names as belonging to the connection.
fn strip_named(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .filter_map(|name| name.trim().parse().ok())
        // A message without its length would be another message.
        .filter(|name| *name != CONTENT_LENGTH)
        .collect();
    for name in named {
        headers.remove(name);
    }
}

/// Where the upstream is, without its path and its query, which may be secrets.
fn place(upstream: &HttpUpstream) -> String {
    let uri = upstream.uri();
    format!(
        "{}://{}",
        uri.scheme_str().unwrap_or_default(),
        uri.authority().map_or("", |a| a.as_str())
    )
}

fn unreachable(upstream: &HttpUpstream, failure: &Failure) -> Refused {
    let (error, is_connect) = match failure {
        Failure::Connect(error) => (&**error, true),
        Failure::Exchange(error) => (&**error, false),
        Failure::Late => {
            return Refused::Upstream {
                status: StatusCode::GATEWAY_TIMEOUT,
                message: format!(
                    "the MCP server behind this URL did not answer within {} minutes",
                    limits::FIRST_BYTE.as_secs() / 60
                ),
            };
        }
    };
    if causes(error).any(|cause| cause.is::<TooSlow>()) {
        return Refused::Slow;
    }
    let kind = causes(error).find_map(|cause| Some(cause.downcast_ref::<io::Error>()?.kind()));
    let is_tls = causes(error).any(|cause| cause.is::<rustls::Error>());
    let place = place(upstream);
    debug!(error = error as &dyn StdError, "No answer from {place}");
    if causes(error)
        .filter_map(|cause| cause.downcast_ref::<hyper::Error>())
        .any(hyper::Error::is_parse)
    {
        return Refused::bad_gateway(format!(
            "the MCP server behind this URL gave no answer that can be read: what {place} sent is not HTTP, \
             or has more or longer headers than are taken here"
        ));
    }
    let why = match (is_connect, is_tls, kind) {
        (_, true, _) => "its TLS certificate is not trusted here, or it speaks no TLS".to_owned(),
        (true, _, Some(io::ErrorKind::ConnectionRefused)) => {
            "the connection was refused".to_owned()
        }
        (true, _, Some(io::ErrorKind::TimedOut)) => {
            format!("no connection within {} s", limits::CONNECT.as_secs())
        }
        (true, _, _) => "no connection could be made, or its name is not known".to_owned(),
        (false, _, _) => "the connection ended before an answer came".to_owned(),
    };
    Refused::bad_gateway(format!(
        "the MCP server behind this URL cannot be reached: {place}: {why}"
    ))
}

/// An error and what it comes from, the outermost first.
fn causes<'e>(
    error: &'e (dyn StdError + 'static),
) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&cause| match cause.downcast_ref::<io::Error>() {
        // Its own source is that of what it wraps, past what it wraps.
        Some(io) => io.get_ref().map(|wrapped| wrapped as &(dyn StdError + 'static)),
        None => cause.source(),
    })
}

/// A client took too long to send a request's body.
#[derive(Debug, thiserror::Error)]
#[error("the request body took too long to arrive")]
struct TooSlow;

/// A request's body on its way, which must arrive in time.
#[derive(Default)]
struct Arriving {
    body: Body,
    /// Set once the body makes wait: most never do.
    deadline: Option<Pin<Box<Sleep>>>,
    /// Tells by its end that no more of the body is wanted.
    upload: Option<Arc<()>>,
}

impl http_body::Body for Arriving {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        let deadline = this.deadline.get_or_insert_with(|| Box::pin(sleep(limits::UPLOAD_TIME)));
        ready!(deadline.as_mut().poll(cx));
        Poll::Ready(Some(Err(axum::Error::new(TooSlow))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
