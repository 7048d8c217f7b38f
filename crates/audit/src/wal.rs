//! The write-ahead log: where a record is once `append` has returned, whatever happens to the process.
//!
//! Owns the segment files and the order of leaves. A frame is `length (4) ‖ synced (8) ‖ leaf (8) ‖ payload CRC-32 (4)
//! ‖ header CRC-32 (4) ‖ payload ‖ four newlines`, integers big-endian; `synced` is how many leaves were known to be
//! on stable storage when it was written. A segment begins with a magic, its first leaf and their CRC-32, and is
//! filled with zeros ahead of its frames, so that what an intent reserved can be written on a full disk. Never parses
//! a record, never drops one that was acknowledged. Called by the log under its mutex.

use std::{
    collections::VecDeque,
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    bound::{MAX_ATTEMPT, MAX_OUTCOME},
    ports::{Disk, sync_dir},
};

mod scan;

pub(crate) use scan::{WalError, scan, segments};

/// Bytes before a frame's payload.
pub(crate) const FRAME_HEADER: usize = 28;
/// What ends a frame: no part of it is zero, so a frame that ends in zeros was not written to its end.
const TRAILER: [u8; 4] = *b"\n\n\n\n";
/// Bytes of a frame around its payload.
const FRAME: u64 = (FRAME_HEADER + TRAILER.len()) as u64;
/// Bytes before a segment's first frame.
const SEGMENT_HEADER: u64 = 20;
const MAGIC: [u8; 8] = *b"TGWAL\x00\x01\n";
/// A segment is closed once it has this many bytes.
const SEGMENT_BYTES: u64 = 64 << 20;
/// By how much a segment grows.
const STEP: u64 = 256 << 10;
/// Leaves that may wait for their place in the tree; beyond that intents are refused.
const MAX_PENDING: usize = 1 << 18;

/// For how many pending leaves room is kept whatever comes.
const SPACIOUS: usize = 2048;

/// Bytes that an attempt's frame may need.
pub(crate) const ATTEMPT_SLOT: u64 = MAX_ATTEMPT as u64 + FRAME;
/// Bytes that an outcome's frame may need.
pub(crate) const OUTCOME_SLOT: u64 = MAX_OUTCOME as u64 + FRAME;
/// Attempts that an intent reserves room for; further ones are recorded while there is space.
pub(crate) const RESERVED_ATTEMPTS: u32 = 2;
/// Bytes that an intent reserves for what follows it.
pub(crate) const INTENT_RESERVE: u64 = OUTCOME_SLOT + RESERVED_ATTEMPTS as u64 * ATTEMPT_SLOT;

/// What a leaf is to the call it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Intent,
    Attempt { intent: u64 },
    Outcome { intent: u64 },
    Other,
}

/// A segment file.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) file: File,
    pub(crate) path: PathBuf,
}

/// A leaf that is in the log but not yet in the tree.
#[derive(Debug, Clone)]
pub(crate) struct Pending {
    pub(crate) segment: Arc<Segment>,
    pub(crate) offset: u64,
    pub(crate) length: u32,
    pub(crate) role: Role,
}

impl Pending {
    pub(crate) fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.length as usize];
        self.segment.file.read_exact_at(&mut bytes, self.offset)?;
        Ok(bytes)
    }
}

/// How much of a segment is read at once.
const BLOCK: usize = 128 << 10;

/// Reads leaves that lie one behind the other, a block of them at once.
#[derive(Default)]
pub(crate) struct Leaves {
    /// The segment and the place in it at which `bytes` begin.
    at: Option<(Arc<Segment>, u64)>,
    bytes: Vec<u8>,
}

