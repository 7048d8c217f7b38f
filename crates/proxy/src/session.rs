//! MCP sessions of callers: which session id belongs to which key and server, and the leg it has there.
//!
//! Owns the map and its bounds. An id is a capability of nobody but the key that opened it: another key that shows it
//! is told that there is no such session. Never speaks to a server; `here` and the dispatch do.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tidegate_core::{
    clock,
    fault::{Fault, FaultCode},
    ids::{KeyId, ServerName},
};
use tidegate_upstream::mcp::Leg;

/// Most sessions of one key; the one that was idle longest gives way.
const MOST_PER_KEY: usize = 1_000;

/// Most sessions of all keys together.
const MOST: usize = 50_000;

/// A session that was idle for this long is forgotten.
const IDLE: Duration = Duration::from_secs(24 * 60 * 60);

/// The sessions.
#[derive(Default)]
pub struct Sessions {
    open: Mutex<HashMap<Arc<str>, Session>>,
}

struct Session {
    owner: KeyId,
    server: ServerName,
    leg: Arc<Leg>,
    used: Instant,
}

impl Sessions {
    /// No session yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens a session of `owner` with this leg and gives its id: 128 random bits.
    pub(crate) fn open(&self, owner: KeyId, server: ServerName, leg: Arc<Leg>) -> Arc<str> {
        let id: Arc<str> = Arc::from(format!("{:032x}", rand::random::<u128>()));
        let now = clock::now();
        let mut open = self.open.lock();
        let of_owner = open.values().filter(|session| session.owner == owner).count();
        if of_owner >= MOST_PER_KEY {
            forget_oldest(&mut open, |session| session.owner == owner);
        } else if open.len() >= MOST {
            open.retain(|_, session| now.saturating_duration_since(session.used) < IDLE);
            if open.len() >= MOST {
                forget_oldest(&mut open, |_| true);
            }
        }
        open.insert(Arc::clone(&id), Session { owner, server, leg, used: now });
        id
    }

    /// The leg of the session `id`, if it is this key's and this server's.
    ///
    /// # Errors
    /// 400 where no session was named, 404 where there is none of that name for this caller.
    pub(crate) fn leg(&self, id: Option<&str>, owner: KeyId, server: &ServerName) -> Result<Arc<Leg>, Fault> {
        let Some(id) = id else {
            return Err(Fault::new(
                FaultCode::InvalidRequest,
                "No session was named: send `initialize` first, then its Mcp-Session-Id with every request.",
            ));
        };
        let now = clock::now();
        let mut open = self.open.lock();
        match open.get_mut(id) {
            Some(session) if session.owner == owner && session.server == *server => {
                session.used = now;
                Ok(Arc::clone(&session.leg))
            }
            _ => Err(Fault::new(FaultCode::NotFound, "There is no such session: send `initialize` to open one.")),
        }
    }

    /// Ends the session `id` of this key and gives its leg.
    pub(crate) fn close(&self, id: &str, owner: KeyId, server: &ServerName) -> Option<Arc<Leg>> {
        let mut open = self.open.lock();
        let own = open.get(id).is_some_and(|session| session.owner == owner && session.server == *server);
        if own { open.remove(id).map(|session| session.leg) } else { None }
    }
}

fn forget_oldest(open: &mut HashMap<Arc<str>, Session>, chosen: impl Fn(&Session) -> bool) {
    let oldest = open.iter().filter(|(_, session)| chosen(session)).min_by_key(|(_, session)| session.used);
    if let Some(id) = oldest.map(|(id, _)| Arc::clone(id)) {
        open.remove(&id);
    }
}
