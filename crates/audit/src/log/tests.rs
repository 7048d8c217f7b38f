//! The running log: what is promised to callers, also when the disk does not play along.

use std::sync::atomic::Ordering;

use tidegate_core::fault::Phase;

use super::*;
use crate::{
    intent::AuditPlan,
    record::{AttemptRecord, CallKind, Completeness, Record},
    support::{Place, attempt, intent, outcome, refusal, second, summary, until},
};

fn outcomes(audit: &Audit) -> Vec<(u64, crate::record::OutcomeEntry)> {
    audit
        .records_from(0)
        .map(Result::unwrap)
        .filter_map(|(leaf, entry)| match entry.record {
            Record::Outcome(outcome) => Some((leaf, *outcome)),
            _ => None,
        })
        .collect()
}

#[tokio::test]
async fn a_call_is_an_intent_its_attempts_and_an_outcome_in_the_order_they_were_appended() {
    let place = Place::new();
    let (audit, recovery) = place.open();
    assert_eq!(recovery, Recovery::default());
    let record = intent();
    let call = record.call;
    let slot = audit.intent(Class::Buffered, record).await.unwrap();
    assert_eq!(slot.leaf(), Some(0));
    slot.attempt(attempt(1));
    slot.attempt(attempt(2));
    assert_eq!(slot.outcome(outcome()), Some(3));
    assert_eq!(audit.refusal(Class::Durable, refusal()).await.unwrap(), Some(4));
    assert_eq!(audit.summary(summary()).unwrap(), 5);
    until("integration", || audit.status().integrated == 6);
    let found = audit.find(call, 1000).unwrap();
    assert_eq!(found.iter().map(|(leaf, _)| *leaf).collect::<Vec<_>>(), [0, 1, 2, 3]);
    let Some(Record::Attempt(second)) = audit.entry(2).unwrap().map(|entry| entry.record) else { panic!() };
    assert_eq!((second.intent, second.attempt.number, second.call), (0, 2, call));
    assert!(audit.entry(6).unwrap().is_none());
    audit.close();
    let report = place.verify().unwrap();
    assert_eq!((report.size, report.pending, report.counts.open, report.counts.attempts), (6, 0, 0, 2));
    assert_eq!(second::verify(&place.dir(), &report.key), Ok(6));
}

#[tokio::test]
async fn an_attempt_with_a_whole_answer_is_written_with_the_outcome_and_before_it() {
    let place = Place::new();
    let (audit, _) = place.open();
    let answered = |number| AttemptRecord { phase: Phase::Done, status: Some(200), fault: None, ..attempt(number) };
    for (earlier, last) in [(0, 1_u32), (1, 2), (2, 3), (3, 4)] {
        let slot = audit.intent(Class::Buffered, intent()).await.unwrap();
        (1..=earlier).for_each(|number| slot.attempt(attempt(number)));
        let before = audit.status().appended;
        slot.attempt(answered(last));
        // Beyond the attempts whose room is reserved, one is written where there is room for it.
        assert_eq!(audit.status().appended, before + u64::from(earlier >= 2));
        let leaf = slot.outcome(outcome()).unwrap();
        assert_eq!(leaf, before + 1);
        let Some(Record::Attempt(written)) = audit.entry(leaf - 1).unwrap().map(|entry| entry.record) else { panic!() };
        assert_eq!(written.attempt, answered(last));
    }
    // A call that is dropped after it was answered keeps its attempt too.
    let slot = audit.intent(Class::Buffered, intent()).await.unwrap();
    slot.attempt(answered(1));
    drop(slot);
    assert_eq!(outcomes(&audit).last().unwrap().1.outcome.completeness, Completeness::Unknown);
    until("integration", || audit.status().integrated == audit.status().appended);
    assert_eq!(audit.shared().wal.lock().reserved(), 0);
    audit.close();
    let report = place.verify().unwrap();
    assert_eq!((report.counts.open, report.counts.attempts), (0, 11));
}

#[tokio::test]
async fn an_intent_that_is_dropped_becomes_an_unknown_outcome() {
    let place = Place::new();
    let (audit, _) = place.open();
    drop(audit.intent(Class::Buffered, intent()).await.unwrap());
    let all = outcomes(&audit);
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].1.intent, all[0].1.outcome.completeness), (0, Completeness::Unknown));
}

#[tokio::test]
async fn a_panic_in_the_middle_of_a_call_becomes_an_unknown_outcome() {
    let place = Place::new();
    let (audit, _) = place.open();
    let slot = audit.intent(Class::Buffered, intent()).await.unwrap();
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _slot = slot;
        panic!("a defect");
    }));
    assert!(result.is_err());
    assert_eq!(outcomes(&audit)[0].1.outcome.completeness, Completeness::Unknown);
}