impl Leaves {
    /// The bytes of `leaf`, which must have been pending when this was made: a block may end in what was being written
    /// when it was read.
    pub(crate) fn of(&mut self, leaf: &Pending) -> io::Result<&[u8]> {
        if self.within(leaf).is_none() {
            let length = leaf.length as usize;
            self.bytes.resize(BLOCK.max(length), 0);
            self.at = None;
            let read = filled(&leaf.segment.file, &mut self.bytes, leaf.offset, length)?;
            self.bytes.truncate(read);
            self.at = Some((Arc::clone(&leaf.segment), leaf.offset));
        }
        let found = self.within(leaf).and_then(|range| self.bytes.get(range));
        found.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))
    }

    fn within(&self, leaf: &Pending) -> Option<std::ops::Range<usize>> {
        let (_, from) = self.at.as_ref().filter(|(segment, _)| Arc::ptr_eq(segment, &leaf.segment))?;
        let start = usize::try_from(leaf.offset.checked_sub(*from)?).ok()?;
        let end = start.checked_add(leaf.length as usize)?;
        (end <= self.bytes.len()).then_some(start..end)
    }
}

/// Fills `bytes` from `at` of `file`, with `least` of them at least, and says with how many.
fn filled(file: &File, bytes: &mut [u8], at: u64, least: usize) -> io::Result<usize> {
    let mut have = 0;
    while have < least {
        match file.read_at(bytes.get_mut(have..).unwrap_or_default(), at.saturating_add(have as u64)) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(more) => have += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(have)
}

/// Why nothing can be appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Health {
    Good,
    /// There is no space; recovers alone.
    Full(Arc<str>),
    /// What is on disk is not certain any more; the log must be opened anew.
    Broken(Arc<str>),
    Closed,
}

/// A frame before it has its place: room for the header, the payload, the trailer.
pub(crate) struct Frame(pub(crate) Vec<u8>);

impl Frame {
    /// A buffer with room for the header, to which the payload is appended.
    pub(crate) fn buffer() -> Vec<u8> {
        let mut buffer = Vec::with_capacity(2048);
        buffer.resize(FRAME_HEADER, 0);
        buffer
    }

    /// Seals a buffer that holds the payload. Computes the payload's check, so call it outside the mutex.
    pub(crate) fn seal(mut buffer: Vec<u8>) -> Self {
        let payload = buffer.get(FRAME_HEADER..).unwrap_or_default();
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let crc = crc32fast::hash(payload);
        put(&mut buffer, 0, &length.to_be_bytes());
        put(&mut buffer, 20, &crc.to_be_bytes());
        buffer.extend_from_slice(&TRAILER);
        Self(buffer)
    }

    fn place(&mut self, leaf: u64, synced: u64) {
        put(&mut self.0, 4, &synced.to_be_bytes());
        put(&mut self.0, 12, &leaf.to_be_bytes());
        let crc = crc32fast::hash(self.0.get(..24).unwrap_or_default());
        put(&mut self.0, 24, &crc.to_be_bytes());
    }

    fn len(&self) -> u64 {
        self.0.len() as u64
    }
}

fn put(buffer: &mut [u8], at: usize, bytes: &[u8]) {
    for (to, from) in buffer.iter_mut().skip(at).zip(bytes) {
        *to = *from;
    }
}

fn segment_path(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("{first:020}.wal"))
}

fn segment_header(first: u64) -> Vec<u8> {
    let mut header = MAGIC.to_vec();
    header.extend_from_slice(&first.to_be_bytes());
    let crc = crc32fast::hash(&header);
    header.extend_from_slice(&crc.to_be_bytes());
    header
}

/// The writing end.
pub(crate) struct Wal {
    dir: PathBuf,
    disk: Arc<dyn Disk>,
    segment: Arc<Segment>,
    at: u64,
    allocated: u64,
    next: u64,
    reserved: u64,
    pending: VecDeque<Pending>,
    health: Health,
    closed_segments: Vec<(u64, PathBuf)>,
}

impl Wal {
    /// Starts a segment at leaf `next` behind the leaves that are `pending`. `old` are the segments before it, each
    /// with the leaf after its last.
    pub(crate) fn start(
        dir: &Path,
        disk: Arc<dyn Disk>,
        next: u64,
        pending: VecDeque<Pending>,
        old: Vec<(u64, PathBuf)>,
    ) -> io::Result<Self> {
        let (segment, allocated) = Self::create(dir, &*disk, next, STEP)?;
        Ok(Self {
            dir: dir.to_owned(),
            disk,
            segment,
            at: SEGMENT_HEADER,
            allocated,
            next,
            reserved: 0,
            pending,
            health: Health::Good,
            closed_segments: old,
        })
    }

