use keys::Refusal::{AccessKeyRegenerated, Revoked};
use keys::{RevokedId, Slot, Timestamp};
use store::{AccessKeysAfter, ApiKeyState, Error};
use tokio::sync::mpsc;

use crate::backups::{back_up, bytes, owner, restore, sealed};
use crate::harness::{Fixture, START, host, presented};

async fn check(fixture: &Fixture, key: &keys::ApiKey) -> Result<(), keys::Refusal> {
    let replica = fixture.replica(&[("host.json", &host("ApiKey"))]).await;
    let checked = replica.snapshot().unwrap().apps()[0].ring.check(&presented(key), START);
    replica.shut_down().await;
    checked.map(drop)
}

#[tokio::test]
async fn a_restored_store_has_all_that_there_was_and_refuses_every_api_key_of_before() {
    let fixture = super::fixture().await;
    let used = fixture.issue(Slot::Primary).await;
    let other = fixture.issue(Slot::Secondary).await;
    let revoked = fixture.issue(Slot::Secondary).await;
    let at = Timestamp::from_unix_ms(START.unix_ms() + 5000);
    fixture.store.record_uses(&[(fixture.app, used.id, at)]).await.unwrap();
    let change = fixture.store.revoke(&fixture.owner(), RevokedId::Key(revoked.id)).await.unwrap();
    let lines = back_up(&fixture.store).await;
    let ended = fixture.regenerate(Slot::Primary).await;
    assert!(ended.revision() > change.revision());

    let blank = super::blank(&fixture).await;
    let restored = restore(&blank, &bytes(&lines), AccessKeysAfter::Regenerated).await.unwrap();
    assert_eq!(restored.apps, ["helpdesk"]);
    assert_eq!(restored.revision.get(), change.revision().get() + 1);
    for key in [&used, &other, &revoked] {
        assert!(check(&blank, &key.key).await.is_err());
    }
    assert_eq!(check(&blank, &used.key).await, Err(AccessKeyRegenerated));
    let row = blank.store.api_key(&blank.reader(), used.id).await.unwrap();
    assert_eq!((row.state, row.last_used_at), (ApiKeyState::AccessKeyRegenerated, Some(at)));
    assert_eq!(row.label.as_deref(), Some("ci"));
    for row in blank.store.list_access_keys(&blank.reader()).await.unwrap() {
        assert_eq!((row.revision, row.created_by.as_str()), (restored.revision, "ada"));
    }
    // It is a store like any other.
    let new = blank.issue(Slot::Primary).await;
    assert_eq!(check(&blank, &new.key).await, Ok(()));
    let events = back_up(&blank.store).await;
    let events = |action: &str| events.iter().filter(|line| line.contains(action)).count();
    // The row of a backup is in it, and in the one taken before.
    assert_eq!([events("\"restoreStore\""), events("\"backupStore\"")], [1, 2]);
    assert_eq!(events("\"regenerateAccessKey\""), 2);
}

#[tokio::test]
async fn access_keys_that_are_kept_revive_what_was_ended_after_the_backup() {
    let fixture = super::fixture().await;
    let (good, revoked) = (fixture.issue(Slot::Primary).await, fixture.issue(Slot::Primary).await);
    let later = fixture.issue(Slot::Secondary).await;
    fixture.store.revoke(&fixture.owner(), RevokedId::Key(revoked.id)).await.unwrap();
    let lines = back_up(&fixture.store).await;
    fixture.store.revoke(&fixture.owner(), RevokedId::Key(later.id)).await.unwrap();
    fixture.regenerate(Slot::Primary).await;
    assert_eq!(check(&fixture, &good.key).await, Err(AccessKeyRegenerated));

    let blank = super::blank(&fixture).await;
    let kept = AccessKeysAfter::KeptAndEndedKeysRevived;
    restore(&blank, &bytes(&lines), kept).await.unwrap();
    assert_eq!(check(&blank, &good.key).await, Ok(()));
    assert_eq!(check(&blank, &later.key).await, Ok(()));
    assert_eq!(check(&blank, &revoked.key).await, Err(Revoked));
    let lines = back_up(&blank.store).await;
    assert!(lines.iter().any(|line| line.contains("keptAndEndedKeysRevived")));
}

