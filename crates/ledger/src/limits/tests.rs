use proptest::prelude::*;
use tidegate_core::clock::now;

use super::*;

fn rate(text: &str) -> Rate {
    text.parse().unwrap()
}

#[test]
fn rates_are_read_and_printed() {
    for (text, count, seconds, printed) in [
        ("600/min", 600, 60, "600/min"),
        ("5/s", 5, 1, "5/s"),
        (" 200000 / hour ", 200_000, 3_600, "200000/hour"),
        ("1/day", 1, 86_400, "1/day"),
    ] {
        let rate = rate(text);
        assert_eq!(rate, Rate { count, per: Duration::from_secs(seconds) });
        assert_eq!(rate.to_string(), printed);
    }
}

#[test]
fn what_is_no_rate_is_refused_with_its_reason() {
    for (text, problem) in [
        ("600", "the unit of time is missing"),
        ("-1/min", "the count is no whole number"),
        ("/min", "the count is no whole number"),
        ("1.5/min", "the count is no whole number"),
        ("99999999999999999999/min", "the count is too large"),
        ("0/min", "a count of zero would refuse everything"),
        ("600/fortnight", "the unit of time is unknown"),
    ] {
        assert_eq!(text.parse::<Rate>().unwrap_err().problem, problem, "{text}");
    }
}

#[test]
fn a_burst_of_the_count_is_admitted_and_refills_evenly() {
    let start = now();
    let mut bucket = Bucket::new(rate("60/min"));
    for _ in 0..60 {
        assert_eq!(bucket.check(1, start), Ok(()));
        bucket.take(1);
    }
    assert_eq!(bucket.check(1, start), Err(Full::Until(Duration::from_secs(1))));
    assert_eq!(bucket.check(30, start), Err(Full::Until(Duration::from_secs(30))));
    assert_eq!(bucket.check(1, start + Duration::from_secs(1)), Ok(()));
    assert_eq!(bucket.check(61, start + Duration::from_secs(9_999)), Err(Full::Never));
}

#[test]
fn debt_is_waited_for_and_gifts_never_exceed_a_full_bucket() {
    let start = now();
    let mut bucket = Bucket::new(rate("100/s"));
    bucket.take(300);
    assert_eq!(bucket.check(100, start), Err(Full::Until(Duration::from_secs(3))));
    bucket.give_back(u64::MAX);
    assert_eq!(bucket.check(100, start), Ok(()));
    assert_eq!(bucket.check(101, start), Err(Full::Never));
}

#[test]
fn an_older_now_moves_nothing() {
    let start = now() + Duration::from_secs(10);
    let mut bucket = Bucket::new(rate("10/s"));
    assert_eq!(bucket.check(10, start), Ok(()));
    bucket.take(10);
    assert_eq!(bucket.check(1, start - Duration::from_secs(5)), Err(Full::Until(Duration::from_millis(100))));
    // The time between was not counted twice.
    assert_eq!(bucket.check(2, start + Duration::from_millis(100)), Err(Full::Until(Duration::from_millis(100))));
}

#[test]
fn another_rate_keeps_what_was_used() {
    let start = now();
    let mut bucket = Bucket::new(rate("10/s"));
    assert_eq!(bucket.check(8, start), Ok(()));
    bucket.take(8);
    bucket.change(rate("20/min"));
    assert_eq!(bucket.check(12, start), Ok(()));
    assert_eq!(bucket.check(13, start), Err(Full::Until(Duration::from_secs(3))));
}

proptest! {
    #[test]
    fn retry_after_is_exact_and_no_span_admits_more_than_twice_the_count(
        count in 1_u64..1_000,
        seconds in 1_u64..4_000,
        asks in prop::collection::vec((0_u64..1_200, 0_u64..5_000_000), 1..60),
    ) {
        let per = Duration::from_secs(seconds);
        let mut bucket = Bucket::new(Rate { count, per });
        let mut clock = now();
        let mut admitted: Vec<(Instant, u64)> = Vec::new();
        for (tokens, micros) in asks {
            clock += Duration::from_micros(micros);
            match bucket.check(tokens, clock) {
                Ok(()) => {
                    bucket.take(tokens);
                    admitted.push((clock, tokens));
                }
                Err(Full::Never) => prop_assert!(tokens > count),
                Err(Full::Until(wait)) => {
                    prop_assert!(wait > Duration::ZERO);
                    prop_assert_eq!(bucket.clone().check(tokens, clock + wait), Ok(()));
                    prop_assert!(bucket.clone().check(tokens, clock + wait - Duration::from_nanos(1)).is_err());
                }
            }
            let recent: u64 =
                admitted.iter().filter(|(at, _)| clock.duration_since(*at) < per).map(|(_, tokens)| tokens).sum();
            prop_assert!(recent <= 2 * count);
        }
    }
}
