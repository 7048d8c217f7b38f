//! Which failures are repeated, how long the pauses are, and that retries never multiply load.

use http::HeaderValue;
use tidegate_core::clock;

use super::*;

fn asked(name: &'static str, value: &str) -> Option<Duration> {
    let mut headers = HeaderMap::new();
    headers.insert(name, HeaderValue::from_str(value).unwrap());
    retry_after(&headers, UnixMillis(1_445_412_480_000 - 7_000))
}

#[test]
fn retry_after_is_clamped_to_60s() {
    for (value, expected) in [
        ("7", Some(7)),
        ("0", Some(0)),
        ("1.9", Some(1)),
        ("60", Some(60)),
        ("61", Some(60)),
        ("99999999999999999999999999", Some(60)),
        ("-1", None),
        ("soon", None),
        ("", None),
        ("1e9", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", Some(7)),
        ("Wed, 21 Oct 2015 07:27:00 GMT", Some(0)),
        ("Wed, 21 Oct 2099 07:28:00 GMT", Some(60)),
    ] {
        assert_eq!(asked("retry-after", value), expected.map(Duration::from_secs), "`{value}`");
    }
    assert_eq!(asked("retry-after-ms", "1500"), Some(Duration::from_millis(1500)));
    assert_eq!(retry_after(&HeaderMap::new(), UnixMillis(0)), None);
}

#[test]
fn client_errors_are_never_repeated_and_only_the_providers_own_pass_on() {
    let policy = RetryPolicy { on: (400..=599).collect(), ..RetryPolicy::default() };
    for status in [400, 402, 405, 409, 413, 415, 422, 451] {
        assert_eq!(policy.after_status(status, false, 0), AfterStatus::Answer, "{status}");
    }
    for status in [401, 403, 404, 408] {
        assert_eq!(policy.after_status(status, false, 0), AfterStatus::NextTarget, "{status}");
    }
}

#[test]
fn a_429_with_a_pause_passes_on_at_once() {
    let policy = RetryPolicy::default();
    assert_eq!(policy.after_status(429, true, 0), AfterStatus::NextTarget);
    assert_eq!(policy.after_status(429, false, 0), AfterStatus::Retry);
}

#[test]
fn an_overloaded_target_is_repeated_twice_at_most() {
    let policy = RetryPolicy { attempts: 9, ..RetryPolicy::default() };
    for status in [503, 529] {
        assert_eq!(policy.after_status(status, false, 1), AfterStatus::Retry);
        assert_eq!(policy.after_status(status, false, 2), AfterStatus::NextTarget);
        assert_eq!(policy.after_status(status, true, 2), AfterStatus::Retry);
    }
    assert_eq!(policy.after_status(501, false, 0), AfterStatus::NextTarget);
    assert_eq!(policy.after_status(302, false, 0), AfterStatus::NextTarget);
}

#[test]
fn pauses_double_and_stay_within_their_bounds() {
    let policy = RetryPolicy::default();
    for (repeated, whole) in [(0, 250), (1, 500), (2, 1000), (30, 8000)] {
        for chance in [0, 1, 12_345_678_901, u64::MAX] {
            let pause = policy.pause(repeated, chance);
            assert!(pause >= Duration::from_millis(whole / 2) && pause <= Duration::from_millis(whole), "{pause:?}");
        }
    }
}

#[test]
fn retries_stay_within_a_tenth_of_the_requests() {
    let start = clock::now();
    let budget = RetryBudget::new(start, RetryBudget::FLOOR);
    let (mut requests, mut retries) = (0_u32, 0_u32);
    for step in 0..3000_u64 {
        let now = start + Duration::from_millis(step * 10);
        budget.note_first(now);
        requests += 1;
        if budget.take_retry(now) {
            retries += 1;
        }
    }
    assert!(retries * 10 <= requests, "{retries} retries on {requests} requests");
    assert!(retries * 20 >= requests, "{retries} retries on {requests} requests is too few");
}

#[test]
fn a_quiet_target_is_retried_by_the_floor_and_gets_it_back() {
    let start = clock::now();
    let budget = RetryBudget::new(start, 2);
    assert!(budget.take_retry(start) && budget.take_retry(start) && !budget.take_retry(start));
    assert!(budget.take_retry(start + Duration::from_secs(10)));
}