#[tokio::test]
async fn a_durable_intent_whose_caller_leaves_while_it_waits_is_told_as_not_sent() {
    let place = Place::new();
    let (audit, _) = place.open();
    place.disk.slow_sync_ms.store(200, Ordering::SeqCst);
    let waited = tokio::time::timeout(Duration::from_millis(20), audit.intent(Class::Durable, intent())).await;
    assert!(waited.is_err());
    place.disk.slow_sync_ms.store(0, Ordering::SeqCst);
    let all = outcomes(&audit);
    assert_eq!(all[0].1.outcome.completeness, Completeness::Complete);
    assert_eq!(all[0].1.outcome.fault.as_deref(), Some("abandoned"));
}

#[tokio::test]
async fn where_audit_is_off_there_is_no_record_and_only_the_plan_says_so() {
    let place = Place::new();
    let (audit, _) = place.open();
    let plan = AuditPlan { model_calls: Class::Off, tool_calls: Class::Durable };
    assert!(plan.intent_off(CallKind::Tool).is_none());
    let off = plan.intent_off(CallKind::Model).unwrap();
    off.attempt(attempt(1));
    assert_eq!(off.leaf(), None);
    assert_eq!(off.outcome(outcome()), None);
    assert_eq!(audit.refusal(Class::Off, refusal()).await.unwrap(), None);
    assert_eq!(audit.status().appended, 0);
    let slot = audit.intent(Class::Off, intent()).await.unwrap();
    assert_eq!(slot.leaf(), Some(0), "without the plan's word it is recorded");
    drop(slot);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_durable_intents_share_a_few_syncs() {
    let place = Place::new();
    let mut options = place.options();
    options.interval = Duration::from_secs(60);
    let (audit, _) = Audit::open(options).unwrap();
    let audit = Arc::new(audit);
    place.disk.slow_sync_ms.store(10, Ordering::SeqCst);
    let calls: Vec<_> = (0..100)
        .map(|_| {
            let audit = Arc::clone(&audit);
            #[expect(clippy::disallowed_methods, reason = "the test awaits every task")]
            tokio::spawn(async move {
                let slot = audit.intent(Class::Durable, intent()).await.unwrap();
                let leaf = slot.leaf().unwrap();
                assert!(audit.status().synced > leaf, "acknowledged before it was durable");
                slot.outcome(outcome()).unwrap();
                leaf
            })
        })
        .collect();
    let mut leaves = Vec::new();
    for call in calls {
        leaves.push(call.await.unwrap());
    }
    leaves.sort_unstable();
    leaves.dedup();
    assert_eq!(leaves.len(), 100);
    let syncs = audit.status().syncs;
    assert!((1..=20).contains(&syncs), "{syncs} syncs");
    place.disk.slow_sync_ms.store(0, Ordering::SeqCst);
    audit.close();
    assert_eq!(place.verify().unwrap().counts.outcomes, 100);
}

#[tokio::test]
async fn p15_a_full_disk_refuses_intents_lets_calls_finish_and_recovers_alone() {
    let place = Place::new();
    let (audit, _) = place.open();
    let mut open = vec![audit.intent(Class::Buffered, intent()).await.unwrap()];
    place.disk.full.store(true, Ordering::SeqCst);
    let error = loop {
        match audit.intent(Class::Buffered, intent()).await {
            Ok(slot) => open.push(slot),
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("no space"), "{error}");
    assert!(!audit.writable());
    let count = open.len() as u64;
    for slot in open {
        slot.attempt(attempt(1));
        assert!(slot.outcome(outcome()).is_some(), "an outcome has its place");
    }
    place.disk.full.store(false, Ordering::SeqCst);
    // Nobody calls: it finds out by itself.
    until("recovery", || audit.writable());
    drop(audit.intent(Class::Durable, intent()).await.unwrap());
    audit.close();
    let report = place.verify().unwrap();
    assert_eq!((report.counts.outcomes, report.counts.open), (count + 1, 0));
    assert_eq!(second::verify(&place.dir(), &report.key), Ok(report.size));
}

#[tokio::test]
async fn p15_a_failed_sync_stops_admission_until_the_log_is_opened_anew() {
    let place = Place::new();
    let mut options = place.options();
    options.interval = Duration::from_secs(60);
    let (audit, _) = Audit::open(options).unwrap();
    let before = audit.intent(Class::Durable, intent()).await.unwrap();
    place.disk.fail_sync.store(true, Ordering::SeqCst);
    assert!(audit.intent(Class::Durable, intent()).await.is_err());
    place.disk.fail_sync.store(false, Ordering::SeqCst);
    for class in [Class::Buffered, Class::Durable] {
        let error = audit.intent(class, intent()).await.unwrap_err();
        assert!(error.to_string().contains("restart"), "{error}");
    }
    assert!(!audit.writable());
    assert_eq!(before.outcome(outcome()), None);
    drop(audit);
    let (audit, recovery) = place.open();
    assert_eq!(recovery.unknown.iter().map(|call| call.leaf).collect::<Vec<_>>(), [0, 1]);
    assert!(audit.writable());
    drop(audit.intent(Class::Durable, intent()).await.unwrap());
    audit.close();
    assert_eq!(place.verify().unwrap().counts.open, 0);
}

#[tokio::test]
async fn p15_a_sync_that_fails_for_the_tree_stops_admission_too() {
    let place = Place::new();
    let (audit, _) = place.open();
    place.disk.fail_sync.store(true, Ordering::SeqCst);
    let slot = audit.intent(Class::Buffered, intent()).await.unwrap();
    until("the failure", || !audit.writable());
    drop(slot);
    place.disk.fail_sync.store(false, Ordering::SeqCst);
    drop(audit);
    let (_audit, recovery) = place.open();
    assert_eq!(recovery.unknown.len(), 1);
}

#[test]
fn a_log_has_one_owner_at_a_time() {
    let place = Place::new();
    let (audit, _) = place.open();
    let error = Audit::open(place.options()).map(|_| ()).unwrap_err();
    assert!(matches!(error, OpenError::Locked(_)), "{error}");
    audit.close();
    place.open();
}

#[tokio::test]
async fn a_closed_log_takes_nothing_and_keeps_what_was_appended() {
    let place = Place::new();
    let (audit, _) = place.open();
    let slot = audit.intent(Class::Buffered, intent()).await.unwrap();
    audit.close();
    audit.close();
    assert!(audit.intent(Class::Buffered, intent()).await.is_err());
    assert!(audit.intent(Class::Durable, intent()).await.is_err());
    assert_eq!(slot.outcome(outcome()), None);
    let report = place.verify().unwrap();
    assert_eq!((report.size, report.pending, report.open), (1, 0, vec![0]));
}

#[tokio::test]
async fn records_can_be_read_while_they_move_into_the_tree() {
    let place = Place::new();
    let (audit, _) = place.open();
    for number in 0..900_u64 {
        assert_eq!(audit.summary(summary()).unwrap(), number);
        if number % 90 == 0 {
            let all: Vec<u64> = audit.records_from(0).map(|record| record.unwrap().0).collect();
            assert_eq!(all, (0..=number).collect::<Vec<_>>());
            std::thread::sleep(Duration::from_millis(12));
        }
    }
    assert_eq!(audit.records_from(890).count(), 10);
    assert_eq!(audit.records_from(5000).count(), 0);
}

#[tokio::test]
async fn replaced_partial_tiles_and_used_segments_do_not_pile_up() {
    let place = Place::new();
    let (audit, _) = place.open();
    for _ in 0..300 {
        audit.summary(summary()).unwrap();
        std::thread::sleep(Duration::from_millis(1));
    }
    audit.close();
    let partial = crate::support::files(&place.dir().join("tile"))
        .into_iter()
        .filter(|path| path.to_string_lossy().contains(".p/"))
        .count();
    assert_eq!(partial, 3, "an unfinished bundle, tile and level-1 tile");
    for _ in 0..3 {
        place.open().0.close();
    }
    assert!(crate::support::files(&place.dir().join("wal")).len() <= 2);
    assert_eq!(place.verify().unwrap().size, 300);
}

/// A file system of four megabytes, for as long as the value lives.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None` where this user may not mount one.
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(dir.path());
        mount.output().is_ok_and(|output| output.status.success()).then(|| Self(dir))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(self.0.path()).status();
    }
}

