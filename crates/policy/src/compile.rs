//! From the configuration to [`Policies`]: parse, check against the generated schema, slice. Reports every problem at
//! once. Called when a revision is made, never on the way of a call.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use cedar_policy::{
    PolicySet, Schema, ValidationError, ValidationMode, ValidationWarning, Validator, ffi::DetailedError,
};

use crate::{
    allow,
    context::Parts,
    decide::{Policies, Shared, entry},
    entities::{Catalog, MCP_SERVER, MODEL, PROVIDER, TEAM, TOOL},
    input::{PolicyInput, ServerEntity},
    problem::{PolicyProblem, did_you_mean},
    reads::{self, Read},
    schema,
    slice::{Entry, Index, When},
    source::{self, FilePolicy},
};

/// Compiles policies: files, `allow` lists, `tools` lists and what is built in.
///
/// # Errors
/// Every problem there is, sorted by file and line: what cannot be parsed, what the schema does not know (with a hint
/// where something similar exists), what can never apply, what names an unknown team, provider, server or tool.
pub fn compile(input: &PolicyInput<'_>) -> Result<Policies, Vec<PolicyProblem>> {
    let (policies, mut problems) = source::parse(&input.sources);
    problems.extend(names(input));
    match schema::schema(input) {
        Ok(schema) => problems.extend(validate(input, &policies, schema)),
        Err(problem) => problems.push(problem),
    }
    let known = KnownNames::new(input);
    problems.extend(policies.iter().flat_map(|policy| known.check(input, policy)));
    if !problems.is_empty() {
        problems.sort_by(|left, right| {
            (&left.file, left.line, left.column, &left.message).cmp(&(
                &right.file,
                right.line,
                right.column,
                &right.message,
            ))
        });
        problems.dedup();
        return Err(problems);
    }
    assemble(input, &policies)
}

/// Slices policies that were checked.
pub(crate) fn assemble(input: &PolicyInput<'_>, policies: &[FilePolicy]) -> Result<Policies, Vec<PolicyProblem>> {
    let defect = |message: String| vec![PolicyProblem::unplaced(message, None)];
    shared(input, policies).map_err(defect).and_then(|shared| Policies::new(shared).with_keys(&input.keys))
}

/// Refuses names that would make an id ambiguous.
fn names(input: &PolicyInput<'_>) -> Vec<PolicyProblem> {
    let servers = input.servers.iter().map(|server| ("MCP server", server.name.as_str()));
    let providers: BTreeSet<_> = input.targets.iter().map(|target| target.provider.as_str()).collect();
    let providers = providers.into_iter().map(|provider| ("provider", provider));
    servers
        .chain(providers)
        .filter(|(_, name)| name.contains('/'))
        .map(|(kind, name)| {
            let hint = Some("choose a name without a slash".to_owned());
            PolicyProblem::unplaced(format!("the name of {kind} `{name}` holds a slash"), hint)
        })
        .collect()
}

fn validate(input: &PolicyInput<'_>, policies: &[FilePolicy], schema: Schema) -> Vec<PolicyProblem> {
    // Of policies with one id only the first is validated; the others are problems already.
    let mut set = PolicySet::new();
    let mut by_id = HashMap::new();
    for policy in policies {
        if set.add(policy.policy.clone()).is_ok() {
            by_id.insert(&*policy.id, policy);
        }
    }
    let result = Validator::new(schema).validate(&set, ValidationMode::Strict);
    // A policy with an error mostly can never apply either; only the error helps.
    let wrong: HashSet<_> = result.validation_errors().map(ValidationError::policy_id).collect();
    let misplaced: HashSet<_> = result
        .validation_warnings()
        .filter(|warning| matches!(warning, ValidationWarning::InvalidActionApplication(_)))
        .map(ValidationWarning::policy_id)
        .collect();
    let errors = result.validation_errors().map(|error| (error.policy_id(), DetailedError::from(error)));
    let warnings = result
        .validation_warnings()
        .filter(|warning| match warning {
            ValidationWarning::InvalidActionApplication(warning) => !wrong.contains(warning.policy_id()),
            ValidationWarning::ImpossiblePolicy(warning) => {
                !wrong.contains(warning.policy_id()) && !misplaced.contains(warning.policy_id())
            }
            // Text that does not read as it is written.
            ValidationWarning::BidiCharsInString(_) | ValidationWarning::BidiCharsInIdentifier(_) => true,
            _ => false,
        })
        .map(|warning| (warning.policy_id(), DetailedError::from(warning)));
    errors
        .chain(warnings)
        .filter_map(|(id, details)| {
            let policy = by_id.get(AsRef::<str>::as_ref(id))?;
            let source = input.sources.get(policy.file)?;
            let offset = details.source_locations.first().map_or(policy.offset, |label| label.loc.start);
            let prefix = format!("for policy `{}`, ", policy.id);
            let message = details.message.strip_prefix(&prefix).unwrap_or(&details.message).to_owned();
            let id = Some(Arc::clone(&policy.id));
            Some(PolicyProblem::at(&source.file, &source.text, offset, id, message).with_hint(details.help))
        })
        .collect()
}

