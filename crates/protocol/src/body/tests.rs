//! What edits change, and what they leave alone.

use super::*;

fn body(text: &'static str) -> EditableBody {
    EditableBody::read(Bytes::from_static(text.as_bytes()), &Limits::default()).unwrap()
}

fn at(body: &EditableBody, pointer: &str) -> NodeId {
    body.tape().lookup(body.original(), pointer).unwrap()
}

#[test]
fn an_unedited_body_is_the_very_same_bytes() {
    let body = body(r#" { "a" : "x" } "#);
    assert!(body.is_original());
    assert_eq!(body.current().as_ptr(), body.original().as_ptr());
    assert_eq!(body.digest(), Digest::of(body.original()));
    assert_eq!(body.version(), 0);
}

#[test]
fn edits_change_their_strings_and_nothing_else() {
    let mut body = body("{ \"a\" : \"one\",\r\n\"b\":[\"two\",3.10, \"\\u0066our\"],\"zz\":1e3 }");
    let (a, b0, b2) = (at(&body, "/a"), at(&body, "/b/0"), at(&body, "/b/2"));
    assert!(body.replace_text(b2, "vier \"4\""));
    assert!(body.replace_text(a, "eins\n"));
    assert!(body.replace_text(b0, "zwei"));
    assert!(body.replace_text(b0, "2"));
    assert_eq!(body.version(), 4);
    assert_eq!(body.current(), "{ \"a\" : \"eins\\n\",\r\n\"b\":[\"2\",3.10, \"vier \\\"4\\\"\"],\"zz\":1e3 }");
    assert_eq!(body.digest(), Digest::of(&body.current()));
    assert_eq!(body.text(a).unwrap(), "eins\n");
    assert_eq!(body.text(b2).unwrap(), "vier \"4\"");
    let again = EditableBody::read(body.current(), &Limits::default()).unwrap();
    let root = body.tape().root();
    assert_eq!(body.value(root), again.value(root));
    assert_eq!(body.canonical(root), again.canonical(root));
}

#[test]
fn a_digest_is_of_the_version_that_stands() {
    let mut body = body(r#"{"a":"x"}"#);
    let before = body.digest();
    let node = at(&body, "/a");
    body.replace_text(node, "y");
    assert_ne!(body.digest(), before);
    body.replace_text(node, "x");
    assert_eq!((body.digest(), body.version()), (before, 2));
}

#[test]
fn only_strings_and_numbers_can_be_replaced() {
    let mut body = body(r#"{"a":1,"b":["x"],"c":true}"#);
    for pointer in ["", "/b", "/c"] {
        let node = at(&body, pointer);
        assert!(!body.replace_text(node, "y"), "{pointer}");
    }
    assert!(!body.replace_text(NodeId::from_index(99), "y"));
    assert_eq!((body.version(), body.is_original()), (0, true));
    let number = at(&body, "/a");
    assert!(body.replace_text(number, "y"));
    assert_eq!(body.current(), &br#"{"a":"y","b":["x"],"c":true}"#[..]);
    assert_eq!(body.canonical(body.tape().root()), br#"{"a":"y","b":["x"],"c":true}"#);
}

#[test]
fn renamed_members_are_told_apart_and_seen_under_their_new_names() {
    let mut body = body(r#"{"b@x":1,"a@x":{"c@x":2}}"#);
    let root = body.tape().root();
    let keys: Vec<_> = body.tape().members(body.original(), root).map(|member| member.key).collect();
    for key in keys {
        assert!(body.rename(key, "mark"));
    }
    assert_eq!(body.current(), &br#"{"mark":1,"mark 2":{"c@x":2}}"#[..]);
    assert_eq!(body.canonical(root), &body.current()[..]);
    let again = EditableBody::read(body.current(), &Limits::default()).unwrap();
    assert_eq!(again.value(root), body.value(root));
}

#[test]
fn a_replaced_container_takes_what_stood_in_it_along() {
    let mut body = body(r#"{"a":"x","b":{"c":["y",{"d":"z"}]},"e":"w"}"#);
    let [a, b, c0, d, e] = ["/a", "/b", "/b/c/0", "/b/c/1/d", "/e"].map(|pointer| at(&body, pointer));
    assert!(body.replace_text(c0, "Y") && body.replace_text(e, "W") && body.replace_text(a, "X"));
    assert!(body.replace_raw(b, b"{ \"n\":1.0 }".to_vec()));
    assert!(!body.replace_text(d, "gone") && !body.replace_text(c0, "gone"));
    assert_eq!(body.version(), 4);
    assert_eq!(body.current(), r#"{"a":"X","b":{ "n":1.0 },"e":"W"}"#);
    let again = EditableBody::read(body.current(), &Limits::default()).unwrap();
    let root = body.tape().root();
    assert_eq!(body.value(root), again.value(root));
    assert_eq!(body.canonical(root), again.canonical(root));
    assert!(body.replace_raw(b, b"null".to_vec()));
    assert!(!body.replace_raw(b, b"null,1".to_vec()) && !body.replace_raw(b, Vec::new()));
    assert_eq!(body.current(), r#"{"a":"X","b":null,"e":"W"}"#);
    assert!(body.replace_raw(a, b" \"t\" ".to_vec()));
    assert_eq!(body.text(a).unwrap(), "t");
}

#[test]
fn further_edits_hold_for_one_sending_only() {
    let mut body = body(r#"{"id":1,"a":"x"}"#);
    let (id, a) = (at(&body, "/id"), at(&body, "/a"));
    body.replace_text(a, "y");
    let edit = Edit { span: body.tape().span(id), replacement: b"77".to_vec() };
    assert_eq!(body.with(vec![edit]).unwrap(), br#"{"id":77,"a":"y"}"#);
    assert_eq!(body.current(), r#"{"id":1,"a":"y"}"#);
    let clash = Edit { span: body.tape().span(a), replacement: Vec::new() };
    assert!(body.with(vec![clash]).is_err());
}
