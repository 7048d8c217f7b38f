//! The targets of the crates above the protocols: what clients, operators, servers and lists of others send.
//!
//! Each says in its first lines which promise it holds the code to; `assert!` is how it says no.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use http::{HeaderValue, Method};
use tidegate_config::{document::Document, pins::PinnedTool, source::Sources};
use tidegate_core::{facts::GuardAction, ids::ServerName, segment::Origin};
use tidegate_guard::{Chain, DetectorName, GuardrailSpec, Hold, Phase, Step, Tokens, redact};
use tidegate_ledger::{
    Catalog,
    import::{self, Foreign, write},
};
use tidegate_protocol::{
    llm::Dialect,
    native::{NativeCall, NativePath, NativeRequest},
};
use tidegate_proxy::doors;

/// The first line, and what follows it.
fn lines(bytes: &[u8]) -> (String, &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let rest = bytes.get(end.saturating_add(1)..).unwrap_or_default();
    (String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned(), rest)
}

/// A path that is taken reads in one way, and what is taken out of a body is what is sent without it. The first line is
/// the path, the rest the body.
pub fn native_call(bytes: &[u8]) {
    let (path, body) = lines(bytes);
    let Ok(path) = NativePath::parse(&path) else { return };
    assert!(path.decoded().starts_with('/') && !path.decoded().contains('\\'));
    assert!(path.decoded().split('/').skip(1).all(|segment| !matches!(segment, "" | "." | "..")));
    let request = NativeRequest {
        method: Method::POST,
        path,
        query: None,
        content_type: Some(HeaderValue::from_static("application/json")),
        body: Bytes::copy_from_slice(body),
    };
    let Ok(mut call) = NativeCall::read(Dialect::OpenAiChat, request) else { return };
    let paths: Vec<_> = call.segments().iter().map(|segment| segment.path).take(16).collect();
    for path in &paths {
        assert!(call.replace_segment(*path, "[redacted]"));
        assert!(call.pointer(*path).starts_with('/') || call.pointer(*path).is_empty());
    }
    let texts = call.segments();
    let mut replaced = texts.iter().filter(|segment| paths.contains(&segment.path));
    // Of names that would be the same, all but the first get a number.
    assert!(replaced.all(|segment| segment.text.starts_with("[redacted]")));
    let _ = (call.facts(), call.outgoing("openai"));
}

/// A tool's name on `/mcp` leads to its server, fits what models take, and never to another server. The first line is
/// the server.
pub fn mcp_names(bytes: &[u8]) {
    let (server, rest) = lines(bytes);
    let item = String::from_utf8_lossy(rest);
    let _ = doors::said(&item);
    // The configuration takes no other names of servers.
    let good = server.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    if !good
        || server.is_empty()
        || server.len() > 40
        || server.contains("__")
        || server.ends_with('_')
        || item.is_empty()
    {
        return;
    }
    let id = ServerName::from(server.as_str());
    let (name, said) = doors::name(&id, &item);
    assert!(name.len() <= 64);
    let (owner, short) = said.unwrap_or_default();
    assert_eq!(owner, server);
    assert!(name.len() == 64 || short == item || short.len() < item.len());
    let uri = doors::wrapped(&id, &item);
    assert_eq!(doors::said(&uri).1, Some((server.as_str(), item.as_ref())));
}

/// A client goes on only after an event that was sent to it. The first byte says how many were.
pub fn resume_ids(bytes: &[u8]) {
    let Some((events, id)) = bytes.split_first() else { return };
    let (events, id) = (usize::from(*events % 8), String::from_utf8_lossy(id));
    let number = |text: &str| text.parse::<usize>().ok();
    let sent = id
        .split_once('-')
        .is_some_and(|(stream, event)| number(stream) == Some(0) && number(event).is_some_and(|event| event <= events));
    assert_eq!(doors::resumes(events, &id), sent, "{id} of {events}");
}

/// A file of pins is read as it was written, and no pin differs from itself.
pub fn pins_file(bytes: &[u8]) {
    let Ok(pins) = serde_json::from_slice::<Vec<PinnedTool>>(bytes) else { return };
    for (at, pin) in pins.iter().enumerate().take(16) {
        assert!(pin.differences(pin).is_empty());
        let next = pins.get(at.saturating_add(1)).unwrap_or(pin);
        assert!(pin.digest != next.digest || pin.differences(next).is_empty());
    }
    let again = serde_json::to_vec(&pins).ok().and_then(|text| serde_json::from_slice::<Vec<PinnedTool>>(&text).ok());
    assert_eq!(again.as_ref(), Some(&pins));
}

/// A configuration without a mistake of form is what its canonical form is.
pub fn configuration(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let written = Document::parse(Sources::of_text("tidegate.yaml", text));
    assert!(written.problems.iter().all(|problem| !problem.to_string().is_empty()));
    if !written.problems.is_empty() {
        return;
    }
    let canonical = written.document.canonical().unwrap_or_default();
    let again = Document::parse(Sources::of_text("tidegate.json", &canonical));
    assert!(again.problems.is_empty(), "{canonical}: {:?}", again.problems);
    assert_eq!(again.document, written.document);
}

