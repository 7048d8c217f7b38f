//! Where messages end, what they say, what is refused, and that chunk borders do not matter.

use proptest::prelude::*;

use super::*;

/// An empty message, as the format's published test vectors have it: prelude and checksums over nothing.
const EMPTY: [u8; 16] =
    [0x00, 0x00, 0x00, 0x10, 0x00, 0x00, 0x00, 0x00, 0x05, 0xc2, 0x48, 0xeb, 0x7d, 0x98, 0xc8, 0xff];

fn parse(bytes: &[u8], sizes: &[usize]) -> (Vec<Frame>, Option<EventStreamError>) {
    let mut parser = EventStreamParser::new(DEFAULT_MAX_MESSAGE);
    let (mut frames, mut at, mut turn) = (Vec::new(), 0, 0);
    while at < bytes.len() {
        let end = bytes.len().min(at + sizes[turn % sizes.len()].max(1));
        parser.push(&bytes[at..end]);
        while let Some(next) = parser.next_frame() {
            match next {
                Ok(frame) => frames.push(frame),
                Err(error) => return (frames, Some(error)),
            }
        }
        (at, turn) = (end, turn + 1);
    }
    (frames, None)
}

fn whole(bytes: &[u8]) -> (Vec<Frame>, Option<EventStreamError>) {
    parse(bytes, &[bytes.len().max(1)])
}

/// A message with a header of every type before the one that says what it is.
fn with_every_header(payload: &[u8]) -> Bytes {
    let mut headers = Vec::new();
    let values: [(u8, &[u8]); 9] = [
        (0, &[]),
        (1, &[]),
        (2, &[1]),
        (3, &[1; 2]),
        (4, &[1; 4]),
        (5, &[1; 8]),
        (6, &[0, 3, 0xff, 0xfe, 0xfd]),
        (8, &[1; 8]),
        (9, &[1; 16]),
    ];
    for (kind, value) in values {
        headers.extend_from_slice(&[1, b'x', kind]);
        headers.extend_from_slice(value);
    }
    headers.extend_from_slice(b"\x0b:event-type\x07\x00\x05hello");
    message(&headers, payload)
}

#[test]
fn published_vectors_are_read_and_written() {
    assert_eq!(message(&[], &[]), &EMPTY[..]);
    let (frames, error) = whole(&EMPTY);
    assert_eq!((frames.len(), error), (1, None));
    assert_eq!((frames[0].event.as_deref(), frames[0].data.as_deref()), (None, Some(&b""[..])));
    // A payload without headers.
    let payload = [
        0x00, 0x00, 0x00, 0x1d, 0x00, 0x00, 0x00, 0x00, 0xfd, 0x52, 0x8c, 0x5a, 0x7b, 0x27, 0x66, 0x6f, 0x6f, 0x27,
        0x3a, 0x27, 0x62, 0x61, 0x72, 0x27, 0x7d, 0xc3, 0x65, 0x39, 0x36,
    ];
    assert_eq!(message(&[], b"{'foo':'bar'}"), &payload[..]);
}

#[test]
fn headers_of_every_type_are_passed_over_and_the_event_is_found() {
    let (frames, error) = whole(&with_every_header(b"{}"));
    assert_eq!(error, None);
    assert_eq!((frames[0].event.as_deref(), frames[0].data.as_deref()), (Some(&b"hello"[..]), Some(&b"{}"[..])));
    assert_eq!(header_of(&frames[0].raw, ":event-type"), Some("hello"));
    assert_eq!(header_of(&frames[0].raw, ":message-type"), None);
}

