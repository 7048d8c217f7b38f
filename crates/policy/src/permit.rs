//! Proofs that a decision was made. Only this file makes them; the upstream crate sends nothing without one.

use std::sync::Arc;

use tidegate_core::{
    clock::UnixMillis,
    facts::{Action, Facts, Resource},
    ids::{CallId, Digest, ModelName, ServerName, TargetId},
    principal::Principal,
};

use crate::decide::{Asking, Decision, DenyReason, Effect, Policies};

/// Proof that this version of this call may be made, to these resources. Cannot be copied or made elsewhere.
#[derive(Debug)]
pub struct Permit {
    call: CallId,
    version: u32,
    digest: Digest,
    allowed: Vec<Resource>,
    decisions: Vec<(Resource, Decision)>,
    listing: Option<Listing>,
}

/// A call that may not be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// The ids of the policies that denied, sorted; empty where nothing permits.
    pub policies: Vec<String>,
    /// The weightiest reason among the candidates: forbidden, then not evaluated, then approval, then nothing permits.
    pub reason: DenyReason,
    /// What was decided about each candidate, in their order.
    pub decisions: Vec<(Resource, Decision)>,
}

impl Denial {
    /// A sentence for the caller that says what to do. Holds the names of policies only.
    #[must_use]
    pub fn public_message(&self) -> String {
        let policies = match self.policies.as_slice() {
            [] => String::new(),
            [one] => format!(" `{one}`"),
            many => format!("s `{}`", many.join("`, `")),
        };
        match self.reason {
            DenyReason::NothingPermits => {
                "no policy permits this call: ask whoever runs the gateway to allow it for this key".to_owned()
            }
            DenyReason::Forbidden => format!("this call is forbidden by policy{policies}"),
            DenyReason::EvaluationError if self.policies.is_empty() => {
                "this call was denied since its policies could not be evaluated".to_owned()
            }
            DenyReason::EvaluationError => {
                format!("this call was denied since it could not be evaluated by policy{policies}: check its arguments")
            }
            DenyReason::ApprovalRequired => format!(
                "this call needs an approval or a delay by policy{policies}, and this gateway holds no calls: it is denied"
            ),
        }
    }
}

impl Permit {
    /// The permit for those alone of its resources that are among `some`: it never covers more than it did.
    #[must_use]
    pub fn only(mut self, some: &[Resource]) -> Self {
        self.allowed.retain(|resource| some.contains(resource));
        self
    }
}

/// A permit that is not for what is about to be sent: the call changed after it was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StalePermit {
    /// It is another call's.
    #[error("the permit is for another call")]
    Call,
    /// The call was changed since.
    #[error("the call was changed after it was permitted: it is at version {now}, the permit is for {permitted}")]
    Version {
        /// The version that was decided on.
        permitted: u32,
        /// The version that was to be sent.
        now: u32,
    },
    /// The body is another.
    #[error("the body is not the one that was permitted")]
    Digest,
}

/// Decides about each of `candidates` and gives the permit for those that are allowed; one that is denied is left
/// out. `version` and `digest` say which state of the call was decided on. Pure.
///
/// # Errors
/// Where none is allowed.
#[expect(clippy::too_many_arguments, reason = "each is a separate part of what is proven, and of another type")]
pub fn authorize(
    policies: &Arc<Policies>,
    call: CallId,
    version: u32,
    digest: Digest,
    principal: &Principal,
    facts: &Facts,
    candidates: &[Resource],
    moment: UnixMillis,
) -> Result<Permit, Denial> {
    let decisions = decisions(policies, principal, facts, candidates, moment);
    let allowed: Vec<_> =
        decisions.iter().filter(|(_, decision)| decision.is_allowed()).map(|(resource, _)| resource.clone()).collect();
    if allowed.is_empty() {
        return Err(denial(decisions));
    }
    let listing = listed(facts.action).map(|item| Listing::new(policies, principal, facts, item, moment));
    Ok(Permit { call, version, digest, allowed, decisions, listing })
}

fn decisions(
    policies: &Policies,
    principal: &Principal,
    facts: &Facts,
    candidates: &[Resource],
    moment: UnixMillis,
) -> Vec<(Resource, Decision)> {
    let asking = Asking::new(policies, principal, facts, moment);
    candidates
        .iter()
        .map(|resource| {
            let decision = match &asking {
                Ok(asking) => asking.decide(resource),
                Err(error) => Decision::failed(error),
            };
            (resource.clone(), decision)
        })
        .collect()
}

fn denial(decisions: Vec<(Resource, Decision)>) -> Denial {
    let reason = decisions.iter().filter_map(|(_, decision)| match decision.effect {
        Effect::Deny(reason) => Some(reason),
        Effect::Allow => None,
    });
    let reason = reason.max().unwrap_or(DenyReason::NothingPermits);
    let mut policies: Vec<_> =
        decisions.iter().flat_map(|(_, decision)| &decision.determining).map(ToString::to_string).collect();
    policies.sort();
    policies.dedup();
    Denial { policies, reason, decisions }
}

