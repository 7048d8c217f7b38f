//! Who gets what a program says: each answer goes to who asked, everything else to who is nearest to it.
//!
//! Owns the table of waiting requests and the bounded queues. A program's output names no request that its notifications
//! belong to, so they go by their progress token, else to the request that was sent last, else to the client's own
//! stream, else they are kept for it.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use parking_lot::Mutex;
use tidegate_protocol::{
    jsonrpc::{Id, Message, Parts},
    mcp::progress_token,
};
use tokio::sync::Notify;

/// Most bytes that wait in one queue; notifications beyond it are dropped.
const MOST_QUEUED: usize = 16 * 1024 * 1024;

/// Most messages that wait in one queue.
const MOST_MESSAGES: usize = 1_024;

/// Messages for one who waits.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    state: Mutex<Queued>,
    more: Notify,
}

#[derive(Debug, Default)]
struct Queued {
    messages: VecDeque<Message>,
    bytes: usize,
    over: Option<Arc<str>>,
}

impl Queue {
    /// False where there is no room.
    fn push(&self, message: Message, needed: bool) -> bool {
        let mut state = self.state.lock();
        let bytes = state.bytes.saturating_add(message.bytes().len());
        if !needed && (bytes > MOST_QUEUED || state.messages.len() >= MOST_MESSAGES) {
            return false;
        }
        state.bytes = bytes;
        state.messages.push_back(message);
        drop(state);
        self.more.notify_one();
        true
    }

    fn end(&self, why: &Arc<str>) {
        self.state.lock().over.get_or_insert_with(|| Arc::clone(why));
        self.more.notify_one();
    }

    /// The next message; why the program has ended, where it has and nothing is left. Cancel-safe.
    pub(crate) async fn next(&self) -> Result<Message, Arc<str>> {
        loop {
            {
                let mut state = self.state.lock();
                if let Some(message) = state.messages.pop_front() {
                    state.bytes = state.bytes.saturating_sub(message.bytes().len());
                    return Ok(message);
                }
                if let Some(why) = &state.over {
                    return Err(Arc::clone(why));
                }
            }
            self.more.notified().await;
        }
    }
}

/// The table.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting: HashMap<i64, Waiting>,
    listener: Option<Arc<Queue>>,
    /// Said before anybody listened.
    kept: VecDeque<Message>,
    over: Option<Arc<str>>,
}

#[derive(Debug)]
struct Waiting {
    queue: Arc<Queue>,
    progress: Option<Id>,
}

/// A place in the table, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    inbox: Arc<Inbox>,
    queue: Arc<Queue>,
    /// `None` for who listens.
    id: Option<i64>,
}

impl Place {
    /// The next message, as [`Queue::next`].
    pub(crate) async fn next(&self) -> Result<Message, Arc<str>> {
        self.queue.next().await
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.inbox.state.lock();
        match self.id {
            Some(id) => drop(state.waiting.remove(&id)),
            None => {
                if state.listener.as_ref().is_some_and(|listener| Arc::ptr_eq(listener, &self.queue)) {
                    state.listener = None;
                }
            }
        }
    }
}

/// What became of a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// Somebody has it, or will.
    Yes,
    /// Nobody wanted it, or there was no room.
    Dropped,
}

impl Inbox {
    /// Waits for the answer to the request that goes out as `id`.
    pub(crate) fn wait_for(self: &Arc<Self>, id: i64, request: Option<&Message>) -> Result<Place, Arc<str>> {
        let mut state = self.state.lock();
        if let Some(why) = &state.over {
            return Err(Arc::clone(why));
        }
        let queue = Arc::new(Queue::default());
        let progress = request.and_then(progress_token).map(|(token, _)| token);
        state.waiting.insert(id, Waiting { queue: Arc::clone(&queue), progress });
        Ok(Place { inbox: Arc::clone(self), queue, id: Some(id) })
    }

    /// Listens to what belongs to no request, from what was kept on.
    pub(crate) fn listen(self: &Arc<Self>) -> Result<Place, Arc<str>> {
        let mut state = self.state.lock();
        if let Some(why) = &state.over {
            return Err(Arc::clone(why));
        }
        let queue = Arc::new(Queue::default());
        for message in state.kept.drain(..) {
            queue.push(message, false);
        }
        if let Some(before) = state.listener.replace(Arc::clone(&queue)) {
            before.end(&Arc::from("another stream has taken its place"));
        }
        Ok(Place { inbox: Arc::clone(self), queue, id: None })
    }

    /// Whether anybody waits or listens.
    pub(crate) fn is_idle(&self) -> bool {
        let state = self.state.lock();
        state.waiting.is_empty() && state.listener.is_none()
    }

    /// Gives a message to whom it is for.
    pub(crate) fn take(&self, message: Message) -> Taken {
        let mut state = self.state.lock();
        if let Parts::Response { .. } | Parts::ErrorResponse { .. } = message.parts() {
            let Some(Id::Number(id)) = message.id() else { return Taken::Dropped };
            let Some(waiting) = state.waiting.get(id) else { return Taken::Dropped };
            waiting.queue.push(message, true);
            return Taken::Yes;
        }
        let token = progress_token(&message).map(|(token, _)| token);
        let by_token = token
            .filter(|_| message.id().is_none())
            .and_then(|token| state.waiting.values().find(|waiting| waiting.progress.as_ref() == Some(&token)));
        let last = || state.waiting.iter().max_by_key(|(id, _)| **id).map(|(_, waiting)| waiting);
        let queue = by_token.or_else(last).map(|waiting| &waiting.queue).or(state.listener.as_ref());
        let taken = match queue {
            Some(queue) => queue.push(message, false),
            None if state.kept.len() < MOST_MESSAGES / 16 && message.bytes().len() < MOST_QUEUED / 64 => {
                state.kept.push_back(message);
                true
            }
            None => false,
        };
        if taken { Taken::Yes } else { Taken::Dropped }
    }

    /// Tells all who wait for an answer that it is not coming.
    pub(crate) fn fail(&self, why: &str) {
        let why: Arc<str> = Arc::from(why);
        for waiting in self.state.lock().waiting.values() {
            waiting.queue.end(&why);
        }
    }

    /// Ends everybody's waiting.
    pub(crate) fn end(&self, why: &str) {
        let why: Arc<str> = Arc::from(why);
        let mut state = self.state.lock();
        if state.over.is_some() {
            return;
        }
        state.over = Some(Arc::clone(&why));
        state.kept.clear();
        let queues = state.waiting.values().map(|waiting| &waiting.queue).chain(state.listener.as_ref());
        for queue in queues {
            queue.end(&why);
        }
    }
}
