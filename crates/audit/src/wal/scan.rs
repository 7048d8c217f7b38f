//! Reading write-ahead segments back: at start, and when the log is verified.
//!
//! Owns the difference between a frame that was never finished and one that was changed: the first is dropped, the
//! second is refused.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{FRAME_HEADER, MAGIC, SEGMENT_HEADER, TRAILER};
use crate::tiles::MAX_ENTRY;

/// Why the write-ahead log cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WalError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path} at byte {offset}: {what}")]
    Corrupt { path: PathBuf, offset: u64, what: &'static str },
}

/// What a segment holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// The leaf of its first frame.
    pub(crate) first: u64,
    /// The leaf after its last frame.
    pub(crate) next: u64,
    /// Where the last whole frame ends.
    pub(crate) end: u64,
    /// Bytes behind that which belong to no whole frame.
    pub(crate) torn: u64,
}

struct Header {
    length: usize,
    synced: u64,
    leaf: u64,
    crc: u32,
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|four| u32::from_be_bytes(*four))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|eight| u64::from_be_bytes(*eight))
}

fn header(bytes: &[u8]) -> Option<Header> {
    let length = usize::try_from(u32_at(bytes, 0)?).ok()?;
    if length == 0 || length > MAX_ENTRY || u32_at(bytes, 24)? != crc32fast::hash(bytes.get(..24)?) {
        return None;
    }
    Some(Header { length, synced: u64_at(bytes, 4)?, leaf: u64_at(bytes, 12)?, crc: u32_at(bytes, 20)? })
}

/// The segments of `dir` by their first leaf. Every other name is handed to `stray`.
pub(crate) fn segments(dir: &Path, mut stray: impl FnMut(PathBuf)) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let first = path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| name.strip_suffix(".wal"))
            .filter(|digits| digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|digits| digits.parse().ok());
        match first {
            Some(first) => all.push((first, path)),
            None => stray(path),
        }
    }
    all.sort_unstable();
    Ok(all)
}

/// Hands every frame of a segment to `each`: its leaf, where its payload begins, the payload. An unfinished frame is
/// allowed only where `last` says that this is the newest segment.
pub(crate) fn scan(path: &Path, last: bool, mut each: impl FnMut(u64, u64, &[u8])) -> Result<Found, WalError> {
    let bytes = fs::read(path).map_err(|source| WalError::Io { path: path.to_owned(), source })?;
    let corrupt = |offset: usize, what| WalError::Corrupt { path: path.to_owned(), offset: offset as u64, what };
    let start = usize::try_from(SEGMENT_HEADER).unwrap_or(0);
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
    let named = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<u64>().ok());
    let whole = bytes.starts_with(&MAGIC)
        && u64_at(&bytes, 8) == named
        && u32_at(&bytes, 16) == Some(crc32fast::hash(bytes.get(..16).unwrap_or_default()));
    if !whole {
        if last && used <= start {
            let first = named.unwrap_or(0);
            return Ok(Found { first, next: first, end: 0, torn: used as u64 });
        }
        return Err(corrupt(0, "this is no segment of a write-ahead log, or its header was changed"));
    }
    let first = named.unwrap_or(0);
    let (mut at, mut leaf) = (start, first);
    loop {
        let rest = bytes.get(at..used).unwrap_or_default();
        if rest.is_empty() {
            return Ok(Found { first, next: leaf, end: at as u64, torn: 0 });
        }
        let Some((payload, size)) = frame(bytes.get(at..).unwrap_or_default(), leaf) else {
            return if last && (unfinished(rest) || lost_power(&bytes, at, leaf)) {
                Ok(Found { first, next: leaf, end: at as u64, torn: rest.len() as u64 })
            } else {
                Err(corrupt(at, "this record was changed after it was written; restore the directory from a copy"))
            };
        };
        each(leaf, (at + FRAME_HEADER) as u64, payload);
        at += size;
        leaf += 1;
    }
}

/// The payload of a good frame and the frame's size.
fn frame(bytes: &[u8], leaf: u64) -> Option<(&[u8], usize)> {
    let header = header(bytes).filter(|header| header.leaf == leaf)?;
    let payload = bytes.get(FRAME_HEADER..FRAME_HEADER + header.length)?;
    let trailer = bytes.get(FRAME_HEADER + header.length..)?.first_chunk::<4>();
    (trailer == Some(&TRAILER) && crc32fast::hash(payload) == header.crc)
        .then_some((payload, FRAME_HEADER + header.length + TRAILER.len()))
}

/// Whether `rest`, which ends in its last byte that is not zero, is the beginning of one frame and nothing else.
fn unfinished(rest: &[u8]) -> bool {
    match header(rest) {
        Some(header) => rest.len() < FRAME_HEADER + header.length + TRAILER.len(),
        None => rest.len() < FRAME_HEADER,
    }
}

/// Whether the frame at `at` is missing because the machine lost power before its sectors were written: one of them is
/// still all zeros, and no frame behind it knew leaf `leaf` to be on stable storage, so none of what is lost was ever
/// promised to outlive that.
fn lost_power(bytes: &[u8], at: usize, leaf: u64) -> bool {
    const SECTOR: usize = 512;
    let mut next = None;
    let mut position = at + 1;
    while position + FRAME_HEADER <= bytes.len() && next.is_none() {
        // A header's first two bytes are zero, since entries are below 64 KiB: cheap to rule most positions out.
        let here = bytes.get(position..).unwrap_or_default();
        if here.starts_with(&[0, 0]) && header(here).is_some() {
            next = Some(position);
        }
        position += 1;
    }
    let until = next.unwrap_or(bytes.len());
    let zero = |from: usize, to: usize| bytes.get(from..to).is_some_and(|part| part.iter().all(|byte| *byte == 0));
    let boundary = at.next_multiple_of(SECTOR);
    let hole = (at < boundary && zero(at, boundary.min(until)))
        || (boundary..until.saturating_sub(SECTOR - 1)).step_by(SECTOR).any(|sector| zero(sector, sector + SECTOR));
    let Some(mut position) = next else { return false };
    while let Some(found) = bytes.get(position..).and_then(header) {
        if found.synced > leaf {
            return false;
        }
        position += FRAME_HEADER + found.length + TRAILER.len();
    }
    hole
}
