//! The stages of the pipeline, a file each. What one returns is the proof that the next one needs.

pub(crate) mod admit;
pub(crate) mod authorize;
pub(crate) mod cache;
pub(crate) mod decode;
pub(crate) mod dispatch;
pub(crate) mod guard_request;
pub(crate) mod guard_response;
pub(crate) mod idempotency;
pub(crate) mod identify;
pub(crate) mod intent;
pub(crate) mod reserve;
pub(crate) mod route;
pub(crate) mod similar;
