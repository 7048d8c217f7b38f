//! The model that a call of a vendor's own API asks: such a call is one to a model, and `allow: models` decides it.
//!
//! Owns the table of paths that ask a model and what is read of each for reservations. Never reads an answer. Called when
//! a call is read.

use tidegate_core::ids::{ModelName, ToolName};

/// What is asked of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Task {
    /// A session of live turns is opened (`/realtime`). Nothing is generated yet.
    Connect,
    /// One turn of such a session: its answer comes on the session's own connection.
    Turn,
    /// Such a turn, which the server begins by itself once it has heard enough: nothing is sent for it.
    Heard,
}

impl Task {
    /// The task's name in records and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "realtime_connect",
            Self::Turn | Self::Heard => "realtime",
        }
    }
}

/// A model and what is asked of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// What is asked.
    pub task: Task,
    /// The model as the caller named it.
    pub model: ModelName,
    /// The names of the tools that it is offered.
    pub tools: Vec<ToolName>,
    /// An upper bound of the prompt's tokens.
    pub input_tokens: u64,
    /// The most tokens that may be generated; `None` where the caller sets no bound.
    pub max_output: Option<u64>,
}
