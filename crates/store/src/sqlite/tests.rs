use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use proptest::prelude::*;
use tempfile::TempDir;
use tidegate_config::{
    identity::{KeyStore, KeyStoreError},
    pins::PinStore,
};
use tidegate_core::{
    calls::{CallIndex, CallQuery, CallSummary},
    clock::{UnixMillis, now},
    money::NanoUsd,
};
use tidegate_ledger::{Entry, EntryKind, LedgerStore, Scope, ScopeKind, SpendBy, SpendQuery, ports::summarize};

use super::*;
use crate::{
    Memory,
    conformance::{
        balances, keep, keep_calls, loaded,
        samples::{call, entry, key, pin},
    },
};

mod damage;
mod spend;

fn fresh() -> (TempDir, PathBuf, Sqlite) {
    fresh_with(Limits::default())
}

fn fresh_with(limits: Limits) -> (TempDir, PathBuf, Sqlite) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("state.db");
    let store = Sqlite::open_with(&path, limits).unwrap();
    (folder, path, store)
}

/// What a disk would hold if the process ended now.
fn crashed(path: &Path) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    for suffix in ["", "-wal"] {
        let from = open::with_suffix(path, suffix);
        fs::copy(&from, folder.path().join(from.file_name().unwrap())).unwrap();
    }
    let path = folder.path().join(path.file_name().unwrap());
    (folder, path)
}

/// Lets the file grow by no page more, as a full disk would; gives how to free it again.
fn fill_disk(store: &Sqlite) {
    let writing = store.core.writing.lock();
    let connection = writing.connection.as_ref().unwrap();
    let pages: i64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    let _: i64 = connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |row| row.get(0)).unwrap();
}

fn free_disk(store: &Sqlite) {
    let writing = store.core.writing.lock();
    let connection = writing.connection.as_ref().unwrap();
    let _: i64 = connection.query_row("PRAGMA max_page_count = 1000000", [], |row| row.get(0)).unwrap();
}

fn everything() -> CallQuery {
    CallQuery { most: 1_000, ..CallQuery::default() }
}

#[test]
fn the_library_is_new_enough() {
    let version: Vec<u32> = sqlite_version().split('.').map(|part| part.parse().unwrap()).collect();
    assert!(version >= vec![3, 51, 3], "{version:?}");
}

#[test]
fn what_was_flushed_survives_a_crash() {
    let (_folder, path, store) = fresh();
    let entries: Vec<Entry> = (0..1_200).map(|at| entry("a", at, 5)).collect();
    keep(&store, entries.clone());
    keep_calls(&store, [call("default", Some("a"), 1, None)]);
    let (_copy, path) = crashed(&path);
    let after = Sqlite::open(path).unwrap();
    assert_eq!(loaded(&after, 0), entries.into_iter().map(|entry| (entry.call, entry)).collect());
    assert_eq!(CallIndex::list(&after, &"default".into(), &everything()).unwrap().len(), 1);
}

#[test]
fn a_key_survives_a_crash_as_soon_as_its_change_returned() {
    let (_folder, path, store) = fresh();
    let mut key = key("default", "a", 1);
    store.insert(&key).unwrap();
    let (_copy, copied) = crashed(&path);
    assert_eq!(KeyStore::all(&Sqlite::open(copied).unwrap()).unwrap(), [key.clone()]);
    store.revoke(&key.org, key.id, UnixMillis(5)).unwrap();
    key.revoked = Some(UnixMillis(5));
    let (_copy, copied) = crashed(&path);
    assert_eq!(KeyStore::all(&Sqlite::open(copied).unwrap()).unwrap(), [key]);
}

#[test]
fn keys_wait_for_the_disk_and_write_behind_does_not() {
    let (_folder, _path, store) = fresh();
    let level =
        |connection: &rusqlite::Connection| connection.query_row("PRAGMA synchronous", [], |row| row.get::<_, i64>(0));
    assert_eq!(store.core.durably(level).unwrap(), 2);
    assert_eq!(level(store.core.writing.lock().connection.as_ref().unwrap()).unwrap(), 1);
}

