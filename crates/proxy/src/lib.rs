//! The data plane: listener, surfaces, pipeline and stages. Start reading at [`pipeline`](crate) — `pipeline.rs`.
//!
//! Owns the way of a call from its first byte to its outcome. Never opens a connection to an upstream by itself (that is
//! `upstream`), never writes to a store, and serves no admin route.

mod answers;
mod array;
mod batch;
mod batches;
mod client;
mod discovery;
mod exchange;
mod federation;
mod finish;
mod fit;
mod floods;
mod flow;
mod gate;
mod here;
mod live;
mod live_flow;
mod metrics;
mod owners;
mod pipeline;
mod raw_flow;
mod repeats;
mod replay;
mod respond;
mod responses_flow;
mod server;
mod session;
mod socket;
mod stage;
mod surface;
mod tool_flow;
mod traced;
mod unread;

/// Readers of clients' words that have no other door: for the fuzz targets alone.
#[doc(hidden)]
pub mod doors {
    use tidegate_core::ids::ServerName;

    use crate::{federation::names, replay::Replays};

    /// What a server's tool is called on `/mcp`, and what that name says.
    #[must_use]
    pub fn name(server: &ServerName, item: &str) -> (String, Option<(String, String)>) {
        let name = names::public_name(server, item);
        let said = names::parted(&name).map(|(server, item)| (server.to_owned(), item.to_owned()));
        (name, said)
    }

    /// A server, and what of it; where a text says so.
    pub type Parted<'a> = Option<(&'a str, &'a str)>;

    /// What a client's own name and URI say of a server.
    #[must_use]
    pub fn said(text: &str) -> (Parted<'_>, Parted<'_>) {
        (names::parted(text), names::unwrapped(text))
    }

    /// A URI that says its server.
    #[must_use]
    pub fn wrapped(server: &ServerName, uri: &str) -> String {
        names::wrapped(server, uri)
    }

    /// Whether a client may go on after the event of this id, where the session has one stream of so many events.
    #[must_use]
    pub fn resumes(events: usize, id: &str) -> bool {
        let replays = Replays::default();
        let kept = replays.begin();
        for _ in 0..events {
            drop(kept.push(b"data: x\n\n"));
        }
        replays.after(id).is_some()
    }
}

pub use crate::{
    answers::{AnswerStore, Answers, LARGEST_STORED},
    batches::Batches,
    discovery::Discovery,
    floods::Floods,
    gate::Gate,
    live::Registry,
    metrics::Metrics,
    owners::Owners,
    repeats::Repeats,
    respond::Body,
    server::{Bounds, serve},
    session::Sessions,
};
