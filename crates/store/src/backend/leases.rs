//! What a replica asks the database about leases: each as `lease::Statement` says it, in one statement.
//!
//! Locks are taken in one order, the revision's row first and lease rows after it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use keys::Timestamp;
use lease::{
    Answer, ChangeId, Dismissal, LeaseRow, Outcome, Reading, Revision, RevisionName, RowId,
    Statement,
};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use crate::{Error, ReplicaRow, Result};

/// What a lease row says of its replica besides, for operators.
#[derive(Clone, Debug)]
pub(crate) struct Nameplate {
    /// What operators call it.
    pub(crate) name: String,
    /// Keyward's version.
    pub(crate) version: String,
}

/// The database's wall clock, in milliseconds since 1970, at this very moment and not at the transaction's
/// beginning. A macro, since `concat!` takes literals only.
macro_rules! wall_ms {
    () => {
        "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"
    };
}

/// The newest revision, locked before anything else is done: a change that is being committed is waited for, and
/// none begins its end before this does.
macro_rules! newest {
    () => {
        "WITH newest AS (SELECT value, change_id FROM revision WHERE only_row = 1 FOR SHARE), "
    };
}

/// What every answer has; `granted` and `found` say how many rows were.
macro_rules! answer {
    () => {
        concat!(
            "SELECT value, change_id, (SELECT COUNT(*) FROM granted), ",
            "(SELECT COUNT(*) FROM found), ",
            wall_ms!(),
            " FROM newest"
        )
    };
}

/// A statement by itself is a transaction that ends without us: a replica that is stopped in the middle holds
/// no lock that a change would wait for.
const REGISTER: &str = concat!(
    newest!(),
    "granted AS (INSERT INTO replicas \
     (id, counter, lease_ms, settled, settled_change, name, version, contact_at) \
     SELECT $1, 1, $2, value, change_id, $5, $6, ",
    wall_ms!(),
    " FROM newest WHERE value = $3 AND change_id = $4 RETURNING 1), \
     found AS (SELECT 1 FROM granted) ",
    answer!()
);

/// An update only: a row that was deleted is not made again. Where the newest revision is not settled, it
/// records that there was contact, and nothing that anybody decides by.
const RENEW: &str = concat!(
    newest!(),
    "found AS (UPDATE replicas r SET \
     counter = CASE WHEN value = $3 AND change_id = $4 THEN counter + 1 ELSE counter END, \
     settled = CASE WHEN value = $3 AND change_id = $4 THEN value ELSE settled END, \
     settled_change = CASE WHEN value = $3 AND change_id = $4 THEN change_id ELSE settled_change END, \
     lease_ms = CASE WHEN value = $3 AND change_id = $4 THEN $2 ELSE lease_ms END, \
     name = $5, version = $6, contact_at = ",
    wall_ms!(),
    " FROM newest WHERE r.id = $1 RETURNING 1), \
     granted AS (SELECT 1 FROM found, newest WHERE value = $3 AND change_id = $4) ",
    answer!()
);

/// Has the database do what a holder asks.
///
/// # Errors
/// Whatever keeps it from answering; whether it was granted is not known then.
pub(crate) async fn perform(
    connection: &mut AnyConnection,
    statement: &Statement,
    nameplate: &Nameplate,
) -> Result<Answer> {
    let (text, renewal) = match statement {
        Statement::Register(renewal) => (REGISTER, renewal),
        Statement::Renew(renewal) => (RENEW, renewal),
    };
    #[cfg(feature = "broken")]
    let text = sqlx::AssertSqlSafe(broken(text));
    let (value, change, granted, found, database_wall_ms): (i64, String, i64, i64, i64) =
        sqlx::query_as(text)
            .bind(renewal.id.as_str().to_owned())
            .bind(milliseconds(renewal.lease))
            .bind(renewal.settled.revision.get())
            .bind(renewal.settled.change.as_str().to_owned())
            .bind(nameplate.name.clone())
            .bind(nameplate.version.clone())
            .fetch_one(connection)
            .await?;
    let is_registration = matches!(statement, Statement::Register(_));
    let outcome = if granted > 0 {
        Outcome::Granted
    } else if found > 0 || is_registration {
        let current =
            RevisionName { revision: Revision::new(value), change: ChangeId::new(change) };
        Outcome::Behind { current }
    } else {
        Outcome::NoRow
    };
    Ok(Answer { outcome, database_wall_ms })
}

