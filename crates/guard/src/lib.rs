//! Looks into text for what must not pass: secrets and personal data, whole or inside a stream.
//!
//! Owns the detectors, the chain that runs them over one shared pass, and the window that holds a stream's tail back.
//! Never does I/O, never waits, knows no protocol: it sees [`tidegate_core::segment::Origin`] and text, and says where
//! something was found. The proxy's guard stages call it; the configuration checks names against [`detector_names`].
//!
//! What makes the stream right: whether something starts at a byte depends on at most [`guard::LOOKBACK`] bytes before
//! it and on what follows, and a detector that would have to look past the end of an unfinished text says so. Text is
//! released only up to the first byte at which something may still start.

pub mod chain;
mod detectors;
pub mod finding;
mod fold;
pub mod guard;
pub mod hold;
mod prefilter;
pub mod spec;
pub mod tokens;
pub mod watch;

pub use chain::{Chain, CompileError};
pub use finding::{Finding, redact, verdicts};
pub use hold::{Hold, Release, Step};
pub use spec::{DetectorName, GuardrailSpec, OnError, Phase, detector_names};
pub use tokens::Tokens;
pub use watch::{Failure, Watch};
