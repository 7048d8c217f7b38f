//! One channel of a stream: its undecided text, the context before it, and the changes not yet applied.
//!
//! Owns the release point: the byte before which everything is decided. Offsets count from the channel's start, unless
//! a name says `window`. Never holds frames; that is the hold's.

use std::collections::VecDeque;

use tidegate_core::{facts::GuardAction, segment::Origin};

use crate::{
    chain::{Chain, Raw, RawOpen},
    finding::{Finding, resolve},
    guard::{Class, Input, LOOKBACK},
    tokens::Tokens,
    watch::Watch,
};

/// From how many bytes on something sure to be a finding is redacted as it passes, instead of held for its end.
const PASSING: usize = 1024;
/// How much context is gathered before it is cut back to [`LOOKBACK`].
const SLACK: usize = 1024;

/// A change to the text: `start..end` is replaced by the mark, or cut out.
struct Edit {
    start: usize,
    end: usize,
    mark: Option<String>,
}

/// A finding that passes: where it starts in the window, and where the head that proves it ends there.
#[derive(Clone, Copy)]
struct Passing {
    start: usize,
    head: usize,
}

/// What looks at the text.
#[derive(Clone, Copy)]
pub(super) struct Sight<'h> {
    pub(super) chain: &'h Chain,
    pub(super) origin: Origin,
    pub(super) tokens: Option<&'h Tokens>,
    /// Whether anything would change the text.
    pub(super) enforces: bool,
    /// The time that it takes, and who failed.
    pub(super) watch: &'h Watch,
}

impl Sight<'_> {
    /// Notes guardrails that failed in the last look; gives one that lets nothing pass which it has not seen. Then
    /// nothing of what was looked at is decided.
    fn failed(&self, found: &mut dyn FnMut(&Finding)) -> Option<Finding> {
        if self.watch.is_clean() {
            return None;
        }
        let failures = self.watch.failures(self.origin);
        failures.iter().for_each(found);
        failures.into_iter().find(|failure| failure.action == GuardAction::Block)
    }
}

pub(super) struct Channel {
    id: u32,
    /// Context and undecided text.
    window: String,
    /// Where the window starts.
    base: usize,
    /// Before this everything is decided.
    settled: usize,
    /// Up to here frames have left.
    left: usize,
    edits: VecDeque<Edit>,
    passing: Option<Passing>,
    /// Whether the rest of a token whose start was taken for a finding by force is to be cut out.
    cutting: bool,
}

impl Channel {
    pub(super) fn new(id: u32) -> Self {
        Self {
            id,
            window: String::new(),
            base: 0,
            settled: 0,
            left: 0,
            edits: VecDeque::new(),
            passing: None,
            cutting: false,
        }
    }

    pub(super) fn id(&self) -> u32 {
        self.id
    }

    pub(super) fn settled(&self) -> usize {
        self.settled
    }

    /// Whether nothing is undecided and no frame waits for it.
    pub(super) fn is_quiet(&self) -> bool {
        self.settled == self.end() && self.left == self.settled && self.passing.is_none() && !self.cutting
    }

    fn end(&self) -> usize {
        self.base + self.window.len()
    }

    /// Adds text; gives the place it has.
    pub(super) fn append(&mut self, text: &str) -> (usize, usize) {
        let start = self.end();
        self.window.push_str(text);
        if self.cutting && self.settled == start {
            let cut = text.bytes().take_while(|byte| Class::VALUE.has(*byte) || *byte == b'=').count();
            self.cutting = cut == text.len();
            self.settled += cut;
            self.edit(start, start + cut, None);
        }
        (start, start + text.len())
    }

    /// Frames have left up to `end`.
    pub(super) fn left(&mut self, end: usize) {
        self.left = end;
        while self.edits.pop_front_if(|edit| edit.end <= end).is_some() {}
    }

