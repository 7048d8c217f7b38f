//! One leg: what one client session has with one server.
//!
//! Owns the server's session id, the agreed revision, the ids that go out, and which requests of the server wait for
//! an answer. Two client sessions never share a leg, so that no answer can reach the wrong one.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use parking_lot::Mutex;
use tidegate_protocol::{
    jsonrpc::{Id, Message, Parts},
    mcp::Revision,
};

use super::stdio::Process;
use crate::{headers, target::McpServer};

/// The header of a session (Streamable HTTP).
pub(crate) const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");

/// The most requests of a server that wait for an answer at a time, and of a client.
const MOST_WAITING: usize = 1024;

/// One client session's leg at one server.
#[derive(Debug)]
pub struct Leg {
    server: Arc<McpServer>,
    next_id: AtomicI64,
    session: Mutex<Session>,
    /// The process that it is with, where the server is a program.
    process: Mutex<Option<Arc<Process>>>,
    /// Held while the session is made anew, so that it is made once.
    pub(crate) renewing: tokio::sync::Mutex<()>,
    pending: Mutex<HashMap<Id, i64>>,
    asked: Mutex<HashSet<Id>>,
}

#[derive(Debug, Default)]
struct Session {
    id: Option<HeaderValue>,
    revision: Option<Revision>,
    /// The `initialize` message that opened it, or will.
    opening: Option<Bytes>,
    /// What the server answered to it.
    answer: Option<Message>,
    /// The parameters of the last `logging/setLevel`, told again to a session that is made anew.
    level: Option<Bytes>,
    /// How often it was made.
    generation: u64,
}

impl Leg {
    /// A leg without a session yet: the client's `initialize`, relayed, opens it.
    #[must_use]
    pub fn new(server: Arc<McpServer>) -> Arc<Self> {
        Self::with(server, Session::default())
    }

    /// A leg that opens itself with the client's `initialize` message when it is first needed.
    #[must_use]
    pub fn deferred(server: Arc<McpServer>, opening: Bytes) -> Arc<Self> {
        Self::with(server, Session { opening: Some(opening), ..Session::default() })
    }

    fn with(server: Arc<McpServer>, session: Session) -> Arc<Self> {
        Arc::new(Self {
            server,
            next_id: AtomicI64::new(1),
            session: Mutex::new(session),
            process: Mutex::new(None),
            renewing: tokio::sync::Mutex::new(()),
            pending: Mutex::new(HashMap::new()),
            asked: Mutex::new(HashSet::new()),
        })
    }

    /// The server.
    #[must_use]
    pub fn server(&self) -> &McpServer {
        &self.server
    }

    /// The revision that was agreed on; `None` before the server has answered `initialize`.
    #[must_use]
    pub fn revision(&self) -> Option<Revision> {
        self.session.lock().revision
    }

    /// Whether a session was opened.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.session.lock().generation > 0
    }

    /// What the server answered to `initialize`; `None` before it has.
    #[must_use]
    pub fn greeting(&self) -> Option<Message> {
        self.session.lock().answer.clone()
    }

    /// Whether the client's request `client` is out on this leg.
    #[must_use]
    pub fn awaits(&self, client: &Id) -> bool {
        self.outgoing_id(client).is_some()
    }

    /// Notes the parameters of `logging/setLevel` for sessions to come.
    pub fn note_level(&self, params: Bytes) {
        self.session.lock().level = Some(params);
    }

    /// The process, if there is one that runs.
    pub(crate) fn process(&self) -> Option<Arc<Process>> {
        self.process.lock().clone().filter(|process| !process.is_gone())
    }

    /// Puts a process in the place of the one before, which ends.
    pub(crate) fn set_process(&self, process: Option<Arc<Process>>) {
        let before = std::mem::replace(&mut *self.process.lock(), process);
        drop(before);
    }

    pub(crate) fn level(&self) -> Option<Bytes> {
        self.session.lock().level.clone()
    }

    /// A fresh id for a request on this leg.
    pub(crate) fn fresh_id(&self) -> i64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn generation(&self) -> u64 {
        self.session.lock().generation
    }

    pub(crate) fn opening(&self) -> Option<Bytes> {
        self.session.lock().opening.clone()
    }

    /// The session as the server gave it with its answer to `initialize`.
    pub(crate) fn opened(&self, id: Option<HeaderValue>, revision: Option<Revision>, opening: Bytes, answer: Message) {
        let mut session = self.session.lock();
        session.id = id;
        session.revision = revision;
        session.answer = Some(answer);
        session.opening = Some(opening);
        session.generation = session.generation.saturating_add(1);
        drop(session);
        // What waited on the session before will never be answered.
        self.asked.lock().clear();
    }

    /// Forgets the server's session; gives what is needed to end it there.
    pub(crate) fn close(&self) -> Option<HeaderValue> {
        self.set_process(None);
        let mut session = self.session.lock();
        session.revision = None;
        session.opening = None;
        session.id.take()
    }

    /// The headers of a message on this leg. Says whether a session id is among them.
    pub(crate) fn headers(&self, forward: &HeaderMap, with_session: bool) -> (HeaderMap, bool) {
        let mut out = headers::to_server(forward, &self.server.headers);
        out.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        out.insert(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        let session = self.session.lock();
        let id = session.id.clone().filter(|_| with_session);
        let has_id = id.is_some();
        if let Some(id) = id {
            out.insert(SESSION_ID, id);
        }
        if let Some(revision) = session.revision.filter(|revision| with_session && revision.has_version_header()) {
            out.insert(PROTOCOL_VERSION, HeaderValue::from_static(revision.as_str()));
        }
        (out, has_id)
    }

    /// Notes that the client's request `client` goes out as `ours`, until the guard is dropped.
    pub(crate) fn pending(self: &Arc<Self>, client: Option<&Id>, ours: i64) -> Pending {
        let client = client.cloned();
        if let Some(client) = &client {
            let mut pending = self.pending.lock();
            if pending.len() < MOST_WAITING {
                pending.insert(client.clone(), ours);
            }
        }
        Pending { leg: Arc::clone(self), client, ours }
    }

    /// The id under which the client's request went out, if it is still out.
    pub(crate) fn outgoing_id(&self, client: &Id) -> Option<i64> {
        self.pending.lock().get(client).copied()
    }

    /// Notes a request of the server. False where too many wait already, or one with this id does.
    pub(crate) fn ask(&self, request: &Message) -> bool {
        let Parts::Request { id, .. } = request.parts() else { return false };
        let mut asked = self.asked.lock();
        asked.len() < MOST_WAITING && asked.insert(id.clone())
    }

    /// Takes a request of the server off the list; false where it never asked under this id, or was answered.
    pub(crate) fn take_asked(&self, id: &Id) -> bool {
        self.asked.lock().remove(id)
    }
}

/// A request of the client that is out.
#[derive(Debug)]
pub(crate) struct Pending {
    leg: Arc<Leg>,
    client: Option<Id>,
    ours: i64,
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(client) = &self.client {
            let mut pending = self.leg.pending.lock();
            // The client may have used the id again meanwhile.
            if pending.get(client) == Some(&self.ours) {
                pending.remove(client);
            }
        }
    }
}