/// Takes from a statement what keeps the rule that is broken.
#[cfg(feature = "broken")]
fn broken(text: &str) -> String {
    use lease::broken::{REGISTRATION_HELD_UP, Rule, holds_up, is};
    const SETTLED: &str = "value = $3 AND change_id = $4";
    let mut text = text.to_owned();
    if holds_up(Rule::NoShareLock) {
        // A registration, between the two things that it does.
        let held = format!(
            "held AS (SELECT pg_sleep({}) FROM newest), ",
            REGISTRATION_HELD_UP.as_secs_f64()
        );
        text = text.replace("granted AS (INSERT", &format!("{held}granted AS (INSERT"));
        text = text.replace("FROM newest WHERE value", "FROM newest, held WHERE value");
    }
    if is(Rule::NoShareLock) {
        text = text.replace(" FOR SHARE", "");
    }
    if is(Rule::GrantToLaggard) {
        text = text.replace("$2, value, change_id, $5", "$2, $3, $4, $5");
        for (column, settled) in
            [("settled", ("value", "$3")), ("settled_change", ("change_id", "$4"))]
        {
            let (newest, own) = settled;
            let kept = format!("CASE WHEN {SETTLED} THEN {newest} ELSE {column} END");
            text = text.replace(&kept, own);
        }
        text = text.replace(SETTLED, "TRUE");
    }
    if is(Rule::DatabaseClock) {
        let lives = concat!("ON ", wall_ms!(), " - r.contact_at < r.lease_ms");
        text = text.replace("ON TRUE", lives);
    }
    text
}

/// What was read of the lease rows.
pub(crate) struct Read {
    /// The audit rows that are there, of those that were asked for.
    pub(crate) standing: BTreeSet<String>,
    pub(crate) rows: Vec<LeaseRow>,
    /// What operators call the replicas.
    pub(crate) names: BTreeMap<RowId, String>,
}

impl Read {
    /// What the waiter of a change decides by, whose audit row has this id.
    pub(crate) fn reading(&self, audit_id: &str) -> Reading {
        Reading { stands: self.standing.contains(audit_id), rows: self.rows.clone() }
    }
}

/// Reads every lease row, and which of the changes that are waited for still stand: `audit_ids` are those of
/// the audit rows which they wrote.
///
/// # Errors
/// Whatever keeps the database from answering.
pub(crate) async fn read(connection: &mut AnyConnection, audit_ids: &[String]) -> Result<Read> {
    // One statement, and so one state: the first row is there with no replica as well.
    let text = "SELECT array_to_string(ARRAY( \
         SELECT id FROM audit_events WHERE id = ANY(string_to_array($1, ','))), ','), \
         r.id, r.counter, r.lease_ms, r.settled, r.settled_change, r.name \
         FROM revision LEFT JOIN replicas r ON TRUE";
    #[cfg(feature = "broken")]
    let text = sqlx::AssertSqlSafe(broken(text));
    let rows = sqlx::query(text).bind(audit_ids.join(",")).fetch_all(connection).await?;
    let standing: String = rows.first().ok_or(Error::corrupt("revision"))?.try_get(0)?;
    let standing = standing.split(',').map(str::to_owned).collect();
    let mut read = Read { standing, rows: Vec::new(), names: BTreeMap::new() };
    for row in &rows {
        if let Some(lease_row) = lease_row(row)? {
            read.names.insert(lease_row.id.clone(), row.try_get(6)?);
            read.rows.push(lease_row);
        }
    }
    Ok(read)
}

/// None where there is no replica at all.
fn lease_row(row: &AnyRow) -> Result<Option<LeaseRow>> {
    let Some(id) = row.try_get::<Option<String>, _>(1)? else { return Ok(None) };
    let lease = u64::try_from(row.try_get::<i64, _>(3)?).map_err(|_| Error::corrupt("lease"))?;
    let settled = RevisionName {
        revision: Revision::new(row.try_get(4)?),
        change: ChangeId::new(row.try_get::<String, _>(5)?),
    };
    Ok(Some(LeaseRow {
        id: RowId::new(id),
        counter: row.try_get(2)?,
        lease: Duration::from_millis(lease),
        settled,
    }))
}

/// Reads every lease row as operators are shown it.
///
/// # Errors
/// Whatever keeps the database from answering; [`Error::Corrupt`].
pub(crate) async fn list(connection: &mut AnyConnection) -> Result<Vec<ReplicaRow>> {
    let rows = sqlx::query(concat!(
        "SELECT r.id, r.name, r.version, r.settled, \
         CASE WHEN r.settled < n.value OR (r.settled = n.value AND r.settled_change = n.change_id) \
         THEN 1::bigint ELSE 0::bigint END, \
         r.lease_ms, r.contact_at, ",
        wall_ms!(),
        " - r.contact_at, n.value - r.settled FROM replicas r, revision n ORDER BY r.name, r.id"
    ))
    .fetch_all(connection)
    .await?;
    rows.iter().map(replica_row).collect()
}

