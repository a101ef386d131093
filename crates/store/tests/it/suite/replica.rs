use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use keys::{Refusal, RevokedId, Slot};
use store::Cut;
use tokio_util::sync::CancellationToken;

use crate::harness::{app, host};

const ECHO: &str = r#"{"definition": {"triggers": {"When": {"type": "Request", "kind": "Http"}},
    "actions": {"Answer": {"type": "Response", "inputs": {"statusCode": 200}, "runAfter": {}}}},
    "kind": "Stateless"}"#;

#[tokio::test]
async fn a_regeneration_cuts_what_its_keys_opened_and_nothing_else() {
    let fixture = super::fixture().await;
    let replica = fixture.replica(&[("host.json", &host("ApiKey"))]).await;
    let primary = fixture.issue(Slot::Primary).await;
    let secondary = fixture.issue(Slot::Secondary).await;
    let ended = replica.open(fixture.claim(Some(&primary.key)), CancellationToken::new());
    let other = replica.open(fixture.claim(Some(&secondary.key)), CancellationToken::new());
    assert_eq!(ended.trusted(), Ok(()));
    assert!(ended.cut().now_or_never().is_none());

    let revision = fixture.regenerate(Slot::Primary).await;
    let in_force = tokio::spawn({
        let replica = Arc::clone(&replica);
        async move { replica.in_force(&revision).await }
    });
    let cut = Cut::Refused(Refusal::AccessKeyRegenerated);
    assert_eq!(ended.cut().await, cut);
    assert_eq!(ended.trusted(), Err(cut));
    drop(ended);
    in_force.await.unwrap().unwrap();
    assert!(other.cut().now_or_never().is_none());
    assert_eq!(replica.open_count(), 1);
}

#[tokio::test]
async fn a_response_registered_before_its_check_is_cut_by_a_change_in_between() {
    let fixture = super::fixture().await;
    let replica = fixture.replica(&[("host.json", &host("ApiKey"))]).await;
    let issued = fixture.issue(Slot::Primary).await;
    // Registered; the installation comes; only then the check would be made.
    let open = replica.open(fixture.claim(Some(&issued.key)), CancellationToken::new());
    let id = RevokedId::Key(issued.id);
    let revision = fixture.store.revoke(&fixture.owner(), id).await.unwrap();
    replica.in_force(&revision).await.unwrap();
    assert_eq!(open.cut().now_or_never(), Some(Cut::Refused(Refusal::Revoked)));
}

#[tokio::test]
async fn a_client_that_never_leaves_does_not_hold_a_regeneration_and_is_hung_up_on() {
    let fixture = super::fixture().await;
    let replica = fixture.replica(&[("host.json", &host("ApiKey"))]).await;
    let issued = fixture.issue(Slot::Primary).await;
    let hangup = CancellationToken::new();
    let other_hangup = CancellationToken::new();
    let stuck = replica.open(fixture.claim(Some(&issued.key)), hangup.clone());
    let secondary = fixture.issue(Slot::Secondary).await;
    let other = replica.open(fixture.claim(Some(&secondary.key)), other_hangup.clone());
    replica.in_force(&fixture.regenerate(Slot::Primary).await).await.unwrap();
    assert!(stuck.trusted().is_err() && hangup.is_cancelled());
    assert!(other.trusted().is_ok() && !other_hangup.is_cancelled());
}

#[tokio::test]
async fn a_response_ends_a_millisecond_after_its_keys_last_instant() {
    let fixture = super::fixture().await;
    let replica = fixture.replica(&[("host.json", &host("ApiKey"))]).await;
    let issued = fixture.issue_for(Slot::Primary, Some(Duration::from_secs(60))).await;
    let open = replica.open(fixture.claim(Some(&issued.key)), CancellationToken::new());
    fixture.clock.advance(Duration::from_secs(60));
    assert!(open.trusted().is_ok());
    fixture.clock.advance(Duration::from_millis(1));
    assert!(matches!(open.trusted(), Err(Cut::Refused(Refusal::Expired { .. }))));
}

#[tokio::test]
async fn an_open_response_wakes_by_itself_when_its_key_expires() {
    let fixture = super::fixture().await;
    let replica = fixture.replica(&[("host.json", &host("ApiKey"))]).await;
    let issued = fixture.issue_for(Slot::Primary, Some(Duration::from_millis(5))).await;
    let open = replica.open(fixture.claim(Some(&issued.key)), CancellationToken::new());
    tokio::spawn(Arc::clone(&replica).tend(std::future::pending()));
    let waiting = tokio::spawn(async move { open.cut().await });
    fixture.clock.advance(Duration::from_millis(6));
    assert!(matches!(waiting.await.unwrap(), Cut::Refused(Refusal::Expired { .. })));
}

