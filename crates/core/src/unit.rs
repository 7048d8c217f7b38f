//! What is counted beside tokens: pictures, sound, letters, pages, searches and the like, each where a vendor charges by
//! it.
//!
//! Owns the closed list of units and their counts. Never knows a price.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{borrow::Cow, collections::BTreeMap, fmt};

/// One thing that vendors charge by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unit {
    /// A picture that is made.
    Image,
    /// Sound that is listened to or spoken, in milliseconds.
    Audio,
    /// A character of a text that is spoken.
    Character,
    /// A search unit of sorting documents: at vendors that count so, a question and up to a hundred pieces of text.
    SearchUnit,
    /// A page of a document that is read.
    Page,
    /// A page that is read and described in a form that the call gave.
    AnnotatedPage,
    /// A call, where each has a fee; with little searched context where the vendor tells three amounts apart.
    Request,
    /// A call with a medium amount of searched context.
    RequestMedium,
    /// A call with much searched context.
    RequestHigh,
    /// A search of the web.
    WebSearch,
    /// A search of the web by the earlier tool of a vendor that charges it otherwise.
    WebSearchPreview,
    /// An answer that rests on a search, however many searches there were.
    GroundedPrompt,
    /// A search among files at the vendor.
    FileSearch,
    /// A machine at the vendor that ran code for an answer.
    CodeSession,
    /// A token of what a search brought up for the model to read.
    CitationToken,
    /// A token of reasoning that is billed apart from the answer.
    ReasoningToken,
}

impl Unit {
    /// Every unit.
    pub const ALL: [Self; 16] = [
        Self::Image,
        Self::Audio,
        Self::Character,
        Self::SearchUnit,
        Self::Page,
        Self::AnnotatedPage,
        Self::Request,
        Self::RequestMedium,
        Self::RequestHigh,
        Self::WebSearch,
        Self::WebSearchPreview,
        Self::GroundedPrompt,
        Self::FileSearch,
        Self::CodeSession,
        Self::CitationToken,
        Self::ReasoningToken,
    ];

    /// Its name in records, price files and the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Audio => "audio",
            Self::Character => "character",
            Self::SearchUnit => "search_unit",
            Self::Page => "page",
            Self::AnnotatedPage => "annotated_page",
            Self::Request => "request",
            Self::RequestMedium => "request_medium",
            Self::RequestHigh => "request_high",
            Self::WebSearch => "web_search",
            Self::WebSearchPreview => "web_search_preview",
            Self::GroundedPrompt => "grounded_prompt",
            Self::FileSearch => "file_search",
            Self::CodeSession => "code_session",
            Self::CitationToken => "citation_token",
            Self::ReasoningToken => "reasoning_token",
        }
    }

    /// The unit of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|unit| unit.as_str() == name)
    }
}

/// How often each unit was used; at most 4,294,967,295 of each, which is 49 days of sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Units([u32; Unit::ALL.len()]);

impl Units {
    /// None of anything.
    pub const NONE: Self = Self([0; Unit::ALL.len()]);

    /// So many of one unit.
    #[must_use]
    pub fn of(unit: Unit, count: u64) -> Self {
        let mut units = Self::NONE;
        units.set(unit, count);
        units
    }

    /// How many of `unit` there are.
    #[must_use]
    pub fn get(&self, unit: Unit) -> u64 {
        self.0.get(unit as usize).copied().map_or(0, u64::from)
    }

    /// Sets how many of `unit` there are.
    pub fn set(&mut self, unit: Unit, count: u64) {
        if let Some(own) = self.0.get_mut(unit as usize) {
            *own = u32::try_from(count).unwrap_or(u32::MAX);
        }
    }

    /// Adds so many of `unit`.
    pub fn add(&mut self, unit: Unit, count: u64) {
        self.set(unit, self.get(unit).saturating_add(count));
    }

    /// Whether there is none of anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::NONE
    }

    /// The units that there are, with their counts.
    pub fn used(self) -> impl Iterator<Item = (Unit, u64)> {
        Unit::ALL.into_iter().map(move |unit| (unit, self.get(unit))).filter(|(_, count)| *count > 0)
    }

    /// These, and of what they have none, what `other` has.
    #[must_use]
    pub fn over(mut self, other: Self) -> Self {
        for (unit, count) in other.used() {
            if self.get(unit) == 0 {
                self.set(unit, count);
            }
        }
        self
    }

    /// Of each unit the more of both.
    #[must_use]
    pub fn most(mut self, other: Self) -> Self {
        for (unit, count) in other.used() {
            self.set(unit, count.max(self.get(unit)));
        }
        self
    }
}

