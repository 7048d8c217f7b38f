//! Killed at any moment, the log comes back with everything that was acknowledged, and says what it does not know.

use std::{os::unix::fs::PermissionsExt, sync::atomic::Ordering};

use super::*;
use crate::{
    Audit, Class,
    support::{Place, attempt, files, intent, outcome, second, summary, until},
};

fn refused(place: &Place) -> String {
    Audit::open(place.options()).map(|_| ()).unwrap_err().to_string()
}

#[tokio::test]
async fn p14_killed_at_any_moment_every_acknowledged_intent_is_there_and_open_ones_become_unknown() {
    let place = Place::new();
    let (audit, _) = place.open();
    let mut acknowledged = Vec::new();
    let mut ended = std::collections::BTreeSet::new();
    let mut open = VecDeque::new();
    for round in 0..600_u64 {
        let record = intent();
        let call = record.call;
        let slot = audit.intent(if round % 7 == 0 { Class::Durable } else { Class::Buffered }, record).await.unwrap();
        acknowledged.push((slot.leaf().unwrap(), call));
        if round % 3 == 0 {
            slot.attempt(attempt(1));
        }
        open.push_back(slot);
        if open.len() > 5 {
            let slot = open.pop_front().unwrap();
            ended.insert(slot.leaf().unwrap());
            slot.outcome(outcome()).unwrap();
        }
        if round % 60 == 59 {
            let killed = place.killed();
            // The files as they were left already hold, whatever the threads were doing.
            let before = killed.verify().unwrap();
            let (again, recovery) = killed.open();
            let unknown: Vec<u64> = recovery.unknown.iter().map(|call| call.leaf).collect();
            let expected: Vec<u64> =
                acknowledged.iter().map(|(leaf, _)| *leaf).filter(|leaf| !ended.contains(leaf)).collect();
            assert_eq!(unknown, expected, "round {round}");
            assert_eq!(before.open, expected);
            for call in &recovery.unknown {
                assert_eq!(call.reservation, intent().reservation);
                assert!(call.attempts.len() <= 1);
            }
            for (leaf, call) in &acknowledged {
                let Record::Intent(found) = again.entry(*leaf).unwrap().unwrap().record else { panic!() };
                assert_eq!(found.call, *call);
            }
            again.close();
            let report = killed.verify().unwrap();
            assert_eq!((report.counts.open, report.counts.unknown), (0, unknown.len() as u64));
            assert_eq!(second::verify(&killed.dir(), &report.key), Ok(report.size));
        }
    }
    drop(open);
}

#[tokio::test]
async fn p14_stopped_before_any_write_sync_or_rename_the_log_comes_back_whole() {
    let mut still_at = 1;
    let mut ran_through = false;
    while !ran_through {
        let place = Place::new();
        place.disk.still_at.store(still_at, Ordering::SeqCst);
        let mut options = place.options();
        options.interval = std::time::Duration::from_millis(1);
        let mut acknowledged = Vec::new();
        let mut ended = 0;
        if let Ok((audit, _)) = Audit::open(options) {
            for round in 0..30 {
                let class = if round % 5 == 0 { Class::Durable } else { Class::Buffered };
                let record = intent();
                let call = record.call;
                let Ok(slot) = audit.intent(class, record).await else { continue };
                acknowledged.push((slot.leaf().unwrap(), call));
                ended += u64::from(slot.outcome(outcome()).is_some());
                if round % 10 == 0 {
                    std::thread::sleep(std::time::Duration::from_millis(3));
                }
            }
            for _ in 0..250 {
                let _ = audit.summary(summary());
            }
        }
        ran_through = place.disk.operations.load(Ordering::SeqCst) < still_at;
        if place.dir().join("log.pub").exists() {
            let before = place.verify().unwrap_or_else(|error| panic!("stopped at {still_at}: {error}"));
            assert!(before.counts.intents >= acknowledged.len() as u64, "stopped at {still_at}");
            assert!(before.counts.outcomes >= ended, "stopped at {still_at}");
        }
        place.disk.still_at.store(0, Ordering::SeqCst);
        let (audit, _) = Audit::open(place.options()).unwrap_or_else(|error| panic!("stopped at {still_at}: {error}"));
        for (leaf, call) in acknowledged {
            assert_eq!(audit.entry(leaf).unwrap().unwrap().record.call(), Some(call), "stopped at {still_at}");
        }
        audit.close();
        let report = place.verify().unwrap_or_else(|error| panic!("stopped at {still_at}: {error}"));
        assert_eq!((report.counts.open, report.pending), (0, 0));
        still_at += 1 + still_at / 12;
    }
    assert!(still_at > 100);
}

