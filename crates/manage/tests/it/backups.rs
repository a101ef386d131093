//! Backups over the management plane.

use std::io::Cursor;

use http_body_util::BodyExt as _;
use keys::Role;
use serde_json::json;
use store::Backup;
use tower::ServiceExt as _;

use crate::plane::{HOST_BASE, Plane, Setup, post};

#[tokio::test]
async fn an_owner_is_given_a_whole_backup_without_any_key() {
    let plane = Plane::new().await;
    let issued = plane.issue(&json!({ "label": "ci" })).await;
    let answer = plane.post("backupStore", "").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["content-type"], "application/jsonl");
    assert!(answer.text.contains("\"ci\"") && !answer.text.contains("kwk1_"));
    assert!(!answer.text.contains(issued.json["headers"]["X-API-Key"].as_str().unwrap()));
    let backup = Backup::read(Cursor::new(answer.text.as_bytes()), None).unwrap();
    assert_eq!(backup.summary().apps, 1);
    let answer = plane.call(Role::Issuer, &format!("{HOST_BASE}/backupStore"), "{}").await;
    answer.assert(403, "AuthorizationFailed");
}

#[tokio::test]
async fn a_backup_has_all_apps_whichever_is_named() {
    let apps = ["one", "two"].map(|name| (name, crate::plane::helpdesk()));
    let plane = Plane::with(Setup { apps: apps.into(), ..Setup::default() }).await;
    for query in ["", "?app=TWO"] {
        let answer = plane.post(&format!("backupStore{query}"), "").await;
        let backup = Backup::read(Cursor::new(answer.text.as_bytes()), None).unwrap();
        assert_eq!(backup.summary().apps, 2);
    }
    plane.post("backupStore?app=three", "").await.assert(404, "ResourceNotFound");
}

#[tokio::test]
async fn one_backup_at_a_time_is_taken_and_one_that_nobody_reads_any_more_makes_room() {
    let plane = Plane::new().await;
    // More than the chunks that wait for somebody to read them.
    for _ in 0..700 {
        plane.issue(&json!({ "label": "x".repeat(128) })).await;
    }
    let path = format!("{HOST_BASE}/backupStore");
    let begin = || async {
        let authorization = format!("Bearer {}", plane.token(Role::Owner));
        let request = post(&path).header("authorization", authorization);
        let request = request.body(axum::body::Body::empty()).unwrap();
        plane.router.clone().oneshot(request).await.unwrap()
    };
    let mut first = begin().await;
    assert_eq!(first.status(), 200);
    assert!(first.body_mut().frame().await.unwrap().unwrap().is_data());
    let second = plane.post("backupStore", "").await;
    second.assert(409, "BackupUnderWay");
    drop(first);
    plane.tasks.close();
    plane.tasks.wait().await;
    assert_eq!(begin().await.status(), 200);
}
