//! The one pass over a text that every detector shares: it finds the few places that are worth a look.
//!
//! Owns block classification. Clean text costs a count per block of 64 bytes and a word of bits that says which of them
//! may stand in a secret; the compiler makes vector instructions of both. Never decides anything. It must miss nothing
//! that a detector would find: a number touches two blocks at most, so one of them has half its digits, and each
//! detector says how many that is; every secret with a prefix holds a run of sixteen token bytes. The chain calls it.

use std::ops::Range;

use tidegate_core::blocks::{BLOCK, HIGHS, ONES, first, marks};

use crate::guard::{Class, Input, MANY_DIGITS, Trigger, Triggers};

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
        digits(input, walked.max(at.saturating_sub(REACH))..end, wanted.digits, pass);
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

fn digits(input: &Input<'_>, Range { start: from, end: to }: Range<usize>, least: u8, pass: &mut impl Pass) {
    let mut at = from;
    while let Some(offset) = first_digit(input.slice(at, to)) {
        at += offset;
        let inside = at == from && input.before(at).is_some_and(|byte| Class::DIGIT.has(byte));
        if !inside && (least < MANY_DIGITS || may_be_long(input, at)) {
            pass.look(Trigger::Digits(at));
        }
        at = input.run_end(Class::DIGIT, at) + 1;
    }
}

/// Whether the digits at `at` may be of something that has many: seven follow, or two letters stand before them.
fn may_be_long(input: &Input<'_>, at: usize) -> bool {
    let letters = || at.checked_sub(2).is_some_and(|start| input.slice(start, at).iter().all(u8::is_ascii_alphabetic));
    input.digits_ahead(at) >= 7 || letters()
}

/// Where the first digit stands. Seven bits of each byte are compared, so that nothing carries into the next.
fn first_digit(bytes: &[u8]) -> Option<usize> {
    let hits = |word: u64| {
        let reaches = |bound: u8| (word & !HIGHS).wrapping_add(ONES * u64::from(0x80 - bound));
        reaches(b'0') & !reaches(b'9' + 1) & !word
    };
    first(bytes, hits, |byte| byte.is_ascii_digit())
}

/// Reports runs of token bytes, each block's at once: a run of sixteen is what is left of the bits after they were laid
/// over themselves. Says whether the pass came to the end.
fn tokens(input: &Input<'_>, pass: &mut impl Pass) -> bool {
    let bytes = input.bytes();
    let tail = if input.is_complete() { None } else { Some(tail_run(input)) };
    let report = |pass: &mut _, start: usize, end: usize| {
        if end - start >= TOKEN_RUN && tail.is_none_or(|tail| start < tail.0 && end < bytes.len()) {
            Pass::look(pass, Trigger::Token(start, end));
        }
    };
    let mut at = input.from();
    let mut ask_at = at + PIECE;
    // How long the run is that goes on at `at`. What a run was before the context's end does not matter much.
    let mut carried = if Class::TOKEN.has(input.byte(at)) { run_before(bytes, at) } else { 0 };
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let mut runs = match rest.first_chunk::<BLOCK>() {
            Some(block) => marks(block, is_token),
            None => {
                // The little that comes piece by piece in a stream rarely makes a run.
                if carried + rest.len() < TOKEN_RUN {
                    break;
                }
                let mut block = [0; BLOCK];
                if let Some(start) = block.get_mut(..rest.len()) {
                    start.copy_from_slice(rest);
                }
                marks(&block, is_token)
            }
        };
        let length = rest.len().min(BLOCK);
        let first = runs.trailing_ones() as usize;
        if first < length {
            report(pass, at - carried, at + first);
            runs &= u64::MAX << first;
            whole_runs(runs, &mut |start, end| report(pass, at + start, at + end));
            // What touches a whole block's end may go on; a part of one is padded with what is no token.
            carried = runs.leading_ones() as usize;
        } else {
            carried += length;
        }
        at += length;
        if at >= ask_at && at < bytes.len() {
            ask_at = at + PIECE;
            if !pass.goes_on() {
                return false;
            }
        }
    }
    if carried > 0 {
        report(pass, at - carried, at);
    }
    if let Some((start, end)) = tail {
        pass.look(Trigger::Token(start, end));
    }
    true
}

/// Shows the runs of sixteen bits or more that end before the last bit.
fn whole_runs(mut runs: u64, see: &mut impl FnMut(usize, usize)) {
    loop {
        let of = |bits: u64, more: u32| bits & bits >> more;
        let starts = of(of(of(of(runs, 1), 2), 4), 8);
        if starts == 0 {
            return;
        }
        let start = starts.trailing_zeros();
        let end = start + (runs >> start).trailing_ones();
        if end as usize >= BLOCK {
            return;
        }
        see(start as usize, end as usize);
        runs &= u64::MAX << end;
    }
}

/// What [`Class::TOKEN`] holds, in comparisons that become vector instructions.
fn is_token(byte: u8) -> bool {
    ((byte | 0x20).wrapping_sub(b'a') < 26) | (byte.wrapping_sub(b'/') < 11) | matches!(byte, b'_' | b'-' | b'+')
}

/// How many token bytes stand right before `at`, at most two strides.
fn run_before(bytes: &[u8], at: usize) -> usize {
    let before = bytes.get(..at).unwrap_or_default();
    before.iter().rev().take_while(|byte| Class::TOKEN.has(**byte)).take(2 * TOKEN_RUN).count()
}

/// The run of token bytes that touches the end: from the input's `from` on, empty where there is none.
fn tail_run(input: &Input<'_>) -> (usize, usize) {
    let held = input.slice(input.from(), input.len());
    let length = held.iter().rev().take_while(|byte| Class::TOKEN.has(**byte)).count();
    (input.len() - length, input.len())
}

#[cfg(test)]
mod tests;
