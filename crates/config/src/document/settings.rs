//! Guardrails, audit and what concerns the gateway as a whole, as users write them.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;

use super::{
    read::{Field, Reader, choice, object},
    scalar::{Size, Time},
};
use crate::node::{Node, Value};

object! {
    /// What is looked for in text, where, and what is done about it.
    pub struct Guardrail("a guardrail") {
        required {
            /// What is looked for: detectors by name.
            #[schemars(example = ["email", "card", "iban"])]
            pub detect: Vec<String> = "[secrets]",
        }
        optional {
            /// Where it looks; without it, everywhere.
            #[schemars(example = ["request", "response"])]
            pub on: Option<Vec<GuardrailPhase>>,
            /// What it does with what it finds. Blocking is the rule.
            #[schemars(example = &"redact")]
            pub action: GuardrailAction,
            /// The longest that it may look at one request, one answer, or one event of a stream. Without it there is no
            /// limit; detectors take time in proportion to the text.
            #[schemars(example = &"50ms")]
            pub timeout: Option<Time>,
            /// What becomes of a text that it could not look at to its end, since its time was over or a detector failed.
            /// `closed`, which is the rule, refuses it; `open` lets it pass and notes that.
            #[schemars(example = &"open")]
            pub on_error: OnError,
        }
        later {
            "url": "use `detect`: guards on other machines come with a later version",
            "mode": "use `action: label`, which only notes what is found",
            "threshold": "remove it: detectors of this version are exact",
        }
    }
}

choice! {
    /// What becomes of a text that a guardrail could not look at to its end.
    #[derive(Default)]
    pub enum OnError {
        /// It does not pass.
        #[default]
        Closed = "closed",
        /// It passes, and the record says so.
        Open = "open",
    }
    later {}
}

choice! {
    /// Where a guardrail looks.
    pub enum GuardrailPhase {
        /// What goes to a model.
        Request = "request",
        /// What a model answers, inside the stream too.
        Response = "response",
        /// What goes to a tool.
        ToolArguments = "tool_arguments",
        /// What a tool answers, and what a server says about its tools.
        ToolResult = "tool_result",
    }
    later {}
}

choice! {
    /// What a guardrail does with what it finds.
    #[derive(Default)]
    pub enum GuardrailAction {
        /// Refuses the call, or cuts the stream before it.
        #[default]
        Block = "block",
        /// Puts a token in its place on the way to a model, and the caller's own value back into the answer.
        Tokenize = "tokenize",
        /// Puts a mark in its place.
        Redact = "redact",
        /// Only notes it, for policies and records.
        Label = "label",
    }
    later {
        "hold": "use `block`: approvals come with a later version",
    }
}

object! {
    /// What is put on record, and how safely.
    #[derive(Default)]
    pub struct Audit("audit settings") {
        required {}
        optional {
            /// Model calls. `buffered` is the rule.
            #[schemars(example = &"buffered")]
            pub model_calls: Option<AuditClass>,
            /// Exchanges with MCP servers. `durable` is the rule.
            #[schemars(example = &"durable")]
            pub tool_calls: Option<AuditClass>,
            /// Whether what was said is kept, encrypted, beside the log. `off` is the rule.
            #[schemars(example = &"off")]
            pub bodies: Bodies,
            /// How long bodies are kept; without it, 30 days.
            #[schemars(example = &"30d")]
            pub retention: Option<Time>,
        }
        later {
            "agent_calls": "remove it: agents (A2A) come with a later version",
            "export": "remove it: the log is exported with `tidegate audit export`",
        }
    }
}

choice! {
    /// How safely a kind of call is put on record.
    pub enum AuditClass {
        /// Not at all. Status and revision show it.
        Off = "off",
        /// Outlives the process, also when it is killed.
        Buffered = "buffered",
        /// Outlives a loss of power: stored before anything is sent upstream.
        Durable = "durable",
    }
    later {}
}

choice! {
    /// What is kept of what was said.
    #[derive(Default)]
    pub enum Bodies {
        /// Nothing.
        #[default]
        Off = "off",
        /// What guardrails let through, encrypted.
        Redacted = "redacted",
    }
    later {
        "full": "use `redacted`",
    }
}