/// The action by which the entries of a list are filtered.
fn listed(action: Action) -> Option<Action> {
    match action {
        Action::ListModels => Some(Action::InvokeModel),
        Action::ListTools => Some(Action::CallTool),
        Action::ListResources => Some(Action::ReadResource),
        Action::ListPrompts => Some(Action::GetPrompt),
        Action::InvokeModel
        | Action::ProposeTool
        | Action::CallTool
        | Action::ReadResource
        | Action::GetPrompt
        | Action::UseServer
        | Action::AnswerServer
        | Action::CallProviderApi
        | Action::AdministerProvider
        | Action::UseBatches => None,
    }
}

impl Permit {
    /// The call it is for.
    #[must_use]
    pub fn call(&self) -> CallId {
        self.call
    }

    /// The version of the call that was decided on.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The digest of the body that was decided on.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Whether the call may go to `resource`.
    #[must_use]
    pub fn allows(&self, resource: &Resource) -> bool {
        self.allowed.contains(resource)
    }

    /// The candidates that were allowed, in their order; at least one.
    #[must_use]
    pub fn allowed(&self) -> &[Resource] {
        &self.allowed
    }

    /// What was decided about each candidate, in their order.
    #[must_use]
    pub fn decisions(&self) -> &[(Resource, Decision)] {
        &self.decisions
    }

    /// The filter for what a list answers; `Some` exactly where the action lists something.
    #[must_use]
    pub fn listing(&self) -> Option<&Listing> {
        self.listing.as_ref()
    }

    /// Compares what is about to be sent with what was decided on.
    ///
    /// # Errors
    /// Where they differ: nothing may be sent then.
    pub fn check(&self, call: CallId, version: u32, digest: Digest) -> Result<(), StalePermit> {
        if self.call != call {
            return Err(StalePermit::Call);
        }
        if self.version != version {
            return Err(StalePermit::Version { permitted: self.version, now: version });
        }
        if self.digest != digest {
            return Err(StalePermit::Digest);
        }
        Ok(())
    }
}

/// The filter of a permitted list: what its caller may not call it does not see.
///
/// An entry is decided by the action that it is for, with the same policies, caller and moment. A tool's arguments are
/// not known yet: a permit counts by those of its conditions that do not depend on arguments, and a forbid only where
/// none of its conditions does. So a tool is seen where some arguments might be allowed, and the call itself is
/// decided in full. What needs an approval is seen too.
#[derive(Debug)]
pub struct Listing {
    policies: Arc<Policies>,
    principal: Principal,
    facts: Facts,
    moment: UnixMillis,
}

impl Listing {
    fn new(policies: &Arc<Policies>, principal: &Principal, facts: &Facts, action: Action, moment: UnixMillis) -> Self {
        let facts = Facts { action, arguments: None, ..facts.clone() };
        Self { policies: Arc::clone(policies), principal: principal.clone(), facts, moment }
    }

    /// Whether the caller may see `resource`. A model is judged by its full name; see [`Self::visible_model`].
    #[must_use]
    pub fn visible(&self, resource: &Resource) -> bool {
        match resource {
            Resource::Model(target) => {
                self.visible_model(&ModelName::from(target.to_string()), std::slice::from_ref(target))
            }
            _ => self.visible_among(std::slice::from_ref(resource)) == [true],
        }
    }

    /// Whether the caller may see each of `resources`, in their order. Cheaper than one by one.
    #[must_use]
    pub fn visible_among(&self, resources: &[Resource]) -> Vec<bool> {
        match Asking::new(&self.policies, &self.principal, &self.facts, self.moment) {
            Ok(asking) => resources.iter().map(|resource| asking.might_allow(resource)).collect(),
            Err(_) => vec![false; resources.len()],
        }
    }

    /// Whether the caller may see a model that it would call `name` and that leads to `targets`: whether one of them
    /// is allowed when called by that name.
    #[must_use]
    pub fn visible_model(&self, name: &ModelName, targets: &[TargetId]) -> bool {
        let facts = Facts { model: Some(name.clone()), ..self.facts.clone() };
        Asking::new(&self.policies, &self.principal, &facts, self.moment)
            .is_ok_and(|asking| targets.iter().any(|target| asking.might_allow(&Resource::Model(target.clone()))))
    }
}

/// Proof that a caller may keep a protocol session with one server: for the frames that carry no call of their own.
#[derive(Debug)]
pub struct SessionPermit {
    server: ServerName,
    decision: Decision,
}

impl SessionPermit {
    /// Decides whether `principal` may use `server` over `surface`. Pure.
    ///
    /// # Errors
    /// Where it may not.
    pub fn authorize(
        policies: &Policies,
        principal: &Principal,
        facts: &Facts,
        server: &ServerName,
        moment: UnixMillis,
    ) -> Result<Self, Denial> {
        let resource = Resource::Server(server.clone());
        let facts = Facts { action: Action::UseServer, arguments: None, ..facts.clone() };
        let decision = policies.decide(principal, &facts, &resource, moment);
        if decision.is_allowed() {
            Ok(Self { server: server.clone(), decision })
        } else {
            Err(denial(vec![(resource, decision)]))
        }
    }

    /// The server that the session is with.
    #[must_use]
    pub fn server(&self) -> &ServerName {
        &self.server
    }

    /// What was decided.
    #[must_use]
    pub fn decision(&self) -> &Decision {
        &self.decision
    }
}
