//! The guardrails that apply to one caller, compiled: which detectors run on text of which origin, and what then.
//!
//! Owns the choice of rules and the shared pass over a text. Compiling is cheap: detectors and their data are built
//! once per process. Never keeps text. The proxy compiles one per key and revision; `hold` runs it inside streams.

use std::{
    cell::Cell,
    panic::{self, AssertUnwindSafe},
    sync::Arc,
};

use smallvec::SmallVec;
use tidegate_core::{facts::GuardAction, ids::GuardrailName, segment::Origin};

use crate::{
    detectors::{self, COUNT},
    finding::{Finding, resolve},
    fold,
    guard::{Detector, Input, LOOKBACK, Sink, Trigger, Triggers},
    prefilter::{self, Pass},
    spec::{COMPOSITES, DETECTORS, GuardrailSpec, Phase, detector_names},
    watch::{Failure, Terms, Watch},
};

/// Why guardrails cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// A guardrail names a detector that does not exist.
    #[error("guardrail `{guardrail}`: detector `{detector}` does not exist; there are {known}")]
    UnknownDetector {
        /// The guardrail.
        guardrail: GuardrailName,
        /// What it names.
        detector: String,
        /// What it may name.
        known: String,
    },
    /// A guardrail looks for nothing.
    #[error("guardrail `{0}`: `detect` is empty; name at least one detector")]
    DetectsNothing(GuardrailName),
    /// A guardrail looks nowhere.
    #[error("guardrail `{0}`: `on` is empty; name at least one phase")]
    LooksNowhere(GuardrailName),
    /// The detectors' own data do not parse: a fault of the build.
    #[error("built-in detector data are broken: {0}; reinstall tidegate")]
    Data(Arc<str>),
}

/// What one detector does with what it finds on one way.
#[derive(Debug, Clone)]
struct Rule {
    terms: Arc<Terms>,
    action: GuardAction,
}

/// The rules of one way, by the detectors' place in the registry; of each detector the strongest first.
#[derive(Debug, Clone, Default)]
struct Plan {
    rules: [SmallVec<[Rule; 1]>; COUNT],
    triggers: Triggers,
    /// Which detectors run, and what each wants.
    active: Vec<(usize, Triggers)>,
}

impl Plan {
    fn add(&mut self, detector: usize, rule: &Rule) {
        if let Some(rules) = self.rules.get_mut(detector) {
            let at = rules.iter().position(|known| known.action < rule.action).unwrap_or(rules.len());
            rules.insert(at, rule.clone());
        }
    }

    fn is_empty(&self) -> bool {
        self.active.is_empty()
    }

    /// The rule of a detector that applies, once those of guardrails that failed are passed over.
    fn rule(&self, detector: usize, watch: &Watch) -> Option<&Rule> {
        let rules = self.rules.get(detector)?;
        if watch.is_clean() {
            return rules.first();
        }
        rules.iter().find(|rule| !watch.has_failed(&rule.terms.guardrail))
    }
}

/// Compiled guardrails. Where several guardrails run the same detector on the same way, the strongest action counts,
/// and among equals the one named first; where that guardrail fails, the next.
#[derive(Debug, Clone, Default)]
pub struct Chain {
    plans: [Plan; 6],
    /// Whether any guardrail has a limit.
    limited: bool,
}

/// A detector that runs, with the rule that it runs for.
struct Active<'r> {
    place: usize,
    wanted: Triggers,
    detector: &'r dyn Detector,
    rule: &'r Rule,
    sink: Sink,
    /// Whether its guardrail failed: what it found until then counts.
    over: bool,
}

/// One pass of all detectors over a text.
struct Looking<'r, 'i> {
    plan: &'r Plan,
    input: &'i Input<'i>,
    watch: &'i Watch,
    active: SmallVec<[Active<'r>; 8]>,
    /// Whose detector looks now: where one gives up, this says whose it was.
    now: &'i Cell<Option<&'r Arc<Terms>>>,
}

impl Pass for Looking<'_, '_> {
    fn look(&mut self, trigger: Trigger) {
        for one in &mut self.active {
            if one.wanted.want(trigger) && !one.over {
                self.now.set(Some(&one.rule.terms));
                #[cfg(test)]
                tests::may_give_up(one.place);
                one.detector.look(self.input, trigger, &mut one.sink);
            }
        }
    }

