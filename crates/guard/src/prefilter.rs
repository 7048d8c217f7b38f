//! The one pass over a text that every detector shares: it finds the few places that are worth a look.
//!
//! Owns block classification. Clean text costs a count per block of 64 bytes, which the compiler vectorises, and a
//! sample every sixteen bytes for long runs. Never decides anything. It must miss nothing that a detector would find:
//! a number touches two blocks at most, so one of them has half its digits, and each detector says how many that is;
//! every secret with a prefix holds a run of sixteen token bytes. The chain calls it.

use crate::guard::{Class, Input, Trigger, Triggers};

const BLOCK: usize = 64;
const STRIDE: usize = 16;
/// How much is passed over before it is asked whether to go on.
pub(crate) const PIECE: usize = 16 * 1024;
/// The shortest run of token bytes that is worth a look.
pub(crate) const TOKEN_RUN: usize = 16;
/// How far before a block with many digits a card, an IBAN or a bot token in it may have started.
const REACH: usize = 48;

/// What is done on the way over a text.
pub(crate) trait Pass {
    /// Looks at a trigger.
    fn look(&mut self, trigger: Trigger);

    /// Whether to go on; asked after each [`PIECE`].
    fn goes_on(&mut self) -> bool {
        true
    }
}

impl<F: FnMut(Trigger)> Pass for F {
    fn look(&mut self, trigger: Trigger) {
        self(trigger);
    }
}

/// Looks at every trigger at or after the input's `from`; runs that began before it are reported where they touch what
/// is after. Stops where the pass does not go on.
pub(crate) fn run(input: &Input<'_>, wanted: Triggers, pass: &mut impl Pass) {
    if (wanted.at || wanted.assign || wanted.digits > 0 || wanted.dashes) && !blocks(input, wanted, pass) {
        return;
    }
    if wanted.token && !tokens(input, pass) {
        return;
    }
    if !input.is_complete() {
        pass.look(Trigger::End(input.len()));
    }
}

#[derive(Default)]
struct Count {
    digits: u8,
    dashes: u8,
    marks: u8,
}

/// Counts what triggers in at most 64 bytes. Plain arithmetic without branches, so that it is vectorised.
fn count(block: &[u8]) -> Count {
    let mut count = Count::default();
    for byte in block {
        count.digits += u8::from(byte.wrapping_sub(b'0') < 10);
        count.dashes += u8::from(*byte == b'-');
        count.marks |= u8::from(*byte == b'@') | u8::from(*byte == b':') | u8::from(*byte == b'=');
    }
    count
}

/// Whether the pass came to the end.
fn blocks(input: &Input<'_>, wanted: Triggers, pass: &mut impl Pass) -> bool {
    let bytes = input.bytes();
    let mut at = input.from();
    // Up to where digits were walked already.
    let mut walked = at;
    while at < bytes.len() {
        let stop = bytes.len().min(at + PIECE);
        while at < stop {
            walked = block(input, wanted, at, walked, pass);
            at += BLOCK;
        }
        if at < bytes.len() && !pass.goes_on() {
            return false;
        }
    }
    true
}

/// Looks at the block at `at`; gives up to where digits were walked.
fn block(input: &Input<'_>, wanted: Triggers, at: usize, mut walked: usize, pass: &mut impl Pass) -> usize {
    let bytes = input.bytes();
    let end = bytes.len().min(at + BLOCK);
    let block = input.slice(at, end);
    let seen = <&[u8; BLOCK]>::try_from(block).map_or_else(|_| count(block), |block| count(block));
    // Near the end of an unfinished text a run may be cut short, so every trigger there counts.
    let tail = !input.is_complete() && bytes.len() - at <= 2 * BLOCK;
    if wanted.digits > 0 && (seen.digits >= wanted.digits || tail) {
        digits(input, walked.max(at.saturating_sub(REACH)), end, pass);
        walked = end;
    }
    if seen.marks != 0 {
        for offset in memchr::memchr3_iter(b'@', b'=', b':', block) {
            match block.get(offset) {
                Some(b'@') if wanted.at => pass.look(Trigger::At(at + offset)),
                Some(b'=' | b':') if wanted.assign => pass.look(Trigger::Assign(at + offset)),
                _ => {}
            }
        }
    }
    if wanted.dashes && (seen.dashes >= 3 || (tail && seen.dashes > 0)) {
        dashes(input, at, block, pass);
    }
    walked
}

fn dashes(input: &Input<'_>, at: usize, block: &[u8], pass: &mut impl Pass) {
    for offset in memchr::memchr_iter(b'-', block) {
        let place = at + offset;
        if offset == 0 || input.before(place) != Some(b'-') {
            let before = if offset == 0 { dashes_before(input, place) } else { 0 };
            pass.look(Trigger::Dashes(place - before));
        }
    }
}

/// How many dashes stand before `at`, at most five: more make no difference.
fn dashes_before(input: &Input<'_>, at: usize) -> usize {
    let before = input.slice(at.saturating_sub(5), at);
    before.iter().rev().take_while(|byte| **byte == b'-').count()
}

fn digits(input: &Input<'_>, from: usize, to: usize, pass: &mut impl Pass) {
    let mut at = from;
    while at < to {
        if Class::DIGIT.has(input.byte(at)) {
            let inside = at == from && input.before(at).is_some_and(|byte| Class::DIGIT.has(byte));
            if !inside {
                pass.look(Trigger::Digits(at));
            }
            at = input.run_end(Class::DIGIT, at);
        }
        at += 1;
    }
}

/// Whether the pass came to the end.
fn tokens(input: &Input<'_>, pass: &mut impl Pass) -> bool {
    let bytes = input.bytes();
    let from = input.from();
    let tail = if input.is_complete() { None } else { Some(tail_run(input)) };
    // A run that began in the context goes on: what it was before does not matter, it is reported from here.
    let mut at = from;
    let mut first = true;
    let mut piece = bytes.get(..from.saturating_add(PIECE)).unwrap_or(bytes);
    loop {
        let probe = if first { at } else { at + STRIDE - 1 };
        let Some(byte) = piece.get(probe) else {
            if piece.len() == bytes.len() {
                break;
            }
            if !pass.goes_on() {
                return false;
            }
            piece = bytes.get(..probe.saturating_add(PIECE)).unwrap_or(bytes);
            continue;
        };
        if !Class::TOKEN.has(*byte) {
            at = probe + 1;
            first = false;
            continue;
        }
        let start = if first { run_start(bytes, probe, 0) } else { run_start(bytes, probe, at) };
        let end = input.run_end(Class::TOKEN, probe);
        first = false;
        if end - start >= TOKEN_RUN && tail.is_none_or(|tail| start < tail.0 && end < bytes.len()) {
            pass.look(Trigger::Token(start, end));
        }
        at = end + 1;
    }
    if let Some((start, end)) = tail {
        pass.look(Trigger::Token(start, end));
    }
    true
}

/// Where the run that holds `at` starts; looks back no further than `floor`, and at most sixteen bytes into context.
fn run_start(bytes: &[u8], at: usize, floor: usize) -> usize {
    let before = bytes.get(floor..at).unwrap_or_default();
    at - before.iter().rev().take_while(|byte| Class::TOKEN.has(**byte)).take(2 * STRIDE).count()
}

/// The run of token bytes that touches the end: from the input's `from` on, empty where there is none.
fn tail_run(input: &Input<'_>) -> (usize, usize) {
    let held = input.slice(input.from(), input.len());
    let length = held.iter().rev().take_while(|byte| Class::TOKEN.has(**byte)).count();
    (input.len() - length, input.len())
}

#[cfg(test)]
mod tests;
