//! How the changes of a process that wait look at lease rows: all by one connection, and together.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared, WeakShared};
use lease::Dismissal;
use sqlx::Any;
use sqlx::pool::PoolConnection;
use tokio::sync::Mutex as AsyncMutex;
use tracing::info;

use super::Leasing;
use crate::backend::leases::{self, Read};
use crate::{Result, Store};

const LOOK: &str = "look who has settled a change";

/// What is read by a connection, or nothing where that is lost.
type Reading = Shared<BoxFuture<'static, Option<Arc<Read>>>>;
type WeakReading = WeakShared<BoxFuture<'static, Option<Arc<Read>>>>;

/// One connection that rows are read and deleted by: another one may lead to another server. So it is never made
/// anew. Once it is lost, whoever waits takes another line.
pub(super) struct Line {
    store: Arc<Store>,
    leasing: Arc<Leasing>,
    place: AsyncMutex<Place>,
    next: Mutex<Next>,
}

enum Place {
    Unused,
    Open(PoolConnection<Any>),
    /// Also where somebody has stopped in the middle of using it.
    Lost,
}

/// The reading that has not begun. Whoever asks now was told of its commit before, so it may have what it shows:
/// one that has begun may be from before that.
#[derive(Default)]
struct Next {
    audit_ids: Vec<String>,
    reading: Option<WeakReading>,
    /// The one that has begun last.
    under_way: Option<WeakReading>,
}

impl Line {
    pub(super) fn new(store: Arc<Store>, leasing: Arc<Leasing>) -> Self {
        let place = AsyncMutex::new(Place::Unused);
        Self { store, leasing, place, next: Mutex::default() }
    }

    fn next(&self) -> MutexGuard<'_, Next> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the rows, with everybody who asks before that begins. It goes on for as long as anybody waits for it.
    pub(super) fn read(self: &Arc<Self>, audit_id: &str) -> Reading {
        let mut next = self.next();
        next.audit_ids.push(audit_id.to_owned());
        let joined = next.reading.as_ref().and_then(WeakShared::upgrade);
        joined.unwrap_or_else(|| {
            let under_way = next.under_way.as_ref().and_then(WeakShared::upgrade);
            let reading = Arc::clone(self).read_together(under_way).boxed().shared();
            next.reading = reading.downgrade();
            reading
        })
    }

    async fn read_together(self: Arc<Self>, before: Option<Reading>) -> Option<Arc<Read>> {
        // Whoever waits for it drives it as well: nobody depends on how soon another task runs.
        if let Some(before) = before {
            before.await;
        }
        let mut place = self.place.lock().await;
        let audit_ids = {
            let mut next = self.next();
            // From here on nobody joins.
            next.under_way = next.reading.take();
            std::mem::take(&mut next.audit_ids)
        };
        let reading = async |connection: &mut _| leases::read(connection, &audit_ids).await;
        self.using(&mut place, reading).await.map(Arc::new)
    }

    /// Deletes a row that was read by this line; says nothing of whether it was still as it was then.
    pub(super) async fn dismiss(&self, name: &str, dismissal: &Dismissal) -> Option<()> {
        let mut place = self.place.lock().await;
        let dismissing = async |connection: &mut _| leases::dismiss(connection, dismissal).await;
        if self.using(&mut place, dismissing).await? {
            info!("Dismissed the replica {name} ({}): its lease had ended", dismissal.id);
            self.leasing.counts.dismissed();
        }
        Some(())
    }

    async fn using<T>(
        &self,
        place: &mut Place,
        work: impl AsyncFnOnce(&mut sqlx::AnyConnection) -> Result<T>,
    ) -> Option<T> {
        let used = async {
            let mut connection = match std::mem::replace(place, Place::Lost) {
                Place::Unused => self.store.own.acquire().await?,
                Place::Open(connection) => connection,
                Place::Lost => return Ok(None),
            };
            let result = self.store.in_time(work(&mut connection)).await?;
            *place = Place::Open(connection);
            Ok(Some(result))
        };
        match used.await {
            Ok(result) => {
                if result.is_some() {
                    self.leasing.looking.ends(LOOK);
                }
                result
            }
            Err(error) => {
                self.leasing.looking.begins(LOOK, &error);
                None
            }
        }
    }
}

