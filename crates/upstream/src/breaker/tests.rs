//! When a target is left alone, and when it is tried again.

use tidegate_core::clock;

use super::*;

fn policy() -> BreakerPolicy {
    BreakerPolicy { consecutive: 3, cool_down: Duration::from_secs(5), ..BreakerPolicy::default() }
}

#[test]
fn failures_in_a_row_open_it_and_one_probe_decides() {
    let start = clock::now();
    let breaker = Breaker::new(policy(), start);
    for _ in 0..3 {
        assert_eq!(breaker.admit(start), Admission::Closed);
        breaker.failed(start);
    }
    assert_eq!(breaker.admit(start), Admission::Open(Duration::from_secs(5)));
    let later = start + Duration::from_secs(5);
    assert_eq!(breaker.admit(later), Admission::Probe);
    assert!(!breaker.admit(later).admits(), "a second probe was let through");
    breaker.succeeded(later);
    assert_eq!(breaker.admit(later), Admission::Closed);
}

#[test]
fn a_failed_probe_doubles_the_pause_up_to_the_longest() {
    let mut now = clock::now();
    let breaker = Breaker::new(policy(), now);
    for _ in 0..3 {
        breaker.failed(now);
    }
    for expected in [10, 20, 40, 60, 60] {
        now += Duration::from_secs(60);
        assert_eq!(breaker.admit(now), Admission::Probe);
        breaker.failed(now);
        assert_eq!(breaker.admit(now), Admission::Open(Duration::from_secs(expected)));
    }
}

#[test]
fn a_success_between_failures_keeps_it_closed() {
    let now = clock::now();
    let breaker = Breaker::new(policy(), now);
    for _ in 0..13 {
        breaker.failed(now);
        breaker.failed(now);
        breaker.succeeded(now);
    }
    assert!(breaker.admit(now).admits(), "thirty-nine attempts are too few for a share to count");
    breaker.failed(now);
    assert!(!breaker.admit(now).admits(), "two thirds of forty attempts failed");
}

#[test]
fn an_abandoned_probe_is_given_to_the_next() {
    let start = clock::now();
    let breaker = Breaker::new(policy(), start);
    for _ in 0..3 {
        breaker.failed(start);
    }
    let later = start + Duration::from_secs(6);
    assert_eq!(breaker.admit(later), Admission::Probe);
    breaker.abandoned(later);
    assert_eq!(breaker.admit(later), Admission::Probe);
    assert_eq!(breaker.admit(later + PROBE_LOST), Admission::Probe, "a lost probe must not keep it open for ever");
}

#[test]
fn cooling_is_kept_apart_from_failures_and_never_shortened() {
    let now = clock::now();
    let breaker = Breaker::new(policy(), now);
    breaker.cool(now, Duration::from_secs(30));
    breaker.cool(now, Duration::from_secs(1));
    assert_eq!(breaker.admit(now), Admission::Cooling(Duration::from_secs(30)));
    assert_eq!(breaker.admit(now + Duration::from_secs(30)), Admission::Closed);
}
