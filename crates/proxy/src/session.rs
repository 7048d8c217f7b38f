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
use tidegate_protocol::mcp::Revision;
use tidegate_upstream::mcp::Leg;

use crate::{
    federation::{Federation, Profiles},
    replay::Replays,
};

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
    /// What is known of the servers behind sessions with all of them.
    pub(crate) profiles: Profiles,
}

struct Session {
    owner: KeyId,
    with: With,
    used: Instant,
    replays: Arc<Replays>,
}

/// Whom a session is with.
#[derive(Clone)]
pub(crate) enum With {
    /// One server.
    One(ServerName, Arc<Leg>),
    /// Every server that the key may use.
    All(Arc<Federation>),
}

impl Sessions {
    /// No session yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens a session of `owner` and gives its id: 128 random bits.
    pub(crate) fn open(&self, owner: KeyId, with: With) -> Arc<str> {
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
        open.insert(Arc::clone(&id), Session { owner, with, used: now, replays: Arc::default() });
        id
    }

    /// The leg of the session `id`, if it is this key's and this server's.
    ///
    /// # Errors
    /// 400 where no session was named, 404 where there is none of that name for this caller.
    pub(crate) fn leg(&self, id: Option<&str>, owner: KeyId, server: &ServerName) -> Result<Arc<Leg>, Fault> {
        match self.find(id, owner)? {
            With::One(name, leg) if name == *server => Ok(leg),
            _ => Err(unknown()),
        }
    }

    /// The session `id` with all servers, if it is this key's.
    ///
    /// # Errors
    /// As [`Self::leg`].
    pub(crate) fn federation(&self, id: Option<&str>, owner: KeyId) -> Result<Arc<Federation>, Fault> {
        match self.find(id, owner)? {
            With::All(federation) => Ok(federation),
            With::One(..) => Err(unknown()),
        }
    }

    /// What can be taken up again of the session `id`: nothing where its revision knows no resumption that the client
    /// was promised.
    pub(crate) fn replays(&self, id: Option<&str>, owner: KeyId) -> Option<Arc<Replays>> {
        let open = self.open.lock();
        let session = open.get(id?).filter(|session| session.owner == owner)?;
        let revision = match &session.with {
            With::One(_, leg) => leg.revision()?,
            With::All(federation) => federation.revision(),
        };
        (revision >= Revision::V2025_11_25).then(|| Arc::clone(&session.replays))
    }

    fn find(&self, id: Option<&str>, owner: KeyId) -> Result<With, Fault> {
        let Some(id) = id else {
            return Err(Fault::new(
                FaultCode::InvalidRequest,
                "No session was named: send `initialize` first, then its Mcp-Session-Id with every request.",
            ));
        };
        let now = clock::now();
        let mut open = self.open.lock();
        let session = open.get_mut(id).filter(|session| session.owner == owner).ok_or_else(unknown)?;
        session.used = now;
        Ok(session.with.clone())
    }

    /// Ends the session `id` of this key with `server`, or with all where that is `None`.
    pub(crate) fn close(&self, id: &str, owner: KeyId, server: Option<&ServerName>) -> Option<With> {
        let mut open = self.open.lock();
        let session = open.get(id).filter(|session| session.owner == owner)?;
        let meant = match (&session.with, server) {
            (With::One(name, _), Some(server)) => name == server,
            (With::All(_), None) => true,
            _ => false,
        };
        if meant { open.remove(id).map(|session| session.with) } else { None }
    }
}

fn unknown() -> Fault {
    Fault::new(FaultCode::NotFound, "There is no such session: send `initialize` to open one.")
}

fn forget_oldest(open: &mut HashMap<Arc<str>, Session>, chosen: impl Fn(&Session) -> bool) {
    let oldest = open.iter().filter(|(_, session)| chosen(session)).min_by_key(|(_, session)| session.used);
    if let Some(id) = oldest.map(|(id, _)| Arc::clone(id)) {
        open.remove(&id);
    }
}