/// What is taken of a price list is a price file that says the same.
pub fn price_list(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (Some(foreign), Some(on)) = (Foreign::of(text), jiff::civil::Date::new(2026, 6, 1).ok()) else { return };
    let Ok(mut reading) = import::read(text, foreign, on, &[]) else { return };
    import::compare(&mut reading, &Catalog::default(), None);
    if reading.models.is_empty() {
        return;
    }
    let file = write::file(&reading.models, "https://prices.example", on);
    let read = Catalog::from_json(&[("prices.json", &file)]);
    assert!(read.is_ok(), "{read:?} of {file}");
    for draft in &reading.models {
        let rates = read.iter().find_map(|read| Some(read.exact(&draft.provider, &draft.model)?.price.rates));
        assert_eq!(rates, Some(draft.rates.filled()));
    }
}

fn chain(detect: &[&str], action: GuardAction) -> Arc<Chain> {
    let spec = GuardrailSpec {
        name: "all".into(),
        detect: detect.iter().map(|name| DetectorName::from(*name)).collect(),
        on: Phase::ALL.to_vec(),
        action,
        limit: None,
        on_error: Default::default(),
    };
    Arc::new(Chain::compile(&[spec]).unwrap_or_default())
}

/// The first byte as a length of chunks, and the rest as text.
fn chunks_and_text(bytes: &[u8]) -> Option<(usize, String)> {
    let (choice, text) = bytes.split_first()?;
    Some((usize::from(*choice % 32).saturating_add(1), String::from_utf8_lossy(text).into_owned()))
}

/// What a stream of `text` in chunks of so many letters comes to.
fn streamed(mut hold: Hold<String>, text: &str, length: usize) -> String {
    let letters: Vec<char> = text.chars().collect();
    let mut steps: Vec<Step<String>> = letters
        .chunks(length)
        .map(|chunk| {
            let chunk: String = chunk.iter().collect();
            hold.push(chunk.clone(), &[(0, &chunk)])
        })
        .collect();
    steps.push(hold.flush());
    let mut out = String::new();
    for step in steps {
        let Step::Released(released) = step else { continue };
        for release in released {
            let rewritten = release.rewritten.and_then(|texts| texts.into_iter().next());
            out.push_str(&rewritten.map_or(release.frame, |(_, text)| text));
        }
    }
    out
}

static ALL: LazyLock<Arc<Chain>> = LazyLock::new(|| chain(&["secrets", "pii", "ip"], GuardAction::Redact));

/// What leaves a stream is the redacted text, wherever it is cut.
pub fn guards(bytes: &[u8]) {
    let Some((length, text)) = chunks_and_text(bytes) else { return };
    let whole = redact(&text, &ALL.scan(Origin::Completion, &text));
    let out = streamed(Hold::new(Arc::clone(&ALL), Origin::Completion), &text, length);
    assert_eq!(out, whole, "of {text:?} by {length}");
}

static TOKENIZED: LazyLock<Arc<Chain>> = LazyLock::new(|| chain(&["email", "card", "iban"], GuardAction::Tokenize));

/// Values that became tokens come back as they were, wherever the answer is cut, and no value is in what was sent.
pub fn tokens(bytes: &[u8]) {
    let Some((length, text)) = chunks_and_text(bytes) else { return };
    // What looks like a token already is nobody's, and is redacted on the way back.
    if text.contains('#') {
        return;
    }
    let seal = |kind: &str, value: &str| {
        let hash = |seed: u64| {
            value
                .bytes()
                .chain(kind.bytes())
                .fold(seed, |sum, byte| sum.wrapping_mul(0x100_0000_01b3) ^ u64::from(byte))
        };
        hash(0xcbf2_9ce4_8422_2325).to_be_bytes()
    };
    let mut map = Tokens::new("all".into(), Box::new(seal));
    let mut found = TOKENIZED.scan(Origin::Prompt, &text);
    let values: Vec<&str> = found.iter().filter_map(|finding| text.get(finding.range.clone())).collect();
    map.issue(&text, &mut found);
    let sent = redact(&text, &found);
    let redacted = found.iter().any(|finding| finding.replacement.is_none());
    let elsewhere = |value: &str| text.matches(value).count() > values.iter().filter(|one| **one == value).count();
    assert!(values.iter().all(|value| elsewhere(value) || !sent.contains(value)), "{sent}");
    // What only reads as a value beside a token is nobody's own.
    if redacted || !TOKENIZED.scan(Origin::Completion, &sent).is_empty() {
        return;
    }
    let hold = Hold::new(Arc::clone(&TOKENIZED), Origin::Completion).restoring(Some(Arc::new(map)));
    assert_eq!(streamed(hold, &sent, length), text, "of {sent:?} by {length}");
}
