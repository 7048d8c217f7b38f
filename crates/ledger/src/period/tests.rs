use super::*;
use crate::harness::at;

fn span(period: Period, wall: &str) -> (String, String) {
    let start = period.start(at(wall));
    (rfc3339(start), period.end(start).map(rfc3339).unwrap_or_default())
}

#[test]
fn periods_are_utc_calendar_periods() {
    let cases = [
        (Period::Day, "2026-11-11T23:59:59.999Z", "2026-11-11T00:00:00Z", "2026-11-12T00:00:00Z"),
        (Period::Day, "2026-11-12T00:00:00Z", "2026-11-12T00:00:00Z", "2026-11-13T00:00:00Z"),
        // ISO weeks begin on Monday, also across a new year.
        (Period::Week, "2026-11-15T23:59:59Z", "2026-11-09T00:00:00Z", "2026-11-16T00:00:00Z"),
        (Period::Week, "2026-11-16T00:00:00Z", "2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z"),
        (Period::Week, "2027-01-01T12:00:00Z", "2026-12-28T00:00:00Z", "2027-01-04T00:00:00Z"),
        (Period::Month, "2026-11-30T23:59:59Z", "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"),
        (Period::Month, "2026-12-31T23:59:59Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        (Period::Month, "2028-02-29T12:00:00Z", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"),
        (Period::Month, "2027-02-28T12:00:00Z", "2027-02-01T00:00:00Z", "2027-03-01T00:00:00Z"),
        (Period::Total, "2026-11-11T12:00:00Z", "1970-01-01T00:00:00Z", ""),
    ];
    for (period, wall, start, end) in cases {
        assert_eq!(span(period, wall), (start.to_owned(), end.to_owned()), "{period} of {wall}");
    }
}

#[test]
fn a_period_ends_where_the_next_begins() {
    for day in 0..1_500_u64 {
        let wall = UnixMillis(at("2026-01-01T12:00:00Z").0 + day * DAY);
        for period in [Period::Day, Period::Week, Period::Month] {
            let start = period.start(wall);
            let end = period.end(start).unwrap();
            assert!(start <= wall && wall < end, "{period} of {}", rfc3339(wall));
            assert_eq!(period.start(end), end);
            assert_eq!(period.start(UnixMillis(end.0 - 1)), start);
        }
    }
}

#[test]
fn times_beyond_the_calendar_do_no_harm() {
    for wall in [UnixMillis(0), UnixMillis(u64::MAX)] {
        for period in Period::ALL {
            let start = period.start(wall);
            assert!(start <= wall);
            let _ = period.end(start);
        }
    }
}
