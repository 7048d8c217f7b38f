//! Secrets: what vendors' keys look like, private keys, tokens with a structure, and values that are named as secrets.
//!
//! Owns the order in which the parts look at a trigger. The formats are data (`data/secrets.toml`); what needs code has
//! a file of its own here.

mod assignment;
mod aws;
mod checksum;
mod entropy;
mod format;
mod jwt;
mod pem;
mod token;
mod url;

use crate::guard::{Class, Detector, Input, MANY_DIGITS, Sink, Trigger, Triggers};

/// The detector of secrets.
pub(crate) struct Secrets {
    formats: format::Formats,
    assignment: assignment::Assignment,
    aws: aws::SecretKey,
    jwt: jwt::Jwt,
    pem: pem::Pem,
    token: token::Tokens,
    url: url::Urls,
}

impl Secrets {
    pub(crate) fn load() -> Result<Self, toml::de::Error> {
        Ok(Self {
            formats: format::Formats::load()?,
            assignment: assignment::Assignment::load()?,
            aws: aws::SecretKey::new(),
            jwt: jwt::Jwt::new(),
            pem: pem::Pem::new(),
            token: token::Tokens::new(),
            url: url::Urls::new(),
        })
    }

    fn token(&self, input: &Input<'_>, run: (usize, usize), out: &mut Sink) {
        let (start, end) = run;
        self.formats.look_before(input, start, out);
        for at in start.max(input.from())..end {
            if at > start && !input.starts_word(at) || at == start && !input.starts_word(at) {
                continue;
            }
            self.formats.look(input, at, out);
            match input.byte(at) {
                b'e' => self.jwt.look(input, at, out),
                b'M' | b'N' | b'O' => self.token.discord(input, at, out),
                _ => {}
            }
            self.aws.look(input, at, out);
        }
    }
}

impl Detector for Secrets {
    fn name(&self) -> &'static str {
        "secrets"
    }

    fn triggers(&self) -> Triggers {
        Triggers { assign: true, digits: MANY_DIGITS, dashes: true, token: true, at: false }
    }

    fn look(&self, input: &Input<'_>, trigger: Trigger, out: &mut Sink) {
        match trigger {
            Trigger::Token(start, end) => self.token(input, (start, end), out),
            Trigger::Assign(at) => {
                if input.byte(at) == b':' {
                    self.url.look(input, at, out);
                }
                self.assignment.look(input, at, out);
            }
            Trigger::Digits(start) => self.token.telegram(input, start, out),
            Trigger::Dashes(start) => self.pem.look(input, start, input.run_end(Class::DASH, start), out),
            Trigger::At(_) | Trigger::End(_) => {}
        }
    }
}
