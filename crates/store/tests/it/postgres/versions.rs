//! Processes of two versions on one database.

use keys::Slot;
use store::Error;

/// What a newer version has done that only added something.
const EXPANDED: &str = "ALTER TABLE api_keys ADD COLUMN colour TEXT; \
    INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
        VALUES (1000, 'colours', TRUE, '\\x00', 0);";

#[tokio::test]
async fn a_process_goes_on_beside_a_newer_version_that_has_only_added() {
    let fixture = super::fixture().await;
    fixture.database().run(EXPANDED);
    fixture.issue(Slot::Primary).await;
    // One of the older version may also be started, as a rollback does.
    let fixture = fixture.reopen().await;
    fixture.issue(Slot::Primary).await;
    fixture.regenerate(Slot::Primary).await;
}

#[tokio::test]
async fn a_process_is_refused_once_a_newer_version_has_taken_what_it_needs() {
    let fixture = super::fixture().await;
    fixture.database().run(EXPANDED);
    fixture.database().run("UPDATE compatibility SET serves_from = 1000;");
    let master = keys::MasterKey::generate(&mut keys::SysRng).unwrap().expose().to_owned();
    let refused = fixture.reopen_with(&master).await.err().unwrap();
    let Error::Newer { applied: 1000, serves_from: 1000, .. } = &refused else {
        panic!("{refused:?}");
    };
    assert!(refused.to_string().contains("1000"), "{refused}");
}

#[tokio::test]
async fn a_migration_that_was_altered_afterwards_is_refused() {
    let fixture = super::fixture().await;
    fixture.database().run("UPDATE _sqlx_migrations SET checksum = '\\x00';");
    let master = keys::MasterKey::generate(&mut keys::SysRng).unwrap().expose().to_owned();
    assert!(matches!(fixture.reopen_with(&master).await, Err(Error::Migration(_))));
}
