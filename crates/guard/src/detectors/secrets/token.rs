//! Bot tokens whose parts have a structure that a prefix does not tell: Telegram and Discord.
//!
//! Telegram: 8 to 10 digits, `:`, 35 characters (core.telegram.org/bots/api). Discord: the bot's id in base64, a time,
//! an HMAC, parted by dots (discord.com/developers/docs/reference).

use std::sync::Arc;

use base64::{
    Engine as _,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use super::entropy::shannon;
use crate::guard::{Class, Input, Peek, Sink};

const TELEGRAM_SECRET: usize = 35;
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The part that looks for bot tokens.
pub(super) struct Tokens {
    telegram: Arc<str>,
    discord: Arc<str>,
}

impl Tokens {
    pub(super) fn new() -> Self {
        Self { telegram: Arc::from("secret.telegram_bot_token"), discord: Arc::from("secret.discord_bot_token") }
    }

    /// Looks at a run of digits.
    pub(super) fn telegram(&self, input: &Input<'_>, at: usize, out: &mut Sink) {
        let colon = input.run_end(Class::DIGIT, at);
        let digits = colon - at;
        if digits < 8 && colon < input.len() {
            return;
        }
        // In a bot's URL the word `bot` stands right before the digits.
        let after_bot = at.checked_sub(3).is_some_and(|start| input.slice(start, at) == b"bot");
        if at < input.from() || !(input.starts_word(at) || after_bot) {
            return;
        }
        match input.peek(colon) {
            Peek::More if digits <= 10 => return out.open(at, &self.telegram),
            Peek::Byte(b':') if (8..=10).contains(&digits) => {}
            _ => return,
        }
        let secret = colon + 1;
        let end = input.run_end(Class::WORD, secret);
        if end - secret > TELEGRAM_SECRET {
            return;
        }
        if end == input.len() && !input.is_complete() {
            return out.open(at, &self.telegram);
        }
        let body = input.slice(secret, end);
        if body.len() == TELEGRAM_SECRET && body.starts_with(b"A") && shannon(body) >= 3.0 {
            out.hit(at, at..end, &self.telegram);
        }
    }

    /// Looks at an `M`, `N` or `O` where a word starts: what the digits of an id start with in base64.
    pub(super) fn discord(&self, input: &Input<'_>, at: usize, out: &mut Sink) {
        if input.before(at).is_some_and(|byte| matches!(byte, b'_' | b'-')) {
            return;
        }
        let mut from = at;
        for (index, (min, max)) in [(23, 28), (6, 7), (27, 40)].into_iter().enumerate() {
            if index > 0 {
                match input.peek(from) {
                    Peek::Byte(b'.') => from += 1,
                    Peek::More => return out.open(at, &self.discord),
                    _ => return,
                }
            }
            let end = input.run_end(Class::WORD, from);
            if end - from > max {
                return;
            }
            if end == input.len() && !input.is_complete() {
                return out.open(at, &self.discord);
            }
            if end - from < min {
                return;
            }
            if index == 0 && !is_snowflake(input.slice(at, end)) {
                return;
            }
            from = end;
        }
        out.hit(at, at..from, &self.discord);
    }
}

/// Whether these characters encode a number of 17 to 20 digits.
fn is_snowflake(encoded: &[u8]) -> bool {
    LENIENT.decode(encoded).is_ok_and(|id| (17..=20).contains(&id.len()) && id.iter().all(u8::is_ascii_digit))
}