    /// Forgets the context: what follows is another text.
    pub(super) fn restart(&mut self) {
        self.base = self.end();
        self.settled = self.base;
        self.window.clear();
        self.passing = None;
        self.cutting = false;
    }

    /// `text`, which stands at `start`, with the changes that concern it, if any do.
    pub(super) fn rewrite(&self, text: &str, start: usize) -> Option<String> {
        let end = start + text.len();
        let mut out: Option<String> = None;
        let mut at = start;
        for edit in self.edits.iter().filter(|edit| edit.start < end && edit.end > start) {
            let out = out.get_or_insert_with(|| String::with_capacity(text.len()));
            if edit.start > at {
                out.push_str(text.get(at - start..edit.start - start).unwrap_or_default());
            }
            if edit.start >= start {
                out.push_str(edit.mark.as_deref().unwrap_or_default());
            }
            at = edit.end.min(end);
        }
        let mut out = out?;
        out.push_str(text.get(at - start..).unwrap_or_default());
        Some(out)
    }

    fn edit(&mut self, start: usize, end: usize, mark: Option<String>) {
        if start < end {
            self.edits.push_back(Edit { start, end, mark });
        }
    }

    /// Decides what can be decided. Gives what blocks, and then has decided only what stands before it.
    pub(super) fn advance(
        &mut self,
        sight: Sight<'_>,
        complete: bool,
        found: &mut dyn FnMut(&Finding),
    ) -> Option<Finding> {
        if self.settled == self.end() && !(complete && self.passing.is_some()) {
            return None;
        }
        let raw = self.scan(sight, complete);
        if let Some(failure) = sight.failed(found) {
            return Some(failure);
        }
        let mut point = raw.opens.iter().map(|open| open.anchor).min().unwrap_or(self.window.len());
        let mut anchors: Vec<_> = raw.hits.iter().map(|hit| (hit.anchor, hit.finding.range.end)).collect();
        anchors.sort_unstable();
        for (anchor, end) in anchors.into_iter().rev() {
            if anchor < point && end > point {
                point = anchor;
            }
        }
        let first = raw.opens.into_iter().min_by_key(|open| (open.anchor, open.certain.is_none()));
        // Only what would change the text may pass: a label must not let out what another rule still holds.
        let sure = first.filter(|open| open.certain.is_some() && (open.finding.is_enforced() || !sight.enforces));
        let found_whole: Vec<_> = raw.hits.into_iter().map(|hit| hit.finding).collect();
        if let Some(block) = self.blocked(&found_whole, sure.as_ref(), point, found) {
            return Some(block);
        }
        match sure {
            Some(open) if self.goes_on(&open) || self.end() - self.settled > PASSING => {
                self.pass(open, found_whole, found);
            }
            _ => {
                for finding in resolve(found_whole).iter().filter(|finding| finding.range.end <= point) {
                    self.settle(finding, found);
                }
                self.settled = self.settled.max(self.base + point);
                if self.passing.is_some_and(|passing| point > passing.start) {
                    self.passing = None;
                }
                self.trim();
            }
        }
        None
    }

    /// What blocks, if anything does; then only what stands before it is decided.
    fn blocked(
        &mut self,
        hits: &[Finding],
        sure: Option<&RawOpen>,
        point: usize,
        found: &mut dyn FnMut(&Finding),
    ) -> Option<Finding> {
        let all = hits.iter().chain(sure.map(|open| &open.finding));
        if !all.clone().any(|finding| finding.action == GuardAction::Block) {
            return None;
        }
        let all = resolve(all.cloned().collect());
        let mut block = all.iter().find(|finding| finding.action == GuardAction::Block)?.clone();
        let point = point.min(block.range.start);
        for finding in all.iter().filter(|finding| finding.range.end <= point) {
            self.settle(finding, found);
        }
        found(&block);
        self.settled = self.settled.max(self.base + point);
        block.range = self.base + block.range.start..self.base + block.range.end;
        Some(block)
    }

