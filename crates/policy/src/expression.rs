//! Short names for building Cedar's syntax tree, so that generated policies are never put together from text.

use std::{collections::BTreeMap, sync::Arc};

use cedar_policy::pst::{
    ActionConstraint, BinaryOp, Clause, Effect, EntityType, EntityUID, Expr, Literal, Name, Policy, PolicyID,
    PrincipalConstraint, ResourceConstraint, StaticPolicy, Template, Var,
};

use crate::entities::NAMESPACE;

/// The entity `Tidegate::<kind>::"<id>"`; `None` where `kind` is no Cedar identifier, which never holds for our own.
pub(crate) fn entity(kind: &str, id: &str) -> Option<EntityUID> {
    Some(EntityUID { ty: entity_type(kind)?, eid: id.into() })
}

/// The entity as requests name it; `None` where its type is no Cedar name.
pub(crate) fn uid(entity: &EntityUID) -> Option<cedar_policy::EntityUid> {
    let kind = entity.ty.to_string().parse().ok()?;
    Some(cedar_policy::EntityUid::from_type_name_and_id(kind, cedar_policy::EntityId::new(entity.eid.as_str())))
}

/// The entity type `Tidegate::<kind>`.
pub(crate) fn entity_type(kind: &str) -> Option<EntityType> {
    Name::qualified([NAMESPACE], kind).ok().map(EntityType)
}

/// The variable `context`.
pub(crate) fn context() -> Arc<Expr> {
    Arc::new(Expr::Var(Var::Context))
}

/// The variable `resource`.
pub(crate) fn resource() -> Arc<Expr> {
    Arc::new(Expr::Var(Var::Resource))
}

/// `expr.attr`.
pub(crate) fn attribute(expr: Arc<Expr>, attr: &str) -> Arc<Expr> {
    Arc::new(Expr::GetAttr { expr, attr: attr.into() })
}

/// `expr has attr`.
pub(crate) fn has(expr: Arc<Expr>, attr: &str) -> Arc<Expr> {
    Arc::new(Expr::HasAttr { expr, attrs: cedar_policy::pst::NonEmpty::new(attr.into()) })
}

/// A text.
pub(crate) fn text(value: &str) -> Arc<Expr> {
    Arc::new(Expr::Literal(Literal::String(value.into())))
}

/// `left op right`.
pub(crate) fn binary(op: BinaryOp, left: Arc<Expr>, right: Arc<Expr>) -> Arc<Expr> {
    Arc::new(Expr::BinaryOp { op, left, right })
}

/// A set of entities.
pub(crate) fn entity_set(entities: impl IntoIterator<Item = EntityUID>) -> Arc<Expr> {
    let literal = |uid| Arc::new(Expr::Literal(Literal::EntityUID(uid)));
    Arc::new(Expr::Set(entities.into_iter().map(literal).collect()))
}

/// The scope of a generated policy.
pub(crate) struct Scope {
    pub(crate) principal: PrincipalConstraint,
    pub(crate) action: ActionConstraint,
    pub(crate) resource: ResourceConstraint,
}

/// A policy with this id (also as its `@id`), scope and conditions.
pub(crate) fn policy(id: &str, effect: Effect, scope: Scope, clauses: Vec<Clause>) -> Option<cedar_policy::Policy> {
    let template = Template::new(PolicyID(id.into()), effect, scope.principal, scope.action, scope.resource)
        .try_with_clauses(clauses)
        .ok()?
        .with_annotations(BTreeMap::from([("id".to_owned(), id.into())]));
    cedar_policy::Policy::from_pst(Policy::Static(StaticPolicy::try_from(template).ok()?)).ok()
}
