//! Every target over a seeded corpus and thousands of mutations of it, always the same ones.

use super::TARGETS;

const JSON: &[&str] = &[
    r#"{"model":"gpt-5.2","messages":[{"role":"user","content":"hi \u00e9 \ud83d\ude00"}],"temperature":0.7,"n":1}"#,
    r#"{"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"a":{},"A":{}}}}}]}"#,
    r#"[1,-0,1.5e-3,12345678901234567890123,true,false,null,"",{},[],[[]]]"#,
    "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000 é😀\"",
];
const SSE: &[&str] = &[
    "@data: {\"a\":1}\n\nevent: x\ndata: 1\ndata: 2\n\n: ping\n\ndata: [DONE]\n\n",
    "\u{1}\u{feff}data: a\r\n\r\nid: 7\r\nretry: 5\r\ndata: b\r\n\r\ndata: cut",
    "\u{3}data: a\r\rdata\rdata:x\r\r\n\r\n",
];
const RPC: &[&str] = &[
    r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add","arguments":{"a":"x","b":["y",{"c":"z"}],"n":1.0}}}"#,
    r#"{"jsonrpc":"2.0","id":"a","method":"prompts/get","params":{"name":"p","arguments":{"k":"v"}}}"#,
    r#"{"jsonrpc":"2.0","id":2,"method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"p"},"argument":{"name":"n","value":"v"}}}"#,
    r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"d"}}"#,
    r#"[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","id":2,"method":"tools/list"}]"#,
    r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"m","data":["d"]}}"#,
];
const ANSWERS: &[&str] = &[
    r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"aa","description":"d","inputSchema":{"type":"object"}},{"name":"b"},{"x":1}],"nextCursor":"n"}}"#,
    r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"t"}],"structuredContent":{"a":["b"]}}}"#,
    r#"{"jsonrpc":"2.0","id":1,"result":{"resources":[{"uri":"x:/1","name":"n"},{"uri":"y"}],"contents":[{"text":"t"}]}}"#,
    r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"m"}}"#,
];

