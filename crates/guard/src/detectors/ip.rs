//! Addresses of hosts: IPv4 in four decimal parts, IPv6 as RFC 4291 writes them, both parsed and not guessed.
//!
//! `ip` finds every address that may be somebody's, `public_ip` only those that the internet routes. The unspecified
//! address, loopback and broadcast are nobody's. A version of four parts looks the same, so what follows a word such as
//! `version`, a comparison or a product's name and slash (`Chrome/120.0.0.0`) is none. Of IPv6, only what starts like
//! an address that is given out counts, so that `a::b` in code is none.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use serde::Deserialize;

use super::cue::Cues;
use crate::guard::{Class, Detector, Input, Peek, Sink, Trigger, Triggers};

/// The longest textual IPv6 address.
const MAX_V6: usize = 45;
const MAX_V4: usize = 15;
/// An IPv4 address has four digits within fifteen bytes, so one of the two blocks it touches has two.
const FEW_DIGITS: u8 = 2;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    #[serde(rename = "source")]
    _source: String,
    versions: Cues,
    not_public: Vec<String>,
}

/// The detector of IP addresses.
pub(crate) struct Ip {
    name: &'static str,
    public_only: bool,
    versions: Cues,
    not_public: Vec<(IpAddr, u8)>,
    category: Arc<str>,
}

impl Ip {
    /// The detector of all addresses, or of those that the internet routes.
    pub(crate) fn load(public_only: bool) -> Result<Self, toml::de::Error> {
        let data: Data = toml::from_str(include_str!("../../data/ip.toml"))?;
        let not_public = data.not_public.iter().filter_map(|net| {
            let (address, bits) = net.split_once('/')?;
            Some((address.parse().ok()?, bits.parse().ok()?))
        });
        Ok(Self {
            name: if public_only { "public_ip" } else { "ip" },
            public_only,
            not_public: not_public.collect(),
            versions: data.versions,
            category: Arc::from("pii.ip"),
        })
    }

    fn counts(&self, address: IpAddr) -> bool {
        let nobody = address.is_unspecified() || address.is_loopback() || address == IpAddr::V4(Ipv4Addr::BROADCAST);
        let inside = |(net, bits): &(IpAddr, u8)| match (net, address) {
            (IpAddr::V4(net), IpAddr::V4(address)) => {
                let shift = 32_u32.saturating_sub(u32::from(*bits));
                net.to_bits().checked_shr(shift) == address.to_bits().checked_shr(shift)
            }
            (IpAddr::V6(net), IpAddr::V6(address)) => {
                let shift = 128_u32.saturating_sub(u32::from(*bits));
                net.to_bits().checked_shr(shift) == address.to_bits().checked_shr(shift)
            }
            _ => false,
        };
        !(nobody || (self.public_only && self.not_public.iter().any(inside)))
    }

    fn v4(&self, input: &Input<'_>, start: usize) -> Result<Option<usize>, ()> {
        let mut at = start;
        for part in 0..4 {
            let from = at;
            while at - from <= 3 {
                match input.peek(at) {
                    Peek::Byte(byte) if byte.is_ascii_digit() => at += 1,
                    Peek::More => return Err(()),
                    _ => break,
                }
            }
            if part < 3 {
                match input.peek(at) {
                    Peek::Byte(b'.') if at > from => at += 1,
                    Peek::More => return Err(()),
                    _ => return Ok(None),
                }
            }
        }
        let text = input.text().get(start..at).unwrap_or_default();
        let Ok(address) = text.parse::<Ipv4Addr>() else { return Ok(None) };
        if !ends(input, at, false)? || !self.counts(IpAddr::V4(address)) || self.is_version(input, start) {
            return Ok(None);
        }
        Ok(Some(at))
    }

    /// Whether what stands before four parts says that they are no address.
    fn is_version(&self, input: &Input<'_>, start: usize) -> bool {
        let further = start.checked_sub(2).map_or(0, |at| input.byte(at));
        match input.before(start) {
            Some(b'/') if further.is_ascii_alphabetic() => return true,
            Some(b'=') if matches!(further, b'=' | b'~' | b'>' | b'<' | b'!') => return true,
            Some(b'^' | b'~' | b'>' | b'<') => return true,
            _ => {}
        }
        self.versions.stand_before(input, start)
    }

