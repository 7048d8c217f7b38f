//! The golden corpus of Gemini: answers whole and as the vendor streams them.

use super::corpus::Case;
use crate::llm::Dialect;

pub(crate) const GEMINI_USAGE: &str = r#"{"promptTokenCount":20,"candidatesTokenCount":5,"totalTokenCount":29,"cachedContentTokenCount":8,"thoughtsTokenCount":4}"#;

const TAIL: &str = r#""modelVersion":"gemini-up","responseId":"resp_1""#;

/// `data: …` for each list of parts; the last one says why the model stopped.
pub(crate) fn gemini_stream(pieces: &[&str], reason: &str) -> String {
    let mut out = String::new();
    for (at, parts) in pieces.iter().enumerate() {
        let last = at + 1 == pieces.len();
        let reason = if last { format!(r#""finishReason":"{reason}","#) } else { String::new() };
        let usage = if last { GEMINI_USAGE } else { r#"{"promptTokenCount":20,"totalTokenCount":20}"# };
        out.push_str(&format!(
            "data: {{\"candidates\":[{{\"content\":{{\"parts\":{parts},\"role\":\"model\"}},{reason}\"index\":0}}],\"usageMetadata\":{usage},{TAIL}}}\r\n\r\n"
        ));
    }
    out
}

pub(crate) fn gemini_unary(parts: &str, reason: &str) -> String {
    format!(
        r#"{{"candidates":[{{"content":{{"parts":{parts},"role":"model"}},"finishReason":"{reason}","index":0}}],"usageMetadata":{GEMINI_USAGE},{TAIL}}}"#
    )
}

fn gemini(name: &'static str, pieces: &[&str], reason: &str, parts: &str) -> Case {
    let (unary, stream) = (gemini_unary(parts, reason), gemini_stream(pieces, reason));
    Case { name, dialect: Dialect::Gemini, unary, stream: stream.replace("\r\n", "\n") }
}

pub(crate) fn cases() -> Vec<Case> {
    vec![
        gemini(
            "text",
            &[r#"[{"text":"Grüße, "}]"#, r#"[{"text":"\ud83d\ude00 \"quoted\"\n"}]"#, r#"[{"text":""}]"#],
            "STOP",
            r#"[{"text":"Grüße, 😀 \"quoted\"\n"}]"#,
        ),
        gemini(
            "thoughts, then text that is signed last",
            &[
                r#"[{"text":"First, ","thought":true}]"#,
                r#"[{"text":"look.","thought":true}]"#,
                r#"[{"text":"Do"}]"#,
                r#"[{"text":"ne"}]"#,
                r#"[{"text":"","thoughtSignature":"EqQB+/a=="}]"#,
            ],
            "STOP",
            r#"[{"text":"First, look.","thought":true},{"text":"Done","thoughtSignature":"EqQB+/a=="}]"#,
        ),
        gemini(
            "parallel calls without ids, the first signed",
            &[
                r#"[{"functionCall":{"name":"one","args":{"a": [1,2]}},"thoughtSignature":"c2ln"},{"functionCall":{"name":"two","args":{}}}]"#,
                r#"[{"functionCall":{"name":"one"}}]"#,
            ],
            "STOP",
            r#"[{"functionCall":{"name":"one","args":{"a": [1,2]}},"thoughtSignature":"c2ln"},{"functionCall":{"name":"two","args":{}}},{"functionCall":{"name":"one"}}]"#,
        ),
        gemini(
            "text, then a call with an id",
            &[
                r#"[{"text":"Let me look."}]"#,
                r#"[{"functionCall":{"id":"abc1","name":"look","args":{"at":12345678901234567890}}}]"#,
            ],
            "STOP",
            r#"[{"text":"Let me look."},{"functionCall":{"id":"abc1","name":"look","args":{"at":12345678901234567890}}}]"#,
        ),
        gemini(
            "code that the vendor ran",
            &[
                r#"[{"executableCode":{"language":"PYTHON","code":"print(6*7)"}}]"#,
                r#"[{"codeExecutionResult":{"outcome":"OUTCOME_OK","output":"42\n"}},{"text":"42."}]"#,
            ],
            "STOP",
            r#"[{"executableCode":{"language":"PYTHON","code":"print(6*7)"}},{"codeExecutionResult":{"outcome":"OUTCOME_OK","output":"42\n"}},{"text":"42."}]"#,
        ),
        gemini("limit", &[r#"[{"text":"Wai"}]"#], "MAX_TOKENS", r#"[{"text":"Wai"}]"#),
        gemini("stopped by a filter", &[r#"[{"text":"I"}]"#, "[]"], "SAFETY", r#"[{"text":"I"}]"#),
        gemini("a reason of its own", &[r#"[{"text":"I"}]"#], "MALFORMED_FUNCTION_CALL", r#"[{"text":"I"}]"#),
        Case {
            name: "prompt refused",
            dialect: Dialect::Gemini,
            unary: format!(
                r#"{{"promptFeedback":{{"blockReason":"PROHIBITED_CONTENT"}},"usageMetadata":{{"promptTokenCount":9,"totalTokenCount":9}},{TAIL}}}"#
            ),
            stream: format!(
                "data: {{\"promptFeedback\":{{\"blockReason\":\"PROHIBITED_CONTENT\"}},\"usageMetadata\":{{\"promptTokenCount\":9,\"totalTokenCount\":9}},{TAIL}}}\n\n"
            ),
        },
    ]
}