const MODELS: &[&str] = &[
    r#"{"contents":[{"role":"user","parts":[{"text":"a"},{"inlineData":{"mimeType":"image/png","data":"QQ=="}}]},{"role":"model","parts":[{"text":"h","thought":true,"thoughtSignature":"dGlkZWdhdGUxLnMuMy5wL214"},{"functionCall":{"name":"f","args":{"a":"b"}}}]},{"parts":[{"functionResponse":{"name":"f","response":{"output":"x"}}}]}],"tools":[{"functionDeclarations":[{"name":"f","parameters":{"type":"OBJECT","nullable":true,"properties":{"a":{"type":"STRING"}}}}]}],"generationConfig":{"maxOutputTokens":9,"thinkingConfig":{"thinkingBudget":-1}}}"#,
    r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]},{"role":"tool","tool_call_id":"c","content":"x"}]}"#,
    "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\",\"thought\":true},{\"functionCall\":{\"name\":\"f\",\"args\":{\"a\":1}},\"thoughtSignature\":\"QQ==\"}]}}]}\n\ndata: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"b\"}]},\"finishReason\":\"STOP\"}],\"usageMetadata\":{\"promptTokenCount\":3}}\n\n",
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\",\"input\":{}}}\n\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\"}}\n\n",
];
const NATIVE: &[&str] = &[
    "/files/file-1\n{\"purpose\":\"a\",\"texts\":[\"b\",{\"c\":\"d\"}],\"model\":\"openai/m\",\"n\":12345678}",
    "/vector_stores/a%20b/files\n[\"x\",1,null]",
    "/images\nno json at all",
];
const RESPONSES: &[&str] = &[
    r#"{"model":"m","instructions":"s","input":[{"role":"user","content":[{"type":"input_text","text":"t"},{"type":"input_image","image_url":"https://x/y"}]},{"type":"reasoning","id":"rs","summary":[{"type":"summary_text","text":"u"}],"encrypted_content":"tidegate1.s.3.p/msig"},{"type":"function_call","call_id":"c","name":"f","arguments":"{}"},{"type":"function_call_output","call_id":"c","output":"o"}],"tools":[{"type":"namespace","name":"n","tools":[{"type":"custom","name":"f"}]}],"tool_choice":{"type":"allowed_tools","mode":"auto","tools":[{"type":"custom","name":"f"}]}}"#,
    r#"{"id":"r","status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"output":[{"type":"message","content":[{"type":"output_text","text":"a","logprobs":[1]}]},{"type":"function_call","call_id":"c","name":"f","arguments":"{\"a\":"},{"type":"reasoning","id":"rs","summary":[],"encrypted_content":"x"}],"usage":{"input_tokens":1,"output_tokens":2}}"#,
    "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"r\",\"output\":[]}}\n\ndata: {\"type\":\"response.output_item.added\",\"output_index\":0,\"item\":{\"type\":\"function_call\",\"call_id\":\"c\",\"name\":\"f\"}}\n\ndata: {\"type\":\"response.function_call_arguments.delta\",\"output_index\":0,\"delta\":\"{}\"}\n\ndata: {\"type\":\"response.output_text.delta\",\"output_index\":1,\"delta\":\"t\"}\n\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":\"r\",\"status\":\"completed\",\"output\":[{\"type\":\"message\",\"content\":[{\"type\":\"output_text\",\"text\":\"t\"}]}],\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}}\n\n",
];
const SOCKETS: &[&str] = &[
    r#"{"type":"session.update","event_id":"e","session":{"type":"realtime","model":"m","instructions":"s","tools":[{"type":"function","name":"f","description":"d","parameters":{"type":"object"}}],"audio":{"input":{"transcription":{"model":"w"},"turn_detection":null}}}}"#,
    r#"{"type":"conversation.item.create","item":{"type":"message","role":"user","content":[{"type":"input_text","text":"t"},{"type":"input_audio","audio":"QUFB"}]}}"#,
    r#"{"type":"response.done","response":{"id":"r","status":"completed","output":[{"type":"message","content":[{"type":"output_text","text":"t"}]}],"usage":{"input_tokens":1,"output_tokens":2}}}"#,
    r#"{"type":"response.output_text.delta","response_id":"r","output_index":0,"content_index":0,"delta":"t"}"#,
    r#"{"type":"response.create","stream_id":"a","model":"m","previous_response_id":"resp_1","input":[{"role":"user","content":"a"}],"generate":false,"background":null}"#,
    r#"{"type":"response.create","model":"m","input":"text \u00e9"}"#,
    r#"{"type":"response.completed","response":{"id":"r","store":false,"output":[{"type":"reasoning"},{"type":"message","content":[]}]}}"#,
    "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--b\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\nwords\r\n--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\nContent-Type: audio/wav\r\n\r\nRIFF\r\n--b--\r\n",
];
const RESULTS: &[&str] = &[
    "\u{6}{\"custom_id\":\"a\",\"response\":{\"status_code\":200,\"body\":{\"model\":\"m\",\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2}}}}\n{\"custom_id\":\"b\",\"error\":{}}\r\n\n{\"result\":{\"type\":\"succeeded\",\"message\":{\"type\":\"message\",\"model\":\"c\",\"usage\":{\"input_tokens\":1,\"output_tokens\":2}}}}",
    "\u{b}a line that is too long\n{}\n\n{\"result\":{}}\n",
];
const NAMES: &[&str] = &[
    "notes\nsearch",
    "a-very-long-name-of-some-server-in-here\nand_a_tool_whose_name_goes_on_and_on_and_on",
    "s\nfile:///a__b:c",
    "x\ntidegate+notes:file:///a",
];
const RESUME: &[&str] = &["\u{5}0-3", "\u{1}0-1", "\u{2}1-0", "\u{3}0-18446744073709551615", "\u{2}-", "\u{2}00-01"];
const PINS: &[&str] = &[
    r#"[{"server":"s","name":"t","input_schema":"{}","digest":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","pinned_at":7,"definition":"{\"name\":\"t\"}"},{"server":"s","name":"u","input_schema":"","digest":"a3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","pinned_at":8,"definition":"{\"name\":\"u\"}"}]"#,
    "[]",
];
const CONFIGURATION: &[&str] = &[
    "version: 1\nproviders: { openai: { key: env:K }, local: { type: openai, base_url: http://127.0.0.1:8080/v1 } }\nmodels:\n  chat: { fallback: [openai/gpt-5.2], timeouts: { connect: 5s } }\n",
    "version: 1\ntelemetry:\n  otlp: { endpoint: 'http://127.0.0.1:4318', headers: { x-key: env:K }, sample: 0.25, profile: a, content: off } \n",
    "version: 1\nguardrails:\n  pii: { detect: [email, us_ssn, phone], on: [request], action: tokenize, timeout: 50ms, on_error: open }\nkeys: { a: { guardrails: [pii], budget: [10 usd/month, 1 usd/day], limits: { requests: 60/min } } }\nprices: ./prices\n",
];
const PRICES: &[&str] = &[
    r#"{"sample_spec":{"input_cost_per_token":0},"m":{"litellm_provider":"openai","mode":"chat","input_cost_per_token":1.75e-06,"output_cost_per_token":1e-05,"input_cost_per_token_above_200k_tokens":2e-6,"cache_read_input_token_cost":1.0000000000000002e-07}}"#,
    r#"{"xai/g":{"litellm_provider":"xai","mode":"chat","tiered_pricing":[{"range":[0,128000.0],"input_cost_per_token":3e-06,"output_cost_per_token":1.5e-05},{"range":[128000,256000],"input_cost_per_token":6e-06}]}}"#,
    r#"[{"id":"openai","models":[{"id":"m","match":{"or":[{"equals":"n"}]},"context_window":9,"prices":{"input_mtok":{"base":1,"tiers":[{"start":5,"price":2}]},"output_mtok":4}},{"id":"o","prices":[{"prices":{"input_mtok":1,"output_mtok":2}},{"constraint":{"start_date":"2026-01-01"},"prices":{"input_mtok":3,"output_mtok":4}}]}]}]"#,
];
const GUARDED: &[&str] = &[
    "\u{3}write to alice@example.com or +1 415-555-2671, SSN 123-45-6780, IBAN DE89 3704 0044 0532 0130 00",
    "\u{1}card 4111 1111 1111 1111 and AKIAIOSFODNN7EXAMPLE, password=\"hunter2hunter2\" at 10.20.30.40",
    "\u{7}BSN 111222333, 7260 1815 9082, DNI 12345678Z, 85 01 12 000000, eyJhbGciOiJIUzI1NiJ9.e30.x",
    "\u{2}a@b.example a@b.example c@d.example",
];