fn replica_row(row: &AnyRow) -> Result<ReplicaRow> {
    let lease = u64::try_from(row.try_get::<i64, _>(5)?).map_err(|_| Error::corrupt("lease"))?;
    let is_of_this_history = row.try_get::<i64, _>(4)? == 1;
    let behind = u64::try_from(row.try_get::<i64, _>(8)?).ok().filter(|_| is_of_this_history);
    // The clock may have been set back since.
    let age = u64::try_from(row.try_get::<i64, _>(7)?).unwrap_or_default();
    Ok(ReplicaRow {
        id: row.try_get(0)?,
        name: row.try_get(1)?,
        version: row.try_get(2)?,
        settled: Revision::new(row.try_get(3)?),
        is_of_this_history,
        behind,
        lease: Duration::from_millis(lease),
        contact_at: Timestamp::from_unix_ms(row.try_get(6)?),
        contact_age: Duration::from_millis(age),
    })
}

/// Deletes a row whose counter is still the one that was seen. It must go by the connection that the
/// counter was read by: another one may lead to a server that has not heard of every renewal. Says whether there
/// was such a row.
///
/// # Errors
/// Whatever keeps the database from answering; the row is read again anyway.
pub(crate) async fn dismiss(
    connection: &mut AnyConnection,
    Dismissal { id, counter }: &Dismissal,
) -> Result<bool> {
    let deleted = sqlx::query("DELETE FROM replicas WHERE id = $1 AND counter = $2")
        .bind(id.as_str().to_owned())
        .bind(*counter)
        .execute(connection)
        .await?;
    Ok(deleted.rows_affected() > 0)
}

