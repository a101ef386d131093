//! The least that a proxy behind API keys can be: one HMAC per request, then bytes through, unbuffered.
//!
//! `bare HOST:PORT` forwards to that upstream. It listens on a free port of loopback and prints one
//! line of JSON: where, and a key to present in `X-API-Key`.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http_body_util::{Either, Empty};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HOST, HeaderMap};
use hyper::http::uri::{Authority, PathAndQuery, Scheme, Uri};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use sha2::Sha256;
use tokio::net::{TcpListener, TcpSocket};

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const KEY: &str = "x-api-key";
const KEY_ID: &str = "bench-0001";

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

struct Proxy {
    client: Client<HttpConnector, Incoming>,
    upstream: Authority,
    /// Keyed once; a check works on a copy.
    mac: Hmac<Sha256>,
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let upstream = std::env::args().nth(1).ok_or("usage: bare HOST:PORT")?.parse()?;
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_secs(90))
        .build(connector);
    let mut secret = [0; 32];
    getrandom::fill(&mut secret)?;
    let proxy = Arc::new(Proxy { client, upstream, mac: Hmac::new_from_slice(&secret)? });

    let listener = listen()?;
    let tag = proxy.mac.clone().chain_update(KEY_ID).finalize().into_bytes();
    let key = format!("{KEY_ID}.{}", URL_SAFE_NO_PAD.encode(tag));
    println!(r#"{{"listen":"{}","key":"{key}"}}"#, listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let proxy = Arc::clone(&proxy);
        tokio::spawn(async move {
            let service = service_fn(|request| proxy.answer(request));
            // A client that goes away is no matter of the proxy's.
            let server = hyper::server::conn::http1::Builder::new();
            drop(server.serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

fn listen() -> Outcome<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(([127, 0, 0, 1], 0).into())?;
    Ok(socket.listen(4096)?)
}

impl Proxy {
    async fn answer(
        &self,
        mut request: Request<Incoming>,
    ) -> Outcome<Response<Either<Incoming, Empty<Bytes>>>> {
        if self.check(request.headers()).is_none() {
            return refuse(StatusCode::UNAUTHORIZED);
        }
        for name in [KEY, HOST.as_str(), CONNECTION.as_str()] {
            request.headers_mut().remove(name);
        }
        let path = request.uri().path_and_query().cloned();
        *request.uri_mut() = Uri::builder()
            .scheme(Scheme::HTTP)
            .authority(self.upstream.clone())
            .path_and_query(path.unwrap_or(PathAndQuery::from_static("/")))
            .build()?;
        let Ok(mut response) = self.client.request(request).await else {
            return refuse(StatusCode::BAD_GATEWAY);
        };
        response.headers_mut().remove(CONNECTION);
        Ok(response.map(Either::Left))
    }

    /// `ID.TAG`, where the tag is the base64url of the HMAC-SHA-256 over the id.
    fn check(&self, headers: &HeaderMap) -> Option<()> {
        let (id, tag) = headers.get(KEY)?.to_str().ok()?.split_once('.')?;
        let mut bytes = [0; 32];
        URL_SAFE_NO_PAD.decode_slice(tag, &mut bytes).ok()?;
        self.mac.clone().chain_update(id).verify_slice(&bytes).ok()
    }
}

fn refuse(status: StatusCode) -> Outcome<Response<Either<Incoming, Empty<Bytes>>>> {
    Ok(Response::builder().status(status).body(Either::Right(Empty::new()))?)
}