#[tokio::test]
async fn a_store_with_anything_in_it_is_not_restored_into() {
    let fixture = super::fixture().await;
    let key = fixture.issue(Slot::Primary).await;
    let lines = bytes(&back_up(&fixture.store).await);
    let refused = restore(&fixture, &lines, AccessKeysAfter::Regenerated).await;
    assert!(matches!(refused, Err(Error::NotEmpty { table: "apps", rows: 1 })), "{refused:?}");
    assert_eq!(check(&fixture, &key.key).await, Ok(()));
    let blank = super::blank(&fixture).await;
    restore(&blank, &lines, AccessKeysAfter::Regenerated).await.unwrap();
    let again = restore(&blank, &lines, AccessKeysAfter::Regenerated).await;
    assert!(matches!(again, Err(Error::NotEmpty { .. })), "{again:?}");
}

/// A backup with many times the rows, which no single page or chunk holds.
fn grown(lines: &[String], count: usize) -> Vec<u8> {
    let place =
        lines.iter().position(|line| line.starts_with("[\"") && line.contains("\"ci\"")).unwrap();
    let mut grown = lines[..lines.len() - 1].to_vec();
    let first = grown.remove(place);
    let (_, rest) = first.split_once(',').unwrap();
    let rows = (0..count).map(|n| format!("[\"01900000-0000-7000-8000-{n:012x}\",{rest}"));
    grown.splice(place..place, rows);
    sealed(&grown)
}

#[tokio::test]
async fn a_backup_is_one_state_whatever_changes_while_it_is_taken() {
    let fixture = super::fixture().await;
    fixture.issue(Slot::Primary).await;
    let large = grown(&back_up(&fixture.store).await, 4321);
    let blank = super::blank(&fixture).await;
    restore(&blank, &large, AccessKeysAfter::KeptAndEndedKeysRevived).await.unwrap();

    let (to, mut chunks) = mpsc::channel(1);
    let (by, store) = (owner(), blank.store.clone());
    let taking = tokio::spawn(async move { store.back_up(&by, &to).await });
    let mut taken = chunks.recv().await.unwrap();
    // It is under way, and reads on while everything changes.
    let second = blank.store.back_up(&owner(), &mpsc::channel(1).0).await;
    assert!(matches!(second, Err(Error::BackupUnderWay)), "{second:?}");
    let late = blank.issue(Slot::Secondary).await;
    blank.regenerate(Slot::Primary).await;
    while let Some(chunk) = chunks.recv().await {
        taken.extend(chunk);
    }
    taking.await.unwrap().unwrap();

    let other = super::blank(&fixture).await;
    let kept = AccessKeysAfter::KeptAndEndedKeysRevived;
    restore(&other, &taken, kept).await.unwrap();
    let found = other.store.api_key(&other.reader(), late.id).await;
    assert!(matches!(found, Err(Error::NotFound(_))), "{found:?}");
    let mut rows = 0;
    let mut after = None;
    loop {
        let page = other.store.list_api_keys(&other.reader(), after, 1000).await.unwrap();
        rows += page.rows.len();
        assert!(page.rows.iter().all(|row| row.state == ApiKeyState::Active));
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(rows, 4321);
}

#[tokio::test]
async fn a_backup_that_nobody_takes_any_more_ends_and_the_next_one_begins() {
    let fixture = super::fixture().await;
    let (to, chunks) = mpsc::channel(1);
    drop(chunks);
    let gone = fixture.store.back_up(&owner(), &to).await;
    assert!(matches!(gone, Err(Error::BackupNotTaken)), "{gone:?}");
    back_up(&fixture.store).await;
}

#[tokio::test]
async fn only_an_owner_takes_a_backup_or_restores_one() {
    let fixture = super::fixture().await;
    let issuer = keys::Caller::new("ivy", keys::Role::Issuer);
    let (to, mut chunks) = mpsc::channel(8);
    let refused = fixture.store.back_up(&issuer, &to).await;
    assert!(matches!(refused, Err(Error::Forbidden(_))), "{refused:?}");
    assert!(chunks.try_recv().is_err());
    let lines = bytes(&back_up(&fixture.store).await);
    let blank = super::blank(&fixture).await;
    let mut backup = store::Backup::read(std::io::Cursor::new(&lines), None).unwrap();
    let refused = blank.store.restore(&issuer, &mut backup, AccessKeysAfter::Regenerated).await;
    assert!(matches!(refused, Err(Error::Forbidden(_))), "{refused:?}");
    restore(&blank, &lines, AccessKeysAfter::Regenerated).await.unwrap();
}
