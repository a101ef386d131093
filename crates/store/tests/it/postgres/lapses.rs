//! What a replica does that has lost its lease, and who waits for it how long.

use std::sync::Arc;

use keys::{AccessKey, MasterKey, MasterKeys, Refusal, Slot, SysRng};
use pg_harness::Fault;
use store::{Cut, OpenResponse, Replica, Store};
use tokio_util::sync::CancellationToken;

use crate::harness::{Fixture, START, host, presented};

async fn replica(fixture: &Fixture) -> Arc<Replica> {
    replica_of(fixture, &fixture.store).await
}

async fn replica_of(fixture: &Fixture, store: &Arc<Store>) -> Arc<Replica> {
    fixture.replica_of(store, &[("host.json", &host("ApiKey"))]).await
}

fn open(fixture: &Fixture, replica: &Replica, key: &store::Issued) -> OpenResponse {
    replica.open(fixture.claim(Some(&key.key)), CancellationToken::new())
}

/// Waits until it admits again. What waits for a lease is let go at times meanwhile, as clients are.
async fn admitted(replica: &Replica) {
    while replica.admit().await.is_err() {
        tokio::task::yield_now().await;
    }
}

async fn a_lost_database_ends_what_is_open(fault: Fault) {
    let (fixture, proxy) = Fixture::with_short_lease().await;
    let (lost, key) = (replica(&fixture).await, fixture.issue(Slot::Primary).await);
    let stream = open(&fixture, &lost, &key);
    let watching = Arc::clone(&lost).tend(std::future::pending());
    drop(tokio::spawn(watching));
    proxy.arm(0, fault);
    assert_eq!(stream.cut().await, Cut::Suspended);
    assert!(lost.snapshot().is_err() && stream.trusted().is_err());
    drop(stream);
    // It is gone for others meanwhile, and comes back with what they did.
    let others = fixture.open_second_directly(MasterKeys::new(fixture.master(), [])).await;
    let other = replica_of(&fixture, &others).await;
    let new = AccessKey::generate(&mut SysRng).unwrap();
    let change = others.regenerate(&fixture.owner(), Slot::Primary, &new).await.unwrap();
    other.in_force(&change).await.unwrap();
    assert!(lost.snapshot().is_err(), "a key is dead on a replica that nobody can ask");
    assert!(lost.admit().await.is_err(), "a request that finds no lease is let go");
    proxy.mend();
    admitted(&lost).await;
    let snapshot = lost.snapshot().unwrap();
    let checked = snapshot.apps()[0].ring.check(&presented(&key.key), START).map(drop);
    assert_eq!(checked, Err(Refusal::AccessKeyRegenerated));
}

#[tokio::test]
async fn a_replica_whose_database_is_gone_cuts_what_is_open_until_it_is_back() {
    a_lost_database_ends_what_is_open(Fault::Down).await;
}

#[tokio::test]
async fn a_replica_that_gets_no_answers_cuts_what_is_open_until_it_does() {
    a_lost_database_ends_what_is_open(Fault::Swallow).await;
}

#[tokio::test]
async fn requests_that_find_no_lease_wait_for_one_together() {
    let (fixture, proxy) = Fixture::with_short_lease().await;
    let replica = replica(&fixture).await;
    proxy.arm(0, Fault::Down);
    while replica.snapshot().is_ok() {
        tokio::task::yield_now().await;
    }
    proxy.mend();
    let waiting = (0..100).map(|_| admitted(&replica));
    futures::future::join_all(waiting).await;
    let rows = fixture.database().number("SELECT COUNT(*) FROM replicas");
    assert_eq!((replica.snapshot().is_ok(), rows), (true, 1));
}

#[tokio::test]
async fn a_replica_that_is_stopped_decides_nothing_any_more_once_it_was_waited_for() {
    let (fixture, _proxy) = Fixture::with_short_lease().await;
    let one = replica(&fixture).await;
    let second = Arc::new(fixture.open_second().await.unwrap());
    let host = host("ApiKey");
    let (stopped, holding) = fixture.held_replica_of(&second, &[("host.json", &host)]).await;
    let key = fixture.issue(Slot::Primary).await;
    let stream = open(&fixture, &stopped, &key);
    assert_eq!(stream.trusted(), Ok(()));
    // It does not run, and what it has in memory says that all is well.
    holding.abort();
    one.in_force(&fixture.regenerate(Slot::Primary).await).await.unwrap();
    assert!(stopped.snapshot().is_err());
    assert_eq!(stream.trusted(), Err(Cut::Suspended));
    assert_eq!(fixture.database().number("SELECT COUNT(*) FROM replicas"), 1, "it was dismissed");
}

#[tokio::test]
async fn a_replica_that_cannot_apply_a_change_loses_its_lease_and_holds_up_nobody() {
    let (fixture, _proxy) = Fixture::with_short_lease().await;
    // It has the former master key only.
    let behind = replica(&fixture).await;
    let newer = MasterKey::generate(&mut SysRng).unwrap();
    let masters = MasterKeys::new(newer, [fixture.master()]);
    let others = fixture.open_second_directly(masters).await;
    let other = replica_of(&fixture, &others).await;
    let key = AccessKey::generate(&mut SysRng).unwrap();
    let change = others.regenerate(&fixture.owner(), Slot::Primary, &key).await.unwrap();
    other.in_force(&change).await.unwrap();
    assert!(behind.snapshot().is_err() && other.snapshot().is_ok());
}

#[tokio::test]
async fn a_database_that_went_back_in_time_ends_everything_and_is_served_anew() {
    let (fixture, _proxy) = Fixture::with_short_lease().await;
    let replica = replica(&fixture).await;
    let key = fixture.issue(Slot::Primary).await;
    replica.in_force(&fixture.regenerate(Slot::Secondary).await).await.unwrap();
    let stream = open(&fixture, &replica, &key);
    // As after a failover to a standby that had not heard of the last change, and another one there.
    fixture.database().run("UPDATE revision SET value = value - 1, change_id = 'another history';");
    assert_eq!(stream.cut().await, Cut::Suspended);
    drop(stream);
    admitted(&replica).await;
    assert_eq!(replica.snapshot().unwrap().revision.get() + 1, {
        fixture.regenerate(Slot::Secondary).await.revision().get()
    });
}
