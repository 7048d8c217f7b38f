//! Published examples are right, and every one of them with a slip is wrong.

use super::*;

#[test]
fn every_changed_digit_is_noticed_where_the_check_promises_it() {
    for (check, text) in [
        (Check::DeSteuerId, "36574261809"),
        (Check::FrNir, "269054958815780"),
        (Check::NlBsn, "111222333"),
        (Check::PlPesel, "44051401359"),
        (Check::SePersonnummer, "8112189876"),
        (Check::BrCpf, "52998224725"),
        (Check::InAadhaar, "726018159082"),
        (Check::CnResidentId, "11010519491231002X"),
    ] {
        assert_eq!(check.weigh(text.as_bytes(), true), Weight::Sure, "{text}");
        for at in 0..text.len() {
            let mut slip = text.as_bytes().to_vec();
            if slip[at].is_ascii_digit() {
                for other in b'0'..=b'9' {
                    slip[at] = other;
                    let right = check.weigh(&slip, true) != Weight::Wrong;
                    assert_eq!(right, other == text.as_bytes()[at], "{text} with {other} at {at}");
                }
            }
        }
    }
}

#[test]
fn what_is_never_given_out_is_wrong() {
    for (check, text) in [
        (Check::UsSsn, "000121234"),
        (Check::UsSsn, "666121234"),
        (Check::UsSsn, "900121234"),
        (Check::UsSsn, "123001234"),
        (Check::UsSsn, "123120000"),
        (Check::UkNino, "QQ123456C"),
        (Check::UkNino, "GB123456C"),
        (Check::UkNino, "AB123456E"),
        (Check::EsDni, "00000000T"),
        (Check::BrCpf, "11111111111"),
        (Check::SePersonnummer, "8113189876"),
        (Check::PlPesel, "44023001359"),
    ] {
        assert_eq!(check.weigh(text.as_bytes(), true), Weight::Wrong, "{text}");
    }
}

#[test]
fn a_recent_day_and_a_running_number_need_a_word() {
    assert_eq!(Check::SePersonnummer.weigh(b"1201011234", true), Weight::Possible);
}
