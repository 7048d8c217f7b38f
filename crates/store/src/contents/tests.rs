use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;

use super::*;

fn contents() -> (TempDir, Contents) {
    let folder = TempDir::new().unwrap();
    let contents = Contents::open(folder.path().join("files"), Sealer::of(&[3; 32])).unwrap();
    (folder, contents)
}

fn whole(mut pieces: Box<dyn Pieces>) -> Result<Vec<u8>, BatchStoreError> {
    let mut all = Vec::new();
    while let Some(piece) = pieces.next()? {
        all.extend(piece);
    }
    Ok(all)
}

fn note(line: u32, state: LineState, text: &str) -> LineNote {
    LineNote { line, state, text: text.as_bytes().to_vec() }
}

#[test]
fn a_file_comes_back_as_it_was_written_and_lies_there_encrypted() {
    let (_folder, contents) = contents();
    let id = FileId::new();
    let mut draft = contents.draft(id).unwrap();
    draft.add(b"what nobody ").unwrap();
    draft.add(b"else reads").unwrap();
    assert!(contents.uploaded(id).is_err(), "what is not finished is no file");
    draft.finish().unwrap();
    assert_eq!(whole(contents.uploaded(id).unwrap()).unwrap(), b"what nobody else reads");
    let path = contents.file(id);
    assert!(!fs::read(&path).unwrap().windows(6).any(|part| part == b"nobody"));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    contents.erase(id).unwrap();
    contents.erase(id).unwrap();
    assert!(contents.uploaded(id).is_err());
}

#[test]
fn a_file_that_was_changed_or_cut_is_refused() {
    let (_folder, contents) = contents();
    let id = FileId::new();
    let mut draft = contents.draft(id).unwrap();
    draft.add(b"one").unwrap();
    draft.add(b"two").unwrap();
    draft.finish().unwrap();
    let bytes = fs::read(contents.file(id)).unwrap();
    for at in 0..bytes.len() {
        let mut other = bytes.clone();
        other[at] ^= 1;
        fs::write(contents.file(id), other).unwrap();
        assert!(whole(contents.uploaded(id).unwrap()).is_err(), "{at}");
        fs::write(contents.file(id), &bytes[..at]).unwrap();
        assert!(whole(contents.uploaded(id).unwrap()).is_err(), "cut at {at}");
    }
}

#[test]
fn a_draft_that_is_dropped_leaves_nothing_and_a_start_tidies_up() {
    let (_folder, contents) = contents();
    let (kept, unknown) = (FileId::new(), FileId::new());
    for id in [kept, unknown] {
        contents.draft(id).unwrap().finish().unwrap();
    }
    drop(contents.draft(FileId::new()).unwrap());
    fs::write(contents.folder.join(format!("{}.new", FileId::new())), b"half").unwrap();
    fs::write(contents.folder.join("notes.txt"), b"somebody's").unwrap();
    contents.tidy(&|id| id == kept).unwrap();
    let mut names: Vec<String> = fs::read_dir(&contents.folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, [kept.to_string(), "notes.txt".to_owned()]);
}

#[test]
fn a_log_gives_back_what_was_noted_wherever_it_was_cut() {
    let (_folder, contents) = contents();
    let batch = BatchId::new();
    let (mut log, notes) = contents.log(batch).unwrap();
    assert!(notes.is_empty());
    log.add(&[note(1, LineState::Begun, ""), note(2, LineState::Begun, "")]).unwrap();
    log.add(&[note(2, LineState::Answered, "{two}")]).unwrap();
    log.add(&[note(1, LineState::Failed, "{one}"), note(3, LineState::Answered, "{three}")]).unwrap();
    assert_eq!(whole(contents.lines(batch, LineState::Answered).unwrap()).unwrap(), b"{two}\n{three}\n");
    assert_eq!(whole(contents.lines(batch, LineState::Failed).unwrap()).unwrap(), b"{one}\n");
    drop(log);
    let bytes = fs::read(contents.lines_of(batch)).unwrap();
    let mut most = 0;
    for cut in 0..=bytes.len() {
        fs::write(contents.lines_of(batch), &bytes[..cut]).unwrap();
        let (mut log, notes) = contents.log(batch).unwrap();
        assert!(notes.len() >= most && notes.len() <= 5, "cut at {cut}: {notes:?}");
        most = notes.len();
        // What is added behind a cut is there, and what stood before it.
        log.add(&[note(9, LineState::Answered, "{nine}")]).unwrap();
        drop(log);
        assert_eq!(contents.log(batch).unwrap().1.len(), most + 1, "cut at {cut}");
    }
    assert_eq!(most, 5);
}

#[test]
fn a_note_that_was_changed_before_the_last_is_damage_and_no_torn_end() {
    let (_folder, contents) = contents();
    let batch = BatchId::new();
    let (mut log, _) = contents.log(batch).unwrap();
    log.add(&[note(1, LineState::Answered, "{one}"), note(2, LineState::Answered, "{two}")]).unwrap();
    let bytes = fs::read(contents.lines_of(batch)).unwrap();
    let mut other = bytes.clone();
    other[HEAD + 3] ^= 1;
    fs::write(contents.lines_of(batch), other).unwrap();
    assert!(contents.log(batch).is_err());
}
