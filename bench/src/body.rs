//! Chat requests of a given size: prose in turns, the same bytes every time.

use std::fmt::Write as _;

/// Words of a JSON string, some with escapes and some beyond ASCII, as real prompts have them.
const WORDS: [&str; 32] = [
    "harbour",
    "the",
    "tide",
    "rises",
    "and",
    "of",
    "falls",
    "in",
    "ledger",
    "a",
    "ship",
    "with",
    "cargo",
    "is",
    "late",
    "by",
    "12.5",
    "hours",
    "\\n",
    "\\\"quoted\\\"",
    "na\u{ef}ve",
    "\u{6f6e}\u{6c50}",
    "pilot",
    "to",
    "quay",
    "reads",
    "charts",
    "\\tindented",
    "3,400",
    "crates",
    "before",
    "noon",
];

/// Bytes of text in one turn of the conversation, at most.
const TURN: usize = 8 * 1024;

/// An OpenAI chat completion request for `model` of about `kib` KiB (within 40 bytes a turn), streamed or not.
#[must_use]
pub fn chat(model: &str, kib: usize, stream: bool) -> String {
    let size = kib.saturating_mul(1024);
    let mut body = String::with_capacity(size.saturating_add(TURN));
    let _ = write!(body, "{{\"model\":\"{model}\",");
    if stream {
        body.push_str("\"stream\":true,");
    }
    body.push_str(
        "\"temperature\":0.2,\"max_tokens\":256,\"messages\":[{\"role\":\"system\",\"content\":\"Answer briefly.\"}",
    );
    // Odd, so that the last turn is the user's.
    let turns = size.div_ceil(TURN) | 1;
    let frame = "{\"role\":\"assistant\",\"content\":\"\"},".len();
    let each = size.saturating_sub(body.len()).saturating_sub(turns.saturating_mul(frame)) / turns;
    let mut words = Words(0x2545_f491_4f6c_dd1d);
    for turn in 0..turns {
        let role = if turn % 2 == 0 { "user" } else { "assistant" };
        let _ = write!(body, ",{{\"role\":\"{role}\",\"content\":\"");
        words.write(&mut body, each);
        body.push_str("\"}");
    }
    body.push_str("]}");
    body
}

/// Words in an order that looks random and is always the same (xorshift).
struct Words(u64);

impl Words {
    /// Appends at least `most` bytes of words, and at most one word more.
    fn write(&mut self, into: &mut String, most: usize) {
        let end = into.len().saturating_add(most);
        while into.len() < end {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            let place = usize::try_from(self.0 % 32).unwrap_or(0);
            into.push_str(WORDS.get(place).copied().unwrap_or("the"));
            into.push(' ');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::chat;

    #[test]
    fn a_body_is_json_of_the_size_asked_for_and_ends_with_the_user() {
        for kib in [1, 100, 400] {
            let body = chat("m", kib, kib == 1);
            let read: serde_json::Value = serde_json::from_str(&body).unwrap();
            let messages = read["messages"].as_array().unwrap();
            assert_eq!(messages.last().unwrap()["role"], "user");
            assert_eq!(read["stream"].as_bool(), (kib == 1).then_some(true));
            let off = body.len().abs_diff(kib * 1024);
            assert!(off <= 40 * messages.len(), "{kib} KiB is off by {off} bytes");
            assert_eq!(body, chat("m", kib, kib == 1));
        }
    }
}
