//! Writing JSON-RPC messages around payloads that are already JSON.
//!
//! Owns the envelope. Never looks into a payload. Called by the MCP surface (errors, results) and the MCP upstream
//! (requests of the gateway's own).

use crate::json::write_text;

const HEAD: &[u8] = b"{\"jsonrpc\":\"2.0\"";

/// A successful answer. `id` and `result` are JSON text.
#[must_use]
pub fn result_response(id: &[u8], result: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(id.len().saturating_add(result.len()).saturating_add(40));
    out.extend_from_slice(HEAD);
    member(&mut out, "id", id);
    member(&mut out, "result", result);
    out.push(b'}');
    out
}

/// A failed answer. `id` and `data` are JSON text; without an id it is null, as for a request that could not be read.
#[must_use]
pub fn error_response(id: Option<&[u8]>, code: i64, message: &str, data: Option<&[u8]>) -> Vec<u8> {
    let mut error = format!("{{\"code\":{code},\"message\":").into_bytes();
    write_text(&mut error, message);
    if let Some(data) = data {
        member(&mut error, "data", data);
    }
    error.push(b'}');
    let mut out = Vec::with_capacity(error.len().saturating_add(64));
    out.extend_from_slice(HEAD);
    member(&mut out, "id", id.unwrap_or(b"null"));
    member(&mut out, "error", &error);
    out.push(b'}');
    out
}

/// A request. `id` and `params` are JSON text.
#[must_use]
pub fn request(id: &[u8], method: &str, params: Option<&[u8]>) -> Vec<u8> {
    call(Some(id), method, params)
}

/// A notification. `params` are JSON text.
#[must_use]
pub fn notification(method: &str, params: Option<&[u8]>) -> Vec<u8> {
    call(None, method, params)
}

fn call(id: Option<&[u8]>, method: &str, params: Option<&[u8]>) -> Vec<u8> {
    let mut name = Vec::with_capacity(method.len().saturating_add(2));
    write_text(&mut name, method);
    let mut out = Vec::with_capacity(name.len().saturating_add(params.map_or(0, <[u8]>::len)).saturating_add(64));
    out.extend_from_slice(HEAD);
    if let Some(id) = id {
        member(&mut out, "id", id);
    }
    member(&mut out, "method", &name);
    if let Some(params) = params {
        member(&mut out, "params", params);
    }
    out.push(b'}');
    out
}

fn member(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    out.extend_from_slice(value);
}
