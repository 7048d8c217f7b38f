//! What tests share: an upstream that does exactly what its script says, down to the byte.
//!
//! A development dependency only; nothing here is part of the product.

pub mod scripted;
