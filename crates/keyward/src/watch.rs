//! Noticing that an app folder's files have changed.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use notify::event::{EventKind, ModifyKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::place::Place;
use crate::{data_dir, limits};

/// Tells when files of an app may have changed.
///
/// Of a folder it watches the app folder and the folders in it whose `workflow.json` could be a workflow, not
/// what lies deeper, and so never the data folder, which changes with every request. It also
/// watches for another folder in the place of the app folder, as a link that is switched brings it. Of one
/// file it watches the folder that it lies in, since editors put another file in its place.
pub(crate) struct Watch {
    place: Place,
    root: PathBuf,
    watcher: RecommendedWatcher,
    changed: Arc<Changed>,
}

#[derive(Default)]
struct Changed {
    wake: Notify,
    /// Whether folders may have come or gone in the app folder.
    folders: AtomicBool,
    /// The name of the file that is the app, if it is one.
    only: Option<String>,
    /// Whether another folder may stand in the place of the app folder.
    replaced: AtomicBool,
}

impl Watch {
    /// Watches an app folder, or the one file that is the app.
    pub(crate) fn new(place: &Place) -> notify::Result<Self> {
        let (dir, only) = match place {
            Place::Folder(dir) => (dir.clone(), None),
            Place::McpJson(file) => {
                (folder_of(file), file.file_name().and_then(OsStr::to_str).map(str::to_owned))
            }
        };
        let root = dir.canonicalize()?;
        let entry = entry_of(&dir);
        let changed = Arc::new(Changed { only, ..Changed::default() });
        let watcher = {
            let (root, entry, changed) = (root.clone(), entry.clone(), Arc::clone(&changed));
            notify::recommended_watcher(move |event| changed.note(&root, entry.as_deref(), event))?
        };
        let mut watch = Self { place: place.clone(), root, watcher, changed };
        watch.watcher.watch(&watch.root, RecursiveMode::NonRecursive)?;
        // Without it only the folder's replacement goes unnoticed.
        if let Some(parent) = entry.as_deref().and_then(Path::parent) {
            drop(watch.watcher.watch(parent, RecursiveMode::NonRecursive));
        }
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
            if Instant::now() >= latest {
                break;
            }
        }
        if self.changed.replaced.swap(false, Ordering::SeqCst)
            // While there is no folder, its place is watched by the watch that there is.
            && let Ok(anew) = Self::new(&self.place)
        {
            *self = anew;
        } else if self.changed.folders.swap(false, Ordering::SeqCst) {
            self.watch_folders();
        }
    }

    /// A folder that cannot be watched, because it is gone again, tells so when it is read.
    fn watch_folders(&mut self) {
        if self.changed.only.is_some() {
            return;
        }
        let Ok(entries) = std::fs::read_dir(&self.root) else { return };
        for entry in entries.flatten().take(limits::FOLDER_ENTRIES) {
            let is_workflow = |name: &str| app::is_app_file(&format!("{name}/workflow.json"));
            if entry.file_name().to_str().is_some_and(is_workflow) && entry.path().is_dir() {
                drop(self.watcher.watch(&entry.path(), RecursiveMode::NonRecursive));
            }
        }
    }
}

/// The folder that a file lies in, as the file was named.
fn folder_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// The path of a folder's own entry in the folder above it, if it has one.
fn entry_of(dir: &Path) -> Option<PathBuf> {
    let dir = std::path::absolute(dir).ok()?;
    Some(dir.parent()?.canonicalize().ok()?.join(dir.file_name()?))
}

impl Changed {
    fn note(&self, root: &Path, entry: Option<&Path>, event: notify::Result<Event>) {
        // What the watcher could not say may have been anything.
        let Ok(event) = event else { return self.wake_up(&self.folders) };
        if event.need_rescan() {
            return self.wake_up(&self.folders);
        }
        // Metadata of a folder changes with each file in it.
        if matches!(event.kind, EventKind::Access(_) | EventKind::Modify(ModifyKind::Metadata(_))) {
            return;
        }
        for path in &event.paths {
            if Some(path.as_path()) == entry {
                self.wake_up(&self.replaced);
                continue;
            }
            let Some(inside) = path.strip_prefix(root).ok().and_then(Path::to_str) else {
                continue;
            };
            if let Some(only) = &self.only {
                // A ConfigMap's files are links through one that is switched, `..data`.
                if inside == only || inside.starts_with("..") {
                    self.wake.notify_one();
                }
                continue;
            }
            if !inside.contains('/') && inside != data_dir::IN_APP_FOLDER {
                // A folder or a link that comes or goes may bring or take workflows with it,
                // whatever its name: a ConfigMap is switched by one link.
                self.wake_up(&self.folders);
            } else if app::is_app_file(inside) {
                self.wake.notify_one();
            }
        }
    }

    fn wake_up(&self, why: &AtomicBool) {
        why.store(true, Ordering::SeqCst);
        self.wake.notify_one();
    }
}
