//! The decision: a pure function of policies, principal, facts, resource and time. What is denied or permitted, by
//! which policies, with which duties. Called by `permit`, by back-testing, and by whoever explains a call.

use std::{
    borrow::Cow,
    cell::OnceCell,
    collections::{HashMap, HashSet},
    sync::Arc,
};

use cedar_policy::{Authorizer, Context, Entities, Request};
use tidegate_core::{
    clock::UnixMillis,
    facts::{Action, Facts, Resource},
    ids::KeyName,
    principal::Principal,
};

use crate::{
    allow,
    context::{self, Parts},
    duty::Duty,
    entities::{Catalog, Defect, Object, Subject},
    input::KeyEntity,
    problem::PolicyProblem,
    shape::{self, ArgPath, Mapped},
    slice::{Answers, Entry, Index, Posed, Question, Scope, When},
};

/// What was decided about one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Whether the call may be made.
    pub effect: Effect,
    /// The ids of the policies that decided: permits where it is allowed, otherwise the forbids, the policies that
    /// could not be evaluated, or the permits whose duties cannot be met. Empty where nothing permits. Sorted.
    pub determining: Vec<Arc<str>>,
    /// Policies that apply and could not be evaluated. One is enough to deny. Sorted.
    pub errors: Vec<EvaluationError>,
    /// What policies in observe mode say; they do not act. Sorted.
    pub observed: Vec<Observed>,
    /// What must be done, from every permit that applies, where no forbid does. Sorted.
    pub duties: Vec<Duty>,
}

/// The outcome of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// At least one permit applies, no forbid does, every policy could be evaluated, and no duty stands in the way.
    Allow,
    /// Anything else.
    Deny(DenyReason),
}

/// Why something is denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DenyReason {
    /// No permit applies.
    NothingPermits,
    /// A permit applies, but asks for approval or a delay, and the call has neither.
    ApprovalRequired,
    /// A policy that applies could not be evaluated.
    EvaluationError,
    /// A forbid applies.
    Forbidden,
}

impl DenyReason {
    /// The reason's name in records and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NothingPermits => "nothing_permits",
            Self::ApprovalRequired => "approval_required",
            Self::EvaluationError => "evaluation_error",
            Self::Forbidden => "forbidden",
        }
    }
}

/// A policy that could not be evaluated. The message holds nothing of the call's content but an argument's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EvaluationError {
    /// The policy's id; empty where the decision itself could not be made.
    pub policy: Arc<str>,
    /// What went wrong.
    pub message: String,
}

/// What a policy in observe mode says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Observed {
    /// The policy's id.
    pub policy: Arc<str>,
    /// What it would do if it were enforced.
    pub effect: ObservedEffect,
}

/// What an observing policy would do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ObservedEffect {
    /// It permits.
    Permit,
    /// It forbids.
    Forbid,
    /// It cannot be evaluated, so it would deny.
    Error(String),
}

/// The policies of one revision, compiled. Immutable; a key more makes a new one that shares the rest.
#[derive(Debug, Clone)]
pub struct Policies {
    pub(crate) shared: Arc<Shared>,
    keys: HashMap<KeyName, Arc<Key>>,
}

/// What does not change with keys.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) catalog: Catalog,
    pub(crate) index: Index,
    /// The policies as they stand before arguments are known; `None` where none depends on arguments.
    pub(crate) before_arguments: Option<Index>,
    /// What each policy of the files adds where it decides.
    pub(crate) duties: HashMap<String, Vec<Duty>>,
    /// The parts of the context that some policy reads.
    pub(crate) parts: Parts,
    /// The permits that name no action: they do not reach what only a policy that names it may permit.
    pub(crate) unscoped: HashSet<String>,
}

/// One key with its own permits.
#[derive(Debug)]
struct Key {
    definition: KeyEntity,
    subject: Subject,
    index: Index,
}

impl Policies {
    pub(crate) fn new(shared: Shared) -> Self {
        Self { shared: Arc::new(shared), keys: HashMap::new() }
    }

    /// These policies with `keys` added, or replaced where they bear a known name. Costs about 0.3 ms per key that is
    /// new or another than before, and one pointer per known one; the policies of files are shared.
    ///
    /// # Errors
    /// Where an entity or permit cannot be made of a key; every such key is named.
    pub fn with_keys(&self, keys: &[KeyEntity]) -> Result<Self, Vec<PolicyProblem>> {
        let mut all = self.keys.clone();
        let mut problems = Vec::new();
        for key in keys {
            if all.get(&key.name).is_some_and(|known| known.definition == *key) {
                continue;
            }
            match self.key(key) {
                Ok(made) => {
                    all.insert(key.name.clone(), Arc::new(made));
                }
                Err(message) => {
                    problems.push(PolicyProblem::unplaced(format!("key `{}`: {message}", key.name), None));
                }
            }
        }
        if problems.is_empty() { Ok(Self { shared: Arc::clone(&self.shared), keys: all }) } else { Err(problems) }
    }

