//! Exit codes: one table for every command.
//!
//! 0 ok, 1 error, 2 changes pending, 3 unauthenticated, 4 not found, 5 conflict, 6 unavailable, 7 denied by a rule,
//! 8 held for approval, 64 usage. Scripts rely on them: a code never changes its meaning.

/// Something went wrong.
pub(crate) const ERROR: u8 = 1;
/// Nothing was done, and there is something to do.
pub(crate) const PENDING: u8 = 2;
/// No valid credential.
pub(crate) const UNAUTHENTICATED: u8 = 3;
/// There is no such thing.
pub(crate) const NOT_FOUND: u8 = 4;
/// The present state does not allow it.
pub(crate) const CONFLICT: u8 = 5;
/// The gateway, or what is behind it, does not answer now.
pub(crate) const UNAVAILABLE: u8 = 6;
/// A rule said no.
pub(crate) const DENIED: u8 = 7;
/// Somebody has to approve it first.
pub(crate) const HELD: u8 = 8;
/// The command was not written as it has to be.
pub(crate) const USAGE: u8 = 64;

/// The exit code of an error that a caller got, by its code.
pub(crate) fn of_fault(code: &str) -> Option<u8> {
    Some(match code {
        "unauthenticated" => UNAUTHENTICATED,
        "not_found" => NOT_FOUND,
        "conflict" | "idempotency_mismatch" => CONFLICT,
        "timeout"
        | "rate_limited"
        | "upstream_error"
        | "upstream_unavailable"
        | "audit_unavailable"
        | "overloaded"
        | "store_unavailable" => UNAVAILABLE,
        "budget_exhausted" | "policy_denied" | "guardrail_blocked" | "killed" | "forbidden_host" => DENIED,
        "approval_required" => HELD,
        "invalid_request" | "invalid_value" => USAGE,
        _ => return None,
    })
}

/// The exit code of an HTTP status that came without a code.
pub(crate) fn of_status(status: u16) -> u8 {
    match status {
        401 => UNAUTHENTICATED,
        402 | 403 => DENIED,
        404 => NOT_FOUND,
        409 => CONFLICT,
        400 | 422 => USAGE,
        408 | 429 | 502..=504 => UNAVAILABLE,
        202 => HELD,
        _ => ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_that_a_caller_can_get_has_an_exit_code() {
        // The codes of docs/guide/errors.md.
        let guide = include_str!("../../../docs/guide/errors.md");
        let codes: Vec<&str> = guide
            .lines()
            .filter_map(|line| line.strip_prefix("| `"))
            .filter_map(|line| line.split('`').next())
            .collect();
        assert!(codes.len() > 12, "{codes:?}");
        for code in codes {
            assert!(of_fault(code).is_some() || matches!(code, "too_large" | "internal"), "{code}");
        }
        assert_eq!(of_fault("policy_denied"), Some(7));
        assert_eq!(of_fault("approval_required"), Some(8));
        assert_eq!(of_status(500), 1);
    }
}
