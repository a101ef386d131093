//! The register of issued keys, and the two slots.

use std::time::Duration;

use keys::Role;
use serde_json::{Value, json};

use crate::plane::{ARM_BASE, HOST_BASE, Plane};

async fn list(plane: &Plane, query: &str) -> Value {
    let path = format!("{HOST_BASE}/listMcpApiKeys{query}");
    let answer = plane.call(Role::Reader, &path, "").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json
}

#[tokio::test]
async fn a_row_says_what_a_key_is_and_never_the_key() {
    let plane = Plane::new().await;
    let body = json!({ "label": "ci", "keyType": "secondary", "scopes": ["tickets"] });
    let issued = plane.issue(&body).await;
    let answer = plane.post("listMcpApiKeys", "{}").await;
    assert_eq!(
        answer.json,
        json!({ "value": [{
        "id": issued.id(), "label": "ci", "keyType": "secondary",
        "issuedAt": "2026-01-01T00:00:00Z", "issuedBy": "owner",
        "notAfter": "2026-01-02T00:00:00Z", "scopes": ["tickets"],
        "lastUsedAt": null, "state": "active",
    }] })
    );
    assert!(!answer.text.contains("kwk1_"));
}

#[tokio::test]
async fn a_row_says_why_a_key_is_no_longer_good() {
    let plane = Plane::new().await;
    plane.issue(&json!({ "label": "expired", "notAfter": "2026-01-01T00:00:00Z" })).await;
    plane.issue(&json!({ "label": "regenerated", "keyType": "secondary" })).await;
    let revoked = plane.issue(&json!({ "label": "revoked" })).await;
    plane.issue(&json!({ "label": "active" })).await;
    plane.advance(Duration::from_millis(1));
    let body = json!({ "id": revoked.id() }).to_string();
    assert_eq!(plane.post("revokeMcpApiKey", body).await.status, 200);
    let body = json!({ "keyType": "secondary" }).to_string();
    assert_eq!(plane.post("regenerateMcpServerAccessKey", body).await.status, 200);
    for row in list(&plane, "").await["value"].as_array().unwrap() {
        let expected = if row["label"] == "regenerated" {
            "accessKeyRegenerated"
        } else {
            row["label"].as_str().unwrap()
        };
        assert_eq!(row["state"], expected);
    }
}

#[tokio::test]
async fn pages_follow_each_other_by_their_links_newest_first() {
    let plane = Plane::new().await;
    for n in 0..7 {
        plane.issue(&json!({ "label": n.to_string() })).await;
        // Two of them in the same millisecond.
        plane.advance(Duration::from_millis(n % 2));
    }
    for base in [HOST_BASE, ARM_BASE] {
        let first =
            format!("http://localhost:7072{base}/listMcpApiKeys?api-version=2021-02-01&$top=3");
        let mut next = Some(first.clone());
        let mut labels = Vec::new();
        let mut sizes = Vec::new();
        while let Some(link) = next {
            let path = link.strip_prefix("http://localhost:7072").unwrap();
            let answer = plane.call(Role::Reader, path, "").await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            let rows = answer.json["value"].as_array().unwrap();
            sizes.push(rows.len());
            labels.extend(rows.iter().map(|row| row["label"].as_str().unwrap().to_owned()));
            next = answer.json["nextLink"].as_str().map(str::to_owned);
        }
        assert_eq!(sizes, [3, 3, 1]);
        let newest_first: Vec<_> =
            plane.register().await.into_iter().map(|row| row.label.unwrap()).collect();
        assert_eq!(labels, newest_first);
        assert_eq!(labels[0], "6");
    }
}

#[tokio::test]
async fn a_link_begins_with_the_configured_url() {
    let public_url = Some("https://keys.example.com/admin/".parse().unwrap());
    let settings = manage::Settings { public_url, ..manage::Settings::default() };
    let plane = Plane::with_settings(settings).await;
    for _ in 0..2 {
        plane.issue(&json!({})).await;
    }
    let page = list(&plane, "?top=1&app=helpdesk").await;
    let id = page["value"][0]["id"].as_str().unwrap();
    let expected = format!(
        "https://keys.example.com/admin{HOST_BASE}/listMcpApiKeys?top=1&app=helpdesk&%24skipToken={id}"
    );
    assert_eq!(page["nextLink"], expected);
}

#[tokio::test]
async fn a_page_of_another_size_or_place_than_can_be_is_refused() {
    let plane = Plane::new().await;
    plane.issue(&json!({})).await;
    let stranger = "01940000-0000-7000-8000-000000000000";
    for (query, name) in [
        ("top=0".to_owned(), "'top'"),
        ("$top=1001".to_owned(), "'top'"),
        ("top=-1".to_owned(), "'top'"),
        ("top=ten".to_owned(), "'top'"),
        ("top=1&$top=1".to_owned(), "'top'"),
        ("skipToken=".to_owned(), "'skipToken'"),
        ("$skiptoken=x".to_owned(), "'skipToken'"),
        (format!("skipToken={stranger}"), "'skipToken'"),
    ] {
        let answer = plane.post(&format!("listMcpApiKeys?{query}"), "").await;
        answer.assert(400, "InvalidQueryParameterValue");
        assert!(answer.message().contains(name), "{}", answer.text);
    }
    assert_eq!(list(&plane, "?top=1000").await["value"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_slots_are_listed_with_who_made_them_and_without_their_secrets() {
    let plane = Plane::new().await;
    let before = plane.post("listMcpAccessKeys", "").await.json;
    plane.advance(Duration::from_millis(1500));
    let body = json!({ "keyType": "primary" }).to_string();
    assert_eq!(plane.post("regenerateMcpServerAccessKey", body).await.status, 200);
    let after = plane.post("listMcpAccessKeys", "").await.json;
    let slots = after["value"].as_array().unwrap();
    assert_eq!(slots.len(), 2);
    assert_eq!(slots[0]["slot"], "primary");
    assert_eq!(slots[0]["createdAt"], "2026-01-01T00:00:01.500Z");
    assert_eq!(slots[0]["createdBy"], "owner");
    assert_eq!(slots[0]["inForce"], true);
    assert_ne!(slots[0]["id"], before["value"][0]["id"]);
    assert!(slots[0]["revision"].as_i64() > before["value"][0]["revision"].as_i64());
    assert_eq!(slots[1], before["value"][1]);
    let names: Vec<_> = slots[0].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["slot", "id", "createdAt", "createdBy", "revision", "inForce"]);
}