#[test]
fn closing_writes_what_waits_and_leaves_one_file() {
    let (_folder, path, store) = fresh();
    LedgerStore::record(&store, entry("a", 1, 5));
    CallIndex::record(&store, call("default", Some("a"), 1, None));
    // A reader that is idle must not keep the file open.
    assert!(loaded(&store, 0).len() <= 1);
    store.close().unwrap();
    store.close().unwrap();
    assert!(!open::with_suffix(&path, "-wal").exists());
    let after = Sqlite::open(&path).unwrap();
    assert_eq!(loaded(&after, 0).len(), 1);
    assert_eq!(CallIndex::list(&after, &"default".into(), &everything()).unwrap().len(), 1);
}

#[test]
fn after_closing_nothing_is_taken_and_the_loss_is_told() {
    let (_folder, _path, store) = fresh();
    store.close().unwrap();
    LedgerStore::record(&store, entry("a", 1, 5));
    CallIndex::record(&store, call("default", Some("a"), 1, None));
    assert_eq!((store.standing().entries_lost, store.standing().calls_dropped), (1, 1));
    assert!(LedgerStore::flush(&store).is_err());
    assert!(store.load(UnixMillis(0)).is_err());
    assert!(matches!(store.insert(&key("default", "a", 1)), Err(KeyStoreError::Unavailable(_))));
}

