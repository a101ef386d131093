//! What a change promises when its caller goes away, or the store fails.

use futures::FutureExt as _;
use keys::{Refusal, Role};
use serde_json::json;
use tower::ServiceExt as _;

use crate::plane::{HOST_BASE, Plane, post};

fn request(plane: &Plane, operation: &str, body: String) -> http::Request<axum::body::Body> {
    post(&format!("{HOST_BASE}/{operation}"))
        .header("authorization", format!("Bearer {}", plane.token(Role::Owner)))
        .body(body.into())
        .unwrap()
}

/// Looks at a call once, drops it as hyper does when the connection ends, and waits for what it
/// left behind.
async fn abandon(plane: &Plane, operation: &str, body: String) {
    let mut call = plane.router.clone().oneshot(request(plane, operation, body)).boxed();
    assert!((&mut call).now_or_never().is_none(), "it was done at once");
    drop(call);
    plane.tasks.close();
    plane.tasks.wait().await;
}

#[tokio::test]
async fn a_regeneration_goes_on_when_its_callers_connection_ends() {
    let plane = Plane::new().await;
    let key = plane.issue(&json!({})).await.text;
    let body = json!({ "keyType": "primary" }).to_string();
    abandon(&plane, "regenerateMcpServerAccessKey", body).await;
    assert_eq!(plane.check(&key), Err(Refusal::AccessKeyRegenerated));
}

#[tokio::test]
async fn a_revocation_goes_on_when_its_callers_connection_ends() {
    let plane = Plane::new().await;
    let key = plane.issue(&json!({})).await;
    abandon(&plane, "revokeMcpApiKey", json!({ "id": key.id() }).to_string()).await;
    assert_eq!(plane.check(&key.text), Err(Refusal::Revoked));
}

#[tokio::test]
async fn a_store_that_fails_leaves_the_old_access_key_in_force_and_is_told_as_5xx() {
    let plane = Plane::new().await;
    let key = plane.issue(&json!({})).await;
    plane.store.close().await;
    for (operation, body) in [
        ("regenerateMcpServerAccessKey", json!({ "keyType": "primary" })),
        ("revokeMcpApiKey", json!({ "id": key.id() })),
        ("listMcpServerUrl?getApikey=true", json!({})),
        ("listMcpServers?getApikey=true", json!({})),
        ("listMcpApiKeys", json!({})),
        ("listMcpAccessKeys", json!({})),
    ] {
        let answer = plane.post(operation, body.to_string()).await;
        answer.assert(503, "StoreUnavailable");
        assert_eq!(answer.json.get("headers"), None);
    }
    assert_eq!(plane.check(&key.text), Ok(()));
    assert_eq!(plane.post("listMcpServerUrl", "").await.status, 200);
}