#[tokio::test]
async fn a_stricter_type_ends_what_came_in_without_a_key() {
    let fixture = super::fixture().await;
    let replica = fixture.replica(&[("host.json", &host("Anonymous"))]).await;
    let issued = fixture.issue(Slot::Primary).await;
    let nobody = replica.open(fixture.claim(None), CancellationToken::new());
    let with_key = replica.open(fixture.claim(Some(&issued.key)), CancellationToken::new());
    replica.serve_app(fixture.app, app(&[("host.json", &host("ApiKey"))])).await;
    assert_eq!(nobody.cut().now_or_never(), Some(Cut::AuthenticationChanged));
    assert!(with_key.cut().now_or_never().is_none());
    replica.serve_app(fixture.app, app(&[("host.json", &host("OAuth2"))])).await;
    assert_eq!(with_key.cut().now_or_never(), Some(Cut::AuthenticationChanged));
}

#[tokio::test]
async fn a_disabled_or_removed_server_ends_its_responses() {
    let servers = |enabled: bool| {
        format!(
            r#"{{"mcpServers": [{{"name": "Desk", "description": "d", "enabled": {enabled},
                "tools": [{{"name": "Echo"}}]}}]}}"#
        )
    };
    let fixture = super::fixture().await;
    let host = host("Anonymous");
    let files = |servers: &'static str| {
        [
            ("host.json", host.clone()),
            ("Echo/workflow.json", ECHO.to_owned()),
            ("mcpservers.json", servers.to_owned()),
        ]
    };
    let on: &'static str = servers(true).leak();
    let off: &'static str = servers(false).leak();
    let none = r#"{"mcpServers": []}"#;
    let make = |servers| {
        let files = files(servers);
        let files: Vec<(&str, &str)> =
            files.iter().map(|(path, text)| (*path, text.as_str())).collect();
        app(&files)
    };
    let replica = fixture.replica(&[("host.json", &host)]).await;
    for without in [off, none] {
        replica.serve_app(fixture.app, make(on)).await;
        let open = replica.open(
            store::Claim { server: "desk".to_owned(), ..fixture.claim(None) },
            CancellationToken::new(),
        );
        assert!(open.cut().now_or_never().is_none());
        replica.serve_app(fixture.app, make(without)).await;
        assert_eq!(open.cut().now_or_never(), Some(Cut::ServerGone));
    }
}

#[tokio::test]
async fn what_is_asked_for_the_operator_goes_on_until_its_server_has_gone() {
    let fixture = super::fixture().await;
    let replica = fixture.replica(&[("host.json", &host("ApiKey"))]).await;
    let open = |claim| replica.open(claim, CancellationToken::new());
    let own = open(store::Claim { is_operators: true, ..fixture.claim(None) });
    let without_key = open(fixture.claim(None));
    let revision = fixture.regenerate(Slot::Primary).await;
    replica.in_force(&revision).await.unwrap();
    assert_eq!(without_key.cut().now_or_never(), Some(Cut::AuthenticationChanged));
    assert!(own.cut().now_or_never().is_none());
    let off = r#"{"version": "2.0", "extensions": {"workflow": {"McpServerEndpoints":
        {"enable": false}}}}"#;
    replica.serve_app(fixture.app, app(&[("host.json", off)])).await;
    assert_eq!(own.cut().now_or_never(), Some(Cut::ServerGone));
}

#[tokio::test]
async fn shutting_down_cuts_all_and_admits_nothing_more() {
    let fixture = super::fixture().await;
    let replica = fixture.replica(&[("host.json", &host("Anonymous"))]).await;
    let open = replica.open(fixture.claim(None), CancellationToken::new());
    replica.shut_down().await;
    assert_eq!(open.cut().now_or_never(), Some(Cut::ShuttingDown));
    assert!(replica.snapshot().is_err());
}

#[tokio::test]
async fn only_accepted_keys_count_as_used() {
    let fixture = super::fixture().await;
    let replica = fixture.replica(&[("host.json", &host("ApiKey"))]).await;
    let used = fixture.issue(Slot::Primary).await;
    let refused = fixture.issue(Slot::Primary).await;
    let open = replica.open(fixture.claim(Some(&used.key)), CancellationToken::new());
    open.accepted();
    drop(open);
    drop(replica.open(fixture.claim(Some(&refused.key)), CancellationToken::new()));
    replica.flush_uses().await.unwrap();
    let last_used =
        async |id| fixture.store.api_key(&fixture.reader(), id).await.unwrap().last_used_at;
    assert_eq!(last_used(used.id).await, Some(crate::harness::START));
    assert_eq!(last_used(refused.id).await, None);
}
