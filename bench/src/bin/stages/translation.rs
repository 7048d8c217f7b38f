//! What translating costs: a conversation of 100 KB and a stream of 100 events, from each dialect to each, beside the
//! lane that changes nothing. Times are of the thread's own CPU, the least of several rounds.

use std::hint::black_box;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use tidegate_bench::body;
use tidegate_protocol::llm::{
    Dialect, ModelCall, Named, Operation as Kind, Quirks, StreamReader, StreamTranslator, TargetWire, TranslateContext,
};

use crate::Operation;

/// The size of the conversation.
const KIB: usize = 100;
/// Events of text in a stream.
const EVENTS: u32 = 100;
/// How often each thing is timed; the least counts, since noise only adds.
const ROUNDS: usize = 15;
/// How often it runs in one timing.
const TIMES: usize = 20;
/// The longest event of a stream.
const LONGEST_EVENT: usize = 1 << 20;

/// The dialects whose conversations differ: InvokeModel's body is Anthropic's, and its stream that in another envelope.
const DIALECTS: [(Dialect, &str); 5] = [
    (Dialect::OpenAiChat, "openai_chat"),
    (Dialect::OpenAiResponses, "openai_responses"),
    (Dialect::Anthropic, "anthropic"),
    (Dialect::Gemini, "gemini"),
    (Dialect::Bedrock, "bedrock"),
];

const CONTEXT: TranslateContext<'static> = TranslateContext {
    model: "bench",
    client_wants_usage: true,
    call_id: "call_0",
    created: 1_790_000_000,
    reasoning_scope: None,
    tools: &[],
    forms: &[],
};

#[derive(Serialize)]
struct Told {
    kib: usize,
    events: u32,
    requests: Vec<Pair>,
    streams: Vec<Pair>,
}

/// CPU microseconds of one conversation, or of one event.
#[derive(Serialize)]
struct Pair {
    from: &'static str,
    to: &'static str,
    us: f64,
}

/// Times every pair. A pair of a dialect with itself is the verbatim lane.
pub(crate) fn run() -> Result<String> {
    let (mut requests, mut streams) = (Vec::new(), Vec::new());
    for (from, from_name) in DIALECTS {
        for (to, to_name) in DIALECTS {
            let pair = |us| Pair { from: from_name, to: to_name, us };
            requests.push(pair(timed(&mut request(from, to)?)?));
            streams.push(pair(timed(&mut stream(from, to)?)? / f64::from(EVENTS)));
        }
    }
    Ok(serde_json::to_string(&Told { kib: KIB, events: EVENTS, requests, streams })?)
}

fn timed(operation: &mut Operation) -> Result<f64> {
    operation()?;
    let mut least = f64::INFINITY;
    for _ in 0..ROUNDS {
        let before = cpu_nanos();
        for _ in 0..TIMES {
            operation()?;
        }
        let took = cpu_nanos().saturating_sub(before);
        least = least.min(took as f64 / 1_000.0 / TIMES as f64);
    }
    Ok(least)
}

fn cpu_nanos() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

fn wire(dialect: Dialect, quirks: &Quirks) -> TargetWire<'_> {
    TargetWire { dialect, model: "bench", default_max_output: None, quirks, reasoning_scope: None }
}

fn read(dialect: Dialect, body: Bytes) -> Result<ModelCall> {
    // Gemini and Bedrock name the model in the path.
    let named = matches!(dialect, Dialect::Gemini | Dialect::Bedrock)
        .then(|| Named { model: "bench".to_owned(), stream: false });
    ModelCall::read_named(dialect, Kind::Generate, named, body).context("the conversation is not read")
}

/// The same conversation in any dialect.
fn conversation(dialect: Dialect) -> Result<Bytes> {
    let chat = read(Dialect::OpenAiChat, Bytes::from(body::chat("bench", KIB, false)))?;
    Ok(chat.prepare(&wire(dialect, &Quirks::default()))?.body)
}

/// A request of one dialect, read and written for a target of another: all that a lane does.
pub(crate) fn request(from: Dialect, to: Dialect) -> Result<Operation> {
    let body = conversation(from)?;
    let quirks = Quirks::default();
    Ok(Box::new(move || {
        let call = read(from, black_box(body.clone()))?;
        black_box(call.prepare(&wire(to, &quirks))?);
        Ok(())
    }))
}

/// The bytes of a stream in any dialect.
fn bytes_of_stream(dialect: Dialect) -> Result<Bytes> {
    let head = "\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1790000000,\"model\":\"bench\"";
    let mut chat = String::new();
    for number in 0..EVENTS {
        chat.push_str(&format!(
            "data: {{{head},\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"part{number:04} \"}},\
             \"finish_reason\":null}}]}}\n\n"
        ));
    }
    chat.push_str(&format!(
        "data: {{{head},\"choices\":[{{\"index\":0,\"delta\":{{}},\"finish_reason\":\"stop\"}}]}}\n\n\
         data: {{{head},\"choices\":[],\"usage\":{{\"prompt_tokens\":20,\"completion_tokens\":100,\
         \"total_tokens\":120}}}}\n\ndata: [DONE]\n\n"
    ));
    if dialect == Dialect::OpenAiChat {
        return Ok(Bytes::from(chat));
    }
    let mut parser = Dialect::OpenAiChat.framing().parser(LONGEST_EVENT);
    parser.push(Bytes::from(chat));
    let mut translator = StreamTranslator::new(Dialect::OpenAiChat, dialect, &CONTEXT);
    let mut out = Vec::new();
    while let Some(frame) = parser.next_frame() {
        for frame in translator.push(&frame?)? {
            out.extend_from_slice(&frame.raw);
        }
    }
    for frame in translator.finish()? {
        out.extend_from_slice(&frame.raw);
    }
    Ok(out.into())
}

/// A stream of one dialect, read and written for a caller of another: frames, facts, and on the way through another
/// dialect its events and the facts of what leaves.
pub(crate) fn stream(from: Dialect, to: Dialect) -> Result<Operation> {
    let bytes = bytes_of_stream(from)?;
    Ok(Box::new(move || {
        let mut parser = from.framing().parser(LONGEST_EVENT);
        let mut reader = StreamReader::new(from);
        let mut translation = (from != to).then(|| (StreamTranslator::new(from, to, &CONTEXT), StreamReader::new(to)));
        let mut left = 0;
        parser.push(black_box(bytes.clone()));
        while let Some(frame) = parser.next_frame() {
            let frame = frame?;
            black_box(reader.read(&frame)?);
            match &mut translation {
                None => left += frame.raw.len(),
                Some((translator, surface)) => {
                    for frame in translator.push(&frame)? {
                        black_box(surface.read(&frame)?);
                        left += frame.raw.len();
                    }
                }
            }
        }
        if let Some((translator, surface)) = &mut translation {
            for frame in translator.finish()? {
                black_box(surface.read(&frame)?);
                left += frame.raw.len();
            }
        }
        ensure!(left > 0 && reader.finished(), "the stream of the bench did not end");
        Ok(())
    }))
}
