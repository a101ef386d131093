//! Session ids of upstreams, as clients see them.

use axum::extract::Request;
use keys::{ChildId, Presented, SysRng, Terms};

use crate::harness::parse_scopes;
use crate::upstream_http::{EDITOR, OTHER, Upstream, fixture, ping};

fn with_session(mut request: Request, session: &str) -> Request {
    request.headers_mut().insert("mcp-session-id", session.parse().unwrap());
    request
}

#[tokio::test]
async fn a_session_is_sealed_to_its_key_and_its_server() {
    let upstream = Upstream::with(200, &[("mcp-session-id", "upstream-session-1")], "").await;
    let fixture = fixture(&upstream).await;
    let (own, foreign) = (fixture.key().await.key, fixture.key().await.key);
    let opened = fixture.send(ping(EDITOR, &own)).await;
    let sealed = opened.header("mcp-session-id").unwrap().to_owned();
    assert!(!sealed.contains("upstream"));

    let again = fixture.send(with_session(ping(EDITOR, &own), &sealed)).await;
    assert_eq!(again.status, 200);
    assert_eq!(again.header("mcp-session-id"), Some(sealed.as_str()), "it keeps its name");
    assert_eq!(upstream.heard()[1].headers["mcp-session-id"], "upstream-session-1");

    let mut altered = sealed.clone().into_bytes();
    altered[20] = if altered[20] == b'A' { b'B' } else { b'A' };
    let altered = String::from_utf8(altered).unwrap();
    let mut twice = with_session(ping(EDITOR, &own), &sealed);
    twice.headers_mut().append("mcp-session-id", sealed.parse().unwrap());
    for refused in [
        with_session(ping(EDITOR, &foreign), &sealed),
        with_session(ping(OTHER, &own), &sealed),
        with_session(ping(EDITOR, &own), &altered),
        with_session(ping(EDITOR, &own), "upstream-session-1"),
        with_session(ping(EDITOR, &own), ""),
        twice,
    ] {
        let answer = fixture.send(refused).await;
        assert_eq!(answer.status, 404);
        assert!(answer.refusal().contains("session"));
    }
    assert_eq!(upstream.heard().len(), 2, "none of them reached the upstream");
}

#[tokio::test]
async fn a_key_narrowed_from_another_opens_sessions_of_its_own() {
    let upstream = Upstream::with(200, &[("mcp-session-id", "s")], "").await;
    let fixture = fixture(&upstream).await;
    let key = fixture.key().await.key;
    let presented = Presented::parse(key.expose().as_bytes()).unwrap();
    let terms = Terms { not_after: None, scopes: parse_scopes(&["editor"]) };
    let child = ChildId::generate(&mut SysRng).unwrap();
    let narrowed = presented.narrow(child, &terms).unwrap();
    let opened = fixture.send(ping(EDITOR, &key)).await;
    let sealed = opened.header("mcp-session-id").unwrap();
    let answer = fixture.send(with_session(ping(EDITOR, &narrowed), sealed)).await;
    assert_eq!(answer.status, 404);
}