/// Where mounting is not allowed, the injected faults above stand for this.
#[tokio::test]
async fn p15_a_real_full_file_system_refuses_intents_lets_calls_finish_and_recovers_alone() {
    let Some(disk) = SmallDisk::mount() else {
        println!("not allowed to mount a small file system");
        return;
    };
    let root = disk.0.path().to_path_buf();
    let dir = root.join("audit");
    let ballast = root.join("ballast");
    let (audit, _) = Audit::open(OpenOptions::new(&dir, root.join("keys"))).unwrap();
    let mut open = vec![audit.intent(Class::Durable, intent()).await.unwrap()];
    let mut fill = File::create(&ballast).unwrap();
    while std::io::Write::write_all(&mut fill, &[1; 4096]).is_ok() {}
    while let Ok(slot) = audit.intent(Class::Durable, intent()).await {
        open.push(slot);
    }
    assert!(!audit.writable());
    let count = open.len() as u64;
    for slot in open {
        slot.attempt(attempt(1));
        assert!(slot.outcome(outcome()).is_some());
    }
    std::thread::sleep(Duration::from_millis(300));
    drop(fill);
    std::fs::remove_file(&ballast).unwrap();
    until("recovery", || audit.writable());
    drop(audit.intent(Class::Durable, intent()).await.unwrap());
    audit.close();
    let report = crate::verify::verify(&dir, None).unwrap();
    assert_eq!((report.counts.outcomes, report.counts.open, report.pending), (count + 1, 0, 0));
    assert_eq!(second::verify(&dir, &report.key), Ok(report.size));
}
