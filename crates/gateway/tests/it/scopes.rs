use std::time::Duration;

use keys::{ChildId, Presented, Slot, SysRng, Terms};
use serde_json::json;

use crate::harness::{DEFAULT, DESK, Fixture, call_tool, message, parse_scopes};

const OTHER: &str = "/api/mcpservers/other/mcp";

#[tokio::test]
async fn a_key_for_one_server_reaches_it_and_no_other() {
    let fixture = Fixture::new("ApiKey").await;
    let key = fixture.key_for(Slot::Primary, None, &["desk"]).await.key;
    assert_eq!(fixture.tool_names(DESK, &key).await, ["Echo", "Slow", "Refuse"]);
    for path in [DEFAULT, OTHER] {
        let answer = fixture.call(path, Some(&key), &message("tools/list", json!({}))).await;
        assert_eq!(answer.status, 403);
        assert_eq!(answer.header("www-authenticate"), None);
        answer.refusal();
    }
}

#[tokio::test]
async fn a_key_for_one_tool_sees_and_calls_it_and_no_other() {
    let fixture = Fixture::new("ApiKey").await;
    let key = fixture.key_for(Slot::Primary, None, &["desk/Echo", "default/Text"]).await.key;
    assert_eq!(fixture.tool_names(DESK, &key).await, ["Echo"]);
    assert_eq!(fixture.tool_names(DEFAULT, &key).await, ["Text"]);
    let echoed = fixture.tool(DESK, &key, "Echo", json!({ "a": 1 })).await;
    assert_eq!(echoed["structuredContent"], json!({ "a": 1 }));

    for (path, tool) in [(DESK, "Refuse"), (DESK, "Text"), (DEFAULT, "Echo"), (DESK, "echo")] {
        let answer = fixture.call(path, Some(&key), &call_tool(tool, json!({}))).await;
        assert_eq!(answer.status, 200, "{tool}");
        let body = answer.json();
        assert_eq!(body["id"], 7);
        assert_eq!(body["error"]["code"], -32010);
        assert!(body["error"]["message"].as_str().unwrap().contains("scope"), "{body}");
    }
}

#[tokio::test]
async fn narrowing_takes_away_and_never_adds() {
    let fixture = Fixture::new("ApiKey").await;
    let key = fixture.key_for(Slot::Primary, None, &["desk"]).await.key;
    let narrowed = |scopes: &[&str]| {
        let terms = Terms { not_after: None, scopes: parse_scopes(scopes) };
        let id = ChildId::generate(&mut SysRng).unwrap();
        Presented::parse(key.expose().as_bytes()).unwrap().narrow(id, &terms).unwrap()
    };
    assert_eq!(fixture.tool_names(DESK, &narrowed(&["desk/Slow", "other"])).await, ["Slow"]);
    let list = message("tools/list", json!({}));
    assert_eq!(
        fixture.call(OTHER, Some(&narrowed(&["desk/Slow", "other"])), &list).await.status,
        403
    );
    // Nothing in common with what it was narrowed from: it reaches nothing.
    for path in [DEFAULT, DESK, OTHER] {
        assert_eq!(fixture.call(path, Some(&narrowed(&["other"])), &list).await.status, 403);
    }
}

#[tokio::test]
async fn a_narrowed_key_ends_at_the_earlier_instant() {
    let fixture = Fixture::new("ApiKey").await;
    let key = fixture.key_for(Slot::Primary, Some(Duration::from_secs(10)), &[]).await.key;
    let narrowed = |seconds| {
        let not_after = keys::Clock::now(&fixture.clock).checked_add(Duration::from_secs(seconds));
        let terms = Terms { not_after, scopes: None };
        let id = ChildId::generate(&mut SysRng).unwrap();
        Presented::parse(key.expose().as_bytes()).unwrap().narrow(id, &terms).unwrap()
    };
    let (sooner, later) = (narrowed(5), narrowed(3600));
    let list = message("tools/list", json!({}));
    fixture.clock.advance(Duration::from_secs(6));
    assert_eq!(fixture.call(DEFAULT, Some(&sooner), &list).await.status, 401);
    assert_eq!(fixture.call(DEFAULT, Some(&later), &list).await.status, 200);
    fixture.clock.advance(Duration::from_secs(5));
    assert_eq!(fixture.call(DEFAULT, Some(&later), &list).await.status, 401);
}
