//! MCP servers that exist already, over HTTP.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use futures::StreamExt as _;
use futures::channel::mpsc;
use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt as _;
use keys::{ApiKey, RevokedId, Slot};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tower::ServiceExt as _;

use crate::harness::{Answer, Fixture, bare, host, message, request};

pub(crate) const EDITOR: &str = "/api/mcpservers/editor/mcp";
pub(crate) const OTHER: &str = "/api/mcpservers/other/mcp";

/// What an upstream was asked.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    method: Method,
    path: String,
    pub(crate) headers: HeaderMap,
    body: Bytes,
}

type Answering = Arc<dyn Fn(&Heard) -> Response + Send + Sync>;

/// An HTTP server that notes what it is asked.
#[derive(Clone)]
pub(crate) struct Upstream {
    pub(crate) url: String,
    pub(crate) heard: Arc<Mutex<Vec<Heard>>>,
}

impl Upstream {
    async fn new(answer: impl Fn(&Heard) -> Response + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/deep/mcp?tenant=7", listener.local_addr().unwrap());
        let upstream = Self { url, heard: Arc::default() };
        let state = (upstream.clone(), Arc::new(answer) as Answering);
        let router = Router::new().fallback(hear).with_state(state);
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        upstream
    }

    /// One that answers every request with this.
    pub(crate) async fn with(
        status: u16,
        headers: &'static [(&str, &str)],
        body: &'static str,
    ) -> Self {
        Self::new(move |_| {
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(*name, *value);
            }
            response.body(body.into()).unwrap()
        })
        .await
    }

    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    fn only(&self) -> Heard {
        let [heard] = self.heard().try_into().unwrap();
        heard
    }
}

async fn hear(
    State((upstream, answer)): State<(Upstream, Answering)>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let heard = Heard {
        method: parts.method,
        path: parts.uri.to_string(),
        headers: parts.headers,
        body: body.collect().await.unwrap().to_bytes(),
    };
    upstream.heard.lock().unwrap().push(heard.clone());
    answer(&heard)
}

/// An app with the upstream as its servers `editor` and `other`.
fn app(upstream: &Upstream) -> Vec<(String, String)> {
    let entry = json!({ "type": "http", "url": upstream.url,
        "headers": { "Authorization": "Bearer upstream-secret", "X-Tenant": "blue" } });
    let servers = json!({ "servers": { "editor": entry, "other": entry } });
    vec![("host.json".to_owned(), host("ApiKey")), ("mcp.json".to_owned(), servers.to_string())]
}

pub(crate) async fn fixture(upstream: &Upstream) -> Arc<Fixture> {
    Arc::new(Fixture::with_files(&app(upstream), "http://localhost:7071").await)
}

pub(crate) fn ping(path: &str, key: &ApiKey) -> Request {
    request(path, Some(key), &message("ping", json!({})))
}

async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn bytes_pass_both_ways_as_they_are() {
    const ANSWER: &str =
        "{ \"jsonrpc\":\"2.0\",\n \"id\" : 1, \"result\": {\"big\":1e400, \"a\":1, \"a\":2} }";
    const QUESTION: &str =
        "{\"id\": 1,   \"jsonrpc\":\"2.0\",\"method\":\"x\", \"params\":{\"n\":1.0e2}}\r\n";
    let upstream = Upstream::with(200, &[("content-type", "application/json")], ANSWER).await;
    let fixture = fixture(&upstream).await;
    let key = fixture.key().await.key;
    let mut asked = bare(EDITOR, Body::from(QUESTION));
    asked.headers_mut().insert("x-api-key", key.expose().parse().unwrap());
    let answer = fixture.send(asked).await;
    assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, ANSWER));
    let heard = upstream.only();
    assert_eq!(heard.method, Method::POST);
    assert_eq!(heard.path, "/deep/mcp?tenant=7");
    assert_eq!(heard.body, QUESTION);
}

