//! Bodies that a record speaks of: encrypted, named by their content, and gone when their time is over.
//!
//! Owns the blob files and their key. A blob is `version (1) ‖ salt (16) ‖ AES-256-GCM ciphertext and tag`, its key
//! HMAC-SHA-256 of the master key over the salt, so no nonce is ever used twice. Leaves hold digests, so erasing a
//! blob breaks no proof. Called by the proxy for bodies of the class `redacted`; every call blocks on the disk.

use std::{
    fs, io,
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    hmac,
    rand::{SecureRandom, SystemRandom},
};
use tidegate_core::{clock::UnixMillis, ids::Digest};
use zeroize::Zeroizing;

use crate::{
    keys::{self, KeyError},
    seal::Sealer,
};

mod queue;

pub use queue::BlobQueue;

/// The largest body, in bytes.
pub const MAX_BODY: usize = 64 << 20;
const VERSION: u8 = 1;
const SALT: usize = 16;
const TAG: usize = 16;

/// Why a blob could not be kept or given back.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The file system said no.
    #[error("blob {path}: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The key could not be had.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The body is larger than [`MAX_BODY`].
    #[error("a body of {0} bytes is too large to be kept")]
    TooLarge(usize),
    /// The file is not what its name says, or was encrypted with another key.
    #[error("blob {0} was changed, or belongs to another key")]
    Damaged(Digest),
    /// Encrypting failed.
    #[error("a body could not be encrypted")]
    Seal,
}

/// What a sweep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Blobs that were erased.
    pub erased: u64,
    /// Blobs that stay.
    pub kept: u64,
}

/// An encrypted body.
struct Sealed {
    digest: Digest,
    file: Vec<u8>,
}

/// The blobs below one directory.
pub struct Blobs {
    dir: PathBuf,
    master: hmac::Key,
}

impl std::fmt::Debug for Blobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blobs").field("dir", &self.dir).finish_non_exhaustive()
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> BlobError {
    let path = path.to_owned();
    move |source| BlobError::Io { path, source }
}

impl Blobs {
    /// Opens the blobs in `dir`, with the key `blob.key` in `keys_dir`; makes both where they are missing.
    ///
    /// # Errors
    /// Where the directory or the key cannot be had.
    pub fn open(dir: impl Into<PathBuf>, keys_dir: &Path) -> Result<Self, BlobError> {
        let dir = dir.into();
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(failed(&dir))?;
        let path = keys_dir.join("blob.key");
        let key = if let Some(text) = keys::read(&path)? {
            let mut key = Zeroizing::new([0_u8; 32]);
            hex::decode_to_slice(text.trim(), &mut *key).map_err(|_| KeyError::Malformed(path))?;
            key
        } else {
            let key = keys::random()?;
            keys::create(&path, &Zeroizing::new(hex::encode(key.as_slice())))?;
            key
        };
        Ok(Self { dir, master: hmac::Key::new(hmac::HMAC_SHA256, &*key) })
    }

    /// What seals other things that are kept, with a key of the same file.
    #[must_use]
    pub fn sealer(&self) -> Sealer {
        Sealer::new(self.master.clone())
    }

    fn key(&self, salt: &[u8]) -> Result<LessSafeKey, BlobError> {
        let mut context = hmac::Context::with_key(&self.master);
        context.update(b"tidegate blob v1\n");
        context.update(salt);
        let key = context.sign();
        UnboundKey::new(&AES_256_GCM, key.as_ref()).map(LessSafeKey::new).map_err(|_| BlobError::Seal)
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.dir.join(digest.short(2)).join(digest.to_string())
    }

    /// Keeps a body, and returns the name that a record refers to it by: the SHA-256 of the encrypted file. Two equal
    /// bodies get different names, so that names tell nothing.
    ///
    /// # Errors
    /// Where the body is too large or the file cannot be written.
    pub fn put(&self, body: &[u8]) -> Result<Digest, BlobError> {
        let sealed = self.seal(body)?;
        self.write(&sealed)?;
        Ok(sealed.digest)
    }

