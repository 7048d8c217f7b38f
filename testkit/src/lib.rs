//! What tests share: an upstream that does exactly what its script says, down to the byte, and a telemetry collector.
//!
//! A development dependency only; nothing here is part of the product.

pub mod collector;
pub mod scripted;