#[tokio::test]
async fn the_callers_credentials_stay_and_the_upstreams_own_are_added() {
    let upstream = Upstream::with(202, &[], "").await;
    let fixture = fixture(&upstream).await;
    let key = fixture.key().await.key;
    let mut asked = bare(EDITOR, Body::from("{}"));
    let sent = [
        ("authorization", format!("Bearer {}", key.expose())),
        ("x-api-key", key.expose().to_owned()),
        ("cookie", "session=1".to_owned()),
        ("proxy-authorization", "Basic eA==".to_owned()),
        ("origin", "http://localhost:7071".to_owned()),
        ("x-forwarded-for", "10.0.0.1".to_owned()),
        ("forwarded", "for=10.0.0.1".to_owned()),
        ("x-tenant", "red".to_owned()),
        ("connection", "x-private, keep-alive".to_owned()),
        ("x-private", "1".to_owned()),
        ("te", "trailers".to_owned()),
        ("mcp-method", "ping".to_owned()),
        ("mcp-param-region", "eu".to_owned()),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        ("last-event-id", "7".to_owned()),
    ];
    for (name, value) in &sent {
        asked.headers_mut().insert(*name, value.parse().unwrap());
    }
    assert_eq!(fixture.send(asked).await.status, 202);
    let heard = upstream.only().headers;
    let value = |name: &str| {
        let values: Vec<&str> =
            heard.get_all(name).iter().map(|value| value.to_str().unwrap()).collect();
        values.join("|")
    };
    assert_eq!(value("authorization"), "Bearer upstream-secret");
    assert_eq!(value("x-tenant"), "blue");
    assert!(upstream.url.contains(&value("host")), "{}", value("host"));
    for gone in [
        "x-api-key",
        "cookie",
        "proxy-authorization",
        "origin",
        "x-forwarded-for",
        "forwarded",
        "x-private",
        "te",
        "connection",
    ] {
        assert_eq!(value(gone), "", "{gone}");
    }
    for (name, sent) in &sent[11..] {
        assert_eq!(value(name), *sent, "{name}");
    }
    assert!(!format!("{heard:?}").contains(key.expose()));
}

#[tokio::test]
async fn what_concerns_one_connection_or_binds_to_the_upstream_does_not_come_back() {
    let upstream = Upstream::with(
        200,
        &[
            ("content-type", "application/json"),
            ("connection", "x-hop"),
            ("x-hop", "1"),
            ("set-cookie", "a=b"),
            ("www-authenticate", "Bearer"),
            ("alt-svc", "h3=\":443\""),
            ("x-request-cost", "3"),
        ],
        "{}",
    )
    .await;
    let fixture = fixture(&upstream).await;
    let key = fixture.key().await.key;
    let answer = fixture.send(ping(EDITOR, &key)).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-request-cost"), Some("3"));
    for gone in ["connection", "x-hop", "set-cookie", "www-authenticate", "alt-svc"] {
        assert_eq!(answer.header(gone), None, "{gone}");
    }
}

#[tokio::test]
async fn an_upstream_that_refuses_our_credentials_is_a_bad_gateway_and_no_sign_in() {
    for status in [401, 403, 407] {
        let upstream = Upstream::with(status, &[("www-authenticate", "Bearer")], "secret").await;
        let fixture = fixture(&upstream).await;
        let key = fixture.key().await.key;
        let answer = fixture.send(ping(EDITOR, &key)).await;
        assert_eq!(answer.status, 502);
        assert_eq!(answer.header("www-authenticate"), None);
        let message = answer.refusal();
        assert!(message.contains("does not let Keyward in"), "{message}");
        assert!(!message.contains("secret") && !message.contains("tenant"), "{message}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_not_passed_on() {
    let upstream = Upstream::with(307, &[("location", "http://169.254.169.254/")], "").await;
    let fixture = fixture(&upstream).await;
    let key = fixture.key().await.key;
    let answer = fixture.send(ping(EDITOR, &key)).await;
    assert_eq!(answer.status, 502);
    assert!(answer.refusal().contains("has moved"));
    assert_eq!(answer.header("location"), None);
}

#[tokio::test]
async fn an_upstream_that_is_down_is_a_bad_gateway_that_says_what_was_tried() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let upstream = Upstream { url: format!("{place}/mcp?token=1"), heard: Arc::default() };
    let fixture = fixture(&upstream).await;
    let key = fixture.key().await.key;
    let answer = fixture.send(ping(EDITOR, &key)).await;
    assert_eq!(answer.status, 502);
    let message = answer.refusal();
    assert!(message.contains(&place) && message.contains("refused"), "{message}");
    assert!(!message.contains("token"), "{message}");
}

#[tokio::test]
async fn only_the_methods_of_the_transport_pass() {
    let upstream = Upstream::with(200, &[], "").await;
    let fixture = fixture(&upstream).await;
    let key = fixture.key().await.key;
    for method in [Method::GET, Method::POST, Method::DELETE] {
        let mut asked = ping(EDITOR, &key);
        *asked.method_mut() = method;
        assert_eq!(fixture.send(asked).await.status, 200);
    }
    for method in [Method::PUT, Method::OPTIONS, Method::TRACE, Method::CONNECT, Method::HEAD] {
        let mut asked = ping(EDITOR, &key);
        *asked.method_mut() = method;
        assert_eq!(fixture.send(asked).await.status, 405);
    }
    assert_eq!(upstream.heard().len(), 3);
}

/// An upstream whose answer is an event stream, with what is to be sent on it.
async fn streaming() -> (Upstream, mpsc::UnboundedSender<Result<Bytes, Broken>>) {
    let (frames, stream) = mpsc::unbounded();
    let stream = Mutex::new(Some(stream));
    let upstream = Upstream::new(move |_| {
        let stream = stream.lock().unwrap().take().unwrap();
        Response::builder()
            .header("content-type", "text/event-stream")
            .body(Body::from_stream(stream))
            .unwrap()
    })
    .await;
    (upstream, frames)
}

#[derive(Debug, thiserror::Error)]
#[error("broken")]
struct Broken;

fn listening(key: &ApiKey) -> Request {
    let mut asked = ping(EDITOR, key);
    *asked.method_mut() = Method::GET;
    asked
}

#[tokio::test]
async fn events_pass_as_they_come_and_a_broken_stream_is_an_error() {
    let (upstream, frames) = streaming().await;
    let fixture = fixture(&upstream).await;
    let key = fixture.key().await.key;
    frames.unbounded_send(Ok("data: 1\n\n".into())).unwrap();
    let response = fixture.router.clone().oneshot(listening(&key)).await.unwrap();
    assert_eq!(response.status(), 200);
    let mut stream = response.into_body().into_data_stream();
    assert_eq!(stream.next().await.unwrap().unwrap(), "data: 1\n\n");
    frames.unbounded_send(Ok(": 2\n\n".into())).unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap(), ": 2\n\n");
    frames.unbounded_send(Err(Broken)).unwrap();
    assert!(stream.next().await.unwrap().is_err());
}

