//! One process at a time serves from a database, and each knows when it is not the one any more.

use std::sync::Arc;

use keys::Slot;
use sqlx::Connection as _;
use store::{Cut, Error, NotYetInForce, Replica};
use tokio_util::sync::CancellationToken;

use crate::harness::{Fixture, host};

/// Ends the session that holds the claim, with every other one of the store.
const END_SESSIONS: &str = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity \
    WHERE datname = current_database() AND application_name = 'keyward' AND pid <> pg_backend_pid();";

async fn tended(fixture: &Fixture) -> Arc<Replica> {
    let replica = fixture.replica(&[("host.json", &host("Anonymous"))]).await;
    drop(tokio::spawn(Arc::clone(&replica).tend(std::future::pending())));
    replica
}

#[tokio::test]
async fn a_process_that_loses_its_connection_claims_the_database_again_and_goes_on() {
    let fixture = super::fixture().await;
    let replica = tended(&fixture).await;
    let open = replica.open(fixture.claim(None), CancellationToken::new());
    fixture.database().run(END_SESSIONS);
    let is_back = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = \
                   (SELECT oid FROM pg_database WHERE datname = current_database())";
    while fixture.database().number(is_back) == 0 {
        tokio::task::yield_now().await;
    }
    assert!(matches!(fixture.open_second().await, Err(Error::Served)));
    assert!(replica.snapshot().is_ok() && open.trusted().is_ok());
    fixture.issue(Slot::Primary).await;
}

#[tokio::test]
async fn a_process_that_is_not_the_only_one_cuts_everything_and_reads_anew_once_it_is() {
    let fixture = super::fixture().await;
    let replica = tended(&fixture).await;
    let open = replica.open(fixture.claim(None), CancellationToken::new());
    let key = fixture.issue(Slot::Primary).await;

    // Another process is quicker after a failure, and changes something.
    let mut other = sqlx::AnyConnection::connect(&fixture.url()).await.unwrap();
    let grab = "SELECT pg_try_advisory_lock(7738725088349021186)";
    let mut mine = false;
    while !mine {
        sqlx::raw_sql(END_SESSIONS).execute(&mut other).await.unwrap();
        (mine,) = sqlx::query_as(grab).fetch_one(&mut other).await.unwrap();
    }
    sqlx::raw_sql(
        "UPDATE serving SET process = 'another'; \
         INSERT INTO revocations (app_id, id, revoked_at, revoked_by) \
             SELECT app_id, id, 0, 'another' FROM api_keys; \
         UPDATE revision SET value = value + 1, change_id = 'another';",
    )
    .execute(&mut other)
    .await
    .unwrap();

    assert_eq!(open.cut().await, Cut::Suspended);
    assert!(replica.snapshot().is_err() && open.trusted().is_err());
    drop(open);
    // What is changed here is durable, and the other one need not know.
    let changed_here = fixture.regenerate(Slot::Secondary).await;
    assert_eq!(replica.in_force(changed_here).await, Err(NotYetInForce));
    let mut changed = replica.installations();
    other.close().await.unwrap();
    while replica.snapshot().is_err() {
        changed.changed().await.unwrap();
    }
    let snapshot = replica.snapshot().unwrap();
    let checked =
        snapshot.apps()[0].ring.check(&crate::harness::presented(&key.key), crate::harness::START);
    assert!(checked.is_err());
}
