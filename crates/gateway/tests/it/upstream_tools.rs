//! What operators are told of upstreams' tools.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use futures::FutureExt as _;
use serde_json::{Value, json};
use store::{Knowledge, Subject};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::harness::{Fixture, host};

/// An MCP server of one page with one tool.
struct Upstream {
    url: String,
    asked: Arc<AtomicUsize>,
}

impl Upstream {
    async fn new(tool: &'static str) -> Self {
        let asked = Arc::new(AtomicUsize::new(0));
        let answer = move |State(asked): State<Arc<AtomicUsize>>, body: Bytes| {
            let message: Value = serde_json::from_slice(&body).unwrap();
            asked.fetch_add(1, Ordering::SeqCst);
            let result = json!({ "tools": [{ "name": tool, "inputSchema": {} }] });
            let answer = json!({ "jsonrpc": "2.0", "id": message["id"], "result": result });
            async move { ([("content-type", "application/json")], answer.to_string()) }
        };
        let router = Router::new().fallback(answer).with_state(Arc::clone(&asked));
        Self { url: serve(router).await, asked }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hush?key=hush", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

/// Where nobody listens.
async fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}/hush", listener.local_addr().unwrap())
}

fn files(servers: &[(&str, &str)]) -> Vec<(String, String)> {
    let entry = |(name, url): &(&str, &str)| {
        let headers = json!({ "Authorization": "Bearer hush" });
        ((*name).to_owned(), json!({ "type": "http", "url": url, "headers": headers }))
    };
    let mut entries: serde_json::Map<String, Value> = servers.iter().map(entry).collect();
    entries.insert("near".to_owned(), json!({ "command": "near" }));
    let mcp = json!({ "servers": entries });
    vec![("host.json".to_owned(), host("ApiKey")), ("mcp.json".to_owned(), mcp.to_string())]
}

/// A replica whose upstreams are asked until the end of the test.
async fn fixture(servers: &[(&str, &str)]) -> Fixture {
    let fixture = Fixture::with_files(&files(servers), "http://localhost:7071").await;
    let (upstreams, replica) = (Arc::clone(&fixture.upstreams), Arc::clone(&fixture.replica));
    let clock = fixture.clock.clone();
    tokio::spawn(async move {
        upstreams.discover(&replica, &clock, std::future::pending()).await;
    });
    fixture
}

fn subject(fixture: &Fixture, server: &str) -> Subject {
    let snapshot = fixture.replica.last_snapshot();
    Subject::of(fixture.app, snapshot.apps()[0].server(server).unwrap()).unwrap()
}

/// What is known once it was asked; asks if `max_age` says so.
async fn learn(fixture: &Fixture, server: &str, max_age: Duration) -> Knowledge {
    let subject = [subject(fixture, server)];
    fixture.replica.catalog().want(&subject, max_age);
    fixture.replica.catalog().settled(&subject, Duration::from_secs(30)).await;
    let known = fixture.replica.catalog().knowledge(&subject[0]);
    assert!(!known.is_asked);
    assert!(!format!("{known:?}").contains("hush"), "{known:?}");
    known
}

fn names(known: &Knowledge) -> Vec<&str> {
    let tools = known.tools.iter().flat_map(|tools| tools.iter());
    tools.map(|tool| tool.name.as_str()).collect()
}

fn why(known: &Knowledge) -> &str {
    &known.failure.as_ref().unwrap().why
}

#[tokio::test]
async fn an_upstream_is_asked_when_it_is_new_and_again_when_that_is_wanted() {
    let upstream = Upstream::new("find").await;
    let fixture = fixture(&[("far", &upstream.url)]).await;
    let far = subject(&fixture, "far");
    while fixture.replica.catalog().knowledge(&far).tools.is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!(upstream.asked(), 1);
    assert_eq!(names(&learn(&fixture, "far", Duration::MAX).await), ["find"]);
    assert_eq!(upstream.asked(), 1);
    learn(&fixture, "far", Duration::ZERO).await;
    assert_eq!(upstream.asked(), 2);
}

#[tokio::test]
async fn what_is_installed_later_is_asked_and_what_stays_is_not() {
    let [one, other] = [Upstream::new("one").await, Upstream::new("other").await];
    let fixture = fixture(&[("stays", &one.url), ("moves", &one.url)]).await;
    for server in ["stays", "moves"] {
        assert_eq!(names(&learn(&fixture, server, Duration::MAX).await), ["one"]);
    }
    fixture.serve(&files(&[("stays", &one.url), ("moves", &other.url)])).await;
    assert_eq!(names(&learn(&fixture, "moves", Duration::MAX).await), ["other"]);
    assert_eq!(names(&learn(&fixture, "stays", Duration::MAX).await), ["one"]);
    assert_eq!((one.asked(), other.asked()), (2, 1));
}

#[tokio::test]
async fn one_that_is_down_or_silent_keeps_nobody_else_waiting() {
    let upstream = Upstream::new("find").await;
    let silent = serve(Router::new().fallback(std::future::pending::<Response>)).await;
    let servers = [("down", &*nowhere().await), ("silent", &*silent), ("far", &*upstream.url)];
    let fixture = fixture(&servers).await;
    assert_eq!(names(&learn(&fixture, "far", Duration::MAX).await), ["find"]);
    let down = learn(&fixture, "down", Duration::MAX).await;
    assert!(why(&down).contains("refused"), "{down:?}");
    assert!(why(&down).contains("127.0.0.1:"), "{down:?}");
    assert!(fixture.replica.catalog().knowledge(&subject(&fixture, "silent")).is_asked);
}

#[tokio::test]
async fn an_upstream_that_does_not_let_us_in_is_told_of_without_its_credentials() {
    let refusing = |headers: http::HeaderMap| async move {
        let (repeated, challenge) = (headers["authorization"].clone(), "Bearer realm=\"hush\"");
        let text = repeated.to_str().unwrap().to_owned();
        (http::StatusCode::UNAUTHORIZED, [("www-authenticate", challenge)], text)
    };
    let url = serve(Router::new().fallback(refusing)).await;
    let known = learn(&fixture(&[("far", &url)]).await, "far", Duration::MAX).await;
    assert!(why(&known).contains("401") && why(&known).contains("mcp.json"), "{known:?}");
}

#[tokio::test]
async fn a_process_is_not_started_before_somebody_wants_to_know() {
    let upstream = Upstream::new("find").await;
    let fixture = fixture(&[("far", &upstream.url)]).await;
    learn(&fixture, "far", Duration::MAX).await;
    let near = fixture.replica.catalog().knowledge(&subject(&fixture, "near"));
    assert_eq!(near, Knowledge::default());
    // The program that would start it ends at once here.
    assert!(learn(&fixture, "near", Duration::MAX).await.failure.is_some());
}

#[tokio::test]
async fn it_ends_when_it_is_told_to() {
    let silent = serve(Router::new().fallback(std::future::pending::<Response>)).await;
    let fixture = Fixture::with_files(&files(&[("far", &silent)]), "http://localhost:7071").await;
    let stop = CancellationToken::new();
    let stopped = stop.clone().cancelled_owned();
    let mut asking =
        Box::pin(fixture.upstreams.discover(&fixture.replica, &fixture.clock, stopped));
    let far = subject(&fixture, "far");
    while !fixture.replica.catalog().knowledge(&far).is_asked {
        assert!((&mut asking).now_or_never().is_none());
    }
    stop.cancel();
    asking.await;
}
