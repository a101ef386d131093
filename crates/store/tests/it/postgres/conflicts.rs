//! Transactions that lose a race are made again, whole.

use keys::{AccessKey, Slot, SysRng};
use sqlx::Connection as _;
use store::Error;

use crate::harness::Fixture;

/// Has the first `times` transactions that write an audit row end with an error, there or in their commit.
fn stumble(fixture: &Fixture, times: u32, code: &str, in_commit: bool) {
    let trigger = if in_commit {
        "CREATE CONSTRAINT TRIGGER stumbles AFTER INSERT ON audit_events \
         DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION stumble();"
    } else {
        "CREATE TRIGGER stumbles BEFORE INSERT ON audit_events \
         FOR EACH ROW EXECUTE FUNCTION stumble();"
    };
    // A sequence counts on when a transaction is rolled back.
    fixture.database().run(format!(
        "CREATE SEQUENCE stumbled; \
         CREATE FUNCTION stumble() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             IF nextval('stumbled') <= {times} THEN \
                 RAISE EXCEPTION 'lost a race' USING ERRCODE = '{code}'; \
             END IF; \
             RETURN NEW; \
         END $$; \
         {trigger}"
    ));
}

#[tokio::test]
async fn a_lost_race_is_run_again_wherever_it_was_lost() {
    for (code, in_commit) in [("40001", false), ("40P01", false), ("40001", true), ("40P01", true)]
    {
        let fixture = super::fixture().await;
        stumble(&fixture, 2, code, in_commit);
        let before = fixture.database().number("SELECT value FROM revision");
        let change = fixture.regenerate(Slot::Primary).await;
        assert_eq!(change.revision().get(), before + 1);
        assert_eq!(fixture.database().number("SELECT count(*) FROM audit_events"), 1);
    }
}

#[tokio::test]
async fn a_race_that_is_always_lost_is_given_up_and_changes_nothing() {
    let fixture = super::fixture().await;
    stumble(&fixture, u32::MAX, "40001", false);
    let key = AccessKey::generate(&mut SysRng).unwrap();
    let before = fixture.store.list_access_keys(&fixture.reader()).await.unwrap();
    let lost = fixture.store.regenerate(&fixture.owner(), Slot::Primary, &key).await;
    assert!(matches!(lost, Err(Error::Database(_))), "{lost:?}");
    let after = fixture.store.list_access_keys(&fixture.reader()).await.unwrap();
    assert_eq!(before[0].id, after[0].id);
}

#[tokio::test]
async fn an_error_that_is_no_race_is_not_tried_again() {
    let fixture = super::fixture().await;
    stumble(&fixture, 1, "23514", false);
    let key = AccessKey::generate(&mut SysRng).unwrap();
    let refused = fixture.store.regenerate(&fixture.owner(), Slot::Primary, &key).await;
    assert!(matches!(refused, Err(Error::Database(_))), "{refused:?}");
    fixture.regenerate(Slot::Primary).await;
}

#[tokio::test]
async fn a_change_waits_for_a_lock_no_longer_than_is_said_and_holds_up_nobody_after() {
    let fixture = super::fixture().await;
    let url = fixture.url();
    let mut other = sqlx::AnyConnection::connect(&url).await.unwrap();
    let mut held = other.begin().await.unwrap();
    sqlx::query("SELECT value FROM revision FOR UPDATE").execute(&mut *held).await.unwrap();
    let key = AccessKey::generate(&mut SysRng).unwrap();
    let blocked = fixture.store.regenerate(&fixture.owner(), Slot::Primary, &key).await;
    assert!(matches!(blocked, Err(Error::Database(_))), "{blocked:?}");
    held.rollback().await.unwrap();
    fixture.regenerate(Slot::Primary).await;
}
