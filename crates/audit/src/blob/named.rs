//! Encrypted files under names that their owners give them, each with a time at which it may go.
//!
//! Owns the form of such a file: that of a blob, whose seal holds its name too, so that one that stands in another's place
//! does not open. Nothing here is synced: what is lost is what its owner can do without. Every call blocks on the disk.

use std::{
    fs, io,
    io::{Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::PathBuf,
    time::{Duration, UNIX_EPOCH},
};

use aws_lc_rs::aead::{Aad, Nonce};
use tidegate_core::{clock::UnixMillis, ids::Digest};
use zeroize::Zeroizing;

use super::{BlobError, Blobs, SALT, TAG, VERSION, failed};

/// The least that a file counts for, in bytes: it takes a block and a place in its folder.
const BLOCK: u64 = 4_096;
/// A draft of such an age is one whose writer is gone.
const LEFT_BEHIND: Duration = Duration::from_secs(600);

impl Blobs {
    /// Keeps `body` under `name`, in the place of what was there, until about `until`.
    ///
    /// # Errors
    /// Where the file cannot be written; what was there may be gone.
    pub fn put_named(&self, name: &Digest, body: &[u8], until: UnixMillis) -> Result<u64, BlobError> {
        let sealed = self.seal_for(body, name.as_bytes())?;
        let path = self.path(name);
        let dir = path.parent().unwrap_or(&self.dir);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed(dir))?;
        // Of a process each: two may write the same name.
        let draft = path.with_extension(format!("{}.new", std::process::id()));
        let until = UNIX_EPOCH.checked_add(Duration::from_millis(until.0)).unwrap_or(UNIX_EPOCH);
        let options = || fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft);
        let written = options()
            .and_then(|mut to| to.write_all(&sealed).and_then(|()| to.set_modified(until)))
            .and_then(|()| fs::rename(&draft, &path));
        if written.is_err() {
            let _ = fs::remove_file(&draft);
        }
        written.map_err(failed(&path))?;
        Ok(counted(u64::try_from(sealed.len()).unwrap_or(u64::MAX)))
    }

    /// What is kept under `name`; `None` where there is nothing, or more than `most` bytes.
    ///
    /// # Errors
    /// Where the file cannot be read, or is not what was kept under this name.
    pub fn get_named(&self, name: &Digest, most: usize) -> Result<Option<Zeroizing<Vec<u8>>>, BlobError> {
        let path = self.path(name);
        let file = match fs::File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(&path)(error)),
        };
        let limit = most.saturating_add(1 + SALT + TAG);
        let mut bytes = Vec::new();
        let bound = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        file.take(bound).read_to_end(&mut bytes).map_err(failed(&path))?;
        if bytes.len() > limit {
            return Ok(None);
        }
        let damaged = || BlobError::Damaged(*name);
        let (head, sealed) = bytes.split_first_chunk::<{ 1 + SALT }>().ok_or_else(damaged)?;
        if head.first() != Some(&VERSION) {
            return Err(damaged());
        }
        let key = self.key(head.get(1..).unwrap_or_default())?;
        let mut body = Zeroizing::new(sealed.to_vec());
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        let bound = Aad::from([head.as_slice(), name.as_bytes()].concat());
        let length = key.open_in_place(nonce, bound, &mut body).map_err(|_| damaged())?.len();
        body.truncate(length);
        Ok(Some(body))
    }

    /// Erases what is past its time as of `now`; where the rest is more than `most` bytes, also what goes soonest, down to
    /// nine tenths of that. Gives the bytes that stay.
    ///
    /// # Errors
    /// Where the folder cannot be read. A file that is gone by then was erased by another process.
    pub fn trim_named(&self, most: u64, now: UnixMillis) -> Result<u64, BlobError> {
        let (mut files, mut sum) = (Vec::new(), 0_u64);
        for dir in fs::read_dir(&self.dir).map_err(failed(&self.dir))? {
            let Ok(inside) = dir.and_then(|dir| fs::read_dir(dir.path())) else { continue };
            for file in inside.flatten() {
                let Ok(about) = file.metadata() else { continue };
                let until = about.modified().ok().and_then(|until| until.duration_since(UNIX_EPOCH).ok());
                let until = until.unwrap_or_default();
                let path = file.path();
                let draft = path.extension().is_some_and(|extension| extension == "new");
                let keep = if draft { until.saturating_add(LEFT_BEHIND) } else { until };
                if keep <= Duration::from_millis(now.0) {
                    let _ = fs::remove_file(&path);
                } else if !draft {
                    let bytes = counted(about.len());
                    sum = sum.saturating_add(bytes);
                    files.push((until, bytes, path));
                }
            }
        }
        if sum > most {
            files.sort_unstable_by_key(|(until, ..)| *until);
            let goal = most.saturating_sub(most / 10);
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

fn counted(bytes: u64) -> u64 {
    bytes.max(BLOCK)
}

fn erase(path: &PathBuf) -> Result<(), BlobError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blobs(root: &tempfile::TempDir) -> Blobs {
        Blobs::open(root.path().join("answers"), &root.path().join("keys")).unwrap()
    }

    const LATER: UnixMillis = UnixMillis(4_000_000_000_000);

    #[test]
    fn what_is_kept_opens_under_its_own_name_alone_and_damage_is_found() {
        let root = tempfile::tempdir().unwrap();
        let (one, other) = (Digest::of(b"one"), Digest::of(b"other"));
        let blobs = blobs(&root);
        blobs.put_named(&one, b"an answer", LATER).unwrap();
        assert_eq!(**blobs.get_named(&one, 100).unwrap().unwrap(), *b"an answer");
        assert!(blobs.get_named(&one, 3).unwrap().is_none(), "larger than was asked for");
        assert!(blobs.get_named(&other, 100).unwrap().is_none());
        let again = Blobs::open(root.path().join("answers"), &root.path().join("keys")).unwrap();
        assert!(again.get_named(&one, 100).unwrap().is_some(), "another process reads it");
        let raw = fs::read(blobs.path(&one)).unwrap();
        assert!(!raw.windows(6).any(|six| six == b"answer"), "it is encrypted");
        fs::create_dir_all(blobs.path(&other).parent().unwrap()).unwrap();
        fs::copy(blobs.path(&one), blobs.path(&other)).unwrap();
        assert!(blobs.get_named(&other, 100).is_err(), "in the place of another");
        for at in [0, 5, raw.len() - 1] {
            let mut changed = raw.clone();
            changed[at] ^= 1;
            fs::write(blobs.path(&one), &changed).unwrap();
            assert!(blobs.get_named(&one, 100).is_err(), "byte {at}");
        }
        for length in [0, 10, raw.len() - 1] {
            fs::write(blobs.path(&one), &raw[..length]).unwrap();
            assert!(blobs.get_named(&one, 100).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn what_is_past_its_time_goes_and_what_goes_soonest_makes_room() {
        let root = tempfile::tempdir().unwrap();
        let blobs = blobs(&root);
        let name = |at: u64| Digest::of(&at.to_be_bytes());
        for at in 0..10 {
            blobs.put_named(&name(at), &[7; 100], UnixMillis(1_000_000 + at * 1_000)).unwrap();
        }
        let there = || (0..10).filter(|at| blobs.get_named(&name(*at), 1_000).unwrap().is_some()).collect::<Vec<_>>();
        assert_eq!(blobs.trim_named(1 << 20, UnixMillis(1_001_500)).unwrap(), 8 * BLOCK);
        assert_eq!(there(), (2..10).collect::<Vec<_>>());
        assert_eq!(blobs.trim_named(5 * BLOCK, UnixMillis(0)).unwrap(), 4 * BLOCK);
        assert_eq!(there(), [6, 7, 8, 9]);
    }
}
