use std::sync::Arc;

use app::Authentication;
use keys::AppId;
use store::Replica;
use tokio::signal::unix::Signal;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::error::Error;
use crate::source::{Loaded, Source};
use crate::watch::Watch;

/// Keeps what is served as the app folder is.
pub(super) struct Reload {
    source: Source,
    /// The last state that held, which is the one that is served.
    current: Loaded,
    app: AppId,
    watch: Option<Watch>,
    /// Whether the folder did not hold when it was last read.
    broken: bool,
}

impl Reload {
    pub(super) fn new(source: Source, current: Loaded, app: AppId, watch: Option<Watch>) -> Self {
        Self { source, current, app, watch, broken: false }
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
            self.read(&replica).await;
        }
    }

    async fn read(&mut self, replica: &Arc<Replica>) {
        let dir = self.source.place.path().display();
        let newer = match self.source.load().await {
            Ok(newer) => newer,
            Err(error) => {
                warn!(
                    "{dir} has changed and does not hold: the last state that did stays in force"
                );
                for line in lines(&error) {
                    warn!("{line}");
                }
                self.broken = true;
                return;
            }
        };
        let was_broken = std::mem::replace(&mut self.broken, false);
        if newer.app == self.current.app && newer.left_out == self.current.left_out {
            if was_broken {
                info!("{dir} holds again, and is as it was served all along");
            }
            return;
        }
        replica.serve_app(self.app, Arc::clone(&newer.app)).await;
        let changes = self.current.changes(&newer);
        info!("{dir} has changed and is served: {}", changes.join("; "));
        let authentication = newer.app.authentication();
        if authentication != self.current.app.authentication()
            && let Some(warning) = warning(authentication)
        {
            warn!("{warning}");
        }
        self.current = newer;
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
