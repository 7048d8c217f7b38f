//! The revisions of the protocol that are spoken, and how one is agreed on.
//!
//! Owns the list. Never guesses a feature from a peer's name. Called by the MCP surface and upstream.

use std::fmt;

/// A revision of the protocol, older ones first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Revision {
    /// 2024-11-05.
    V2024_11_05,
    /// 2025-03-26: Streamable HTTP, batches.
    V2025_03_26,
    /// 2025-06-18: the version header, structured output, elicitation; no batches.
    V2025_06_18,
    /// 2025-11-25.
    V2025_11_25,
}

impl Revision {
    /// Every revision, older ones first.
    pub const ALL: [Self; 4] = [Self::V2024_11_05, Self::V2025_03_26, Self::V2025_06_18, Self::V2025_11_25];
    /// The newest revision.
    pub const LATEST: Self = Self::V2025_11_25;
    /// What a request without the `MCP-Protocol-Version` header is taken for (Streamable HTTP, 2025-06-18).
    pub const WITHOUT_HEADER: Self = Self::V2025_03_26;

    /// The revision as it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V2024_11_05 => "2024-11-05",
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
        }
    }

    /// The revision of that name, where it is spoken.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|revision| revision.as_str() == text)
    }

    /// What to answer to a client that asks for `requested` in `initialize`: the same where it is spoken, else the
    /// newest one, and the client decides whether it stays.
    #[must_use]
    pub fn negotiate(requested: &str) -> Self {
        Self::parse(requested).unwrap_or(Self::LATEST)
    }

    /// Whether a body may hold several messages.
    #[must_use]
    pub fn allows_batches(self) -> bool {
        self == Self::V2025_03_26
    }

    /// Whether requests after `initialize` carry the `MCP-Protocol-Version` header.
    #[must_use]
    pub fn has_version_header(self) -> bool {
        self >= Self::V2025_06_18
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
