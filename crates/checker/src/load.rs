//! Clients and operators: requests and streams with every key, and changes that end keys.

mod changes;
mod client;
mod ring;
mod streams;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use futures::future::join_all;
use keys::Slot;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::client::{Client, Question};
use self::ring::{Held, Ring};
use crate::history::Via;
use crate::record::Recorder;

/// One way to one app.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    pub(crate) app: usize,
    pub(crate) via: Via,
    /// What MCP servers' paths stand below.
    pub(crate) data: String,
    /// What management operations stand below.
    pub(crate) manage: String,
    /// Names the app, where a replica has several.
    pub(crate) query: String,
}

/// How much is asked. It must fit into two cores beside everything else, in debug builds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Amount {
    /// Requests a second, in all.
    pub(crate) requests: u32,
    /// Streams that are open, in all.
    pub(crate) streams: usize,
}

/// How many requests are under way at most for each way.
const LANES: u32 = 2;

/// Who changes things in each slot, and how long they pause at least, in milliseconds. Two, since what waits for a
/// replica waits for 2 s; and not as often as one could, since keys must be good for a while to be seen so.
const OPERATORS: [u64; 2] = [200, 1_200];

/// Between two questions to a replica that is not ready.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// What everybody who asks has in common.
pub(crate) struct Load {
    pub(crate) ways: Vec<Way>,
    pub(crate) app_count: usize,
    pub(crate) token: String,
    pub(crate) recorder: Recorder,
    pub(crate) seed: u64,
    rings: Vec<Mutex<Ring>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Load {
    pub(crate) fn new(
        ways: Vec<Way>,
        app_count: usize,
        token: String,
        recorder: Recorder,
        seed: u64,
    ) -> Arc<Self> {
        let rings = (0..app_count).map(|_| Mutex::default()).collect();
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        Arc::new(Self { ways, app_count, token, recorder, seed, rings, tasks, stop })
    }

    /// Begins to ask, and goes on until [`Self::end`].
    pub(crate) fn begin(self: &Arc<Self>, amount: Amount) {
        for app in 0..self.app_count {
            for slot in Slot::ALL {
                for pause in OPERATORS {
                    let this = Arc::clone(self);
                    self.spawn(async move { this.change_for_ever(app, slot, pause).await });
                }
            }
        }
        let way_count = u32::try_from(self.ways.len().max(1)).unwrap_or(1);
        let every = Duration::from_secs(1) * (way_count * LANES) / amount.requests.max(1);
        for way in 0..self.ways.len() {
            for _ in 0..LANES {
                let this = Arc::clone(self);
                self.spawn(async move { this.ask_for_ever(way, every).await });
            }
        }
        for stream in 0..amount.streams {
            let this = Arc::clone(self);
            let way = stream % self.ways.len().max(1);
            self.spawn(async move { this.watch_for_ever(way).await });
        }
    }

    /// Ends everything that was begun, without waiting for answers.
    pub(crate) async fn end(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move { stop.run_until_cancelled(work).await });
    }

    /// One source of chance for each task; what it decides depends on when things happen as well.
    fn rng(&self) -> Rng {
        let count = u64::try_from(self.tasks.len()).unwrap_or_default();
        Rng::with_seed(self.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(count))
    }

    fn ring(&self, app: usize) -> Option<MutexGuard<'_, Ring>> {
        self.rings.get(app).map(|ring| ring.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn pick(&self, app: usize, rng: &mut Rng) -> Option<Held> {
        self.ring(app)?.pick(rng)
    }

    /// Asks by one way, a few times with the same key: connections remember what was decided last.
    async fn ask_for_ever(&self, way: usize, every: Duration) {
        let Some(way) = self.ways.get(way) else { return };
        let mut rng = self.rng();
        let client = Client::new();
        let mut next = Instant::now() + every.mul_f64(rng.f64());
        let mut last: Option<Held> = None;
        loop {
            sleep_until(next).await;
            next = (next + every).max(Instant::now());
            let again = last.take().filter(|_| rng.bool());
            let Some(held) = again.or_else(|| self.pick(way.app, &mut rng)) else { continue };
            let question = Question::any(&mut rng);
            client.ask(&self.recorder, way, &held, question).await;
            last = Some(held);
        }
    }

    /// Has a stream open by one way, and opens another one when it ends.
    async fn watch_for_ever(&self, way: usize) {
        let Some(way) = self.ways.get(way) else { return };
        let mut rng = self.rng();
        let client = Client::new();
        loop {
            sleep_until(Instant::now() + Duration::from_millis(rng.u64(50..300))).await;
            if let Some(held) = self.pick(way.app, &mut rng) {
                streams::watch(&client, &self.recorder, way, &held, rng.bool()).await;
            }
        }
    }

    /// Asks by every way with keys that must work, until one was let in by each; says by which none was.
    pub(crate) async fn unready(&self, within: Duration) -> Vec<Via> {
        let asking = self.ways.iter().map(|way| async move {
            let client = Client::new();
            while !self.lets_in(&client, way).await {
                sleep(ASK_AGAIN).await;
            }
        });
        let asking = asking.map(|asking| timeout(within, asking));
        let answers = join_all(asking).await;
        let unready = self.ways.iter().zip(answers).filter(|(_, answer)| answer.is_err());
        unready.map(|(way, _)| way.via).collect()
    }

    async fn lets_in(&self, client: &Client, way: &Way) -> bool {
        match self.issue(way, Slot::Primary).await {
            Some(held) => client.ask(&self.recorder, way, &held, Question::Tools).await,
            None => false,
        }
    }
}