impl Serialize for Units {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.collect_map(self.used().map(|(unit, count)| (unit.as_str(), count)));
        }
        let counts: Vec<(u8, u32)> = (0_u8..).zip(self.0).filter(|(_, count)| *count > 0).collect();
        counts.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Units {
    /// A unit that is not known is passed over: a later version may have written it.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut units = Self::NONE;
        if deserializer.is_human_readable() {
            for (name, count) in BTreeMap::<Cow<'de, str>, u64>::deserialize(deserializer)? {
                if let Some(unit) = Unit::named(&name) {
                    units.set(unit, count);
                }
            }
            return Ok(units);
        }
        for (at, count) in Vec::<(u8, u32)>::deserialize(deserializer)? {
            if let Some(own) = units.0.get_mut(usize::from(at)) {
                *own = count;
            }
        }
        Ok(units)
    }
}

/// What a picture was asked to be, in the vendor's words: a size (`1024x1792`, `2k`) or a quality (`hd`). At most twelve
/// characters of ASCII; every other word is [`Word::OTHER`], so that it is never taken for what goes without saying.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Word([u8; 12]);

impl Word {
    /// A word that no price names.
    pub const OTHER: Self = Self(*b"?\0\0\0\0\0\0\0\0\0\0\0");

    /// The word, in small letters; none where it is empty, and [`Self::OTHER`] where it is longer than twelve characters
    /// or other than letters, digits and `-_.:`.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut word = [0; 12];
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        if text.len() > word.len() || !text.bytes().all(plain) {
            return Self::OTHER;
        }
        for (own, byte) in word.iter_mut().zip(text.bytes()) {
            *own = byte.to_ascii_lowercase();
        }
        Self(word)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// The word; empty where there is none.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let length = self.0.iter().position(|byte| *byte == 0).unwrap_or(self.0.len());
        self.0.get(..length).and_then(|word| std::str::from_utf8(word).ok()).unwrap_or_default()
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl Serialize for Word {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <Cow<'de, str>>::deserialize(deserializer).map(|text| Self::new(&text))
    }
}

/// What sort of pictures were made, where a vendor charges by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Picture {
    /// Their size, as the vendor calls it.
    #[serde(default, skip_serializing_if = "Word::is_none")]
    pub size: Word,
    /// Their quality, as the vendor calls it.
    #[serde(default, skip_serializing_if = "Word::is_none")]
    pub quality: Word,
}

impl Picture {
    /// Whether nothing is known of them.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.size.is_none() && self.quality.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_keeps_its_place_and_its_name() {
        for (at, unit) in Unit::ALL.into_iter().enumerate() {
            assert_eq!(unit as usize, at, "rows name units by their place");
            assert_eq!(Unit::named(unit.as_str()), Some(unit));
            assert_eq!(Units::of(unit, 7).get(unit), 7);
        }
        assert_eq!(Units::of(Unit::Image, u64::MAX).get(Unit::Image), u64::from(u32::MAX));
    }

    #[test]
    fn what_is_said_counts_over_what_is_taken_to_be() {
        let (mut said, mut taken) = (Units::of(Unit::Audio, 3_000), Units::of(Unit::Audio, 9_000));
        taken.set(Unit::Character, 4);
        said.add(Unit::Image, 1);
        let both = said.over(taken);
        assert_eq!((both.get(Unit::Audio), both.get(Unit::Character), both.get(Unit::Image)), (3_000, 4, 1));
        assert_eq!(said.most(taken).get(Unit::Audio), 9_000);
    }

    #[test]
    fn words_are_small_letters_and_long_ones_are_of_no_price() {
        assert_eq!(Word::new("HD").as_str(), "hd");
        assert_eq!(Word::new("1024x1792").as_str(), "1024x1792");
        assert!(Word::new("").is_none());
        for text in ["thirteen-char", "a b", "ä", "a\"b", "?", "\0"] {
            assert_eq!(Word::new(text), Word::OTHER, "{text}");
        }
        assert_eq!(Word::new(Word::OTHER.as_str()), Word::OTHER, "also in records");
    }
}
