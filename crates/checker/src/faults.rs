//! Makes go wrong what the plan says, when it says so.

use std::sync::Arc;
use std::time::Duration;

use pg_harness::{Delays, Ending, Fault as Failing, Proxy};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::task::TaskTracker;

use crate::cluster::Server;
use crate::failure::Result;
use crate::history::FaultKind;
use crate::plan::{Fault, Loss, Plan};
use crate::record::Recorder;
use crate::replicas::Replica;

/// For how long the database stays late for a process that has started.
const STAYS_LATE: Duration = Duration::from_millis(500);

/// What faults happen to.
pub(crate) struct Victims {
    pub(crate) server: Server,
    pub(crate) replicas: Vec<Arc<Replica>>,
    pub(crate) recorder: Recorder,
    /// One at a time: PostgreSQL cannot be restarted twice at once.
    pub(crate) restarting: Mutex<()>,
}

/// Runs the plan; returns when the last fault has ended.
pub(crate) async fn run(victims: &Arc<Victims>, plan: Plan) {
    let began = Instant::now();
    let tasks = TaskTracker::new();
    for planned in plan.faults {
        sleep_until(began + planned.at).await;
        let victims = Arc::clone(victims);
        tasks.spawn(async move { victims.suffer(planned.kind, planned.fault).await });
    }
    tasks.close();
    tasks.wait().await;
}

impl Victims {
    async fn suffer(&self, kind: FaultKind, fault: Fault) {
        let _alone = match fault {
            Fault::Restart { .. } => Some(self.restarting.lock().await),
            _ => None,
        };
        let record = self.recorder.fault_begins(kind, fault.replica(), fault.detail());
        // What could not be repaired lasts.
        if self.happen(fault).await.is_ok() {
            self.recorder.fault_ends(record);
        }
    }

    async fn happen(&self, fault: Fault) -> Result<()> {
        match fault {
            Fault::End { replica, politely, down, late } => {
                let proxy = self.server.proxies.get(replica);
                if let (Some(replica), Some(proxy)) = (self.replicas.get(replica), proxy) {
                    proxy.slow(Delays { there: late, back: late });
                    replica.end(politely, down).await;
                    sleep(STAYS_LATE).await;
                    proxy.slow(Delays::default());
                }
            }
            Fault::Stop { replica, lasts } => {
                if let Some(replica) = self.replicas.get(replica) {
                    replica.stop(lasts).await;
                }
            }
            Fault::Cut { replica, how, lasts } => {
                if let Some(proxy) = self.server.proxies.get(replica) {
                    lose(proxy, how, lasts).await;
                }
            }
            Fault::Slow { replica, there, back, lasts, then_down } => {
                if let Some(proxy) = self.server.proxies.get(replica) {
                    proxy.slow(Delays { there, back });
                    sleep(lasts).await;
                    if !then_down.is_zero() {
                        lose(proxy, Loss::Down, then_down).await;
                    }
                    proxy.slow(Delays::default());
                }
            }
            Fault::Restart { crash } => {
                let ending = if crash { Ending::Crash } else { Ending::Fast };
                self.server.restart(ending).await?;
            }
            Fault::Clock { step_ms, lasts } => {
                self.server.set_wall_clock(step_ms);
                sleep(lasts).await;
                self.server.set_wall_clock(0);
            }
        }
        Ok(())
    }
}

async fn lose(proxy: &Proxy, how: Loss, lasts: Duration) {
    match how {
        Loss::Cut => proxy.cut(),
        Loss::Down => {
            proxy.arm(0, Failing::Down);
            sleep(lasts).await;
            proxy.mend();
        }
        Loss::Silent => {
            proxy.arm(0, Failing::Swallow);
            sleep(lasts).await;
            proxy.mend();
        }
    }
}
