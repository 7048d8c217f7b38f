//! The targets of model calls' dialects: bodies and streams of upstreams and callers that wish the gateway ill.
//!
//! Each says in its first lines which promise it holds the code to; `assert!` is how it says no.

use bytes::Bytes;
use tidegate_protocol::{
    llm::{
        Answer, Dialect, ModelCall, Operation, Quirks, StreamReader, StreamTranslator, TargetWire, TranslateContext,
        rewrite_pieces,
    },
    sse::{Frame, SseParser},
};

const CONTEXT: TranslateContext<'static> = TranslateContext {
    model: "m",
    client_wants_usage: true,
    call_id: "call_0",
    created: 7,
    reasoning_scope: Some("p/m"),
    forms: &[],
};

/// A request's texts can be taken out of it, and what is prepared for any upstream holds none of them.
pub fn responses_call(bytes: &[u8]) {
    let body = Bytes::copy_from_slice(bytes);
    let Ok(mut call) = ModelCall::read(Dialect::OpenAiResponses, Operation::Generate, body) else { return };
    let _ = (call.facts(), call.estimate());
    let quirks = Quirks::default();
    let to = |dialect| TargetWire {
        dialect,
        model: "m",
        default_max_output: None,
        quirks: &quirks,
        reasoning_scope: Some("p/m"),
    };
    let paths: Vec<_> = call.segments().iter().map(|segment| segment.path).take(16).collect();
    for path in &paths {
        call.replace_segment(*path, "[redacted]");
    }
    let texts = call.segments();
    let mut replaced = texts.iter().filter(|segment| paths.contains(&segment.path));
    assert!(replaced.all(|segment| segment.text.starts_with("[redacted]")));
    for dialect in Dialect::ALL {
        let Ok(outgoing) = call.prepare(&to(dialect)) else { continue };
        if dialect == Dialect::OpenAiResponses {
            let again = ModelCall::read(dialect, Operation::Generate, outgoing.body);
            assert!(again.is_ok(), "{again:?}");
        }
    }
}

/// An answer that is read can be told in every dialect, and a guard's mark is in each.
pub fn responses_answer(bytes: &[u8]) {
    let Ok(mut answer) = Answer::read(Dialect::OpenAiResponses, Bytes::copy_from_slice(bytes)) else { return };
    let first = answer.segments().first().map(|segment| segment.path);
    if let Some(path) = first {
        answer.replace_segment(path, "[redacted]");
        assert!(String::from_utf8_lossy(&answer.body()).contains("[redacted]"));
    }
    for to in Dialect::ALL {
        if let Ok((body, _)) = tidegate_protocol::llm::translate_answer(&answer, to, &CONTEXT) {
            assert!(Answer::read(to, body).is_ok(), "{to:?}");
        }
    }
}

fn frames(bytes: &[u8]) -> Vec<Frame> {
    let mut parser = SseParser::new(1 << 20);
    parser.push(Bytes::copy_from_slice(bytes));
    std::iter::from_fn(|| parser.next_frame()).map_while(Result::ok).collect()
}

/// A stream's texts can be rewritten where they stand, each of them, and no stream ends well twice in any dialect.
pub fn responses_stream(bytes: &[u8]) {
    let frames = frames(bytes);
    let mut reader = StreamReader::new(Dialect::OpenAiResponses);
    for frame in &frames {
        let Ok(facts) = reader.read(frame) else { break };
        let marks: Vec<(usize, &str)> = (0..facts.pieces.len()).map(|at| (at, "[x]")).collect();
        if !marks.is_empty() {
            assert!(rewrite_pieces(Dialect::OpenAiResponses, frame, &marks).is_ok());
        }
    }
    for to in Dialect::ALL {
        let mut translator = StreamTranslator::new(Dialect::OpenAiResponses, to, &CONTEXT);
        let mut surface = StreamReader::new(to);
        let mut ends = 0;
        for frame in &frames {
            let Ok(out) = translator.push(frame) else { break };
            for frame in &out {
                ends += usize::from(surface.read(frame).is_ok_and(|facts| facts.terminator));
            }
        }
        assert!(ends <= 1, "{to:?}");
    }
}
