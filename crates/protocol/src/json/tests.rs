//! What the scanner accepts and refuses, what the tape says, what splicing leaves alone.

use std::time::Duration;

use proptest::prelude::*;
use tidegate_core::{clock, value::Value};

use super::*;

fn read(text: &[u8]) -> Result<Tape, JsonError> {
    scan(text, &Limits::default())
}

fn refused(text: &[u8]) -> JsonErrorKind {
    match read(text) {
        Ok(_) => panic!("accepted: {}", String::from_utf8_lossy(text)),
        Err(error) => error.kind,
    }
}

#[test]
fn accepts_every_form_of_value() {
    let texts: &[&[u8]] = &[
        b"null",
        b"true",
        b"false",
        b"0",
        b"-0",
        b"1",
        b"-1",
        b"10",
        b"0.5",
        b"-0.5",
        b"1e5",
        b"1E5",
        b"1e+5",
        b"1e-05",
        b"1.25e10",
        b"123456789012345678901234567890",
        b"1e999",
        b"\"\"",
        b"\"a\"",
        b"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
        b"\"\\u0000\"",
        b"\"\\uFFFF\"",
        b"\"\\ud83d\\ude00\"",
        b"\"\\uD83D\\uDE00\"",
        "\"é😀\u{7f}\"".as_bytes(),
        b"[]",
        b"[ ]",
        b"[1]",
        b"[1,2]",
        b"[[],[]]",
        b"{}",
        b"{ }",
        b"{\"a\":1}",
        b"{\"a\":{},\"b\":[]}",
        b"{\"\":0}",
        b" \t\r\n1 \t\r\n",
        b"[1 , 2]",
        b"{ \"a\" : 1 , \"b\" : 2 }",
        b"\"12345678\\n2345678\"",
    ];
    for text in texts {
        assert!(read(text).is_ok(), "{}: {:?}", String::from_utf8_lossy(text), read(text));
    }
}

