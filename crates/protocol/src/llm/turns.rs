//! Blocks that follow each other, made of events that may interleave: for dialects whose streams have one open block.
//!
//! Owns which block is open and what waits. While a tool's block is open, what belongs to others waits, within bounds;
//! every other block gives way at once. Never writes a frame itself. Called by the encoders of such dialects.

use crate::{
    llm::{error::StreamError, translate::HELD_BYTES},
    sse::Frame,
};

/// The most blocks that wait.
const MOST_WAITING: usize = 256;

/// What a block holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Thinking,
    Tool { id: String, name: String },
}

impl Kind {
    fn is_tool(&self) -> bool {
        matches!(self, Self::Tool { .. })
    }
}

/// The block that is open.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) index: u64,
    pub(crate) kind: Kind,
    /// Whether anything was said in it.
    pub(crate) said: bool,
    slot: u32,
}

#[derive(Debug)]
struct Waiting {
    slot: u32,
    kind: Kind,
    text: String,
    signature: Option<String>,
    ended: bool,
}

/// How a dialect writes its blocks.
pub(crate) trait Blocks {
    fn open(&self, index: u64, kind: &Kind, out: &mut Vec<Frame>);

    /// More text of an open block; never empty.
    fn say(&self, index: u64, kind: &Kind, text: &str, out: &mut Vec<Frame>);

    /// The signature of an open block of reasoning.
    fn sign(&self, index: u64, signature: &str, out: &mut Vec<Frame>);

    fn close(&self, open: &Open, out: &mut Vec<Frame>);
}

/// The blocks of one stream.
#[derive(Debug)]
pub(crate) struct Turns<B> {
    blocks: B,
    next: u64,
    open: Option<Open>,
    waiting: Vec<Waiting>,
    held: usize,
}

impl<B: Blocks> Turns<B> {
    pub(crate) fn new(blocks: B) -> Self {
        Self { blocks, next: 0, open: None, waiting: Vec::new(), held: 0 }
    }

    /// The number of a block that is written whole, in the place of the one that is open.
    pub(crate) fn whole(&mut self, out: &mut Vec<Frame>) -> u64 {
        self.close(out);
        self.number()
    }

    /// Text for a block: goes out where its block is open or can be opened, waits behind an open tool else.
    pub(crate) fn text(&mut self, slot: u32, kind: Kind, text: &str, out: &mut Vec<Frame>) -> Result<(), StreamError> {
        if self.is_open(slot) {
            self.say(text, out);
            return Ok(());
        }
        if let Some(waiting) = self.waiting.iter_mut().rfind(|waiting| waiting.slot == slot && !waiting.ended) {
            waiting.text.push_str(text);
            self.held = self.held.saturating_add(text.len());
            return if self.held > HELD_BYTES { Err(StreamError::TooLarge) } else { Ok(()) };
        }
        if kind.is_tool() {
            return Err(StreamError::Malformed("arguments of a tool call that is over".into()));
        }
        self.begin(slot, kind, out)?;
        self.text(slot, Kind::Text, text, out)
    }

    /// Opens a block, or lets it wait.
    pub(crate) fn begin(&mut self, slot: u32, kind: Kind, out: &mut Vec<Frame>) -> Result<(), StreamError> {
        if self.open.as_ref().is_some_and(|open| open.kind.is_tool()) {
            if self.waiting.len() >= MOST_WAITING {
                return Err(StreamError::TooLarge);
            }
            self.waiting.push(Waiting { slot, kind, text: String::new(), signature: None, ended: false });
            return Ok(());
        }
        self.close(out);
        self.open(slot, kind, out);
        Ok(())
    }

    /// The signature of a block of reasoning, which waits where its block does.
    pub(crate) fn sign(&mut self, slot: u32, signature: String, out: &mut Vec<Frame>) -> Result<(), StreamError> {
        let waits = |waiting: &Waiting| waiting.slot == slot && !waiting.ended;
        if !self.is_open(slot) && !self.waiting.iter().any(waits) {
            self.begin(slot, Kind::Thinking, out)?;
        }
        if let Some(open) = self.open.as_ref().filter(|open| open.slot == slot) {
            self.blocks.sign(open.index, &signature, out);
        } else if let Some(waiting) = self.waiting.iter_mut().rfind(|waiting| waits(waiting)) {
            self.held = self.held.saturating_add(signature.len());
            waiting.signature = Some(signature);
            if self.held > HELD_BYTES {
                return Err(StreamError::TooLarge);
            }
        }
        Ok(())
    }

    /// The slot says no more.
    pub(crate) fn end(&mut self, slot: u32, out: &mut Vec<Frame>) {
        if self.is_open(slot) {
            self.close(out);
            self.release(false, out);
        } else if let Some(waiting) = self.waiting.iter_mut().rfind(|waiting| waiting.slot == slot) {
            waiting.ended = true;
        }
    }

    /// Nothing more comes: all that waited goes out.
    pub(crate) fn end_all(&mut self, out: &mut Vec<Frame>) {
        self.close(out);
        self.release(true, out);
    }

    fn is_open(&self, slot: u32) -> bool {
        self.open.as_ref().is_some_and(|open| open.slot == slot)
    }

    fn number(&mut self) -> u64 {
        let number = self.next;
        self.next = self.next.saturating_add(1);
        number
    }

    fn open(&mut self, slot: u32, kind: Kind, out: &mut Vec<Frame>) {
        let index = self.number();
        self.blocks.open(index, &kind, out);
        self.open = Some(Open { index, kind, said: false, slot });
    }

    fn close(&mut self, out: &mut Vec<Frame>) {
        if let Some(open) = self.open.take() {
            self.blocks.close(&open, out);
        }
    }

    fn say(&mut self, text: &str, out: &mut Vec<Frame>) {
        if let Some(open) = self.open.as_mut().filter(|_| !text.is_empty()) {
            open.said = true;
            self.blocks.say(open.index, &open.kind, text, out);
        }
    }

    /// Lets blocks that waited out, in order: all of them, or up to the first that is still growing.
    fn release(&mut self, all: bool, out: &mut Vec<Frame>) {
        let mut rest = std::mem::take(&mut self.waiting).into_iter();
        for block in rest.by_ref() {
            self.open(block.slot, block.kind, out);
            self.held = self.held.saturating_sub(block.text.len());
            self.say(&block.text, out);
            if let Some((signature, open)) = block.signature.zip(self.open.as_ref()) {
                self.held = self.held.saturating_sub(signature.len());
                self.blocks.sign(open.index, &signature, out);
            }
            if !all && !block.ended {
                break;
            }
            self.close(out);
        }
        self.waiting = rest.collect();
    }
}
