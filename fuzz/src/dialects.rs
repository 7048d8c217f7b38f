//! The targets of model calls in every dialect: what callers ask and what vendors stream.
//!
//! Each says in its first lines which promise it holds the code to; `assert!` is how it says no.

use bytes::Bytes;
use tidegate_protocol::{
    json::{Limits, scan},
    llm::{
        Answer, Dialect, ModelCall, Named, Operation, Quirks, StreamReader, StreamTranslator, TargetWire,
        TranslateContext,
    },
    sse::SseParser,
};

const CONTEXT: TranslateContext<'static> = TranslateContext {
    model: "m",
    client_wants_usage: true,
    call_id: "call_0",
    created: 7,
    reasoning_scope: Some("p/m"),
    forms: &[],
    tools: &[],
};

/// A request that is read can be asked about, rewritten where guards look, and is strict JSON for whatever target it can
/// be written for.
pub fn model_request(bytes: &[u8]) {
    let quirks = Quirks::default();
    for dialect in Dialect::ALL {
        let named = Named { model: "m".to_owned(), stream: bytes.len().is_multiple_of(2) };
        let body = Bytes::copy_from_slice(bytes);
        let Ok(mut call) = ModelCall::read_named(dialect, Operation::Generate, Some(named), body) else { continue };
        let _ = (call.facts(), call.estimate(), call.max_output_tokens());
        let paths: Vec<_> = call.segments().iter().map(|segment| segment.path).step_by(2).take(8).collect();
        for path in paths {
            call.replace_segment(path, "[redacted]");
        }
        for to in Dialect::ALL {
            let wire = TargetWire {
                dialect: to,
                model: "m",
                default_max_output: None,
                quirks: &quirks,
                reasoning_scope: Some("p/m"),
            };
            if let Ok(outgoing) = call.prepare(&wire) {
                let read = scan(&outgoing.body, &Limits::default());
                assert!(read.is_ok(), "{dialect:?} to {to:?}: {}", String::from_utf8_lossy(&outgoing.body));
            }
        }
    }
}

/// A stream's reader and its translations take any frames, never end well before the model has stopped, and write frames
/// that a reader of their own dialect takes. A whole answer is taken or refused.
pub fn model_stream(bytes: &[u8]) {
    let mut parser = SseParser::new(1 << 16);
    parser.push(Bytes::copy_from_slice(bytes));
    let mut frames = Vec::new();
    while let Some(Ok(frame)) = parser.next_frame() {
        frames.push(frame);
    }
    for dialect in Dialect::ALL {
        let _ = Answer::read(dialect, Bytes::copy_from_slice(bytes));
        let mut reader = StreamReader::new(dialect);
        for frame in &frames {
            let ended = reader.read(frame).is_ok_and(|facts| facts.terminator);
            assert!(!ended || reader.finished());
        }
        for to in Dialect::ALL {
            let mut written = StreamReader::new(to);
            assert!(StreamTranslator::new(dialect, to, &CONTEXT).finish().is_err(), "a stream of nothing ended well");
            let mut translator = StreamTranslator::new(dialect, to, &CONTEXT);
            for frame in &frames {
                let Ok(out) = translator.push(frame) else { break };
                for frame in &out {
                    assert!(
                        written.read(frame).is_ok(),
                        "{dialect:?} to {to:?}: {}",
                        String::from_utf8_lossy(&frame.raw)
                    );
                }
            }
        }
    }
}
