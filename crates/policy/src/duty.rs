//! Duties: what an annotation adds to a permit that decides. Parsed at compile time, handed out with the decision.

use std::{sync::Arc, time::Duration};

/// What must be done where a permit decides.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Duty {
    /// `@approval("one" | "two-person")`: people must approve the call.
    Approval(Approvers),
    /// `@redact("pii")`: what a guardrail finds in this category must be redacted.
    Redact(Arc<str>),
    /// `@hold("10m")`: the call waits so long, and can be stopped meanwhile.
    Hold(Duration),
}

impl Duty {
    /// Whether the call may go on at once with this duty. Where it may not, and nothing can hold it, it is denied.
    #[must_use]
    pub fn lets_pass(&self) -> bool {
        matches!(self, Self::Redact(_))
    }
}

/// How many people must approve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Approvers {
    /// One person other than the requester.
    One,
    /// Two different people, neither of them the requester.
    TwoPeople,
}

/// What the annotations of one policy say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Annotations {
    /// The text of `@id`.
    pub(crate) id: Option<String>,
    /// Whether `@mode("observe")` stands there.
    pub(crate) observe: bool,
    /// The duties, in the order of their kinds.
    pub(crate) duties: Vec<Duty>,
}

/// The annotations that mean something.
const KNOWN: [&str; 5] = ["approval", "hold", "id", "mode", "redact"];

impl Annotations {
    /// Reads a policy's annotations. Says what is wrong with each that means something and cannot be read, and with
    /// each that is nearly one of those; others are left to the author.
    pub(crate) fn read<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> (Self, Vec<String>) {
        let mut read = Self::default();
        let mut wrong = Vec::new();
        for (name, value) in pairs {
            match read.take(name, value) {
                Ok(()) => {}
                Err(message) => wrong.push(message),
            }
        }
        read.duties.sort();
        (read, wrong)
    }

    fn take(&mut self, name: &str, value: &str) -> Result<(), String> {
        match (name, value) {
            ("id", "") => return Err("`@id` is empty: give the policy a name".to_owned()),
            ("id", id) => self.id = Some(id.to_owned()),
            ("mode", "enforce") => {}
            ("mode", "observe") => self.observe = true,
            ("mode", other) => return Err(format!("`@mode` is `{other}`: write `enforce` or `observe`")),
            ("approval", "one") => self.duties.push(Duty::Approval(Approvers::One)),
            ("approval", "two-person") => self.duties.push(Duty::Approval(Approvers::TwoPeople)),
            ("approval", other) => return Err(format!("`@approval` is `{other}`: write `one` or `two-person`")),
            ("redact", "") => return Err("`@redact` is empty: name a category, such as `pii`".to_owned()),
            ("redact", category) => self.duties.push(Duty::Redact(category.into())),
            ("hold", text) => self.duties.push(Duty::Hold(duration(text).ok_or_else(|| {
                format!("`@hold` is `{text}`: write a whole number and a unit, such as `30s`, `10m`, `2h` or `1d`")
            })?)),
            (other, _) => {
                if let Some(meant) = KNOWN.iter().find(|known| strsim::damerau_levenshtein(known, other) == 1) {
                    return Err(format!("annotation `@{other}` has no meaning: did you mean `@{meant}`?"));
                }
            }
        }
        Ok(())
    }
}

/// A duration such as `10m`, longer than nothing and at most a year.
fn duration(text: &str) -> Option<Duration> {
    let unit_at = text.len().checked_sub(1)?;
    let unit = match text.get(unit_at..)? {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    let digits = text.get(..unit_at)?;
    let seconds = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<u64>().ok())??;
    let seconds = seconds.checked_mul(unit)?;
    (1..=31_536_000).contains(&seconds).then(|| Duration::from_secs(seconds))
}
