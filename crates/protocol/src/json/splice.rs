//! Splicing: some spans of a body get other bytes, everything else stays as it was.
//!
//! Owns the only way in which a body is changed. Never re-encodes a body. Called by bodies with edits and by the
//! filters of lists.

use std::ops::Range;

/// One span that gets other bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// Which bytes go. Empty to insert.
    pub span: Range<usize>,
    /// What comes in their place. Empty to remove.
    pub replacement: Vec<u8>,
}

/// Edits that cannot be applied together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpliceError {
    /// A span that does not lie in the body.
    #[error("edit of bytes {start}..{end} does not lie in a body of {len} bytes")]
    OutOfRange {
        /// The first byte of the span.
        start: usize,
        /// The byte after the span.
        end: usize,
        /// The length of the body.
        len: usize,
    },
    /// Two edits want the same bytes.
    #[error("two edits overlap at byte {at}")]
    Overlap {
        /// Where the second one starts.
        at: usize,
    },
}

/// The body with the edits applied. They may come in any order; two at the same empty span are applied in theirs.
///
/// # Errors
/// When edits overlap or reach outside the body.
pub fn splice(body: &[u8], mut edits: Vec<Edit>) -> Result<Vec<u8>, SpliceError> {
    edits.sort_by_key(|edit| (edit.span.start, edit.span.end));
    let added: usize = edits.iter().map(|edit| edit.replacement.len()).sum();
    let mut out = Vec::with_capacity(body.len().saturating_add(added));
    let mut at = 0;
    for edit in &edits {
        let Range { start, end } = edit.span;
        if start > end || end > body.len() {
            return Err(SpliceError::OutOfRange { start, end, len: body.len() });
        }
        let kept = body.get(at..start).ok_or(SpliceError::Overlap { at: start })?;
        out.extend_from_slice(kept);
        out.extend_from_slice(&edit.replacement);
        at = end;
    }
    out.extend_from_slice(body.get(at..).unwrap_or_default());
    Ok(out)
}
