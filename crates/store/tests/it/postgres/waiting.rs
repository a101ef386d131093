//! Many changes that wait at once, and who goes on meanwhile.

use std::sync::Arc;
use std::time::Duration;

use keys::{ApiKeyId, RevokedId, Slot};
use store::{Change, NotInForce, Replica};
use tokio::task::JoinHandle;

use crate::harness::{Fixture, app, host};

/// More changes than the pool has connections, by default and by any other number here.
const MANY: usize = 30;

async fn replica(fixture: &Fixture) -> Arc<Replica> {
    fixture.replica(&[("host.json", &host("ApiKey"))]).await
}

async fn revoke(fixture: &Fixture, id: ApiKeyId) -> Change {
    fixture.store.revoke(&fixture.owner(), RevokedId::Key(id)).await.unwrap()
}

async fn issued(fixture: &Fixture) -> Vec<ApiKeyId> {
    let mut ids = Vec::new();
    for _ in 0..MANY {
        ids.push(fixture.issue(Slot::Primary).await.id);
    }
    ids
}

fn wait(replica: &Arc<Replica>, change: Change) -> JoinHandle<Result<(), NotInForce>> {
    let replica = Arc::clone(replica);
    tokio::spawn(async move { replica.in_force(&change).await })
}

/// Waits until the replica has reported that it decides by a change, as others see it.
async fn settled(fixture: &Fixture, replica: &Replica, change: &Change) {
    loop {
        let rows = fixture.store.replicas().await.unwrap();
        let own = rows.iter().find(|row| Some(&row.id) == replica.row_id().as_ref());
        if own.is_some_and(|row| row.has_settled(change.revision())) {
            return;
        }
        tokio::task::yield_now().await;
    }
}

async fn many_changes_lock_up_nobody(connections: u32) {
    let (fixture, _proxy) = Fixture::with_connections(connections).await;
    let replica = replica(&fixture).await;
    let row = replica.row_id();
    let mut all = Vec::new();
    for id in issued(&fixture).await {
        let (replica, store, owner) =
            (Arc::clone(&replica), Arc::clone(&fixture.store), fixture.owner());
        all.push(tokio::spawn(async move {
            let change = store.revoke(&owner, RevokedId::Key(id)).await.unwrap();
            replica.in_force(&change).await.unwrap();
        }));
    }
    for done in all {
        done.await.unwrap();
    }
    let lease = replica.counts().lease.unwrap();
    assert_eq!((replica.row_id(), lease.dismissed), (row, 0), "it was taken for one that is gone");
    assert!(replica.snapshot().is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn more_changes_than_connections_lock_up_no_replica() {
    many_changes_lock_up_nobody(10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_lock_up_no_replica_that_has_two_connections() {
    many_changes_lock_up_nobody(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_many_changes_wait_for_one_that_is_gone_everything_else_goes_on() {
    let (fixture, _proxy) = Fixture::with_connections(2).await;
    let replica = replica(&fixture).await;
    let ids = issued(&fixture).await;
    // It is waited for as long as this lasts.
    fixture
        .database()
        .run("INSERT INTO replicas VALUES ('gone', 7, 300000, 0, 'old', 'elsewhere', '1', 0);");
    let mut waiting = Vec::new();
    for id in ids {
        let change = revoke(&fixture, id).await;
        waiting.push(wait(&replica, change.clone()));
        settled(&fixture, &replica, &change).await;
    }
    for _ in 0..3 {
        let later = fixture.issue(Slot::Secondary).await;
        let listed = fixture.store.list_access_keys(&fixture.reader()).await.unwrap();
        assert_eq!(listed.len(), 2);
        let change = revoke(&fixture, later.id).await;
        settled(&fixture, &replica, &change).await;
    }
    assert!(replica.snapshot().is_ok());
    assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
    fixture.database().run("DELETE FROM replicas WHERE id = 'gone';");
    for waiting in waiting {
        assert_eq!(waiting.await.unwrap(), Ok(()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_changes_that_wait_for_one_that_is_gone_dismiss_it_once() {
    let (fixture, _proxy) = Fixture::with_connections(2).await;
    let replica = replica(&fixture).await;
    let ids = issued(&fixture).await;
    fixture
        .database()
        .run("INSERT INTO replicas VALUES ('gone', 7, 1500, 0, 'old', 'elsewhere', '1', 0);");
    let mut waiting = Vec::new();
    for id in ids {
        waiting.push(wait(&replica, revoke(&fixture, id).await));
    }
    for waiting in waiting {
        assert_eq!(waiting.await.unwrap(), Ok(()));
    }
    assert_eq!(fixture.database().number("SELECT count(*) FROM replicas"), 1);
    assert_eq!(replica.counts().lease.unwrap().dismissed, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_that_wait_go_on_by_another_connection_when_theirs_is_lost() {
    let (fixture, proxy) = Fixture::with_connections(2).await;
    let replica = replica(&fixture).await;
    let ids = issued(&fixture).await;
    fixture
        .database()
        .run("INSERT INTO replicas VALUES ('gone', 7, 300000, 0, 'old', 'elsewhere', '1', 0);");
    let mut waiting = Vec::new();
    for id in ids {
        waiting.push(wait(&replica, revoke(&fixture, id).await));
        proxy.cut();
    }
    fixture.database().run("DELETE FROM replicas WHERE id = 'gone';");
    for waiting in waiting {
        assert_eq!(waiting.await.unwrap(), Ok(()));
    }
}

#[tokio::test]
async fn what_changed_while_the_store_could_not_be_read_is_served_when_it_can_be() {
    let (fixture, proxy) = Fixture::with_connections(10).await;
    let replica = fixture.replica(&[("host.json", &host("Anonymous"))]).await;
    let lets_in_everyone =
        || replica.last_snapshot().apps()[0].app.authentication().accepts_everyone();
    let mut installations = replica.installations();
    installations.mark_unchanged();
    proxy.arm(0, pg_harness::Fault::Down);
    proxy.cut();
    let stricter = app(&[("host.json", &host("ApiKey"))]);
    assert!(!replica.serve_app(fixture.app, stricter).await, "it is not served yet");
    assert!(lets_in_everyone());
    proxy.mend();
    // The store is as it was, and nobody changes the app again.
    let served = async {
        while lets_in_everyone() {
            installations.changed().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_mins(1), served).await.unwrap();
}
