//! Policies sorted by their scope into sets that are made once, so that a decision evaluates only those whose scope
//! can match. A property test shows that the slices decide as the whole does.

use std::{
    cell::OnceCell,
    collections::{HashMap, HashSet},
    sync::Arc,
};

use cedar_policy::{
    Authorizer, Decision, Entities, EntityUid, Policy, PolicySet, Request,
    pst::{ActionConstraint, Effect, EntityOrSlot, PrincipalConstraint, ResourceConstraint, Template},
};

use crate::{
    entities::{ACTION, Defect, KEY, NAMESPACE, Object, Subject},
    reads::ArgRead,
    shape::ArgPath,
};

/// Which principals a policy's scope takes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum PrincipalScope {
    Any,
    In(EntityUid),
    Never,
}

/// Which actions a policy's scope takes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum ActionScope {
    Any,
    /// These, and not the members of groups among them.
    These(Vec<EntityUid>),
    /// The group of tool calls with all its members, and these.
    Group(EntityUid, Vec<EntityUid>),
}

/// Which resources a policy's scope takes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum ResourceScope {
    Any,
    Kind(String),
    Exactly(EntityUid),
    In(EntityUid),
    KindIn(String, EntityUid),
}

/// A policy's scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scope {
    principal: PrincipalScope,
    action: ActionScope,
    resource: ResourceScope,
    /// Whether a policy is found in the slices exactly where its scope matches, and not a little more often.
    exact: bool,
}

/// What must hold beside a policy's scope, where that can be seen without evaluating an expression. Most policies that
/// `allow` lists compile to are such, and evaluating them is most of what a decision costs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum When {
    /// Nothing.
    Always,
    /// The request names one of these models.
    ModelAmong(Vec<Arc<str>>),
    /// The resource is one of these, or belongs to one.
    ResourceIn(Vec<EntityUid>),
    /// The resource is none of these.
    ResourceNotAmong(HashSet<EntityUid>),
}

fn uid(entity: &EntityOrSlot) -> Option<EntityUid> {
    match entity {
        EntityOrSlot::Entity(entity) => crate::expression::uid(entity),
        EntityOrSlot::Slot(_) => None,
    }
}

impl Scope {
    /// The scope of a policy; `None` for a template's.
    pub(crate) fn of(template: &Template) -> Option<Self> {
        let is_key = |kind: &cedar_policy::pst::EntityType| kind.to_string() == format!("{NAMESPACE}::{KEY}");
        let principal = match &template.principal {
            PrincipalConstraint::Any => PrincipalScope::Any,
            PrincipalConstraint::Is(kind) if is_key(kind) => PrincipalScope::Any,
            PrincipalConstraint::IsIn(kind, _) | PrincipalConstraint::Is(kind) if !is_key(kind) => {
                PrincipalScope::Never
            }
            PrincipalConstraint::Eq(entity)
            | PrincipalConstraint::In(entity)
            | PrincipalConstraint::IsIn(_, entity) => PrincipalScope::In(uid(entity)?),
            PrincipalConstraint::Is(_) => PrincipalScope::Never,
        };
        let resource = match &template.resource {
            ResourceConstraint::Any => ResourceScope::Any,
            ResourceConstraint::Is(kind) => ResourceScope::Kind(kind.0.id.as_str().to_owned()),
            ResourceConstraint::Eq(entity) => ResourceScope::Exactly(uid(entity)?),
            ResourceConstraint::In(entity) => ResourceScope::In(uid(entity)?),
            ResourceConstraint::IsIn(kind, entity) => {
                ResourceScope::KindIn(kind.0.id.as_str().to_owned(), uid(entity)?)
            }
        };
        // A principal is always a key: whatever is to equal something else is looked up by it, and never equals it.
        let exact = match &template.principal {
            PrincipalConstraint::Eq(EntityOrSlot::Entity(entity)) => is_key(&entity.ty),
            _ => true,
        };
        Some(Self { principal, action: action_scope(&template.action)?, resource, exact })
    }

    /// Whether the scope takes every action.
    pub(crate) fn is_unscoped(&self) -> bool {
        self.action == ActionScope::Any
    }

    /// Whether the scope takes only the group of tool calls itself, which leaves out every pinned tool.
    pub(crate) fn is_bare_group(&self) -> bool {
        match &self.action {
            ActionScope::These(actions) => actions.iter().any(is_group),
            _ => false,
        }
    }
}

