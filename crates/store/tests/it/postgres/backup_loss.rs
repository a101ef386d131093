//! Backups and restores whose connection is lost, and a replica whose database goes back in time.

use keys::{OperatorToken, Refusal, Slot, SysRng};
use pg_harness::Fault;
use store::{AccessKeysAfter, Error};
use tokio::sync::mpsc;

use super::loss::{LONG, over};
use crate::backups::{back_up, bytes, owner, restore};
use crate::harness::{Fixture, START, host, presented};

/// How many messages are let through more each time: most are of a kind, and this is no divisor of their number.
const STEP: usize = 7;

/// More messages than a small backup or restore passes.
const TOO_MANY: usize = 4000;

#[tokio::test]
async fn a_restore_that_loses_its_connection_anywhere_leaves_all_or_nothing() {
    let fixture = super::fixture().await;
    fixture.issue(Slot::Primary).await;
    let lines = bytes(&back_up(&fixture.store).await);
    let (blank, proxy) = fixture.blank_behind_proxy(LONG).await;
    for number in (0..TOO_MANY).step_by(STEP) {
        proxy.arm(number, Fault::Cut);
        let restored = restore(&blank, &lines, AccessKeysAfter::Regenerated).await;
        let happened = proxy.mend();
        over(&blank, &proxy);
        let apps = blank.database().number("SELECT count(*) FROM apps");
        let events = blank.database().number("SELECT count(*) FROM audit_events");
        match &restored {
            Ok(_) => assert_eq!((apps, events), (1, 5), "at {number}"),
            Err(Error::OutcomeUnknown(_)) => assert!(apps == events.min(1), "at {number}"),
            Err(Error::Database(_)) => assert_eq!((apps, events), (0, 0), "at {number}"),
            Err(_) => panic!("at {number}: {restored:?}"),
        }
        if !happened {
            restored.unwrap();
            return;
        }
        if apps == 1 {
            blank.database().run(
                "TRUNCATE apps, deployments, access_keys, api_keys, revocations, audit_events, operator_tokens; \
                 UPDATE revision SET value = 0, change_id = 'new store'",
            );
        }
    }
    panic!("it passed more messages than were thought of");
}

#[tokio::test]
async fn a_backup_that_loses_its_connection_anywhere_is_whole_or_has_no_end() {
    let (fixture, proxy) = Fixture::behind_proxy(LONG).await;
    fixture.issue(Slot::Primary).await;
    for number in (0..TOO_MANY).step_by(STEP) {
        proxy.arm(number, Fault::Cut);
        let (to, mut chunks) = mpsc::channel(64);
        let taken = fixture.store.back_up(&owner(), &to).await;
        let happened = proxy.mend();
        drop(to);
        let mut all = Vec::new();
        while let Some(chunk) = chunks.recv().await {
            all.extend(chunk);
        }
        let is_whole = store::Backup::read(std::io::Cursor::new(&all), None).is_ok();
        assert_eq!(taken.is_ok(), is_whole, "at {number}: {taken:?}");
        if !happened {
            return taken.unwrap();
        }
    }
    panic!("it passed more messages than were thought of");
}

#[tokio::test]
async fn a_replica_that_knew_another_history_reads_what_was_restored_and_trusts_nothing_else() {
    let fixture = super::fixture().await;
    let replica = fixture.replica(&[("host.json", &host("ApiKey"))]).await;
    let key = fixture.issue(Slot::Primary).await;
    let lines = bytes(&back_up(&fixture.store).await);
    let check = || {
        let snapshot = replica.snapshot().ok()?;
        Some(snapshot.apps()[0].ring.check(&presented(&key.key), START).map(drop))
    };
    // The same number as after the restore, of another change.
    let change = fixture.regenerate(Slot::Secondary).await;
    replica.in_force(&change).await.unwrap();
    assert_eq!(check(), Some(Ok(())));
    let refused = restore(&fixture, &lines, AccessKeysAfter::Regenerated).await;
    assert!(matches!(refused, Err(Error::NotEmpty { table: "apps", .. })), "{refused:?}");

    fixture.database().run(
        "TRUNCATE apps, deployments, access_keys, api_keys, revocations, audit_events, operator_tokens; \
         UPDATE revision SET value = 0, change_id = 'new store'",
    );
    // A replica that is there is told of, whatever else is not.
    fixture.database().run("INSERT INTO replicas VALUES ('x', 1, 9, 0, 'old', 'y', '1', 0)");
    let refused = restore(&fixture, &lines, AccessKeysAfter::Regenerated).await;
    assert!(matches!(refused, Err(Error::NotEmpty { table: "replicas", .. })), "{refused:?}");
    loop {
        fixture.database().run("DELETE FROM replicas");
        match restore(&fixture, &lines, AccessKeysAfter::Regenerated).await {
            Err(Error::NotEmpty { table: "replicas", .. }) => {}
            restored => {
                let restored = restored.unwrap();
                assert_eq!(restored.revision, change.revision());
                break;
            }
        }
    }
    while check() != Some(Err(Refusal::AccessKeyRegenerated)) {
        // The lease that it has of what was there before may go on meanwhile, and ends by itself.
        let _admits = replica.admit().await.is_ok();
        tokio::task::yield_now().await;
    }
    let new = fixture.issue(Slot::Primary).await;
    let snapshot = replica.snapshot().unwrap();
    assert!(snapshot.apps()[0].ring.check(&presented(&new.key), START).is_ok());
}

#[tokio::test]
async fn an_operator_token_comes_back_only_with_the_keys_that_were_ended() {
    let fixture = super::fixture().await;
    let [old, new] = [(); 2].map(|()| OperatorToken::generate(&mut SysRng).unwrap());
    fixture.store.shared_operator_token("operator", &old).await.unwrap();
    let lines = bytes(&back_up(&fixture.store).await);
    for (after, expected) in
        [(AccessKeysAfter::Regenerated, &new), (AccessKeysAfter::KeptAndEndedKeysRevived, &old)]
    {
        let blank = fixture.blank_postgres().await;
        restore(&blank, &lines, after).await.unwrap();
        let shared = blank.store.shared_operator_token("operator", &new).await.unwrap().unwrap();
        assert!(shared.matches(expected.expose()), "{after:?}");
    }
}
