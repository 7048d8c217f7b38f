//! Members of a Chat body that a server may refuse, as a set: catalogue files name them, the dialect leaves them out.
//!
//! Owns the closed list. `model`, `messages`, `tools` and `stream` are no part of it: without them a call is another
//! call, and a target that lacks one of them is the wrong target. Called by the catalogue's reader and by
//! `openai_chat`.

/// Everything that may be left out, in the order of their bits.
const KNOWN: [&str; 28] = [
    "audio",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "metadata",
    "modalities",
    "n",
    "parallel_tool_calls",
    "prediction",
    "presence_penalty",
    "prompt_cache_key",
    "prompt_cache_retention",
    "reasoning_effort",
    "response_format",
    "safety_identifier",
    "seed",
    "service_tier",
    "stop",
    "store",
    "stream_options",
    "temperature",
    "tool_choice",
    "top_logprobs",
    "top_p",
    "user",
    "verbosity",
    "web_search_options",
    "max_completion_tokens",
];

/// A set of members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Members(u32);

impl Members {
    /// No member.
    pub const NONE: Self = Self(0);

    /// The set of these names.
    ///
    /// # Errors
    /// The first name that is not on the list.
    pub fn of<'name>(names: impl IntoIterator<Item = &'name str>) -> Result<Self, &'name str> {
        names.into_iter().try_fold(Self::NONE, |set, name| match bit(name) {
            Some(bit) => Ok(Self(set.0 | bit)),
            None => Err(name),
        })
    }

    /// Whether `name` is in the set.
    #[must_use]
    pub fn contains(self, name: &str) -> bool {
        self.0 != 0 && bit(name).is_some_and(|bit| self.0 & bit != 0)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Their names, in the order of the list.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        KNOWN.into_iter().filter(move |name| self.contains(name))
    }
}

fn bit(name: &str) -> Option<u32> {
    let place = KNOWN.iter().position(|known| *known == name)?;
    u32::try_from(place).ok().and_then(|place| 1_u32.checked_shl(place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_it_was_made_of_and_nothing_else() {
        let set = Members::of(["seed", "max_completion_tokens"]).unwrap();
        assert_eq!(set.names().collect::<Vec<_>>(), ["seed", "max_completion_tokens"]);
        assert!(!set.contains("messages") && !set.contains("stop"));
        for name in KNOWN {
            assert_eq!(Members::of([name]).unwrap().names().collect::<Vec<_>>(), [name]);
        }
    }

    #[test]
    fn what_makes_the_call_can_be_refused_by_no_target() {
        assert_eq!(Members::of(["seed", "messages"]), Err("messages"));
        assert_eq!(Members::of(["model"]), Err("model"));
    }
}