#[test]
fn refuses_what_the_grammar_does_not_know() {
    use JsonErrorKind as K;
    let table: &[(&[u8], K)] = &[
        (b"", K::Empty),
        (b" \n", K::Empty),
        (b"nul", K::InvalidLiteral),
        (b"nulll", K::TrailingBytes),
        (b"True", K::UnexpectedByte(b'T')),
        (b"tRue", K::InvalidLiteral),
        (b"NaN", K::UnexpectedByte(b'N')),
        (b"Infinity", K::UnexpectedByte(b'I')),
        (b"-Infinity", K::InvalidNumber),
        (b"+1", K::UnexpectedByte(b'+')),
        (b"01", K::InvalidNumber),
        (b"-01", K::InvalidNumber),
        (b"-", K::InvalidNumber),
        (b"1.", K::InvalidNumber),
        (b".5", K::UnexpectedByte(b'.')),
        (b"1.e5", K::InvalidNumber),
        (b"1e", K::InvalidNumber),
        (b"1e+", K::InvalidNumber),
        (b"0x10", K::TrailingBytes),
        (b"1 2", K::TrailingBytes),
        (b"1,", K::TrailingBytes),
        (b"{}{}", K::TrailingBytes),
        (b"[]]", K::TrailingBytes),
        (b"null\0", K::TrailingBytes),
        (b"[", K::UnexpectedEnd),
        (b"[1", K::UnexpectedEnd),
        (b"[1,", K::UnexpectedEnd),
        (b"[1,]", K::UnexpectedByte(b']')),
        (b"[,1]", K::UnexpectedByte(b',')),
        (b"[1 2]", K::UnexpectedByte(b'2')),
        (b"[1}", K::UnexpectedByte(b'}')),
        (b"{", K::UnexpectedEnd),
        (b"{\"a\"", K::UnexpectedEnd),
        (b"{\"a\":", K::UnexpectedEnd),
        (b"{\"a\":1", K::UnexpectedEnd),
        (b"{\"a\":1,", K::UnexpectedEnd),
        (b"{\"a\":1,}", K::UnexpectedByte(b'}')),
        (b"{\"a\":}", K::UnexpectedByte(b'}')),
        (b"{\"a\" 1}", K::UnexpectedByte(b'1')),
        (b"{\"a\",1}", K::UnexpectedByte(b',')),
        (b"{a:1}", K::UnexpectedByte(b'a')),
        (b"{1:1}", K::UnexpectedByte(b'1')),
        (b"{'a':1}", K::UnexpectedByte(b'\'')),
        (b"{\"a\":1]", K::UnexpectedByte(b']')),
        (b"\"", K::UnexpectedEnd),
        (b"\"abcdefgh", K::UnexpectedEnd),
        (b"\"\\", K::UnexpectedEnd),
        (b"\"\\u12", K::UnexpectedEnd),
        (b"\"\\u12g4\"", K::InvalidEscape),
        (b"\"\\u+123\"", K::InvalidEscape),
        (b"\"\\x41\"", K::InvalidEscape),
        (b"\"\\'\"", K::InvalidEscape),
        (b"\"\n\"", K::ControlCharacter(b'\n')),
        (b"\"abcdefghij\0\"", K::ControlCharacter(0)),
        (b"\"\x1f\"", K::ControlCharacter(0x1f)),
        (b"\"\\ud800\"", K::LoneSurrogate),
        (b"\"\\ud800x\"", K::LoneSurrogate),
        (b"\"\\ud800\\n\"", K::LoneSurrogate),
        (b"\"\\ud800\\u0041\"", K::LoneSurrogate),
        (b"\"\\udc00\"", K::LoneSurrogate),
        (b"\"\\udc00\\ud800\"", K::LoneSurrogate),
        (b"\"\\ud800\\ud800\"", K::LoneSurrogate),
        (b"// c\n1", K::UnexpectedByte(b'/')),
        (b"[1/**/]", K::UnexpectedByte(b'/')),
        (b"\x0b1", K::UnexpectedByte(0x0b)),
        (b"\xEF\xBB\xBF1", K::ByteOrderMark),
        (b"\"\xff\"", K::InvalidUtf8),
        (b"\"\xc0\x80\"", K::InvalidUtf8),
        (b"\"\xed\xa0\x80\"", K::InvalidUtf8),
        (b"\"\xf5\x80\x80\x80\"", K::InvalidUtf8),
        (b"\"\xe2\x82\"", K::InvalidUtf8),
        ("\u{a0}1".as_bytes(), K::UnexpectedByte(0xc2)),
        (b"\xff\xfe1\0", K::InvalidUtf8),
    ];
    for (text, kind) in table {
        assert_eq!(refused(text), *kind, "{}", String::from_utf8_lossy(text));
    }
}

