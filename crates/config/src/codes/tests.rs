//! The catalogue is whole.

use super::*;

#[test]
fn every_code_is_explained_and_stands_once() {
    let codes: Vec<Code> = all().collect();
    for pair in codes.windows(2) {
        assert!(pair[0] < pair[1], "{} and {}", pair[0], pair[1]);
    }
    for code in codes {
        assert!(!code.title().is_empty() && code.explanation().len() > 40, "{code}");
        assert_eq!(Code::find(&code.to_string()), Some(code));
    }
}

#[test]
fn what_is_no_code_is_not_found() {
    for text in ["", "TG", "TG0000", "TG217", "TG00217", "0217", "TG-217", "TG+217"] {
        assert_eq!(Code::find(text), None, "{text}");
    }
    assert_eq!(Code::find("tg0217"), Some(NO_PROVIDER));
}
