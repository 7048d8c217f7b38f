//! What counts as a token's header.

use super::is_header;

#[test]
fn a_header_names_an_algorithm_or_a_type() {
    assert!(is_header(b"eyJhbGciOiJIUzI1NiJ9"));
    assert!(!is_header(b"eyJub3QiOiJhIGhlYWRlciJ9"), "neither");
    assert!(!is_header(b"eyJhbGciOiJIUzI1NiJ"), "cut");
}
