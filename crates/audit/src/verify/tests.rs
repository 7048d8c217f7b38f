//! Any change to a log is refused, by this verifier and by one from other hands.

use super::*;
use crate::{
    Audit, Class,
    support::{Place, attempt, files, intent, outcome, refusal, second, summary, until},
};

async fn log(calls: usize) -> Place {
    let place = Place::new();
    let (audit, _) = place.open();
    for _ in 0..calls {
        let slot = audit.intent(Class::Buffered, intent()).await.unwrap();
        slot.attempt(attempt(1));
        slot.outcome(outcome()).unwrap();
    }
    audit.refusal(Class::Buffered, refusal()).await.unwrap();
    audit.close();
    place
}

fn relative(place: &Place, path: &Path) -> String {
    path.strip_prefix(place.dir()).unwrap().to_str().unwrap().to_owned()
}

#[tokio::test]
async fn both_verifiers_refuse_every_flipped_byte_that_the_checkpoint_covers() {
    let place = Place::new();
    let (audit, _) = place.open();
    let slot = audit.intent(Class::Buffered, intent()).await.unwrap();
    slot.outcome(crate::record::OutcomeRecord::new(crate::record::Completeness::Complete, 200)).unwrap();
    for _ in 0..3 {
        audit.summary(summary()).unwrap();
    }
    audit.close();
    let good = place.verify().unwrap();
    assert_eq!((good.size, good.counts.outcomes, good.counts.summaries), (5, 1, 3));
    assert_eq!(second::verify(&place.dir(), &good.key), Ok(5));
    let signed = second::checkpoint(&place.dir(), &good.key).unwrap();
    for path in files(&place.dir()) {
        let name = relative(&place, &path);
        if name == "lock" {
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            fs::write(&path, &changed).unwrap();
            let error = verify(&place.dir(), None).expect_err(&format!("{name} byte {at}"));
            assert!(!error.what.is_empty());
            let second = match name.as_str() {
                "checkpoint" => second::checkpoint(&place.dir(), &good.key).is_err(),
                tile if tile.starts_with("tile/") => second::tree(&place.dir(), &signed).is_err(),
                _ => true,
            };
            assert!(second, "the second verifier: {name} byte {at}");
        }
        for cut in [0, bytes.len() / 2, bytes.len() - 1] {
            fs::write(&path, &bytes[..cut]).unwrap();
            assert!(verify(&place.dir(), None).is_err() || name.starts_with("wal/"), "{name} cut at {cut}");
        }
        let mut longer = bytes.clone();
        longer.push(b'1');
        fs::write(&path, &longer).unwrap();
        assert!(verify(&place.dir(), None).is_err() || name.starts_with("wal/"), "{name} with a byte more");
        fs::write(&path, &bytes).unwrap();
    }
    assert_eq!(place.verify().unwrap(), good);
}

#[tokio::test]
async fn every_missing_and_every_strange_file_is_refused() {
    let place = log(3).await;
    for path in files(&place.dir()) {
        let name = relative(&place, &path);
        if ["lock", "open"].contains(&name.as_str()) || name.starts_with("wal/") {
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(verify(&place.dir(), None).is_err(), "without {name}");
        fs::write(&path, bytes).unwrap();
    }
    let strange =
        ["note.txt", "tile/0/001", "tile/0/000.p/11", "tile/3/000.p/1", "tile/entries/000.p/x", "wal/1.wal", "tile/x"];
    for name in strange {
        let path = place.dir().join(name);
        fs::write(&path, [7; 32]).unwrap_or_else(|_| {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, [7; 32]).unwrap();
        });
        let error = verify(&place.dir(), None).expect_err(name);
        assert!(error.file.to_str().is_some_and(|file| file.contains(name)), "{error}");
        fs::remove_file(&path).unwrap();
    }
    std::os::unix::fs::symlink("checkpoint", place.dir().join("tile/0/link")).unwrap();
    assert!(verify(&place.dir(), None).is_err());
}

