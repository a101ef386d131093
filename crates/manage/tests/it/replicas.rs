//! The list of replicas over the management plane.

use serde_json::Value;

use crate::plane::{Plane, Setup};

#[tokio::test]
async fn replicas_are_listed_without_an_app_and_whichever_is_named() {
    for names in [vec![], vec!["one", "two"]] {
        let apps = names.iter().map(|name| (*name, crate::plane::helpdesk())).collect();
        let plane = Plane::with(Setup { apps, ..Setup::default() }).await;
        let answer = plane.post("listReplicas", "").await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let [only] = answer.json["value"].as_array().unwrap().as_slice() else { panic!() };
        // The embedded store has one, which needs no lease.
        assert_eq!((&only["thisOne"], &only["lease"]), (&Value::Bool(true), &Value::Null));
        let named = plane.post("listReplicas?app=two", "").await;
        assert_eq!(named.status, if names.is_empty() { 404 } else { 200 });
    }
}
