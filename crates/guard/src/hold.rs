//! Guarding inside a stream: the tail of each channel that may still become a finding is held back.
//!
//! Owns the frames that wait. They leave unmerged, in their order, none more and none less, whatever is rewritten in
//! them; one without text waits behind those before it. Text leaves as soon as nothing can start in it any more: of
//! ordinary text that is the current word (at most 64 bytes of one for addresses, at most 2 KiB for what a prefix has
//! shown to be a likely secret). What is sure to be a secret and has no end in sight is redacted as it passes. Never
//! does I/O and never waits. The proxy's response stage owns one per answer.

use std::{collections::VecDeque, ops::RangeInclusive, sync::Arc};

use smallvec::SmallVec;
use tidegate_core::{facts::GuardVerdict, segment::Origin};

use crate::{
    chain::Chain,
    finding::{Finding, count},
    tokens::Tokens,
    watch::Watch,
};

mod channel;

use channel::{Channel, Sight};

/// How many bytes one hold keeps at most, frames counted with [`FRAME_COST`] each. Beyond it, what is undecided is
/// taken for a finding.
pub const MAX_HELD: usize = 64 * 1024;
/// What a waiting frame counts for besides its text.
const FRAME_COST: usize = 32;
/// How many channels are remembered; beyond it, the context of the one that has been quiet longest is forgotten.
const MAX_CHANNELS: usize = 64;

/// A frame that may leave.
#[derive(Debug, PartialEq, Eq)]
pub struct Release<F> {
    /// The frame as it was given.
    pub frame: F,
    /// The pieces of its text that are to be replaced, by their place in what was given to `push`; `None` where
    /// nothing changes. A finding that spans frames has its mark in the first and is cut out of the others.
    pub rewritten: Option<Vec<(usize, String)>>,
}

/// What a step gives.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<F> {
    /// Frames that may leave, in order; often the one just pushed.
    Released(Vec<Release<F>>),
    /// Something was found that blocks: the stream ends after the frames released here. Everything held is dropped,
    /// and every later step says the same again.
    Blocked {
        /// What blocks; its range is in bytes of the channel's whole text.
        finding: Finding,
        /// Frames from before it.
        released: Vec<Release<F>>,
    },
}

struct Piece {
    channel: u32,
    start: usize,
    end: usize,
    text: String,
}

struct Waiting<F> {
    frame: F,
    pieces: SmallVec<[Piece; 1]>,
    cost: usize,
}

/// The window over one stream of frames. See the module for what it promises.
pub struct Hold<F> {
    chain: Arc<Chain>,
    origin: Origin,
    applies: bool,
    enforces: bool,
    tokens: Option<Arc<Tokens>>,
    channels: Vec<Channel>,
    waiting: VecDeque<Waiting<F>>,
    held: usize,
    watch: Watch,
    found: Vec<GuardVerdict>,
    blocked: Option<Finding>,
}

impl<F> Hold<F> {
    /// A window for text of `origin`. Where the chain has no rule for it, frames pass straight through; where it only
    /// labels, they pass straight through and are looked at.
    #[must_use]
    pub fn new(chain: Arc<Chain>, origin: Origin) -> Self {
        Self {
            applies: chain.applies(origin),
            enforces: chain.enforces(origin),
            watch: chain.watch(),
            chain,
            origin,
            tokens: None,
            channels: Vec::new(),
            waiting: VecDeque::new(),
            held: 0,
            found: Vec::new(),
            blocked: None,
        }
    }

    /// The same, with tokens of the exchange to be restored: those of `tokens` become values again, others marks.
    #[must_use]
    pub fn restoring(mut self, tokens: Option<Arc<Tokens>>) -> Self {
        self.applies |= tokens.is_some();
        self.enforces |= tokens.is_some();
        self.tokens = tokens;
        self
    }

    /// What was found so far, counted.
    #[must_use]
    pub fn verdicts(&self) -> &[GuardVerdict] {
        &self.found
    }

