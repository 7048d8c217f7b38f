use proptest::prelude::*;

use super::*;

#[test]
fn amounts_for_one_token_and_for_a_million_are_the_same_price() {
    for (token, million, nano) in [
        ("1.75e-06", "1.75", 1_750_000_000),
        ("0.00000175", "1.750", 1_750_000_000),
        ("7.5E-8", "0.075", 75_000_000),
        ("3e-6", "3", 3_000_000_000),
        ("6e-04", "600.0", 600_000_000_000),
        ("0.0", "0", 0),
        ("-0", "-0.0e5", 0),
        // The noise of somebody else's floats.
        ("2.0000000000000002e-07", "0.20000000000000002", 200_000_000),
        ("2.9999900000000002e-06", "2.99999", 2_999_990_000),
    ] {
        assert_eq!(price(token, Unit::Token), Ok(PerMillion(nano)), "{token}");
        assert_eq!(price(million, Unit::MillionTokens), Ok(PerMillion(nano)), "{million}");
    }
}

#[test]
fn what_is_no_price_says_why() {
    for (text, why) in [
        ("-0.1", NoAmount::Negative),
        ("-1e-300", NoAmount::Negative),
        ("", NoAmount::NotANumber),
        ("\"1\"", NoAmount::NotANumber),
        ("NaN", NoAmount::NotANumber),
        ("1e", NoAmount::NotANumber),
        ("1e+-2", NoAmount::NotANumber),
        (".5", NoAmount::NotANumber),
        ("5.", NoAmount::NotANumber),
        ("1.2.3", NoAmount::NotANumber),
        ("{}", NoAmount::NotANumber),
        ("1e11", NoAmount::TooLarge),
        ("1e999999999999999999999", NoAmount::TooLarge),
        ("99999999999999999999999999999999999999999999999999", NoAmount::TooLarge),
        ("1e-10", NoAmount::TooSmall),
        ("1e-99999999999", NoAmount::TooSmall),
    ] {
        assert_eq!(price(text, Unit::MillionTokens), Err(why), "{text}");
    }
}

proptest! {
    /// Whole nano-dollars for a million tokens, written in any of the ways that JSON allows, come back as they were.
    #[test]
    fn any_way_to_write_an_amount_is_exact(nano in 1_u64..=10_000_000_000_000_000, shift in 0_usize..20, zeros in 0_usize..4) {
        let digits = nano.to_string();
        // digits × 10^-15 dollars a token, with the point somewhere else and the exponent to match.
        let padded = format!("{}{digits}", "0".repeat(shift.saturating_sub(digits.len()) + 1));
        let (whole, fraction) = padded.split_at(padded.len() - shift.min(padded.len() - 1));
        let point = fraction.len();
        let exponent = i64::try_from(point).unwrap() - 15;
        let text = if fraction.is_empty() { format!("{whole}e{exponent}") } else { format!("{whole}.{fraction}{}e{exponent}", "0".repeat(zeros)) };
        prop_assert_eq!(price(&text, Unit::Token), Ok(PerMillion(nano)), "{}", text);
    }

    #[test]
    fn no_text_does_harm(text in "[-+0-9.eE]{0,60}|\\PC{0,30}", shift in -40_i32..40) {
        let _ = scaled(&text, shift);
    }
}
