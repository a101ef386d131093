use std::sync::Arc;
use std::time::Duration;

use keys::Clock as _;
use store::{Candidate, Failure, Knowledge, ListedTool, Replica, Subject};
use tokio::time::Instant;

use crate::harness::{Fixture, START, app, host};

const MCP: &str = r#"{"servers": {
    "Search": {"type": "http", "url": "http://127.0.0.1:9/mcp"},
    "files": {"command": "files"}
}}"#;

const MOVED: &str = r#"{"servers": {
    "Search": {"type": "http", "url": "http://127.0.0.1:10/mcp"},
    "files": {"command": "files"}
}}"#;

const MINUTE: Duration = Duration::from_mins(1);

async fn replica(fixture: &Fixture) -> Arc<Replica> {
    fixture.replica(&[("host.json", &host("ApiKey")), ("mcp.json", MCP)]).await
}

async fn serve(replica: &Arc<Replica>, fixture: &Fixture, files: &[(&str, &str)]) {
    let host = host("ApiKey");
    let files = [&[("host.json", host.as_str())], files].concat();
    replica.serve_app(fixture.app, app(&files)).await;
}

fn subject(replica: &Replica, server: &str) -> Subject {
    let snapshot = replica.last_snapshot();
    let state = &snapshot.apps()[0];
    Subject::of(state.id, state.server(server).unwrap()).unwrap()
}

fn tools(names: &[&str]) -> Vec<ListedTool> {
    let listed = |name: &&str| ListedTool { name: (*name).to_owned(), description: None };
    names.iter().map(listed).collect()
}

fn names(knowledge: &Knowledge) -> Vec<&str> {
    knowledge.tools.iter().flat_map(|tools| tools.iter()).map(|tool| tool.name.as_str()).collect()
}

fn everything(_: &Candidate<'_>) -> bool {
    true
}

fn what_is_wanted(candidate: &Candidate<'_>) -> bool {
    candidate.wanted.is_some_and(|max_age| candidate.age.is_none_or(|age| age > max_age))
}

#[tokio::test]
async fn nothing_is_known_of_an_upstream_that_was_not_asked() {
    let fixture = super::fixture().await;
    let replica = replica(&fixture).await;
    let search = subject(&replica, "search");
    assert_eq!(replica.catalog().knowledge(&search), Knowledge::default());
    assert_eq!(search.server, "search");
}

#[tokio::test]
async fn what_is_due_is_asked_once_at_a_time() {
    let fixture = super::fixture().await;
    let replica = replica(&fixture).await;
    let catalog = replica.catalog();
    let due = catalog.take_due(everything);
    assert_eq!(due.iter().map(|due| due.server.as_str()).collect::<Vec<_>>(), ["files", "search"]);
    assert!(catalog.knowledge(&due[0]).is_asked);
    assert_eq!(catalog.take_due(everything), []);
    catalog.tell(&due[0], Ok(tools(&["read"])), fixture.clock.now());
    assert_eq!(catalog.take_due(everything), [due[0].clone()]);
}

#[tokio::test]
async fn tools_stay_known_through_a_failure_and_its_beginning_is_kept() {
    let fixture = super::fixture().await;
    let replica = replica(&fixture).await;
    let catalog = replica.catalog();
    let search = subject(&replica, "search");
    catalog.tell(&search, Ok(tools(&["find"])), fixture.clock.now());
    for why in ["is gone", "is still gone"] {
        fixture.clock.advance(MINUTE);
        catalog.tell(&search, Err(why.to_owned()), fixture.clock.now());
    }
    let known = catalog.knowledge(&search);
    assert_eq!(names(&known), ["find"]);
    let since = START.checked_add(MINUTE).unwrap();
    assert_eq!(known.failure, Some(Failure { why: "is still gone".to_owned(), since }));
    assert_eq!(known.checked_at, since.checked_add(MINUTE));
    let failed = |candidate: &Candidate<'_>| candidate.failure_count == 2;
    assert_eq!(catalog.take_due(failed).as_slice(), std::slice::from_ref(&search));
    catalog.tell(&search, Ok(tools(&["find", "more"])), fixture.clock.now());
    let known = catalog.knowledge(&search);
    assert_eq!((names(&known), &known.failure), (vec!["find", "more"], &None));
}

