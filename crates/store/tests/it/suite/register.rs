use std::time::Duration;

use keys::{ApiKeyId, ChildId, Clock as _, RevokedId, Scope, Scopes, Slot, SysRng, Terms};
use store::{ApiKeyState, Error, Issue};

use crate::harness::START;

#[tokio::test]
async fn an_issued_key_stands_in_the_register_as_it_was_asked_for() {
    let fixture = super::fixture().await;
    let scopes = ["default/Echo", "billing"].map(|scope| scope.parse::<Scope>().unwrap());
    let terms = Terms { not_after: Some(START), scopes: Some(Scopes::new(scopes).unwrap()) };
    let request = Issue { slot: Slot::Secondary, terms, label: Some("nightly".to_owned()) };
    let issued = fixture.store.issue(&fixture.issuer(), &request).await.unwrap();

    let row = fixture.store.api_key(&fixture.reader(), issued.id).await.unwrap();
    assert_eq!(row.id, issued.id);
    assert_eq!(row.slot, Slot::Secondary);
    assert_eq!(row.label.as_deref(), Some("nightly"));
    assert_eq!(row.issued_at, START);
    assert_eq!(row.issued_by, "ivy");
    assert_eq!(row.not_after, Some(START));
    assert_eq!(row.last_used_at, None);
    let scopes: Vec<_> = row.scopes.unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(scopes, ["billing", "default/Echo"]);
}

#[tokio::test]
async fn a_key_is_active_at_its_instant_and_expired_a_millisecond_later() {
    let fixture = super::fixture().await;
    let issued = fixture.issue_for(Slot::Primary, Some(Duration::from_secs(1))).await;
    let state = async || fixture.store.api_key(&fixture.reader(), issued.id).await.unwrap().state;
    fixture.clock.advance(Duration::from_secs(1));
    assert_eq!(state().await, ApiKeyState::Active);
    fixture.clock.advance(Duration::from_millis(1));
    assert_eq!(state().await, ApiKeyState::Expired);
}

#[tokio::test]
async fn pages_hold_every_key_once_newest_first() {
    let fixture = super::fixture().await;
    let mut issued = Vec::new();
    for _ in 0..7 {
        // Two in each millisecond: the order within one is by id.
        issued.push(fixture.issue(Slot::Primary).await.id);
        issued.push(fixture.issue(Slot::Secondary).await.id);
        fixture.clock.advance(Duration::from_millis(1));
    }
    let mut listed = Vec::new();
    let mut after = None;
    loop {
        let page = fixture.store.list_api_keys(&fixture.reader(), after, 3).await.unwrap();
        listed.extend(page.rows.iter().map(|row| row.id));
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    issued.sort();
    issued.reverse();
    assert_eq!(listed, issued);
}

#[tokio::test]
async fn a_page_that_ends_with_the_register_has_no_next() {
    let fixture = super::fixture().await;
    for _ in 0..4 {
        fixture.issue(Slot::Primary).await;
    }
    let page = fixture.store.list_api_keys(&fixture.reader(), None, 4).await.unwrap();
    assert_eq!((page.rows.len(), page.next), (4, None));
    let page = fixture.store.list_api_keys(&fixture.reader(), None, 3).await.unwrap();
    assert_eq!(page.next, Some(page.rows[2].id));
}

#[tokio::test]
async fn a_key_of_another_app_is_not_found() {
    let fixture = super::fixture().await;
    let issued = fixture.issue(Slot::Primary).await;
    let other = fixture.store.ensure_app("other").await.unwrap();
    let caller = keys::Caller::new("ada", keys::Role::Owner);
    let reader = caller.require(other).unwrap();
    assert!(matches!(
        fixture.store.api_key(&reader, issued.id).await,
        Err(Error::NotFound("API key"))
    ));
    assert!(matches!(
        fixture.store.list_api_keys(&reader, Some(issued.id), 10).await,
        Err(Error::NotFound("page"))
    ));
    let owner = caller.require(other).unwrap();
    let revoked = fixture.store.revoke(&owner, RevokedId::Key(issued.id)).await;
    assert!(matches!(revoked, Err(Error::NotFound("API key"))));
    let row = fixture.store.api_key(&fixture.reader(), issued.id).await.unwrap();
    assert_eq!(row.state, ApiKeyState::Active);
}

#[tokio::test]
async fn revoking_twice_changes_nothing_the_second_time() {
    let fixture = super::fixture().await;
    let issued = fixture.issue(Slot::Primary).await;
    let id = RevokedId::Key(issued.id);
    let first = fixture.store.revoke(&fixture.owner(), id).await.unwrap();
    let second = fixture.store.revoke(&fixture.owner(), id).await.unwrap();
    assert_eq!(first, second);
    let row = fixture.store.api_key(&fixture.reader(), issued.id).await.unwrap();
    assert_eq!(row.state, ApiKeyState::Revoked);
}

#[tokio::test]
async fn an_unknown_key_cannot_be_revoked_and_a_child_id_alone_can() {
    let fixture = super::fixture().await;
    let unknown = ApiKeyId::generate(START, &mut SysRng).unwrap();
    let revoked = fixture.store.revoke(&fixture.owner(), RevokedId::Key(unknown)).await;
    assert!(matches!(revoked, Err(Error::NotFound("API key"))));
    let child = ChildId::generate(&mut SysRng).unwrap();
    let revoked = fixture.store.revoke(&fixture.owner(), RevokedId::Child(unknown, child)).await;
    assert!(matches!(revoked, Err(Error::NotFound("API key"))));
    fixture.store.revoke(&fixture.owner(), RevokedId::AnyChild(child)).await.unwrap();
}

#[tokio::test]
async fn uses_are_noted_and_never_go_back() {
    let fixture = super::fixture().await;
    let id = fixture.issue(Slot::Primary).await.id;
    let other = fixture.issue(Slot::Primary).await.id;
    let unknown = ApiKeyId::generate(START, &mut SysRng).unwrap();
    let later = START.checked_add(Duration::from_secs(5)).unwrap();
    let app = fixture.app;
    fixture
        .store
        .record_uses(&[
            (app, id, later),
            (app, unknown, later),
            (app, other, START),
            (app, id, START),
        ])
        .await
        .unwrap();
    fixture.store.record_uses(&[(app, id, START)]).await.unwrap();
    for (id, at) in [(id, later), (other, START)] {
        let row = fixture.store.api_key(&fixture.reader(), id).await.unwrap();
        assert_eq!(row.last_used_at, Some(at));
    }
}

#[tokio::test]
async fn issued_keys_are_there_after_a_restart() {
    let fixture = super::fixture().await;
    let id = fixture.issue(Slot::Primary).await.id;
    let fixture = fixture.reopen().await;
    let row = fixture.store.api_key(&fixture.reader(), id).await.unwrap();
    assert_eq!((row.id, row.issued_at), (id, fixture.clock.now()));
}
