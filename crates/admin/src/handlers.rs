//! The handlers, by what they are about.
//!
//! Each checks what it was sent, asks the part of the gateway that owns the matter, and shapes the answer. None decides
//! who may call it: the door did.

pub(crate) mod calls;
pub(crate) mod edit_key;
pub(crate) mod health;
pub(crate) mod keys;
pub(crate) mod money;
pub(crate) mod new_key;
pub(crate) mod pins;
pub(crate) mod policies;
pub(crate) mod records;
pub(crate) mod sim;
pub(crate) mod status;
pub(crate) mod watch;
