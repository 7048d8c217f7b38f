//! Files and disks that are not as they should be.

use super::*;

/// A closed file with some rows.
fn closed() -> (TempDir, PathBuf) {
    let (folder, path, store) = fresh();
    keep(&store, (0..300).map(|at| entry("a", at, 5)));
    store.close().unwrap();
    (folder, path)
}

fn refused(path: &Path) -> OpenError {
    Sqlite::open(path).expect_err("the file must be refused")
}

#[test]
fn a_file_that_is_no_database_is_refused_as_it_is() {
    let (_folder, path) = closed();
    let mut bytes = fs::read(&path).unwrap();
    bytes[..16].fill(b'x');
    fs::write(&path, &bytes).unwrap();
    let problem = refused(&path);
    assert!(matches!(problem, OpenError::Foreign { .. }), "{problem:?}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn a_damaged_page_is_refused_with_what_to_do() {
    let (_folder, path) = closed();
    let mut bytes = fs::read(&path).unwrap();
    let pages = bytes.len() / 4_096;
    bytes[pages / 2 * 4_096..][..4_096].fill(0xA5);
    fs::write(&path, &bytes).unwrap();
    let problem = refused(&path);
    assert!(matches!(problem, OpenError::Damaged { .. }), "{problem:?}");
    assert!(problem.to_string().contains("restore it from a backup"), "{problem}");
}

#[test]
fn a_truncated_file_is_refused() {
    let (_folder, path) = closed();
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let problem = refused(&path);
    assert!(matches!(problem, OpenError::Damaged { .. }), "{problem:?}");
}

#[test]
fn a_newer_schema_is_refused_with_both_versions() {
    let (_folder, path) = closed();
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    connection.close().unwrap();
    let problem = refused(&path);
    assert!(matches!(problem, OpenError::Newer { found: 99, .. }), "{problem:?}");
    assert!(problem.to_string().contains("99") && problem.to_string().contains("newer Tidegate"), "{problem}");
}

#[test]
fn a_database_of_another_program_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("state.db");
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute_batch("CREATE TABLE theirs (id INTEGER)").unwrap();
    connection.close().unwrap();
    assert!(matches!(refused(&path), OpenError::Foreign { .. }));
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let folder = TempDir::new().unwrap();
    let problem = refused(&folder.path().join("nowhere/state.db"));
    assert!(matches!(problem, OpenError::Io { .. }), "{problem:?}");
    assert!(problem.to_string().contains("nowhere/state.db"), "{problem}");
    assert!(matches!(refused(folder.path()), OpenError::Io { .. }));
}

#[test]
fn the_files_are_readable_by_their_owner_alone() {
    let (_folder, path, store) = fresh();
    keep(&store, [entry("a", 1, 5)]);
    let mode = |suffix| fs::metadata(open::with_suffix(&path, suffix)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(""), mode("-wal"), mode("-shm")), (0o600, 0o600, 0o600));
    store.close().unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let _again = Sqlite::open(&path).unwrap();
    assert_eq!(mode(""), 0o600);
}

#[test]
fn a_full_disk_is_an_error_and_money_waits_until_there_is_room() {
    let (_folder, _path, store) = fresh();
    fill_disk(&store);
    let entries: Vec<Entry> = (0..600).map(|at| entry("a", at, 5)).collect();
    for entry in entries.clone() {
        LedgerStore::record(&store, entry);
    }
    let problem = LedgerStore::flush(&store).unwrap_err();
    assert!(problem.to_string().contains("full"), "{problem}");
    assert!(store.standing().failing);
    free_disk(&store);
    LedgerStore::flush(&store).unwrap();
    assert_eq!(loaded(&store, 0), entries.into_iter().map(|entry| (entry.call, entry)).collect());
    assert_eq!(store.standing(), Standing::default());
}

