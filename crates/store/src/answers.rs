//! Answers that are given again to the same question: a folder of encrypted files.
//!
//! Owns the folder. A file is one sealed answer, bound to the name that its question gives it, so that one that stands in
//! another's place does not open; its time of change is the time at which it may go. Nothing is synced: what is lost is
//! asked for again. One thread writes and trims; any may read. Every call blocks on the disk.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

use tidegate_audit::seal::{SEAL, SealError, Sealer};
use tidegate_core::{clock::UnixMillis, ids::Digest};

/// The least that a file counts for, in bytes: it takes a block and a place in its folder.
const BLOCK: u64 = 4_096;

/// How a file is called that is being written.
const DRAFT: &str = "new";

/// Why an answer could not be kept or given back.
#[derive(Debug, thiserror::Error)]
pub enum AnswerFileError {
    /// The file system said no.
    #[error("the answer {path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It could not be encrypted, or does not open.
    #[error("the answer {name}: {source}")]
    Seal {
        /// Its name.
        name: Digest,
        /// What is wrong.
        source: SealError,
    },
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> AnswerFileError {
    let path = path.to_owned();
    move |source| AnswerFileError::Io { path, source }
}

/// The folder. It is made with its first answer, with mode 0700.
#[derive(Debug)]
pub struct AnswerFiles {
    folder: PathBuf,
    sealer: Sealer,
}

impl AnswerFiles {
    /// The answers in `folder`, without touching it.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>, sealer: Sealer) -> Self {
        Self { folder: folder.into(), sealer }
    }

    fn path(&self, name: &Digest) -> PathBuf {
        self.folder.join(name.short(2)).join(name.to_string())
    }

    /// How many bytes of the folder's bound an answer of `length` bytes takes.
    #[must_use]
    pub fn takes(length: usize) -> u64 {
        counted(u64::try_from(length.saturating_add(SEAL)).unwrap_or(u64::MAX))
    }

    /// Keeps `answer` under `name`, in the place of what was there, until about `until`.
    ///
    /// # Errors
    /// Where the file cannot be written; what was there stays.
    pub fn put(&self, name: &Digest, answer: &[u8], until: UnixMillis) -> Result<(), AnswerFileError> {
        let sealed = self.sealer.seal(&place(name), answer);
        let sealed = sealed.map_err(|source| AnswerFileError::Seal { name: *name, source })?;
        let path = self.path(name);
        let folder = path.parent().unwrap_or(&self.folder);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed(folder))?;
        let draft = path.with_extension(DRAFT);
        let until = UNIX_EPOCH.checked_add(Duration::from_millis(until.0)).unwrap_or(UNIX_EPOCH);
        let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft);
        let written = opened
            .and_then(|mut to| to.write_all(&sealed).and_then(|()| to.set_modified(until)))
            .and_then(|()| fs::rename(&draft, &path));
        if written.is_err() {
            // What is left of it would only take space; the next trim takes it too.
            let _ = fs::remove_file(&draft);
        }
        written.map_err(failed(&path))
    }

    /// What is kept under `name`; `None` where there is nothing, or more than `most` bytes.
    ///
    /// # Errors
    /// Where the file cannot be read, or is not what was kept under this name.
    pub fn get(&self, name: &Digest, most: usize) -> Result<Option<Vec<u8>>, AnswerFileError> {
        let path = self.path(name);
        let file = match fs::File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(&path)(error)),
        };
        let limit = most.saturating_add(SEAL);
        let mut sealed = Vec::new();
        let bound = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        file.take(bound).read_to_end(&mut sealed).map_err(failed(&path))?;
        if sealed.len() > limit {
            return Ok(None);
        }
        let opened = self.sealer.open(&place(name), &sealed);
        opened.map(Some).map_err(|source| AnswerFileError::Seal { name: *name, source })
    }

    /// Erases what is past its time as of `now`, and what a write left half made. Where the rest and `room` are more than
    /// `most` bytes, also erases what goes soonest, until a tenth of `most` is free and `room` fits. Gives the bytes that
    /// stay.
    ///
    /// # Errors
    /// Where the folder cannot be read, or a file not be erased.
    pub fn trim(&self, most: u64, room: u64, now: UnixMillis) -> Result<u64, AnswerFileError> {
        let (mut files, mut sum) = (Vec::new(), 0_u64);
        for path in listed(&self.folder)?.into_iter().filter(|path| path.is_dir()) {
            for path in listed(&path)? {
                let about = match fs::symlink_metadata(&path) {
                    Ok(about) => about,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(failed(&path)(error)),
                };
                let until = about.modified().ok().and_then(|until| until.duration_since(UNIX_EPOCH).ok());
                let until = until.unwrap_or_default();
                let draft = path.extension().is_some_and(|extension| extension == DRAFT);
                if draft || until <= Duration::from_millis(now.0) {
                    erase(&path)?;
                } else {
                    let bytes = counted(about.len());
                    sum = sum.saturating_add(bytes);
                    files.push((until, bytes, path));
                }
            }
        }
        if sum.saturating_add(room) > most {
            let goal = most.saturating_sub(room.max(most / 10));
            files.sort_unstable_by_key(|(until, ..)| *until);
            for (_, bytes, path) in files {
                if sum <= goal {
                    break;
                }
                erase(&path)?;
                sum = sum.saturating_sub(bytes);
            }
        }
        Ok(sum)
    }
}

