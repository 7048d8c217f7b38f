//! Reads policy files and compiles them with the permits that the document is short for.

use std::{borrow::Cow, collections::HashMap, path::PathBuf};

use tidegate_core::ids::{KeyName, ModelName, OrgId, ServerName, TargetId, TeamName, ToolName};
use tidegate_policy::{Allow, KeyEntity, Policies, PolicyInput, PolicyProblem, PolicySource, ServerEntity, ToolPin};

use super::Checker;
use crate::{
    codes,
    document::Document,
    pins::PinnedTool,
    problem::{Elsewhere, Problem},
    source::{MAX_FILES, Position},
};

/// The largest policy file, in bytes.
const MAX_POLICY_BYTES: usize = 1024 * 1024;
/// The tenant of everything that the file defines.
pub(crate) const DEFAULT_ORG: &str = "default";

impl Checker<'_> {
    /// The policy files with their texts; what cannot be read is reported.
    pub(super) fn policy_files(&mut self) -> Vec<(String, String)> {
        let document = self.document;
        let mut files = Vec::new();
        for (at, path) in document.policies.0.iter().enumerate() {
            let at = if document.policies.0.len() == 1 { String::from("policies") } else { format!("policies[{at}]") };
            let span = self.written.places.value(&at);
            let folder = span.and_then(|span| self.written.sources.file(span)).map(|file| file.folder.clone());
            let named = folder.unwrap_or_default().join(path);
            self.watched.push(named.clone());
            match self.environment.list(&named) {
                Ok(None) => self.policy_file(&at, named, &mut files),
                Ok(Some(mut names)) => {
                    names.retain(|name| name.extension().is_some_and(|extension| extension == "cedar"));
                    names.sort();
                    names.into_iter().for_each(|name| self.policy_file(&at, name, &mut files));
                }
                Err(error) => {
                    let message = format!("cannot read policies at `{}`: {error}", named.display());
                    self.error(codes::POLICY_FILE, &at, message, "name a folder of `.cedar` files, or such a file");
                }
            }
        }
        files
    }

    fn policy_file(&mut self, at: &str, name: PathBuf, files: &mut Vec<(String, String)>) {
        if files.len() >= MAX_FILES {
            self.error(codes::TOO_LARGE, at, format!("more than {MAX_FILES} policy files"), "put policies together");
            return;
        }
        match self.environment.read(&name, MAX_POLICY_BYTES) {
            Ok(text) => files.push((name.display().to_string(), text)),
            Err(error) => {
                let message = format!("cannot read the policy file `{}`: {error}", name.display());
                self.error(codes::POLICY_FILE, at, message, "make it readable for the user that runs tidegate");
            }
        }
    }

    /// Compiles everything that permits and forbids; what is wrong is reported.
    pub(super) fn compile_policies(&mut self, files: &[(String, String)], pins: &[PinnedTool]) -> Option<Policies> {
        match tidegate_policy::compile(&policy_input(self.document, files, pins)) {
            Ok(policies) => Some(policies),
            Err(problems) => {
                self.problems.extend(problems.into_iter().map(|from| problem(from, files)));
                None
            }
        }
    }
}

/// A policy's problem, at its place in the policy file.
pub(crate) fn problem(from: PolicyProblem, files: &[(String, String)]) -> Problem {
    let policy = from.policy_id.map(|id| format!("policy `{id}`: ")).unwrap_or_default();
    let hint = from.hint.unwrap_or_else(|| String::from("`tidegate policy check` prints what policies may name"));
    let problem = Problem::new(codes::POLICY, None, "policies", format!("{policy}{}", from.message)).hint(hint);
    if from.file.is_empty() {
        return problem;
    }
    let number = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let at = Position { line: number(from.line), column: number(from.column) };
    let text = files.iter().find(|(name, _)| *name == from.file).map_or("", |(_, text)| text);
    let line = text.split('\n').nth(at.line.saturating_sub(1)).unwrap_or_default().to_owned();
    problem.at(Elsewhere { file: from.file, at, line })
}

/// What the document, its policy files and the pinned tools mean for policy. Pins of servers that the document does not
/// name count for nothing.
#[must_use]
pub fn policy_input<'a>(document: &Document, files: &'a [(String, String)], pins: &[PinnedTool]) -> PolicyInput<'a> {
    let mut pinned: HashMap<&str, Vec<ToolPin>> = HashMap::new();
    for pin in pins {
        let tool = ToolPin { name: pin.name.clone(), input_schema: pin.input_schema.clone() };
        pinned.entry(pin.server.as_str()).or_default().push(tool);
    }
    let keys = document.keys.iter().map(|(name, key)| KeyEntity {
        name: KeyName::from(name.as_str()),
        team: key.team.as_deref().map(TeamName::from),
        org: OrgId::from(DEFAULT_ORG),
        allow: key
            .allow
            .as_ref()
            .map(|allow| Allow { models: allow.models.to_list(), mcp_servers: allow.mcp_servers.to_list() }),
    });
    let mut targets: Vec<TargetId> = document
        .models
        .values()
        .flat_map(|model| model.route.targets())
        .filter_map(|target| target.name.split_once('/'))
        .map(|(provider, model)| TargetId::new(provider, model))
        .collect();
    // A provider that no route names can still be called by `provider/model`, so policies may name it.
    targets.extend(document.providers.keys().map(|provider| TargetId::new(provider.as_str(), "*")));
    targets.sort();
    targets.dedup();
    let servers = document.mcp_servers.iter().map(|(name, server)| ServerEntity {
        name: ServerName::from(name.as_str()),
        allowed_tools: server
            .tools
            .as_ref()
            .map(|tools| tools.iter().map(|tool| ToolName::from(tool.as_str())).collect()),
        pins: pinned.remove(name.as_str()).unwrap_or_default(),
    });
    PolicyInput {
        keys: keys.collect(),
        teams: document.teams.keys().map(|name| TeamName::from(name.as_str())).collect(),
        targets,
        aliases: document.models.keys().map(|name| ModelName::from(name.as_str())).collect(),
        servers: servers.collect(),
        sources: files
            .iter()
            .map(|(file, text)| PolicySource { file: Cow::Borrowed(file), text: Cow::Borrowed(text) })
            .collect(),
    }
}
