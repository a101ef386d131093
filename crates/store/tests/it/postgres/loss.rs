//! The connection is lost at every message of every change: what is answered is what is.

use std::fmt::Write as _;
use std::time::Duration;

use keys::{AccessKey, ApiKeyId, OperatorToken, RevokedId, Slot, SysRng};
use pg_harness::{Fault, Proxy};
use store::{Error, Patience};

use crate::harness::Fixture;

/// More messages than any change passes: one that passes them all was not disturbed.
const TOO_MANY: usize = 200;

/// How many stores are disturbed at once, each at another message.
const LANES: usize = 32;

/// Whoever waits for a database that does not come back learns nothing more.
const SHORT: Patience = Patience {
    answer: Duration::from_secs(5),
    body: Duration::from_secs(2),
    commit: Duration::from_secs(1),
    keep_trying: Duration::from_millis(500),
};

/// What can be found out is found out, however busy the machine is.
pub(super) const LONG: Patience = Patience {
    answer: Duration::from_secs(60),
    body: Duration::from_secs(60),
    commit: Duration::from_secs(60),
    keep_trying: Duration::from_secs(60),
};

/// A change, and what to look for afterwards.
#[derive(Clone, Copy, Debug)]
enum Change {
    Regenerate,
    Revoke,
    Issue,
    MakeApp,
    ShareToken,
}

const ALL: [Change; 5] =
    [Change::Regenerate, Change::Revoke, Change::Issue, Change::MakeApp, Change::ShareToken];

/// How the change ended, and the statement that counts what it left.
struct Ended {
    result: Result<(), Error>,
    count: String,
    /// How many audit rows a change leaves that stands.
    audited: i64,
}

async fn make(change: Change, fixture: &Fixture, issued: ApiKeyId, name: &str) -> Ended {
    let store = &fixture.store;
    match change {
        Change::Regenerate => {
            let key = AccessKey::generate(&mut SysRng).unwrap();
            let made = store.regenerate(&fixture.owner(), Slot::Primary, &key).await;
            let id: String = key.id().as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
            let mut count = format!(
                "SELECT count(*) FROM access_keys WHERE id = '\\x{id}' AND regenerated_at IS NULL"
            );
            if let Ok(change) = &made {
                // What is waited for is what put it in force, or something later.
                write!(count, " AND revision <= {}", change.revision()).unwrap();
            }
            Ended { result: made.map(drop), count, audited: 1 }
        }
        Change::Revoke => {
            let made = store.revoke(&fixture.owner(), RevokedId::Key(issued)).await;
            let mut count = format!("SELECT count(*) FROM revocations WHERE id = '{issued}'");
            if let Ok(change) = &made {
                let revision = change.revision();
                write!(count, " AND (SELECT value FROM revision) <= {revision}").unwrap();
            }
            Ended { result: made.map(drop), count, audited: 1 }
        }
        Change::Issue => {
            let request = crate::harness::request(name);
            let made = store.issue(&fixture.issuer(), &request).await;
            let mut count = format!("SELECT count(*) FROM api_keys WHERE label = '{name}'");
            if let Ok(issued) = &made {
                write!(count, " AND id = '{}'", issued.id).unwrap();
            }
            Ended { result: made.map(drop), count, audited: 1 }
        }
        Change::MakeApp => {
            let made = store.ensure_app(name).await;
            let count = format!("SELECT count(*) FROM apps WHERE name = '{name}'");
            Ended { result: made.map(drop), count, audited: 0 }
        }
        Change::ShareToken => {
            let token = OperatorToken::generate(&mut SysRng).unwrap();
            let made = store.shared_operator_token(name, &token).await;
            let count = format!("SELECT count(*) FROM operator_tokens WHERE name = '{name}'");
            Ended { result: made.map(drop), count, audited: 0 }
        }
    }
}

/// A store behind a proxy of its own.
struct Lane {
    fixture: Fixture,
    proxy: Proxy,
}

/// Makes a change with a fault at a message; says whether it came to it.
async fn disturb(lane: &Lane, change: Change, number: usize, fault: Fault) -> bool {
    let Lane { fixture, proxy } = lane;
    let issued = fixture.issue(Slot::Primary).await.id;
    let database = fixture.database();
    let audited = "SELECT count(*) FROM audit_events";
    let before = database.number(audited);
    proxy.arm(number, fault);
    let ended = make(change, fixture, issued, &format!("made-{number}")).await;
    let happened = proxy.mend();
    over(fixture, proxy);
    let stands = database.number(ended.count);
    let audits = database.number(audited) - before;
    let context = || format!("{change:?}, {fault:?} at {number}: {:?}", ended.result);
    match &ended.result {
        Ok(()) => assert_eq!((stands, audits), (1, ended.audited), "{}", context()),
        Err(Error::OutcomeUnknown(_)) => {
            assert!(fault != Fault::Cut, "it could have been found out: {}", context());
            assert_eq!(audits, stands * ended.audited, "{}", context());
        }
        Err(Error::Database(_) | Error::TooSlow) => {
            assert!(fault != Fault::Cut, "it could have been made again: {}", context());
            assert_eq!((stands, audits), (0, 0), "{}", context());
        }
        Err(_) => panic!("{}", context()),
    }
    // It goes on as before.
    fixture.issue(Slot::Secondary).await;
    happened
}

/// Waits until the server has noticed that every connection through the proxy is gone: nothing becomes durable
/// after that.
pub(super) fn over(fixture: &Fixture, proxy: &Proxy) {
    proxy.cut();
    fixture.database().run(
        "DO $$ BEGIN \
             WHILE EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() \
                           AND pid <> pg_backend_pid() AND backend_type = 'client backend') LOOP \
                 PERFORM pg_sleep(0.005), pg_stat_clear_snapshot(); \
             END LOOP; \
         END $$;",
    );
}

/// Disturbs each change at each of its messages. Each lane has a thread of its own: what it asks the
/// database besides does not keep the others from being answered in time.
fn every_message(fault: Fault, patience: Patience) {
    let lane = |first: usize| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (fixture, proxy) = Fixture::behind_proxy(patience).await;
            let lane = Lane { fixture, proxy };
            for change in ALL {
                let mut number = first;
                while disturb(&lane, change, number, fault).await {
                    number += LANES;
                    assert!(number < TOO_MANY, "{change:?} passes too many messages");
                }
            }
        });
    };
    std::thread::scope(|scope| {
        for first in 0..LANES {
            scope.spawn(move || lane(first));
        }
    });
}

#[test]
fn a_connection_that_is_cut_at_any_message_costs_time_and_nothing_else() {
    every_message(Fault::Cut, LONG);
}

#[test]
fn a_database_that_is_gone_from_any_message_on_leaves_what_is_answered() {
    every_message(Fault::Down, SHORT);
}

#[test]
fn a_network_that_swallows_from_any_message_on_leaves_what_is_answered() {
    every_message(Fault::Swallow, SHORT);
}