    /// These policies without the permits of the keys that `gone` names.
    #[must_use]
    pub fn without_keys(&self, gone: &[KeyName]) -> Self {
        let mut keys = self.keys.clone();
        for name in gone {
            keys.remove(name);
        }
        Self { shared: Arc::clone(&self.shared), keys }
    }

    fn key(&self, key: &KeyEntity) -> Result<Key, String> {
        let subject = self.shared.catalog.key(key).map_err(|error| error.to_string())?;
        let permits = allow::key_permits(key).into_iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        let index = Index::new(&permits).map_err(|error| error.to_string())?;
        Ok(Key { definition: key.clone(), subject, index })
    }

    /// Decides whether `principal` may do `facts.action` to `resource` at `moment`. Pure. `facts.resource` is not
    /// looked at. A resource that the action is never done to is denied with an error.
    #[must_use]
    pub fn decide(&self, principal: &Principal, facts: &Facts, resource: &Resource, moment: UnixMillis) -> Decision {
        match Asking::new(self, principal, facts, moment) {
            Ok(asking) => asking.decide(resource),
            Err(error) => Decision::failed(&error),
        }
    }
}

/// A generated policy, sorted by its scope: never observed, reads no arguments.
pub(crate) fn entry((policy, when): (cedar_policy::Policy, When)) -> Result<Entry, String> {
    let tree = policy.to_pst().map_err(|error| error.to_string())?;
    let scope = match &tree {
        cedar_policy::pst::Policy::Static(policy) => Scope::of(policy.body()),
        cedar_policy::pst::Policy::Linked(_) => None,
    };
    let scope = scope.ok_or_else(|| "a policy of templates is not supported".to_owned())?;
    Ok(Entry { policy, scope, observe: false, reads: Vec::new(), when: Some(when) })
}

/// A caller with its facts, ready to be decided against several resources.
pub(crate) struct Asking<'a> {
    policies: &'a Policies,
    key: Option<&'a Key>,
    subject: Cow<'a, Subject>,
    principal: &'a Principal,
    facts: &'a Facts,
    moment: UnixMillis,
    parts: Parts,
    authorizer: Authorizer,
}

impl<'a> Asking<'a> {
    pub(crate) fn new(
        policies: &'a Policies,
        principal: &'a Principal,
        facts: &'a Facts,
        moment: UnixMillis,
    ) -> Result<Self, Defect> {
        Self::with_parts(policies, principal, facts, moment, policies.shared.parts)
    }

    /// With these parts of the context.
    pub(crate) fn with_parts(
        policies: &'a Policies,
        principal: &'a Principal,
        facts: &'a Facts,
        moment: UnixMillis,
        parts: Parts,
    ) -> Result<Self, Defect> {
        let shared = &policies.shared;
        // A key of the same name in another organisation is another key.
        let key = policies.keys.get(&principal.key_name).filter(|key| key.definition.org == principal.org);
        let subject = match key {
            Some(key) if key.definition.team == principal.team => Cow::Borrowed(&key.subject),
            _ => Cow::Owned(shared.catalog.subject(principal)?),
        };
        let (key, authorizer) = (key.map(Arc::as_ref), Authorizer::new());
        Ok(Self { policies, key, subject, principal, facts, moment, parts, authorizer })
    }

    /// The decision about one resource.
    pub(crate) fn decide(&self, resource: &Resource) -> Decision {
        self.ask(resource, &self.policies.shared.index, self.facts.arguments.as_ref())
            .map_or_else(|error| Decision::failed(&error), |answers| self.weigh(answers))
    }

    /// Whether some arguments could be allowed for this resource.
    pub(crate) fn might_allow(&self, resource: &Resource) -> bool {
        let shared = &self.policies.shared;
        let index = shared.before_arguments.as_ref().unwrap_or(&shared.index);
        self.ask(resource, index, None)
            .is_ok_and(|answers| answers.forbids.is_empty() && answers.errors.is_empty() && !answers.permits.is_empty())
    }

    fn ask(
        &self,
        resource: &Resource,
        index: &Index,
        arguments: Option<&tidegate_core::value::Value>,
    ) -> Result<Answers, Defect> {
        let action = self.facts.action;
        let object = self.policies.shared.catalog.object(action, resource).ok_or_else(|| misfit(action))??;
        let pose = || {
            let (context, unmapped) = self.context(&object, arguments)?;
            let (request, entities) = self.pose(&object, context)?;
            Ok(Posed { request, entities, unmapped })
        };
        let model = self.facts.model.as_ref().map(|model| model.as_str());
        let subject = &self.subject;
        let question = Question { subject, object: &object, model, pose: &pose, posed: OnceCell::new() };
        let mut answers = Answers::default();
        index.ask(&self.authorizer, &question, &mut answers);
        if let Some(key) = self.key {
            key.index.ask(&self.authorizer, &question, &mut answers);
        }
        match question.posed.into_inner() {
            Some(Err(defect)) => Err(defect),
            _ => Ok(answers),
        }
    }

    fn pose(&self, object: &Object<'_>, context: Context) -> Result<(Request, Entities), Defect> {
        let (key, action, resource) = (&self.subject.key, &object.action, &object.resource);
        let request = Request::new(key.uid.clone(), action.uid.clone(), resource.uid.clone(), context, None)?;
        let known = [key.entity.clone(), action.entity.clone(), resource.entity.clone()];
        Ok((request, Entities::from_entities(known, None)?))
    }

