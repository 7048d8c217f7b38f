//! E-mail addresses: a practical part of RFC 5321, with internationalised domains (RFC 5890).
//!
//! The local part is up to 64 bytes of letters, digits and `._%+-'`, letters of Latin, Greek and Cyrillic scripts
//! included (RFC 6531); quoted local parts and address literals are not looked for. A longer run counts by its last 64
//! bytes, so that a stream is never held for more than that. The domain needs two labels or more and ends in letters
//! (or `xn--`): `user@localhost`, `lodash@4.17.21` and `icon@2x.png` are no addresses. A label is either of scripts
//! that need no spaces (from U+2E80 on) or of others, so that Chinese text right after an address is left alone.
//! `git@host:path` is an address of a repository, not of a person.

use std::sync::Arc;

use serde::Deserialize;

use crate::guard::{Class, Detector, Input, Peek, Sink, Trigger, Triggers};

const MAX_LOCAL: usize = 64;
const MAX_DOMAIN: usize = 255;
const MAX_LABEL: usize = 63;
/// From here on scripts are written without spaces between words.
const UNSPACED: char = '\u{2E80}';

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    #[serde(rename = "source")]
    _source: String,
    not_domains: Vec<String>,
}

/// The detector of e-mail addresses.
pub(crate) struct Email {
    not_domains: Vec<String>,
    category: Arc<str>,
}

fn is_local(character: char) -> bool {
    character.is_ascii_alphanumeric()
        || matches!(character, '.' | '_' | '%' | '+' | '-' | '\'')
        || matches!(character, '\u{C0}'..='\u{24F}' | '\u{370}'..='\u{52F}')
}

fn starts_local(character: char) -> bool {
    is_local(character) && !matches!(character, '.' | '\'' | '-' | '%')
}

impl Email {
    pub(crate) fn load() -> Result<Self, toml::de::Error> {
        let data: Data = toml::from_str(include_str!("../../data/email.toml"))?;
        Ok(Self { not_domains: data.not_domains, category: Arc::from("pii.email") })
    }

    /// Where the local part that ends at `end` starts.
    fn local(input: &Input<'_>, end: usize) -> usize {
        let mut start = end;
        let text = input.text().get(..end).unwrap_or_default();
        let mut escape = false;
        for (at, character) in text.char_indices().rev() {
            if !is_local(character) || end - at > MAX_LOCAL {
                escape = character == '\\';
                break;
            }
            start = at;
        }
        // The letter of an escape such as `\n` belongs to no address.
        if escape && matches!(input.byte(start), b'n' | b'r' | b't' | b'b' | b'f') {
            start += 1;
        }
        let local = text.get(start..).unwrap_or_default();
        end - local.trim_start_matches(|character| !starts_local(character)).len()
    }

    /// Where the domain that starts at `start` ends; `Err` where the text ends before that is decided.
    fn domain(&self, input: &Input<'_>, start: usize) -> Result<Option<usize>, ()> {
        let mut labels = 0;
        let mut end = None;
        let mut at = start;
        while let Some(stop) = Self::label(input, at)? {
            labels += 1;
            let label = input.text().get(at..stop).unwrap_or_default();
            if labels > 1 && self.is_top(label) {
                end = Some(stop);
            }
            at = stop;
            if at - start > MAX_DOMAIN {
                break;
            }
            match input.peek(at) {
                Peek::Byte(b'.') => at += 1,
                Peek::More => return Err(()),
                _ => break,
            }
        }
        // What was cut off in the middle of a label is no domain's end.
        Ok(end.filter(|end| *end - start <= MAX_DOMAIN))
    }

    /// Where the label that starts at `start` ends, if one does.
    fn label(input: &Input<'_>, start: usize) -> Result<Option<usize>, ()> {
        let rest = input.text().get(start..).unwrap_or_default();
        let mut end = start;
        let mut unspaced = None;
        let mut decided = input.is_complete();
        for (offset, character) in rest.char_indices() {
            let fits = match character {
                '-' => offset > 0,
                character if character.is_ascii() => character.is_ascii_alphanumeric(),
                character => {
                    character.is_alphanumeric()
                        && *unspaced.get_or_insert(character >= UNSPACED) == (character >= UNSPACED)
                }
            } && !(character.is_ascii_alphabetic() && unspaced == Some(true));
            if character.is_ascii_alphanumeric() && unspaced.is_none() {
                unspaced = Some(false);
            }
            if !fits || offset > MAX_LABEL {
                decided = true;
                break;
            }
            end = start + offset + character.len_utf8();
        }
        if !decided {
            return Err(());
        }
        while end > start && input.before(end) == Some(b'-') {
            end -= 1;
        }
        Ok((end > start && end - start <= MAX_LABEL).then_some(end))
    }

    fn is_top(&self, label: &str) -> bool {
        let letters = label.chars().count() >= 2 && label.chars().all(char::is_alphabetic);
        (letters || label.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("xn--")))
            && !self.not_domains.iter().any(|known| known.eq_ignore_ascii_case(label))
    }
}

impl Detector for Email {
    fn name(&self) -> &'static str {
        "email"
    }

    fn triggers(&self) -> Triggers {
        Triggers { at: true, ..Triggers::default() }
    }

    fn look(&self, input: &Input<'_>, trigger: Trigger, out: &mut Sink) {
        match trigger {
            Trigger::At(at) => {
                let start = Self::local(input, at).max(input.from());
                if start >= at || input.before(at) == Some(b'.') {
                    return;
                }
                match self.domain(input, at + 1) {
                    Err(()) => out.open(start, &self.category),
                    Ok(None) => {}
                    Ok(Some(end)) => {
                        let repository = input.slice(start, at) == b"git";
                        match input.peek(end).is_not(Class::COLON) {
                            None if repository => out.open(start, &self.category),
                            Some(false) if repository => {}
                            _ => out.hit(start, start..end, &self.category),
                        }
                    }
                }
            }
            Trigger::End(end) => {
                let start = Self::local(input, end).max(input.from());
                if start < end {
                    out.open(start, &self.category);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
