//! Secrets: what vendors' keys look like, private keys, tokens with a structure, and values that are named as secrets.
//!
//! Owns the order in which the parts look at a trigger. The formats are data (`data/secrets.toml`); what needs code has
//! a file of its own here.

mod assignment;
mod aws;
mod checksum;
mod encoded;
mod entropy;
mod format;
mod jwt;
mod pem;
mod token;
mod url;

use std::sync::Arc;

use crate::{
    guard::{Class, Detector, Input, MANY_DIGITS, Sink, Trigger, Triggers},
    prefilter,
};

/// The detector of secrets.
pub(crate) struct Secrets {
    formats: format::Formats,
    assignment: assignment::Assignment,
    aws: aws::SecretKey,
    jwt: jwt::Jwt,
    pem: pem::Pem,
    token: token::Tokens,
    url: url::Urls,
    encoded: Arc<str>,
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
            encoded: Arc::from("secret.generic"),
        })
    }

    /// What a run of token bytes holds, base64 that encodes text included.
    fn run(&self, input: &Input<'_>, run: (usize, usize), out: &mut Sink) {
        self.token(input, run, out);
        let start = run.0.max(input.from());
        match encoded::decode(input, start, run.1) {
            Ok(None) => {}
            // Nothing that stands in it is reported while it is not whole.
            Err(()) => out.open(start, &self.encoded),
            Ok(Some(text)) => {
                let inner = Input::new(&text, 0, true);
                let mut found = Sink::default();
                prefilter::run(&inner, self.triggers(), &mut |trigger: Trigger| {
                    self.look_at(&inner, trigger, &mut found)
                });
                if let Some(hit) = found.hits.first() {
                    out.hit(start, start..run.1, &hit.category);
                }
            }
        }
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
            Trigger::Token(start, end) => self.run(input, (start, end), out),
            other => self.look_at(input, other, out),
        }
    }
}

impl Secrets {
    /// Looks at text as it stands, without decoding.
    fn look_at(&self, input: &Input<'_>, trigger: Trigger, out: &mut Sink) {
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
