//! Regeneration and revocation: in force when they return, and nothing else touched.

use keys::{ChildId, Refusal, SysRng, Terms};
use serde_json::json;

use crate::plane::Plane;

async fn regenerate(plane: &Plane, key_type: &str) {
    let body = json!({ "keyType": key_type }).to_string();
    let answer = plane.post("regenerateMcpServerAccessKey", body).await;
    assert_eq!((answer.status.as_u16(), &*answer.text), (200, "{}"));
}

#[tokio::test]
async fn a_regeneration_ends_the_keys_of_its_slot_and_no_others() {
    let plane = Plane::new().await;
    let primary = plane.issue(&json!({ "neverExpire": true })).await.text;
    let secondary = plane.issue(&json!({ "keyType": "secondary" })).await.text;
    regenerate(&plane, "PRIMARY").await;
    assert_eq!(plane.check(&primary), Err(Refusal::AccessKeyRegenerated));
    assert_eq!(plane.check(&secondary), Ok(()));
    let newer = plane.issue(&json!({})).await.text;
    assert_eq!(plane.check(&newer), Ok(()));
    regenerate(&plane, "secondary").await;
    assert_eq!(plane.check(&secondary), Err(Refusal::AccessKeyRegenerated));
    assert_eq!(plane.check(&newer), Ok(()));
}

#[tokio::test]
async fn a_regeneration_says_which_access_key_or_changes_nothing() {
    let plane = Plane::new().await;
    let before = plane.post("listMcpAccessKeys", "").await.json;
    for (body, code, named) in [
        ("", "InvalidRequestContent", "keyType"),
        (" ", "InvalidRequestContent", "keyType"),
        ("{}", "InvalidRequestContent", "keyType"),
        ("[\"primary\"]", "InvalidRequestContent", "JSON object"),
        ("{\"keyType\":null}", "InvalidRequestContent", "keyType must be a string"),
        ("{\"keyType\":true}", "InvalidRequestContent", "keyType must be a string"),
        ("{\"keyType\":\"primary\",\"x\":1}", "InvalidRequestContent", "'x'"),
        (
            "{\"keyType\":\"primary\",\"keyType\":\"secondary\"}",
            "InvalidRequestContent",
            "'keyType' twice",
        ),
        ("{\"keyType\":\"both\"}", "InvalidKeyType", "'both'"),
        ("{\"keyType\":\"primary \"}", "InvalidKeyType", "primary or secondary"),
    ] {
        let answer = plane.post("regenerateMcpServerAccessKey", body).await;
        answer.assert(400, code);
        assert!(answer.message().contains(named), "{}", answer.text);
    }
    assert_eq!(plane.post("listMcpAccessKeys", "").await.json, before);
}

#[tokio::test]
async fn a_revocation_ends_one_key_with_what_was_narrowed_from_it() {
    let plane = Plane::new().await;
    let revoked = plane.issue(&json!({})).await;
    let other = plane.issue(&json!({})).await.text;
    let child = narrowed(&revoked.text, ChildId::generate(&mut SysRng).unwrap());
    let body = json!({ "id": revoked.id() }).to_string();
    for _ in 0..2 {
        let answer = plane.post("revokeMcpApiKey", body.clone()).await;
        assert_eq!((answer.status.as_u16(), &*answer.text), (200, "{}"));
        assert_eq!(plane.check(&revoked.text), Err(Refusal::Revoked));
        assert_eq!(plane.check(&child), Err(Refusal::Revoked));
        assert_eq!(plane.check(&other), Ok(()));
    }
}

#[tokio::test]
async fn a_narrowed_key_is_revoked_by_its_own_id_and_its_parent_lives() {
    let plane = Plane::new().await;
    let parent = plane.issue(&json!({})).await;
    let id = ChildId::generate(&mut SysRng).unwrap();
    let child = narrowed(&parent.text, id);
    let body = json!({ "id": format!("{}/{id}", parent.id()) }).to_string();
    assert_eq!(plane.post("revokeMcpApiKey", body).await.status, 200);
    assert_eq!(plane.check(&child), Err(Refusal::Revoked));
    let alone = ChildId::generate(&mut SysRng).unwrap();
    let sibling = narrowed(&parent.text, alone);
    assert_eq!(plane.check(&sibling), Ok(()));
    let body = json!({ "id": alone.to_string() }).to_string();
    assert_eq!(plane.post("revokeMcpApiKey", body).await.status, 200);
    assert_eq!(plane.check(&sibling), Err(Refusal::Revoked));
    assert_eq!(plane.check(&parent.text), Ok(()));
}

fn narrowed(key: &str, child: ChildId) -> String {
    let terms = Terms { not_after: None, scopes: None };
    let presented = keys::Presented::parse(key.as_bytes()).unwrap();
    presented.narrow(child, &terms).unwrap().expose().to_owned()
}

#[tokio::test]
async fn an_unknown_key_is_not_found() {
    let plane = Plane::new().await;
    let stranger = "01940000-0000-7000-8000-000000000000";
    let child = format!("{stranger}/00000000000000000000000000000000");
    for id in [stranger, &child] {
        let answer = plane.post("revokeMcpApiKey", json!({ "id": id }).to_string()).await;
        plane.assert_refused(&answer, 404, "ApiKeyNotFound").await;
        assert!(answer.message().contains(stranger), "{}", answer.text);
    }
}

#[tokio::test]
async fn what_is_no_id_is_refused() {
    let plane = Plane::new().await;
    let key = plane.issue(&json!({})).await;
    for (body, named) in [
        (String::new(), "id"),
        ("{}".to_owned(), "id"),
        (json!({ "id": 7 }).to_string(), "id must be a string"),
        (json!({ "id": "" }).to_string(), "UUID"),
        (json!({ "id": key.id().replace('-', "") }).to_string(), "without its hyphens"),
        (json!({ "id": format!("{}/", key.id()) }).to_string(), "UUID"),
        (json!({ "id": key.id(), "keyType": "primary" }).to_string(), "'keyType'"),
        (json!({ "id": key.text }).to_string(), "the secret itself"),
    ] {
        let answer = plane.post("revokeMcpApiKey", body).await;
        answer.assert(400, "InvalidRequestContent");
        assert!(answer.message().contains(named), "{}", answer.text);
        assert!(!answer.text.contains("kwk1_"), "{}", answer.text);
    }
    assert_eq!(plane.check(&key.text), Ok(()));
}