object! {
    /// Bounds of what the gateway takes in, whoever calls.
    #[derive(Default)]
    pub struct Requests("limits") {
        required {}
        optional {
            /// The largest request body: 1 KiB to 256 MiB; without it, 32 MiB.
            #[schemars(example = &"32MiB")]
            pub body: Option<Size>,
            /// The most calls at the same time; further ones are told to come back later. Without it, 20,000.
            #[schemars(example = 20_000, range(min = 1))]
            pub concurrent: Option<u32>,
            /// How much memory answers may take that are given again under the same `idempotency-key`; without it, 16
            /// MiB. The oldest leave first.
            #[schemars(example = &"16MiB")]
            pub idempotency_memory: Option<Size>,
            /// How much memory answers may take that `cache` of a model gives again; without it, 64 MiB. Those that were
            /// not asked for longest leave first.
            #[schemars(example = &"64MiB")]
            pub cache_memory: Option<Size>,
            /// How much of the disk answers may take that `cache: { keep: store }` of a model gives again; without it, 1
            /// GiB. Those whose time is over soonest leave first.
            #[schemars(example = &"1GiB")]
            pub cache_store: Option<Size>,
            /// How long a client may take to send the head of a request; without it, 15 seconds.
            #[schemars(example = &"15s")]
            pub header_timeout: Option<Time>,
            /// How long a client may be silent while it sends a body: what comes slower than 1 KiB a second uses it up,
            /// what comes faster gives it back. Without it, 20 seconds.
            #[schemars(example = &"20s")]
            pub body_timeout: Option<Time>,
            /// How long a client may leave an answer unread: what it takes slower than 1 KiB a second uses it up, what
            /// it takes faster gives it back. Then it is cut, and its call at the upstream with it. Without it, 60
            /// seconds.
            #[schemars(example = &"60s")]
            pub send_timeout: Option<Time>,
        }
        later {
            "requests": "set `limits` on keys and teams",
            "tokens": "set `limits` on keys and teams",
        }
    }
}

object! {
    /// The gateway's own batches: files of requests that it runs by itself, on any model that it knows.
    #[derive(Default)]
    pub struct Batches("batch settings") {
        required {}
        optional {
            /// Whether files with the purpose `batch`, and batches of them, are the gateway's own. Without it they pass to a
            /// provider, where a policy permits `call_provider_api`.
            #[schemars(example = true)]
            pub own: bool,
            /// The most lines that run at the same time, of all batches together: 1 to 1,000; without it, 8.
            #[schemars(example = 8, range(min = 1, max = 1_000))]
            pub concurrent: Option<u32>,
            /// The largest file of lines: 1 KiB to 200 MiB; without it, 200 MiB.
            #[schemars(example = &"200MiB")]
            pub file: Option<Size>,
            /// How much space all files of lines and of answers may take; without it, 10 GiB. Beyond it no file is taken.
            #[schemars(example = &"10GiB")]
            pub storage: Option<Size>,
            /// How long files are kept, from an hour on; without it, 30 days. Then they are erased. A batch that has ended and
            /// has no file left is forgotten a day later than that.
            #[schemars(example = &"30d")]
            pub keep: Option<Time>,
        }
        later {}
    }
}

/// The provider for bare model names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum DefaultProvider {
    /// The same on every surface.
    One(String),
    /// One for each surface.
    BySurface(BTreeMap<String, String>),
}

/// The surfaces that have models.
pub(crate) const SURFACES: [&str; 4] = ["openai", "anthropic", "gemini", "bedrock"];

impl Field for DefaultProvider {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        match &node.value {
            Value::Map(entries) => {
                reader.unknown(entries, &SURFACES, &[]);
                let mut surfaces = BTreeMap::new();
                for surface in SURFACES {
                    if let Some(provider) = reader.field::<String>(entries, surface) {
                        surfaces.insert(surface.to_owned(), provider);
                    }
                }
                Some(Self::BySurface(surfaces))
            }
            _ => String::read(node, reader).map(Self::One),
        }
    }
}

impl JsonSchema for DefaultProvider {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "DefaultProvider".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let surface = |name: &str| {
            serde_json::json!({
                "type": "string",
                "description": format!("The provider for bare model names on the {name} surface."),
                "examples": [name],
            })
        };
        json_schema!({
            "description": "The provider for bare model names that are no alias; or one for each surface.",
            "examples": ["openai", { "openai": "openai", "anthropic": "anthropic" }],
            "anyOf": [
                { "type": "string" },
                { "type": "object", "additionalProperties": false, "properties": {
                    "openai": surface("openai"), "anthropic": surface("anthropic"), "gemini": surface("gemini"),
                    "bedrock": surface("bedrock"),
                } },
            ],
        })
    }
}
