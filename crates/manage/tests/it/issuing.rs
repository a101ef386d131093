//! What an issued key is: when it ends, what it is derived from, what it reaches.

use std::time::Duration;

use futures::future::join_all;
use keys::{Refusal, Role, Slot};
use manage::Settings;
use serde_json::json;
use store::ApiKeyState;

use crate::plane::{ARM_BASE, HOST_BASE, Plane, at};

#[tokio::test]
async fn a_key_without_terms_is_valid_for_24_hours_to_the_millisecond() {
    let plane = Plane::new().await;
    let answer = plane.post("listMcpServerUrl?getApikey=true", "").await;
    assert_eq!(answer.json["apiKey"]["notAfter"], "2026-01-02T00:00:00Z");
    assert_eq!(answer.json["apiKey"]["keyType"], "primary");
    assert_eq!(answer.json["apiKey"]["scopes"], json!(null));
    assert_eq!(answer.json["apiKey"]["label"], json!(null));
    let key = answer.json["headers"]["X-API-Key"].as_str().unwrap();
    plane.advance(Duration::from_hours(24));
    assert_eq!(plane.check(key), Ok(()));
    plane.advance(Duration::from_millis(1));
    assert_eq!(plane.check(key), Err(Refusal::Expired { at: at("2026-01-02T00:00:00Z") }));
}

#[tokio::test]
async fn a_not_after_is_the_keys_own_instant() {
    let plane = Plane::new().await;
    for (given, kept) in [
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        ("2026-03-01T12:00:00+02:00", "2026-03-01T10:00:00Z"),
        ("2026-03-01T12:00:00.5Z", "2026-03-01T12:00:00.500Z"),
        ("2026-03-01T12:00:00.123999999Z", "2026-03-01T12:00:00.123Z"),
        ("9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"),
    ] {
        let issued = plane.issue(&json!({ "notAfter": given })).await;
        assert_eq!(issued.json["apiKey"]["notAfter"], kept);
        assert_eq!(issued.presented().not_after(), Some(at(kept)));
        assert_eq!(plane.check(&issued.text), Ok(()));
        let rows = plane.register().await;
        let row = rows.iter().find(|row| row.id == issued.presented().key_id()).unwrap();
        assert_eq!(row.not_after, Some(at(kept)));
    }
}

#[tokio::test]
async fn a_key_that_never_expires_has_no_expiry() {
    let plane = Plane::new().await;
    let issued = plane.issue(&json!({ "neverExpire": true })).await;
    assert_eq!(issued.json["apiKey"]["notAfter"], json!(null));
    assert_eq!(issued.presented().not_after(), None);
    plane.advance(Duration::from_hours(24 * 365 * 1000));
    assert_eq!(plane.check(&issued.text), Ok(()));
    let usual = plane.issue(&json!({ "neverExpire": false })).await;
    assert!(usual.presented().not_after().is_some());
}

#[tokio::test]
async fn a_maximum_lifetime_bounds_every_key() {
    let max_lifetime = Some(Duration::from_hours(1));
    let plane = Plane::with_settings(Settings { max_lifetime, ..Settings::default() }).await;
    for body in [
        json!({ "notAfter": "2026-01-01T01:00:00.001Z" }),
        json!({ "notAfter": "9999-01-01T00:00:00Z" }),
        json!({ "neverExpire": true }),
    ] {
        let answer = plane.post("listMcpServerUrl?getApikey=true", body.to_string()).await;
        plane.assert_refused(&answer, 400, "InvalidNotAfter").await;
        assert!(answer.message().contains("2026-01-01T01:00:00Z"), "{}", answer.text);
    }
    let longest = plane.issue(&json!({ "notAfter": "2026-01-01T01:00:00Z" })).await;
    assert_eq!(longest.presented().not_after(), Some(at("2026-01-01T01:00:00Z")));
    let usual = plane.issue(&json!({})).await;
    assert_eq!(usual.presented().not_after(), Some(at("2026-01-01T01:00:00Z")));
}

#[tokio::test]
async fn a_key_is_derived_from_the_access_key_that_is_named() {
    let plane = Plane::new().await;
    let snapshot = plane.replica.snapshot().unwrap();
    let ring = &snapshot.apps()[0].ring;
    for (given, slot) in
        [("primary", Slot::Primary), ("SECONDARY", Slot::Secondary), ("Secondary", Slot::Secondary)]
    {
        let issued = plane.issue(&json!({ "keyType": given })).await;
        assert_eq!(issued.json["apiKey"]["keyType"], slot.as_str());
        assert_eq!(ring.slot_of(issued.presented().access_key_id()), Some(slot));
    }
}

#[tokio::test]
async fn scopes_are_kept_sorted_with_servers_in_lower_case() {
    let plane = Plane::new().await;
    let given = json!(["TICKETS/FindTicket", "default", "Billing", "billing"]);
    let issued = plane.issue(&json!({ "scopes": given })).await;
    let kept = json!(["billing", "default", "tickets/FindTicket"]);
    assert_eq!(issued.json["apiKey"]["scopes"], kept);
    let reach = issued.presented().scopes().unwrap();
    assert!(reach.reaches_tool("tickets", "FindTicket"));
    assert!(!reach.reaches_tool("tickets", "CreateTicket"));
    let whole = plane.issue(&json!({ "scopes": null })).await;
    assert_eq!(whole.presented().scopes(), None);
}

#[tokio::test]
async fn a_label_is_counted_in_characters() {
    let plane = Plane::new().await;
    let label = "é".repeat(128);
    let issued = plane.issue(&json!({ "label": label })).await;
    assert_eq!(issued.json["apiKey"]["label"], label);
    assert_eq!(plane.register().await[0].label.as_deref(), Some(&*label));
}

#[tokio::test]
async fn both_bases_and_both_operations_issue_the_same_kind_of_key() {
    let plane = Plane::new().await;
    for path in [
        format!("{HOST_BASE}/listMcpServerUrl?getApikey=true"),
        format!("{ARM_BASE}/listMcpServerUrl?api-version=2021-02-01&getApikey=true"),
        format!("{HOST_BASE}/listMcpServers?getApiKey=TRUE"),
        format!("{ARM_BASE}/listMcpServers?api-version=2021-02-01&getApikey=true"),
    ] {
        let answer = plane.call(Role::Issuer, &path, "{\"keyType\":\"secondary\"}").await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let key = answer.json["headers"]["X-API-Key"].as_str().unwrap();
        assert_eq!(plane.check(key), Ok(()));
        assert_eq!(answer.json["apiKey"]["keyType"], "secondary");
    }
    let rows = plane.register().await;
    assert_eq!(rows.len(), 4);
    assert!(rows.iter().all(|row| row.issued_by == "issuer" && row.state == ApiKeyState::Active));
}

#[tokio::test]
async fn twenty_keys_issued_at_once_are_twenty_keys() {
    let plane = Plane::new().await;
    let none = json!({});
    let issued = join_all((0..20).map(|_| plane.issue(&none))).await;
    let mut ids: Vec<&str> = issued.iter().map(crate::plane::Issued::id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 20);
    assert!(issued.iter().all(|issued| plane.check(&issued.text).is_ok()));
    assert_eq!(plane.register().await.len(), 20);
}
