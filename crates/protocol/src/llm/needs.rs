//! What a request asks of a model beside words: what the model has to have, how it is to be served, and how many words
//! there are at least.
//!
//! Owns the reading of what a request says outright. Never guesses: what a request does not say is not needed. Called when
//! a call is read, and by [`super::ModelCall`] when somebody asks.

use tidegate_core::{
    blocks::{BLOCK, marks},
    capability::{Capability, Needs},
    unit::Units,
    usage::Service,
};

use super::node::Node;

/// What the members of a request ask for, its messages and tools apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) needs: Needs,
    /// The level of service, where it names one.
    pub(crate) service: Option<Service>,
    /// Whether it asks for sounds or images.
    pub(crate) media: bool,
    /// How often the vendor's own tools may be used, of those that vendors charge for.
    pub(crate) fees: Units,
}

/// How often a vendor is taken to search for one answer at most, where the request sets no bound. What is more is charged
/// all the same.
pub(crate) const MOST_SEARCHES: u64 = 20;

impl Asked {
    /// Takes what a format of the answer says: whether it is a schema.
    pub(crate) fn format(&mut self, format: Option<Node<'_, '_>>) {
        if format.and_then(|format| format.get("type")).is_some_and(|kind| kind.text_is("json_schema")) {
            self.needs.add(Capability::StructuredOutput);
        }
    }

    /// Takes an effort to reason; `none` and `minimal` are none that a model needs to be made for.
    pub(crate) fn effort(&mut self, effort: Option<Node<'_, '_>>) {
        let asks = effort.and_then(Node::text).is_some_and(|effort| !matches!(&*effort, "none" | "minimal" | ""));
        if asks {
            self.needs.add(Capability::Reasoning);
        }
    }

    /// Takes the name of a level of service.
    pub(crate) fn service(&mut self, name: Option<Node<'_, '_>>) {
        self.service = name.and_then(Node::text).and_then(|name| Service::named(&name)).or(self.service);
    }

    /// Takes the kinds of answers that are asked for.
    pub(crate) fn modalities(&mut self, kinds: Option<Node<'_, '_>>) {
        let is_text = |kind: Node<'_, '_>| kind.text().is_some_and(|kind| kind.eq_ignore_ascii_case("text"));
        self.media |= kinds.into_iter().flat_map(Node::items).any(|kind| !is_text(kind));
    }
}

/// How many tokens a text has at least: no vendor's vocabulary holds a token that spans two words, so that each run of
/// bytes that are no spaces is one or more. `raw` may stand in its quotes.
pub(crate) fn fewest_tokens(raw: &[u8]) -> u64 {
    // The quotes of a JSON string are no words.
    let raw = raw.strip_prefix(b"\"").unwrap_or(raw);
    let raw = raw.strip_suffix(b"\"").unwrap_or(raw);
    let (blocks, rest) = raw.as_chunks::<BLOCK>();
    let (mut words, mut inside) = (0_u64, 0_u64);
    for block in blocks {
        let letters = marks(block, |byte| byte != b' ');
        // A word starts where what stands before is a space.
        words += u64::from((letters & !(letters << 1 | inside)).count_ones());
        inside = letters >> 63;
    }
    for byte in rest {
        let letter = u64::from(*byte != b' ');
        words += letter & !inside;
        inside = letter;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::fewest_tokens;

    #[test]
    fn words_count_once_wherever_blocks_end() {
        for words in [1_usize, 2, 11, 12, 13, 100] {
            for word in ["a", "word", "averyverylongwordindeed"] {
                for lead in 0..70 {
                    let text = format!("\"{}{}\"", " ".repeat(lead), vec![word; words].join("  "));
                    assert_eq!(fewest_tokens(text.as_bytes()), words as u64, "{text}");
                }
            }
        }
        assert_eq!(fewest_tokens(b"\"\""), 0);
        assert_eq!(fewest_tokens(&[b' '; 200]), 0);
        assert_eq!(fewest_tokens(&[b'a'; 200]), 1);
    }
}
