//! Which of a call's permitted targets can take it. Owns the comparison of what a request asks for with what is known of
//! a model, the sentence that refuses, and the words for what was passed over. Pure; never refuses for what is not known.
//! The stage `authorize` calls it, so that only somebody who may use a model learns what it lacks.

use std::{cell::OnceCell, sync::Arc};

use tidegate_core::{
    capability::{Capability, Needs},
    facts::Resource,
    fault::{Fault, FaultCode},
};
use tidegate_protocol::llm::{ModelCall, Operation};
use tidegate_upstream::Target;

/// What stands in a target's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Lacks {
    /// It has not what the request needs: it would be refused or answered wrongly.
    hard: Needs,
    /// The prompt certainly has more tokens than it takes: at most so many.
    room: Option<u64>,
    /// It can answer, and another could answer better: it does not reason,
    dull: bool,
    /// or answers with at most so many tokens, and more were asked for.
    short: Option<u64>,
}

/// What a call asks for.
struct Asked<'a> {
    call: &'a ModelCall,
    needs: Needs,
    /// The most tokens of each answer that is asked for.
    max_output: Option<u64>,
    /// The fewest tokens that the prompt can be: looked for once, where the upper bound leaves a doubt.
    fewest: OnceCell<u64>,
}

/// What became of a call's targets, where not all of them can take it.
#[derive(Debug)]
pub(crate) struct Fit {
    /// Those that can.
    pub(crate) able: Vec<Resource>,
    /// The others, each with what it lacks: at most [`MOST_NAMED`] of them.
    pub(crate) passed_over: Vec<String>,
}

/// The most targets that a refusal or a call's story names.
const MOST_NAMED: usize = 8;

/// Which of the targets that are `permitted` can take the call; nothing where all of them can. A target that stands in
/// a route more than once can where one of its entries says so.
///
/// # Errors
/// Where none of them can: says what each model lacks, and what the request asks.
pub(crate) fn fitting(
    call: &ModelCall,
    targets: &[Arc<Target>],
    permitted: impl Fn(&Resource) -> bool,
) -> Result<Option<Fit>, Fault> {
    if call.operation() != Operation::Generate {
        return Ok(None);
    }
    let asked = Asked {
        call,
        needs: call.needs(),
        max_output: call.max_output_tokens().map(|most| most.div_ceil(call.choices().max(1))),
        fewest: OnceCell::new(),
    };
    if targets.iter().all(|target| asked.lacks(target).is_nothing()) {
        return Ok(None);
    }
    let resource = |target: &Target| Resource::Model(target.id.clone());
    let judged: Vec<(&Target, Lacks)> = targets
        .iter()
        .filter(|target| permitted(&resource(target)))
        .map(|target| (&**target, asked.lacks(target)))
        .collect();
    let whole = judged.iter().any(|(_, lacks)| lacks.is_nothing());
    let fits = |lacks: &Lacks| if whole { lacks.is_nothing() } else { !lacks.is_hard() };
    let (able, unable): (Vec<_>, Vec<_>) = judged.into_iter().partition(|(_, lacks)| fits(lacks));
    if unable.is_empty() {
        return Ok(None);
    }
    if able.is_empty() {
        return Err(refusal(&asked, &unable));
    }
    let passed_over = unable.iter().take(MOST_NAMED).map(|(target, lacks)| lacks.words(target)).collect();
    Ok(Some(Fit { able: able.into_iter().map(|(target, _)| resource(target)).collect(), passed_over }))
}

/// The refusal of a call that none of its targets can take.
fn refusal(asked: &Asked<'_>, unable: &[(&Target, Lacks)]) -> Fault {
    let said: Vec<String> = unable.iter().take(MOST_NAMED).map(|(target, lacks)| lacks.words(target)).collect();
    let more = match unable.len().saturating_sub(MOST_NAMED) {
        0 => String::new(),
        more => format!("; {more} more cannot take it either"),
    };
    let lacking = unable.iter().fold(Needs::default(), |all, (_, lacks)| all.and(lacks.hard));
    let mut asks: Vec<String> = lacking.iter().map(|capability| capability.asked().to_owned()).collect();
    if unable.iter().any(|(_, lacks)| lacks.room.is_some()) {
        asks.push(format!("has a prompt of at least {} tokens", asked.fewest()));
    }
    let (said, asks) = (said.join("; "), listed(&asks));
    let words = format!(
        "{said}{more}. The request {asks}: ask without that, or ask a model that can. Where this is wrong, \
         `capabilities` and `max_input` of the model or the target in the configuration say otherwise."
    );
    Fault::new(FaultCode::InvalidRequest, words)
}

/// `a`, `a and b`, `a, b and c`.
fn listed(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

impl Asked<'_> {
    fn fewest(&self) -> u64 {
        *self.fewest.get_or_init(|| self.call.fewest_tokens())
    }

    fn lacks(&self, target: &Target) -> Lacks {
        let lacking = target.capabilities.lacking(self.needs);
        // The upper bound says at no cost that most prompts fit.
        let close = target.max_input.filter(|takes| self.call.estimate() > *takes);
        Lacks {
            hard: lacking.without(Capability::Reasoning),
            room: close.filter(|takes| self.fewest() > *takes),
            dull: lacking.has(Capability::Reasoning),
            short: target.max_output.filter(|gives| self.max_output.is_some_and(|asked| asked > *gives)),
        }
    }
}

impl Lacks {
    fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    fn is_hard(&self) -> bool {
        !self.hard.is_empty() || self.room.is_some()
    }

    /// What `target` lacks, all of it.
    fn words(&self, target: &Target) -> String {
        let mut words: Vec<String> = self.hard.iter().map(|capability| capability.lacked().to_owned()).collect();
        words.extend(self.room.map(|takes| format!("takes a prompt of at most {takes} tokens")));
        words.extend(self.dull.then(|| Capability::Reasoning.lacked().to_owned()));
        words.extend(self.short.map(|gives| format!("answers with at most {gives} tokens")));
        format!("{} {}", target.id, listed(&words))
    }
}
