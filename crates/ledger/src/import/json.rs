//! JSON of which every part knows its line, and in which a name that stands twice is seen. Owns nothing of what lists
//! mean. Descends only where it is asked to, so that the depth of a text costs nothing.

use std::{collections::HashSet, fmt, marker::PhantomData};

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::ImportError;

/// The most members of one object, and the most items of one list.
const MOST_MEMBERS: usize = 100_000;

/// The lines of a text.
pub(super) struct Lines<'a> {
    text: &'a str,
    breaks: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect();
        Self { text, breaks }
    }

    /// The line, from 1, on which a part of the text begins.
    pub(super) fn of_part(&self, part: &RawValue) -> usize {
        let offset = part.get().as_ptr().addr().saturating_sub(self.text.as_ptr().addr());
        self.breaks.partition_point(|at| *at < offset).saturating_add(1)
    }
}

/// The members of an object, in their order; of a name that stands twice, both.
pub(super) struct Members<'a>(pub(super) Vec<(String, &'a RawValue)>);

impl<'a> Members<'a> {
    /// The member of this name.
    pub(super) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }

    /// The names that stand more than once, each once, with the place of the last.
    pub(super) fn repeated(&self) -> Vec<(&str, &'a RawValue)> {
        let mut seen = HashSet::new();
        self.0
            .iter()
            .filter(|(name, _)| !seen.insert(name.as_str()))
            .map(|(name, value)| (name.as_str(), *value))
            .collect()
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
            if members.len() >= MOST_MEMBERS {
                return Err(A::Error::custom("an object has more members than any price list"));
            }
            members.push((name, value));
        }
        Ok(Members(members))
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

/// The items of a list.
struct Items<'a>(Vec<&'a RawValue>);

struct ItemsVisitor<'a>(PhantomData<&'a ()>);

impl<'de> Visitor<'de> for ItemsVisitor<'de> {
    type Value = Items<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Items<'de>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            if items.len() >= MOST_MEMBERS {
                return Err(A::Error::custom("a list has more items than any price list"));
            }
            items.push(item);
        }
        Ok(Items(items))
    }
}

impl<'de> Deserialize<'de> for Items<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ItemsVisitor(PhantomData))
    }
}

/// A whole text as an object.
pub(super) fn whole_object(text: &str) -> Result<Members<'_>, ImportError> {
    serde_json::from_str(text).map_err(|error| broken(text, &error))
}

/// A whole text as a list.
pub(super) fn whole_list(text: &str) -> Result<Vec<&RawValue>, ImportError> {
    serde_json::from_str::<Items<'_>>(text).map(|items| items.0).map_err(|error| broken(text, &error))
}

/// A part as an object, where it is one.
pub(super) fn object(part: &RawValue) -> Option<Members<'_>> {
    serde_json::from_str(part.get()).ok()
}

/// A part as a list, where it is one.
pub(super) fn list(part: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str::<Items<'_>>(part.get()).ok().map(|items| items.0)
}

/// A part as a text, where it is one.
pub(super) fn text(part: &RawValue) -> Option<String> {
    serde_json::from_str(part.get()).ok()
}

/// Whether a part is `null`, which lists write where they say nothing.
pub(super) fn is_null(part: &RawValue) -> bool {
    part.get() == "null"
}

fn broken(text: &str, error: &serde_json::Error) -> ImportError {
    let line = text.lines().nth(error.line().saturating_sub(1)).unwrap_or_default();
    let word = word_at(line, error.column().saturating_sub(1));
    // JSON has no such numbers, but the writers of some languages put them there.
    let no_number = ["nan", "inf", "infinity"].contains(&word.trim_start_matches('-').to_ascii_lowercase().as_str());
    let problem = if no_number {
        format!("not-a-number: `{word}` stands where an amount has to")
    } else {
        format!("this is no price list in JSON: {error}")
    };
    ImportError::Form { line: error.line(), problem }
}

/// The letters around a byte of a line.
fn word_at(line: &str, at: usize) -> &str {
    let of_word = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'-';
    let (before, after) = line.as_bytes().split_at(at.min(line.len()));
    let start = before.len().saturating_sub(before.iter().rev().take_while(|byte| of_word(byte)).count());
    let end = before.len().saturating_add(after.iter().take_while(|byte| of_word(byte)).count());
    line.get(start..end).unwrap_or_default()
}