/// xorshift64*: the same numbers on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % bound.max(1)
    }
}

fn corpus() -> Vec<Vec<u8>> {
    let mut corpus: Vec<Vec<u8>> = [JSON, SSE, RPC].concat().iter().map(|seed| seed.as_bytes().to_vec()).collect();
    let more =
        [MODELS, NATIVE, RESPONSES, SOCKETS, NAMES, RESUME, PINS, CONFIGURATION, PRICES, GUARDED, RESULTS].concat();
    corpus.extend(more.iter().map(|seed| seed.as_bytes().to_vec()));
    // Messages of an event stream, behind the byte that chooses the cuts.
    for payload in [&br#"{"delta":{"text":"a"},"contentBlockIndex":0}"#[..], br#"{"bytes":"e30="}"#, b""] {
        let event = tidegate_protocol::eventstream::event("contentBlockDelta", payload);
        let error = tidegate_protocol::eventstream::exception("throttlingException", payload);
        corpus.push([&[3], &*event.raw, &*error.raw].concat());
    }
    // The first byte chooses what the answer is taken for: a list of each kind, a tool's result, and rewriting.
    for choice in [2_u8, 3, 4, 5, 6, 9, 0x13, 0x22, 0x23, 0x32] {
        corpus.extend(ANSWERS.iter().map(|seed| [&[choice], seed.as_bytes()].concat()));
    }
    corpus
}

/// Bytes and words that matter to the grammars.
const WORDS: &[&str] = &[
    "\"",
    "\\",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\n",
    "\r",
    "\r\n",
    "--b",
    "\n\n",
    "data:",
    "event: e\n",
    "\\u0000",
    "\\ud800",
    "null",
    "1e9",
    "-",
    "\u{feff}",
    "é",
    "\0",
    "\"id\":1,",
    "\"name\":\"a\",",
    "\"Name\":\"a\",",
    "{\"name\":\"zz\"},",
    "__",
    "%2e",
    "/",
    "a@b.example",
    "4111 1111 1111 1111",
    "[email#aaaaaaaaaaaaaaaa]",
    "  ",
    "on_error: ",
    "_above_1k_tokens",
];

fn mutate(random: &mut Random, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = corpus[random.below(corpus.len())].clone();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        let end = (at + random.below(12)).min(bytes.len());
        match random.below(7) {
            0 => bytes.insert(at, random.below(256) as u8),
            1 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            2 => drop(bytes.drain(at..end)),
            3 => drop(bytes.splice(at..at, WORDS[random.below(WORDS.len())].bytes())),
            4 => {
                let piece = bytes[at..end].to_vec();
                let to = random.below(bytes.len() + 1);
                drop(bytes.splice(to..to, piece));
            }
            5 => {
                let other = &corpus[random.below(corpus.len())];
                let from = random.below(other.len());
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            _ => bytes.truncate(at.max(1)),
        }
    }
    bytes
}

#[test]
fn no_target_breaks_on_the_corpus() {
    for seed in corpus() {
        for (name, target) in TARGETS {
            println!("{name}: {}", String::from_utf8_lossy(&seed));
            target(&seed);
        }
    }
}

#[test]
fn no_target_breaks_on_mutations() {
    let corpus = corpus();
    for (index, (name, target)) in TARGETS.into_iter().enumerate() {
        let mut random = Random(0x9E37_79B9_7F4A_7C15 ^ (index as u64 + 1));
        // Those that look for values in text take longer.
        let rounds = if matches!(name, "guards" | "tokens" | "configuration" | "model_request" | "model_stream") {
            3_000
        } else {
            40_000
        };
        for _ in 0..rounds {
            let bytes = mutate(&mut random, &corpus);
            if std::panic::catch_unwind(|| target(&bytes)).is_err() {
                panic!("{name} breaks on {:?}", String::from_utf8_lossy(&bytes));
            }
        }
    }
}

#[test]
fn results_of_batches_are_the_same_lines_however_they_are_mutated_and_cut() {
    let corpus: Vec<Vec<u8>> = RESULTS.iter().map(|seed| seed.as_bytes().to_vec()).collect();
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    for _ in 0..20_000 {
        super::batch_results(&mutate(&mut random, &corpus));
    }
}
