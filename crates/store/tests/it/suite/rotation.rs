use keys::Refusal::{AccessKeyRegenerated, Revoked};
use keys::{AccessKey, ChildId, RevokedId, Slot, SysRng, Terms};
use store::{ApiKeyState, Error};

use crate::harness::{START, host, presented};

#[tokio::test]
async fn regenerating_a_slot_ends_its_keys_and_leaves_the_others() {
    let fixture = super::fixture().await;
    let replica = fixture.replica(&[("host.json", &host("ApiKey"))]).await;
    let primary = fixture.issue(Slot::Primary).await;
    let secondary = fixture.issue(Slot::Secondary).await;
    let check = |key| {
        let snapshot = replica.snapshot().unwrap();
        snapshot.apps()[0].ring.check(&presented(key), START).map(|grant| grant.slot())
    };
    assert_eq!(check(&primary.key), Ok(Slot::Primary));

    let revision = fixture.regenerate(Slot::Primary).await;
    replica.in_force(&revision).await.unwrap();
    assert_eq!(check(&primary.key), Err(AccessKeyRegenerated));
    assert_eq!(check(&secondary.key), Ok(Slot::Secondary));

    replica.in_force(&fixture.regenerate(Slot::Secondary).await).await.unwrap();
    assert_eq!(check(&secondary.key), Err(AccessKeyRegenerated));
    let row = fixture.store.api_key(&fixture.reader(), primary.id).await.unwrap();
    assert_eq!(row.state, ApiKeyState::AccessKeyRegenerated);
}

#[tokio::test]
async fn what_was_ended_stays_ended_after_a_restart() {
    let fixture = super::fixture().await;
    let regenerated = fixture.issue(Slot::Primary).await;
    fixture.regenerate(Slot::Primary).await;
    let revoked = fixture.issue(Slot::Primary).await;
    fixture.store.revoke(&fixture.owner(), RevokedId::Key(revoked.id)).await.unwrap();
    let good = fixture.issue(Slot::Primary).await;

    let fixture = fixture.reopen().await;
    let replica = fixture.replica(&[("host.json", &host("ApiKey"))]).await;
    let snapshot = replica.snapshot().unwrap();
    let check = |key| snapshot.apps()[0].ring.check(&presented(key), START).map(|_| ());
    assert_eq!(check(&regenerated.key), Err(AccessKeyRegenerated));
    assert_eq!(check(&revoked.key), Err(Revoked));
    assert_eq!(check(&good.key), Ok(()));
}

#[tokio::test]
async fn a_child_dies_alone_or_with_its_parent() {
    let fixture = super::fixture().await;
    let replica = fixture.replica(&[("host.json", &host("ApiKey"))]).await;
    let parent = fixture.issue(Slot::Primary).await;
    let child_id = ChildId::generate(&mut SysRng).unwrap();
    let terms = Terms { not_after: None, scopes: None };
    let child = presented(&parent.key).narrow(child_id, &terms).unwrap();
    let sibling_id = ChildId::generate(&mut SysRng).unwrap();
    let sibling = presented(&parent.key).narrow(sibling_id, &terms).unwrap();
    let check =
        |key| replica.snapshot().unwrap().apps()[0].ring.check(&presented(key), START).map(|_| ());

    let id = RevokedId::Child(parent.id, child_id);
    replica.in_force(&fixture.store.revoke(&fixture.owner(), id).await.unwrap()).await.unwrap();
    assert_eq!(check(&child), Err(Revoked));
    assert_eq!((check(&sibling), check(&parent.key)), (Ok(()), Ok(())));

    let id = RevokedId::AnyChild(sibling_id);
    replica.in_force(&fixture.store.revoke(&fixture.owner(), id).await.unwrap()).await.unwrap();
    assert_eq!((check(&sibling), check(&parent.key)), (Err(Revoked), Ok(())));

    let id = RevokedId::Key(parent.id);
    replica.in_force(&fixture.store.revoke(&fixture.owner(), id).await.unwrap()).await.unwrap();
    assert_eq!((check(&sibling), check(&parent.key)), (Err(Revoked), Err(Revoked)));
}

#[tokio::test]
async fn every_change_has_a_revision_of_its_own() {
    let fixture = super::fixture().await;
    let first = fixture.regenerate(Slot::Primary).await;
    let second = fixture.regenerate(Slot::Secondary).await;
    let id = RevokedId::Key(fixture.issue(Slot::Primary).await.id);
    let third = fixture.store.revoke(&fixture.owner(), id).await.unwrap();
    let number = |change: &store::Change| change.revision().get();
    assert_eq!((number(&second), number(&third)), (number(&first) + 1, number(&first) + 2));
    let rows = fixture.store.list_access_keys(&fixture.reader()).await.unwrap();
    let of = |slot| rows.iter().find(|row| row.slot == slot).unwrap().clone();
    assert_eq!(of(Slot::Primary).revision, first.revision());
    assert_eq!(of(Slot::Secondary).revision, second.revision());
    assert_eq!(of(Slot::Primary).created_by, "ada");
}

#[tokio::test]
async fn an_access_key_whose_id_was_used_before_is_refused_and_changes_nothing() {
    let fixture = super::fixture().await;
    let used = AccessKey::generate(&mut SysRng).unwrap();
    let owner = fixture.owner();
    fixture.store.regenerate(&owner, Slot::Primary, &used).await.unwrap();
    fixture.regenerate(Slot::Primary).await;
    let before = fixture.store.list_access_keys(&fixture.reader()).await.unwrap();

    let again = fixture.store.regenerate(&owner, Slot::Secondary, &used).await;
    assert!(matches!(again, Err(Error::Database(_))));
    let after = fixture.store.list_access_keys(&fixture.reader()).await.unwrap();
    let ids = |rows: &[store::AccessKeyRow]| rows.iter().map(|row| row.id).collect::<Vec<_>>();
    assert_eq!(ids(&before), ids(&after));
}