#[tokio::test]
async fn a_replaced_log_is_noticed_by_its_key() {
    let (place, other) = (log(1).await, log(1).await);
    let (ours, theirs) = (place.verify().unwrap().key, other.verify().unwrap().key);
    assert!(verify(&place.dir(), Some(&ours)).is_ok());
    assert!(verify(&place.dir(), Some(&format!(" {ours}\n"))).is_ok());
    let error = verify(&place.dir(), Some(&theirs)).unwrap_err();
    assert_eq!(error.file, Path::new("log.pub"));
    fs::copy(other.dir().join("checkpoint"), place.dir().join("checkpoint")).unwrap();
    assert_eq!(verify(&place.dir(), None).unwrap_err().file, Path::new("checkpoint"));
    assert!(verify(&place.dir(), Some("nonsense")).is_err());
}

#[tokio::test]
async fn an_older_checkpoint_over_the_same_tiles_is_refused() {
    let place = log(2).await;
    let old = fs::read(place.dir().join("checkpoint")).unwrap();
    let (audit, _) = place.open();
    audit.summary(summary()).unwrap();
    audit.close();
    fs::write(place.dir().join("checkpoint"), old).unwrap();
    assert!(place.verify().is_err());
}

#[tokio::test]
async fn logs_around_a_full_tile_hold() {
    for leaves in [0, 1, 255, 256, 257, 512, 515] {
        let place = Place::new();
        let (audit, _) = place.open();
        for _ in 0..leaves {
            audit.summary(summary()).unwrap();
        }
        audit.close();
        let report = place.verify().unwrap();
        assert_eq!((report.size, report.pending), (leaves, 0));
        if leaves > 0 {
            assert_eq!(second::verify(&place.dir(), &report.key), Ok(leaves));
        }
    }
}

#[tokio::test]
async fn a_log_of_more_than_65536_leaves_holds() {
    let place = Place::new();
    let (audit, _) = place.open();
    for _ in 0..65_536 + 300 {
        audit.summary(summary()).unwrap();
    }
    audit.close();
    assert!(place.dir().join("tile/1/000").exists() && place.dir().join("tile/2/000.p/1").exists());
    let report = place.verify().unwrap();
    assert_eq!(report.size, 65_836);
    assert_eq!(second::verify(&place.dir(), &report.key), Ok(65_836));
    for (name, at) in [("tile/1/000", 255 * 32), ("tile/2/000.p/1", 0), ("tile/0/255", 0), ("tile/entries/000", 50)] {
        let path = place.dir().join(name);
        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&path, &bad).unwrap();
        assert!(place.verify().is_err(), "{name}");
        fs::write(&path, &good).unwrap();
    }
}

#[tokio::test]
async fn records_that_wait_for_the_tree_are_verified_too() {
    let place = Place::new();
    let mut options = place.options();
    options.interval = std::time::Duration::from_secs(60);
    let (audit, _) = Audit::open(options).unwrap();
    let slot = audit.intent(Class::Durable, intent()).await.unwrap();
    audit.summary(summary()).unwrap();
    let report = place.verify().unwrap();
    assert_eq!((report.size, report.pending, report.open), (0, 2, vec![0]));
    let killed = place.killed();
    let wal = files(&killed.dir().join("wal")).pop().unwrap();
    let mut bytes = fs::read(&wal).unwrap();
    bytes[100] ^= 1;
    fs::write(&wal, bytes).unwrap();
    let error = killed.verify().unwrap_err();
    assert!(error.file.starts_with("wal") && error.at.is_some(), "{error}");
    drop(slot);
}

#[test]
fn a_running_log_can_be_verified_at_any_time() {
    let place = Place::new();
    let mut options = place.options();
    options.interval = std::time::Duration::from_millis(1);
    let (audit, _) = Audit::open(options).unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for _ in 0..1500 {
                audit.summary(summary()).unwrap();
                std::thread::sleep(std::time::Duration::from_micros(300));
            }
        });
        let mut runs = 0;
        while !writer.is_finished() {
            place.verify().unwrap();
            runs += 1;
        }
        assert!(runs > 3, "{runs}");
    });
    until("integration", || audit.status().integrated == 1500);
    assert_eq!(place.verify().unwrap().size, 1500);
}