/// What seals an answer to its name.
fn place(name: &Digest) -> Vec<u8> {
    format!("answer\n{name}").into_bytes()
}

fn counted(bytes: u64) -> u64 {
    bytes.max(BLOCK)
}

/// What is in a folder; nothing where there is none.
fn listed(folder: &Path) -> Result<Vec<PathBuf>, AnswerFileError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(folder)(error)),
    };
    entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<_>>().map_err(failed(folder))
}

fn erase(path: &Path) -> Result<(), AnswerFileError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(root: &tempfile::TempDir) -> AnswerFiles {
        AnswerFiles::new(root.path().join("answers"), Sealer::of(&[5; 32]))
    }

    const LATER: UnixMillis = UnixMillis(4_000_000_000_000);

    #[test]
    fn what_is_kept_opens_under_its_own_name_alone_and_damage_is_found() {
        let root = tempfile::tempdir().unwrap();
        let (one, other) = (Digest::of(b"one"), Digest::of(b"other"));
        let answers = files(&root);
        assert_eq!(answers.trim(0, 0, LATER).unwrap(), 0, "there is no folder yet");
        assert!(answers.get(&one, 100).unwrap().is_none());
        answers.put(&one, b"an answer", LATER).unwrap();
        assert_eq!(answers.get(&one, 100).unwrap().unwrap(), b"an answer");
        assert_eq!(answers.get(&one, 9).unwrap().unwrap(), b"an answer");
        assert!(answers.get(&one, 8).unwrap().is_none(), "larger than was asked for");
        assert!(answers.get(&other, 100).unwrap().is_none());
        assert!(files(&root).get(&one, 100).unwrap().is_some(), "another process reads it");
        let raw = fs::read(answers.path(&one)).unwrap();
        assert!(!raw.windows(6).any(|six| six == b"answer"), "it is encrypted");
        fs::create_dir_all(answers.path(&other).parent().unwrap()).unwrap();
        fs::copy(answers.path(&one), answers.path(&other)).unwrap();
        assert!(answers.get(&other, 100).is_err(), "in the place of another");
        for at in 0..raw.len() {
            let mut changed = raw.clone();
            changed[at] ^= 1;
            fs::write(answers.path(&one), &changed).unwrap();
            assert!(answers.get(&one, 100).is_err(), "byte {at}");
            fs::write(answers.path(&one), &raw[..at]).unwrap();
            assert!(answers.get(&one, 100).is_err(), "{at} bytes");
        }
        answers.put(&one, b"a new answer", LATER).unwrap();
        assert_eq!(answers.get(&one, 100).unwrap().unwrap(), b"a new answer");
    }

    #[test]
    fn what_is_past_its_time_goes_and_what_goes_soonest_makes_room() {
        let root = tempfile::tempdir().unwrap();
        let answers = files(&root);
        let name = |at: u64| Digest::of(&at.to_be_bytes());
        for at in 0..10 {
            answers.put(&name(at), &[7; 100], UnixMillis(1_000_000 + at * 1_000)).unwrap();
        }
        let there = || (0..10).filter(|at| answers.get(&name(*at), 1_000).unwrap().is_some()).collect::<Vec<_>>();
        let draft = answers.path(&name(9)).with_extension(DRAFT);
        fs::write(&draft, b"half").unwrap();
        assert_eq!(answers.trim(1 << 20, 0, UnixMillis(1_001_500)).unwrap(), 8 * BLOCK);
        assert_eq!(there(), (2..10).collect::<Vec<_>>());
        assert!(!draft.exists(), "what was left half made");
        assert_eq!(answers.trim(5 * BLOCK, 0, UnixMillis(0)).unwrap(), 4 * BLOCK);
        assert_eq!(there(), [6, 7, 8, 9]);
        assert_eq!(answers.trim(5 * BLOCK, BLOCK, UnixMillis(0)).unwrap(), 4 * BLOCK, "there is room");
        assert_eq!(answers.trim(5 * BLOCK, 3 * BLOCK, UnixMillis(0)).unwrap(), 2 * BLOCK);
        assert_eq!(there(), [8, 9]);
        assert_eq!(AnswerFiles::takes(100), BLOCK);
        assert_eq!(AnswerFiles::takes(8_192), 8_192 + 32);
    }
}