    fn goes_on(&mut self) -> bool {
        let Some(elapsed) = self.watch.elapsed() else { return true };
        let mut next: SmallVec<[Active<'_>; 2]> = SmallVec::new();
        for one in self.active.iter_mut().filter(|one| !one.over && one.rule.terms.is_late(elapsed)) {
            self.watch.fail(&one.rule.terms, Failure::Timeout);
            one.over = true;
            // Another guardrail may want the same detector, with more time.
            let mut others = self.plan.rules.get(one.place).into_iter().flatten();
            let waiting =
                others.find(|rule| !rule.terms.is_late(elapsed) && !self.watch.has_failed(&rule.terms.guardrail));
            if let Some(rule) = waiting {
                next.push(Active { rule, sink: Sink::default(), over: false, ..*one });
            }
        }
        self.active.extend(next);
        self.active.iter().any(|one| !one.over)
    }
}

/// What a scan of unfinished text gives: findings by detector, not resolved, and what is open.
#[derive(Debug, Default)]
pub(crate) struct Raw {
    pub(crate) hits: Vec<RawHit>,
    pub(crate) opens: Vec<RawOpen>,
}

/// A hit with the rule that applies.
#[derive(Debug)]
pub(crate) struct RawHit {
    pub(crate) anchor: usize,
    pub(crate) finding: Finding,
}

/// An open place with the rule that applies, were it a finding up to the end of the text.
#[derive(Debug)]
pub(crate) struct RawOpen {
    pub(crate) anchor: usize,
    pub(crate) certain: Option<usize>,
    pub(crate) finding: Finding,
}

impl Chain {
    /// Compiles guardrails.
    ///
    /// # Errors
    /// [`CompileError`] on the first guardrail that names an unknown detector, no detector or no phase.
    pub fn compile(specs: &[GuardrailSpec]) -> Result<Self, CompileError> {
        let registry = detectors::all()?;
        let limited = specs.iter().any(|spec| spec.limit.is_some());
        let mut chain = Self { limited, ..Self::default() };
        for spec in specs {
            if spec.detect.is_empty() {
                return Err(CompileError::DetectsNothing(spec.name.clone()));
            }
            if spec.on.is_empty() {
                return Err(CompileError::LooksNowhere(spec.name.clone()));
            }
            for name in &spec.detect {
                let places = places(name.as_str());
                if places.is_empty() {
                    return Err(CompileError::UnknownDetector {
                        guardrail: spec.name.clone(),
                        detector: name.as_str().chars().take(64).collect(),
                        known: detector_names().collect::<Vec<_>>().join(", "),
                    });
                }
                let terms = Terms { guardrail: spec.name.clone(), limit: spec.limit, on_error: spec.on_error };
                let rule = Rule { terms: Arc::new(terms), action: spec.action };
                for place in places {
                    chain.add(place, &spec.on, &rule);
                }
            }
        }
        for plan in &mut chain.plans {
            for (place, detector) in registry.iter().enumerate() {
                if plan.rules.get(place).is_some_and(|rules| !rules.is_empty()) {
                    let wanted = detector.triggers();
                    plan.triggers = plan.triggers.or(wanted);
                    plan.active.push((place, wanted));
                }
            }
        }
        Ok(chain)
    }

    fn add(&mut self, detector: usize, on: &[Phase], rule: &Rule) {
        for (origin, plan) in ORIGINS.into_iter().zip(&mut self.plans) {
            if on.iter().any(|phase| phase.covers(origin)) {
                plan.add(detector, rule);
            }
        }
    }

    fn plan(&self, origin: Origin) -> Option<&Plan> {
        ORIGINS.into_iter().zip(&self.plans).find(|(known, _)| *known == origin).map(|(_, plan)| plan)
    }

    /// Whether no guardrail looks at anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.plans.iter().all(Plan::is_empty)
    }

    /// Whether any guardrail looks at text of this origin.
    #[must_use]
    pub fn applies(&self, origin: Origin) -> bool {
        self.plan(origin).is_some_and(|plan| !plan.is_empty())
    }

    /// Whether any guardrail would change or block text of this origin, and not only label it.
    #[must_use]
    pub fn enforces(&self, origin: Origin) -> bool {
        self.plan(origin).is_some_and(|plan| plan.rules.iter().flatten().any(|rule| rule.action > GuardAction::Label))
    }