    fn create(dir: &Path, disk: &dyn Disk, first: u64, bytes: u64) -> io::Result<(Arc<Segment>, u64)> {
        let path = segment_path(dir, first);
        let file = disk.create(&path)?;
        let allocated = (SEGMENT_HEADER + bytes).next_multiple_of(STEP);
        let written = disk
            .write_at(&file, &segment_header(first), 0)
            .and_then(|()| zeros(disk, &file, SEGMENT_HEADER, allocated))
            .and_then(|()| disk.sync(&file))
            .and_then(|()| sync_dir(disk, dir));
        if let Err(error) = written {
            drop(file);
            // A segment that could not be set up holds nothing; the next try makes it anew.
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        Ok((Arc::new(Segment { file, path }), allocated))
    }

    pub(crate) fn health(&self) -> &Health {
        &self.health
    }

    /// The leaf that the next record gets.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Whether the tree keeps up with what is appended.
    pub(crate) fn has_room(&self) -> bool {
        self.pending.len() < MAX_PENDING
    }

    /// The first leaf that is not in the tree yet.
    fn base(&self) -> u64 {
        self.next - self.pending.len() as u64
    }

    pub(crate) fn segment(&self) -> Arc<Segment> {
        Arc::clone(&self.segment)
    }

    pub(crate) fn break_off(&mut self, why: impl Into<Arc<str>>) {
        if !matches!(self.health, Health::Broken(_) | Health::Closed) {
            let why = why.into();
            tracing::error!(reason = &*why, "the audit log takes no records until it is opened anew");
            self.health = Health::Broken(why);
        }
    }

    /// Where leaf `leaf` is, if it is not in the tree yet.
    pub(crate) fn find(&self, leaf: u64) -> Option<Pending> {
        let at = leaf.checked_sub(self.base())?;
        self.pending.get(usize::try_from(at).ok()?).cloned()
    }

    /// The next leaves for the tree, at most `most`.
    pub(crate) fn peek(&self, most: usize) -> Vec<Pending> {
        self.pending.iter().take(most).cloned().collect()
    }

    /// Forgets the first `count` pending leaves, and names the segments that nothing needs any more.
    pub(crate) fn integrated(&mut self, count: usize) -> Vec<PathBuf> {
        self.pending.drain(..count.min(self.pending.len()));
        // What a rush took is given back once what came since is small beside it.
        if self.pending.capacity() > SPACIOUS && self.pending.len().max(count) < self.pending.capacity() / 16 {
            self.pending.shrink_to(SPACIOUS / 2);
        }
        let base = self.base();
        let mut gone = Vec::new();
        self.closed_segments.retain(|(end, path)| {
            if *end <= base {
                gone.push(path.clone());
            }
            *end > base
        });
        gone
    }

    /// Makes sure that `bytes` more can be written besides what is reserved, and that records are taken at all.
    pub(crate) fn ensure(&mut self, bytes: u64) -> Result<(), Arc<str>> {
        match &self.health {
            Health::Broken(why) => return Err(Arc::clone(why)),
            Health::Closed => return Err(Arc::from("the audit log is closed")),
            Health::Good | Health::Full(_) => {}
        }
        if self.pending.len() >= MAX_PENDING {
            return Err(Arc::from("too many audit records wait for their place in the tree"));
        }
        if self.at >= SEGMENT_BYTES {
            self.roll(bytes)?;
        }
        let needed = self.at + self.reserved + bytes;
        if needed > self.allocated {
            let to = needed.next_multiple_of(STEP);
            if let Err(error) = zeros(&*self.disk, &self.segment.file, self.allocated, to) {
                let why: Arc<str> = Arc::from(format!("no space for audit records: {error}"));
                if self.health == Health::Good {
                    tracing::error!(%error, "no space for audit records");
                }
                self.health = Health::Full(Arc::clone(&why));
                return Err(why);
            }
            self.allocated = to;
        }
        if self.health != Health::Good {
            tracing::info!("there is space for audit records again");
            self.health = Health::Good;
        }
        Ok(())
    }

    /// Begins the next segment. Where that fails for want of space, the present one goes on.
    fn roll(&mut self, bytes: u64) -> Result<(), Arc<str>> {
        if let Err(error) = self.disk.sync(&self.segment.file) {
            let why: Arc<str> = Arc::from(format!("the audit log could not be synced: {error}"));
            self.break_off(Arc::clone(&why));
            return Err(why);
        }
        match Self::create(&self.dir, &*self.disk, self.next, self.reserved + bytes + STEP) {
            Ok((segment, allocated)) => {
                // The zeros ahead are of no use any more; should cutting them off fail, they only take space.
                let _ = self.segment.file.set_len(self.at);
                self.closed_segments.push((self.next, self.segment.path.clone()));
                self.segment = segment;
                self.allocated = allocated;
                self.at = SEGMENT_HEADER;
            }
            Err(error) => tracing::warn!(%error, "no new segment for the audit log yet"),
        }
        Ok(())
    }

    /// Sets `bytes` aside; `ensure` has made room for them.
    pub(crate) fn reserve(&mut self, bytes: u64) {
        self.reserved += bytes;
    }

    /// How many bytes are set aside.
    #[cfg(test)]
    pub(crate) fn reserved(&self) -> u64 {
        self.reserved
    }

    /// Gives `bytes` back.
    pub(crate) fn release(&mut self, bytes: u64) {
        self.reserved = self.reserved.saturating_sub(bytes);
    }

    /// Writes a frame into room that was ensured or reserved before, and says which leaf it is. A frame `before` it is
    /// written with it, both or neither.
    pub(crate) fn append(
        &mut self,
        before: Option<(Frame, Role)>,
        mut frame: Frame,
        role: Role,
        synced: u64,
    ) -> Result<u64, Arc<str>> {
        match &self.health {
            Health::Broken(why) => return Err(Arc::clone(why)),
            Health::Closed => return Err(Arc::from("the audit log is closed")),
            Health::Good | Health::Full(_) => {}
        }
        let leaf = self.next + u64::from(before.is_some());
        frame.place(leaf, synced);
        let mut parts = [None, Some((frame.len(), role))];
        let bytes = match before {
            None => frame.0,
            Some((mut before, role)) => {
                before.place(self.next, synced);
                parts = [Some((before.len(), role)), parts[1]];
                before.0.extend_from_slice(&frame.0);
                before.0
            }
        };
        if let Err(error) = self.disk.write_at(&self.segment.file, &bytes, self.at) {
            // Part of the frame may stand there, and a shorter one over it would leave a rest that looks like damage.
            let clean = vec![0; bytes.len()];
            let why: Arc<str> = Arc::from(format!("an audit record could not be written: {error}"));
            if self.disk.write_at(&self.segment.file, &clean, self.at).is_err() {
                self.break_off(Arc::clone(&why));
            }
            return Err(why);
        }
        for (bytes, role) in parts.into_iter().flatten() {
            let length = u32::try_from(bytes - FRAME).unwrap_or(0);
            let offset = self.at + FRAME_HEADER as u64;
            self.pending.push_back(Pending { segment: Arc::clone(&self.segment), offset, length, role });
            self.at += bytes;
            self.next += 1;
        }
        Ok(leaf)
    }

    /// Takes no records any more, and cuts off the zeros ahead.
    pub(crate) fn close(&mut self) {
        if self.health != Health::Closed {
            self.health = Health::Closed;
            let _ = self.segment.file.set_len(self.at);
        }
    }
}

fn zeros(disk: &dyn Disk, file: &File, from: u64, to: u64) -> io::Result<()> {
    static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
    let mut at = from;
    while at < to {
        let some = usize::try_from(to - at).unwrap_or(ZEROS.len()).min(ZEROS.len());
        disk.write_at(file, ZEROS.get(..some).unwrap_or_default(), at)?;
        at += some as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
