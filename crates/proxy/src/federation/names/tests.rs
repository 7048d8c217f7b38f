//! What things are called, and what names lead to.

use super::*;

fn server(name: &str) -> ServerName {
    ServerName::from(name)
}

#[test]
fn a_name_says_its_server_and_leads_back() {
    let name = public_name(&server("notes"), "search__all");
    assert_eq!(name, "notes__search__all");
    assert_eq!(parted(&name), Some(("notes", "search__all")));
    for none in ["search", "__search", "notes__", ""] {
        assert_eq!(parted(none), None, "{none}");
    }
}

#[test]
fn a_long_name_is_cut_stays_the_same_and_stays_apart() {
    let (one, two) = (format!("{}a", "x".repeat(80)), format!("{}b", "x".repeat(80)));
    let mut shown = Shown::default();
    let first = shown.name(Kind::Tool, &server("notes"), &one);
    let second = shown.name(Kind::Tool, &server("notes"), &two);
    assert_eq!(first.len(), 64);
    assert_ne!(first, second);
    assert_eq!(first, public_name(&server("notes"), &one));
    assert_eq!(shown.cut(&first), Some((server("notes"), one.as_str())));
    // Never inside a letter.
    assert!(public_name(&server("notes"), &"é".repeat(60)).len() <= 64);
}

#[test]
fn a_bare_name_leads_to_the_one_server_that_has_it() {
    let mut shown = Shown::default();
    shown.name(Kind::Tool, &server("a"), "echo");
    shown.name(Kind::Tool, &server("a"), "echo");
    assert_eq!(shown.bare(Kind::Tool, "echo"), Bare::One(server("a")));
    assert_eq!(shown.bare(Kind::Prompt, "echo"), Bare::None);
    shown.name(Kind::Tool, &server("b"), "echo");
    assert_eq!(shown.bare(Kind::Tool, "echo"), Bare::Many(vec![server("a"), server("b")]));
}

#[test]
fn a_uri_stays_what_it_is_until_another_server_has_it_too() {
    let mut shown = Shown::default();
    assert_eq!(shown.uri(&server("a"), "file:///x"), "file:///x");
    let second = shown.uri(&server("b"), "file:///x");
    assert_eq!(second, "tidegate+b:file:///x");
    assert_eq!(unwrapped(&second), Some(("b", "file:///x")));
    assert_eq!(shown.uri(&server("a"), "file:///x"), "file:///x");
    assert_eq!(shown.owner("file:///x"), Some(server("a")));
    assert_eq!(shown.uri_of(&server("b"), "file:///x"), second);
    // A server cannot make its URI look like another's.
    assert_eq!(shown.uri(&server("b"), "tidegate+a:secret"), "tidegate+b:tidegate+a:secret");
}

#[test]
fn a_template_leads_to_its_server_and_the_more_specific_one_wins() {
    let mut shown = Shown::default();
    shown.template(&server("a"), "db://{table}");
    shown.template(&server("b"), "db://logs/{day}");
    assert_eq!(shown.owner("db://people"), Some(server("a")));
    assert_eq!(shown.owner("db://logs/1"), Some(server("b")));
    assert_eq!(shown.owner("other://x"), None);
    shown.template(&server("c"), "db://logs/{hour}");
    assert_eq!(shown.owner("db://logs/1"), None, "two are equally specific");
    shown.template(&server("d"), "{anything}");
    assert_eq!(shown.owner("other://x"), None, "a template without a beginning catches nothing");
}
