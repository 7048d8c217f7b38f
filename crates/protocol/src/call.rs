//! A call of any kind, as the stages of the pipeline see it.
//!
//! Owns the closed list of kinds and the few questions that every stage asks. Never answers one itself: each kind does.
//! Only decode, route, dispatch and respond may match on it.

#[cfg(test)]
mod tests;

use tidegate_core::{
    facts::{Action, Facts, Resource},
    ids::Digest,
    segment::{Segment, SegmentPath},
};

use crate::{llm::ModelCall, mcp::ToolCall, native::NativeCall};

/// What sort of call it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A model is asked.
    Model,
    /// A message to or from an MCP server.
    Tool,
    /// A vendor's own API is called.
    Native,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Model, Self::Tool, Self::Native];

    /// The kind's name in records and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Tool => "tool",
            Self::Native => "native",
        }
    }
}

/// What a call may use, before it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Estimate {
    /// An upper bound of the prompt's tokens; 0 for a tool call.
    pub input_tokens: u64,
    /// The most tokens that may be generated; `None` where the caller sets no bound, `Some(0)` for a tool call.
    pub max_output_tokens: Option<u64>,
    /// How many answers are asked for; what stands above is for all of them together.
    pub choices: u64,
}

/// What no model is asked for.
const NOTHING: Estimate = Estimate { input_tokens: 0, max_output_tokens: Some(0), choices: 1 };

/// One call through the gateway.
#[derive(Debug, Clone)]
pub enum Call {
    /// A model is asked.
    Model(Box<ModelCall>),
    /// A message to or from an MCP server.
    Tool(Box<ToolCall>),
    /// A vendor's own API is called.
    Native(Box<NativeCall>),
}

impl Call {
    /// What sort of call it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Model(_) => Kind::Model,
            Self::Tool(_) => Kind::Tool,
            Self::Native(_) => Kind::Native,
        }
    }

    /// The operation's name in OpenTelemetry's conventions for generative AI.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        match self {
            Self::Model(call) => call.operation().as_str(),
            Self::Tool(_) => "execute_tool",
            Self::Native(call) => call.asked().map_or("call_provider_api", |asked| asked.task.as_str()),
        }
    }

    /// What is to be done.
    #[must_use]
    pub fn action(&self) -> Action {
        match self {
            Self::Model(call) => call.action(),
            Self::Tool(call) => call.action(),
            Self::Native(call) => call.action(),
        }
    }

    /// What it is done to; for a model call a placeholder that each candidate takes the place of.
    #[must_use]
    pub fn resource(&self) -> Resource {
        match self {
            Self::Model(call) => call.resource(),
            Self::Tool(call) => call.resource(),
            Self::Native(call) => call.resource(),
        }
    }

    /// What policies see of the call, as it stands now.
    #[must_use]
    pub fn facts(&self) -> Facts {
        match self {
            Self::Model(call) => call.facts(),
            Self::Tool(call) => call.facts(),
            Self::Native(call) => call.facts(),
        }
    }

    /// Every text that a guard should see, as it stands now.
    #[must_use]
    pub fn segments(&self) -> Vec<Segment<'_>> {
        match self {
            Self::Model(call) => call.segments(),
            Self::Tool(call) => call.segments(),
            Self::Native(call) => call.segments(),
        }
    }

    /// The way to change texts of the call. Each change counts the version up, so that what was decided on an earlier
    /// version no longer holds.
    pub fn segments_mut(&mut self) -> SegmentsMut<'_> {
        SegmentsMut { call: self }
    }

    /// How often the body was changed.
    #[must_use]
    pub fn version(&self) -> u32 {
        match self {
            Self::Model(call) => call.version(),
            Self::Tool(call) => call.version(),
            Self::Native(call) => call.version(),
        }
    }

    /// Where a segment stands, as a JSON pointer (RFC 6901).
    #[must_use]
    pub fn pointer(&self, path: SegmentPath) -> String {
        match self {
            Self::Model(call) => call.pointer(path),
            Self::Tool(call) => call.pointer(path),
            Self::Native(call) => call.pointer(path),
        }
    }

    /// What the call may use.
    #[must_use]
    pub fn estimate(&self) -> Estimate {
        match self {
            Self::Model(call) => {
                let max_output_tokens = call.max_output_tokens();
                Estimate { input_tokens: call.estimate(), max_output_tokens, choices: call.choices() }
            }
            Self::Native(call) => call.asked().map_or(NOTHING, |asked| Estimate {
                input_tokens: asked.input_tokens,
                max_output_tokens: asked.max_output,
                choices: 1,
            }),
            Self::Tool(_) => NOTHING,
        }
    }

    /// The SHA-256 of the body as it stands; computed once per version.
    #[must_use]
    pub fn digest(&self) -> Digest {
        match self {
            Self::Model(call) => call.digest(),
            Self::Tool(call) => call.digest(),
            Self::Native(call) => call.digest(),
        }
    }
}

/// The texts of a call, to be changed.
#[derive(Debug)]
pub struct SegmentsMut<'call> {
    call: &'call mut Call,
}

impl SegmentsMut<'_> {
    /// Puts another text in the place of a segment. Says whether the path is one of the call's segments; if not,
    /// nothing happens.
    pub fn replace(&mut self, path: SegmentPath, text: &str) -> bool {
        match &mut *self.call {
            Call::Model(call) => {
                let before = call.version();
                call.replace_segment(path, text);
                call.version() != before
            }
            Call::Tool(call) => call.replace_segment(path, text),
            Call::Native(call) => call.replace_segment(path, text),
        }
    }
}
