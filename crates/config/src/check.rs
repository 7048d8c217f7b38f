//! From what is written to what is meant: every name looked up, every reference resolved, every mistake reported.
//!
//! Pure: machine and files come through [`Environment`]. Never compiles anything but policies, which must be compiled
//! to be checked. The command `check`, both start modes and live reload call it; the snapshot is made of its result.

mod access;
mod accounts;
mod aws;
mod budgets;
mod policies;
mod prices;
mod providers;
mod routes;
mod telemetry;
mod whole;

pub use policies::policy_input;
pub(crate) use policies::{DEFAULT_ORG, problem as policy_problem};
pub(crate) use providers::{SIM_SERVER, implied_key_path};
pub(crate) use routes::model_name;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::PathBuf,
};

use tidegate_core::secret::Secret;
use tidegate_ledger::Catalog;
use tidegate_policy::Policies;

use crate::{
    codes::{self, Code},
    document::{Document, Written, literal_secret},
    environment::Environment,
    node::join,
    pins::PinnedTool,
    problem::{Problem, Severity, nearest, one_of, quote},
    reference::{Missing, NotReference, Reference},
    source::Span,
    vendor::Vendors,
};

/// Which start the configuration is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Quick start on loopback: what is missing is a warning, and `sim` is welcome.
    Up,
    /// Production: what is missing is an error, and so is `sim`.
    Serve,
}

/// How strictly to check.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// Which start it is for.
    pub mode: Mode,
    /// Whether secrets are looked up. Without, references are only read: for checking on another machine.
    pub secrets: bool,
    /// Whether the data plane listens on an address that other machines reach.
    pub public_listener: bool,
    /// The vendors there are.
    pub vendors: &'a Vendors,
}

/// A configuration without mistakes, with its secrets, and what it is made of.
#[derive(Debug)]
pub struct Checked {
    /// What was written.
    pub document: Document,
    /// Secrets by the configuration path of their reference; without those that a warning says are missing.
    pub secrets: HashMap<String, Secret>,
    /// The policy files: name and text.
    pub policy_files: Vec<(String, String)>,
    /// The policies, compiled: the files' and those that `allow` and `tools` are short for.
    pub policies: Policies,
    /// Where an app service says that its identity is asked for, and what to show there.
    pub app_service: Option<(String, Secret)>,
    /// The prices of the price files.
    pub prices: Catalog,
    /// What is not wrong but should be known.
    pub warnings: Vec<Problem>,
    /// Every file and folder that a change of which may change the result, besides the configuration's own.
    pub watched: Vec<PathBuf>,
}

/// Checks a document, without any pinned tool.
///
/// # Errors
/// Every problem there is, mistakes of form first, then in the order of the text. Never empty.
pub fn check(written: &Written, environment: &dyn Environment, options: &Options<'_>) -> Result<Checked, Vec<Problem>> {
    check_pinned(written, environment, options, &[])
}

/// Checks a document, its policies against the tools that are pinned.
///
/// # Errors
/// As for [`check`].
pub fn check_pinned(
    written: &Written,
    environment: &dyn Environment,
    options: &Options<'_>,
    pins: &[PinnedTool],
) -> Result<Checked, Vec<Problem>> {
    check_watching(written, environment, options, pins).map_err(|(problems, _)| problems)
}

/// [`check_pinned`]; beside the problems, what to watch for a change that may solve them.
pub(crate) fn check_watching(
    written: &Written,
    environment: &dyn Environment,
    options: &Options<'_>,
    pins: &[PinnedTool],
) -> Result<Checked, (Vec<Problem>, Vec<PathBuf>)> {
    let unread = written
        .problems
        .iter()
        .flat_map(|problem| {
            let list = problem.path.rfind('[').and_then(|at| problem.path.get(..at));
            [Some(problem.path.as_str()), list].into_iter().flatten().map(str::to_owned)
        })
        .collect();
    let mut checker = Checker {
        unread,
        written,
        document: &written.document,
        environment,
        options,
        problems: written.problems.clone(),
        secrets: HashMap::new(),
        watched: Vec::new(),
    };
    checker.names();
    checker.providers();
    checker.servers();
    checker.routes();
    checker.guardrails();
    checker.access();
    checker.budgets();
    checker.whole();
    checker.telemetry();
    let policy_files = checker.policy_files();
    let prices = checker.prices();
    // Policies are checked against the names in the document: with mistakes there, theirs would only be echoes.
    let sound = checker.problems.iter().all(|problem| problem.severity == Severity::Warning);
    let policies = if sound { checker.compile_policies(&policy_files, pins) } else { None };
    let Checker { mut problems, secrets, watched, .. } = checker;
    problems.sort_by(|one, other| (one.span, &one.path).cmp(&(other.span, &other.path)));
    problems.dedup();
    problems.truncate(MOST_PROBLEMS);
    let (errors, warnings): (Vec<_>, Vec<_>) =
        problems.into_iter().partition(|problem| problem.severity == Severity::Error);
    match policies {
        Some(policies) if errors.is_empty() => Ok(Checked {
            document: written.document.clone(),
            secrets,
            policy_files,
            policies,
            app_service: crate::snapshot::credentials::app_service(&|name| environment.variable(name)),
            prices,
            warnings,
            watched,
        }),
        _ => Err((errors, watched)),
    }
}

/// After so many problems, no nearest names are looked for: whoever has more knows what is wrong by then.
const MOST_HINTS: usize = 200;

