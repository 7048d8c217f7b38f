//! Encrypts pieces of what is kept beside the log: the files and the lines of batches.
//!
//! Owns a key that is derived from that of the blobs. A piece is `salt (16) ‖ AES-256-GCM ciphertext and tag`, its key
//! HMAC-SHA-256 of the master key over the salt, so no nonce is ever used twice. What a piece is and where it belongs is
//! bound to it: another place refuses it. Called by the store.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    hmac,
    rand::{SecureRandom, SystemRandom},
};

const SALT: usize = 16;
const TAG: usize = 16;

/// How many bytes a sealed piece is longer than what is in it.
pub const SEAL: usize = SALT + TAG;

/// Why a piece could not be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Encrypting failed, or there is no randomness.
    #[error("it could not be encrypted")]
    Seal,
    /// It was changed, belongs elsewhere, or to another key.
    #[error("it was changed, or belongs to another key")]
    Damaged,
}

/// Seals and opens pieces. Cheap to clone.
#[derive(Clone)]
pub struct Sealer {
    master: hmac::Key,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").finish_non_exhaustive()
    }
}

impl Sealer {
    pub(crate) fn new(master: hmac::Key) -> Self {
        Self { master }
    }

    /// A sealer of this key, for what is tried.
    #[must_use]
    pub fn of(key: &[u8; 32]) -> Self {
        Self::new(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    fn key(&self, salt: &[u8]) -> Result<LessSafeKey, SealError> {
        let mut context = hmac::Context::with_key(&self.master);
        context.update(b"tidegate piece v1\n");
        context.update(salt);
        let key = context.sign();
        UnboundKey::new(&AES_256_GCM, key.as_ref()).map(LessSafeKey::new).map_err(|_| SealError::Seal)
    }

    /// Seals `piece` as what `place` names.
    ///
    /// # Errors
    /// Where it cannot be encrypted.
    pub fn seal(&self, place: &[u8], piece: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut salt = [0_u8; SALT];
        SystemRandom::new().fill(&mut salt).map_err(|_| SealError::Seal)?;
        let mut sealed = Vec::with_capacity(piece.len().saturating_add(SEAL));
        sealed.extend_from_slice(&salt);
        sealed.extend_from_slice(piece);
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        let body = sealed.get_mut(SALT..).ok_or(SealError::Seal)?;
        let tag = self.key(&salt)?.seal_in_place_separate_tag(nonce, Aad::from(place), body);
        sealed.extend_from_slice(tag.map_err(|_| SealError::Seal)?.as_ref());
        Ok(sealed)
    }

    /// What was sealed as what `place` names.
    ///
    /// # Errors
    /// Where it was changed, or sealed as something else.
    pub fn open(&self, place: &[u8], sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let (salt, body) = sealed.split_first_chunk::<SALT>().ok_or(SealError::Damaged)?;
        let mut body = body.to_vec();
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        let opened = self.key(salt)?.open_in_place(nonce, Aad::from(place), &mut body);
        let length = opened.map_err(|_| SealError::Damaged)?.len();
        body.truncate(length);
        Ok(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_opens_where_it_belongs_and_nowhere_else() {
        let sealer = Sealer::of(&[7; 32]);
        let sealed = sealer.seal(b"here", b"what was said").unwrap();
        assert_eq!(sealed.len(), b"what was said".len() + SEAL);
        assert_eq!(sealer.open(b"here", &sealed).unwrap(), b"what was said");
        assert_eq!(sealer.open(b"there", &sealed), Err(SealError::Damaged));
        assert_eq!(Sealer::of(&[8; 32]).open(b"here", &sealed), Err(SealError::Damaged));
        for at in 0..sealed.len() {
            let mut other = sealed.clone();
            other[at] ^= 1;
            assert_eq!(sealer.open(b"here", &other), Err(SealError::Damaged), "{at}");
            assert_eq!(sealer.open(b"here", &sealed[..at]), Err(SealError::Damaged), "{at}");
        }
    }
}