fn is_group(uid: &EntityUid) -> bool {
    uid.type_name().basename() == ACTION && uid.id().unescaped() == tidegate_core::facts::Action::CallTool.as_str()
}

fn action_scope(constraint: &ActionConstraint) -> Option<ActionScope> {
    let entity = |action: &cedar_policy::pst::EntityUID| uid(&EntityOrSlot::Entity(action.clone()));
    Some(match constraint {
        ActionConstraint::Any => ActionScope::Any,
        ActionConstraint::Eq(action) => ActionScope::These(vec![entity(action)?]),
        ActionConstraint::In(actions) => {
            let mut actions: Vec<_> = actions.iter().map(entity).collect::<Option<_>>()?;
            actions.sort();
            actions.dedup();
            match actions.iter().position(is_group) {
                Some(at) => {
                    let group = actions.swap_remove(at);
                    let prefix = format!("{}:", group.id().unescaped());
                    actions.retain(|action| !action.id().unescaped().starts_with(&prefix));
                    ActionScope::Group(group, actions)
                }
                None => ActionScope::These(actions),
            }
        }
    })
}

/// A policy that is ready to be sorted.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) policy: Policy,
    pub(crate) scope: Scope,
    pub(crate) observe: bool,
    /// The arguments that it reads.
    pub(crate) reads: Vec<ArgRead>,
    /// Its conditions, where they are of the simplest kinds; `None` where only an evaluation tells.
    pub(crate) when: Option<When>,
}

/// A policy that reads arguments.
#[derive(Debug)]
struct Reader {
    id: String,
    resource: ResourceScope,
    observe: bool,
    reads: Vec<ArgRead>,
}

/// A policy that needs no evaluation.
#[derive(Debug)]
struct Plain {
    id: cedar_policy::PolicyId,
    effect: cedar_policy::Effect,
    resource: ResourceScope,
    when: When,
}

/// The policies with one scope.
#[derive(Debug, Default)]
struct Bucket {
    plain: Vec<Plain>,
    enforced: PolicySet,
    observed_permits: PolicySet,
    observed_forbids: PolicySet,
    readers: Vec<Reader>,
}

impl Bucket {
    fn add(&mut self, entry: &Entry) -> Result<(), Defect> {
        if let Some(when) = entry.when.as_ref().filter(|_| !entry.observe && entry.scope.exact) {
            self.plain.push(Plain {
                id: entry.policy.id().clone(),
                effect: entry.policy.effect(),
                resource: entry.scope.resource.clone(),
                when: when.clone(),
            });
            return Ok(());
        }
        let set = match (entry.observe, entry.policy.effect()) {
            (false, _) => &mut self.enforced,
            (true, cedar_policy::Effect::Permit) => &mut self.observed_permits,
            (true, cedar_policy::Effect::Forbid) => &mut self.observed_forbids,
        };
        set.add(entry.policy.clone())?;
        if !entry.reads.is_empty() {
            self.readers.push(Reader {
                id: id_text(entry.policy.id()),
                resource: entry.scope.resource.clone(),
                observe: entry.observe,
                reads: entry.reads.clone(),
            });
        }
        Ok(())
    }
}

#[derive(Debug, Default)]
struct ByResource {
    any: Option<Box<Bucket>>,
    kinds: HashMap<String, Bucket>,
    entities: HashMap<EntityUid, Bucket>,
}

#[derive(Debug, Default)]
struct ByPrincipal {
    any: ByResource,
    entities: HashMap<EntityUid, ByResource>,
}

/// Sliced policies.
#[derive(Debug, Default)]
pub(crate) struct Index {
    any: ByPrincipal,
    actions: HashMap<EntityUid, ByPrincipal>,
    group: ByPrincipal,
}

/// What Cedar is asked, made when the first policy needs it.
pub(crate) struct Posed {
    pub(crate) request: Request,
    pub(crate) entities: Entities,
    /// The arguments that have no type; a policy that reads one does not answer.
    pub(crate) unmapped: Vec<ArgPath>,
}

/// One question: what the slices are chosen by, and how to pose it to Cedar.
pub(crate) struct Question<'a> {
    pub(crate) subject: &'a Subject,
    pub(crate) object: &'a Object<'a>,
    /// The model that the request names.
    pub(crate) model: Option<&'a str>,
    pub(crate) pose: &'a dyn Fn() -> Result<Posed, Defect>,
    pub(crate) posed: OnceCell<Result<Posed, Defect>>,
}

