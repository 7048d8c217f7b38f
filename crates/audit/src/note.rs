//! Signed notes (C2SP signed-note) with Ed25519: keys as text, signing, checking.
//!
//! Owns the form; never reads a file and never decides what is signed. Called for checkpoints, proofs and `log.pub`.

use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::{Engine, engine::general_purpose::STANDARD};
use tidegate_core::ids::Digest;
use zeroize::Zeroizing;

/// The signature type of plain Ed25519 notes.
const ED25519_NOTE: u8 = 0x01;
/// The largest note that is read, in bytes.
pub const MAX_NOTE: usize = 64 * 1024;
/// The longest name of a key, in bytes.
const MAX_NAME: usize = 255;

/// Why a note or a key is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Not a name that a key may have.
    #[error("a log's name must be 1 to {MAX_NAME} characters without spaces, control characters and `+`")]
    Name,
    /// Not a public key.
    #[error("no note verifier key: expected `name+hash+base64` of an Ed25519 key")]
    PublicKey,
    /// Not a private key.
    #[error("no note signing key: expected `PRIVATE+KEY+name+hash+base64` of an Ed25519 key")]
    PrivateKey,
    /// Not a note.
    #[error("no signed note: {0}")]
    Malformed(&'static str),
    /// None of the signatures is by the expected key.
    #[error("no signature by `{0}`")]
    Unsigned(String),
    /// The signature does not fit the text.
    #[error("the signature by `{0}` does not fit the text")]
    Signature(String),
}

fn valid_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_NAME && !name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+')
}

fn key_id(name: &str, public: &[u8]) -> [u8; 4] {
    let mut message = Vec::with_capacity(name.len() + 2 + public.len());
    message.extend_from_slice(name.as_bytes());
    message.extend_from_slice(&[b'\n', ED25519_NOTE]);
    message.extend_from_slice(public);
    let digest = Digest::of(&message);
    let [a, b, c, d, ..] = *digest.as_bytes();
    [a, b, c, d]
}

/// A key that checks notes. Printed in the vkey form `name+hash+base64`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: [u8; 4],
    public: [u8; 32],
}

impl VerifierKey {
    fn new(name: &str, public: [u8; 32]) -> Result<Self, NoteError> {
        if !valid_name(name) {
            return Err(NoteError::Name);
        }
        Ok(Self { name: name.to_owned(), id: key_id(name, &public), public })
    }

    /// Reads the vkey form; surrounding white space is not part of it.
    ///
    /// # Errors
    /// Where it is no Ed25519 key, its hash does not fit, or it is not written canonically.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(hash), Some(data)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::PublicKey);
        };
        let data = STANDARD.decode(data).map_err(|_| NoteError::PublicKey)?;
        let Some((&ED25519_NOTE, public)) = data.split_first() else { return Err(NoteError::PublicKey) };
        let key = Self::new(name, public.try_into().map_err(|_| NoteError::PublicKey)?)?;
        if hash == hex::encode(key.id) { Ok(key) } else { Err(NoteError::PublicKey) }
    }

    /// The key's name, which is the log's origin.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text of a note that this key signed: everything up to and with the newline before the empty line.
    ///
    /// # Errors
    /// Where it is no note, or this key did not sign it.
    pub fn open<'note>(&self, note: &'note str) -> Result<&'note str, NoteError> {
        let (text, signatures) = parse(note)?;
        let mut found = false;
        for (name, id, signature) in signatures {
            if name == self.name && id == self.id {
                if found {
                    return Err(NoteError::Malformed("two signatures by one key"));
                }
                found = true;
                UnparsedPublicKey::new(&ED25519, &self.public)
                    .verify(text.as_bytes(), &signature)
                    .map_err(|_| NoteError::Signature(self.name.clone()))?;
            }
        }
        if found { Ok(text) } else { Err(NoteError::Unsigned(self.name.clone())) }
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut data = vec![ED25519_NOTE];
        data.extend_from_slice(&self.public);
        write!(f, "{}+{}+{}", self.name, hex::encode(self.id), STANDARD.encode(data))
    }
}

