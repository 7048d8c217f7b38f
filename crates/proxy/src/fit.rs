//! Which of a call's permitted targets can take it. Owns the comparison of what a request asks for with what is known of
//! a model, and the sentence that refuses. Pure; never refuses for what is not known. The stage `authorize` calls it, so
//! that only somebody who may use a model learns what it lacks.

use tidegate_core::{
    capability::{Capability, Needs},
    facts::Resource,
    fault::{Fault, FaultCode},
};
use tidegate_protocol::llm::{ModelCall, Operation};
use tidegate_upstream::Target;

/// What stands in a target's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lack {
    /// It has not what the request needs: it would be refused or answered wrongly.
    Hard(Capability),
    /// The prompt certainly has more tokens than it takes: at least so many, of at most so many.
    Room(u64, u64),
    /// It can answer, and another could answer better: without reasoning, or in fewer tokens than were asked for.
    Soft,
}

/// What a call asks for.
struct Asked<'a> {
    call: &'a ModelCall,
    needs: Needs,
    max_output: Option<u64>,
}

/// The most targets that a refusal names.
const MOST_NAMED: usize = 3;

/// The resources among `permitted` that can take the call; nothing where all of them can.
///
/// # Errors
/// Where none of them can: says which model lacks what, and what the request asks.
pub(crate) fn fitting(
    call: &ModelCall,
    targets: &[std::sync::Arc<Target>],
    permitted: impl Fn(&Resource) -> bool,
) -> Result<Option<Vec<Resource>>, Fault> {
    if call.operation() != Operation::Generate {
        return Ok(None);
    }
    let resource = |target: &Target| Resource::Model(target.id.clone());
    let targets: Vec<_> = targets.iter().filter(|target| permitted(&resource(target))).collect();
    let asked = Asked { call, needs: call.needs(), max_output: call.max_output_tokens() };
    let lacks: Vec<Option<Lack>> = targets.iter().map(|target| lack(target, &asked)).collect();
    let those = |fits: &dyn Fn(&Option<Lack>) -> bool| -> Vec<Resource> {
        targets.iter().zip(&lacks).filter(|(_, lack)| fits(lack)).map(|(target, _)| resource(target)).collect()
    };
    let whole = those(&|lack| lack.is_none());
    if whole.len() == targets.len() {
        return Ok(None);
    }
    let able = if whole.is_empty() { those(&|lack| matches!(lack, Some(Lack::Soft))) } else { whole };
    if !able.is_empty() {
        return Ok(Some(able));
    }
    let mut said: Vec<String> = Vec::new();
    for (target, lack) in targets.iter().zip(&lacks).take(MOST_NAMED) {
        said.extend(lack.and_then(|lack| sentence(&target.id.to_string(), lack)));
    }
    let more = targets.len().saturating_sub(MOST_NAMED);
    let more = if more > 0 { format!("; nor do {more} more") } else { String::new() };
    let hint = "Ask without it, or ask a model that can; where this is wrong, `capabilities` and `max_input` of the \
                model in the configuration say otherwise.";
    Err(Fault::new(FaultCode::InvalidRequest, format!("{}{more}. {hint}", said.join("; "))))
}

fn sentence(target: &str, lack: Lack) -> Option<String> {
    match lack {
        Lack::Hard(capability) => {
            Some(format!("{target} {}, and the request {}", capability.lacked(), capability.asked()))
        }
        Lack::Room(has, takes) => {
            Some(format!("{target} takes a prompt of at most {takes} tokens, and this one has at least {has}"))
        }
        Lack::Soft => None,
    }
}

/// What stands in a target's way first.
fn lack(target: &Target, asked: &Asked<'_>) -> Option<Lack> {
    let lacking = target.capabilities.lacking(asked.needs);
    if let Some(capability) = lacking.iter().find(|capability| *capability != Capability::Reasoning) {
        return Some(Lack::Hard(capability));
    }
    // The upper bound says at no cost that most prompts fit.
    if let Some(takes) = target.max_input.filter(|takes| asked.call.estimate() > *takes) {
        let has = asked.call.fewest_tokens();
        if has > takes {
            return Some(Lack::Room(has, takes));
        }
    }
    let too_long = target.max_output.zip(asked.max_output).is_some_and(|(gives, asked)| asked > gives);
    (!lacking.is_empty() || too_long).then_some(Lack::Soft)
}
