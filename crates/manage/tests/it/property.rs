//! Whatever is sent, the answer is a client's fault or a success, and only a success issues.

use keys::Role;
use manage::OPERATIONS;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::plane::{HOST_BASE, Plane, post};

/// How many requests are tried: each is a call of the router, some with a commit to disk.
const CASES: u32 = 600;

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        prop::sample::select(vec![
            "primary",
            "Secondary",
            "default",
            "tickets",
            "Tickets/FindTicket",
            "2026-01-01T00:00:00Z",
            "2025-01-01T00:00:00Z",
            "9999-12-31T23:59:59-12:00",
            "0000-01-01T00:00:00+12:00",
        ])
        .prop_map(Value::from),
    ]
}

fn member() -> impl Strategy<Value = (String, Value)> {
    let name = prop::sample::select(vec![
        "keyType",
        "notAfter",
        "neverExpire",
        "serverName",
        "scopes",
        "label",
        "id",
        "other",
    ]);
    let value = prop_oneof![
        4 => scalar(),
        1 => prop::collection::vec(scalar(), 0..4).prop_map(Value::from),
        1 => Just(json!({ "deep": [{}] })),
    ];
    (name.prop_map(str::to_owned), value)
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let object = prop::collection::vec(member(), 0..4).prop_map(|members| {
        let members: Vec<_> =
            members.iter().map(|(name, value)| format!("{}:{value}", json!(name))).collect();
        format!("{{{}}}", members.join(",")).into_bytes()
    });
    prop_oneof![
        3 => object,
        1 => prop::collection::vec(any::<u8>(), 0..64),
        1 => "[\\[\\]{}\",:a-z0-9 ]{0,40}".prop_map(String::into_bytes),
    ]
}

fn target() -> impl Strategy<Value = String> {
    let known = prop::sample::select(OPERATIONS.iter().map(|one| one.name).collect::<Vec<_>>());
    let query = prop_oneof![
        2 => Just("getApikey=true".to_owned()),
        1 => "(getApikey|top|\\$skipToken|app|%[0-9a-f]{2})=[a-z0-9%+&=-]{0,8}",
    ];
    (known, query).prop_map(|(name, query)| format!("{HOST_BASE}/{name}?{query}"))
}

#[test]
fn no_request_makes_the_server_fail_and_no_refusal_issues_a_key() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let plane = runtime.block_on(Plane::new());
    let mut runner =
        TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&(target(), body()), |(target, body)| {
        runtime.block_on(async {
            let before = plane.register().await.len();
            let authorization = format!("Bearer {}", plane.token(Role::Owner));
            let request = post(&target).header("authorization", authorization);
            let answer = plane.send(request.body(body.into()).unwrap()).await;
            let issued = plane.register().await.len() - before;
            prop_assert!(answer.status.as_u16() < 500, "{}", answer.text);
            let has_key = answer.json["headers"]["X-API-Key"].is_string();
            prop_assert_eq!(has_key && answer.status == 200, issued == 1);
            prop_assert!(issued <= 1);
            prop_assert!(answer.status == 200 || !answer.text.contains("kwk1_"));
            Ok(())
        })
    });
    outcome.unwrap();
}
