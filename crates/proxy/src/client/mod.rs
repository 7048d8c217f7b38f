//! What a client may cost: how slowly it may send and read, and how many of them there may be.
//!
//! Owns the measure of slowness and the two places that apply it to answers: the socket, and a stream of HTTP/2. Never
//! looks at what is sent. The listener wraps connections in it, `decode` reads bodies by it.

mod pace;
mod paced;
mod watched;

pub(crate) use self::{pace::Pace, paced::Paced, watched::watched};
