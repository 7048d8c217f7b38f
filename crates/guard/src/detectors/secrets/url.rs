//! Secrets inside URLs: a password in the user part (RFC 3986, section 3.2.1), and the webhooks of Slack and Discord,
//! whose path is the credential (api.slack.com/messaging/webhooks, discord.com/developers/docs/resources/webhook).
//!
//! Of a password only the password itself is the finding; of a webhook the path.

use std::sync::Arc;

use crate::guard::{Class, Input, Peek, Sink};

const MAX_USERINFO: usize = 256;
const PLACEHOLDERS: [&[u8]; 7] = [b"password", b"pass", b"pwd", b"passwd", b"secret", b"token", b"redacted"];
const HOOKS: [(&[u8], usize); 3] =
    [(b"hooks.slack.com/services/T", 25), (b"discord.com/api/webhooks/", 25), (b"discordapp.com/api/webhooks/", 28)];
const MIN_HOOK: usize = 40;
const MAX_HOOK: usize = 160;

/// The part that looks into URLs.
pub(super) struct Urls {
    password: Arc<str>,
    slack: Arc<str>,
    discord: Arc<str>,
}

impl Urls {
    pub(super) fn new() -> Self {
        Self {
            password: Arc::from("secret.url_password"),
            slack: Arc::from("secret.slack_webhook"),
            discord: Arc::from("secret.discord_webhook"),
        }
    }

    /// Looks at a `:`.
    pub(super) fn look(&self, input: &Input<'_>, at: usize, out: &mut Sink) {
        if !input.before(at).is_some_and(|byte| Class::ALNUM.has(byte)) {
            return;
        }
        match input.literal(at, b"://") {
            Some(true) => {}
            Some(false) => return,
            None => return out.open(at, &self.password),
        }
        let start = at + 3;
        for (host, path) in HOOKS {
            match input.literal(start, host) {
                Some(true) => return self.hook(input, at, start + path, out),
                Some(false) => {}
                None => return out.open(at, &self.slack),
            }
        }
        self.userinfo(input, at, start, out);
    }

    fn hook(&self, input: &Input<'_>, anchor: usize, path: usize, out: &mut Sink) {
        let end = input.run_end(Class::TOKEN, path);
        let category = if input.slice(anchor + 3, path).starts_with(b"hooks") { &self.slack } else { &self.discord };
        if end - path > MAX_HOOK {
            return;
        }
        if end == input.len() && !input.is_complete() {
            return out.open(anchor, category);
        }
        if end - path >= MIN_HOOK {
            out.hit(anchor, path..end, category);
        }
    }

    fn userinfo(&self, input: &Input<'_>, anchor: usize, start: usize, out: &mut Sink) {
        let mut colon = None;
        let mut at = start;
        loop {
            if at - start > MAX_USERINFO {
                return;
            }
            match input.peek(at) {
                Peek::More => return out.open(anchor, &self.password),
                Peek::Byte(b'@') => break,
                Peek::Byte(b':') if colon.is_none() => colon = Some(at),
                Peek::Byte(byte) if Class::USERINFO.has(byte) => {}
                _ => return,
            }
            at += 1;
        }
        let Some(colon) = colon else { return };
        let password = input.slice(colon + 1, at);
        let dull = password.is_empty()
            || PLACEHOLDERS.iter().any(|known| password.eq_ignore_ascii_case(known))
            || password.starts_with(b"$")
            || password.starts_with(b"{")
            || password.starts_with(b"[")
            || password.iter().all(|byte| matches!(byte, b'*' | b'x' | b'X' | b'.'));
        if !dull {
            out.hit(anchor, colon + 1..at, &self.password);
        }
    }
}
