//! What a live session has come to: how long its conversation is at most, which tools are on offer, and whether the
//! server begins turns by itself.
//!
//! Owns these figures, which each turn is decided and reserved by. Pure: the proxy tells it what passed.

use tidegate_core::{
    ids::{ModelName, ToolName},
    usage::Usage,
};

use super::{ClientEvent, ClientKind, Turning, client::Bound};

/// Tokens that a vendor's own instructions may cost.
const PREAMBLE: u64 = 1_000;

/// The figures of one session.
#[derive(Debug, Clone)]
pub struct Context {
    tools: Vec<ToolName>,
    instructions: u64,
    tool_tokens: u64,
    conversation: u64,
    max_output: Bound,
    automatic: bool,
    unread: bool,
}

impl Default for Context {
    /// A session that nobody has set anything for: the vendor listens for speech, and answers it by itself.
    fn default() -> Self {
        Self {
            tools: Vec::new(),
            instructions: PREAMBLE,
            tool_tokens: 0,
            conversation: 0,
            max_output: None,
            automatic: true,
            unread: false,
        }
    }
}

impl Context {
    /// Notes an event that goes to the server.
    pub fn sent(&mut self, event: &ClientEvent) {
        match event.kind() {
            ClientKind::UpdateSession => {
                let settings = &event.settings;
                if let Some(tools) = &settings.tools {
                    self.tools.clone_from(tools);
                }
                self.instructions = settings.instructions.map_or(self.instructions, |more| more.max(PREAMBLE));
                self.tool_tokens = settings.tool_tokens.unwrap_or(self.tool_tokens);
                self.max_output = settings.max_output.unwrap_or(self.max_output);
                self.automatic = settings.automatic.unwrap_or(self.automatic);
            }
            ClientKind::AppendAudio | ClientKind::CreateItem => {
                self.conversation = self.conversation.saturating_add(event.tokens);
            }
            ClientKind::CreateResponse | ClientKind::Buffer | ClientKind::Item | ClientKind::CancelResponse => {}
        }
        self.unread |= event.is_unread();
    }

    /// Notes what a turn used: the conversation is now what the server says it is.
    pub fn turned(&mut self, usage: &Usage) {
        let own = self.instructions.saturating_add(self.tool_tokens);
        self.conversation = self.conversation.max(usage.total().saturating_sub(own.min(usage.total())));
    }

    /// What a turn that `event` asks for is decided and reserved by.
    #[must_use]
    pub fn turning(&self, model: ModelName, event: &ClientEvent) -> Turning {
        let settings = &event.settings;
        let input_tokens = [
            settings.instructions.unwrap_or(0).max(self.instructions),
            settings.tool_tokens.unwrap_or(0).max(self.tool_tokens),
            self.conversation,
            event.tokens,
        ];
        Turning {
            model,
            tools: settings.tools.clone().unwrap_or_else(|| self.tools.clone()),
            input_tokens: input_tokens.into_iter().fold(0, u64::saturating_add),
            max_output: settings.max_output.unwrap_or(self.max_output),
        }
    }

    /// Whether the server begins turns by itself when it has heard enough.
    #[must_use]
    pub fn is_automatic(&self) -> bool {
        self.automatic
    }

    /// Whether sound or pictures went to the model, which no guard looked into.
    #[must_use]
    pub fn is_unread(&self) -> bool {
        self.unread
    }
}
