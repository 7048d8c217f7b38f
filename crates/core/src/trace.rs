//! Where a call stands in a distributed trace: W3C Trace Context (`traceparent`, version 00).
//!
//! Owns ids and their form. Never makes them up: whoever begins a trace brings the randomness. The proxy reads and
//! begins traces, `upstream` passes them on and exports them.

use std::{cell::Cell, fmt};

use crate::ids::CallId;

/// A trace's id; never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(u128);

/// A span's id; never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId(u64);

impl TraceId {
    /// The id with these bits; zero, which no id may be, becomes one.
    #[must_use]
    pub fn new(bits: u128) -> Self {
        Self(bits.max(1))
    }

    /// The trace that a call begins where its caller named none: the call's own id, so that either is found by the
    /// other.
    #[must_use]
    pub fn of_call(call: CallId) -> Self {
        Self::new(u128::from_be_bytes(*call.as_bytes()))
    }

    /// Sixteen bytes, as protocols carry them.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// A number from 0 to below 1 that is the same for the same trace and spread evenly over traces, also over those
    /// that begin within one millisecond, whose ids resemble each other.
    #[must_use]
    pub fn draw(self) -> f64 {
        let low = u64::try_from(self.0 & u128::from(u64::MAX)).unwrap_or(0);
        let high = u64::try_from(self.0 >> 64).unwrap_or(0);
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit a float exactly")]
        let draw = (spread(low ^ spread(high)) >> 11) as f64 / 9_007_199_254_740_992.0;
        draw
    }
}

/// The finalizer of SplitMix64: a bijection that spreads neighbouring numbers over all bits.
fn spread(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

impl SpanId {
    /// The id with these bits; zero, which no id may be, becomes one.
    #[must_use]
    pub fn new(bits: u64) -> Self {
        Self(bits.max(1))
    }

    /// The span of a call, in whatever trace.
    #[must_use]
    pub fn of_call(call: CallId) -> Self {
        let bits = u128::from_be_bytes(*call.as_bytes());
        Self::new(u64::try_from(bits & u128::from(u64::MAX)).unwrap_or(1)).child(0)
    }

    /// Eight bytes, as protocols carry them.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// The id of this span's child number `number`: the same for the same number, so that who sends it and who exports
    /// it need not tell each other.
    #[must_use]
    pub fn child(self, number: u32) -> Self {
        Self::new(spread(self.0.wrapping_add(u64::from(number).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15))))
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A place in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace: TraceId,
    /// The span.
    pub span: SpanId,
    /// Whether whoever came before records the trace.
    pub sampled: bool,
}

impl TraceContext {
    /// Reads a `traceparent` header. `None` where it is not of the form, or names an id of zeros: it then counts as
    /// absent. Versions after 00 are read as far as 00 goes, as the specification wants.
    #[must_use]
    pub fn parse(header: &str) -> Option<Self> {
        let mut parts = header.trim_matches([' ', '\t']).split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let lower = |text: &str, length: usize| {
            text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        if !(lower(version, 2) && lower(trace, 32) && lower(span, 16) && lower(flags, 2)) || version == "ff" {
            return None;
        }
        if version == "00" && parts.next().is_some() {
            return None;
        }
        let trace = u128::from_str_radix(trace, 16).ok().filter(|id| *id != 0)?;
        let span = u64::from_str_radix(span, 16).ok().filter(|id| *id != 0)?;
        let sampled = u8::from_str_radix(flags, 16).ok()? & 1 == 1;
        Some(Self { trace: TraceId(trace), span: SpanId(span), sampled })
    }

    /// The `traceparent` header for whoever is called next.
    #[must_use]
    pub fn header(&self) -> String {
        format!("00-{}-{}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }

    /// The place of this span's child number `number`.
    #[must_use]
    pub fn child(&self, number: u32) -> Self {
        Self { span: self.span.child(number), ..*self }
    }
}

thread_local! {
    static CURRENT: Cell<Option<(CallId, TraceId)>> = const { Cell::new(None) };
}

/// The call that this thread works on just now, for the log; `None` outside of [`within`].
#[must_use]
pub fn current() -> Option<(CallId, TraceId)> {
    CURRENT.get()
}

/// Runs `work` as part of a call: whatever it logs can be told to be of this call.
pub fn within<T>(call: CallId, trace: TraceId, work: impl FnOnce() -> T) -> T {
    /// Puts back what was there, also where `work` panics.
    struct Before(Option<(CallId, TraceId)>);
    impl Drop for Before {
        fn drop(&mut self) {
            CURRENT.set(self.0);
        }
    }
    let _before = Before(CURRENT.replace(Some((call, trace))));
    work()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read_and_written_alike() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let context = TraceContext::parse(text).unwrap();
        assert!(context.sampled);
        assert_eq!(context.header(), text);
        let later = "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03-more";
        assert_eq!(TraceContext::parse(later), Some(context));
    }

    #[test]
    fn what_is_no_traceparent_counts_as_absent() {
        for text in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceContext::parse(text), None, "{text}");
        }
    }

    #[test]
    fn children_have_ids_of_their_own_that_repeat() {
        let root = SpanId::new(0x00f0_67aa_0ba9_02b7);
        let mut ids: Vec<_> = (0..1_000).map(|number| root.child(number).to_bytes()).collect();
        assert_eq!(root.child(7), root.child(7));
        ids.push(root.to_bytes());
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 1_001);
        assert_ne!(SpanId::new(0).to_bytes(), [0; 8]);
    }

    #[test]
    fn the_current_call_is_known_within_it_alone() {
        let (call, trace) = (CallId::new(), TraceId::new(5));
        assert_eq!(current(), None);
        within(call, trace, || {
            assert_eq!(current(), Some((call, trace)));
            let other = CallId::new();
            within(other, trace, || assert_eq!(current(), Some((other, trace))));
            assert_eq!(current(), Some((call, trace)));
        });
        assert_eq!(current(), None);
    }

    #[test]
    fn a_trace_of_a_call_shows_the_calls_id() {
        let call = CallId::new();
        assert_eq!(format!("call_{}", TraceId::of_call(call)), call.to_string());
        assert_ne!(SpanId::of_call(call), SpanId::of_call(CallId::new()));
    }

    #[test]
    fn a_draw_lies_between_zero_and_one() {
        for bits in [1, u128::MAX, 1 << 100, 7 << 64] {
            assert!((0.0..1.0).contains(&TraceId::new(bits).draw()), "{bits}");
        }
        let low = (0..10_000).filter(|number| TraceId::new((99 << 80) + number).draw() < 0.25).count();
        assert!((2_200..2_800).contains(&low), "{low}");
    }
}