#[tokio::test]
async fn a_second_start_after_a_crash_reports_nothing_again() {
    let place = Place::new();
    let (audit, _) = place.open();
    let slot = audit.intent(Class::Buffered, intent()).await.unwrap();
    slot.attempt(attempt(1));
    let killed = place.killed();
    drop(slot);
    let (audit, first) = killed.open();
    assert_eq!((first.unknown.len(), first.unknown[0].attempts.len(), first.unknown[0].outcome), (1, 1, 2));
    drop(audit);
    let (_audit, second) = killed.open();
    assert_eq!((second.unknown.len(), second.size), (0, 3));
}

#[tokio::test]
async fn a_crash_while_the_last_start_ended_open_intents_loses_none() {
    let place = Place::new();
    let mut options = place.options();
    options.interval = std::time::Duration::from_secs(60);
    let (audit, _) = Audit::open(options).unwrap();
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(audit.intent(Class::Buffered, intent()).await.unwrap());
    }
    let killed = place.killed();
    drop(open);
    let mut options = killed.options();
    options.interval = std::time::Duration::from_secs(60);
    let (audit, _) = Audit::open(options).unwrap();
    let again = killed.killed();
    drop(audit);
    // Cut the log in the middle of the last of the three.
    let wal = files(&again.dir().join("wal")).pop().unwrap();
    let found = scan(&wal, true, |_, _, _| {}).unwrap();
    assert_eq!((found.first, found.next), (3, 6));
    File::options().write(true).open(&wal).unwrap().set_len(found.end - 10).unwrap();
    let (audit, recovery) = again.open();
    assert_eq!(recovery.unknown.iter().map(|call| call.leaf).collect::<Vec<_>>(), [2]);
    assert!(recovery.dropped_bytes > 0);
    audit.close();
    let report = again.verify().unwrap();
    assert_eq!((report.counts.open, report.counts.unknown), (0, 3));
}

#[tokio::test]
async fn without_the_snapshot_of_open_intents_the_whole_log_is_read() {
    let place = Place::new();
    let (audit, _) = place.open();
    let slot = audit.intent(Class::Buffered, intent()).await.unwrap();
    for _ in 0..600 {
        audit.summary(summary()).unwrap();
    }
    until("integration", || audit.status().integrated == 601);
    until("the snapshot", || place.dir().join("open").exists());
    let (with, without, broken) = (place.killed(), place.killed(), place.killed());
    fs::remove_file(without.dir().join("open")).unwrap();
    fs::write(broken.dir().join("open"), "nonsense").unwrap();
    for place in [with, without, broken] {
        assert_eq!(place.open().1.unknown.iter().map(|call| call.leaf).collect::<Vec<_>>(), [0]);
    }
    drop(slot);
}

#[test]
fn a_snapshot_reads_back_and_nothing_else_does() {
    let open: BTreeMap<u64, Vec<u64>> = [(3, vec![]), (5, vec![6, 9])].into();
    let text = Snapshot::text(12, &open);
    let read = Snapshot::parse(&text).unwrap();
    assert_eq!((read.size, read.open), (12, open));
    for at in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 0x40;
        assert!(String::from_utf8(bytes).is_ok_and(|changed| Snapshot::parse(&changed).is_none()), "byte {at}");
    }
    assert!(Snapshot::parse(&format!("{text}\n")).is_none());
}