    /// How many bytes wait, frames counted with 32 each. At most [`MAX_HELD`] after every step.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held
    }

    /// Takes the next frame with the pieces of text in it, each with the channel that it continues: one per block,
    /// choice or tool call of the answer. Gives what may leave now.
    pub fn push(&mut self, frame: F, pieces: &[(u32, &str)]) -> Step<F> {
        self.take(frame, pieces, false)
    }

    /// As [`Hold::push`], for a frame whose texts begin and end in it: each is decided as it stands, however long it is,
    /// so that the frame waits for nothing but the frames before it.
    pub fn push_whole(&mut self, frame: F, pieces: &[(u32, &str)]) -> Step<F> {
        self.take(frame, pieces, true)
    }

    fn take(&mut self, frame: F, pieces: &[(u32, &str)], whole: bool) -> Step<F> {
        if let Some(step) = self.stopped() {
            return step;
        }
        if !self.applies {
            return Step::Released(vec![Release { frame, rewritten: None }]);
        }
        self.watch.again();
        let mut places = SmallVec::<[(u32, usize, usize); 4]>::new();
        for (id, text) in pieces {
            let channel = self.channel(*id);
            let (start, end) = channel.append(text);
            places.push((*id, start, end));
        }
        let mut stopped = None;
        for (id, _) in pieces {
            stopped = stopped.or_else(|| self.advance(*id, whole));
            if let Some(channel) = self.channels.iter_mut().find(|known| whole && known.id() == *id) {
                channel.restart();
            }
        }
        if self.waiting.is_empty() && stopped.is_none() && places.iter().all(|place| self.may_leave(*place)) {
            let texts = pieces.iter().map(|(_, text)| *text);
            let rewritten = self.rewrite(texts.zip(places.iter().copied()));
            self.forget(places.iter().copied());
            return Step::Released(vec![Release { frame, rewritten }]);
        }
        let pieces: SmallVec<[Piece; 1]> = pieces
            .iter()
            .zip(&places)
            .map(|((_, text), (channel, start, end))| Piece {
                channel: *channel,
                start: *start,
                end: *end,
                text: (*text).to_owned(),
            })
            .collect();
        let cost = FRAME_COST + pieces.iter().map(|piece| piece.text.len()).sum::<usize>();
        self.held += cost;
        self.waiting.push_back(Waiting { frame, pieces, cost });
        self.finish(stopped)
    }

    /// The texts of these channels have ended: what is undecided in them is decided as it stands, and leaves with what
    /// waits behind it.
    pub fn close_channels(&mut self, channels: RangeInclusive<u32>) -> Step<F> {
        if let Some(step) = self.stopped() {
            return step;
        }
        let known = self.channels.iter().map(Channel::id);
        let ids: SmallVec<[u32; 8]> = known.filter(|id| channels.contains(id)).collect();
        self.watch.again();
        self.close(ids)
    }

    /// The stream has ended: everything is decided, and everything leaves.
    pub fn flush(&mut self) -> Step<F> {
        if let Some(step) = self.stopped() {
            return step;
        }
        let ids: SmallVec<[u32; 8]> = self.channels.iter().map(Channel::id).collect();
        self.watch.again();
        self.close(ids)
    }

    fn close(&mut self, ids: SmallVec<[u32; 8]>) -> Step<F> {
        let mut stopped = None;
        for id in ids {
            stopped = stopped.or_else(|| self.advance(id, true));
            if let Some(channel) = self.channels.iter_mut().find(|known| known.id() == id) {
                channel.restart();
            }
        }
        self.finish(stopped)
    }

    fn stopped(&self) -> Option<Step<F>> {
        self.blocked.clone().map(|finding| Step::Blocked { finding, released: Vec::new() })
    }

    /// Releases what may leave, after deciding by force where too much is held.
    fn finish(&mut self, mut stopped: Option<Finding>) -> Step<F> {
        let mut released = Vec::new();
        self.release(&mut released);
        while stopped.is_none() && self.held > MAX_HELD {
            let first = self.waiting.front().and_then(|frame| {
                frame.pieces.iter().find(|piece| !self.may_leave((piece.channel, piece.start, piece.end)))
            });
            let Some(id) = first.map(|piece| piece.channel) else { break };
            stopped = self.force(id);
            self.release(&mut released);
        }
        match stopped {
            Some(finding) => {
                self.waiting.clear();
                self.channels.clear();
                self.held = 0;
                self.blocked = Some(finding.clone());
                Step::Blocked { finding, released }
            }
            None => Step::Released(released),
        }
    }

    fn release(&mut self, released: &mut Vec<Release<F>>) {
        while let Some(frame) = self.waiting.pop_front() {
            let place = |piece: &Piece| (piece.channel, piece.start, piece.end);
            if !frame.pieces.iter().all(|piece| self.may_leave(place(piece))) {
                self.waiting.push_front(frame);
                break;
            }
            let rewritten = self.rewrite(frame.pieces.iter().map(|piece| (&*piece.text, place(piece))));
            self.forget(frame.pieces.iter().map(place));
            self.held -= frame.cost;
            released.push(Release { frame: frame.frame, rewritten });
        }
    }

    fn may_leave(&self, (id, _, end): (u32, usize, usize)) -> bool {
        !self.enforces || self.channels.iter().find(|channel| channel.id() == id).is_none_or(|c| c.settled() >= end)
    }

    fn rewrite<'t>(
        &self,
        pieces: impl Iterator<Item = (&'t str, (u32, usize, usize))>,
    ) -> Option<Vec<(usize, String)>> {
        let mut out = Vec::new();
        for (index, (text, (id, start, _))) in pieces.enumerate() {
            let channel = self.channels.iter().find(|channel| channel.id() == id);
            if let Some(text) = channel.and_then(|channel| channel.rewrite(text, start)) {
                out.push((index, text));
            }
        }
        (!out.is_empty()).then_some(out)
    }

    fn forget(&mut self, places: impl Iterator<Item = (u32, usize, usize)>) {
        for (id, _, end) in places {
            if let Some(channel) = self.channels.iter_mut().find(|channel| channel.id() == id) {
                channel.left(end);
            }
        }
    }

    fn advance(&mut self, id: u32, complete: bool) -> Option<Finding> {
        self.seeing(id, |channel, sight, found| channel.advance(sight, complete, found))
    }

    fn force(&mut self, id: u32) -> Option<Finding> {
        self.seeing(id, |channel, sight, found| channel.force(sight, found))
    }

    /// Lets one channel look, and counts what it finds.
    fn seeing(
        &mut self,
        id: u32,
        look: impl FnOnce(&mut Channel, Sight<'_>, &mut dyn FnMut(&Finding)) -> Option<Finding>,
    ) -> Option<Finding> {
        let channel = self.channels.iter_mut().find(|channel| channel.id() == id)?;
        let sight = Sight {
            chain: &self.chain,
            origin: self.origin,
            tokens: self.tokens.as_deref(),
            enforces: self.enforces,
            watch: &self.watch,
        };
        look(channel, sight, &mut |finding| count(&mut self.found, finding))
    }

    fn channel(&mut self, id: u32) -> &mut Channel {
        let known = self.channels.iter().position(|channel| channel.id() == id);
        let channel = match known {
            Some(place) if place + 1 == self.channels.len() => None,
            Some(place) => Some(self.channels.remove(place)),
            None => {
                if self.channels.len() >= MAX_CHANNELS
                    && let Some(quiet) = self.channels.iter().position(Channel::is_quiet)
                {
                    self.channels.remove(quiet);
                }
                Some(Channel::new(id))
            }
        };
        // The one that was used last stands last.
        self.channels.extend(channel);
        let last = self.channels.len() - 1;
        #[expect(clippy::indexing_slicing, reason = "a channel was just put there, or found there")]
        &mut self.channels[last]
    }
}

#[cfg(test)]
mod tests;
