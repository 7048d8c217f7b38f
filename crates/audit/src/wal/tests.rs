//! What is dropped at the end of a write-ahead log, and what is refused.

use std::sync::atomic::Ordering;

use super::{scan::Found, *};
use crate::support::{FaultyDisk, Place};

fn frame(text: &str) -> Frame {
    let mut buffer = Frame::buffer();
    buffer.extend_from_slice(text.as_bytes());
    Frame::seal(buffer)
}

struct Fixture {
    _place: Place,
    dir: PathBuf,
    disk: Arc<FaultyDisk>,
    wal: Wal,
}

fn fixture() -> Fixture {
    let place = Place::new();
    let dir = place.root.path().join("wal");
    fs::create_dir(&dir).unwrap();
    let disk = Arc::clone(&place.disk);
    let wal = Wal::start(&dir, Arc::clone(&disk) as Arc<dyn Disk>, 0, VecDeque::new(), Vec::new()).unwrap();
    Fixture { _place: place, dir, disk, wal }
}

fn append(wal: &mut Wal, text: &str, synced: u64) -> u64 {
    wal.ensure(text.len() as u64 + FRAME).unwrap();
    wal.append(None, frame(text), Role::Other, synced).unwrap()
}

type Frames = Vec<(u64, String)>;

fn read(path: &Path, last: bool) -> Result<(Frames, Found), WalError> {
    let mut frames = Vec::new();
    let found = scan(path, last, |leaf, _, payload| frames.push((leaf, String::from_utf8(payload.to_vec()).unwrap())))?;
    Ok((frames, found))
}

/// A segment of three records, and where each frame begins and ends.
fn three() -> (Fixture, PathBuf, Vec<u8>, Vec<usize>) {
    let mut fixture = fixture();
    let mut ends = vec![usize::try_from(SEGMENT_HEADER).unwrap()];
    for text in ["first record", "second record", "third record"] {
        append(&mut fixture.wal, text, 0);
        ends.push(ends.last().unwrap() + text.len() + usize::try_from(FRAME).unwrap());
    }
    let path = fixture.wal.segment().path.clone();
    let mut bytes = fs::read(&path).unwrap();
    bytes.truncate(ends[3] + 4096);
    (fixture, path, bytes, ends)
}

#[test]
fn records_are_read_back_in_order_with_their_leaves() {
    let (_fixture, path, _, ends) = three();
    let (frames, found) = read(&path, true).unwrap();
    assert_eq!(frames, [(0, "first record".into()), (1, "second record".into()), (2, "third record".into())]);
    assert_eq!(found, Found { first: 0, next: 3, end: ends[3] as u64, torn: 0 });
}

