//! All MCP servers that a key may use, as one: sessions on `/mcp`.
//!
//! Owns what such a session remembers: the legs, which are opened when they are needed; what its client was shown, and
//! where it leads; which server asked what. Every call goes through the pipeline as one to its server, a list as one to
//! each. Never decides, never speaks to a server by another way than the pipeline's and the relay's.

mod decode;
mod frames;
mod listen;
mod lists;
pub(crate) mod names;
mod profiles;

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use bytes::Bytes;
use parking_lot::Mutex;
use tidegate_core::{
    facts::{Action, Facts, Resource},
    ids::ServerName,
};
use tidegate_policy::SessionPermit;
use tidegate_protocol::{
    jsonrpc::{Id, Message},
    mcp::{ListKind, Revision, progress_token},
};
use tidegate_upstream::{McpServer, mcp::Leg};
use tokio_util::sync::CancellationToken;

pub(crate) use self::{
    decode::{decode, of_session, one},
    frames::{Ask, answer},
    listen::Merged,
    profiles::Profiles,
};
use self::{lists::Position, names::Shown};
use crate::exchange::Exchange;

/// Most requests of servers that wait for the client's answer, of all servers together.
const MOST_ASKED: usize = 1_024;

/// Most cursors of one session that can still be followed.
const MOST_CURSORS: usize = 64;

/// A session with all servers.
pub(crate) struct Federation {
    /// The client's `initialize`, which opens each leg.
    opening: Bytes,
    revision: Revision,
    legs: Mutex<BTreeMap<ServerName, Arc<Leg>>>,
    level: Mutex<Option<Bytes>>,
    next: AtomicI64,
    asked: Mutex<HashMap<i64, Asked>>,
    shown: Mutex<Shown>,
    listed: Mutex<HashSet<ListKind>>,
    cursors: Mutex<VecDeque<(u64, Position)>>,
    /// The stream on which the client listens.
    listening: Mutex<Option<CancellationToken>>,
}

/// A request of a server that the client has been asked.
struct Asked {
    leg: Arc<Leg>,
    /// The server's own id, as it wrote it.
    id: Bytes,
    progress: Option<Id>,
}

impl Federation {
    /// A session that the client opened with `opening`.
    fn new(opening: Bytes, revision: Revision) -> Arc<Self> {
        Arc::new(Self {
            opening,
            revision,
            legs: Mutex::default(),
            level: Mutex::default(),
            next: AtomicI64::new(1),
            asked: Mutex::default(),
            shown: Mutex::default(),
            listed: Mutex::default(),
            cursors: Mutex::default(),
            listening: Mutex::default(),
        })
    }

    /// The leg at `server`, made where there is none yet; it opens itself when it is first used.
    pub(crate) fn leg(&self, server: &Arc<McpServer>) -> Arc<Leg> {
        let mut legs = self.legs.lock();
        let leg = legs.entry(server.name.clone()).or_insert_with(|| {
            let leg = Leg::deferred(Arc::clone(server), self.opening.clone());
            if let Some(level) = self.level.lock().clone() {
                leg.note_level(level);
            }
            leg
        });
        Arc::clone(leg)
    }

    fn legs(&self) -> Vec<Arc<Leg>> {
        self.legs.lock().values().cloned().collect()
    }

    /// The revision that was agreed on with the client.
    pub(crate) fn revision(&self) -> Revision {
        self.revision
    }

    /// Notes that a server asks its client something, and gives the id under which the client is asked: two servers may
    /// use the same one. `None` where too much waits.
    pub(crate) fn ask(&self, leg: &Arc<Leg>, request: &Message) -> Option<Bytes> {
        let mut asked = self.asked.lock();
        if asked.len() >= MOST_ASKED {
            return None;
        }
        let ours = self.next.fetch_add(1, Ordering::Relaxed);
        let id = Bytes::copy_from_slice(request.raw_id());
        let progress = progress_token(request).map(|(token, _)| token);
        asked.insert(ours, Asked { leg: Arc::clone(leg), id, progress });
        Some(Bytes::from(ours.to_string()))
    }

    /// Who asked under this id, and under which id of its own. An answer is taken once.
    fn take_asked(&self, id: &Id) -> Option<(Arc<Leg>, Bytes)> {
        let Id::Number(ours) = id else { return None };
        self.asked.lock().remove(ours).map(|asked| (asked.leg, asked.id))
    }

    /// Who asked with this progress token; `None` where nobody did, or more than one server.
    fn who_asked_with(&self, token: &Id) -> Option<Arc<Leg>> {
        let asked = self.asked.lock();
        let mut legs = asked.values().filter(|asked| asked.progress.as_ref() == Some(token)).map(|asked| &asked.leg);
        let first = legs.next()?;
        legs.all(|leg| Arc::ptr_eq(leg, first)).then(|| Arc::clone(first))
    }

    /// A notification of `server` as the client knows things: the URI of a resource that changed is the one it was
    /// shown. A list that changed is read again before a bare name is looked up in it.
    pub(crate) fn outward(&self, server: &ServerName, message: Message) -> Message {
        match message.method() {
            Some("notifications/resources/updated") => self.renamed(server, &message).unwrap_or(message),
            Some(method) if method.ends_with("/list_changed") => {
                self.listed.lock().clear();
                message
            }
            _ => message,
        }
    }

    fn renamed(&self, server: &ServerName, message: &Message) -> Option<Message> {
        let node = message.member(message.params()?, "uri")?;
        let uri = message.text(node)?;
        let known_as = self.shown.lock().uri_of(server, &uri);
        if known_as == *uri { None } else { decode::with_text(message, node, &known_as).ok() }
    }

    /// Begins another stream on which the client listens, and ends the one before it: each message goes to one only.
    fn listen(&self) -> CancellationToken {
        let here = CancellationToken::new();
        if let Some(before) = self.listening.lock().replace(here.clone()) {
            before.cancel();
        }
        here
    }

    /// Ends the stream on which the client listens.
    fn unlisten(&self) {
        if let Some(listening) = self.listening.lock().take() {
            listening.cancel();
        }
    }

    fn remember(&self, position: Position) -> String {
        let token: u64 = rand::random();
        let mut cursors = self.cursors.lock();
        if cursors.len() >= MOST_CURSORS {
            cursors.pop_front();
        }
        cursors.push_back((token, position));
        format!("{token:016x}")
    }

    fn position(&self, cursor: &str) -> Option<Position> {
        let token = u64::from_str_radix(cursor, 16).ok().filter(|_| cursor.len() == 16)?;
        self.cursors.lock().iter().find(|(known, _)| *known == token).map(|(_, position)| position.clone())
    }
}

/// A server that the caller may use, with the permission to keep a session with it.
struct Usable {
    server: Arc<McpServer>,
    permit: SessionPermit,
}

/// The servers that the caller may use, in the order of their names.
fn usable(exchange: &Exchange) -> Vec<Usable> {
    exchange.snapshot.servers().filter_map(|server| usable_one(exchange, server)).collect()
}

fn usable_one(exchange: &Exchange, server: &Arc<McpServer>) -> Option<Usable> {
    let caller = exchange.caller.as_ref()?;
    let resource = Resource::Server(server.name.clone());
    let facts = Facts::new(exchange.surface.as_str(), Action::UseServer, resource);
    let permit =
        SessionPermit::authorize(&exchange.policies(), &caller.principal, &facts, &server.name, exchange.at).ok()?;
    Some(Usable { server: Arc::clone(server), permit })
}
