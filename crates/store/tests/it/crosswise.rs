//! A backup of one database in the other.

use keys::Slot;
use store::AccessKeysAfter;

use crate::backups::{back_up, bytes, restore};
use crate::harness::Fixture;

/// What a backup says but for who took it and when, and for what only one of the databases has.
fn rows(lines: &[String]) -> Vec<&str> {
    let end = lines
        .iter()
        .position(|line| line.contains("\"operator_tokens\""))
        .unwrap_or(lines.len() - 1);
    let is_kept = |line: &&str| !line.contains("backupStore") && !line.contains("restoreStore");
    lines[1..end].iter().map(String::as_str).filter(is_kept).collect()
}

async fn there_and_back(fixture: &Fixture, other: &Fixture, back: &Fixture) {
    for slot in [Slot::Primary, Slot::Secondary, Slot::Primary] {
        fixture.issue(slot).await;
    }
    fixture.regenerate(Slot::Secondary).await;
    let first = back_up(&fixture.store).await;
    restore(other, &bytes(&first), AccessKeysAfter::KeptAndEndedKeysRevived).await.unwrap();
    let second = back_up(&other.store).await;
    assert_eq!(rows(&first), rows(&second));
    restore(back, &bytes(&second), AccessKeysAfter::KeptAndEndedKeysRevived).await.unwrap();
    assert_eq!(rows(&first), rows(&back_up(&back.store).await));
}

#[tokio::test]
async fn a_backup_of_the_embedded_store_goes_to_postgresql_and_back_unchanged() {
    let fixture = Fixture::embedded().await;
    let (other, back) = (fixture.blank_postgres().await, fixture.blank_embedded().await);
    there_and_back(&fixture, &other, &back).await;
}

#[tokio::test]
async fn a_backup_of_postgresql_goes_to_the_embedded_store_and_back_unchanged() {
    let fixture = Fixture::postgres().await;
    let token = keys::OperatorToken::generate(&mut keys::SysRng).unwrap();
    fixture.store.shared_operator_token("operator", &token).await.unwrap();
    let (other, back) = (fixture.blank_embedded().await, fixture.blank_postgres().await);
    there_and_back(&fixture, &other, &back).await;
}
