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
        for _ in 0..40_000 {
            let bytes = mutate(&mut random, &corpus);
            if std::panic::catch_unwind(|| target(&bytes)).is_err() {
                panic!("{name} breaks on {:?}", String::from_utf8_lossy(&bytes));
            }
        }
    }
}
