use std::os::unix::fs::PermissionsExt as _;

use futures::FutureExt as _;
use keys::{ManualClock, MasterKey, Slot, SysRng};
use store::{Cut, Error};
use tokio_util::sync::CancellationToken;

use crate::harness::{Fixture, START, host, open};

#[tokio::test]
async fn a_second_process_on_the_same_folder_is_told_which_one() {
    let fixture = Fixture::embedded().await;
    let second = fixture.open_second().await;
    assert!(matches!(second, Err(Error::InUse(path)) if path == fixture.path()));
}

#[tokio::test]
async fn only_the_owner_may_read_the_files() {
    let fixture = Fixture::embedded().await;
    fixture.issue(Slot::Primary).await;
    for entry in std::fs::read_dir(fixture.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?} has mode {mode:o}", entry.file_name());
    }
}

#[tokio::test]
async fn a_folder_with_odd_characters_in_its_name_works() {
    let dir = tempfile::tempdir().unwrap();
    let odd = dir.path().join("a b%20?#ü&mode=memory");
    std::fs::create_dir(&odd).unwrap();
    let master = MasterKey::generate(&mut SysRng).unwrap().expose().to_owned();
    let clock = ManualClock::at(START);
    let id = {
        let store = open(&odd, &master, &clock).await.unwrap();
        let id = store.ensure_app("x").await.unwrap();
        store.close().await;
        id
    };
    assert!(odd.join("keyward.db").exists());
    assert_eq!(open(&odd, &master, &clock).await.unwrap().ensure_app("X").await.unwrap(), id);
}

#[tokio::test]
async fn no_key_is_in_the_database() {
    let fixture = Fixture::embedded().await;
    let issued = fixture.issue(Slot::Primary).await;
    fixture.regenerate(Slot::Primary).await;
    fixture.store.close().await;
    let text = issued.key.expose().as_bytes();
    for entry in std::fs::read_dir(fixture.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(5).any(|part| part == b"kwk1_"));
        // Nor any 12 bytes of what makes it good.
        assert!(!text[5..].windows(12).any(|part| bytes.windows(12).any(|at| at == part)));
    }
}

#[tokio::test]
async fn a_replica_that_cannot_read_its_store_admits_nothing_and_cuts_all() {
    let fixture = Fixture::embedded().await;
    let replica = fixture.replica(&[("host.json", &host("ApiKey"))]).await;
    let issued = fixture.issue(Slot::Secondary).await;
    let open = replica.open(fixture.claim(Some(&issued.key)), CancellationToken::new());
    let revision = fixture.regenerate(Slot::Primary).await;
    fixture.store.close().await;
    replica.in_force(&revision).await.unwrap();
    assert_eq!(open.cut().now_or_never(), Some(Cut::Suspended));
    assert!(replica.snapshot().is_err());
}
