//! Noticing that an app folder's files have changed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use notify::event::{EventKind, ModifyKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::{data_dir, limits};

/// Tells when files of an app may have changed.
///
/// It watches the app folder and the folders in it whose `workflow.json` could be a workflow, not
/// what lies deeper, and so never the data folder, which changes with every request.
pub(crate) struct Watch {
    root: PathBuf,
    watcher: RecommendedWatcher,
    changed: Arc<Changed>,
}

#[derive(Default)]
struct Changed {
    wake: Notify,
    /// Whether folders may have come or gone.
    folders: AtomicBool,
}

impl Watch {
    /// Watches `root`, an absolute path without links.
    pub(crate) fn new(root: &Path) -> notify::Result<Self> {
        let changed = Arc::new(Changed::default());
        let watcher = {
            let (root, changed) = (root.to_owned(), Arc::clone(&changed));
            notify::recommended_watcher(move |event| changed.note(&root, event))?
        };
        let mut watch = Self { root: root.to_owned(), watcher, changed };
        watch.watcher.watch(root, RecursiveMode::NonRecursive)?;
        watch.watch_folders();
        Ok(watch)
    }

    /// Waits for a change, and then until the folder has been quiet for a moment.
    pub(crate) async fn changed(&mut self) {
        self.changed.wake.notified().await;
        let latest = Instant::now() + limits::NEVER_QUIET;
        loop {
            let quiet = (Instant::now() + limits::QUIET).min(latest);
            tokio::select! {
                () = tokio::time::sleep_until(quiet) => break,
                () = self.changed.wake.notified() => {}
            }
        }
        if self.changed.folders.swap(false, Ordering::SeqCst) {
            self.watch_folders();
        }
    }

    /// A folder that cannot be watched, because it is gone again, tells so when it is read.
    fn watch_folders(&mut self) {
        let Ok(entries) = std::fs::read_dir(&self.root) else { return };
        for entry in entries.flatten().take(limits::FOLDER_ENTRIES) {
            let is_workflow = |name: &str| app::is_app_file(&format!("{name}/workflow.json"));
            if entry.file_name().to_str().is_some_and(is_workflow) && entry.path().is_dir() {
                drop(self.watcher.watch(&entry.path(), RecursiveMode::NonRecursive));
            }
        }
    }
}

impl Changed {
    fn note(&self, root: &Path, event: notify::Result<Event>) {
        // What the watcher could not say may have been anything.
        let Ok(event) = event else { return self.wake_up(true) };
        if event.need_rescan() {
            return self.wake_up(true);
        }
        if matches!(event.kind, EventKind::Access(_)) {
            return;
        }
        for path in &event.paths {
            let Some(inside) = path.strip_prefix(root).ok().and_then(Path::to_str) else {
                continue;
            };
            // A folder or a link that comes or goes may bring or take workflows with it, whatever
            // its name: a ConfigMap is switched by one link. Metadata of a folder changes with each
            // file in it.
            let is_entry = !inside.contains('/')
                && inside != data_dir::IN_APP_FOLDER
                && !matches!(event.kind, EventKind::Modify(ModifyKind::Metadata(_)));
            if is_entry || app::is_app_file(inside) {
                self.wake_up(is_entry);
            }
        }
    }

    fn wake_up(&self, folders: bool) {
        if folders {
            self.folders.store(true, Ordering::SeqCst);
        }
        self.wake.notify_one();
    }
}
