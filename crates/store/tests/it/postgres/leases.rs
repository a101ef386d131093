//! Several replicas on one database.

use std::sync::Arc;

use keys::{AccessKey, Refusal, RevokedId, Slot, SysRng};
use store::{Cut, NotInForce, Replica, Store};
use tokio_util::sync::CancellationToken;

use crate::harness::{Fixture, START, host, presented};

/// Another process on the same database.
async fn second(fixture: &Fixture) -> (Arc<Store>, Arc<Replica>) {
    let store = Arc::new(fixture.open_second().await.unwrap());
    let replica = fixture.replica_of(&store, &[("host.json", &host("ApiKey"))]).await;
    (store, replica)
}

#[tokio::test]
async fn what_one_replica_ends_is_ended_on_the_other_when_it_returns() {
    let fixture = super::fixture().await;
    let one = fixture.replica(&[("host.json", &host("ApiKey"))]).await;
    let (_store, other) = second(&fixture).await;
    for _ in 0..5 {
        let key = fixture.issue(Slot::Primary).await;
        let revoked = fixture.issue(Slot::Secondary).await;
        let streams = [&key, &revoked]
            .map(|key| other.open(fixture.claim(Some(&key.key)), CancellationToken::new()));
        let check = |key: &store::Issued| {
            let snapshot = other.snapshot().unwrap();
            snapshot.apps()[0].ring.check(&presented(&key.key), START).map(drop)
        };
        assert_eq!((check(&key), check(&revoked)), (Ok(()), Ok(())));
        let [stream, other_stream] = streams;
        drop(tokio::spawn(async move { other_stream.cut().await }));
        let watched = tokio::spawn(async move { stream.cut().await });
        one.in_force(&fixture.regenerate(Slot::Primary).await).await.unwrap();
        assert_eq!(check(&key), Err(Refusal::AccessKeyRegenerated));
        assert_eq!(watched.await.unwrap(), Cut::Refused(Refusal::AccessKeyRegenerated));
        let id = RevokedId::Key(revoked.id);
        let change = fixture.store.revoke(&fixture.owner(), id).await.unwrap();
        one.in_force(&change).await.unwrap();
        assert_eq!(check(&revoked), Err(Refusal::Revoked));
    }
}

#[tokio::test]
async fn a_replica_that_has_shut_down_is_not_waited_for() {
    let fixture = super::fixture().await;
    let one = fixture.replica(&[("host.json", &host("ApiKey"))]).await;
    let (_store, other) = second(&fixture).await;
    assert_eq!(fixture.database().number("SELECT count(*) FROM replicas"), 2);
    other.shut_down().await;
    assert_eq!(fixture.database().number("SELECT count(*) FROM replicas"), 1);
    assert!(other.snapshot().is_err() && other.admit().await.is_err());
    one.in_force(&fixture.regenerate(Slot::Primary).await).await.unwrap();
}

#[tokio::test]
async fn a_replica_that_is_gone_is_waited_for_a_lease_and_dismissed() {
    let fixture = super::fixture().await;
    let one = fixture.replica(&[("host.json", &host("ApiKey"))]).await;
    fixture
        .database()
        .run("INSERT INTO replicas VALUES ('gone', 7, 1500, 0, 'old', 'elsewhere', '1', 0);");
    one.in_force(&fixture.regenerate(Slot::Primary).await).await.unwrap();
    let left = "SELECT count(*) FROM replicas WHERE id = 'gone'";
    assert_eq!(fixture.database().number(left), 0);
}

#[tokio::test]
async fn a_change_that_nobody_can_look_after_is_not_said_to_be_in_force() {
    let fixture = super::fixture().await;
    let replica = fixture.replica(&[("host.json", &host("ApiKey"))]).await;
    let change = fixture.regenerate(Slot::Primary).await;
    fixture.store.close().await;
    assert_eq!(
        replica.in_force(&change).await,
        Err(NotInForce::NotYet { waiting_for: Vec::new() })
    );
}

#[tokio::test]
async fn a_replica_is_listed_with_what_it_has_settled_and_how_long_ago_it_was_heard_of() {
    let fixture = super::fixture().await;
    let (store, owner) = (&fixture.store, fixture.owner());
    let replica = fixture.replica(&[("host.json", &host("ApiKey"))]).await;
    let before = store.list_access_keys(&fixture.reader()).await.unwrap()[0].revision;
    let database = fixture.database();
    database.run(
        "INSERT INTO replicas SELECT 'behind', 7, 1500, value, change_id, 'elsewhere', '1', \
         (EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::bigint - 90000 FROM revision;
         INSERT INTO replicas SELECT 'of another time', 7, 1500, value, 'other', 'far', '1', 0 \
         FROM revision;",
    );
    let key = AccessKey::generate(&mut SysRng).unwrap();
    let after = store.regenerate(&owner, Slot::Primary, &key).await.unwrap().revision();
    let rows = store.replicas().await.unwrap();
    let row = |name: &str| rows.iter().find(|row| row.name == name).unwrap();
    let behind = row("elsewhere");
    assert!(behind.has_settled(before) && !behind.has_settled(after));
    assert_eq!((behind.id.as_str(), behind.version.as_str()), ("behind", "1"));
    assert_eq!(behind.lease.as_millis(), 1500);
    assert!(behind.contact_age.as_secs() >= 90, "{behind:?}");
    assert_eq!((behind.behind, behind.lease_left().as_millis()), (Some(1), 0));
    assert_eq!(rows.len(), 3);
    // The same number under another name is another revision, and so is one that is yet to come.
    database.run("UPDATE replicas SET settled = (SELECT value FROM revision) WHERE id LIKE 'of%'");
    let rows = store.replicas().await.unwrap();
    let other = rows.iter().find(|row| row.name == "far").unwrap();
    assert!(other.settled >= after && !other.has_settled(before));
    assert_eq!(other.behind, None);
    let own = rows.iter().find(|row| Some(&row.id) == replica.row_id().as_ref()).unwrap();
    assert_eq!((own.name.clone(), own.lease.as_secs()), (replica.name(), 10));
}
