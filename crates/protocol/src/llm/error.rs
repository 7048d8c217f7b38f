//! What goes wrong while model calls are read, prepared and answered, and how an error is shown to the caller.
//!
//! Owns the error types of the model-call codecs and the neutral view from which each dialect writes its own error
//! shape. Never holds content of a body.

use std::borrow::Cow;

/// A request body that the gateway cannot take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} (at `{pointer}`)")]
pub struct ReadError {
    /// The place, as a JSON pointer (RFC 6901); empty for the whole body.
    pub pointer: String,
    /// What is wrong there and what to do.
    pub message: String,
}

impl ReadError {
    pub(crate) fn new(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), message: message.into() }
    }
}

/// A call that cannot be written for this target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrepareError {
    /// The target's dialect has no such operation.
    #[error("{0}")]
    Unsupported(&'static str),
    /// The body breaks a rule of the target's dialect that no translation can mend.
    #[error("{message} (at `{pointer}`)")]
    Invalid {
        /// The place in the caller's body, as a JSON pointer.
        pointer: String,
        /// What is wrong there and what to do.
        message: String,
    },
}

impl From<ReadError> for PrepareError {
    fn from(error: ReadError) -> Self {
        Self::Invalid { pointer: error.pointer, message: error.message }
    }
}

/// An upstream's answer that is no answer of its dialect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the upstream's answer is malformed: {0}")]
pub struct AnswerError(pub(crate) Cow<'static, str>);

/// A stream that cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// It ended before the model had stopped.
    #[error("the upstream's stream ended before the answer was complete")]
    Truncated,
    /// A frame is no frame of its dialect.
    #[error("the upstream's stream is malformed: {0}")]
    Malformed(Cow<'static, str>),
    /// More had to be held back than the bound of 16 MiB.
    #[error("the upstream's stream needs more memory than a translation may use (16 MiB)")]
    TooLarge,
    /// No such piece in the frame that was to be rewritten.
    #[error("the frame has no piece {0}")]
    NoSuchPiece(usize),
}

/// The sort of an error, from which each dialect takes its own type name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request is wrong.
    InvalidRequest,
    /// No valid credential.
    Authentication,
    /// No money left.
    Billing,
    /// Not allowed.
    Permission,
    /// No such thing.
    NotFound,
    /// The body is too large.
    TooLarge,
    /// Too many requests or tokens.
    RateLimit,
    /// Too slow.
    Timeout,
    /// The server has too much to do.
    Overloaded,
    /// The server failed.
    Api,
}

impl ErrorKind {
    /// The sort that belongs to an HTTP status.
    #[must_use]
    pub fn of_status(status: u16) -> Self {
        match status {
            401 => Self::Authentication,
            402 => Self::Billing,
            403 => Self::Permission,
            404 => Self::NotFound,
            408 | 504 => Self::Timeout,
            413 | 431 => Self::TooLarge,
            429 => Self::RateLimit,
            503 | 529 => Self::Overloaded,
            400..=499 => Self::InvalidRequest,
            _ => Self::Api,
        }
    }

    /// The HTTP status that an error of this sort has when it comes without one, as inside a stream.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::InvalidRequest => 400,
            Self::Authentication => 401,
            Self::Billing => 402,
            Self::Permission => 403,
            Self::NotFound => 404,
            Self::TooLarge => 413,
            Self::RateLimit => 429,
            Self::Api => 500,
            Self::Overloaded => 529,
            Self::Timeout => 504,
        }
    }
}

/// An error as the caller is to see it, before any dialect.
#[derive(Debug, Clone, Copy)]
pub struct ErrorView<'text> {
    /// The HTTP status that goes with it.
    pub status: u16,
    /// The sort.
    pub kind: ErrorKind,
    /// One sentence: what is wrong and what to do. No secret inside.
    pub message: &'text str,
    /// The gateway's code, as in `x-tidegate-error`.
    pub code: &'text str,
    /// The place in the request, as a JSON pointer.
    pub param: Option<&'text str>,
    /// The call's id, printed.
    pub call_id: &'text str,
}

/// An error that an upstream answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamError {
    /// The sort.
    pub kind: ErrorKind,
    /// The vendor's own name of the type, at most 128 bytes.
    pub type_name: Option<String>,
    /// The vendor's message, at most 4 KiB. Not yet freed of secrets.
    pub message: String,
    /// The vendor's code, at most 128 bytes.
    pub code: Option<String>,
}

/// At most `most` bytes of `text`, cut between characters.
pub(crate) fn clip(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.get(..end).unwrap_or_default()
}

/// The longest vendor message that is kept.
pub(crate) const MOST_MESSAGE: usize = 4096;
/// The longest vendor type name or code that is kept.
pub(crate) const MOST_NAME: usize = 128;