#[test]
fn what_is_recorded_is_written_without_a_flush() {
    let (_folder, _path, store) = fresh();
    LedgerStore::record(&store, entry("a", 1, 5));
    let start = now();
    while loaded(&store, 0).is_empty() {
        assert!(start.elapsed() < Duration::from_secs(5), "nothing was written behind");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn many_threads_record_change_keys_and_read_at_once() {
    let (_folder, _path, store) = fresh();
    std::thread::scope(|scope| {
        for thread in 0..6_u32 {
            let store = &store;
            scope.spawn(move || {
                for number in 0..200 {
                    LedgerStore::record(store, entry("a", u64::from(number), 1));
                    CallIndex::record(store, call("default", Some("a"), u64::from(number), None));
                    if number % 50 == 0 {
                        store.insert(&key("default", &format!("{thread}-{number}"), thread * 1_000 + number)).unwrap();
                        let _ = loaded(store, 0);
                        CallIndex::flush(store).unwrap();
                    }
                }
                LedgerStore::flush(store).unwrap();
            });
        }
    });
    assert_eq!(loaded(&store, 0).len(), 1_200);
    assert_eq!(CallIndex::list(&store, &"default".into(), &everything()).unwrap().len(), 1_000);
    assert_eq!(KeyStore::all(&store).unwrap().len(), 24);
    assert_eq!(balances(&store, 1_000)[&Scope::new(ScopeKind::Key, "a")], NanoUsd(2_400));
}

#[test]
fn past_the_cap_entries_are_written_inline_and_none_is_lost() {
    // Room for a dozen, and the last resort for four dozen: far fewer than are recorded before the thread wakes.
    let (_folder, _path, store) = fresh_with(Limits { entry_bytes: 4_096, ..Limits::default() });
    for at in 0..300 {
        LedgerStore::record(&store, entry("a", at, 5));
        assert!(store.standing().entries_waiting <= 16);
    }
    LedgerStore::flush(&store).unwrap();
    assert_eq!((loaded(&store, 0).len(), store.standing().entries_lost), (300, 0));
}

#[test]
fn only_the_newest_calls_are_kept() {
    let (_folder, _path, store) = fresh_with(Limits { calls_kept: 30, ..Limits::default() });
    for round in 0..10 {
        keep_calls(&store, (0..10).map(|at| call("default", Some("a"), round * 10 + at, None)));
    }
    let left = CallIndex::list(&store, &"default".into(), &everything()).unwrap();
    assert_eq!(left.iter().map(|call| call.at.0).collect::<Vec<_>>(), (70..100).rev().collect::<Vec<_>>());
}

#[test]
fn lists_and_look_ups_of_calls_use_an_index() {
    let (_folder, _path, store) = fresh();
    let writing = store.core.writing.lock();
    let connection = writing.connection.as_ref().unwrap();
    for sql in [calls::LIST, calls::GET] {
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let plan: Vec<String> = statement.query_map([1], |row| row.get(3)).unwrap().map(Result::unwrap).collect();
        assert!(plan[0].contains("USING INDEX call_batch_"), "{sql}: {plan:?}");
    }
}

#[test]
fn long_calls_are_listed_in_order_whichever_batch_they_ended_in() {
    let (_folder, _path, store) = fresh();
    // In every batch one call that came in long before the others; three of them are recorded again.
    let at = |round: u64, place: u64| if place == 0 { round } else { 1_000 + round * 10 + place };
    let all: Vec<Vec<_>> = (0..20)
        .map(|round| (0..10).map(|place| call("default", Some("a"), at(round, place), None)).collect())
        .collect();
    for batch in &all {
        keep_calls(&store, batch.clone());
    }
    for (round, place) in [(3, 0), (4, 5), (19, 9)] {
        keep_calls(&store, [CallSummary { error: Some("timeout".into()), ..all[round][place].clone() }]);
    }
    let mut expected: Vec<u64> = all.iter().flatten().map(|call| call.at.0).collect();
    expected.sort_unstable_by(|left, right| right.cmp(left));
    let list = |query| -> Vec<u64> {
        CallIndex::list(&store, &"default".into(), &query).unwrap().iter().map(|call| call.at.0).collect()
    };
    for most in [1, 2, 9, 10, 11, 55, 180, 181, 190, 500] {
        assert_eq!(list(CallQuery { most, ..CallQuery::default() }), expected[..most.min(200)], "{most}");
    }
    let failed = CallQuery { most: 10, error: Some("any".into()), ..CallQuery::default() };
    assert_eq!(list(failed), [at(19, 9), at(4, 5), at(3, 0)]);
    let earlier = CallQuery { most: 3, before: Some(UnixMillis(1_000)), ..CallQuery::default() };
    assert_eq!(list(earlier), [19, 18, 17]);
    let again = CallIndex::get(&store, &"default".into(), all[4][5].id).unwrap().unwrap();
    assert_eq!(again.error.as_deref(), Some("timeout"));
}

/// Rows leave names out: what stands in an older row has to be read, and what is told apart has to come back.
#[test]
fn usage_in_rows_of_before_is_read_and_what_is_told_apart_comes_back() {
    use tidegate_core::{
        unit::{Picture, Unit, Units, Word},
        usage::{Service, Usage, UsageSource},
    };
    let before = [3, 4, 5, 6, 7, 2, 0];
    let plain = Usage {
        input: 3,
        cache_read: 4,
        cache_write_5m: 5,
        cache_write_1h: 6,
        output: 7,
        reasoning: 2,
        source: UsageSource::Vendor,
        ..Usage::default()
    };
    assert_eq!(postcard::from_bytes::<Usage>(&before).unwrap(), plain);
    assert_eq!(postcard::to_allocvec(&plain).unwrap(), before);
    for service in [None, Some(Service::Flex)] {
        for source in [UsageSource::Vendor, UsageSource::Estimated] {
            let apart = Usage { audio_input: 1, image_output: 6, service, source, ..plain };
            let bytes = postcard::to_allocvec(&apart).unwrap();
            assert_eq!(postcard::from_bytes::<Usage>(&bytes).unwrap(), apart);
            let picture = Picture { size: Word::new("1024x1792"), ..Picture::default() };
            let beside = Usage { units: Units::of(Unit::Image, 3), picture, ..apart };
            let bytes = postcard::to_allocvec(&beside).unwrap();
            assert_eq!(postcard::from_bytes::<Usage>(&bytes).unwrap(), beside);
        }
    }
}
