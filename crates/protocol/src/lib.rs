//! Codecs without I/O: JSON, server-sent events, AWS event streams, JSON-RPC, MCP and the model dialects.
//!
//! Owns every parse of a byte that comes from outside, and every rewrite of one. Never opens a socket, never starts a
//! task, never reads a clock. The proxy decodes with it, guards and policies see what it extracts, upstreams encode
//! with it.

pub mod body;
pub mod call;
pub mod eventstream;
pub mod json;
pub mod jsonrpc;
pub mod llm;
pub mod mcp;
pub mod native;
mod places;
pub mod realtime;
pub mod sse;
