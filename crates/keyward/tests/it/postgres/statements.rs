//! What the database is asked while requests are answered, by its own statistics.

use std::sync::OnceLock;

use pg_harness::{Cluster, Durability};

use super::Place;

const REQUESTS: i64 = 1_000;

/// A server that counts statements.
fn counting() -> &'static Cluster {
    static COUNTING: OnceLock<Cluster> = OnceLock::new();
    COUNTING.get_or_init(|| {
        Cluster::start(Durability::None, &["shared_preload_libraries=pg_stat_statements"])
    })
}

#[test]
fn no_request_asks_the_database_anything() {
    let place = Place::on(counting().database());
    place.database.run("CREATE EXTENSION pg_stat_statements;");
    let server = place.serve();
    let (good, ended) = (place.issue(), place.issue());
    let id = place.sandbox.run(&["key", "list", "--json"]).ok();
    let id: serde_json::Value = serde_json::from_str(&id).unwrap();
    place.sandbox.run(&["key", "revoke", id["value"][0]["id"].as_str().unwrap()]).ok();
    place.database.run("SELECT pg_stat_statements_reset();");
    let renewals = "SELECT COALESCE(SUM(calls), 0)::BIGINT FROM pg_stat_statements \
                    WHERE query LIKE '%UPDATE replicas%'";
    let mut requests = 0;
    // Until its own lease was renewed meanwhile: then something was counted.
    while requests < REQUESTS || place.database.number(renewals) == 0 {
        assert_eq!((server.greet(&good), server.greet(&ended)), (200, 401));
        requests += 2;
    }
    let most = "SELECT MAX(calls) FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid \
                WHERE d.datname = current_database() AND query NOT LIKE '%pg_stat_statements%'";
    let most = place.database.number(most);
    assert!(most < requests / 10, "a statement was made {most} times for {requests} requests");
}
