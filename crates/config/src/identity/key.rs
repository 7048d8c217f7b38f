//! A key's form (`tg_<id>_<secret>`), its checksum and its HMAC.

use aws_lc_rs::{constant_time, hmac, rand as secure};
use tidegate_core::{ids::KeyId, secret::Secret};

/// The alphabet of identifiers, secrets and checksums, in the order of its digits.
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// How every key starts.
const PREFIX: &str = "tg_";
const ID_LENGTH: usize = 8;
const SECRET_LENGTH: usize = 40;
const CHECK_LENGTH: usize = 6;
/// `tg_`, the id, `_` and the secret.
const KEY_LENGTH: usize = 3 + ID_LENGTH + 1 + SECRET_LENGTH;
/// The fewest and most characters of a credential that is no `tg_` key.
pub(crate) const FREE_LENGTH: std::ops::RangeInclusive<usize> = 16..=512;
/// What the HMAC covers before the key, so that it is of use for nothing else.
const DOMAIN: &[u8] = b"tidegate caller key v1\0";

/// The same for tokens that stand for callers' values.
const TOKEN_DOMAIN: &[u8] = b"tidegate value token v1\0";

/// The secret that every key is hashed under. Without it, digests at rest say nothing.
#[derive(Clone)]
pub struct Pepper(hmac::Key);

impl std::fmt::Debug for Pepper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pepper([secret])")
    }
}

impl Pepper {
    /// The fewest bytes that a pepper has.
    pub const LEAST: usize = 32;

    /// Takes the pepper: at least [`Self::LEAST`] random bytes, or `None`.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (bytes.len() >= Self::LEAST).then(|| Self(hmac::Key::new(hmac::HMAC_SHA256, bytes)))
    }

    /// The first 64 bits of the HMAC-SHA256 of a value and its kind within an organisation: what a token says of it.
    #[must_use]
    pub fn token(&self, org: &str, kind: &str, value: &str) -> [u8; 8] {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(TOKEN_DOMAIN);
        for part in [org, kind, value] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        let mut bytes = [0_u8; 8];
        for (to, from) in bytes.iter_mut().zip(context.sign().as_ref()) {
            *to = *from;
        }
        bytes
    }

    /// HMAC-SHA256 (RFC 2104) of a whole credential.
    #[must_use]
    pub fn digest(&self, credential: &str) -> KeyDigest {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(DOMAIN);
        context.update(credential.as_bytes());
        let tag = context.sign();
        let mut bytes = [0_u8; 32];
        for (to, from) in bytes.iter_mut().zip(tag.as_ref()) {
            *to = *from;
        }
        KeyDigest(bytes)
    }
}

/// The HMAC-SHA256 of a credential: what is kept of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyDigest(pub [u8; 32]);

impl KeyDigest {
    /// Whether both are the same, in a time that does not depend on where they differ.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }

    /// The identifier of a credential that carries none: the digest's first 47 bits in base62. Of no use for guessing
    /// the credential.
    pub(crate) fn derived_id(&self) -> Option<KeyId> {
        let mut number = self.0.iter().take(6).fold(0_u64, |number, byte| (number << 8) | u64::from(*byte)) >> 1;
        let mut text = [b'0'; ID_LENGTH];
        for digit in text.iter_mut().rev() {
            *digit = base62_digit(number);
            number /= 62;
        }
        std::str::from_utf8(&text).ok()?.parse().ok()
    }
}

impl std::fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyDigest({:02x}{:02x}…)", self.0.first().unwrap_or(&0), self.0.get(1).unwrap_or(&0))
    }
}

/// Why a credential cannot be a key at all. Says nothing about which keys there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Nothing was shown.
    #[error("no key was shown")]
    Empty,
    /// A `tg_` key of the wrong length or with characters it cannot have, or another credential of such.
    #[error("the key is incomplete or has characters that no key has: copy it again")]
    Form,
    /// The checksum does not fit the rest.
    #[error("the key's checksum does not fit: a character was changed on the way; copy it again")]
    Checksum,
}

/// A credential that has a key's form. Whether it is one, only the table knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PresentedKey<'text> {
    /// The identifier it carries; `None` for a credential of another form.
    pub id: Option<KeyId>,
    /// The whole credential.
    pub(crate) text: &'text str,
}