    fn scan(&self, sight: Sight<'_>, complete: bool) -> Raw {
        let from = self.passing.map_or(self.settled - self.base, |passing| passing.start);
        let input = Input::new(&self.window, from, complete);
        let mut raw = sight.chain.scan_input(sight.origin, &input, sight.watch);
        if let Some(tokens) = sight.tokens {
            tokens.look(sight.origin, &input, &mut raw);
        }
        raw
    }

    /// Notes a finding; where its start has passed already, only what is left of it is cut out.
    fn settle(&mut self, finding: &Finding, found: &mut dyn FnMut(&Finding)) {
        let (start, end) = (self.base + finding.range.start, self.base + finding.range.end);
        let passed = start < self.settled;
        if !passed {
            found(finding);
        }
        if finding.is_enforced() {
            self.edit(start.max(self.settled), end, (!passed).then(|| finding.mark()));
        }
    }

    /// Whether this is the finding that passes already.
    fn goes_on(&self, open: &RawOpen) -> bool {
        self.passing.is_some_and(|passing| passing.start == open.anchor)
    }

    /// Lets something pass that is sure to be a finding: all of it so far is replaced, together with what overlaps it,
    /// and only its head and its last bytes are kept, so that its end is found as in the whole text.
    fn pass(&mut self, open: RawOpen, hits: Vec<Finding>, found: &mut dyn FnMut(&Finding)) {
        let end = self.end();
        let head = match self.passing {
            Some(passing) if self.goes_on(&open) => passing.head,
            _ => open.certain.unwrap_or(open.anchor),
        };
        let mut all = hits;
        all.push(open.finding);
        for finding in resolve(all) {
            self.settle(&finding, found);
        }
        self.settled = end;
        let context = floor(&self.window, open.anchor.saturating_sub(LOOKBACK));
        let tail = floor(&self.window, self.window.len().saturating_sub(LOOKBACK)).max(head);
        let kept = [self.window.get(context..head), self.window.get(tail..)].map(Option::unwrap_or_default).concat();
        self.passing = Some(Passing { start: open.anchor - context, head: head - context });
        self.base = end - kept.len();
        self.window = kept;
    }

    /// Takes all that is undecided for one finding, together with the rest of its token.
    pub(super) fn force(&mut self, sight: Sight<'_>, found: &mut dyn FnMut(&Finding)) -> Option<Finding> {
        let raw = self.scan(sight, false);
        if let Some(failure) = sight.failed(found) {
            return Some(failure);
        }
        let hits: Vec<_> = raw.hits.into_iter().map(|hit| hit.finding).collect();
        // Of equals the first: formats with longer prefixes are reported before others.
        let weight = |open: &RawOpen| {
            (open.finding.action, open.certain.is_some(), open.finding.category.starts_with("secret."))
        };
        let open = raw.opens.into_iter().rev().max_by_key(weight);
        let Some(mut open) = open.filter(|open| open.finding.is_enforced()) else {
            for finding in resolve(hits) {
                self.settle(&finding, found);
            }
            self.settled = self.end();
            self.passing = None;
            self.trim();
            return None;
        };
        if open.finding.action == GuardAction::Block {
            return self.blocked(&hits, Some(&open), open.anchor, found);
        }
        if !self.goes_on(&open) {
            open.finding.range.start = self.settled - self.base;
        }
        if open.certain.is_some() {
            self.pass(open, hits, found);
            return None;
        }
        self.settle(&open.finding, found);
        self.cutting = true;
        self.settled = self.end();
        self.passing = None;
        self.trim();
        None
    }

    /// Cuts the context back.
    fn trim(&mut self) {
        let keep = self.settled - self.base;
        if self.passing.is_none() && keep > LOOKBACK + SLACK {
            let cut = floor(&self.window, keep - LOOKBACK);
            self.window.drain(..cut);
            self.base += cut;
        }
    }
}

/// The last character boundary at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    (0..=at).rev().take(4).find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}