/// The most problems that are reported.
const MOST_PROBLEMS: usize = 1_000;

struct Checker<'a> {
    /// Paths at which something could not be read.
    unread: HashSet<String>,
    written: &'a Written,
    document: &'a Document,
    environment: &'a dyn Environment,
    options: &'a Options<'a>,
    problems: Vec<Problem>,
    secrets: HashMap<String, Secret>,
    watched: Vec<PathBuf>,
}

impl Checker<'_> {
    /// Reports an error at the value of `path`.
    fn error(&mut self, code: Code, path: &str, message: impl Into<String>, hint: impl Into<String>) {
        // What could not be read is reported already, and so looks empty or missing here.
        if self.unread.contains(path) {
            return;
        }
        let span = self.written.places.value(path);
        self.problems.push(Problem::new(code, span, path, message).hint(hint));
    }

    /// Reports an error at the name of `path`.
    fn error_at_name(&mut self, code: Code, path: &str, message: impl Into<String>, hint: impl Into<String>) {
        let span = self.written.places.name(path);
        self.problems.push(Problem::new(code, span, path, message).hint(hint));
    }

    fn warning(&mut self, code: Code, path: &str, message: impl Into<String>, hint: impl Into<String>) {
        let span = self.written.places.value(path);
        self.problems.push(Problem::new(code, span, path, message).hint(hint).warning());
    }

    /// Reports a name that is not defined under `section`, at `path`, with the one that was probably meant.
    fn undefined<T>(
        &mut self,
        code: Code,
        path: &str,
        what: (&str, &str),
        section: &str,
        defined: &BTreeMap<String, T>,
    ) {
        let (kind, name) = what;
        // It is written, but could not be read, which is reported already.
        if self.written.places.has(&join(section, name)) {
            return;
        }
        let span = self.written.places.value(path);
        let hint = self.meant(span, name, section, defined);
        self.problems.push(Problem::new(code, span, path, format!("{kind} {} is not defined", quote(name))).hint(hint));
    }

    /// `` did you mean `x`, defined at line 5 ``, or what there is.
    fn meant<T>(&self, at: Option<Span>, name: &str, section: &str, defined: &BTreeMap<String, T>) -> String {
        let meant =
            if self.problems.len() < MOST_HINTS { nearest(name, defined.keys().map(String::as_str)) } else { None };
        match meant {
            Some(meant) => match self.written.places.name(&join(section, meant)) {
                Some(span) => {
                    format!("did you mean `{meant}`, defined at {}", self.written.sources.place_from(at, span))
                }
                None => format!("did you mean `{meant}`?"),
            },
            None if defined.is_empty() => format!("add it under `{section}`, where nothing is defined yet"),
            None => format!("add it under `{section}`, or use {}", one_of(defined.keys().map(String::as_str))),
        }
    }

    /// Resolves the reference at `path`, or reports why not. `None` also where secrets are not looked up.
    fn secret(&mut self, path: &str, text: &str) -> Option<Secret> {
        let reference = match Reference::parse(text) {
            Ok(reference) => reference,
            Err(NotReference::Literal) => {
                let span = self.written.places.value(path);
                self.problems.push(literal_secret(span, path));
                return None;
            }
            Err(NotReference::Later(scheme)) => {
                self.error(
                    codes::SCHEME_LATER,
                    path,
                    format!("references with `{scheme}:` are not available yet"),
                    "use `env:NAME` or `file:PATH`",
                );
                return None;
            }
            Err(NotReference::Malformed(why)) => {
                self.error(codes::BAD_REFERENCE, path, why, "write for example `env:OPENAI_API_KEY`");
                return None;
            }
        };
        self.resolve(path, &reference)
    }

    /// Looks up a reference, or reports that nothing is there: an error in production, a warning on a desk.
    fn resolve(&mut self, path: &str, reference: &Reference) -> Option<Secret> {
        if !self.options.secrets {
            return None;
        }
        let folder = self
            .written
            .places
            .value(path)
            .and_then(|span| self.written.sources.file(span))
            .map(|file| file.folder.clone())
            .unwrap_or_default();
        if let Reference::File(file) = reference {
            self.watched.push(folder.join(file));
        }
        match reference.resolve(&folder, self.environment) {
            Ok(secret) => {
                self.secrets.insert(path.to_owned(), secret.clone());
                Some(secret)
            }
            Err(missing) => {
                let (code, hint) = match (&missing, reference) {
                    (Missing::Variable(_), Reference::Variable(name)) => {
                        (codes::NO_VARIABLE, format!("set it before the start: `export {name}=…`"))
                    }
                    _ => {
                        (codes::NO_SECRET_FILE, String::from("make the file readable for the user that runs tidegate"))
                    }
                };
                match self.options.mode {
                    Mode::Serve => self.error(code, path, missing.to_string(), hint),
                    Mode::Up => self.warning(code, path, missing.to_string(), hint),
                }
                None
            }
        }
    }

    /// Reports entries that stand twice in a list.
    fn repeated(&mut self, path: &str, items: &[String]) {
        let mut seen = HashSet::new();
        for (at, item) in items.iter().enumerate() {
            if !seen.insert(item) {
                self.error(
                    codes::REPEATED,
                    &format!("{path}[{at}]"),
                    format!("{} stands twice in the list", quote(item)),
                    "remove one of the two",
                );
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