#[tokio::test]
async fn an_installation_forgets_what_leads_elsewhere_and_keeps_the_rest() {
    let fixture = super::fixture().await;
    let replica = replica(&fixture).await;
    let catalog = replica.catalog();
    let [search, files] = ["search", "files"].map(|server| subject(&replica, server));
    catalog.tell(&search, Ok(tools(&["find"])), fixture.clock.now());
    catalog.tell(&files, Ok(tools(&["read"])), fixture.clock.now());
    serve(&replica, &fixture, &[("mcp.json", MOVED)]).await;
    assert_eq!(names(&catalog.knowledge(&files)), ["read"]);
    let moved = subject(&replica, "search");
    assert_eq!(catalog.knowledge(&search), Knowledge::default());
    assert_eq!(catalog.knowledge(&moved), Knowledge::default());
    // What was asked of the one that it was says nothing of the one that it is.
    catalog.tell(&search, Ok(tools(&["find"])), fixture.clock.now());
    assert_eq!(catalog.knowledge(&moved), Knowledge::default());
}

#[tokio::test]
async fn a_disabled_server_is_not_asked() {
    let fixture = super::fixture().await;
    let replica = replica(&fixture).await;
    let disabled = r#"{"mcpServers": [{"name": "search", "enabled": false}]}"#;
    serve(&replica, &fixture, &[("mcp.json", MCP), ("mcpservers.json", disabled)]).await;
    let search = subject(&replica, "search");
    replica.catalog().want(std::slice::from_ref(&search), MINUTE);
    assert!(!replica.catalog().knowledge(&search).is_asked);
    assert_eq!(replica.catalog().take_due(everything), [subject(&replica, "files")]);
}

#[tokio::test]
async fn who_waits_goes_on_when_the_answer_is_there() {
    let fixture = super::fixture().await;
    let replica = replica(&fixture).await;
    tokio::time::pause();
    let catalog = replica.catalog();
    let search = [subject(&replica, "search")];
    catalog.want(&search, MINUTE);
    let asking = async {
        catalog.stirred().await;
        let due = catalog.take_due(what_is_wanted);
        assert_eq!(due, search);
        catalog.tell(&due[0], Ok(tools(&["find"])), fixture.clock.now());
    };
    let before = Instant::now();
    tokio::join!(catalog.settled(&search, MINUTE), asking);
    assert_eq!(before.elapsed(), Duration::ZERO);
    assert_eq!(names(&catalog.knowledge(&search[0])), ["find"]);
}

#[tokio::test]
async fn nobody_waits_longer_than_they_said() {
    let fixture = super::fixture().await;
    let replica = replica(&fixture).await;
    tokio::time::pause();
    let search = [subject(&replica, "search")];
    replica.catalog().want(&search, MINUTE);
    let before = Instant::now();
    replica.catalog().settled(&search, MINUTE).await;
    // Timers have whole milliseconds.
    assert_eq!(before.elapsed().as_secs(), MINUTE.as_secs());
    assert!(replica.catalog().knowledge(&search[0]).is_asked);
}

#[tokio::test]
async fn an_answer_is_asked_for_again_when_it_is_older_than_wanted() {
    let fixture = super::fixture().await;
    let replica = replica(&fixture).await;
    tokio::time::pause();
    let catalog = replica.catalog();
    let search = [subject(&replica, "search")];
    catalog.tell(&search[0], Ok(tools(&["find"])), fixture.clock.now());
    tokio::time::advance(MINUTE).await;
    catalog.want(&search, MINUTE);
    assert_eq!(catalog.take_due(what_is_wanted), []);
    // The wish was met by what is known.
    assert!(!catalog.knowledge(&search[0]).is_asked);
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(catalog.take_due(what_is_wanted), []);
    catalog.want(&search, MINUTE);
    assert_eq!(catalog.take_due(what_is_wanted), search);
}
