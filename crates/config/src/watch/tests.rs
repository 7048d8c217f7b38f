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
    let (done, over) = tokio::sync::oneshot::channel::<()>();
    let watching = async {
        tokio::select! {
            () = watch(paths, move || { counter.fetch_add(1, Ordering::SeqCst); Vec::new() }) => {}
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
