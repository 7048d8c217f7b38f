//! What changes in a file, line by line, as `diff -u` writes it without lines around.

use std::path::Path;

use crate::output;

/// The most pairs of lines that are compared; beyond it the changed part is shown as a whole.
const MOST_PAIRS: usize = 4_000_000;

/// The lines that go and come.
pub(super) fn unified(path: &Path, before: Option<&str>, after: Option<&str>) -> String {
    let name = path.display();
    let title = |there: bool| if there { name.to_string() } else { "/dev/null".to_owned() };
    let mut out = format!("--- {}\n+++ {}", title(before.is_some()), title(after.is_some()));
    let old: Vec<&str> = before.unwrap_or_default().lines().collect();
    let new: Vec<&str> = after.unwrap_or_default().lines().collect();
    let mut last = None;
    for (line, sign, text) in changed(&old, &new) {
        if last.is_none_or(|last: usize| line > last.saturating_add(1)) {
            out.push_str(&format!("\n@@ line {} @@", line.saturating_add(1)));
        }
        out.push_str(&format!("\n{sign}{}", output::printable(text)));
        last = Some(line);
    }
    out
}

/// Each changed line: its place in the old text, its sign and its text.
fn changed<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<(usize, char, &'a str)> {
    let head = old.iter().zip(new).take_while(|(one, other)| one == other).count();
    let (old_rest, new_rest) = (old.get(head..).unwrap_or_default(), new.get(head..).unwrap_or_default());
    let tail = old_rest.iter().rev().zip(new_rest.iter().rev()).take_while(|(one, other)| one == other).count();
    let old = old_rest.get(..old_rest.len().saturating_sub(tail)).unwrap_or_default();
    let new = new_rest.get(..new_rest.len().saturating_sub(tail)).unwrap_or_default();
    let lengths = if old.len().saturating_mul(new.len()) <= MOST_PAIRS { common(old, new) } else { Vec::new() };
    let width = new.len().saturating_add(1);
    let length =
        |at: usize, other: usize| lengths.get(at.saturating_mul(width).saturating_add(other)).copied().unwrap_or(0);
    let (mut at, mut other, mut out) = (0_usize, 0_usize, Vec::new());
    loop {
        match (old.get(at), new.get(other)) {
            (None, None) => return out,
            (Some(one), Some(two)) if one == two && !lengths.is_empty() => {
                at = at.saturating_add(1);
                other = other.saturating_add(1);
            }
            (Some(gone), two)
                if two.is_none() || length(at.saturating_add(1), other) >= length(at, other.saturating_add(1)) =>
            {
                out.push((head.saturating_add(at), '-', *gone));
                at = at.saturating_add(1);
            }
            (_, Some(came)) => {
                out.push((head.saturating_add(at), '+', *came));
                other = other.saturating_add(1);
            }
            (Some(_), None) => return out,
        }
    }
}

/// How many lines two texts have in common from each pair of places on.
fn common(old: &[&str], new: &[&str]) -> Vec<u32> {
    let width = new.len().saturating_add(1);
    let mut lengths = vec![0_u32; width.saturating_mul(old.len().saturating_add(1))];
    for (at, one) in old.iter().enumerate().rev() {
        for (other, two) in new.iter().enumerate().rev() {
            let place = at.saturating_mul(width).saturating_add(other);
            let below = place.saturating_add(width);
            let of = |place: usize| lengths.get(place).copied().unwrap_or(0);
            let best = if one == two {
                of(below.saturating_add(1)).saturating_add(1)
            } else {
                of(below).max(of(place.saturating_add(1)))
            };
            if let Some(length) = lengths.get_mut(place) {
                *length = best;
            }
        }
    }
    lengths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changes_is_shown() {
        let text = unified("/x".as_ref(), Some("a\nb\nc\nd\n"), Some("a\nB\nc\nd\ne\n"));
        assert_eq!(text, "--- /x\n+++ /x\n@@ line 2 @@\n-b\n+B\n@@ line 5 @@\n+e");
        let text = unified("/x".as_ref(), None, Some("a\n"));
        assert_eq!(text, "--- /dev/null\n+++ /x\n@@ line 1 @@\n+a");
        let many: String = (0..3_000).map(|n| format!("{n}\n")).collect();
        let other: String = (0..3_000).map(|n| format!("x{n}\n")).collect();
        assert_eq!(unified("/x".as_ref(), Some(&many), Some(&other)).lines().count(), 6_003);
    }
}
