//! Takes secrets out of what an upstream says: some echo the key they were given back in their errors.
//!
//! Works on any bytes, in linear time. Never lets a provider's own key pass, whole or cut at either side by the
//! upstream's own masking of a middle; what merely looks like a key is masked too.

use std::borrow::Cow;

use http::HeaderMap;
use smallvec::SmallVec;

use crate::credential::Auth;

/// What stands in place of a secret.
pub(crate) const MASK: &str = "[removed]";

/// Prefixes of keys of the usual vendors. What follows one of them, up to the first character that is no part of a
/// key, is masked if it is long enough.
const PREFIXES: [&str; 9] = ["sk-", "sk_", "tg_", "gsk_", "xai-", "AIza", "Bearer ", "bearer ", "pk-"];

/// How many characters must follow a prefix before it is taken for a key.
const SHORTEST: usize = 8;

/// What an upstream is sent that must not come back: the credential, and headers whose values came from references.
pub(crate) fn secrets<'all>(auth: &'all Auth, headers: &'all HeaderMap) -> SmallVec<[Cow<'all, str>; 2]> {
    let sensitive = headers.values().filter(|value| value.is_sensitive()).filter_map(|value| value.to_str().ok());
    auth.shown().into_iter().chain(sensitive.map(Cow::Borrowed)).collect()
}

/// `text` without `secrets` and without anything that looks like a key.
pub(crate) fn scrub<'text>(text: &'text str, secrets: &[impl AsRef<str>]) -> Cow<'text, str> {
    let mut out = Cow::Borrowed(text);
    for secret in secrets {
        let secret = secret.as_ref();
        if secret.len() >= 4 && out.contains(secret) {
            out = Cow::Owned(out.replace(secret, MASK));
        }
        // JSON writers escape differently, so the escaped form is looked for as well.
        if let Ok(quoted) = serde_json::to_string(secret) {
            let escaped = quoted.trim_matches('"');
            if escaped != secret && escaped.len() >= 4 && out.contains(escaped) {
                out = Cow::Owned(out.replace(escaped, MASK));
            }
        }
    }
    match mask_tokens(&out) {
        Some(masked) => Cow::Owned(masked),
        None => out,
    }
}

/// `text` with everything masked that starts a word with a key's usual prefix and is long enough, or `None` where
/// there is nothing of the kind. One pass.
fn mask_tokens(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut out = String::new();
    let mut copied = 0;
    let mut at = 0;
    let mut word = false;
    while let Some(byte) = bytes.get(at) {
        let starts_word = !word;
        word = byte.is_ascii_alphanumeric();
        let length = if starts_word && word { bytes.get(at..).and_then(key_length) } else { None };
        match length {
            Some(length) => {
                out.push_str(text.get(copied..at)?);
                out.push_str(MASK);
                at += length;
                copied = at;
                word = true;
            }
            None => at += 1,
        }
    }
    (copied > 0).then(|| out + text.get(copied..).unwrap_or_default())
}

/// How many bytes a key takes at the start of `bytes`, its prefix included; `None` where there is none.
fn key_length(bytes: &[u8]) -> Option<usize> {
    let prefix = PREFIXES.iter().find(|prefix| bytes.starts_with(prefix.as_bytes()))?;
    let body = bytes.iter().skip(prefix.len()).take_while(|byte| is_key_byte(**byte)).count();
    (body >= SHORTEST).then_some(prefix.len() + body)
}

/// Characters that keys consist of, the masks of vendors (`sk-ab***yz`) included.
fn is_key_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'*' | b'.' | b'+' | b'/' | b'=')
}

#[cfg(test)]
mod tests;