#[test]
fn a_full_disk_refuses_a_key_and_keeps_none() {
    let (_folder, _path, store) = fresh();
    fill_disk(&store);
    let mut refusals = 0;
    for seed in 0..200 {
        match store.insert(&key("default", &format!("{seed}-{}", "n".repeat(200)), seed)) {
            Ok(()) => {}
            Err(KeyStoreError::Unavailable(why)) => {
                assert!(why.contains("full"), "{why}");
                refusals += 1;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(refusals > 0);
    assert_eq!(KeyStore::all(&store).unwrap().len(), 200 - refusals);
}

#[test]
fn a_row_that_makes_no_sense_is_an_error_without_its_content() {
    let (_folder, _path, store) = fresh();
    keep(&store, [entry("a", 1, 5)]);
    keep_calls(&store, [call("default", Some("a"), 1, None)]);
    store.insert(&key("default", "a", 1)).unwrap();
    let spoil = "UPDATE call_batch SET calls = CAST('{\"canary\": 1}' AS BLOB); UPDATE entry SET kind = 'canary', cost = -1; \
         UPDATE api_key SET rules = 'canary';";
    store.core.writing.lock().connection.as_ref().unwrap().execute_batch(spoil).unwrap();
    let spend = SpendQuery { by: SpendBy::Key, from: UnixMillis(0), to: UnixMillis(9) };
    let problems = [
        CallIndex::list(&store, &"default".into(), &everything()).unwrap_err().to_string(),
        store.load(UnixMillis(0)).unwrap_err().to_string(),
        store.spend(spend).unwrap_err().to_string(),
        KeyStore::all(&store).unwrap_err().to_string(),
    ];
    for problem in problems {
        assert!(problem.contains("damaged") && !problem.contains("canary"), "{problem}");
    }
}

#[test]
fn a_file_of_the_first_version_is_brought_up_to_date_with_what_it_holds() {
    let (folder, kept, told) = (TempDir::new().unwrap(), key("default", "a", 1), call("default", Some("a"), 7, None));
    let path = folder.path().join("state.db");
    let first = rusqlite::Connection::open(&path).unwrap();
    first.execute_batch(schema::FIRST).unwrap();
    first
        .execute_batch(&format!("PRAGMA application_id = {}; PRAGMA user_version = 1;", schema::APPLICATION_ID))
        .unwrap();
    let summary = serde_json::to_string(&told).unwrap();
    let values = (told.id.to_string(), "default", 7, "a", summary);
    first.execute("INSERT INTO call (id, org, at, key, summary) VALUES (?1, ?2, ?3, ?4, ?5)", values).unwrap();
    first.close().unwrap();
    let store = Sqlite::open(&path).unwrap();
    store.insert(&kept).unwrap();
    assert_eq!(KeyStore::all(&store).unwrap(), [kept]);
    assert_eq!(CallIndex::list(&store, &"default".into(), &everything()).unwrap(), std::slice::from_ref(&told));
    assert_eq!(CallIndex::get(&store, &"default".into(), told.id).unwrap(), Some(told));
    let pins = [pin("notes", "search", 1)];
    assert_eq!(store.pin(&pins).unwrap(), pins);
    store.close().unwrap();
    let connection = rusqlite::Connection::open(&path).unwrap();
    assert_eq!(schema::version(&connection).unwrap(), schema::newest());
    connection.close().unwrap();
    assert_eq!(PinStore::all(&Sqlite::open(&path).unwrap()).unwrap(), pins);
}

#[test]
fn summaries_of_older_files_are_read_and_those_of_newer_formats_left_out() {
    let (_folder, _path, store) = fresh();
    let (old, new) = (call("default", Some("a"), 1, None), call("default", Some("a"), 2, None));
    keep_calls(&store, [old.clone()]);
    keep_calls(&store, [new.clone()]);
    let json = serde_json::to_vec(&old).unwrap();
    let writing = store.core.writing.lock();
    let connection = writing.connection.as_ref().unwrap();
    let spoil = "UPDATE call_batch SET calls = ?1 WHERE first_id = ?2";
    connection.execute(spoil, (json, old.id.as_bytes())).unwrap();
    connection.execute(spoil, ([0xff_u8, 0], new.id.as_bytes())).unwrap();
    drop(writing);
    assert_eq!(CallIndex::list(&store, &"default".into(), &everything()).unwrap(), std::slice::from_ref(&old));
    assert_eq!(CallIndex::get(&store, &"default".into(), old.id).unwrap(), Some(old));
    assert_eq!(CallIndex::get(&store, &"default".into(), new.id).unwrap(), None);
}