impl Question<'_> {
    /// The question as Cedar gets it; `None` where it cannot be posed, which [`Index::ask`] reports.
    fn posed(&self) -> Option<&Posed> {
        self.posed.get_or_init(self.pose).as_ref().ok()
    }
}

/// What the policies of the slices say, before it is weighed.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    pub(crate) permits: Vec<cedar_policy::PolicyId>,
    pub(crate) forbids: Vec<cedar_policy::PolicyId>,
    pub(crate) errors: Vec<(String, String)>,
    pub(crate) observed: Vec<(String, Result<Effect, String>)>,
}

impl Index {
    /// Sorts policies.
    pub(crate) fn new<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Result<Self, Defect> {
        let mut index = Self::default();
        for entry in entries {
            match &entry.scope.action {
                ActionScope::Any => index.any.add(entry)?,
                ActionScope::These(actions) => index.add_to(actions, entry)?,
                ActionScope::Group(_, actions) => {
                    index.group.add(entry)?;
                    index.add_to(actions, entry)?;
                }
            }
        }
        Ok(index)
    }

    fn add_to(&mut self, actions: &[EntityUid], entry: &Entry) -> Result<(), Defect> {
        actions.iter().try_for_each(|action| self.actions.entry(action.clone()).or_default().add(entry))
    }

    /// Asks every policy whose scope can match. A question that cannot be posed has its defect in `posed` afterwards.
    pub(crate) fn ask(&self, authorizer: &Authorizer, question: &Question<'_>, answers: &mut Answers) {
        let action = &question.object.action.uid;
        self.any.ask(authorizer, question, answers);
        if let Some(found) = (!self.actions.is_empty()).then(|| self.actions.get(action)).flatten() {
            found.ask(authorizer, question, answers);
        }
        if question.object.group.is_some() || is_group(action) {
            self.group.ask(authorizer, question, answers);
        }
    }
}

impl ByPrincipal {
    fn add(&mut self, entry: &Entry) -> Result<(), Defect> {
        match &entry.scope.principal {
            PrincipalScope::Any => self.any.add(entry),
            PrincipalScope::In(entity) => self.entities.entry(entity.clone()).or_default().add(entry),
            PrincipalScope::Never => Ok(()),
        }
    }

    fn ask(&self, authorizer: &Authorizer, question: &Question<'_>, answers: &mut Answers) {
        self.any.ask(authorizer, question, answers);
        if self.entities.is_empty() {
            return;
        }
        let subject = question.subject;
        let groups = [Some(&subject.key.uid), Some(&subject.org), subject.team.as_ref()];
        for found in groups.into_iter().flatten().filter_map(|entity| self.entities.get(entity)) {
            found.ask(authorizer, question, answers);
        }
    }
}

impl ByResource {
    fn add(&mut self, entry: &Entry) -> Result<(), Defect> {
        match &entry.scope.resource {
            ResourceScope::Any => self.any.get_or_insert_default().add(entry),
            ResourceScope::Kind(kind) => self.kinds.entry(kind.clone()).or_default().add(entry),
            ResourceScope::Exactly(entity) | ResourceScope::In(entity) | ResourceScope::KindIn(_, entity) => {
                self.entities.entry(entity.clone()).or_default().add(entry)
            }
        }
    }

    fn ask(&self, authorizer: &Authorizer, question: &Question<'_>, answers: &mut Answers) {
        let object = question.object;
        if let Some(bucket) = &self.any {
            bucket.ask(authorizer, question, answers);
        }
        if let Some(bucket) = (!self.kinds.is_empty()).then(|| self.kinds.get(object.kind)).flatten() {
            bucket.ask(authorizer, question, answers);
        }
        if self.entities.is_empty() {
            return;
        }
        let entities = [Some(&object.resource.uid), object.parent.as_ref()];
        for bucket in entities.into_iter().flatten().filter_map(|entity| self.entities.get(entity)) {
            bucket.ask(authorizer, question, answers);
        }
    }
}