/// The names that policies may refer to.
struct KnownNames<'a> {
    teams: HashSet<&'a str>,
    providers: HashSet<&'a str>,
    servers: HashMap<&'a str, &'a ServerEntity>,
}

impl<'a> KnownNames<'a> {
    fn new(input: &'a PolicyInput<'_>) -> Self {
        Self {
            teams: input.teams.iter().map(AsRef::as_ref).collect(),
            providers: input.targets.iter().map(|target| target.provider.as_str()).collect(),
            servers: input.servers.iter().map(|server| (server.name.as_str(), server)).collect(),
        }
    }

    /// Problems with entities that a policy names. Keys may be made at run time and models need no entry, so those
    /// are taken as they are.
    fn check(&self, input: &PolicyInput<'_>, policy: &FilePolicy) -> Vec<PolicyProblem> {
        let Some(source) = input.sources.get(policy.file) else { return Vec::new() };
        let mut problems = Vec::new();
        for literal in policy.policy.entity_literals() {
            if let Some((message, hint)) = self.unknown(literal.type_name().basename(), literal.id().unescaped()) {
                let id = Some(Arc::clone(&policy.id));
                let problem = PolicyProblem::at(&source.file, &source.text, policy.offset, id, message);
                problems.push(problem.with_hint(hint));
            }
        }
        problems
    }

    fn unknown(&self, kind: &str, id: &str) -> Option<(String, Option<String>)> {
        let missing = |what: &str, name: &str, hint| Some((format!("{what} `{name}` is not defined"), hint));
        match kind {
            TEAM if !self.teams.contains(id) => missing("team", id, did_you_mean(id, self.teams.iter().copied())),
            PROVIDER => self.unknown_provider(id),
            MODEL => match id.split_once('/') {
                Some((provider, _)) => self.unknown_provider(provider),
                None => missing("model", id, Some("write `provider/model`".to_owned())),
            },
            MCP_SERVER if !self.servers.contains_key(id) => {
                missing("MCP server", id, did_you_mean(id, self.servers.keys().copied()))
            }
            TOOL => {
                let Some((server, tool)) = id.split_once('/') else {
                    return missing("tool", id, Some("write `server/tool`".to_owned()));
                };
                let Some(server) = self.servers.get(server) else {
                    return missing("MCP server", server, did_you_mean(server, self.servers.keys().copied()));
                };
                let pins = || server.pins.iter().map(|pin| pin.name.as_str());
                let unknown = server.pins.iter().all(|pin| pin.name.as_str() != tool) && !server.pins.is_empty();
                if unknown { missing("tool", id, did_you_mean(tool, pins())) } else { None }
            }
            _ => None,
        }
    }

    fn unknown_provider(&self, name: &str) -> Option<(String, Option<String>)> {
        (!self.providers.contains(name))
            .then(|| (format!("provider `{name}` is not defined"), did_you_mean(name, self.providers.iter().copied())))
    }
}

fn shared(input: &PolicyInput<'_>, policies: &[FilePolicy]) -> Result<Shared, String> {
    let mut entries = allow::built_in().into_iter().map(entry).collect::<Result<Vec<_>, _>>()?;
    for server in input.servers.iter().filter(|server| server.allowed_tools.is_some()) {
        let forbid = allow::tools_forbid(server)
            .ok_or_else(|| format!("the `tools` list of MCP server `{}` cannot be compiled", server.name))?;
        entries.push(entry(forbid)?);
    }
    let mut before = entries.clone();
    let mut depends = false;
    for policy in policies {
        let arguments = policy.reads.iter().filter_map(Read::argument).collect();
        let whole = Entry {
            policy: policy.policy.clone(),
            scope: policy.scope.clone(),
            observe: policy.observe,
            reads: arguments,
            when: policy.tree.clauses().is_empty().then_some(When::Always),
        };
        if reads::any_depends_on_arguments(&policy.reads) {
            depends = true;
            let relaxed =
                reads::before_arguments(&policy.tree).map(|relaxed| relaxed.new_id(policy.policy.id().clone()));
            before.extend(relaxed.map(|policy| Entry { policy, reads: Vec::new(), when: None, ..whole.clone() }));
        } else {
            before.push(whole.clone());
        }
        entries.push(whole);
    }
    let index = |entries: &[Entry]| Index::new(entries).map_err(|error| error.to_string());
    Ok(Shared {
        catalog: Catalog::new(input).map_err(|error| error.to_string())?,
        index: index(&entries)?,
        before_arguments: if depends { Some(index(&before)?) } else { None },
        duties: policies
            .iter()
            .filter(|policy| !policy.duties.is_empty())
            .map(|policy| (policy.id.to_string(), policy.duties.clone()))
            .collect(),
        unscoped: policies
            .iter()
            .filter(|policy| policy.scope.is_unscoped() && policy.policy.effect() == cedar_policy::Effect::Permit)
            .map(|policy| policy.id.to_string())
            .collect(),
        parts: policies.iter().flat_map(|policy| &policy.reads).fold(Parts::LEAST, |parts, read| parts.with(read)),
    })
}
