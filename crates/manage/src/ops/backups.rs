use std::io;
use std::sync::Arc;

use futures::stream::{self, BoxStream, StreamExt as _};
use keys::Caller;
use tokio::sync::mpsc;
use tracing::{error, info};

use crate::Manage;
use crate::error::{Error, Result};

/// A backup as it comes. Without an error at its end it is whole.
pub(crate) type BackupStream = BoxStream<'static, io::Result<Vec<u8>>>;

impl Manage {
    /// Takes a backup of the whole store, and gives it as fast as it is taken over.
    pub(crate) async fn back_up(&self, caller: Caller) -> Result<BackupStream> {
        let store = Arc::clone(&self.store);
        let (to, mut chunks) = mpsc::channel(1);
        let taking = self.tasks.spawn(async move {
            let taken = store.back_up(&caller, &to).await;
            let name = caller.name();
            match &taken {
                Ok(()) => info!(caller.name = name, "{name} took a backup of the store"),
                Err(error) => error!(
                    error = error as &dyn std::error::Error,
                    caller.name = name,
                    "A backup for {name} came to nothing: {error}"
                ),
            }
            taken
        });
        // What goes wrong before the first bytes is answered as such.
        let Some(first) = chunks.recv().await else {
            taking.await??;
            return Err(Error::Store(store::Error::BackupNotTaken));
        };
        let rest = stream::unfold((chunks, Some(taking)), |(mut chunks, taking)| async move {
            if let Some(chunk) = chunks.recv().await {
                return Some((Ok(chunk), (chunks, taking)));
            }
            match taking?.await {
                Ok(Ok(())) => None,
                _ => Some((Err(io::Error::other("the backup came to nothing")), (chunks, None))),
            }
        });
        Ok(stream::once(async { Ok(first) }).chain(rest).boxed())
    }
}
