//! What was found, and what is made of it: overlaps resolved, text rewritten, verdicts counted.
//!
//! Never keeps the text that was found: only where it stands and what kind it is. The chain, the hold and the proxy's
//! guard stages call it.

use std::{ops::Range, sync::Arc};

use tidegate_core::{
    facts::{GuardAction, GuardVerdict},
    ids::GuardrailName,
    segment::Origin,
};

/// One thing that one guardrail found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where it stands in the scanned text, in bytes, on character boundaries.
    pub range: Range<usize>,
    /// The detector that found it: `secrets`, `email`, `card`, `iban`.
    pub detector: &'static str,
    /// What it is: `secret.aws_access_key_id`, `pii.email`, `pii.card`, `pii.iban`.
    pub category: Arc<str>,
    /// The guardrail whose rule applies.
    pub guardrail: GuardrailName,
    /// What that rule wants done.
    pub action: GuardAction,
    /// Where the text came from.
    pub origin: Origin,
    /// What stands in its place instead of a mark: a token, or the value that a token stands for.
    pub replacement: Option<Arc<str>>,
}

impl Finding {
    /// What stands in the place of redacted text: `[REDACTED:` and the category without its group and `]`, so
    /// `[REDACTED:email]` or `[REDACTED:aws_access_key_id]`. No detector finds anything in such a mark.
    #[must_use]
    pub fn mark(&self) -> String {
        match &self.replacement {
            Some(replacement) => replacement.as_ref().to_owned(),
            None => format!("[REDACTED:{}]", self.kind()),
        }
    }

    /// The category without its group.
    pub(crate) fn kind(&self) -> &str {
        self.category.split_once('.').map_or(&*self.category, |(_, kind)| kind)
    }

    /// Whether it is a token whose value the caller gets back: nothing that was found.
    #[must_use]
    pub fn is_restored(&self) -> bool {
        self.replacement.is_some() && self.category.starts_with("token.")
    }

    /// Whether it says that a guardrail failed: nothing that was found in the text.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        self.category.starts_with("guardrail.")
    }

    /// Whether the text may not pass as it is.
    #[must_use]
    pub fn is_enforced(&self) -> bool {
        self.action > GuardAction::Label
    }
}

/// The category of secrets that only their name tells.
pub(crate) const GENERIC: &str = "secret.generic";

/// Makes findings disjoint, in the order of the text. Those that rewrite or block are joined where they overlap: the
/// joint one spans them all, so that no part of any is left, and is called after the strongest action, then a
/// known kind before a merely named secret, a secret before other things, then the longest. Labels that overlap one of those are dropped, labels that overlap each other joined.
pub(crate) fn resolve(mut found: Vec<Finding>) -> Vec<Finding> {
    if found.len() < 2 {
        return found;
    }
    found.sort_by_key(|finding| (finding.range.start, finding.range.end));
    let (enforced, labels): (Vec<_>, Vec<_>) = found.into_iter().partition(Finding::is_enforced);
    let enforced = join(enforced);
    let labels = join(labels);
    if enforced.is_empty() {
        return labels;
    }
    let mut out = Vec::with_capacity(enforced.len() + labels.len());
    let mut rest = enforced.into_iter().peekable();
    for label in labels {
        while let Some(earlier) = rest.next_if(|other| other.range.end <= label.range.start) {
            out.push(earlier);
        }
        if rest.peek().is_none_or(|other| other.range.start >= label.range.end) {
            out.push(label);
        }
    }
    out.extend(rest);
    out
}

/// Joins overlapping findings that are sorted by their start.
fn join(sorted: Vec<Finding>) -> Vec<Finding> {
    let mut out: Vec<(Finding, (bool, bool, usize))> = Vec::with_capacity(sorted.len());
    for next in sorted {
        let weight = (&*next.category != GENERIC, next.category.starts_with("secret."), next.range.len());
        match out.last_mut() {
            Some((last, best)) if next.range.start < last.range.end => {
                let range = last.range.start..last.range.end.max(next.range.end);
                if (next.action, weight) > (last.action, *best) {
                    *last = next;
                    *best = weight;
                }
                last.range = range;
            }
            _ => out.push((next, weight)),
        }
    }
    out.into_iter().map(|(finding, _)| finding).collect()
}

/// `text` with a mark in the place of every finding that redacts or blocks; labels change nothing. The findings must be
/// disjoint and in the order of the text, as `Chain::scan` gives them; a range outside the text is passed over.
#[must_use]
pub fn redact(text: &str, findings: &[Finding]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for finding in findings.iter().filter(|finding| finding.is_enforced()) {
        if let Some(before) = text.get(at..finding.range.start) {
            out.push_str(before);
            out.push_str(&finding.mark());
            at = finding.range.end;
        }
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out
}

/// The findings counted by guardrail, category, origin and action, in the order of their first appearance.
#[must_use]
pub fn verdicts(findings: &[Finding]) -> Vec<GuardVerdict> {
    let mut out = Vec::new();
    for finding in findings {
        count(&mut out, finding);
    }
    out
}

/// Counts one more finding. What is restored was none.
pub(crate) fn count(verdicts: &mut Vec<GuardVerdict>, finding: &Finding) {
    if finding.is_restored() {
        return;
    }
    let same = verdicts.iter_mut().find(|verdict| {
        verdict.category == finding.category
            && verdict.guardrail == finding.guardrail
            && verdict.action == finding.action
            && verdict.origin == finding.origin
    });
    match same {
        Some(verdict) => verdict.count = verdict.count.saturating_add(1),
        None => verdicts.push(GuardVerdict {
            guardrail: finding.guardrail.clone(),
            category: Arc::clone(&finding.category),
            origin: finding.origin,
            action: finding.action,
            count: 1,
        }),
    }
}

#[cfg(test)]
mod tests;