type Signature<'note> = (&'note str, [u8; 4], Vec<u8>);

fn parse(note: &str) -> Result<(&str, Vec<Signature<'_>>), NoteError> {
    if note.len() > MAX_NOTE {
        return Err(NoteError::Malformed("larger than 64 KiB"));
    }
    if note.bytes().any(|byte| byte < 0x20 && byte != b'\n') {
        return Err(NoteError::Malformed("control characters"));
    }
    let at = note.rfind("\n\n").ok_or(NoteError::Malformed("no empty line before the signatures"))?;
    let (Some(text), Some(block)) = (note.get(..=at), note.get(at + 2..)) else {
        return Err(NoteError::Malformed("no signatures"));
    };
    let block = block.strip_suffix('\n').ok_or(NoteError::Malformed("no newline at the end"))?;
    let mut signatures = Vec::new();
    for line in block.split('\n') {
        let malformed = || NoteError::Malformed("a signature line is not `— name base64`");
        let (name, data) = line.strip_prefix("\u{2014} ").and_then(|l| l.split_once(' ')).ok_or_else(malformed)?;
        let data = STANDARD.decode(data).map_err(|_| malformed())?;
        let (id, signature) = data.split_first_chunk::<4>().ok_or_else(malformed)?;
        if !valid_name(name) || signature.is_empty() || signatures.len() >= 100 {
            return Err(malformed());
        }
        signatures.push((name, *id, signature.to_vec()));
    }
    Ok((text, signatures))
}

/// A key that signs notes. Its seed is wiped when it is dropped, and it is never printed.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    verifier: VerifierKey,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.verifier)
    }
}

impl SigningKey {
    /// The key named `name` with this seed (RFC 8032 private key).
    ///
    /// # Errors
    /// Where the name is not allowed.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, NoteError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| NoteError::PrivateKey)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| NoteError::PrivateKey)?;
        Ok(Self { pair, verifier: VerifierKey::new(name, public)? })
    }

    /// Reads the form `PRIVATE+KEY+name+hash+base64`.
    ///
    /// # Errors
    /// Where it is no such key, or its hash does not fit.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let rest = text.trim().strip_prefix("PRIVATE+KEY+").ok_or(NoteError::PrivateKey)?;
        let mut parts = rest.splitn(3, '+');
        let (Some(name), Some(hash), Some(data)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::PrivateKey);
        };
        let data = Zeroizing::new(STANDARD.decode(data).map_err(|_| NoteError::PrivateKey)?);
        let Some((&ED25519_NOTE, seed)) = data.split_first() else { return Err(NoteError::PrivateKey) };
        let seed: Zeroizing<[u8; 32]> = Zeroizing::new(seed.try_into().map_err(|_| NoteError::PrivateKey)?);
        let key = Self::from_seed(name, &seed)?;
        if hash == hex::encode(key.verifier.id) { Ok(key) } else { Err(NoteError::PrivateKey) }
    }

    /// The text form of the key named `name` with this seed, for its file.
    ///
    /// # Errors
    /// Where the name is not allowed.
    pub fn text(name: &str, seed: &[u8; 32]) -> Result<Zeroizing<String>, NoteError> {
        let key = Self::from_seed(name, seed)?;
        let mut data = Zeroizing::new(vec![ED25519_NOTE]);
        data.extend_from_slice(seed);
        let data = Zeroizing::new(STANDARD.encode(&*data));
        Ok(Zeroizing::new(format!("PRIVATE+KEY+{name}+{}+{}", hex::encode(key.verifier.id), &*data)))
    }

    /// The key that checks what this one signs.
    #[must_use]
    pub fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// The signed note of `text`, which must end in a newline.
    #[must_use]
    pub fn sign(&self, text: &str) -> String {
        let mut data = self.verifier.id.to_vec();
        data.extend_from_slice(self.pair.sign(text.as_bytes()).as_ref());
        format!("{text}\n\u{2014} {} {}\n", self.verifier.name, STANDARD.encode(data))
    }
}

#[cfg(test)]
mod tests;