impl Leasing {
    /// The line that all changes look by which wait at this time, but for the one that was lost.
    pub(super) fn line(
        self: &Arc<Self>,
        store: &Arc<Store>,
        lost: Option<&Arc<Line>>,
    ) -> Arc<Line> {
        let mut place = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let line = place.upgrade().filter(|line| lost.is_none_or(|lost| !Arc::ptr_eq(line, lost)));
        line.unwrap_or_else(|| {
            let line = Arc::new(Line::new(Arc::clone(store), Arc::clone(self)));
            *place = Arc::downgrade(&line);
            line
        })
    }
}

#[cfg(test)]
mod tests {
    use keys::{ManualClock, MasterKey, MasterKeys, SysRng, Timestamp};
    use lease::{Holder, Terms};
    use pg_harness::{Cluster, Database};

    use super::*;
    use crate::backend::leases::Nameplate;
    use crate::{DatabaseAddress, PostgresSettings};

    struct Place {
        database: Database<'static>,
        store: Arc<Store>,
        leasing: Arc<Leasing>,
    }

    impl Place {
        async fn new() -> Self {
            let database = Cluster::shared().database();
            let address = DatabaseAddress::parse(&database.url()).unwrap();
            let settings = PostgresSettings::new(address);
            let masters = MasterKeys::new(MasterKey::generate(&mut SysRng).unwrap(), []);
            let clock = Arc::new(ManualClock::at(Timestamp::from_unix_ms(0)));
            let store = Store::connect_without_folder(&settings, Arc::new(masters), clock);
            let store = Arc::new(store.await.unwrap());
            let terms = Terms::default();
            let nameplate = Nameplate { name: "here".to_owned(), version: "1".to_owned() };
            let begun = Timestamp::from_unix_ms(0);
            let leasing = Arc::new(Leasing::new(Holder::new(terms), terms, nameplate, begun));
            Self { database, store, leasing }
        }

        fn line(&self, lost: Option<&Arc<Line>>) -> Arc<Line> {
            self.leasing.line(&self.store, lost)
        }
    }

    /// Has a reading begin, which then waits for the database.
    fn begin(reading: &Reading) {
        assert!(reading.clone().now_or_never().is_none());
    }

    #[tokio::test]
    async fn who_asks_joins_a_reading_only_before_it_begins() {
        let place = Place::new().await;
        let line = place.line(None);
        let one = line.read("one");
        let joined = line.read("two");
        assert!(joined.ptr_eq(&one));
        begin(&one);
        // Its change may be committed after the reading has begun.
        let later = line.read("three");
        assert!(!later.ptr_eq(&one));
        place.database.run(
            "INSERT INTO apps (id, name, created_at) VALUES ('\\x00', 'a', 0); \
             INSERT INTO audit_events (id, app_id, at, caller, action, subject, detail) \
                 VALUES ('three', '\\x00', 0, '', '', '', '');",
        );
        let read = later.await.unwrap();
        assert!(read.reading("three").stands && !read.reading("one").stands);
        assert!(one.await.is_some() && joined.await.is_some());
    }

    #[tokio::test]
    async fn a_reading_goes_on_while_anybody_waits_for_it_and_is_lost_with_its_line_otherwise() {
        let place = Place::new().await;
        let line = place.line(None);
        let (one, other) = (line.read("one"), line.read("other"));
        begin(&one);
        drop(one);
        assert!(other.await.is_some());
        let left = line.read("left");
        begin(&left);
        drop(left);
        // What it was in the middle of is not gone on with by anybody.
        assert!(line.read("next").await.is_none());
        assert!(Arc::ptr_eq(&place.line(None), &line));
        let other = place.line(Some(&line));
        assert!(!Arc::ptr_eq(&other, &line) && Arc::ptr_eq(&place.line(Some(&line)), &other));
        assert!(other.read("next").await.is_some());
    }
}
