//! Finds out which tools upstreams have, for those who operate them. Nothing here serves a client.

mod conversation;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use ::http::{Request, Response};
use app::Transport;
use axum::body::Body;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use keys::Clock;
use store::{Candidate, Claim, ListedTool, Replica, Subject};
use tokio::sync::Semaphore;
use tracing::{debug, info};

use super::{Route, Upstreams};
use crate::limits;
use crate::refusal::Refused;

/// A way to one upstream: one request, and its answer or, as a text for an operator, why there is
/// none.
type Way<'a> =
    dyn Fn(Request<Bytes>) -> BoxFuture<'a, Result<Response<Body>, String>> + Send + Sync + 'a;

impl Upstreams {
    /// Asks upstreams for their tools, as far as `replica`'s catalog wants them, ends the processes of
    /// those that are gone, and tells of those whose program is not there; runs until `stop` is ready.
    ///
    /// An upstream over HTTP is asked when it is new. A child process is not started before somebody
    /// wants to know, and nobody is asked again before that.
    pub async fn discover(
        &self,
        replica: &Replica,
        clock: &dyn Clock,
        stop: impl Future<Output = ()> + Send,
    ) {
        let catalog = replica.catalog();
        let room = Semaphore::new(limits::DISCOVERY_COUNT);
        let mut asking = FuturesUnordered::new();
        let mut stop = pin!(stop.fuse());
        let mut installations = replica.installations();
        self.stdio.tell_missing(&replica.last_snapshot());
        loop {
            tokio::select! {
                () = &mut stop => return,
                Ok(()) = installations.changed() => {
                    let snapshot = replica.last_snapshot();
                    self.stdio.keep_only(&snapshot);
                    self.stdio.tell_missing(&snapshot);
                }
                () = catalog.stirred() => {
                    let due = catalog.take_due(is_due);
                    asking.extend(due.into_iter().map(|subject| self.ask_in_turn(&room, subject)));
                }
                Some((subject, answer)) = asking.next() => {
                    note(&subject, &answer);
                    catalog.tell(&subject, answer, clock.now());
                }
            }
        }
    }

    async fn ask_in_turn(
        &self,
        room: &Semaphore,
        subject: Subject,
    ) -> (Subject, Result<Vec<ListedTool>, String>) {
        // Nothing closes it, and without a place one would only be too many.
        let place = room.acquire().await;
        let route = Route {
            app: subject.app,
            server: subject.server.clone(),
            upstream: Arc::clone(&subject.upstream),
            claim: Arc::new(Claim {
                app: subject.app,
                server: subject.server.clone(),
                upstream: Some(Arc::clone(&subject.upstream)),
                key: None,
                is_operators: true,
            }),
        };
        let route = &route;
        let way = |request| async move { self.ask(route, request).await.map_err(why) }.boxed();
        let is_process = matches!(subject.upstream.transport(), Transport::Stdio(_));
        let answer = conversation::tools(&way, is_process).await;
        drop(place);
        (subject, answer)
    }
}

/// Who wants to know is told what is known if it is new enough; one that fails is left alone for
/// longer each time, since every attempt may start a process or wait for a machine that is gone.
fn is_due(candidate: &Candidate<'_>) -> bool {
    let Some(age) = candidate.age else {
        let is_http = matches!(candidate.upstream.transport(), Transport::Http(_));
        return is_http || candidate.wanted.is_some();
    };
    match candidate.failure_count {
        0 => candidate.wanted.is_some_and(|max_age| age > max_age),
        failures => candidate.wanted.is_some() && age >= pause(failures),
    }
}

fn pause(failure_count: u32) -> Duration {
    let doublings = failure_count.saturating_sub(1).min(16);
    let pause = limits::DISCOVERY_PAUSE.saturating_mul(1 << doublings);
    pause.min(limits::LONGEST_DISCOVERY_PAUSE)
}

/// What an operator is told of a request that was not answered by the upstream. The sentences speak
/// of it as a client sees it, and the list has its name.
fn why(refused: Refused) -> String {
    match refused {
        Refused::Upstream { message, .. } => {
            let told = message.strip_prefix("the MCP server behind this URL ");
            told.map(str::to_owned).unwrap_or(message)
        }
        Refused::Unavailable(message) => message.to_owned(),
        Refused::UnknownSession => "forgot the session that it had just opened".to_owned(),
        Refused::Slow => "took too long to take the request".to_owned(),
        other => {
            debug!(refused = ?other, "An upstream could not be asked for its tools");
            "could not be asked".to_owned()
        }
    }
}

fn note(subject: &Subject, answer: &Result<Vec<ListedTool>, String>) {
    let server = &subject.server;
    match answer {
        Ok(tools) => {
            debug!(server.name = %server, "{server} has {} tools", tools.len());
        }
        Err(why) => {
            info!(server.name = %server, "The tools of {server} could not be listed: {why}");
        }
    }
}

#[cfg(test)]
mod tests {
    use app::{App, Files, Upstream};

    use super::*;

    fn upstream(name: &str) -> Arc<Upstream> {
        let mut files = Files::new();
        let mcp = r#"{"servers": {"far": {"url": "http://[::1]/"}, "near": {"command": "near"}}}"#;
        files.insert("host.json", r#"{"version": "2.0"}"#).unwrap();
        files.insert("mcp.json", mcp).unwrap();
        let app = App::from_files(&files).unwrap();
        Arc::clone(app.server(name).unwrap().upstream().unwrap())
    }

    const WANTED: Option<Duration> = Some(Duration::from_mins(3));

    #[test]
    fn an_upstream_over_http_is_asked_at_first_and_a_process_when_it_is_wanted() {
        let [far, near] = ["far", "near"].map(upstream);
        let due = |upstream: &Upstream, wanted| {
            is_due(&Candidate { upstream, wanted, age: None, failure_count: 0 })
        };
        assert!(due(&far, None) && due(&far, WANTED) && due(&near, WANTED));
        assert!(!due(&near, None));
    }

    #[test]
    fn what_is_known_is_asked_again_when_it_is_wanted_and_too_old() {
        let far = upstream("far");
        let due = |wanted, age| {
            is_due(&Candidate { upstream: &far, wanted, age: Some(age), failure_count: 0 })
        };
        assert!(!due(None, Duration::from_hours(1)));
        assert!(!due(WANTED, Duration::from_mins(3)));
        assert!(due(WANTED, Duration::from_millis(180_001)));
    }

    #[test]
    fn what_failed_is_asked_again_after_twice_the_time_each_time() {
        let far = upstream("far");
        let due = |failure_count, ms| {
            let age = Some(Duration::from_millis(ms));
            is_due(&Candidate { upstream: &far, wanted: WANTED, age, failure_count })
        };
        for (failure_count, ms) in [(1, 1000), (2, 2000), (5, 16_000), (6, 30_000), (9999, 30_000)]
        {
            assert!(due(failure_count, ms));
            assert!(!due(failure_count, ms - 1));
        }
        let age = Some(Duration::from_hours(1));
        assert!(!is_due(&Candidate { upstream: &far, wanted: None, age, failure_count: 1 }));
    }
}
