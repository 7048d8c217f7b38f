//! Conditions of routes: Cedar expressions over the facts that policies see, decided before a target is known.
//!
//! Owns their form and their evaluation. Never lets a call pass: what a condition says only chooses where it goes.

use std::{str::FromStr, sync::Arc};

use cedar_policy::{
    Authorizer, Decision, Entities, Expression, Policy, PolicyId, PolicySet, Request, ValidationMode, Validator,
};
use tidegate_core::{
    clock::UnixMillis,
    facts::{Action, Facts, Resource},
    ids::TargetId,
    principal::Principal,
};

use crate::{
    context::Parts,
    decide::{Asking, Policies},
    input::PolicyInput,
    reads, schema,
};

/// The longest text of a condition, in bytes.
const LONGEST: usize = 4096;

/// A condition, checked and ready.
#[derive(Debug, Clone)]
pub struct Condition {
    text: Arc<str>,
    set: PolicySet,
    parts: Parts,
}

impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Condition {
    /// Reads a condition, such as `context.request.input_tokens > 100000`, and checks it against the schema of
    /// `invoke_model`.
    ///
    /// # Errors
    /// What is wrong with it, in words: not one Cedar expression, an attribute that no model call has, a value of
    /// another type, or `resource`, which is what the route is to choose.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > LONGEST {
            return Err(format!("it is longer than {LONGEST} bytes"));
        }
        // Alone first, so that the text cannot end the condition around it.
        Expression::from_str(text).map_err(|error| format!("it is no Cedar expression: {error}"))?;
        let policy = format!(
            "permit (principal, action == Tidegate::Action::\"{}\", resource)\nwhen {{ {text}\n}};",
            Action::InvokeModel
        );
        let policy = Policy::parse(Some(PolicyId::new("condition")), policy)
            .map_err(|error| format!("it is no Cedar expression: {error}"))?;
        let tree = match policy.to_pst().map_err(|error| error.to_string())? {
            cedar_policy::pst::Policy::Static(policy) => policy.body().clone(),
            cedar_policy::pst::Policy::Linked(_) => return Err("it is no Cedar expression".to_owned()),
        };
        if format!("{:?}", tree.clauses()).contains("Var(Resource)") {
            return Err("`resource` is what the route chooses, so a condition cannot look at it".to_owned());
        }
        let read = reads::reads(tree.clauses()).map_err(|error| error.to_string())?;
        let parts = read.iter().fold(Parts::LEAST, |parts, read| parts.with(read));
        let set = PolicySet::from_policies([policy]).map_err(|error| error.to_string())?;
        let schema = schema::schema(&PolicyInput::default()).map_err(|problem| problem.message)?;
        let checked = Validator::new(schema).validate(&set, ValidationMode::Strict);
        if let Some(error) = checked.validation_errors().next() {
            let text = error.to_string();
            return Err(text.strip_prefix("for policy `condition`, ").unwrap_or(&text).to_owned());
        }
        Ok(Self { text: Arc::from(text), set, parts })
    }

    /// The condition as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl Policies {
    /// Whether `condition` holds for a call. Pure.
    ///
    /// # Errors
    /// Where it cannot be evaluated, in words without content of the call. Whoever asks takes it as not holding.
    pub fn holds(
        &self,
        condition: &Condition,
        principal: &Principal,
        facts: &Facts,
        moment: UnixMillis,
    ) -> Result<bool, String> {
        let defect = |error: crate::entities::Defect| error.to_string();
        let asking = Asking::with_parts(self, principal, facts, moment, condition.parts).map_err(defect)?;
        let nowhere = Resource::Model(TargetId::new("route", "undecided"));
        let (request, entities): (Request, Entities) = asking.posed(&nowhere).map_err(defect)?;
        let response = Authorizer::new().is_authorized(&request, &condition.set, &entities);
        match response.diagnostics().errors().next() {
            Some(_) => Err("it reads something that this call does not have, or a number overflows".to_owned()),
            None => Ok(response.decision() == Decision::Allow),
        }
    }
}