    /// Encrypts a body, which gives it its name.
    fn seal(&self, body: &[u8]) -> Result<Sealed, BlobError> {
        if body.len() > MAX_BODY {
            return Err(BlobError::TooLarge(body.len()));
        }
        let mut head = [VERSION; 1 + SALT];
        if let Some(salt) = head.get_mut(1..) {
            SystemRandom::new().fill(salt).map_err(|_| KeyError::Randomness)?;
        }
        let key = self.key(head.get(1..).unwrap_or_default())?;
        let mut file = Vec::with_capacity(body.len() + head.len() + TAG);
        file.extend_from_slice(&head);
        file.extend_from_slice(body);
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        let sealed = file.get_mut(head.len()..).ok_or(BlobError::Seal)?;
        let tag = key.seal_in_place_separate_tag(nonce, Aad::from(head), sealed).map_err(|_| BlobError::Seal)?;
        file.extend_from_slice(tag.as_ref());
        Ok(Sealed { digest: Digest::of(&file), file })
    }

    /// Writes an encrypted body under its name, and syncs it.
    fn write(&self, sealed: &Sealed) -> Result<(), BlobError> {
        let Sealed { digest, file } = sealed;
        let path = self.path(digest);
        let dir = path.parent().unwrap_or(&self.dir);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed(dir))?;
        let draft = path.with_extension("new");
        let written = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)
            .and_then(|mut to| to.write_all(file).and_then(|()| to.sync_all()))
            .and_then(|()| fs::rename(&draft, &path));
        if written.is_err() {
            // What is left of it would only take space, and the sweep takes it too.
            let _ = fs::remove_file(&draft);
        }
        written.map_err(failed(&path))
    }

    /// The body of a blob; `None` where it was erased.
    ///
    /// # Errors
    /// Where the file cannot be read or was changed.
    pub fn get(&self, digest: &Digest) -> Result<Option<Zeroizing<Vec<u8>>>, BlobError> {
        let path = self.path(digest);
        let file = match fs::read(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(&path)(error)),
        };
        let damaged = || BlobError::Damaged(*digest);
        if Digest::of(&file) != *digest {
            return Err(damaged());
        }
        let (head, sealed) = file.split_first_chunk::<{ 1 + SALT }>().ok_or_else(damaged)?;
        if head.first() != Some(&VERSION) {
            return Err(damaged());
        }
        let key = self.key(head.get(1..).unwrap_or_default())?;
        let mut body = Zeroizing::new(sealed.to_vec());
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        let length = key.open_in_place(nonce, Aad::from(*head), &mut body).map_err(|_| damaged())?.len();
        body.truncate(length);
        Ok(Some(body))
    }

    /// Erases a blob. Says whether it was there. The log's proofs hold without it.
    ///
    /// # Errors
    /// Where the file cannot be removed.
    pub fn erase(&self, digest: &Digest) -> Result<bool, BlobError> {
        let path = self.path(digest);
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed(&path)(error)),
        }
    }

    /// Erases every blob that was kept longer than `longest`, as of `now`.
    ///
    /// # Errors
    /// Where a directory cannot be read or a file not be removed; what was erased before stays erased.
    pub fn sweep(&self, longest: Duration, now: UnixMillis) -> Result<Swept, BlobError> {
        let mut swept = Swept::default();
        for dir in fs::read_dir(&self.dir).map_err(failed(&self.dir))? {
            let dir = dir.map_err(failed(&self.dir))?.path();
            if !dir.is_dir() {
                continue;
            }
            for file in fs::read_dir(&dir).map_err(failed(&dir))? {
                let path = file.map_err(failed(&dir))?.path();
                let made = fs::metadata(&path).and_then(|data| data.modified()).map_err(failed(&path))?;
                let made = made.duration_since(UNIX_EPOCH).unwrap_or_default();
                let made = UnixMillis(u64::try_from(made.as_millis()).unwrap_or(u64::MAX));
                if now.since(made) > longest {
                    fs::remove_file(&path).map_err(failed(&path))?;
                    swept.erased += 1;
                } else {
                    swept.kept += 1;
                }
            }
        }
        Ok(swept)
    }
}

#[cfg(test)]
mod tests;
