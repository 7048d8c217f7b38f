//! What speaks of a number.

use super::*;

fn speaks(before: &str) -> bool {
    let cues = Cues::from(Words {
        words: vec!["tel".into(), "social security".into(), "phonenumber".into()],
        ends: vec!["phone".into(), "电话".into()],
        fillers: vec!["number".into(), "is".into(), "是".into()],
    });
    let text = format!("{before}5551234");
    cues.stand_before(&Input::new(&text, 0, true), before.len())
}

#[test]
fn a_cue_stands_right_before_or_after_fillers() {
    for text in [
        "Tel. ",
        "tel:",
        "\"homePhone\": \"",
        "\"phone_number\":\"",
        "my phone number is ",
        "Social Security Number: ",
        "我的电话是",
        "电话：",
        "phoneNumber=",
    ] {
        assert!(speaks(text), "{text}");
    }
}

#[test]
fn other_words_lines_and_parts_of_words_do_not() {
    for text in ["hotel ", "phone_id: ", "phone\n", "phone\\n", "tel and order ", "security ", "", "1 "] {
        assert!(!speaks(text), "{text}");
    }
}