    /// The guardrail that puts tokens in the place of values, if any does.
    #[must_use]
    pub fn tokenizes(&self) -> Option<&GuardrailName> {
        let rules = self.plans.iter().flat_map(|plan| plan.rules.iter().flatten());
        rules.into_iter().find(|rule| rule.action == GuardAction::Tokenize).map(|rule| &rule.terms.guardrail)
    }

    /// The time of a look that begins now.
    #[must_use]
    pub fn watch(&self) -> Watch {
        Watch::begin(self.limited)
    }

    /// Everything that is found in a whole text, however long it takes: disjoint, in the order of the text, overlaps resolved (what rewrites
    /// or blocks is joined and called after the strongest action, then the longest match). Linear in the text.
    #[must_use]
    pub fn scan(&self, origin: Origin, text: &str) -> Vec<Finding> {
        self.scan_watched(origin, text, &Watch::default())
    }

    fn scan_watched(&self, origin: Origin, text: &str, watch: &Watch) -> Vec<Finding> {
        let mut found = self.findings(origin, text, watch);
        for folded in fold::windows(text, || self.goes_on(origin, watch)) {
            found.extend(self.findings(origin, folded.text(), watch).into_iter().map(|mut finding| {
                finding.range = folded.start(finding.range.start)..folded.end(text, finding.range.end);
                finding
            }));
        }
        resolve(found)
    }

    /// Whether any guardrail that looks at text of this origin has time left, and has not failed.
    fn goes_on(&self, origin: Origin, watch: &Watch) -> bool {
        let Some(plan) = self.plan(origin) else { return false };
        if let Some(elapsed) = watch.elapsed() {
            for rule in plan.rules.iter().flatten().filter(|rule| rule.terms.is_late(elapsed)) {
                watch.fail(&rule.terms, Failure::Timeout);
            }
        }
        watch.is_clean() || plan.active.iter().any(|(place, _)| plan.rule(*place, watch).is_some())
    }

    fn findings(&self, origin: Origin, text: &str, watch: &Watch) -> Vec<Finding> {
        let raw = self.scan_plain(origin, &Input::new(text, 0, true), watch);
        raw.hits.into_iter().map(|hit| hit.finding).collect()
    }

    /// As [`Self::scan`], for a text whose place has a name that may say what it is: an argument, a field. Ranges count
    /// in the text; the name itself is not looked at. Of long texts the name makes no difference. Guardrails that fail,
    /// by the time of `watch` or by a panic, are findings at the end of the list, once each.
    #[must_use]
    pub fn scan_named(&self, origin: Origin, name: Option<&str>, text: &str, watch: &Watch) -> Vec<Finding> {
        let mut found = self.scan_at(origin, name, text, watch);
        if !watch.is_clean() {
            found.extend(watch.failures(origin));
        }
        found
    }

    fn scan_at(&self, origin: Origin, name: Option<&str>, text: &str, watch: &Watch) -> Vec<Finding> {
        let Some(name) = name.filter(|name| name.len() <= NAMED && text.len() <= NAMED) else {
            return self.scan_watched(origin, text, watch);
        };
        let mut named = String::with_capacity(name.len() + text.len() + 6);
        named.extend(["\"", name, "\": \"", text, "\""]);
        let start = name.len() + 5;
        let mut found = self.scan_watched(origin, &named, watch);
        found.retain_mut(|finding| {
            let (from, to) = (finding.range.start.max(start) - start, finding.range.end.saturating_sub(start));
            finding.range = from..to.min(text.len());
            !finding.range.is_empty()
        });
        found
    }

    /// Everything that is found, and what is open, in `input` after its context, as it stands and as it reads.
    pub(crate) fn scan_input(&self, origin: Origin, input: &Input<'_>, watch: &Watch) -> Raw {
        let mut raw = self.scan_plain(origin, input, watch);
        let near = input.from().saturating_sub(LOOKBACK);
        let context = (near..=input.from()).find(|at| input.text().is_char_boundary(*at)).unwrap_or(0);
        let Some(folded) = fold::tail(input.text(), context) else { return raw };
        let seen = Input::new(folded.text(), folded.find(input.from()), input.is_complete());
        let Raw { hits, opens } = self.scan_plain(origin, &seen, watch);
        raw.hits.extend(hits.into_iter().map(|mut hit| {
            let range = hit.finding.range;
            hit.finding.range = folded.start(range.start)..folded.end(input.text(), range.end);
            RawHit { anchor: folded.start(hit.anchor), ..hit }
        }));
        raw.opens.extend(opens.into_iter().map(|mut open| {
            let anchor = folded.start(open.anchor);
            open.finding.range = anchor..input.len();
            RawOpen { anchor, certain: open.certain.map(|head| folded.end(input.text(), head)), ..open }
        }));
        raw.hits.retain(|hit| hit.anchor >= input.from());
        raw.opens.retain(|open| open.anchor >= input.from());
        raw
    }