/// Reads a credential: a `tg_` key with its checksum, or 16 to 512 characters of visible ASCII.
///
/// # Errors
/// Why it can be none.
pub fn parse(text: &str) -> Result<PresentedKey<'_>, Malformed> {
    if text.is_empty() {
        return Err(Malformed::Empty);
    }
    if !text.starts_with(PREFIX) {
        let visible = FREE_LENGTH.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        return if visible { Ok(PresentedKey { id: None, text }) } else { Err(Malformed::Form) };
    }
    if text.len() != KEY_LENGTH || !text.is_ascii() {
        return Err(Malformed::Form);
    }
    let rest = text.strip_prefix(PREFIX).ok_or(Malformed::Form)?;
    let (id, secret) = rest.split_at_checked(ID_LENGTH).ok_or(Malformed::Form)?;
    let secret = secret.strip_prefix('_').ok_or(Malformed::Form)?;
    if !secret.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(Malformed::Form);
    }
    let id: KeyId = id.parse().map_err(|_| Malformed::Form)?;
    let (body, check) = text.split_at_checked(KEY_LENGTH - CHECK_LENGTH).ok_or(Malformed::Form)?;
    if checksum(body).as_bytes() == check.as_bytes() {
        Ok(PresentedKey { id: Some(id), text })
    } else {
        Err(Malformed::Checksum)
    }
}

/// The CRC-32 (IEEE) of `text` as six characters of base62, padded with `0` on the left.
fn checksum(text: &str) -> String {
    let mut number = u64::from(crc32fast::hash(text.as_bytes()));
    let mut digits = [b'0'; CHECK_LENGTH];
    for digit in digits.iter_mut().rev() {
        *digit = base62_digit(number);
        number /= 62;
    }
    digits.iter().map(|digit| char::from(*digit)).collect()
}

fn base62_digit(number: u64) -> u8 {
    usize::try_from(number % 62).ok().and_then(|at| BASE62.get(at)).copied().unwrap_or(b'0')
}

/// The machine gave no randomness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gave no random bytes, so no key can be made")]
pub struct MintError;

/// Makes a key from the operating system's randomness: its identifier and the whole key, which is shown once.
///
/// # Errors
/// Where there is no randomness.
pub fn mint() -> Result<(KeyId, Secret), MintError> {
    mint_with(&mut |bytes| secure::fill(bytes).map_err(|_| MintError))
}

/// Makes another secret for the key `id`: a whole key that carries the same identifier.
///
/// # Errors
/// Where there is no randomness.
pub fn mint_for(id: KeyId) -> Result<Secret, MintError> {
    let secret = random_digits(SECRET_LENGTH - CHECK_LENGTH, &mut |bytes| secure::fill(bytes).map_err(|_| MintError))?;
    Ok(whole(id.as_str(), &secret))
}

/// The whole key of an identifier and a secret without its checksum.
fn whole(id: &str, secret: &str) -> Secret {
    let body = format!("{PREFIX}{id}_{secret}");
    let check = checksum(&body);
    Secret::new(format!("{body}{check}"))
}

/// [`mint`] from another source of randomness.
pub(crate) fn mint_with(
    fill: &mut dyn FnMut(&mut [u8]) -> Result<(), MintError>,
) -> Result<(KeyId, Secret), MintError> {
    let mut digits = random_digits(ID_LENGTH + SECRET_LENGTH - CHECK_LENGTH, fill)?;
    let secret = digits.split_off(ID_LENGTH);
    let id = digits.parse().map_err(|_| MintError)?;
    Ok((id, whole(&digits, &secret)))
}

/// Random base62 digits, each as likely as any other: bytes from 248 on are drawn again.
fn random_digits(count: usize, fill: &mut dyn FnMut(&mut [u8]) -> Result<(), MintError>) -> Result<String, MintError> {
    let mut text = String::with_capacity(count);
    let mut bytes = [0_u8; 64];
    for _ in 0..64 {
        fill(&mut bytes)?;
        for byte in bytes.iter().filter(|byte| **byte < 248) {
            if text.len() < count {
                text.push(char::from(base62_digit(u64::from(*byte))));
            }
        }
        if text.len() == count {
            return Ok(text);
        }
    }
    Err(MintError)
}

#[cfg(test)]
mod tests;