#[tokio::test]
async fn p16_a_damaged_log_is_refused_with_the_place_and_left_as_it_is() {
    let place = Place::new();
    let (audit, _) = place.open();
    for _ in 0..300 {
        audit.summary(summary()).unwrap();
    }
    until("integration", || audit.status().integrated == 300);
    drop(audit.intent(Class::Buffered, intent()).await.unwrap());
    audit.close();
    let mut options = place.options();
    options.interval = std::time::Duration::from_secs(60);
    let (audit, _) = Audit::open(options).unwrap();
    for _ in 0..5 {
        audit.summary(summary()).unwrap();
    }
    let killed = place.killed();
    let newest = files(&killed.dir().join("wal")).pop().unwrap();
    for (file, at) in [("checkpoint".into(), 12), ("tile/0/001.p/46".into(), 5), (newest.clone(), 70)] {
        let path: PathBuf = killed.dir().join(file);
        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&path, &bad).unwrap();
        let error = refused(&killed);
        assert!(error.contains("damaged"), "{}: {error}", path.display());
        assert_eq!(fs::read(&path).unwrap(), bad, "nothing is repaired");
        fs::write(&path, &good).unwrap();
    }
    fs::remove_file(&newest).unwrap();
    let (audit, recovery) = killed.open();
    assert_eq!((recovery.replayed, recovery.size), (0, 302));
    drop(audit);
}

#[test]
fn a_missing_segment_is_noticed() {
    let place = Place::new();
    let mut options = place.options();
    options.interval = std::time::Duration::from_secs(60);
    let (audit, _) = Audit::open(options.clone()).unwrap();
    audit.summary(summary()).unwrap();
    let killed = place.killed();
    options.dir = killed.dir();
    options.keys_dir = killed.root.path().join("keys");
    let (audit, recovery) = Audit::open(options).unwrap();
    assert_eq!(recovery.replayed, 1);
    audit.summary(summary()).unwrap();
    let again = killed.killed();
    let segments = files(&again.dir().join("wal"));
    assert_eq!(segments.len(), 2);
    fs::remove_file(&segments[0]).unwrap();
    let error = refused(&again);
    assert!(error.contains("a segment is missing"), "{error}");
    assert!(again.verify().is_err());
}

#[test]
fn the_key_belongs_to_the_log() {
    let place = Place::new();
    let mut options = place.options();
    options.origin = Some("example.org/log".into());
    let (audit, _) = Audit::open(options.clone()).unwrap();
    assert_eq!(audit.key().name(), "example.org/log");
    audit.summary(summary()).unwrap();
    drop(audit);
    let key = place.root.path().join("keys/audit-log.key");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&key).unwrap();

    options.origin = Some("other".into());
    assert!(matches!(Audit::open(options).map(|_| ()), Err(OpenError::OtherLog { .. })));
    fs::remove_file(&key).unwrap();
    assert!(matches!(Audit::open(place.options()).map(|_| ()), Err(OpenError::KeyMissing { .. })));
    assert!(!key.exists(), "no new key for an old log");
    keys::create(&key, &SigningKey::text("example.org/log", &[1; 32]).unwrap()).unwrap();
    assert!(matches!(Audit::open(place.options()).map(|_| ()), Err(OpenError::OtherLog { .. })));
    fs::write(&key, &text).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(refused(&place).contains("can be read by others"));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    place.open();
}

#[test]
fn a_log_gets_a_name_of_its_own() {
    let (one, other) = (Place::new(), Place::new());
    let (one, other) = (one.open().0, other.open().0);
    assert!(one.key().name().starts_with("tidegate/"));
    assert_ne!(one.key().name(), other.key().name());
}
