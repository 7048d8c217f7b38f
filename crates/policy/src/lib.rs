//! The decision point: whether a caller may do what it asks for, by Cedar policies.
//!
//! Owns the policy schema (built from the configuration and the pinned tools), the permits that `allow` lists compile
//! to, the decision itself, and the proofs that a decision was made ([`Permit`], [`SessionPermit`]). Never does I/O,
//! reads no clock, keeps no state: a decision is a pure function of its arguments. The configuration compiles
//! [`Policies`] into its snapshot; the proxy asks them, and the upstream crate demands the proofs.

mod allow;
mod compile;
mod condition;
mod context;
mod decide;
mod duty;
mod entities;
mod expression;
mod input;
mod permit;
mod problem;
mod reads;
mod schema;
mod shape;
mod show;
mod slice;
mod source;

pub use crate::{
    compile::compile,
    condition::Condition,
    decide::{Decision, DenyReason, Effect, EvaluationError, Observed, ObservedEffect, Policies},
    duty::{Approvers, Duty},
    input::{Allow, KeyEntity, PolicyInput, PolicySource, ServerEntity, ToolPin},
    permit::{Denial, Listing, Permit, SessionPermit, StalePermit, authorize},
    problem::PolicyProblem,
    schema::schema_text,
    show::{Shown, show},
};

#[cfg(test)]
mod tests;
