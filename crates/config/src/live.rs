//! The active revision, and the way to the next: read, check, compile, swap whole; or keep the last good one.
//!
//! Owns the numbers that people see ("revision 41 active, 42 rejected"). The proxy reads [`Live::current`] once per
//! call; the binary and the admin API activate.

use std::{path::PathBuf, sync::Arc};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tidegate_core::clock::UnixMillis;

use crate::{
    check::{self, Options},
    document::{Document, Written},
    environment::Environment,
    problem::Problem,
    render,
    snapshot::{Ingredients, Snapshot},
    source::Sources,
};

/// A revision that is or was active.
#[derive(Debug)]
pub struct Active {
    /// Its number on this node: 1 for the first, one more for every candidate after it, rejected ones too.
    pub number: u64,
    /// When it was activated.
    pub at: UnixMillis,
    /// What it is.
    pub snapshot: Arc<Snapshot>,
}

/// A candidate that was not taken.
#[derive(Debug, Clone)]
pub struct Rejected {
    /// Its number.
    pub number: u64,
    /// When it was refused.
    pub at: UnixMillis,
    /// What is wrong with it.
    pub problems: Vec<Problem>,
    /// The problems as text, with places and hints.
    pub rendered: String,
}

/// The active revision and what became of the last candidate.
#[derive(Debug)]
pub struct Live {
    current: ArcSwap<Active>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    last_number: u64,
    rejected: Option<Arc<Rejected>>,
}

impl Live {
    /// Starts with a first revision.
    #[must_use]
    pub fn new(snapshot: Snapshot, at: UnixMillis) -> Self {
        let active = Active { number: 1, at, snapshot: Arc::new(snapshot) };
        Self { current: ArcSwap::from_pointee(active), state: Mutex::new(State { last_number: 1, rejected: None }) }
    }

    /// The active revision. Keep what this returns for the whole of a call, so that one call sees one revision.
    #[must_use]
    pub fn current(&self) -> Arc<Active> {
        self.current.load_full()
    }

    /// Makes `snapshot` the active revision for every call from now on, and says which number it has. A snapshot with
    /// the same content hash (a secret was replaced) takes the present one's place and number.
    pub fn activate(&self, snapshot: Snapshot, at: UnixMillis) -> u64 {
        let mut state = self.state.lock();
        let present = self.current.load_full();
        let same = present.snapshot.revision == snapshot.revision;
        let (number, at) = if same { (present.number, present.at) } else { (state.last_number.saturating_add(1), at) };
        state.last_number = state.last_number.max(number);
        state.rejected = None;
        self.current.store(Arc::new(Active { number, at, snapshot: Arc::new(snapshot) }));
        number
    }

    /// Notes that a candidate was refused; the active revision stays. The same refusal again changes nothing.
    pub fn reject(&self, rejection: Rejection, at: UnixMillis) -> u64 {
        let mut state = self.state.lock();
        if let Some(last) = state.rejected.as_ref().filter(|last| last.problems == rejection.problems) {
            return last.number;
        }
        state.last_number = state.last_number.saturating_add(1);
        let number = state.last_number;
        let Rejection { problems, rendered, .. } = rejection;
        state.rejected = Some(Arc::new(Rejected { number, at, problems, rendered }));
        number
    }

    /// The last candidate, where it was refused.
    #[must_use]
    pub fn last_rejected(&self) -> Option<Arc<Rejected>> {
        self.state.lock().rejected.clone()
    }

    /// `revision 41 active`, or `revision 41 active, 42 rejected: …` with the first problem.
    #[must_use]
    pub fn status(&self) -> String {
        let active = self.current.load().number;
        match self.last_rejected() {
            None => format!("revision {active} active"),
            Some(rejected) => {
                let first = rejected.rendered.lines().next().unwrap_or_default();
                let more = match rejected.problems.len().saturating_sub(1) {
                    0 => String::new(),
                    more => format!(" (and {more} more)"),
                };
                format!("revision {active} active, {} rejected: {first}{more}", rejected.number)
            }
        }
    }
}

/// Why a candidate is refused.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{rendered}")]
pub struct Rejection {
    /// What is wrong with it.
    pub problems: Vec<Problem>,
    /// The problems as text, with places and hints.
    pub rendered: String,
    /// The files and folders that it refers to, besides the configuration's own: a change of one may make it good.
    pub watched: Vec<PathBuf>,
}

impl Rejection {
    /// Problems with the texts that they are about.
    #[must_use]
    pub fn new(problems: Vec<Problem>, sources: &Sources) -> Self {
        let rendered = render::render_all(&problems, sources);
        Self { problems, rendered, watched: Vec::new() }
    }

    fn watching(self, watched: Vec<PathBuf>) -> Self {
        Self { watched, ..self }
    }
}

/// A candidate, ready to be activated, and which files and folders it was made from.
#[derive(Debug)]
pub struct Candidate {
    /// The compiled revision.
    pub snapshot: Snapshot,
    /// The texts it was made from.
    pub sources: Sources,
    /// What to watch.
    pub watched: Vec<PathBuf>,
}

/// Reads, checks and compiles the files and folders at `paths`.
///
/// # Errors
/// Everything that is wrong; nothing was changed.
pub fn load(
    paths: &[PathBuf],
    environment: &dyn Environment,
    options: &Options<'_>,
    ingredients: &Ingredients<'_>,
) -> Result<Candidate, Rejection> {
    let sources =
        Sources::load(paths, environment).map_err(|problems| Rejection::new(problems, &Sources::default()))?;
    let mut candidate = compile(sources, environment, options, ingredients)?;
    candidate.watched.extend(paths.iter().cloned());
    Ok(candidate)
}

/// Checks and compiles texts that were read already.
///
/// # Errors
/// Everything that is wrong; nothing was changed.
pub fn compile(
    sources: Sources,
    environment: &dyn Environment,
    options: &Options<'_>,
    ingredients: &Ingredients<'_>,
) -> Result<Candidate, Rejection> {
    compile_written(Document::parse(sources), environment, options, ingredients)
}

/// Checks and compiles a document, written or made (see [`Written::of`]).
///
/// # Errors
/// Everything that is wrong; nothing was changed.
pub fn compile_written(
    written: Written,
    environment: &dyn Environment,
    options: &Options<'_>,
    ingredients: &Ingredients<'_>,
) -> Result<Candidate, Rejection> {
    let checked = check::check_watching(&written, environment, options, &ingredients.pins)
        .map_err(|(problems, watched)| Rejection::new(problems, &written.sources).watching(watched))?;
    let watched = checked.watched.clone();
    let snapshot = Snapshot::compile(checked, ingredients)
        .map_err(|problems| Rejection::new(problems, &written.sources).watching(watched.clone()))?;
    Ok(Candidate { snapshot, sources: written.sources, watched })
}

#[cfg(test)]
mod tests;
