//! Files, batches and what was made at providers. Only for tests.

use tidegate_core::{
    batches::{
        BatchEndpoint, BatchId, BatchMoments, BatchStatus, Content, FileId, Maker, Owner, Page, StoredBatch, StoredFile,
    },
    clock::UnixMillis,
    made::Made,
};

use super::Engine;

fn owner(name: &str) -> Owner {
    Owner { org: "default".into(), name: name.into() }
}

fn file(whose: &str, content: Content, expires: u64) -> StoredFile {
    StoredFile {
        id: FileId::new(),
        owner: owner(whose),
        name: "lines.jsonl".to_owned(),
        bytes: 7,
        created: UnixMillis(1),
        expires: UnixMillis(expires),
        content,
    }
}

fn batch(whose: &str, input: FileId, status: BatchStatus) -> StoredBatch {
    StoredBatch {
        id: BatchId::new(),
        owner: owner(whose),
        maker: Maker {
            org: "default".into(),
            key: "abcd0123".parse().unwrap(),
            key_name: "k".into(),
            team: None,
            key_created: UnixMillis(1),
            address: [127, 0, 0, 1].into(),
        },
        session: None,
        labels: Some("{}".into()),
        input,
        endpoint: BatchEndpoint::Chat,
        metadata: Some([("a".to_owned(), "b".to_owned())].into()),
        status,
        total: 3,
        completed: 1,
        failed: 0,
        output: None,
        error: None,
        errors: Vec::new(),
        created: UnixMillis(5),
        expires: UnixMillis(9),
        moments: BatchMoments { in_progress: Some(UnixMillis(6)), ..BatchMoments::default() },
    }
}

fn page<Id>(most: usize, newest_first: bool, after: Option<Id>) -> Page<Id> {
    Page { after, most, newest_first }
}

pub(super) fn files_and_batches_are_their_owners_alone(store: &impl Engine) {
    let (mine, other) = (file("team/a", Content::Uploaded, 100), file("key/a", Content::Uploaded, 100));
    let running = batch("team/a", mine.id, BatchStatus::InProgress);
    store.keep(Some(&running), &[mine.clone(), other.clone()]).unwrap();
    assert_eq!(store.file(&mine.owner, mine.id).unwrap(), Some(mine.clone()));
    assert_eq!(store.file(&mine.owner, other.id).unwrap(), None);
    assert_eq!(store.batch(&mine.owner, running.id).unwrap(), Some(running.clone()));
    assert_eq!(store.batch(&other.owner, running.id).unwrap(), None);
    assert_eq!(store.batches(&other.owner, page(10, true, None)).unwrap(), []);
    let elsewhere = Owner { org: "other".into(), name: "team/a".into() };
    assert_eq!(store.file(&elsewhere, mine.id).unwrap(), None);
    assert_eq!(store.bytes().unwrap(), 14);
    assert_eq!(store.unended().unwrap(), std::slice::from_ref(&running));
    let ended = StoredBatch { status: BatchStatus::Completed, completed: 3, ..running };
    store.keep(Some(&ended), &[]).unwrap();
    assert_eq!(store.unended().unwrap(), []);
    assert_eq!(store.batch(&mine.owner, ended.id).unwrap(), Some(ended));
}

pub(super) fn files_are_listed_in_order_and_by_the_page(store: &impl Engine) {
    let mut files: Vec<StoredFile> = (0..5).map(|at| file("key/a", Content::Uploaded, 100 + at)).collect();
    files.sort_by_key(|file| file.id);
    store.keep(None, &files).unwrap();
    let whose = owner("key/a");
    assert_eq!(store.files(&whose, page(10, false, None)).unwrap(), files);
    let newest = store.files(&whose, page(2, true, None)).unwrap();
    assert_eq!(newest, [files[4].clone(), files[3].clone()]);
    let next = store.files(&whose, page(2, true, Some(files[3].id))).unwrap();
    assert_eq!(next, [files[2].clone(), files[1].clone()]);
    assert_eq!(store.files(&whose, page(9, false, Some(files[3].id))).unwrap(), [files[4].clone()]);
    let over = store.over(UnixMillis(101)).unwrap();
    assert_eq!(over.len(), 2);
    assert!(store.has_file(files[0].id).unwrap() && !store.has_file(FileId::new()).unwrap());
    assert!(store.forget_file(files[0].id).unwrap());
    assert!(!store.has_file(files[0].id).unwrap());
    assert!(!store.forget_file(files[0].id).unwrap());
    assert_eq!(store.bytes().unwrap(), 28);
}

pub(super) fn a_batch_is_forgotten_when_it_has_ended_and_its_files_are_gone(store: &impl Engine) {
    let ended = batch("key/a", FileId::new(), BatchStatus::Completed);
    let running = batch("key/a", FileId::new(), BatchStatus::InProgress);
    let answers = file("key/a", Content::Answers(ended.id), 100);
    store.keep(Some(&ended), std::slice::from_ref(&answers)).unwrap();
    store.keep(Some(&running), &[]).unwrap();
    assert_eq!(store.forget_batches(UnixMillis(6)).unwrap(), 0);
    store.forget_file(answers.id).unwrap();
    assert_eq!(store.forget_batches(UnixMillis(5)).unwrap(), 0);
    assert_eq!(store.forget_batches(UnixMillis(6)).unwrap(), 1);
    assert_eq!(store.batches(&running.owner, page(10, true, None)).unwrap(), [running]);
}

pub(super) fn what_was_made_comes_back_newest_last_and_bounded(store: &impl Engine) {
    let made = |provider: &str| Made { provider: provider.into(), maker: None, results: None };
    for (path, provider) in [("files/1", "a"), ("files/2", "b"), ("files/1", "c"), ("batches/3", "d")] {
        store.note_made(path, &made(provider), 3).unwrap();
    }
    let paths = |most: usize| -> Vec<(String, String)> {
        let newest = store.newest_made(most).unwrap().into_iter();
        newest.map(|(path, made)| (path, made.provider.to_string())).collect()
    };
    let told = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(path, provider)| ((*path).to_owned(), (*provider).to_owned())).collect()
    };
    assert_eq!(paths(9), told(&[("files/2", "b"), ("files/1", "c"), ("batches/3", "d")]));
    assert_eq!(paths(1), told(&[("batches/3", "d")]));
    store.forget_made("files/1").unwrap();
    for number in 0..4 {
        store.note_made(&format!("files/n{number}"), &made("z"), 3).unwrap();
    }
    assert!(paths(9).len() <= 3);
}
