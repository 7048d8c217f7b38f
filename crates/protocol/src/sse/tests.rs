//! Where events end, what they say, and that chunk borders do not matter.

use proptest::prelude::*;

use super::*;

fn parse_chunks<'a>(
    chunks: impl IntoIterator<Item = &'a [u8]>,
    max: usize,
) -> (Vec<Result<Frame, SseError>>, Option<Frame>) {
    let mut parser = SseParser::new(max);
    let mut frames = Vec::new();
    for chunk in chunks {
        parser.push(Bytes::copy_from_slice(chunk));
        while let Some(frame) = parser.next_frame() {
            frames.push(frame);
        }
    }
    (frames, parser.finish())
}

fn parse(stream: &[u8]) -> (Vec<Frame>, Option<Frame>) {
    let (frames, rest) = parse_chunks([stream], DEFAULT_MAX_EVENT);
    (frames.into_iter().map(Result::unwrap).collect(), rest)
}

fn said(frame: &Frame) -> (&str, Option<&str>) {
    (frame.event_name(), frame.data.as_deref().map(|data| std::str::from_utf8(data).unwrap()))
}

#[test]
fn every_line_ending_ends_lines() {
    for end in ["\n", "\r\n", "\r"] {
        let stream = ["event: a", "data: 1", "", "data: 2", "data: 3", "", ": note", ""].join(end) + end;
        let (frames, rest) = parse(stream.as_bytes());
        let said: Vec<_> = frames.iter().map(said).collect();
        assert_eq!(said, [("a", Some("1")), ("message", Some("2\n3")), ("message", None)], "{end:?}");
        assert_eq!(rest, None, "{end:?}");
        assert!(frames[0].raw.ends_with([end, end].concat().as_bytes()), "{end:?}");
        let raw: Vec<u8> = frames.iter().flat_map(|frame| frame.raw.to_vec()).collect();
        assert_eq!(raw, stream.as_bytes());
    }
}

#[test]
fn fields_are_read_as_the_standard_says() {
    let table: &[(&str, &str, Option<&str>)] = &[
        ("data\n\n", "message", Some("")),
        ("data:\n\n", "message", Some("")),
        ("data: \n\n", "message", Some("")),
        ("data:  two\n\n", "message", Some(" two")),
        ("data:a:b\n\n", "message", Some("a:b")),
        ("data\ndata\n\n", "message", Some("\n")),
        ("data:1\ndata\ndata:3\n\n", "message", Some("1\n\n3")),
        ("event:x\nevent:y\ndata:1\n\n", "y", Some("1")),
        ("event:x\nevent\ndata:1\n\n", "message", Some("1")),
        ("event:x\n\n", "x", None),
        ("Data: no\n\n", "message", None),
        (" data: no\n\n", "message", None),
        ("data : no\n\n", "message", None),
        (":data: no\n\n", "message", None),
        ("other: no\ndata:yes\n\n", "message", Some("yes")),
        ("\u{feff}data: bom\n\n", "message", Some("bom")),
        ("data: nul\0\n\n", "message", Some("nul\0")),
    ];
    for (stream, event, data) in table {
        let (frames, rest) = parse(stream.as_bytes());
        assert_eq!((frames.len(), rest), (1, None), "{stream:?}");
        assert_eq!(said(&frames[0]), (*event, *data), "{stream:?}");
    }
    let (frames, _) = parse(b"id: 7\nretry: 1500\ndata: x\n\nid: a\0b\nretry: 1s\ndata: y\n\nid\ndata: z\n\n");
    assert_eq!((frames[0].id.as_deref(), frames[0].retry), (Some(b"7".as_slice()), Some(1500)));
    assert_eq!((frames[1].id.as_deref(), frames[1].retry), (None, None));
    assert_eq!(frames[2].id.as_deref(), Some(b"".as_slice()));
}

#[test]
fn a_byte_order_mark_counts_only_at_the_start() {
    let (frames, _) = parse("\u{feff}\ndata: 1\n\n\u{feff}data: 2\n\n".as_bytes());
    assert_eq!(
        frames.iter().map(said).collect::<Vec<_>>(),
        [("message", None), ("message", Some("1")), ("message", None)]
    );
}

#[test]
fn what_is_cut_off_is_never_an_event() {
    for stream in ["data: 1\n\ndata: [DONE]\n", "data: 1\n\ndata: [DONE]", "data: 1\r\n\r\ndata: [DONE]\r\n\r"] {
        let (frames, rest) = parse(stream.as_bytes());
        assert_eq!(frames.len(), 1, "{stream:?}");
        assert_eq!(rest.unwrap().data.unwrap(), "[DONE]", "{stream:?}");
    }
    assert_eq!(parse(b"").1, None);
    assert_eq!(parse(b"data: 1\n\n").1, None);
}

#[test]
fn a_lone_return_does_not_wait_in_streams_that_use_them() {
    let mut parser = SseParser::new(100);
    parser.push(Bytes::from_static(b"data: 1\r\r"));
    assert_eq!(parser.next_frame().unwrap().unwrap().data.unwrap(), "1");
    parser.push(Bytes::from_static(b"data: 2\r"));
    assert_eq!(parser.next_frame(), None);
    parser.push(Bytes::from_static(b"\r"));
    assert_eq!(parser.next_frame().unwrap().unwrap().data.unwrap(), "2");
}