/// Deletes the row of a replica that has cut everything and admits nothing more.
///
/// # Errors
/// Whatever keeps the database from answering: the next change then waits for it once.
pub(crate) async fn leave(connection: &mut AnyConnection, id: &RowId) -> Result<()> {
    sqlx::query("DELETE FROM replicas WHERE id = $1")
        .bind(id.as_str().to_owned())
        .execute(connection)
        .await?;
    Ok(())
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use lease::Renewal;
    use pg_harness::{Cluster, Database};
    use sqlx::Connection as _;
    use tokio::task::JoinHandle;

    use super::*;

    const LEASE: Duration = Duration::from_secs(10);

    struct Place {
        database: Database<'static>,
        connection: AnyConnection,
    }

    impl Place {
        async fn new() -> Self {
            let database = Cluster::shared().database();
            let mut connection = connect(&database).await;
            super::super::migrate::postgres(&mut connection).await.unwrap();
            Self { database, connection }
        }

        /// Makes a change of which nothing matters but that it was made.
        fn change(&self, name: &str) -> RevisionName {
            self.database
                .run(format!("UPDATE revision SET value = value + 1, change_id = '{name}';"));
            let value = self.database.number("SELECT value FROM revision");
            RevisionName { revision: Revision::new(value), change: ChangeId::new(name) }
        }

        async fn ask(&mut self, statement: &Statement) -> Outcome {
            ask(&mut self.connection, statement).await
        }

        async fn rows(&mut self) -> Vec<LeaseRow> {
            read(&mut self.connection, &[]).await.unwrap().rows
        }
    }

    async fn connect(database: &Database<'_>) -> AnyConnection {
        sqlx::any::install_default_drivers();
        AnyConnection::connect(&database.url()).await.unwrap()
    }

    async fn ask(connection: &mut AnyConnection, statement: &Statement) -> Outcome {
        let nameplate = Nameplate { name: "here".to_owned(), version: "1".to_owned() };
        perform(connection, statement, &nameplate).await.unwrap().outcome
    }

    fn renewal(id: &str, settled: &RevisionName) -> Renewal {
        Renewal { id: RowId::new(id), lease: LEASE, settled: settled.clone() }
    }

    fn register(id: &str, settled: &RevisionName) -> Statement {
        Statement::Register(renewal(id, settled))
    }

    fn renew(id: &str, settled: &RevisionName) -> Statement {
        Statement::Renew(renewal(id, settled))
    }

    #[tokio::test]
    async fn a_row_is_made_only_for_who_has_settled_the_newest_revision() {
        let mut place = Place::new().await;
        let old = place.change("old");
        let new = place.change("new");
        assert_eq!(place.ask(&register("a", &old)).await, Outcome::Behind { current: new.clone() });
        // The number alone is not enough: another history has it too.
        let other = RevisionName { change: ChangeId::new("other"), ..new.clone() };
        assert_eq!(
            place.ask(&register("a", &other)).await,
            Outcome::Behind { current: new.clone() }
        );
        assert_eq!(place.rows().await, []);
        assert_eq!(place.ask(&register("a", &new)).await, Outcome::Granted);
        let row = LeaseRow { id: RowId::new("a"), counter: 1, lease: LEASE, settled: new };
        assert_eq!(place.rows().await, [row]);
    }

    #[tokio::test]
    async fn a_renewal_raises_the_counter_of_a_settled_row_and_makes_none() {
        let mut place = Place::new().await;
        let settled = place.change("one");
        assert_eq!(place.ask(&renew("a", &settled)).await, Outcome::NoRow);
        assert_eq!(place.rows().await, []);
        place.ask(&register("a", &settled)).await;
        assert_eq!(place.ask(&renew("a", &settled)).await, Outcome::Granted);
        let newer = place.change("two");
        let behind = Outcome::Behind { current: newer.clone() };
        assert_eq!(place.ask(&renew("a", &settled)).await, behind);
        let row = LeaseRow { id: RowId::new("a"), counter: 2, lease: LEASE, settled };
        assert_eq!(place.rows().await, std::slice::from_ref(&row), "only the contact was recorded");
        assert_eq!(place.ask(&renew("a", &newer)).await, Outcome::Granted);
        assert_eq!(place.rows().await, [LeaseRow { counter: 3, settled: newer, ..row }]);
    }

    #[tokio::test]
    async fn a_row_is_dismissed_only_while_its_counter_stands_still() {
        let mut place = Place::new().await;
        let settled = place.change("one");
        place.ask(&register("a", &settled)).await;
        place.ask(&renew("a", &settled)).await;
        for (counter, left) in [(1, 1), (2, 0)] {
            let dismissal = Dismissal { id: RowId::new("a"), counter };
            dismiss(&mut place.connection, &dismissal).await.unwrap();
            assert_eq!(place.rows().await.len(), left);
        }
        assert_eq!(place.ask(&renew("a", &settled)).await, Outcome::NoRow);
        place.ask(&register("b", &settled)).await;
        leave(&mut place.connection, &RowId::new("b")).await.unwrap();
        assert_eq!(place.rows().await, []);
    }

    #[tokio::test]
    async fn a_renewal_waits_for_a_change_that_is_being_committed_and_sees_it() {
        let mut place = Place::new().await;
        let settled = place.change("one");
        place.ask(&register("a", &settled)).await;
        let mut changing = connect(&place.database).await;
        let mut tx = changing.begin().await.unwrap();
        sqlx::query("UPDATE revision SET value = value + 1, change_id = 'two'")
            .execute(&mut *tx)
            .await
            .unwrap();
        let Place { database, mut connection } = place;
        let statement = renew("a", &settled);
        #[expect(clippy::disallowed_methods, reason = "a test waits for what it spawns")]
        let renewing: JoinHandle<(Outcome, AnyConnection)> =
            tokio::spawn(async move { (ask(&mut connection, &statement).await, connection) });
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                     AND wait_event_type = 'Lock'";
        while database.number(waits) == 0 {
            tokio::task::yield_now().await;
        }
        tx.commit().await.unwrap();
        let (outcome, connection) = renewing.await.unwrap();
        assert!(matches!(outcome, Outcome::Behind { current } if current.change.as_str() == "two"));
        let mut place = Place { database, connection };
        assert_eq!(place.rows().await[0].counter, 1, "granted for what has just ended");
    }

    #[tokio::test]
    async fn a_reading_says_of_each_change_whether_it_still_stands() {
        let mut place = Place::new().await;
        place.database.run(
            "INSERT INTO apps (id, name, created_at) VALUES ('\\x00', 'a', 0); \
             INSERT INTO audit_events (id, app_id, at, caller, action, subject, detail) \
                 VALUES ('there', '\\x00', 0, '', '', '', ''), ('too', '\\x00', 0, '', '', '', ''), \
                 ('not asked for', '\\x00', 0, '', '', '', '');",
        );
        let asked = ["there", "gone", "too"].map(str::to_owned);
        let read = read(&mut place.connection, &asked).await.unwrap();
        assert_eq!(asked.map(|id| read.reading(&id).stands), [true, false, true]);
        assert!(!read.reading("not asked for").stands);
    }
}