/// Two readers of one body must never see two different members.
#[test]
fn json_smuggling() {
    use JsonErrorKind as K;
    let table: &[(&str, K)] = &[
        (r#"{"model":"a","model":"b"}"#, K::DuplicateName),
        (r#"{"model":"a","m\u006fdel":"b"}"#, K::DuplicateName),
        (r#"{"model":"a","Model":"b"}"#, K::CaseVariantName),
        (r#"{"model":"a","MODEL":"b"}"#, K::CaseVariantName),
        (r#"{"model":"a","\u004dodel":"b"}"#, K::CaseVariantName),
        ("{\"stream\":1,\"\u{17f}tream\":2}", K::CaseVariantName),
        ("{\"tokens\":1,\"to\u{212a}ens\":2}", K::CaseVariantName),
        ("{\"straße\":1,\"STRAẞE\":2}", K::CaseVariantName),
        ("{\"σ\":1,\"ς\":2}", K::CaseVariantName),
        ("{\"é\":1,\"É\":2}", K::CaseVariantName),
        (r#"{"a":[{"b":{"x":1,"X":1}}]}"#, K::CaseVariantName),
        (r#"{"a":[{"b":{"x":1,"y":2,"x":1}}]}"#, K::DuplicateName),
        (r#"{"parameters":{"x":1,"x":1}}"#, K::DuplicateName),
        (r#"{"parameters":{"x":1,"\u0078":1}}"#, K::DuplicateName),
        (r#"{"parameters":{},"Parameters":{}}"#, K::CaseVariantName),
        (r#"{"parameters":{"x":{}},"z":{"x":1,"X":1}}"#, K::CaseVariantName),
        (r#"{"":1,"":2}"#, K::DuplicateName),
    ];
    for (text, kind) in table {
        assert_eq!(refused(text.as_bytes()), *kind, "{text}");
    }
    for zone in SCHEMA_ZONES {
        let text = format!(r#"{{"{zone}":{{"properties":{{"id":{{"a":1,"A":1}},"ID":[{{"b":1,"B":2}}]}}}}}}"#);
        assert!(read(text.as_bytes()).is_ok(), "{text}");
    }
    // Equal names in different objects, and names that only look alike, are fine.
    for text in [r#"{"a":{"a":1},"b":{"a":1}}"#, r#"[{"a":1},{"a":1}]"#, r#"{"a":1,"ａ":2}"#, "{\"ı\":1,\"b\":2}"] {
        assert!(read(text.as_bytes()).is_ok(), "{text}");
    }
}

#[test]
fn duplicate_names_are_found_in_large_objects_too() {
    for members in [1_usize, 2, 23, 24, 25, 26, 100, 1000] {
        let body: Vec<String> = (0..members).map(|index| format!("\"name{index}\":{index}")).collect();
        let body = body.join(",");
        assert!(read(format!("{{{body}}}").as_bytes()).is_ok());
        for at in [0, members / 2, members - 1] {
            assert_eq!(refused(format!("{{{body},\"name{at}\":0}}").as_bytes()), JsonErrorKind::DuplicateName);
            assert_eq!(refused(format!("{{{body},\"Name{at}\":0}}").as_bytes()), JsonErrorKind::CaseVariantName);
            assert_eq!(refused(format!("{{{body},\"\\u006eame{at}\":0}}").as_bytes()), JsonErrorKind::DuplicateName);
            assert!(read(format!("{{\"schema\":{{{body},\"Name{at}\":0}}}}").as_bytes()).is_ok());
        }
    }
}

#[test]
fn errors_say_where() {
    let error = read(br#"{"messages":[{"role":"user"},{"content":[1,{"a/b":nul}]}]}"#).unwrap_err();
    assert_eq!(error.pointer(), "/messages/1/content/1/a~1b");
    assert_eq!(error.offset, 50);
    assert_eq!(
        error.to_string(),
        "malformed literal; only true, false and null are known at byte 50 (in `/messages/1/content/1/a~1b`)"
    );
    let error = read(br#"{"a":1,"b":{"c":1,"C":2}}"#).unwrap_err();
    assert_eq!((error.offset, error.pointer()), (18, "/b/c"));
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| [vec![b'['; depth], vec![b']'; depth]].concat();
    assert!(read(&nested(128)).is_ok());
    assert_eq!(refused(&nested(129)), JsonErrorKind::TooDeep);
    assert_eq!(refused(&vec![b'['; 1 << 20]), JsonErrorKind::TooDeep);
    let objects = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    assert!(read(objects(128).as_bytes()).is_ok());
    assert_eq!(refused(objects(129).as_bytes()), JsonErrorKind::TooDeep);
}

#[test]
fn nodes_and_bytes_are_bounded() {
    let limits = Limits { max_bytes: 64, max_depth: 4, max_nodes: 5 };
    assert!(scan(b"[1,2,3,4]", &limits).is_ok());
    assert_eq!(scan(b"[1,2,3,4,5]", &limits).unwrap_err().kind, JsonErrorKind::TooManyNodes);
    assert_eq!(scan(b"{\"a\":1,\"b\":2,\"c\":3}", &limits).unwrap_err().kind, JsonErrorKind::TooManyNodes);
    assert_eq!(scan(&[b' '; 65], &limits).unwrap_err().kind, JsonErrorKind::TooLarge);
}

/// Ten times the members must not take much more than ten times as long: quadratic would be a hundred times.
#[test]
fn hundred_thousand_members_take_linear_time() {
    let object = |members: usize, shape: &dyn Fn(usize) -> String| {
        let body: Vec<String> = (0..members).map(|index| format!("\"{}\":0", shape(index))).collect();
        format!("{{{}}}", body.join(","))
    };
    let timed = |text: &str| {
        let best = (0..3).map(|_| {
            let start = clock::now();
            read(text.as_bytes()).unwrap();
            clock::now().duration_since(start)
        });
        best.min().unwrap_or(Duration::MAX)
    };
    // The second shape gives every name the same fingerprint: same length, same first and last eight bytes.
    let shapes: [&dyn Fn(usize) -> String; 2] =
        [&|index| format!("name{index}"), &|index| format!("aaaaaaaa{index:08}aaaaaaaa")];
    for shape in shapes {
        let small = timed(&object(10_000, shape));
        let large = timed(&object(100_000, shape));
        assert!(large < small * 40 + Duration::from_millis(50), "{small:?} became {large:?}");
    }
}

#[test]
fn the_tape_answers_by_name_and_place() {
    let text = br#" {"a":[1,-2,3.5,true,null],"b\u0063":{"d":"x\ny","e":"plain"},"~/":""} "#;
    let tape = read(text).unwrap();
    let root = tape.root();
    assert_eq!(tape.kind(root), Kind::Object);
    assert_eq!(tape.span(root), 1..text.len() - 1);
    let names: Vec<_> = tape.members(text, root).map(|member| member.name.into_owned()).collect();
    assert_eq!(names, ["a", "bc", "~/"]);
    let list = tape.member(text, root, "a").unwrap();
    let elements: Vec<_> = tape.elements(list).collect();
    assert_eq!(tape.as_u64(text, elements[0]), Some(1));
    assert_eq!(tape.as_i64(text, elements[1]), Some(-2));
    assert_eq!(tape.as_u64(text, elements[1]), None);
    assert_eq!(tape.as_i64(text, elements[2]), None);
    assert_eq!(tape.raw(text, elements[2]), b"3.5");
    assert_eq!(tape.as_bool(elements[3]), Some(true));
    assert!(tape.is_null(elements[4]));
    let d = tape.lookup(text, "/bc/d").unwrap();
    assert_eq!(tape.text(text, d).unwrap(), "x\ny");
    assert_eq!(tape.pointer(text, d), "/bc/d");
    let e = tape.lookup(text, "/bc/e").unwrap();
    assert!(matches!(tape.text(text, e), Some(std::borrow::Cow::Borrowed("plain"))));
    assert_eq!(tape.pointer(text, tape.lookup(text, "/~0~1").unwrap()), "/~0~1");
    assert_eq!(tape.pointer(text, tape.lookup(text, "/a/4").unwrap()), "/a/4");
    for nothing in ["/a/5", "/a/00", "/a/+1", "/a/-", "/x", "a", "/bc/d/0"] {
        assert_eq!(tape.lookup(text, nothing), None, "{nothing}");
    }
    let strings: Vec<_> = tape.strings(root).filter_map(|node| tape.text(text, node)).collect();
    assert_eq!(strings, ["x\ny", "plain", ""]);
    let below = tape.below(tape.lookup(text, "/bc").unwrap());
    let inner = tape.raw(text, tape.lookup(text, "/bc").unwrap());
    assert_eq!(below, read(inner).unwrap());
}

#[test]
fn a_node_of_another_tape_does_no_harm() {
    let small = read(b"1").unwrap();
    let far = NodeId::from_index(77);
    assert_eq!(small.span(far), 0..0);
    assert_eq!(small.text(b"1", far), None);
    assert_eq!(small.members(b"1", far).count(), 0);
    assert_eq!(small.elements(NodeId::from_index(u32::MAX)).count(), 0);
    assert!(!small.is_null(far));
    let large = read(br#"{"a":"bcdef"}"#).unwrap();
    assert_eq!(large.text(b"1", NodeId::from_index(2)), None);
}

#[test]
fn integers_stay_integers_in_values() {
    let text = br#"{"i":9223372036854775807,"j":-9223372036854775808,"k":9223372036854775808,"d":1.0,"z":-0}"#;
    let value = read(text).unwrap().value(text, NodeId::from_index(0));
    assert_eq!(value.get("i"), Some(&Value::Integer(i64::MAX)));
    assert_eq!(value.get("j"), Some(&Value::Integer(i64::MIN)));
    assert_eq!(value.get("k"), Some(&Value::Number("9223372036854775808".into())));
    assert_eq!(value.get("d"), Some(&Value::Number("1.0".into())));
    assert_eq!(value.get("z"), Some(&Value::Integer(0)));
}

fn canonical_text(text: &str) -> String {
    let tape = read(text.as_bytes()).unwrap();
    String::from_utf8(canonical(text.as_bytes(), &tape, tape.root())).unwrap()
}

#[test]
fn canonical_form_follows_rfc_8785() {
    // The example of RFC 8785, section 3.2.2, and the sort order of section 3.2.3.
    let text = r#"{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],
        "string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}"#;
    assert_eq!(
        canonical_text(text),
        "{\"literals\":[null,true,false],\"numbers\":[333333333.33333329,1e+30,4.5,0.002,1e-27],\"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}"
    );
    let text = "{\"\u{20ac}\":1,\"\\r\":2,\"\u{fb33}\":3,\"1\":4,\"\u{1f600}\":5,\"\u{80}\":6,\"\u{f6}\":7}";
    let sorted = canonical_text(text);
    let order: String = sorted.split(':').skip(1).filter_map(|rest| rest.chars().next()).collect();
    assert_eq!(order, "2467153");
}

#[test]
fn canonical_numbers_are_exact() {
    let table = [
        ("0", "0"),
        ("-0", "0"),
        ("-0.0", "0"),
        ("0e5", "0"),
        ("1.0", "1"),
        ("1e2", "100"),
        ("1.5e300", "1.5e+300"),
        ("100000000000000000000e0", "100000000000000000000e0"),
        ("1e20", "100000000000000000000"),
        ("1e21", "1e+21"),
        ("0.000001", "0.000001"),
        ("0.0000001", "1e-7"),
        ("-12.50", "-12.5"),
        ("123456789012345678901", "123456789012345678901"),
        ("1e400", "1e400"),
        ("1e-400", "1e-400"),
        ("0.1000000000000000055", "0.1000000000000000055"),
        ("123.456", "123.456"),
    ];
    for (written, canonical) in table {
        assert_eq!(canonical_text(written), canonical, "{written}");
    }
}

#[test]
fn splicing_refuses_what_overlaps_or_lies_outside() {
    let edit = |span: std::ops::Range<usize>, text: &str| Edit { span, replacement: text.as_bytes().to_vec() };
    assert_eq!(splice(b"abcdef", vec![edit(4..5, "E"), edit(0..1, ""), edit(6..6, "!")]).unwrap(), b"bcdEf!");
    assert_eq!(splice(b"ab", vec![edit(1..1, "x"), edit(1..1, "y"), edit(1..2, "z")]).unwrap(), b"axyz");
    assert_eq!(splice(b"abc", vec![edit(0..2, ""), edit(1..3, "")]), Err(SpliceError::Overlap { at: 1 }));
    assert!(matches!(splice(b"abc", vec![edit(2..4, "")]), Err(SpliceError::OutOfRange { .. })));
}

fn value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        ".{0,24}".prop_map(Into::into),
        "[a-z\"\\\\\n\t/\u{0}\u{1f}é😀]{0,24}".prop_map(Into::into),
    ];
    leaf.prop_recursive(5, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::hash_map("[a-zA-Z\"\\\\é]{0,3}", inner, 0..6)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

fn same(tape: &Tape, bytes: &[u8], node: NodeId, expected: &serde_json::Value) -> bool {
    match expected {
        serde_json::Value::Null => tape.is_null(node),
        serde_json::Value::Bool(expected) => tape.as_bool(node) == Some(*expected),
        serde_json::Value::String(expected) => {
            tape.text(bytes, node).as_deref() == Some(expected) && tape.text_is(bytes, node, expected)
        }
        serde_json::Value::Number(expected) => {
            serde_json::from_slice(tape.raw(bytes, node)).is_ok_and(|number: serde_json::Number| number == *expected)
        }
        serde_json::Value::Array(expected) => {
            let elements: Vec<_> = tape.elements(node).collect();
            tape.kind(node) == Kind::Array
                && elements.len() == expected.len()
                && elements.iter().zip(expected).all(|(element, expected)| same(tape, bytes, *element, expected))
        }
        serde_json::Value::Object(expected) => {
            tape.kind(node) == Kind::Object
                && tape.members(bytes, node).count() == expected.len()
                && tape.members(bytes, node).all(|member| {
                    expected.get(&*member.name).is_some_and(|expected| same(tape, bytes, member.value, expected))
                        && tape.member(bytes, node, &member.name) == Some(member.value)
                })
        }
    }
}

/// Whether the scanner and serde_json agree, apart from what the scanner is stricter or wider in.
fn agree(bytes: &[u8]) -> Result<(), TestCaseError> {
    let theirs = serde_json::from_slice::<serde_json::Value>(bytes);
    match (read(bytes), theirs) {
        (Ok(tape), Ok(expected)) => prop_assert!(same(&tape, bytes, tape.root(), &expected)),
        (Err(error), Ok(_)) => {
            prop_assert!(matches!(error.kind, JsonErrorKind::DuplicateName | JsonErrorKind::CaseVariantName), "{error}")
        }
        (Ok(_), Err(error)) => prop_assert!(error.to_string().starts_with("number out of range"), "{error}"),
        (Err(_), Err(_)) => {}
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn text_is_written_eight_bytes_at_a_time_as_one_by_one(
        text in prop_oneof![".{0,80}", "[a-z \"\\\\\u{0}-\u{22}\u{7e}-\u{a2}]{0,40}"],
    ) {
        let mut written = Vec::new();
        write_text(&mut written, &text);
        prop_assert_eq!(String::from_utf8(written).unwrap(), serde_json::to_string(&text).unwrap());
    }

    #[test]
    fn agrees_with_serde_json_on_values(value in value(), pretty in any::<bool>()) {
        let bytes = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) }.unwrap();
        agree(&bytes)?;
    }

    #[test]
    fn agrees_with_serde_json_on_damaged_values(
        value in value(), at in any::<prop::sample::Index>(), byte in any::<u8>(), how in 0..3_u8,
    ) {
        let mut bytes = serde_json::to_vec(&value).unwrap();
        let index = at.index(bytes.len());
        match how {
            0 => bytes[index] = byte,
            1 => bytes.insert(index, byte),
            _ => { bytes.truncate(index); }
        }
        agree(&bytes)?;
    }

    #[test]
    fn agrees_with_serde_json_on_json_like_noise(text in "[\\[\\]{}\",:0-9eE+.\\-\\\\utrfalsn \n]{0,24}") {
        agree(text.as_bytes())?;
    }

    #[test]
    fn noise_is_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        agree(&bytes)?;
    }

    #[test]
    fn splicing_strings_changes_nothing_else(value in value(), texts in prop::collection::vec(".{0,12}", 1..8)) {
        let bytes = serde_json::to_vec_pretty(&value).unwrap();
        prop_assume!(read(&bytes).is_ok());
        let tape = read(&bytes).unwrap();
        let strings: Vec<_> = tape.strings(tape.root()).collect();
        let edits: Vec<Edit> = strings.iter().zip(&texts).rev().map(|(node, text)| {
            let mut replacement = Vec::new();
            write_text(&mut replacement, text);
            Edit { span: tape.span(*node), replacement }
        }).collect();
        let spliced = splice(&bytes, edits.clone()).unwrap();
        let again = read(&spliced).unwrap();
        prop_assert_eq!(again.len(), tape.len());
        for (index, node) in again.strings(again.root()).enumerate() {
            let expected = match texts.get(index) {
                Some(text) => text.clone().into(),
                None => tape.text(&bytes, strings[index]).unwrap(),
            };
            prop_assert_eq!(again.text(&spliced, node).unwrap(), expected);
        }
        // Undoing the edits gives the first bytes back.
        let back: Vec<Edit> = strings.iter().zip(&texts).map(|(node, _)| Edit {
            span: again.span(*node), replacement: tape.raw(&bytes, *node).to_vec(),
        }).collect();
        prop_assert_eq!(splice(&spliced, back).unwrap(), bytes);
    }

    #[test]
    fn canonical_form_is_canonical(value in value()) {
        let (plain, pretty) = (serde_json::to_vec(&value).unwrap(), serde_json::to_vec_pretty(&value).unwrap());
        prop_assume!(read(&plain).is_ok());
        let once = canonical(&plain, &read(&plain).unwrap(), NodeId::from_index(0));
        prop_assert_eq!(&once, &canonical(&pretty, &read(&pretty).unwrap(), NodeId::from_index(0)));
        prop_assert_eq!(&once, &canonical(&once, &read(&once).unwrap(), NodeId::from_index(0)));
    }

    #[test]
    fn pointers_lead_back(value in value()) {
        let bytes = serde_json::to_vec(&value).unwrap();
        prop_assume!(read(&bytes).is_ok());
        let tape = read(&bytes).unwrap();
        for node in tape.strings(tape.root()) {
            prop_assert_eq!(tape.lookup(&bytes, &tape.pointer(&bytes, node)), Some(node));
        }
    }
}

#[test]
fn what_is_not_plain_is_seen_at_every_place_of_a_string() {
    for before in 0..150 {
        for after in [0, 1, 15, 16, 63, 64, 140] {
            let (head, tail) = ("a".repeat(before), "b".repeat(after));
            for control in ["\u{0}", "\n", "\u{1f}"] {
                let text = format!("[\"{head}{control}{tail}\"]");
                let error = read(text.as_bytes()).unwrap_err();
                assert_eq!(error.kind, JsonErrorKind::ControlCharacter(control.as_bytes()[0]), "{text}");
                assert_eq!(error.offset, before + 2, "{text}");
            }
            for (escape, means) in
                [("\\\"", "\""), ("\\\\", "\\"), ("\\n\\\"\\t", "\n\"\t"), ("\\ud83d\\ude00", "\u{1f600}")]
            {
                let text = format!("[\"{head}{escape}{tail}\",1]");
                let tape = read(text.as_bytes()).unwrap();
                let string = tape.elements(tape.root()).next().unwrap();
                assert_eq!(tape.text(text.as_bytes(), string).unwrap(), format!("{head}{means}{tail}"));
                assert_eq!(tape.len(), 3, "{text}");
            }
            assert_eq!(refused(format!("[\"{head}\\x{tail}\"]").as_bytes()), JsonErrorKind::InvalidEscape);
            assert_eq!(refused(format!("[\"{head}{tail}").as_bytes()), JsonErrorKind::UnexpectedEnd);
        }
    }
}

proptest! {
    #[test]
    fn strings_are_read_as_serde_json_reads_them(text in "[a-z\"\\\\/\u{8}\n\t\u{7f}\u{e9}\u{1f600}]{0,200}", ascii in "[a-zA-Z \"]{0,300}") {
        for text in [text, ascii] {
            let written = serde_json::to_string(&text).unwrap();
            let tape = read(written.as_bytes()).unwrap();
            prop_assert_eq!(tape.text(written.as_bytes(), tape.root()).unwrap(), text);
        }
    }
}