    /// Looks at the first colon of an address.
    fn v6(&self, input: &Input<'_>, colon: usize, out: &mut Sink) {
        let before = input.slice(colon.saturating_sub(5), colon);
        let hex = before.iter().rev().take_while(|byte| Class::HEX.has(**byte)).count();
        let start = colon - hex;
        let mapped = hex == 0 && matches!(input.literal(colon, b"::ffff:"), Some(true) | None);
        if start < input.from()
            || !(hex == 4 && starts_like_address(input, start) || mapped || is_translated(input, start, hex))
            || !input.starts_word(start)
            || input.before(start).is_some_and(|byte| matches!(byte, b':' | b'_' | b'.'))
        {
            return;
        }
        let limit = input.len().min(start + MAX_V6 + 1);
        let run = input.slice(start, limit);
        let length = run.iter().take_while(|byte| Class::HEX.has(**byte) || matches!(byte, b':' | b'.')).count();
        if length > MAX_V6 {
            return;
        }
        if start + length == input.len() && !input.is_complete() {
            return out.open(start, &self.category);
        }
        let text = input.text().get(start..start + length).unwrap_or_default();
        // What ends a sentence or a list belongs to it.
        let trimmed = text.trim_end_matches('.');
        let candidates = [trimmed, trimmed.strip_suffix(':').unwrap_or(trimmed)];
        let Some((text, address)) =
            candidates.into_iter().find_map(|text| text.parse::<Ipv6Addr>().ok().map(|address| (text, address)))
        else {
            return;
        };
        let end = start + text.len();
        match ends(input, end, true) {
            Err(()) => out.open(start, &self.category),
            Ok(true) if self.counts(address.to_canonical()) => out.hit(start, start..end, &self.category),
            Ok(_) => {}
        }
    }
}

/// Whether the four digits at `start` begin an address that is given out: 2000::/3, fc00::/7, fe80::/10, ff00::/8.
fn starts_like_address(input: &Input<'_>, start: usize) -> bool {
    let digit = |at: usize| char::from(input.byte(at)).to_digit(16).unwrap_or(0);
    match (digit(start), digit(start + 1), digit(start + 2)) {
        (2 | 3, _, _) | (0xf, 0xc | 0xd | 0xf, _) => true,
        (0xf, 0xe, third) => (8..=0xb).contains(&third),
        _ => false,
    }
}

/// Whether the prefix of addresses that are translated from IPv4 stands here (RFC 6052).
fn is_translated(input: &Input<'_>, start: usize, hex: usize) -> bool {
    hex == 2 && input.literal(start, b"64:ff9b:") != Some(false)
}

/// Whether an address may end at `end`.
fn ends(input: &Input<'_>, end: usize, v6: bool) -> Result<bool, ()> {
    let next = match input.peek(end) {
        Peek::Byte(byte) => byte,
        Peek::End => return Ok(true),
        Peek::More => return Err(()),
    };
    if Class::WORD.has(next) {
        // A range may follow: `10.0.0.1-10.0.0.9`.
        return match input.peek(end + 1) {
            Peek::More if next == b'-' => Err(()),
            Peek::Byte(further) => Ok(next == b'-' && !further.is_ascii_alphabetic()),
            _ => Ok(false),
        };
    }
    match (next, input.peek(end + 1)) {
        (b'.', Peek::More) => Err(()),
        (b'.', Peek::Byte(further)) => Ok(!Class::ALNUM.has(further)),
        (b'+', _) => Ok(false),
        (b':', _) => Ok(!v6 || !matches!(input.peek(end + 1), Peek::Byte(further) if Class::HEX.has(further))),
        _ => Ok(true),
    }
}

impl Detector for Ip {
    fn name(&self) -> &'static str {
        self.name
    }

    fn triggers(&self) -> Triggers {
        Triggers { digits: FEW_DIGITS, assign: true, ..Triggers::default() }
    }

    fn look(&self, input: &Input<'_>, trigger: Trigger, out: &mut Sink) {
        match trigger {
            Trigger::Digits(start) => {
                let stop = input.run_end(Class::DIGIT, start);
                let open = stop == input.len() && !input.is_complete();
                if start < input.from()
                    || stop - start > 3
                    || !(open || input.byte(stop) == b'.')
                    || !input.starts_word(start)
                    || input.before(start).is_some_and(|byte| matches!(byte, b'_' | b'.' | b'-'))
                        && start.checked_sub(2).is_some_and(|at| Class::ALNUM.has(input.byte(at)))
                        && !(input.before(start) == Some(b'-') && input.byte(start.saturating_sub(2)).is_ascii_digit())
                {
                    return;
                }
                match self.v4(input, start) {
                    Err(()) => out.open(start, &self.category),
                    Ok(Some(end)) => out.hit(start, start..end, &self.category),
                    Ok(None) => {}
                }
            }
            Trigger::Assign(at) if input.byte(at) == b':' => self.v6(input, at, out),
            Trigger::End(end) => {
                // The first part of an IPv6 address, with no colon yet.
                let tail = input.slice(end.saturating_sub(5).max(input.from()), end);
                let hex = tail.iter().rev().take_while(|byte| Class::HEX.has(**byte)).count();
                let start = end - hex;
                let may = match hex {
                    1 => matches!(input.byte(start), b'2' | b'3' | b'f' | b'F' | b'6'),
                    2 => matches!(input.byte(start), b'2' | b'3' | b'f' | b'F') || input.slice(start, end) == b"64",
                    3 => matches!(input.byte(start), b'2' | b'3' | b'f' | b'F'),
                    4 => starts_like_address(input, start),
                    _ => false,
                };
                if may && input.starts_word(start) {
                    out.open(start, &self.category);
                }
            }
            _ => {}
        }
    }
}

const _: () = assert!(MAX_V4 < 64);

#[cfg(test)]
mod tests;
