//! What a model can take and give beside plain text, and what a request asks for. Owns the words and the sets; never
//! decides what is done about a lack. The catalogue and the configuration say what a model has, the protocol what a
//! request needs, and the proxy compares them (`fit.rs`).

use std::fmt;

/// Something that a model has or has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Capability {
    /// It looks at images.
    Vision,
    /// It listens to sounds.
    Audio,
    /// It reads documents (PDF).
    Documents,
    /// It calls tools.
    Tools,
    /// It answers in JSON of a given schema.
    StructuredOutput,
    /// It can be told to reason, and how much.
    Reasoning,
}

impl Capability {
    /// Every one.
    pub const ALL: [Self; 6] =
        [Self::Vision, Self::Audio, Self::Documents, Self::Tools, Self::StructuredOutput, Self::Reasoning];

    /// Its name, as price files and configurations have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vision => "vision",
            Self::Audio => "audio",
            Self::Documents => "documents",
            Self::Tools => "tools",
            Self::StructuredOutput => "structured_output",
            Self::Reasoning => "reasoning",
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|capability| capability.as_str() == name)
    }

    /// What a request does that needs it, as a sentence goes on.
    #[must_use]
    pub fn asked(self) -> &'static str {
        match self {
            Self::Vision => "holds an image",
            Self::Audio => "holds a sound",
            Self::Documents => "holds a document",
            Self::Tools => "offers tools",
            Self::StructuredOutput => "asks for an answer of a JSON schema",
            Self::Reasoning => "asks for reasoning",
        }
    }

    /// What a model without it does not do, as a sentence goes on.
    #[must_use]
    pub fn lacked(self) -> &'static str {
        match self {
            Self::Vision => "takes no images",
            Self::Audio => "takes no sounds",
            Self::Documents => "takes no documents",
            Self::Tools => "calls no tools",
            Self::StructuredOutput => "follows no JSON schema",
            Self::Reasoning => "does not reason",
        }
    }

    fn bit(self) -> u8 {
        1 << (self as u8)
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Several of them: what a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Needs(u8);

impl Needs {
    /// Adds one.
    pub fn add(&mut self, capability: Capability) {
        self.0 |= capability.bit();
    }

    /// These and others.
    #[must_use]
    pub fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// These, but for one.
    #[must_use]
    pub fn without(self, capability: Capability) -> Self {
        Self(self.0 & !capability.bit())
    }

    /// Whether one is among them.
    #[must_use]
    pub fn has(self, capability: Capability) -> bool {
        self.0 & capability.bit() != 0
    }

    /// Whether nothing is needed but text.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = Capability> {
        Capability::ALL.into_iter().filter(move |capability| self.has(*capability))
    }
}

/// What is known of a model: that it has something, that it has it not, or nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Capabilities {
    has: u8,
    lacks: u8,
}

impl Capabilities {
    /// Says that the model has something, or that it has it not.
    pub fn set(&mut self, capability: Capability, has: bool) {
        let bit = capability.bit();
        (self.has, self.lacks) =
            if has { (self.has | bit, self.lacks & !bit) } else { (self.has & !bit, self.lacks | bit) };
    }

    /// What is known of one; `None` where nothing is.
    #[must_use]
    pub fn get(self, capability: Capability) -> Option<bool> {
        let is = |set: u8| set & capability.bit() != 0;
        (is(self.has) || is(self.lacks)).then(|| is(self.has))
    }

    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.has | self.lacks == 0
    }

    /// These, and what they do not say from `other`.
    #[must_use]
    pub fn over(self, other: Self) -> Self {
        let known = self.has | self.lacks;
        Self { has: self.has | other.has & !known, lacks: self.lacks | other.lacks & !known }
    }

    /// What is needed and known not to be there. What is not known is never lacking.
    #[must_use]
    pub fn lacking(self, needs: Needs) -> Needs {
        Needs(needs.0 & self.lacks)
    }

    /// Each that something is known of.
    pub fn iter(self) -> impl Iterator<Item = (Capability, bool)> {
        Capability::ALL.into_iter().filter_map(move |capability| Some((capability, self.get(capability)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_never_lacking_and_the_nearer_word_counts() {
        let mut catalogue = Capabilities::default();
        assert!(catalogue.is_empty());
        catalogue.set(Capability::Vision, false);
        catalogue.set(Capability::Tools, true);
        let mut needs = Needs::default();
        for capability in [Capability::Vision, Capability::Tools, Capability::Audio] {
            needs.add(capability);
        }
        assert_eq!(catalogue.lacking(needs).iter().collect::<Vec<_>>(), [Capability::Vision]);
        assert!(catalogue.lacking(needs.without(Capability::Vision)).is_empty());
        let mut configured = Capabilities::default();
        configured.set(Capability::Vision, true);
        configured.set(Capability::Audio, false);
        let both = configured.over(catalogue);
        assert_eq!(both.lacking(needs).iter().collect::<Vec<_>>(), [Capability::Audio]);
        assert_eq!(
            both.iter().collect::<Vec<_>>(),
            [(Capability::Vision, true), (Capability::Audio, false), (Capability::Tools, true)]
        );
        configured.set(Capability::Audio, true);
        assert_eq!(configured.get(Capability::Audio), Some(true));
    }

    #[test]
    fn every_name_means_one() {
        for capability in Capability::ALL {
            assert_eq!(Capability::named(capability.as_str()), Some(capability));
        }
        assert_eq!(Capability::named("Vision"), None);
    }
}