#[tokio::test]
async fn tiles_of_a_checkpoint_that_was_never_signed_do_not_disturb_but_must_be_true() {
    let place = log(2).await;
    let (audit, _) = place.open();
    for _ in 0..300 {
        audit.summary(summary()).unwrap();
    }
    until("integration", || audit.status().integrated == 307);
    let ahead = place.killed();
    audit.close();
    // The killed copy, with the checkpoint from before and the write-ahead log still whole.
    let old = log_checkpoint(&ahead, 7).await;
    fs::write(ahead.dir().join("checkpoint"), old).unwrap();
    fs::remove_file(ahead.dir().join("open")).unwrap();
    fs::create_dir_all(ahead.dir().join("tile/0/000.p")).unwrap();
    let bytes = |name: &str, length| fs::read(ahead.dir().join(name)).unwrap()[..length].to_vec();
    fs::write(ahead.dir().join("tile/0/000.p/7"), bytes("tile/0/000", 7 * 32)).unwrap();
    fs::create_dir_all(ahead.dir().join("tile/entries/000.p")).unwrap();
    let bundle = fs::read(ahead.dir().join("tile/entries/000")).unwrap();
    let seven: usize = entries(&bundle).take(7).map(|entry| entry.unwrap().len() + 2).sum();
    fs::write(ahead.dir().join("tile/entries/000.p/7"), &bundle[..seven]).unwrap();
    let report = ahead.verify().unwrap();
    assert_eq!((report.size, report.pending), (7, 300));
    let path = ahead.dir().join("tile/0/001.p/51");
    let mut bad = fs::read(&path).unwrap();
    bad[9] ^= 1;
    fs::write(&path, &bad).unwrap();
    assert!(ahead.verify().is_err());
    let (audit, recovery) = ahead.open();
    assert_eq!(recovery.replayed, 300);
    audit.close();
    assert_eq!(ahead.verify().unwrap().size, 307);
}

/// The checkpoint of the first `size` leaves, by the log's own key.
async fn log_checkpoint(place: &Place, size: u64) -> String {
    let key = crate::keys::read(&place.root.path().join("keys/audit-log.key")).unwrap().unwrap();
    let key = crate::note::SigningKey::parse(&key).unwrap();
    let mut edge = Edge::new();
    for leaf in 0..size {
        edge.push(&crate::read::from_bundle(&place.dir(), leaf, 307).unwrap(), &mut |_| {});
    }
    Checkpoint { origin: key.verifier().name().to_owned(), size, root: edge.root() }.sign(&key)
}

#[tokio::test]
async fn an_outcome_without_its_intent_is_refused() {
    let place = Place::new();
    let (audit, _) = place.open();
    let slot = audit.intent(Class::Buffered, intent()).await.unwrap();
    let stray = crate::Intent::on(
        audit.shared(),
        17,
        tidegate_core::ids::CallId::new(),
        "default".into(),
        "abcd1234".parse().unwrap(),
    );
    stray.outcome(outcome()).unwrap();
    slot.outcome(outcome()).unwrap();
    audit.close();
    let error = place.verify().unwrap_err();
    assert!(error.what.contains("no open intent") && error.at == Some(1), "{error}");
}

#[tokio::test]
async fn whoever_watches_hears_of_every_bundle() {
    let place = log(100).await;
    let mut heard = Vec::new();
    let report = verify_watched(&place.dir(), None, &mut |done, all| heard.push((done, all))).unwrap();
    assert!(report.size > 256, "{}", report.size);
    let expected: Vec<_> = (1..=report.size / 256).map(|bundle| (bundle * 256, report.size)).collect();
    assert_eq!(heard, expected);
    assert_eq!(verify(&place.dir(), None).unwrap(), report);
}