#[tokio::test]
async fn a_client_that_goes_away_ends_the_upstreams_stream() {
    let (upstream, frames) = streaming().await;
    let fixture = fixture(&upstream).await;
    let key = fixture.key().await.key;
    frames.unbounded_send(Ok("data: 1\n\n".into())).unwrap();
    let response = fixture.router.clone().oneshot(listening(&key)).await.unwrap();
    drop(response);
    until(|| frames.is_closed()).await;
    assert_eq!(fixture.replica.open_count(), 0);
}

#[tokio::test]
async fn a_client_that_goes_away_before_the_answer_ends_the_upstreams_request() {
    let (asked, gone) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let router = Router::new().fallback({
        let (asked, gone) = (Arc::clone(&asked), Arc::clone(&gone));
        move || {
            let (asked, gone) = (Arc::clone(&asked), OnDrop(Arc::clone(&gone)));
            async move {
                asked.notify_one();
                std::future::pending::<()>().await;
                drop(gone);
                Ok::<_, Infallible>("never")
            }
        }
    });
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let fixture = fixture(&Upstream { url, heard: Arc::default() }).await;
    let key = fixture.key().await.key;
    let call = tokio::spawn(fixture.router.clone().oneshot(ping(EDITOR, &key)));
    asked.notified().await;
    call.abort();
    gone.notified().await;
}

