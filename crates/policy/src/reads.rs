//! What a policy reads, found in its syntax tree: which parts of the context must be made for it, and which arguments
//! its outcome may depend on. Also the form of a policy that answers before the arguments are known.

use std::sync::Arc;

use cedar_policy::pst::{BinaryOp, Clause, Effect, Expr, Literal, Policy, StaticPolicy, Template, UnaryOp, Var};

use crate::shape::ArgPath;

/// The deepest expression that is analysed.
const MAX_DEPTH: usize = 1_000;

/// One place of the context that a policy looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Read {
    /// The attributes from the outside in; empty for the context as a whole.
    pub(crate) path: ArgPath,
    /// Whether only its presence is asked for.
    presence: bool,
}

impl Read {
    /// The argument that this reads; `None` where it reads something else.
    pub(crate) fn argument(&self) -> Option<ArgRead> {
        match self.path.split_first() {
            Some((first, rest)) if &**first == "args" => Some(ArgRead { path: rest.to_vec(), presence: self.presence }),
            None => Some(ArgRead { path: Vec::new(), presence: false }),
            _ => None,
        }
    }

    /// Whether its outcome may differ with the arguments. Whether there are typed arguments at all does not.
    fn depends_on_arguments(&self) -> bool {
        match self.path.as_slice() {
            [] => true,
            [only] => (&**only == "args" && !self.presence) || &**only == "unmapped",
            [first, ..] => &**first == "args" || &**first == "unmapped",
        }
    }
}

/// One argument that a policy looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ArgRead {
    path: ArgPath,
    presence: bool,
}

impl ArgRead {
    /// Whether what this reads is missing in part or as a whole because `unmapped` has no type.
    pub(crate) fn misses(&self, unmapped: &ArgPath) -> bool {
        let inside = self.path.starts_with(unmapped);
        inside || (!self.presence && unmapped.starts_with(&self.path))
    }
}

/// Why a policy cannot be analysed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AnalysisError {
    /// Too deep.
    #[error("its conditions are nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// A look into an entity that the policy itself names.
    #[error(
        "it looks into an entity that it names itself; only `principal`, `action` and `resource` have attributes and parents here"
    )]
    NamedEntity,
}

/// Every place of the context that these conditions look at.
pub(crate) fn reads(clauses: &[Clause]) -> Result<Vec<Read>, AnalysisError> {
    let mut found = Vec::new();
    for clause in clauses {
        let (Clause::When(expr) | Clause::Unless(expr)) = clause;
        walk(expr, MAX_DEPTH, &mut found)?;
    }
    Ok(found)
}

fn context_path(expr: &Expr) -> Option<ArgPath> {
    match expr {
        Expr::Var(Var::Context) => Some(Vec::new()),
        Expr::GetAttr { expr, attr } => {
            let mut path = context_path(expr)?;
            path.push(attr.as_str().into());
            Some(path)
        }
        _ => None,
    }
}

fn walk(expr: &Expr, depth: usize, found: &mut Vec<Read>) -> Result<(), AnalysisError> {
    let depth = depth.checked_sub(1).ok_or(AnalysisError::TooDeep)?;
    if let Some(path) = context_path(expr) {
        found.push(Read { path, presence: false });
        return Ok(());
    }
    match expr {
        Expr::HasAttr { expr, attrs } => {
            if let Some(mut path) = context_path(expr) {
                path.extend(attrs.iter().map(|attr| Arc::from(attr.as_str())));
                found.push(Read { path, presence: true });
                return Ok(());
            }
            not_named(expr)?;
            walk(expr, depth, found)
        }
        Expr::GetAttr { expr, .. } => {
            not_named(expr)?;
            walk(expr, depth, found)
        }
        Expr::BinaryOp { op, left, right } => {
            if matches!(op, BinaryOp::In | BinaryOp::GetTag | BinaryOp::HasTag) {
                not_named(left)?;
            }
            walk(left, depth, found)?;
            walk(right, depth, found)
        }
        Expr::UnaryOp { expr, .. } | Expr::Like { expr, .. } => walk(expr, depth, found),
        Expr::Is { expr, in_expr, .. } => {
            if in_expr.is_some() {
                not_named(expr)?;
            }
            walk(expr, depth, found)?;
            in_expr.iter().try_for_each(|expr| walk(expr, depth, found))
        }
        Expr::IfThenElse { cond, then_expr, else_expr } => {
            [cond, then_expr, else_expr].into_iter().try_for_each(|expr| walk(expr, depth, found))
        }
        Expr::Set(elements) => elements.iter().try_for_each(|expr| walk(expr, depth, found)),
        Expr::Record(members) => members.values().try_for_each(|expr| walk(expr, depth, found)),
        _ => Ok(()),
    }
}

/// Refuses what may be an entity that the policy names, where its attributes or parents are asked for.
fn not_named(expr: &Expr) -> Result<(), AnalysisError> {
    match expr {
        Expr::Literal(Literal::EntityUID(_)) | Expr::Record(_) => Err(AnalysisError::NamedEntity),
        Expr::IfThenElse { then_expr, else_expr, .. } => {
            not_named(then_expr)?;
            not_named(else_expr)
        }
        Expr::GetAttr { expr, .. } => not_named(expr),
        _ => Ok(()),
    }
}

/// The policy as it stands before the arguments are known, for lists: `None` where it then says nothing.
///
/// A permit keeps the conditions that do not depend on arguments, so it covers every call that some arguments would
/// be permitted for. A forbid with a condition on arguments says nothing, since some arguments may escape it.
pub(crate) fn before_arguments(template: &Template) -> Option<cedar_policy::Policy> {
    let mut conditions = Vec::new();
    for clause in template.clauses() {
        match clause {
            Clause::When(expr) => conjuncts(expr, &mut conditions),
            Clause::Unless(expr) => negated_disjuncts(expr, &mut conditions),
        }
    }
    let all = conditions.len();
    conditions.retain(|condition| !depends_on_arguments(condition));
    if template.effect == Effect::Forbid && conditions.len() < all {
        return None;
    }
    let clauses = conditions.into_iter().map(Clause::When);
    let body = template.clone().try_with_clauses(clauses).ok()?;
    cedar_policy::Policy::from_pst(Policy::Static(StaticPolicy::try_from(body).ok()?)).ok()
}

fn depends_on_arguments(expr: &Arc<Expr>) -> bool {
    let mut found = Vec::new();
    walk(expr, MAX_DEPTH, &mut found).is_err() || found.iter().any(Read::depends_on_arguments)
}

/// The parts that must all hold for `expr` to hold.
fn conjuncts(expr: &Arc<Expr>, out: &mut Vec<Arc<Expr>>) {
    match &**expr {
        Expr::BinaryOp { op: BinaryOp::And, left, right } => {
            conjuncts(left, out);
            conjuncts(right, out);
        }
        _ => out.push(Arc::clone(expr)),
    }
}

/// The parts that must all hold for `expr` not to hold.
fn negated_disjuncts(expr: &Arc<Expr>, out: &mut Vec<Arc<Expr>>) {
    match &**expr {
        Expr::BinaryOp { op: BinaryOp::Or, left, right } => {
            negated_disjuncts(left, out);
            negated_disjuncts(right, out);
        }
        _ => out.push(Arc::new(Expr::UnaryOp { op: UnaryOp::Not, expr: Arc::clone(expr) })),
    }
}

/// Whether any of these reads depends on arguments.
pub(crate) fn any_depends_on_arguments(reads: &[Read]) -> bool {
    reads.iter().any(Read::depends_on_arguments)
}
