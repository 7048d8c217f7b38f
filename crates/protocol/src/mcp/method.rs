//! The methods of the protocol.
//!
//! Owns the table from method to action. Never lets a method through that it does not know. Called by the targets and
//! answers beside it.

use tidegate_core::facts::Action;

/// Who sends a message to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

/// A method of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// `initialize`.
    Initialize,
    /// `ping`, in either direction.
    Ping,
    /// `tools/list`.
    ToolsList,
    /// `tools/call`.
    ToolsCall,
    /// `resources/list`.
    ResourcesList,
    /// `resources/templates/list`.
    ResourceTemplatesList,
    /// `resources/read`.
    ResourcesRead,
    /// `resources/subscribe`.
    ResourcesSubscribe,
    /// `resources/unsubscribe`.
    ResourcesUnsubscribe,
    /// `prompts/list`.
    PromptsList,
    /// `prompts/get`.
    PromptsGet,
    /// `completion/complete`.
    CompletionComplete,
    /// `logging/setLevel`.
    LoggingSetLevel,
    /// `sampling/createMessage`.
    SamplingCreateMessage,
    /// `elicitation/create`.
    ElicitationCreate,
    /// `roots/list`.
    RootsList,
    /// Any `notifications/…`, in either direction.
    Notification,
}

impl Method {
    /// Every method that wants an answer.
    pub const REQUESTS: [Self; 16] = [
        Self::Initialize,
        Self::Ping,
        Self::ToolsList,
        Self::ToolsCall,
        Self::ResourcesList,
        Self::ResourceTemplatesList,
        Self::ResourcesRead,
        Self::ResourcesSubscribe,
        Self::ResourcesUnsubscribe,
        Self::PromptsList,
        Self::PromptsGet,
        Self::CompletionComplete,
        Self::LoggingSetLevel,
        Self::SamplingCreateMessage,
        Self::ElicitationCreate,
        Self::RootsList,
    ];

    /// The method's name; `notifications/` for the notifications together.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Initialize => "initialize",
            Self::Ping => "ping",
            Self::ToolsList => "tools/list",
            Self::ToolsCall => "tools/call",
            Self::ResourcesList => "resources/list",
            Self::ResourceTemplatesList => "resources/templates/list",
            Self::ResourcesRead => "resources/read",
            Self::ResourcesSubscribe => "resources/subscribe",
            Self::ResourcesUnsubscribe => "resources/unsubscribe",
            Self::PromptsList => "prompts/list",
            Self::PromptsGet => "prompts/get",
            Self::CompletionComplete => "completion/complete",
            Self::LoggingSetLevel => "logging/setLevel",
            Self::SamplingCreateMessage => "sampling/createMessage",
            Self::ElicitationCreate => "elicitation/create",
            Self::RootsList => "roots/list",
            Self::Notification => "notifications/",
        }
    }

    /// The method of that name, exactly as written; `None` for one that is not known.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        if name.strip_prefix("notifications/").is_some_and(|rest| !rest.is_empty()) {
            return Some(Self::Notification);
        }
        Self::REQUESTS.into_iter().find(|method| method.as_str() == name)
    }

    /// Whether a message of this method may go in that direction.
    #[must_use]
    pub fn goes(self, direction: Direction) -> bool {
        match self {
            Self::Ping | Self::Notification => true,
            Self::SamplingCreateMessage | Self::ElicitationCreate | Self::RootsList => direction == Direction::ToClient,
            _ => direction == Direction::ToServer,
        }
    }

    /// What is decided on. For [`Method::CompletionComplete`] it depends on what is completed: a prompt's argument
    /// gives [`Action::GetPrompt`], which stands here, a resource template's gives [`Action::ReadResource`].
    #[must_use]
    pub fn action(self) -> Action {
        match self {
            Self::Initialize | Self::Ping | Self::LoggingSetLevel | Self::Notification => Action::UseServer,
            Self::ToolsList => Action::ListTools,
            Self::ToolsCall => Action::CallTool,
            Self::ResourcesList | Self::ResourceTemplatesList => Action::ListResources,
            Self::ResourcesRead | Self::ResourcesSubscribe | Self::ResourcesUnsubscribe => Action::ReadResource,
            Self::PromptsList => Action::ListPrompts,
            Self::PromptsGet | Self::CompletionComplete => Action::GetPrompt,
            Self::SamplingCreateMessage | Self::ElicitationCreate | Self::RootsList => Action::AnswerServer,
        }
    }
}
