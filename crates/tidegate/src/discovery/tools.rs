//! What is known of one server's tools: their pins, what waits for one, and what is not as pinned.
//!
//! Owns the comparison of a definition with its pin, and which differences are told: each other definition once, so
//! that a server which changes to and fro cannot fill the log.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use tidegate_config::pins::{MAX_TOOLS, PinnedTool};
use tidegate_core::ids::{Digest, RevisionId, ToolName};

/// The most bytes of definitions that are pinned of one server.
pub(super) const MOST_BYTES: usize = 8 << 20;
/// The most lists that are remembered as being as pinned: a server has as many as it has pages and kinds of client.
const MOST_LISTS: usize = 64;
/// The most other definitions of one tool that are told, until one of them is accepted.
const MOST_TOLD: usize = 16;

/// What is known of one server's tools.
#[derive(Default)]
pub(super) struct Tools {
    pinned: HashMap<ToolName, Arc<PinnedTool>>,
    bytes: usize,
    pub(super) waiting: BTreeMap<ToolName, PinnedTool>,
    /// The revision whose policies do not compile with what waits.
    pub(super) refused_by: Option<RevisionId>,
    changed: BTreeMap<ToolName, Changed>,
    /// What was told of each tool since it was pinned.
    told: HashMap<ToolName, Vec<Digest>>,
    as_pinned: HashSet<Digest>,
    /// Whether a task asks the server for its list, and whether it is to ask once more.
    pub(super) asking: bool,
    pub(super) ask_again: bool,
}

struct Changed {
    seen: Arc<PinnedTool>,
    told: bool,
}

/// What a definition turned out to be.
#[derive(Debug, PartialEq)]
pub(super) enum Look {
    /// What was pinned.
    AsPinned,
    /// What was pinned, after another one had been seen and told.
    Restored(Arc<PinnedTool>),
    /// One of a tool that has no pin.
    Unpinned,
    /// Not what was pinned; the finding, where it was not told before.
    Changed(Option<Arc<Difference>>),
}

/// A definition that is not as pinned.
#[derive(Debug, PartialEq)]
pub(super) struct Difference {
    pub(super) pinned: Arc<PinnedTool>,
    pub(super) seen: Arc<PinnedTool>,
}

impl Tools {
    /// Takes a pin, in place of the one that its tool had.
    pub(super) fn add(&mut self, pin: PinnedTool) {
        self.remove(&pin.name);
        self.bytes = self.bytes.saturating_add(pin.bytes());
        self.pinned.insert(pin.name.clone(), Arc::new(pin));
    }

    /// Forgets a tool's pin and what was seen in its place.
    pub(super) fn remove(&mut self, tool: &ToolName) {
        if let Some(pin) = self.pinned.remove(tool) {
            self.bytes = self.bytes.saturating_sub(pin.bytes());
        }
        self.waiting.remove(tool);
        self.changed.remove(tool);
        self.told.remove(tool);
        self.as_pinned.clear();
    }

    /// Takes what was seen in place of a pin before the start.
    pub(super) fn seen_before(&mut self, seen: PinnedTool) {
        self.told.insert(seen.name.clone(), vec![seen.digest]);
        self.changed.insert(seen.name.clone(), Changed { seen: Arc::new(seen), told: true });
    }

    /// Compares a definition with its pin, and lets it wait for one where there is none.
    pub(super) fn look(&mut self, tool: PinnedTool) -> Look {
        let Some(pinned) = self.pinned.get(&tool.name).map(Arc::clone) else { return self.wait(tool) };
        if pinned.digest == tool.digest {
            let before = self.changed.remove(&tool.name);
            return if before.is_some_and(|changed| changed.told) { Look::Restored(pinned) } else { Look::AsPinned };
        }
        let known = self.changed.get(&tool.name).is_some_and(|changed| changed.seen.digest == tool.digest);
        if known {
            return Look::Changed(None);
        }
        let told = self.told.entry(tool.name.clone()).or_default();
        let tells = told.len() < MOST_TOLD && !told.contains(&tool.digest);
        if tells {
            told.push(tool.digest);
        }
        let seen = Arc::new(tool);
        self.changed.insert(seen.name.clone(), Changed { seen: Arc::clone(&seen), told: tells });
        Look::Changed(tells.then(|| Arc::new(Difference { pinned, seen })))
    }

    fn wait(&mut self, tool: PinnedTool) -> Look {
        match self.waiting.get(&tool.name) {
            Some(known) if known.digest == tool.digest => return Look::Unpinned,
            // The first one is about to be pinned.
            Some(_) if self.refused_by.is_none() => return Look::Changed(None),
            Some(_) => drop(self.waiting.remove(&tool.name)),
            None => {}
        }
        let waiting: usize = self.waiting.values().map(PinnedTool::bytes).sum();
        let bytes = self.bytes.saturating_add(waiting).saturating_add(tool.bytes());
        if !self.is_full() && bytes <= MOST_BYTES {
            self.refused_by = None;
            self.waiting.insert(tool.name.clone(), tool);
        }
        Look::Unpinned
    }

    fn is_full(&self) -> bool {
        self.pinned.len().saturating_add(self.waiting.len()) >= MAX_TOOLS
    }

    pub(super) fn is_due(&self, current: RevisionId) -> bool {
        !self.waiting.is_empty() && self.refused_by != Some(current)
    }

    pub(super) fn is_changed(&self, tool: &str) -> bool {
        self.changed.contains_key(tool)
    }

    /// The tools that are not as pinned, and what was seen of each.
    pub(super) fn changed(&self) -> impl Iterator<Item = (&ToolName, &Arc<PinnedTool>)> {
        self.changed.iter().map(|(name, changed)| (name, &changed.seen))
    }

    pub(super) fn pin(&self, tool: &str) -> Option<&Arc<PinnedTool>> {
        self.pinned.get(tool)
    }

    pub(super) fn pins(&self) -> impl Iterator<Item = &Arc<PinnedTool>> {
        self.pinned.values()
    }

    pub(super) fn is_as_pinned(&self, list: &Digest) -> bool {
        // A tool that another list shows changed is compared with each list.
        self.changed.is_empty() && self.as_pinned.contains(list)
    }

    /// Remembers a list in which everything was as pinned.
    pub(super) fn remember(&mut self, list: Digest) {
        if self.as_pinned.len() >= MOST_LISTS {
            self.as_pinned.clear();
        }
        self.as_pinned.insert(list);
    }
}
