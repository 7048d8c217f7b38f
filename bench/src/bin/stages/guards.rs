//! The guard chain over a request, and over a stream through the reader and the window.

use std::{borrow::Cow, hint::black_box, sync::Arc};

use anyhow::{Result, ensure};
use bytes::Bytes;
use tidegate_core::{
    facts::GuardAction,
    ids::Digester,
    segment::{Origin, Segment},
};
use tidegate_guard::{Chain, GuardrailSpec, Hold, Phase, Step};
use tidegate_protocol::{
    llm::{Dialect, StreamReader},
    sse::{DEFAULT_MAX_EVENT, Frame, SseParser},
};

use crate::{Operation, model};

/// The chain of the bench's configuration with everything on.
pub(crate) fn chain() -> Result<Arc<Chain>> {
    let spec = |name: &str, detect: &[&str]| GuardrailSpec {
        name: name.into(),
        detect: detect.iter().map(|name| (*name).into()).collect(),
        on: vec![Phase::Request, Phase::Response],
        action: GuardAction::Redact,
        limit: None,
        on_error: Default::default(),
    };
    let specs = [spec("secrets", &["secrets"]), spec("pii", &["email", "phone", "card", "iban"])];
    Ok(Arc::new(Chain::compile(&specs)?))
}

/// Looks at each segment; the texts of this bench hold nothing that would be found.
pub(crate) fn look(chain: &Chain, segments: Vec<Segment<'_>>) -> Result<()> {
    for segment in segments {
        let findings = chain.scan(segment.origin, &segment.text);
        ensure!(findings.is_empty(), "a guard found something in the bench's own text: {findings:?}");
    }
    Ok(())
}

/// Every segment of a request of so many KiB.
pub(crate) fn request(kib: usize) -> Result<Operation> {
    let chain = chain()?;
    let (_, call) = model::request(kib)?;
    Ok(Box::new(move || look(&chain, black_box(&call).segments())))
}

/// A hundred events with text: parsed, read, held, released, digested.
pub(crate) fn stream() -> Result<Operation> {
    let chain = chain()?;
    let events: Vec<Bytes> = (0..100).map(event).collect();
    Ok(Box::new(move || {
        let mut parser = SseParser::new(DEFAULT_MAX_EVENT);
        let mut reader = StreamReader::new(Dialect::OpenAiChat);
        let mut hold: Hold<Frame> = Hold::new(Arc::clone(&chain), Origin::Completion);
        let mut digester = Digester::new();
        let mut left = 0_usize;
        for event in &events {
            parser.push(event.clone());
            while let Some(frame) = parser.next_frame() {
                let frame = frame?;
                let facts = reader.read(&frame)?;
                let texts: Vec<(u32, Cow<'_, str>)> =
                    facts.pieces.iter().map(|piece| (piece.channel, piece.text.clone())).collect();
                let pieces: Vec<(u32, &str)> = texts.iter().map(|(channel, text)| (*channel, &**text)).collect();
                let step = hold.push(frame.clone(), &pieces);
                left += leave(step, &mut digester)?;
            }
        }
        left += leave(hold.flush(), &mut digester)?;
        ensure!(left == events.len(), "{left} of {} events left the window", events.len());
        black_box(digester.digest());
        Ok(())
    }))
}

fn leave(step: Step<Frame>, digester: &mut Digester) -> Result<usize> {
    let Step::Released(released) = step else { anyhow::bail!("a guard blocked the bench's own text") };
    for release in &released {
        ensure!(release.rewritten.is_none(), "a guard rewrote the bench's own text");
        digester.update(&release.frame.raw);
    }
    Ok(released.len())
}

fn event(number: u32) -> Bytes {
    Bytes::from(format!(
        "data: {{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1790000000,\
         \"model\":\"gpt-4o-mini\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"part{number:04} \"}},\
         \"finish_reason\":null}}]}}\n\n"
    ))
}