#[test]
fn leaves_that_are_read_by_the_block_are_those_that_are_read_one_by_one() {
    let mut fixture = fixture();
    let long = "x".repeat(BLOCK / 2 - 5);
    let texts = ["first", &long, "second", &long, &long, "third", &"y".repeat(BLOCK + 7), "last"];
    for text in texts {
        append(&mut fixture.wal, text, 0);
    }
    let pending = fixture.wal.peek(texts.len());
    let mut leaves = Leaves::default();
    for (leaf, text) in pending.iter().zip(texts) {
        assert_eq!(leaves.of(leaf).unwrap(), text.as_bytes());
        assert_eq!(leaf.read().unwrap(), text.as_bytes());
    }
    // Also backwards, and in another segment whose places are the same.
    for (leaf, text) in pending.iter().zip(texts).rev() {
        assert_eq!(leaves.of(leaf).unwrap(), text.as_bytes());
    }
    let mut other = self::fixture();
    append(&mut other.wal, "FIRST", 0);
    assert_eq!(leaves.of(&other.wal.peek(1)[0]).unwrap(), b"FIRST");
    // A leaf that is not there is an error, not the bytes of another.
    let gone = Pending { offset: 1 << 40, ..pending[0].clone() };
    assert_eq!(leaves.of(&gone).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    assert_eq!(leaves.of(&pending[0]).unwrap(), b"first");
}

#[test]
fn p14_a_log_cut_at_any_byte_keeps_every_whole_record_and_drops_the_rest() {
    let (_fixture, path, bytes, ends) = three();
    for cut in ends[0]..=ends[3] {
        // What kill -9 leaves within a write: its beginning, then the zeros that were there before; or a short file.
        for padding in [0, 4096] {
            let mut torn = bytes[..cut].to_vec();
            torn.resize(cut + padding, 0);
            fs::write(&path, &torn).unwrap();
            let whole = ends[1..].iter().filter(|end| **end <= cut).count();
            let (frames, found) = read(&path, true).unwrap_or_else(|error| panic!("cut at {cut}: {error}"));
            assert_eq!(frames.len(), whole, "cut at {cut}");
            assert_eq!(found.end, ends[whole] as u64);
            // In any segment but the newest nothing can be unfinished.
            let unfinished = torn[ends[whole]..].iter().any(|byte| *byte != 0);
            assert_eq!(read(&path, false).is_err(), unfinished, "cut at {cut}");
        }
    }
}

#[test]
fn p16_a_changed_byte_of_any_record_is_refused_and_never_dropped() {
    let (_fixture, path, bytes, ends) = three();
    for at in 0..ends[3] {
        for flip in [0x01, 0x80, 0xff] {
            let mut changed = bytes.clone();
            changed[at] ^= flip;
            fs::write(&path, &changed).unwrap();
            let error = read(&path, true).map(|(frames, _)| frames.len()).expect_err(&format!("byte {at}"));
            assert!(matches!(error, WalError::Corrupt { .. }));
        }
    }
}

#[test]
fn a_record_set_to_zeros_in_the_middle_is_refused_where_it_was_durable() {
    let mut fixture = fixture();
    for number in 0..40 {
        append(&mut fixture.wal, &format!("{number:>200}"), if number > 30 { 30 } else { 0 });
    }
    let path = fixture.wal.segment().path.clone();
    let good = fs::read(&path).unwrap();
    for (sector, allowed) in [(2, false), (13, false), (14, true)] {
        let mut lost = good.clone();
        lost[sector * 512..(sector + 1) * 512].fill(0);
        fs::write(&path, &lost).unwrap();
        let result = read(&path, true);
        // Frames are 232 bytes: sector 14 begins within record 30, the first that nobody knew to be durable.
        assert_eq!(result.is_ok(), allowed, "sector {sector}: {result:?}");
        if let Ok((frames, found)) = result {
            assert_eq!(frames.len(), 30);
            assert!(found.torn > 0);
        }
        assert!(read(&path, false).is_err());
    }
}

#[test]
fn what_was_reserved_can_be_written_on_a_full_disk() {
    let mut fixture = fixture();
    let mut intents = 0;
    fixture.disk.full.store(true, Ordering::SeqCst);
    fixture.disk.space.store(1 << 20, Ordering::SeqCst);
    while fixture.wal.ensure(500 + INTENT_RESERVE).is_ok() {
        fixture.wal.append(None, frame(&"i".repeat(400)), Role::Intent, 0).unwrap();
        fixture.wal.reserve(INTENT_RESERVE);
        intents += 1;
    }
    assert!(intents > 100, "{intents}");
    assert!(matches!(fixture.wal.health(), Health::Full(_)));
    for _ in 0..intents {
        for _ in 0..RESERVED_ATTEMPTS {
            fixture.wal.append(None, frame(&"a".repeat(MAX_ATTEMPT)), Role::Other, 0).unwrap();
            fixture.wal.release(ATTEMPT_SLOT);
        }
        fixture.wal.append(None, frame(&"o".repeat(MAX_OUTCOME)), Role::Other, 0).unwrap();
        fixture.wal.release(OUTCOME_SLOT);
    }
    assert!(fixture.wal.at <= fixture.wal.allocated);
    assert_eq!(fixture.wal.reserved, 0);
    fixture.disk.full.store(false, Ordering::SeqCst);
    fixture.wal.ensure(1000).unwrap();
    assert_eq!(*fixture.wal.health(), Health::Good);
}

#[test]
fn segments_follow_one_another_and_are_named_when_nothing_needs_them() {
    let mut fixture = fixture();
    let text = "x".repeat(60_000);
    while fixture.wal.closed_segments.is_empty() {
        append(&mut fixture.wal, &text, 0);
    }
    let names = segments(&fixture.dir, |path| panic!("{}", path.display())).unwrap();
    assert_eq!(names.len(), 2);
    let (frames, found) = read(&names[0].1, false).unwrap();
    assert_eq!(frames.len() as u64, names[1].0);
    assert_eq!(found.end, fs::metadata(&names[0].1).unwrap().len(), "the zeros ahead are cut off");
    let count = frames.len();
    assert_eq!(fixture.wal.integrated(count - 1), Vec::<PathBuf>::new());
    assert_eq!(fixture.wal.integrated(1), [names[0].1.clone()]);
}

#[test]
fn a_file_that_is_no_segment_is_refused_and_an_empty_one_is_unfinished() {
    let fixture = fixture();
    let path = fixture.wal.segment().path.clone();
    fs::write(&path, b"").unwrap();
    assert_eq!(read(&path, true).unwrap().1.next, 0);
    fs::write(&path, &MAGIC[..5]).unwrap();
    assert_eq!(read(&path, true).unwrap().1.torn, 5);
    assert!(read(&path, false).is_err());
    fs::write(&path, [b'x'; 100]).unwrap();
    assert!(read(&path, true).is_err());
}
