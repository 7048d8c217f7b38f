//! From × to: streams folded equal whole answers, however they are cut, and never end well when they are.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::Value;

use super::{
    CONTEXT,
    corpus::{Case, all},
    fold::{chunked, fold, frames},
};
use crate::{
    llm::{Answer, Dialect, StreamError, StreamReader, StreamTranslator, translate_answer},
    sse::Frame,
};

fn translated(case: &Case, to: Dialect, input: &[Frame]) -> Result<Vec<Frame>, StreamError> {
    let mut translator = StreamTranslator::new(case.dialect, to, &CONTEXT);
    let mut out = Vec::new();
    for frame in input {
        out.extend(translator.push(frame)?);
    }
    out.extend(translator.finish()?);
    Ok(out)
}

fn whole(case: &Case, to: Dialect) -> Value {
    let answer = Answer::read(case.dialect, Bytes::from(case.unary.clone())).unwrap();
    let (body, _) = translate_answer(&answer, to, &CONTEXT).unwrap();
    serde_json::from_slice(&body).unwrap()
}

#[test]
fn stream_folded_equals_unary_for_every_pair_of_dialects() {
    for case in all() {
        for to in Dialect::ALL {
            let input = frames(&case.stream);
            let output = if case.dialect == to { input } else { translated(&case, to, &input).unwrap() };
            assert_eq!(fold(to, &output), whole(&case, to), "{} of {:?} to {to:?}", case.name, case.dialect);
        }
    }
}

#[test]
fn reader_agrees_with_the_whole_answer() {
    for case in all() {
        let answer = Answer::read(case.dialect, Bytes::from(case.unary.clone())).unwrap();
        let mut reader = StreamReader::new(case.dialect);
        let (mut text, mut stop, mut terminators) = (String::new(), None, 0);
        for frame in &frames(&case.stream) {
            let facts = reader.read(frame).unwrap();
            facts.pieces.iter().for_each(|piece| text.push_str(&piece.text));
            stop = facts.stop.or(stop);
            terminators += usize::from(facts.terminator);
        }
        assert_eq!(reader.usage(), answer.usage(), "{}", case.name);
        assert_eq!(stop.as_ref(), answer.stop_reason(), "{}", case.name);
        let ended = if case.dialect.ends_with_body() { reader.may_end() } else { terminators == 1 };
        assert!(ended, "{}", case.name);
        assert!(reader.finished());
        for segment in answer.segments().iter().filter(|_| !case.name.contains("call")) {
            assert!(text.contains(&*segment.text), "{}: {} is not in {text}", case.name, segment.text);
        }
    }
}

#[test]
fn stream_cut_at_every_byte_offset_never_ends_well() {
    for case in all() {
        let bytes = case.stream.as_bytes();
        // What a stream of this dialect needs before its end may come: the marker, or (Chat) the finish reason.
        let complete = match case.dialect {
            Dialect::OpenAiChat => case.stream.find("\"finish_reason\":\"").unwrap(),
            Dialect::Anthropic => case.stream.rfind("message_stop").unwrap(),
            Dialect::Gemini => case.stream.find("\"finishReason\":\"").or(case.stream.find("blockReason")).unwrap(),
            Dialect::OpenAiResponses => case.stream.rfind("\"sequence_number\"").unwrap(),
        };
        let ends = |at: usize| {
            let cut = chunked(&bytes[..at], &[bytes.len()]);
            let mut reader = StreamReader::new(case.dialect);
            let terminated = cut.iter().any(|frame| reader.read(frame).is_ok_and(|facts| facts.terminator));
            assert!(!terminated || at == bytes.len(), "{} cut at {at}", case.name);
            Dialect::ALL.iter().all(|to| translated(&case, *to, &cut).is_ok())
        };
        for at in 0..=bytes.len() {
            let good = ends(at);
            assert!(!good || at > complete, "{} cut at {at} ended well", case.name);
        }
        assert!(ends(bytes.len()));
    }
}

#[test]
fn cut_translation_gives_no_terminator() {
    for case in all() {
        let input = frames(&case.stream);
        // How many frames the end takes.
        let stop = if case.dialect == Dialect::OpenAiChat { 3 } else { 1 };
        for to in Dialect::ALL {
            let mut translator = StreamTranslator::new(case.dialect, to, &CONTEXT);
            let mut reader = StreamReader::new(to);
            for frame in &input[..input.len() - stop] {
                for out in translator.push(frame).unwrap() {
                    assert!(!reader.read(&out).unwrap().terminator);
                }
            }
            assert_eq!(translator.finish(), Err(StreamError::Truncated), "{}", case.name);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn output_does_not_depend_on_chunk_boundaries(
        sizes in proptest::collection::vec(1_usize..40, 1..12),
        line_end in prop_oneof![Just("\n"), Just("\r\n"), Just("\r")],
        comment in any::<bool>(),
    ) {
        for case in all() {
            let mut text = case.stream.replace('\n', line_end);
            if comment {
                text = format!(": hello{line_end}{line_end}{text}");
            }
            // A lone CR at the very end waits for its LF, as the parser documents.
            if line_end == "\r" {
                text.push_str(": end\r\r");
            }
            for to in Dialect::ALL {
                let expected = translated(&case, to, &frames(&case.stream)).unwrap();
                let found = translated(&case, to, &chunked(text.as_bytes(), &sizes)).unwrap();
                prop_assert_eq!(&expected, &found, "{} to {:?}", case.name, to);
            }
        }
    }
}