    /// Everything that is found, and what is open, in `input` after its context. Where a detector gives up, its
    /// guardrail has failed, and the others look once more.
    fn scan_plain(&self, origin: Origin, input: &Input<'_>, watch: &Watch) -> Raw {
        let (Some(plan), Ok(registry)) = (self.plan(origin), detectors::all()) else { return Raw::default() };
        // Each turn that does not end it takes one guardrail out.
        loop {
            let active: SmallVec<[Active<'_>; 8]> = plan
                .active
                .iter()
                .filter_map(|(place, wanted)| {
                    Some(Active {
                        place: *place,
                        wanted: *wanted,
                        detector: registry.get(*place)?.as_ref(),
                        rule: plan.rule(*place, watch)?,
                        sink: Sink::default(),
                        over: false,
                    })
                })
                .collect();
            if active.is_empty() {
                return Raw::default();
            }
            match pass(plan, input, watch, active) {
                Ok(active) => return gather(origin, input, active),
                Err(failed) => failed.iter().for_each(|terms| watch.fail(terms, Failure::Panic)),
            }
        }
    }
}

/// Goes over a text with these detectors; gives back what they found, or those whose detector gave up.
fn pass<'r>(
    plan: &'r Plan,
    input: &Input<'_>,
    watch: &Watch,
    active: SmallVec<[Active<'r>; 8]>,
) -> Result<SmallVec<[Active<'r>; 8]>, Vec<Arc<Terms>>> {
    let now = Cell::new(None);
    let mut looking = Looking { plan, input, watch, active, now: &now };
    // What a detector leaves behind when it gives up is thrown away with `looking`.
    let over = panic::catch_unwind(AssertUnwindSafe(|| {
        if looking.goes_on() {
            prefilter::run(input, plan.triggers, &mut looking);
        }
        looking.active
    }));
    over.map_err(|_| match now.get() {
        Some(terms) => vec![Arc::clone(terms)],
        None => plan.rules.iter().flatten().map(|rule| Arc::clone(&rule.terms)).collect(),
    })
}

/// The findings of detectors that have looked. What one whose time was over left undecided, nobody will decide.
fn gather(origin: Origin, input: &Input<'_>, active: SmallVec<[Active<'_>; 8]>) -> Raw {
    let mut raw = Raw::default();
    for Active { detector, rule, sink, over, .. } in active {
        let finding = |range, category| Finding {
            range,
            detector: detector.name(),
            category,
            guardrail: rule.terms.guardrail.clone(),
            action: rule.action,
            origin,
            replacement: None,
        };
        raw.hits.extend(
            sink.hits
                .into_iter()
                .filter(|hit| hit.anchor >= input.from() && hit.end > hit.start)
                .map(|hit| RawHit { anchor: hit.anchor, finding: finding(hit.start..hit.end, hit.category) }),
        );
        let opens = sink.opens.into_iter().filter(|open| open.anchor >= input.from() && !over);
        raw.opens.extend(opens.map(|open| RawOpen {
            anchor: open.anchor,
            certain: open.certain,
            finding: finding(open.anchor..input.len(), open.category),
        }));
    }
    raw
}

/// Names and texts of at most so many bytes are looked at together.
const NAMED: usize = 512;

const ORIGINS: [Origin; 6] = [
    Origin::Prompt,
    Origin::Completion,
    Origin::ToolDescription,
    Origin::ToolArgument,
    Origin::ToolResult,
    Origin::AgentMessage,
];

/// The places in the registry that a name stands for; none where it is unknown.
fn places(name: &str) -> Vec<usize> {
    match COMPOSITES.iter().find(|(composite, _)| *composite == name) {
        Some((_, members)) => members.iter().flat_map(|member| places(member)).collect(),
        None => DETECTORS.iter().position(|detector| *detector == name).into_iter().collect(),
    }
}

#[cfg(test)]
mod tests;