    /// The request and the entities as Cedar gets them: for conditions, and to compare slices with the whole.
    pub(crate) fn posed(&self, resource: &Resource) -> Result<(Request, Entities), Defect> {
        let action = self.facts.action;
        let object = self.policies.shared.catalog.object(action, resource).ok_or_else(|| misfit(action))??;
        let (context, _) = self.context(&object, self.facts.arguments.as_ref())?;
        self.pose(&object, context)
    }

    fn base(&self) -> Result<Context, Defect> {
        context::base(self.parts, self.facts, self.principal, self.moment)
    }

    fn context(
        &self,
        object: &Object<'_>,
        arguments: Option<&tidegate_core::value::Value>,
    ) -> Result<(Context, Vec<ArgPath>), Defect> {
        let takes_arguments = matches!(self.facts.action, Action::CallTool | Action::ProposeTool);
        if !takes_arguments || !self.parts.has_arguments() {
            return Ok((self.base()?, Vec::new()));
        }
        let mapped: Mapped = shape::map(object.shape, arguments);
        context::with_arguments(self.base()?, mapped)
    }

    fn weigh(&self, mut answers: Answers) -> Decision {
        if self.facts.action == Action::AdministerProvider {
            answers.permits.retain(|id| !self.policies.shared.unscoped.contains(AsRef::<str>::as_ref(id)));
        }
        let mut errors: Vec<_> = answers
            .errors
            .into_iter()
            .map(|(policy, message)| EvaluationError { policy: policy.into(), message })
            .collect();
        errors.sort();
        errors.dedup_by(|next, kept| next.policy == kept.policy);
        let duties = if answers.forbids.is_empty() { self.duties(&answers.permits) } else { Vec::new() };
        let (effect, determining) = if !answers.forbids.is_empty() {
            (Effect::Deny(DenyReason::Forbidden), names(&answers.forbids))
        } else if !errors.is_empty() {
            let failed = errors.iter().map(|error| Arc::clone(&error.policy)).collect();
            (Effect::Deny(DenyReason::EvaluationError), failed)
        } else if answers.permits.is_empty() {
            (Effect::Deny(DenyReason::NothingPermits), Vec::new())
        } else if duties.iter().all(Duty::lets_pass) {
            (Effect::Allow, names(&answers.permits))
        } else {
            (Effect::Deny(DenyReason::ApprovalRequired), self.holding(&answers.permits))
        };
        Decision { effect, determining, errors, observed: observed(answers.observed), duties }
    }

    fn duties(&self, permits: &[cedar_policy::PolicyId]) -> Vec<Duty> {
        let all = &self.policies.shared.duties;
        let mut duties: Vec<_> =
            permits.iter().filter_map(|id| all.get(id.as_ref() as &str)).flatten().cloned().collect();
        duties.sort();
        duties.dedup();
        duties
    }

    /// The permits whose duties keep the call from going on.
    fn holding(&self, permits: &[cedar_policy::PolicyId]) -> Vec<Arc<str>> {
        let all = &self.policies.shared.duties;
        let holds = |id: &&cedar_policy::PolicyId| {
            all.get(AsRef::<str>::as_ref(*id)).is_some_and(|duties| !duties.iter().all(Duty::lets_pass))
        };
        sorted(permits.iter().filter(holds))
    }
}

fn misfit(action: Action) -> Defect {
    Defect::new(&format!("`{action}` is never done to such a resource"))
}

fn names(ids: &[cedar_policy::PolicyId]) -> Vec<Arc<str>> {
    sorted(ids.iter())
}

fn sorted<'a>(ids: impl Iterator<Item = &'a cedar_policy::PolicyId>) -> Vec<Arc<str>> {
    let mut names: Vec<Arc<str>> = ids.map(|id| Arc::from(AsRef::<str>::as_ref(id))).collect();
    names.sort();
    names.dedup();
    names
}

fn observed(said: Vec<(String, Result<cedar_policy::pst::Effect, String>)>) -> Vec<Observed> {
    let mut observed: Vec<_> = said
        .into_iter()
        .map(|(policy, effect)| Observed {
            policy: policy.into(),
            effect: match effect {
                Ok(cedar_policy::pst::Effect::Permit) => ObservedEffect::Permit,
                Ok(cedar_policy::pst::Effect::Forbid) => ObservedEffect::Forbid,
                Err(message) => ObservedEffect::Error(message),
            },
        })
        .collect();
    observed.sort();
    observed.dedup();
    observed
}

impl Decision {
    /// Whether the call may be made.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.effect == Effect::Allow
    }

    pub(crate) fn failed(error: &Defect) -> Self {
        Self {
            effect: Effect::Deny(DenyReason::EvaluationError),
            determining: Vec::new(),
            errors: vec![EvaluationError { policy: Arc::from(""), message: error.to_string() }],
            observed: Vec::new(),
            duties: Vec::new(),
        }
    }
}
