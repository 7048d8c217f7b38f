//! Policy files: parsing, annotations, and the checks that Cedar's validator does not make. Finds every problem of
//! every file, not the first.

use std::{collections::HashMap, sync::Arc};

use cedar_policy::{
    Policy, PolicySet,
    ffi::DetailedError,
    pst::{self, Template},
};

use crate::{
    duty::{Annotations, Duty},
    input::PolicySource,
    problem::PolicyProblem,
    reads::{self, Read},
    slice::Scope,
};

/// Ids that begin so are those of generated policies.
const RESERVED: [&str; 3] = ["allow:", "builtin:", "tools:"];

/// A policy of a file.
#[derive(Debug)]
pub(crate) struct FilePolicy {
    pub(crate) id: Arc<str>,
    pub(crate) policy: Policy,
    pub(crate) tree: Template,
    pub(crate) scope: Scope,
    pub(crate) observe: bool,
    pub(crate) duties: Vec<Duty>,
    pub(crate) reads: Vec<Read>,
    /// The number of its file, and the byte of that file's text where it begins.
    pub(crate) file: usize,
    pub(crate) offset: usize,
}

/// Parses every file. What could be read is returned beside what is wrong.
pub(crate) fn parse(sources: &[PolicySource<'_>]) -> (Vec<FilePolicy>, Vec<PolicyProblem>) {
    let mut policies = Vec::new();
    let mut problems = Vec::new();
    let mut seen = HashMap::new();
    for (number, source) in sources.iter().enumerate() {
        match source.text.parse::<PolicySet>() {
            Ok(set) => {
                let mut reading = Reading { number, source, seen: &mut seen, problems: &mut problems };
                policies.extend(reading.policies(&set));
            }
            Err(errors) => problems.extend(errors.iter().map(|error| {
                let details = DetailedError::from(error);
                let offset = details.source_locations.first().map_or(0, |label| label.loc.start);
                PolicyProblem::at(&source.file, &source.text, offset, None, details.message).with_hint(details.help)
            })),
        }
    }
    (policies, problems)
}

struct Reading<'a> {
    number: usize,
    source: &'a PolicySource<'a>,
    /// Where each id was first given: file and line.
    seen: &'a mut HashMap<Arc<str>, String>,
    problems: &'a mut Vec<PolicyProblem>,
}

impl Reading<'_> {
    fn policies(&mut self, set: &PolicySet) -> Vec<FilePolicy> {
        let mut parsed: Vec<_> = set.policies().collect();
        // Cedar numbers them `policy0`, `policy1`, … in their order.
        parsed.sort_by_key(|policy| {
            policy.id().to_string().strip_prefix("policy").and_then(|number| number.parse::<usize>().ok())
        });
        let mut from = 0;
        let mut policies = Vec::new();
        for (at, policy) in parsed.into_iter().enumerate() {
            let text = policy.to_string();
            let rest = self.source.text.get(from..).unwrap_or_default();
            let offset = from.saturating_add(rest.find(&text).unwrap_or(0));
            from = offset.saturating_add(text.len());
            policies.extend(self.policy(policy, at, offset));
        }
        for template in set.templates() {
            let text = template.to_string();
            let offset = self.source.text.find(&text).unwrap_or(0);
            let message = "templates are not supported: write the entity instead of `?principal` or `?resource`";
            self.problem(offset, None, message.to_owned());
        }
        policies
    }

    fn policy(&mut self, policy: &Policy, at: usize, offset: usize) -> Option<FilePolicy> {
        let (annotations, wrong) = Annotations::read(policy.annotations());
        let named = annotations.id.is_some();
        let number = at.saturating_add(1);
        let id: Arc<str> = annotations.id.unwrap_or_else(|| format!("{}#{number}", self.source.file)).into();
        for message in wrong {
            self.problem(offset, Some(&id), message);
        }
        if let Some(prefix) = RESERVED.iter().find(|prefix| named && id.starts_with(**prefix)) {
            self.problem(offset, Some(&id), format!("ids that begin with `{prefix}` are those of generated policies"));
        }
        if !annotations.duties.is_empty() && policy.effect() == cedar_policy::Effect::Forbid {
            let message = "`@approval`, `@hold` and `@redact` say what a permit asks for: a forbid has no duties";
            self.problem(offset, Some(&id), message.to_owned());
        }
        self.unique(&id, offset);
        let (tree, scope, reads) = match analysed(policy) {
            Ok(analysed) => analysed,
            Err(message) => {
                self.problem(offset, Some(&id), message);
                return None;
            }
        };
        if scope.is_bare_group() {
            let message = "`action == …\"call_tool\"` leaves out every pinned tool";
            self.problem(offset, Some(&id), message.to_owned());
            self.hint("write `action in Tidegate::Action::\"call_tool\"`".to_owned());
        }
        let policy = policy.new_id(cedar_policy::PolicyId::new(&id));
        let (observe, duties) = (annotations.observe, annotations.duties);
        Some(FilePolicy { id, policy, tree, scope, observe, duties, reads, file: self.number, offset })
    }

    fn unique(&mut self, id: &Arc<str>, offset: usize) {
        let here = PolicyProblem::at(&self.source.file, &self.source.text, offset, None, String::new());
        let place = format!("{}:{}", here.file, here.line);
        if let Some(first) = self.seen.get(id) {
            let message = format!("the id is taken by the policy at {first}");
            self.problem(offset, Some(id), message);
        } else {
            self.seen.insert(Arc::clone(id), place);
        }
    }

    fn problem(&mut self, offset: usize, id: Option<&Arc<str>>, message: String) {
        self.problems.push(PolicyProblem::at(&self.source.file, &self.source.text, offset, id.cloned(), message));
    }

    fn hint(&mut self, hint: String) {
        if let Some(problem) = self.problems.last_mut() {
            problem.hint = Some(hint);
        }
    }
}

fn analysed(policy: &Policy) -> Result<(Template, Scope, Vec<Read>), String> {
    let tree = match policy.to_pst().map_err(|error| error.to_string())? {
        pst::Policy::Static(policy) => policy.body().clone(),
        pst::Policy::Linked(_) => return Err("policies of templates are not supported".to_owned()),
    };
    let scope = Scope::of(&tree).ok_or_else(|| "its scope names no valid entity".to_owned())?;
    let reads = reads::reads(tree.clauses()).map_err(|error| error.to_string())?;
    Ok((tree, scope, reads))
}
