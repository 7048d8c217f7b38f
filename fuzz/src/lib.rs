//! Fuzz targets: plain functions that take bytes and panic where a promise is broken.
//!
//! They run on stable Rust: the tests here feed them a seeded corpus and mutations of it, and any fuzzer can call them.
//! Nothing in the product depends on this crate.

mod dialects;
mod models;
mod product;
mod sockets;
mod targets;

#[cfg(test)]
mod tests;

pub use dialects::{model_request, model_stream};
pub use models::{responses_answer, responses_call, responses_stream};
pub use product::{configuration, guards, mcp_names, native_call, pins_file, price_list, resume_ids, tokens};
pub use sockets::{form, live_client, live_server, response_create};
pub use targets::{
    event_stream, json_canonical, json_edit, json_scan, jsonrpc_read, mcp_answer, mcp_tool_call, sse_chunks,
};

/// A fuzz target by name.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 25] = [
    ("json_scan", json_scan),
    ("json_edit", json_edit),
    ("json_canonical", json_canonical),
    ("sse_chunks", sse_chunks),
    ("event_stream", event_stream),
    ("jsonrpc_read", jsonrpc_read),
    ("mcp_tool_call", mcp_tool_call),
    ("mcp_answer", mcp_answer),
    ("model_request", model_request),
    ("model_stream", model_stream),
    ("native_call", native_call),
    ("responses_call", responses_call),
    ("responses_answer", responses_answer),
    ("responses_stream", responses_stream),
    ("live_client", live_client),
    ("live_server", live_server),
    ("form", form),
    ("response_create", response_create),
    ("mcp_names", mcp_names),
    ("resume_ids", resume_ids),
    ("pins_file", pins_file),
    ("configuration", configuration),
    ("price_list", price_list),
    ("guards", guards),
    ("tokens", tokens),
];
