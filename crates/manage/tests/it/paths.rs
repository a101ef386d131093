//! Which requests reach which operation of which app, and which do not.

use http::{Method, Request};
use keys::Role;
use manage::{OPERATIONS, Settings};
use serde_json::json;

use crate::plane::{ARM_BASE, Answer, HOST_BASE, Plane, Setup, app_with, helpdesk, post};

const VERSION: &str = "api-version=2021-02-01";

/// Every operation under both bases, with a query that lets it through.
fn paths() -> Vec<(&'static manage::Operation, String)> {
    let under = |base: &'static str| {
        move |operation: &'static manage::Operation| {
            (operation, format!("{base}/{}?{VERSION}", operation.name))
        }
    };
    OPERATIONS.iter().map(under(HOST_BASE)).chain(OPERATIONS.iter().map(under(ARM_BASE))).collect()
}

#[tokio::test]
async fn every_operation_is_reached_under_both_bases() {
    let plane = Plane::new().await;
    for (_, path) in paths() {
        // Unknown to each of them, so that none does anything: the body is the last thing looked at.
        let answer = plane.call(Role::Owner, &path, r#"{"nonsense": 1}"#).await;
        plane.assert_refused(&answer, 400, "InvalidRequestContent").await;
        assert!(answer.message().contains("'nonsense'"), "{}", answer.text);
    }
}

#[tokio::test]
async fn no_operation_runs_without_a_token() {
    let plane = Plane::new().await;
    for (_, path) in paths() {
        let answer = plane.send(post(&path).body("{}".into()).unwrap()).await;
        plane.assert_refused(&answer, 401, "AuthenticationFailed").await;
        assert_eq!(answer.headers["www-authenticate"], r#"Bearer realm="keyward management""#);
    }
}

#[tokio::test]
async fn no_operation_runs_with_a_token_that_is_no_operators() {
    let plane = Plane::new().await;
    let key = plane.issue(&json!({})).await.text;
    let another = keys::OperatorToken::generate(&mut keys::SysRng).unwrap();
    let cut = plane.token(Role::Owner).get(..40).unwrap();
    for (_, path) in paths() {
        for token in [another.expose(), cut, "eyJhbGciOiJub25lIn0.e30.", "kwk1_x", &key, "\"x"] {
            let request = post(&path).header("authorization", format!("Bearer {token}"));
            let answer = plane.send(request.body("{}".into()).unwrap()).await;
            answer.assert(401, "InvalidAuthenticationToken");
            let challenge = answer.headers["www-authenticate"].to_str().unwrap();
            assert_eq!(challenge, r#"Bearer realm="keyward management", error="invalid_token""#);
            assert!(!answer.text.contains(token), "{}", answer.text);
        }
    }
    assert_eq!(plane.register().await.len(), 1);
}

#[tokio::test]
async fn no_operation_runs_with_too_little_of_a_role() {
    let plane = Plane::new().await;
    let lesser = |needed: Role| Role::ALL.into_iter().filter(move |role| *role < needed);
    for (operation, path) in paths() {
        for role in lesser(operation.role) {
            let answer = plane.call(role, &path, r#"{"nonsense": 1}"#).await;
            assert_forbidden(&plane, &answer, operation.role).await;
        }
        let Some(needed) = operation.role_for_api_key else { continue };
        for role in lesser(needed) {
            let answer = plane.call(role, &format!("{path}&getApikey=true"), "{").await;
            assert_forbidden(&plane, &answer, needed).await;
        }
    }
}

async fn assert_forbidden(plane: &Plane, answer: &Answer, needed: Role) {
    plane.assert_refused(answer, 403, "AuthorizationFailed").await;
    let named = format!("needs the role {needed}");
    assert!(answer.message().contains(&named), "{}", answer.text);
}

#[tokio::test]
async fn every_operation_runs_with_the_role_it_names() {
    let plane = Plane::new().await;
    for (operation, path) in paths() {
        let answer = plane.call(operation.role, &path, r#"{"nonsense": 1}"#).await;
        answer.assert(400, "InvalidRequestContent");
        if let Some(role) = operation.role_for_api_key {
            let path = format!("{path}&getApikey=true");
            plane
                .call(role, &path, r#"{"nonsense": 1}"#)
                .await
                .assert(400, "InvalidRequestContent");
        }
    }
}

#[tokio::test]
async fn fixed_segments_and_names_compare_without_regard_to_case_and_percent_encoding() {
    let plane = Plane::new().await;
    let lower = format!("{ARM_BASE}/listMcpServers").to_lowercase();
    let upper = format!("{ARM_BASE}/listMcpServers").to_uppercase();
    let encoded = format!("{ARM_BASE}/%6CistMcpServers").replace("sites", "%73ites");
    let app = format!("{ARM_BASE}/listMcpServers").replace("helpdesk", "h%45LPdesk");
    for path in [lower, upper, encoded, app] {
        let answer = plane.call(Role::Reader, &format!("{path}?API-Version=2024-11-01"), "").await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_path_that_is_no_operations_is_not_found() {
    let plane = Plane::new().await;
    let list = "listMcpServers";
    for path in [
        "/".to_owned(),
        format!("/{list}"),
        format!("{HOST_BASE}/"),
        format!("{HOST_BASE}/{list}/"),
        format!("{HOST_BASE}//{list}"),
        format!("{HOST_BASE}/x/../{list}"),
        format!("{HOST_BASE}/listMcpServer"),
        format!("{HOST_BASE}/list%FFMcpServers"),
        format!("{HOST_BASE}%2F{list}"),
        format!("{ARM_BASE}/deleteEverything?{VERSION}"),
        format!("{ARM_BASE}/{list}?{VERSION}").replace("Microsoft.Web", "Microsoft.Logic"),
        format!("/x{ARM_BASE}/{list}?{VERSION}"),
    ] {
        let answer = plane.call(Role::Owner, &path, "").await;
        answer.assert(404, "OperationNotFound");
        let anonymous = plane.send(post(&path).body("".into()).unwrap()).await;
        anonymous.assert(401, "AuthenticationFailed");
    }
}

#[tokio::test]
async fn other_methods_than_post_are_refused_with_what_is_allowed() {
    let plane = Plane::new().await;
    let authorization = format!("Bearer {}", plane.token(Role::Owner));
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS] {
        for (_, path) in paths() {
            let request = Request::builder().method(&method).uri(&path).header("host", "localhost");
            let request = request.header("authorization", &authorization);
            let answer = plane.send(request.body("".into()).unwrap()).await;
            answer.assert(405, "MethodNotAllowed");
            assert_eq!(answer.headers["allow"], "POST");
        }
    }
}

#[tokio::test]
async fn an_api_version_is_required_under_azures_base_and_only_there() {
    let plane = Plane::new().await;
    let path = format!("{ARM_BASE}/listMcpServerUrl?getApikey=true");
    for query in ["", "&api-version=", "&version=2021-02-01"] {
        let answer = plane.call(Role::Owner, &format!("{path}{query}"), "").await;
        plane.assert_refused(&answer, 400, "MissingApiVersionParameter").await;
    }
    for version in
        ["1", "2021-2-1", "2021-13-01", "2021-02-30", "2021-02-01-beta", "latest", "2021-02-01x"]
    {
        let answer = plane.call(Role::Owner, &format!("{path}&api-version={version}"), "").await;
        plane.assert_refused(&answer, 400, "InvalidApiVersionParameter").await;
        assert!(answer.message().contains("'api-version'"), "{}", answer.text);
    }
    let twice = format!("{path}&{VERSION}&{VERSION}");
    let answer = plane.call(Role::Owner, &twice, "").await;
    plane.assert_refused(&answer, 400, "InvalidQueryParameterValue").await;
    for version in ["2018-11-01", "2020-06-01", "2021-02-01", "2024-11-01", "2026-01-01-PREVIEW"] {
        let path = format!("{ARM_BASE}/listMcpServers?api-version={version}");
        assert_eq!(plane.call(Role::Reader, &path, "").await.status, 200);
    }
    assert_eq!(plane.post("listMcpServers?api-version=none", "").await.status, 200);
}

#[tokio::test]
async fn another_subscription_or_resource_group_than_the_configured_one_is_not_found() {
    let plane = Plane::with_settings(Settings {
        subscription: Some("00000000-0000-0000-0000-00000000000A".to_owned()),
        resource_group: Some("Group".to_owned()),
        ..Settings::default()
    })
    .await;
    let path = |subscription: &str, group: &str| {
        format!("{ARM_BASE}/listMcpServerUrl?{VERSION}&getApikey=true")
            .replace("00000000-0000-0000-0000-000000000001", subscription)
            .replace("/rg/", &format!("/{group}/"))
    };
    let ours = "00000000-0000-0000-0000-00000000000a";
    let answer = plane.call(Role::Owner, &path("other", "group"), "").await;
    plane.assert_refused(&answer, 404, "SubscriptionNotFound").await;
    let answer = plane.call(Role::Owner, &path(ours, "other"), "").await;
    plane.assert_refused(&answer, 404, "ResourceGroupNotFound").await;
    assert_eq!(plane.call(Role::Owner, &path(ours, "GROUP"), "").await.status, 200);
}

#[tokio::test]
async fn an_unknown_app_is_not_found_under_either_base() {
    let plane = Plane::new().await;
    for path in [
        format!("{ARM_BASE}/listMcpServerUrl?{VERSION}&getApikey=true")
            .replace("helpdesk", "other"),
        format!("{HOST_BASE}/listMcpServerUrl?app=other&getApikey=true"),
    ] {
        let answer = plane.call(Role::Owner, &path, "").await;
        plane.assert_refused(&answer, 404, "ResourceNotFound").await;
        assert!(answer.message().contains("'other'"), "{}", answer.text);
    }
}

#[tokio::test]
async fn where_several_apps_are_served_the_query_names_one() {
    let second = app_with(&json!({ "enable": true }), &json!([]));
    let apps = vec![("Helpdesk", helpdesk()), ("Shop", second)];
    let plane = Plane::with(Setup { apps, ..Setup::default() }).await;
    let answer = plane.post("listMcpServers", "").await;
    plane.assert_refused(&answer, 400, "MissingAppParameter").await;
    assert!(answer.message().contains("Helpdesk, Shop"), "{}", answer.text);
    let shop = plane.post("listMcpServers?APP=sHOP", "").await;
    assert_eq!(shop.json, json!({ "value": [] }));
    let helpdesk = plane.post("listMcpServers?app=helpdesk", "").await;
    assert_eq!(helpdesk.json["value"].as_array().unwrap().len(), 2);
    let twice = plane.post("listMcpServers?app=shop&App=helpdesk", "").await;
    plane.assert_refused(&twice, 400, "InvalidQueryParameterValue").await;
}
