//! Changes of files are noticed.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use super::*;

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("tidegate-watch-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Watches `paths` while `changing` runs.
async fn while_watched<F: Future<Output = ()>>(
    paths: Vec<PathBuf>,
    read_at: SystemTime,
    changing: impl FnOnce(Arc<AtomicUsize>) -> F,
) {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let changed = move || {
        counter.fetch_add(1, Ordering::SeqCst);
        Vec::new()
    };
    tokio::select! {
        () = watch(paths, read_at, changed) => {}
        () = changing(count) => {}
    }
}

/// A moment after everything that was written so far.
async fn later() -> SystemTime {
    tokio::time::sleep(Duration::from_millis(300)).await;
    SystemTime::UNIX_EPOCH + Duration::from_millis(tidegate_core::clock::wall().0)
}

async fn until(count: &AtomicUsize, wanted: usize) {
    for _ in 0..100 {
        if count.load(Ordering::SeqCst) >= wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("not noticed within five seconds: {} of {wanted}", count.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_changed_replaced_or_new_file_is_noticed_once_and_a_touched_one_is_not() {
    let folder = folder("files");
    let file = folder.join("tidegate.yaml");
    std::fs::write(&file, "version: 1\n").unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let paths = vec![folder.clone()];
    let read_at = later().await;
    let (done, over) = tokio::sync::oneshot::channel::<()>();
    let watching = async {
        tokio::select! {
            () = watch(paths, read_at, move || { counter.fetch_add(1, Ordering::SeqCst); Vec::new() }) => {}
            _ = over => {}
        }
    };
    let changing = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        std::fs::write(&file, "version: 1\nhosts: []\n").unwrap();
        until(&count, 1).await;
        std::fs::write(folder.join("new"), "version: 1\n").unwrap();
        std::fs::rename(folder.join("new"), &file).unwrap();
        until(&count, 2).await;
        std::fs::write(folder.join("more.yaml"), "teams: {}\n").unwrap();
        until(&count, 3).await;
        std::fs::write(&file, "version: 1\n").unwrap();
        tokio::time::sleep(Duration::from_millis(400)).await;
        assert_eq!(count.load(Ordering::SeqCst), 3);
        drop(done);
    };
    tokio::join!(watching, changing);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn a_mounted_configuration_whose_links_are_swapped_is_noticed() {
    // As Kubernetes mounts a ConfigMap: the file leads through `..data` to a folder that is replaced whole.
    let folder = folder("links");
    for (name, text) in [("..one", "version: 1\n"), ("..two", "version: 1\nhosts: []\n")] {
        std::fs::create_dir(folder.join(name)).unwrap();
        std::fs::write(folder.join(name).join("tidegate.yaml"), text).unwrap();
    }
    let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, folder.join(name)).unwrap();
    link("..one", "..data");
    link("..data/tidegate.yaml", "tidegate.yaml");
    let read_at = later().await;
    while_watched(vec![folder.join("tidegate.yaml")], read_at, async |count| {
        tokio::time::sleep(Duration::from_millis(100)).await;
        link("..two", "..data_tmp");
        std::fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
        until(&count, 1).await;
        std::fs::remove_dir_all(folder.join("..one")).unwrap();
    })
    .await;
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn a_link_that_leads_elsewhere_is_looked_at_without_notices() {
    // Nothing changes in the folder of the configuration itself: the change happens two links away.
    let folder = folder("elsewhere");
    for name in ["etc", "old", "new"] {
        std::fs::create_dir(folder.join(name)).unwrap();
        std::fs::write(folder.join(name).join("tidegate.yaml"), format!("# {name}\n")).unwrap();
    }
    std::fs::remove_file(folder.join("etc/tidegate.yaml")).unwrap();
    let link = |to: &Path, name: &str| std::os::unix::fs::symlink(to, folder.join(name)).unwrap();
    link(&folder.join("old"), "current");
    link(&folder.join("current/tidegate.yaml"), "etc/tidegate.yaml");
    let read_at = later().await;
    while_watched(vec![folder.join("etc/tidegate.yaml")], read_at, async |count| {
        tokio::time::sleep(Duration::from_millis(100)).await;
        link(&folder.join("new"), "next");
        std::fs::rename(folder.join("next"), folder.join("current")).unwrap();
        until(&count, 1).await;
    })
    .await;
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn what_changed_between_the_reading_and_the_watch_is_noticed() {
    let folder = folder("between");
    let read_at = later().await;
    std::fs::write(folder.join("a.cedar"), "permit(principal, action, resource);").unwrap();
    while_watched(vec![folder.clone()], read_at, async |count| until(&count, 1).await).await;
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn what_changes_while_new_files_are_taken_up_is_noticed() {
    let folder = folder("growing");
    let (one, two) = (folder.join("one"), folder.join("two"));
    for file in [&one, &two] {
        std::fs::write(file, "before").unwrap();
    }
    let read_at = later().await;
    let count = Arc::new(AtomicUsize::new(0));
    let (counter, paths) = (Arc::clone(&count), vec![one.clone(), two.clone()]);
    // The first reading leads to a second file, which is written to right after it was read.
    let changed = move || {
        if counter.fetch_add(1, Ordering::SeqCst) == 0 {
            std::fs::write(&two, "after").unwrap();
        }
        paths.clone()
    };
    let changing = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        std::fs::write(&one, "after").unwrap();
        until(&count, 2).await;
    };
    tokio::select! {
        () = watch(vec![folder.join("one")], read_at, changed) => {}
        () = changing => {}
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
