//! Prints problems: one line that names code, place and path, the source line with a caret, and the hint.
//!
//! Never prints a secret: masked spans and words that look like one are starred out, whatever the problem is about.
//! Called by the command line, the status API and the log.

use crate::{
    problem::Problem,
    reference,
    source::{Sources, Span, floor},
};

/// The widest piece of a source line that is printed, in characters.
const WIDTH: usize = 100;
/// The most problems that are printed at once.
const MOST: usize = 100;

/// One problem as text, without a final newline.
#[must_use]
pub fn render(problem: &Problem, sources: &Sources) -> String {
    let mut out = format!("{}[{}]", problem.severity.as_str(), problem.code);
    let at = problem.span.and_then(|span| Some((span, sources.file(span)?, sources.position(span)?)));
    if let Some((_, file, position)) = &at {
        out.push_str(&format!(" {}:{}:{}", file.name, position.line, position.column));
    } else if let Some(place) = &problem.elsewhere {
        out.push_str(&format!(" {place}"));
    }
    if !problem.path.is_empty() {
        out.push(' ');
        out.push_str(&problem.path);
    }
    out.push_str(": ");
    out.push_str(&problem.message);
    if let Some((span, file, position)) = at {
        excerpt(&mut out, &file.text, span, position.line, sources.masks());
    } else if let Some(place) = problem.elsewhere.as_ref().filter(|place| !place.line.is_empty()) {
        let start =
            place.line.char_indices().nth(place.at.column.saturating_sub(1)).map_or(place.line.len(), |(at, _)| at);
        let start = u32::try_from(start).unwrap_or(u32::MAX);
        // What is masked is masked in the configuration's own texts; words that look secret are starred out here too.
        excerpt(&mut out, &place.line, Span { file: 0, start, end: start }, place.at.line, &[]);
    }
    if let Some(hint) = &problem.hint {
        out.push_str("\nhint: ");
        out.push_str(hint);
    }
    out
}

/// Every problem as text, each followed by an empty line, and a last line that counts them.
#[must_use]
pub fn render_all(problems: &[Problem], sources: &Sources) -> String {
    let mut out = String::new();
    for problem in problems.iter().take(MOST) {
        out.push_str(&render(problem, sources));
        out.push_str("\n\n");
    }
    if problems.len() > MOST {
        out.push_str(&format!("and {} more\n\n", problems.len().saturating_sub(MOST)));
    }
    let errors = problems.iter().filter(|problem| problem.severity == crate::problem::Severity::Error).count();
    match errors {
        0 => {}
        1 => out.push_str("1 error\n"),
        many => out.push_str(&format!("{many} errors\n")),
    }
    out
}

fn excerpt(out: &mut String, text: &str, span: Span, line: usize, masks: &[Span]) {
    let start = floor(text, usize::try_from(span.start).unwrap_or(usize::MAX));
    let line_start = text.get(..start).and_then(|before| before.rfind('\n')).map_or(0, |at| at.saturating_add(1));
    let line_end = text.get(start..).and_then(|rest| rest.find('\n')).map_or(text.len(), |at| at.saturating_add(start));
    let whole = text.get(line_start..line_end).unwrap_or_default().trim_end_matches('\r');
    let column = text.get(line_start..start).unwrap_or_default().chars().count();
    let end = floor(text, usize::try_from(span.end).unwrap_or(usize::MAX)).min(line_end);
    let width = text.get(start..end).unwrap_or_default().trim_end().chars().count().max(1);
    let first = if column > WIDTH.saturating_sub(20) { column.saturating_sub(WIDTH / 2) } else { 0 };
    let piece = starred(whole, (first, WIDTH), line_start, span.file, masks);
    let number = line.to_string();
    let margin = " ".repeat(number.len());
    let indent = " ".repeat(column.saturating_sub(first));
    let room = WIDTH.saturating_sub(column.saturating_sub(first)).max(1);
    out.push_str(&format!("\n {number} | {}\n {margin} | {indent}{}", piece.trim_end(), "^".repeat(width.min(room))));
}

/// What is looked at on both sides of a printed piece for words that must not be seen, in bytes.
const AROUND: usize = 8 * 1024;

/// A piece of a line, by first character and width, with everything that must not be seen as stars. Looks at no more
/// of the line than the piece and what stands around it, since a line may be as long as a file.
fn starred(line: &str, (first, width): (usize, usize), line_start: usize, file: u32, masks: &[Span]) -> String {
    let piece: Vec<(usize, char)> = line.char_indices().skip(first).take(width).collect();
    let (Some((start, _)), Some((end, _))) = (piece.first().copied(), piece.last().copied()) else {
        return String::new();
    };
    let from = floor(line, start.saturating_sub(AROUND));
    let to = floor(line, end.saturating_add(AROUND));
    let mut hidden: Vec<(usize, usize)> = masks
        .iter()
        .filter(|mask| mask.file == file)
        .map(|mask| (usize::try_from(mask.start).unwrap_or(0), usize::try_from(mask.end).unwrap_or(0)))
        .map(|(start, end)| (start.saturating_sub(line_start), end.saturating_sub(line_start)))
        .filter(|(first, last)| *last > start && *first <= end)
        .collect();
    let words = reference::secret_ranges(line.get(from..to).unwrap_or_default());
    hidden.extend(words.into_iter().map(|(start, end)| (start.saturating_add(from), end.saturating_add(from))));
    piece
        .into_iter()
        .map(|(at, letter)| match letter {
            _ if hidden.iter().any(|(start, end)| (*start..*end).contains(&at)) => '*',
            letter if letter.is_control() => ' ',
            letter => letter,
        })
        .collect()
}
