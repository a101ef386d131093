use std::io;
use std::sync::Arc;

use app::Authentication;
use keys::AppId;
use store::Replica;
use tokio::signal::unix::Signal;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::unfinished::Unfinished;
use crate::error::Error;
use crate::source::{Loaded, Source};
use crate::watch::Watch;

/// The app of a place, as it is served: one at a time reads the place, or writes it.
pub(super) struct Kept {
    pub(super) source: Source,
    pub(super) app: AppId,
    /// The app's.
    pub(super) name: String,
    state: Arc<Mutex<State>>,
}

/// The one who reads the place, or writes it.
pub(super) type Held = OwnedMutexGuard<State>;

pub(super) struct State {
    /// The last state that held, which is the one that is served.
    current: Loaded,
    /// Whether the folder did not hold when it was last read.
    broken: bool,
    /// A deployment whose journal may be there.
    pub(super) unfinished: Option<Unfinished>,
}

impl Kept {
    pub(super) fn new(source: Source, current: Loaded, app: AppId, name: String) -> Self {
        let state = State { current, broken: false, unfinished: None };
        let state = Arc::new(Mutex::new(state));
        Self { source, app, name, state }
    }

    pub(super) async fn lock(&self) -> Held {
        Arc::clone(&self.state).lock_owned().await
    }

    /// Reads the place again, and serves it if it holds.
    pub(super) async fn read(&self, held: Held, replica: &Arc<Replica>) {
        let dir = self.source.place.path().display();
        let mut state = match finish(held).await {
            Ok(held) => held,
            Err(error) => {
                warn!(
                    "A deployment into {dir} cannot be finished, and its files are not read before it \
                     is: {error}"
                );
                return;
            }
        };
        let newer = match self.source.load().await {
            Ok(newer) => newer,
            Err(error) => {
                warn!(
                    "{dir} has changed and does not hold: the last state that did stays in force"
                );
                for line in lines(&error) {
                    warn!("{line}");
                }
                state.broken = true;
                return;
            }
        };
        let was_broken = std::mem::replace(&mut state.broken, false);
        if newer.app == state.current.app && newer.left_out == state.current.left_out {
            if was_broken {
                info!("{dir} holds again, and is as it was served all along");
            }
            return;
        }
        let is_served = replica.serve_app(self.app, Arc::clone(&newer.app)).await;
        let changes = state.current.changes(&newer).join("; ");
        if is_served {
            info!("{dir} has changed and is served: {changes}");
        } else {
            warn!("{dir} has changed and is served as soon as the store can be read: {changes}");
        }
        let authentication = newer.app.authentication();
        if authentication != state.current.app.authentication()
            && let Some(warning) = warning(authentication)
        {
            warn!("{warning}");
        }
        state.current = newer;
    }
}

/// Finishes the deployment before, if there is something left to do in the folder.
pub(super) async fn finish(held: Held) -> io::Result<Held> {
    on_disk(held, |state| Unfinished::finish(&mut state.unfinished)).await
}

/// Works on the disk and holds the place until the end, also where whoever awaits it has gone.
pub(super) async fn on_disk(
    mut held: Held,
    work: impl FnOnce(&mut State) -> io::Result<()> + Send + 'static,
) -> io::Result<Held> {
    spawn_blocking(move || work(&mut held).map(|()| held)).await?
}

/// Keeps what is served as the app folder is.
pub(super) struct Reload {
    kept: Arc<Kept>,
    watch: Option<Watch>,
}

impl Reload {
    pub(super) fn new(kept: Arc<Kept>, watch: Option<Watch>) -> Self {
        Self { kept, watch }
    }

    /// Reads the folder again whenever it has changed, or a hangup is signalled.
    pub(super) async fn run(
        mut self,
        replica: Arc<Replica>,
        mut hangup: Signal,
        stop: CancellationToken,
    ) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = changed(self.watch.as_mut()) => {}
                _ = hangup.recv() => {}
            }
            self.kept.read(self.kept.lock().await, &replica).await;
        }
    }
}

/// What an authentication does that whoever edited the file may not have meant.
const fn warning(authentication: Authentication) -> Option<&'static str> {
    match authentication {
        Authentication::Anonymous => Some(
            "host.json now lets in everyone, without a key: set the authentication type to ApiKey \
             if that is not meant",
        ),
        Authentication::OAuth2 => Some(
            "host.json now asks for access tokens, which are not accepted yet: nobody is let in, \
             until the authentication type is ApiKey again",
        ),
        Authentication::Absent | Authentication::ApiKey => None,
    }
}

async fn changed(watch: Option<&mut Watch>) {
    match watch {
        Some(watch) => watch.changed().await,
        None => std::future::pending().await,
    }
}

/// Each problem on a line of its own.
fn lines(error: &Error) -> Vec<String> {
    match error {
        Error::App { problems, .. } => problems.iter().map(ToString::to_string).collect(),
        error => vec![error.chain()],
    }
}