#[test]
fn what_is_written_is_read_as_it_was_meant() {
    let frame = event("contentBlockDelta", br#"{"delta":{"text":"a"}}"#);
    assert_eq!(whole(&frame.raw).0, std::slice::from_ref(&frame));
    assert!(!is_error(&frame.raw));
    let thrown = exception("throttlingException", br#"{"message":"slow"}"#);
    assert_eq!(whole(&thrown.raw).0, std::slice::from_ref(&thrown));
    assert!(is_error(&thrown.raw));
    assert_eq!(header_of(&thrown.raw, ":content-type"), Some("application/json"));
}

#[test]
fn another_payload_keeps_the_headers() {
    let (frames, _) = whole(&with_every_header(b"old"));
    let changed = with_payload(&frames[0], b"new and longer").unwrap();
    assert_eq!(changed.raw, with_every_header(b"new and longer"));
    assert_eq!(whole(&changed.raw).0, [changed]);
    let sse = Frame::build(None, b"{}");
    assert!(with_payload(&sse, b"x").is_err());
}

#[test]
fn a_changed_bit_anywhere_is_found() {
    let good = event("messageStop", br#"{"stopReason":"end_turn"}"#).raw;
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good.to_vec();
            bad[at] ^= 1 << bit;
            let (frames, _) = whole(&bad);
            assert!(frames.is_empty(), "bit {bit} of byte {at}");
        }
    }
}

#[test]
fn what_contradicts_the_format_is_refused_and_nothing_comes_after() {
    let checked = |mut head: Vec<u8>| {
        let checksum = crc32fast::hash(&head);
        head.extend_from_slice(&checksum.to_be_bytes());
        head
    };
    // Longer headers than the message; a message shorter than its own frame; one beyond the limit.
    let mut first = checked([32_u32.to_be_bytes(), 17_u32.to_be_bytes()].concat());
    first.extend_from_slice(&[0; 32]);
    assert_eq!(whole(&first).1, Some(EventStreamError::Malformed("its lengths do not fit each other")));
    let short = checked([15_u32.to_be_bytes(), 0_u32.to_be_bytes()].concat());
    assert!(matches!(whole(&short).1, Some(EventStreamError::Malformed(_))));
    let large = checked([u32::MAX.to_be_bytes(), 0_u32.to_be_bytes()].concat());
    assert_eq!(whole(&large).1, Some(EventStreamError::TooLarge { limit: DEFAULT_MAX_MESSAGE }));
    // A header that ends outside, and one of no type.
    for headers in [&b"\x05ab"[..], b"\x01a\x0a", b"\x01a\x07\x00\x09abc", b"\x01a"] {
        assert!(matches!(whole(&message(headers, b"")).1, Some(EventStreamError::Malformed(_))), "{headers:?}");
    }
    let mut parser = EventStreamParser::new(64);
    parser.push(b"data: this is no event stream\n\n");
    assert!(parser.next_frame().unwrap().is_err());
    parser.push(&EMPTY);
    assert_eq!((parser.next_frame(), parser.held()), (None, 0));
}

proptest! {
    #[test]
    fn chunk_borders_do_not_matter(
        payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 0..6),
        sizes in proptest::collection::vec(1_usize..60, 1..8),
        cut in 0_usize..40,
    ) {
        let frames: Vec<Frame> = payloads.iter().map(|payload| event("chunk", payload)).collect();
        let bytes: Vec<u8> = frames.iter().flat_map(|frame| frame.raw.to_vec()).collect();
        prop_assert_eq!(parse(&bytes, &sizes), (frames.clone(), None));
        // What is cut off at the end is no message.
        let kept = &bytes[..bytes.len().saturating_sub(cut)];
        let (found, error) = parse(kept, &sizes);
        prop_assert_eq!(error, None);
        prop_assert!(found.len() <= frames.len() && found[..] == frames[..found.len()]);
        prop_assert!(cut == 0 || bytes.is_empty() || found.len() < frames.len());
    }

    #[test]
    fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), size in 1_usize..50) {
        let _ = parse(&bytes, &[size]);
        let _ = header_of(&bytes, "x");
        let _ = parse(&message(&bytes, b""), &[size]);
    }
}
