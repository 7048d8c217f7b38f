//! Values with a unit.

use super::*;

#[test]
fn durations_and_sizes_have_one_canonical_form() {
    for (text, canonical) in [("60s", "1m"), ("1500ms", "1500ms"), ("24h", "1d"), ("90 s", "90s"), ("0s", "0ms")] {
        assert_eq!(Time::form(text).unwrap().to_string(), canonical, "{text}");
    }
    for (text, canonical) in [("1024KiB", "1MiB"), ("1000B", "1000B"), ("32 MiB", "32MiB")] {
        assert_eq!(Size::form(text).unwrap().to_string(), canonical, "{text}");
    }
    assert_eq!(TokenPrice::form("0.60 usd/mtok").unwrap().to_string(), "0.6 usd/mtok");
    assert_eq!(Moment::form("2027-01-31T01:00:00+01:00").unwrap().to_string(), "2027-01-31T00:00:00Z");
}

#[test]
fn canonical_forms_are_read_back() {
    for text in ["1m", "250ms", "30d"] {
        assert_eq!(Time::form(text).unwrap().to_string(), text);
    }
    for text in ["600/min", "20/s", "5/hour", "1/day"] {
        assert_eq!(Rate::form(text).unwrap().to_string(), text);
    }
    for text in ["10 usd/month", "0.5 usd/day", "3 usd/total"] {
        assert_eq!(Budget::form(text).unwrap().to_string(), text);
    }
}

#[test]
fn what_has_no_such_form_is_refused() {
    for text in ["", "s", "10", "-1s", "1.5s", "10 sec", "99999999999999999999s", "18446744073709551615d"] {
        assert!(Time::form(text).is_err(), "{text}");
    }
    for text in ["32", "32MB", "MiB", "99999999999GiB"] {
        assert!(Size::form(text).is_err(), "{text}");
    }
}
