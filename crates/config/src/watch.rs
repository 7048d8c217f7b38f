//! Notices that the configuration's files changed.
//!
//! Owns when to look again: on a notice of the file system, a moment after the last one, and every two seconds anyway,
//! since notices are lost on network file systems and mounted secrets. Never reads what the files mean. The binary runs
//! [`watch`] as a task and loads the configuration in its callback.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use notify::{RecursiveMode, Watcher as _};
use tidegate_core::{clock, ids::Digest};
use tokio::sync::mpsc;

use crate::source::{MAX_FILE_BYTES, MAX_FILES};

/// How long after the last notice files are read, so that a change of several files is one.
const SETTLE: Duration = Duration::from_millis(100);
/// How often files are looked at without any notice.
const POLL: Duration = Duration::from_secs(2);

/// How much earlier than it is a moment of the file system may be: its clock goes in steps.
const STEP: Duration = Duration::from_millis(100);

/// Watches files and folders until it is dropped. What changed since `read_at`, when they were read, counts as a change
/// already. `changed` is called once for each change of their content (a folder:
/// of the files directly in it) and returns what to watch from then on; where it returns nothing, the watched paths
/// stay. A file that is written anew with the same content is no change.
pub async fn watch(mut paths: Vec<PathBuf>, read_at: SystemTime, mut changed: impl FnMut() -> Vec<PathBuf> + Send) {
    let (notice, mut notices) = mpsc::channel::<()>(1);
    let mut watcher = start(&notice);
    let mut folders = BTreeSet::new();
    follow(watcher.as_mut(), &paths, &mut folders);
    // The notices begin now; what was written between the reading and now gave none.
    let mut first = changed_since(&paths, read_at);
    let mut known = if first { Vec::new() } else { fingerprint(&paths) };
    loop {
        tokio::select! {
            () = std::future::ready(()), if std::mem::take(&mut first) => {}
            heard = notices.recv() => {
                if heard.is_none() {
                    tokio::time::sleep(POLL).await;
                }
                settle(&mut notices).await;
            }
            () = tokio::time::sleep(POLL) => {}
        }
        let now = fingerprint(&paths);
        if now == known {
            continue;
        }
        known = now;
        let read_at = SystemTime::UNIX_EPOCH + Duration::from_millis(clock::wall().0);
        let next = changed();
        if !next.is_empty() && next != paths {
            paths = next;
            follow(watcher.as_mut(), &paths, &mut folders);
            // As at the start: what was written since the reading may have given no notice.
            first = changed_since(&paths, read_at);
            known = if first { Vec::new() } else { fingerprint(&paths) };
        }
    }
}

/// Whether a file, or a link that leads to one, was changed at `moment` or later.
fn changed_since(paths: &[PathBuf], moment: SystemTime) -> bool {
    let moment = moment.checked_sub(STEP).unwrap_or(moment);
    let late = |metadata: std::io::Result<std::fs::Metadata>| {
        metadata.and_then(|metadata| metadata.modified()).is_ok_and(|modified| modified >= moment)
    };
    files(paths).iter().any(|file| late(std::fs::metadata(file)) || late(std::fs::symlink_metadata(file)))
}

/// Waits until no notice has come for a moment, but not for ever where they never stop.
async fn settle(notices: &mut mpsc::Receiver<()>) {
    for _ in 0..20 {
        if tokio::time::timeout(SETTLE, notices.recv()).await.is_err() {
            return;
        }
    }
}

fn start(notice: &mpsc::Sender<()>) -> Option<notify::RecommendedWatcher> {
    let notice = notice.clone();
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading is no change, and a notice that waits already says everything that another one would.
        if event.is_ok_and(|event| !event.kind.is_access()) {
            let _ = notice.try_send(());
        }
    });
    match watcher {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            tracing::warn!(%error, "no notices of changed files: configuration is looked at every two seconds");
            None
        }
    }
}

/// Follows the folders that the paths lie in: editors replace files, and a watch on a replaced file is a watch on
/// nothing.
fn follow(watcher: Option<&mut notify::RecommendedWatcher>, paths: &[PathBuf], folders: &mut BTreeSet<PathBuf>) {
    let Some(watcher) = watcher else { return };
    let mut wanted = BTreeSet::new();
    for path in paths {
        if path.is_dir() {
            wanted.insert(path.clone());
        }
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        wanted.insert(parent.to_path_buf());
    }
    for gone in folders.difference(&wanted) {
        let _ = watcher.unwatch(gone);
    }
    for new in wanted.difference(folders) {
        if let Err(error) = watcher.watch(new, RecursiveMode::NonRecursive) {
            tracing::debug!(folder = %new.display(), %error, "no notices from this folder: it is looked at every two seconds");
        }
    }
    *folders = wanted;
}

/// The files that the paths name, and those directly in the folders among them.
fn files(paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = Vec::new();
    for path in paths {
        match std::fs::read_dir(path) {
            Ok(entries) => {
                let within = entries.filter_map(Result::ok).map(|entry| entry.path()).filter(|path| path.is_file());
                files.extend(within.take(MAX_FILES.saturating_mul(4)));
            }
            Err(_) => files.push(path.clone()),
        }
    }
    files.sort();
    files.dedup();
    files
}

/// What stands in the files: their names and a digest of each.
fn fingerprint(paths: &[PathBuf]) -> Vec<(PathBuf, Option<Digest>)> {
    files(paths).into_iter().map(|file| (file.clone(), digest(&file))).collect()
}

/// A digest of a file's content; `None` where it cannot be read, or is larger than any that would be taken.
fn digest(file: &Path) -> Option<Digest> {
    let size = std::fs::metadata(file).ok()?.len();
    if size > u64::try_from(MAX_FILE_BYTES).unwrap_or(u64::MAX) {
        return None;
    }
    std::fs::read(file).ok().map(|bytes| Digest::of(&bytes))
}

#[cfg(test)]
mod tests;
