//! What is known of servers from one session to the next: what they can do, and which of them hang.
//!
//! Owns notes only; whoever opens a leg or asks for a list makes them. They are about a server as the configuration has
//! it now: a changed definition is another server.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tidegate_core::{clock, fault::Fault, ids::ServerName};
use tidegate_protocol::{jsonrpc::Parts, mcp::Capabilities};
use tidegate_upstream::{McpServer, mcp::Leg};

/// A server that took at least this long to fail is left out of lists for [`PAUSE`].
const SLOW: Duration = Duration::from_secs(1);

/// How long a server that hangs is left out of lists.
const PAUSE: Duration = Duration::from_secs(10);

/// Most bytes of one server's instructions that are passed on.
const MOST_INSTRUCTIONS: usize = 8 * 1024;

/// What is known of a server.
#[derive(Clone)]
pub(super) struct Profile {
    pub(super) capabilities: Capabilities,
    pub(super) instructions: Option<Arc<str>>,
}

/// The notes.
#[derive(Default)]
pub(crate) struct Profiles {
    known: Mutex<HashMap<ServerName, (Arc<McpServer>, Profile)>>,
    hanging: Mutex<HashMap<ServerName, (Instant, Arc<str>)>>,
}

impl Profiles {
    pub(super) fn get(&self, server: &Arc<McpServer>) -> Option<Profile> {
        let known = self.known.lock();
        let (definition, profile) = known.get(&server.name)?;
        Arc::ptr_eq(definition, server).then(|| profile.clone())
    }

    /// Notes what an open leg's server said of itself.
    pub(super) fn learn(&self, server: &Arc<McpServer>, leg: &Leg) -> Option<Profile> {
        let greeting = leg.greeting()?;
        let Parts::Response { result, .. } = greeting.parts() else { return None };
        let text = greeting.member(*result, "instructions").and_then(|node| greeting.text(node));
        let instructions = text.filter(|text| !text.is_empty()).map(|text| {
            let mut end = text.len().min(MOST_INSTRUCTIONS);
            while !text.is_char_boundary(end) {
                end = end.saturating_sub(1);
            }
            Arc::from(text.get(..end).unwrap_or_default())
        });
        let profile = Profile { capabilities: Capabilities::of(&greeting), instructions };
        self.known.lock().insert(server.name.clone(), (Arc::clone(server), profile.clone()));
        Some(profile)
    }

    /// Notes how long a server took to fail.
    pub(super) fn failed(&self, server: &ServerName, after: Duration, fault: &Fault) {
        if after >= SLOW
            && let Some(until) = clock::now().checked_add(PAUSE)
        {
            self.hanging.lock().insert(server.clone(), (until, Arc::from(fault.public_message.as_str())));
        }
    }

    pub(super) fn answered(&self, server: &ServerName) {
        self.hanging.lock().remove(server);
    }

    /// Why a server is left out for now.
    pub(super) fn hangs(&self, server: &ServerName) -> Option<Arc<str>> {
        let mut hanging = self.hanging.lock();
        let (until, why) = hanging.get(server)?;
        if *until > clock::now() {
            return Some(Arc::clone(why));
        }
        hanging.remove(server);
        None
    }
}
