use keys::{MasterKey, OperatorToken, Slot, SysRng};
use store::Error;

use super::fixture;
use crate::harness::{app, host};

#[tokio::test]
async fn what_holds_a_store_goes_with_it() {
    let fixture = fixture().await.reopen().await.reopen().await;
    fixture.issue(Slot::Primary).await;
}

#[tokio::test]
async fn an_app_is_found_again_without_regard_to_case() {
    let fixture = fixture().await;
    assert_eq!(fixture.store.ensure_app("HelpDesk").await.unwrap(), fixture.app);
    assert_ne!(fixture.store.ensure_app("other").await.unwrap(), fixture.app);
    let fixture = fixture.reopen().await;
    assert_eq!(fixture.store.ensure_app("helpdesk").await.unwrap(), fixture.app);
}

#[tokio::test]
async fn access_keys_do_not_open_under_a_foreign_master_key() {
    let foreign = MasterKey::generate(&mut SysRng).unwrap().expose().to_owned();
    let fixture = fixture().await.reopen_with(&foreign).await.unwrap();
    let served = store::ServedApp {
        id: fixture.app,
        name: "helpdesk".to_owned(),
        public_url: "http://localhost:7071".parse().unwrap(),
        app: app(&[("host.json", &host("ApiKey"))]),
    };
    let clock = std::sync::Arc::new(fixture.clock.clone());
    let store = std::sync::Arc::clone(&fixture.store);
    let started = store::Replica::start(store, clock, vec![served]).await;
    assert!(matches!(started, Err(Error::Sealed { slot: Slot::Primary | Slot::Secondary, .. })));
}

#[tokio::test]
async fn a_closed_store_fails_and_does_not_hang() {
    let fixture = fixture().await;
    fixture.store.close().await;
    assert!(fixture.store.list_access_keys(&fixture.reader()).await.is_err());
    let token = OperatorToken::generate(&mut SysRng).unwrap();
    let shared = fixture.store.shared_operator_token("operator", &token).await;
    assert!(!matches!(shared, Ok(Some(_))));
}