struct OnDrop(Arc<Notify>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

async fn open_stream(fixture: &Arc<Fixture>, key: &ApiKey) -> tokio::task::JoinHandle<String> {
    let response = fixture.router.clone().oneshot(listening(key)).await.unwrap();
    let rest = response.into_body().into_data_stream().map(Result::unwrap);
    let (opened, is_open) = tokio::sync::oneshot::channel();
    let mut opened = Some(opened);
    let reading = tokio::spawn(async move {
        let parts: Vec<Bytes> = rest
            .inspect(move |_| {
                if let Some(opened) = opened.take() {
                    opened.send(()).unwrap();
                }
            })
            .collect()
            .await;
        String::from_utf8(parts.concat()).unwrap()
    });
    is_open.await.unwrap();
    reading
}

#[tokio::test]
async fn a_regeneration_ends_upstream_streams_before_it_returns() {
    let (upstream, frames) = streaming().await;
    let fixture = fixture(&upstream).await;
    let key = fixture.key().await.key;
    frames.unbounded_send(Ok("data: 1\n\n".into())).unwrap();
    let reading = open_stream(&fixture, &key).await;
    fixture.regenerate(Slot::Primary).await;
    assert_eq!(fixture.replica.open_count(), 0);
    let text = reading.await.unwrap();
    assert!(text.contains("regenerated"), "{text}");
    until(|| frames.is_closed()).await;
}

#[tokio::test]
async fn a_revocation_ends_a_call_that_the_upstream_has_not_answered() {
    let upstream = Upstream::new(|_| {
        Response::new(Body::from_stream(futures::stream::pending::<Result<Bytes, Infallible>>()))
    })
    .await;
    let fixture = fixture(&upstream).await;
    let key = fixture.key().await;
    let asked = ping(EDITOR, &key.key);
    let call: tokio::task::JoinHandle<Result<Response, Infallible>> =
        tokio::spawn(fixture.router.clone().oneshot(asked));
    until(|| fixture.replica.open_count() == 1 && upstream.heard().len() == 1).await;
    let response = call.await.unwrap().unwrap();
    fixture.revoke(RevokedId::Key(key.id)).await;
    assert!(response.into_body().collect().await.is_err(), "what is cut short looks broken");
    assert_eq!(fixture.replica.open_count(), 0);
}

#[tokio::test]
async fn a_server_that_leads_elsewhere_ends_what_was_opened_before() {
    let (upstream, frames) = streaming().await;
    let fixture = fixture(&upstream).await;
    let key = fixture.key().await.key;
    frames.unbounded_send(Ok("data: 1\n\n".into())).unwrap();
    let reading = open_stream(&fixture, &key).await;
    fixture.serve(&app(&upstream)).await;
    assert_eq!(fixture.replica.open_count(), 1, "nothing has changed");
    let elsewhere = Upstream::with(200, &[], "").await;
    fixture.serve(&app(&elsewhere)).await;
    assert_eq!(fixture.replica.open_count(), 0);
    assert!(reading.await.unwrap().contains("this server was changed"));
    assert_eq!(fixture.send(ping(EDITOR, &key)).await.status, 200);
    assert_eq!(elsewhere.heard().len(), 1);
}

#[tokio::test]
async fn a_refused_key_never_reaches_the_upstream() {
    let upstream = Upstream::with(200, &[], "").await;
    let fixture = fixture(&upstream).await;
    let elsewhere = fixture.key_for(Slot::Primary, None, &["other"]).await.key;
    let ended = fixture.key().await;
    fixture.revoke(RevokedId::Key(ended.id)).await;
    let answer = |answer: Answer| (answer.status.as_u16(), answer.refusal());
    assert_eq!(answer(fixture.send(ping(EDITOR, &elsewhere)).await).0, 403);
    assert_eq!(answer(fixture.send(ping(EDITOR, &ended.key)).await).0, 401);
    assert_eq!(answer(fixture.send(request(EDITOR, None, &json!({}))).await).0, 401);
    assert_eq!(upstream.heard().len(), 0);
    assert_eq!(fixture.send(ping(OTHER, &elsewhere)).await.status, 200);
}

#[tokio::test]
async fn a_request_that_has_passed_here_before_is_refused() {
    let upstream = Upstream::with(200, &[], "").await;
    let fixture = fixture(&upstream).await;
    let key = fixture.key().await.key;
    let mut asked = ping(EDITOR, &key);
    asked.headers_mut().insert("via", "1.1 somebody".parse().unwrap());
    assert_eq!(fixture.send(asked).await.status, 200);
    let via: Vec<_> = upstream.only().headers.get_all("via").iter().cloned().collect();
    assert_eq!(via.len(), 2);
    assert_eq!(via[0], "1.1 somebody");
    let mut again = ping(EDITOR, &key);
    let both = format!("1.1 other, {}", via[1].to_str().unwrap());
    again.headers_mut().insert("via", both.parse().unwrap());
    let answer = fixture.send(again).await;
    assert_eq!(answer.status, 508);
    assert!(answer.refusal().contains("leads back"));
    assert_eq!(upstream.heard().len(), 1);
}

#[tokio::test]
async fn a_cut_in_the_middle_of_an_event_is_an_error_and_no_part_of_it() {
    let (upstream, frames) = streaming().await;
    let fixture = fixture(&upstream).await;
    let key = fixture.key().await.key;
    frames.unbounded_send(Ok("data: {\"half".into())).unwrap();
    let response = fixture.router.clone().oneshot(listening(&key)).await.unwrap();
    let mut stream = response.into_body().into_data_stream();
    assert_eq!(stream.next().await.unwrap().unwrap(), "data: {\"half");
    let rest = tokio::spawn(async move { stream.next().await.unwrap() });
    fixture.regenerate(Slot::Primary).await;
    assert!(rest.await.unwrap().is_err());
}
