//! Moments and lengths of time as callers of the API write and read them.
//!
//! Owns the forms: RFC 3339, a date, milliseconds since 1970, or how long from now. Never reads a clock.

use std::time::Duration;

use tidegate_core::clock::UnixMillis;
use tidegate_ledger::period::rfc3339;

/// The last moment that every engine can hold and RFC 3339 can write in any zone: in the last days of the year 9999.
pub(crate) const LAST: UnixMillis = UnixMillis(253_402_207_199_999);

/// What a moment may look like, in words.
pub(crate) const FORMS: &str = "write `2026-12-01T00:00:00Z`, `2026-12-01` (UTC) or a length of time such as `7d`";

/// A moment as the API prints it.
pub(crate) fn text(at: UnixMillis) -> String {
    rfc3339(at)
}

/// A length of time: a whole number and `s`, `m`, `h`, `d` or `w`.
pub(crate) fn length(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let seconds: u64 = match unit {
        "s" => 1,
        "m" | "min" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(seconds).map(Duration::from_secs)
}

/// A moment that is written out: RFC 3339, a date, or milliseconds since 1970 (13 digits).
pub(crate) fn written(text: &str) -> Option<UnixMillis> {
    if text.len() > 40 {
        return None;
    }
    if text.len() == 13 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().map(UnixMillis).filter(|at| *at <= LAST);
    }
    let whole = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    let moment: jiff::Timestamp = whole.parse().ok()?;
    u64::try_from(moment.as_millisecond()).ok().map(UnixMillis).filter(|at| *at <= LAST)
}

/// A moment that is written out, or how long before `now`.
pub(crate) fn past(text: &str, now: UnixMillis) -> Option<UnixMillis> {
    let ago = |length: Duration| UnixMillis(now.0.saturating_sub(millis(length)));
    length(text).map(ago).or_else(|| written(text))
}

/// A moment that is written out, or how long after `now`; at most [`LAST`].
pub(crate) fn future(text: &str, now: UnixMillis) -> Option<UnixMillis> {
    length(text).map(|length| now.plus(length).min(LAST)).or_else(|| written(text))
}

fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

    #[test]
    fn every_form_of_a_moment_is_read() {
        assert_eq!(past("1970-01-02", NOW), Some(UnixMillis(86_400_000)));
        assert_eq!(past("1970-01-01T00:00:01.5Z", NOW), Some(UnixMillis(1_500)));
        assert_eq!(past("1700000000000", NOW), Some(UnixMillis(1_700_000_000_000)));
        assert_eq!(past("7d", NOW), Some(UnixMillis(NOW.0 - 7 * 86_400_000)));
        assert_eq!(future("30d", NOW), Some(UnixMillis(NOW.0 + 30 * 86_400_000)));
        assert_eq!(past("99999999w", NOW), Some(UnixMillis(0)));
        assert_eq!(future("99999999w", NOW), Some(LAST));
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in ["", "d", "7", "-7d", "7 d", "7y", "tomorrow", "2026-13-01", "1969-12-31", "18446744073709551615w"]
        {
            assert_eq!(past(text, NOW), None, "{text}");
            assert_eq!(future(text, NOW), None, "{text}");
        }
        assert_eq!(past(&"9".repeat(1_000), NOW), None);
    }

    #[test]
    fn a_moment_that_was_printed_is_read_back() {
        for at in [0, 1, 1_500, 1_800_000_000_123, LAST.0] {
            assert_eq!(written(&text(UnixMillis(at))), Some(UnixMillis(at)));
        }
    }
}