impl Plain {
    /// Whether the policy applies to a question that led to its bucket.
    fn applies(&self, question: &Question<'_>) -> bool {
        let object = question.object;
        let resource = &object.resource.uid;
        self.resource.takes(object)
            && match &self.when {
                When::Always => true,
                When::ModelAmong(names) => {
                    question.model.is_some_and(|model| names.iter().any(|name| **name == *model))
                }
                When::ResourceIn(groups) => {
                    groups.iter().any(|group| group == resource || object.parent.as_ref() == Some(group))
                }
                When::ResourceNotAmong(known) => !known.contains(resource),
            }
    }
}

impl ResourceScope {
    /// Whether the scope takes what led to its bucket.
    fn takes(&self, object: &Object<'_>) -> bool {
        match self {
            Self::Any | Self::Kind(_) | Self::In(_) => true,
            Self::Exactly(entity) => *entity == object.resource.uid,
            Self::KindIn(kind, _) => kind == object.kind,
        }
    }
}

impl Bucket {
    fn ask(&self, authorizer: &Authorizer, question: &Question<'_>, answers: &mut Answers) {
        for plain in self.plain.iter().filter(|plain| plain.applies(question)) {
            match plain.effect {
                cedar_policy::Effect::Permit => answers.permits.push(plain.id.clone()),
                cedar_policy::Effect::Forbid => answers.forbids.push(plain.id.clone()),
            }
        }
        let sets = [&self.enforced, &self.observed_permits, &self.observed_forbids];
        if sets.iter().all(|set| set.is_empty()) && self.readers.is_empty() {
            return;
        }
        let Some(Posed { request, entities, unmapped }) = question.posed() else { return };
        if !self.enforced.is_empty() {
            let response = authorizer.is_authorized(request, &self.enforced, entities);
            let side = match response.decision() {
                Decision::Allow => &mut answers.permits,
                Decision::Deny => &mut answers.forbids,
            };
            side.extend(response.diagnostics().reason().cloned());
            answers.errors.extend(response.diagnostics().errors().map(error_text));
        }
        for (set, effect) in [(&self.observed_permits, Effect::Permit), (&self.observed_forbids, Effect::Forbid)] {
            if set.is_empty() {
                continue;
            }
            let response = authorizer.is_authorized(request, set, entities);
            answers.observed.extend(response.diagnostics().reason().map(|id| (id_text(id), Ok(effect))));
            answers.observed.extend(response.diagnostics().errors().map(|error| {
                let (id, message) = error_text(error);
                (id, Err(message))
            }));
        }
        if !unmapped.is_empty() {
            self.ask_readers(question.object, unmapped, answers);
        }
    }

    /// Counts an error for each policy that reads an argument without a type, also where the policy asks first whether
    /// the argument is there: it is, only not for policies.
    fn ask_readers(&self, object: &Object<'_>, unmapped: &[ArgPath], answers: &mut Answers) {
        for reader in &self.readers {
            let takes = reader.resource.takes(object);
            let missed = unmapped.iter().find(|path| reader.reads.iter().any(|read| read.misses(path)));
            let Some(path) = missed.filter(|_| takes) else { continue };
            let name: String = path.join(".").chars().take(64).collect();
            let message = match path.as_slice() {
                [] => "it reads the arguments, which have no type that policies know".to_owned(),
                _ => format!("it reads the argument `{name}`, whose value has no type that policies know"),
            };
            match reader.observe {
                true => answers.observed.push((reader.id.clone(), Err(message))),
                false => answers.errors.push((reader.id.clone(), message)),
            }
        }
    }
}

/// An id as it was given; printing one would escape it.
pub(crate) fn id_text(id: &cedar_policy::PolicyId) -> String {
    AsRef::<str>::as_ref(id).to_owned()
}

/// The policy and the reason, in words that hold nothing of the call's content.
fn error_text(error: &cedar_policy::AuthorizationError) -> (String, String) {
    use cedar_policy::EvaluationError as E;
    let cedar_policy::AuthorizationError::PolicyEvaluationError(error) = error;
    let message = match error.inner() {
        E::IntegerOverflow(_) => "a number overflows".to_owned(),
        E::FailedExtensionFunctionExecution(_) => "a text is no valid address, decimal or time".to_owned(),
        E::TypeError(_) => "a value is not of the type that it needs".to_owned(),
        E::RecordAttrDoesNotExist(_) | E::EntityAttrDoesNotExist(_) => {
            "it reads an attribute that this call does not have".to_owned()
        }
        _ => "it cannot be evaluated".to_owned(),
    };
    (id_text(error.policy_id()), message)
}