#[test]
fn an_event_within_one_chunk_is_not_copied() {
    let chunk = Bytes::from_static(b"data: one\n\nevent: x\ndata: two\n\n");
    let range = chunk.as_ptr_range();
    let mut parser = SseParser::new(100);
    parser.push(chunk);
    while let Some(frame) = parser.next_frame() {
        let frame = frame.unwrap();
        assert!(range.contains(&frame.raw.as_ptr()));
        assert!(range.contains(&frame.data.unwrap().as_ptr()));
    }
}

#[test]
fn an_endless_event_is_an_error_and_holds_nothing() {
    let mut parser = SseParser::new(1000);
    for _ in 0..1000 {
        parser.push(Bytes::from_static(&[b'x'; 100]));
        if let Some(frame) = parser.next_frame() {
            assert_eq!(frame, Err(SseError::EventTooLarge { limit: 1000 }));
            break;
        }
    }
    assert_eq!(parser.held(), 0);
    parser.push(Bytes::from_static(b"data: 1\n\n"));
    assert_eq!(parser.next_frame(), None);
    assert_eq!(parser.finish(), None);
}

#[test]
fn ten_megabytes_byte_by_byte_take_linear_time() {
    let mut parser = SseParser::new(DEFAULT_MAX_EVENT);
    parser.push(Bytes::from_static(b"data: "));
    for _ in 0..300_000 {
        parser.push(Bytes::from_static(b"0123456789abcdef0123456789abcdef"));
        assert_eq!(parser.next_frame(), None);
    }
    parser.push(Bytes::from_static(b"\n\n"));
    assert_eq!(parser.next_frame().unwrap().unwrap().data.unwrap().len(), 300_000 * 32);
}

#[test]
fn built_frames_say_what_they_were_given() {
    let frame = Frame::build(Some("message_stop"), br#"{"a":1}"#);
    assert_eq!(&*frame.raw, b"event: message_stop\ndata: {\"a\":1}\n\n");
    assert_eq!(said(&frame), ("message_stop", Some(r#"{"a":1}"#)));
    assert_eq!(&*Frame::build(None, b"[DONE]").raw, b"data: [DONE]\n\n");
    assert_eq!(said(&Frame::build(Some("x\ndata: evil"), b"1\r\n2\r3\n")), ("x", Some("1\n2\n3\n")));
    assert_eq!(said(&Frame::build(None, b"")), ("message", Some("")));
    assert_eq!(&*Frame::comment("ping\nevent: x").raw, b": ping\n\n");
}

/// Name and data.
type Event = (Option<Vec<u8>>, Option<Vec<u8>>);

/// The definition, line by line over the whole stream: slow and plain.
fn oracle(stream: &[u8]) -> Vec<Event> {
    let text = stream.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(stream);
    let (mut events, mut event, mut data, mut at) = (Vec::new(), None, None::<Vec<u8>>, 0);
    while let Some(end) = text[at..].iter().position(|byte| matches!(byte, b'\r' | b'\n')).map(|end| at + end) {
        let line = &text[at..end];
        at = end + if text[end..].starts_with(b"\r\n") { 2 } else { 1 };
        if line.is_empty() {
            events.push((event.take(), data.take()));
            continue;
        }
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let value = line.get(colon + 1..).unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match &line[..colon] {
            b"event" => event = (!value.is_empty()).then(|| value.to_vec()),
            b"data" => match &mut data {
                Some(data) => {
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
                None => data = Some(value.to_vec()),
            },
            _ => {}
        }
    }
    events
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn chunk_borders_do_not_matter(
        pieces in prop::collection::vec(
            prop::sample::select(vec![
                "\n", "\r", "\r\n", "\n\n", "\r\n\r\n", "\r\r", "data: x", "data:", "event: e", ":c", "\u{feff}", "id: 1",
                "data: é😀", " ", "\0", "retry: 5", "data: a long line of text that goes on",
            ]), 0..24),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        max in prop::sample::select(vec![8_usize, 20, 40, DEFAULT_MAX_EVENT]),
    ) {
        let stream = pieces.concat().into_bytes();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let whole = parse_chunks([stream.as_slice()], max);
        let cut = parse_chunks(cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]), max);
        prop_assert_eq!(&whole, &cut);
        let single = parse_chunks(stream.chunks(1), max);
        prop_assert_eq!(&whole, &single);
        if max == DEFAULT_MAX_EVENT {
            let (frames, rest) = whole;
            let frames: Vec<Frame> = frames.into_iter().map(Result::unwrap).collect();
            let mut raw: Vec<u8> = frames.iter().flat_map(|frame| frame.raw.to_vec()).collect();
            raw.extend(rest.iter().flat_map(|frame| frame.raw.to_vec()));
            prop_assert_eq!(raw, stream.clone());
            let mut expected = oracle(&stream);
            // A blank line whose CR stands at the very end may still wait for its LF.
            if expected.len() == frames.len() + 1 && stream.ends_with(b"\r") {
                expected.pop();
            }
            let found: Vec<_> = frames.iter().map(|frame| {
                (frame.event.as_ref().map(|event| event.to_vec()), frame.data.as_ref().map(|data| data.to_vec()))
            }).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
