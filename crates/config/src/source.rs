//! The texts that a configuration was read from, and places in them.
//!
//! Owns spans, line and column numbers, and which parts of a text must never be printed. Reads nothing itself except
//! through [`Environment`]. Called by the parser, by diagnostics and by the watcher.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::{codes, environment::Environment, problem::Problem};

/// The largest configuration file that is read, in bytes.
pub const MAX_FILE_BYTES: usize = 4 * 1024 * 1024;
/// The most files that a configuration folder may hold.
pub const MAX_FILES: usize = 256;

/// A place in a source: byte offsets into one file, end exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// Which source, by its position in [`Sources`].
    pub file: u32,
    /// The first byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

/// A line and a column, both counted from 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
}

/// One text with its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The name as diagnostics print it: the path as the user gave it.
    pub name: String,
    /// The text.
    pub text: String,
    /// The folder that relative paths in the text start from.
    pub folder: PathBuf,
}

/// The texts of one configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    files: Vec<Source>,
    masks: Vec<Span>,
}

impl Sources {
    /// One text that came from nowhere in particular, such as the admin API or a test.
    #[must_use]
    pub fn of_text(name: &str, text: &str) -> Self {
        let folder = Path::new(name).parent().map_or_else(PathBuf::new, Path::to_path_buf);
        Self { files: vec![Source { name: name.to_owned(), text: text.to_owned(), folder }], masks: Vec::new() }
    }

    /// Several texts.
    #[must_use]
    pub fn of(files: Vec<Source>) -> Self {
        Self { files, masks: Vec::new() }
    }

    /// Reads the files and folders at `paths`: of a folder every `.yaml`, `.yml` and `.json` file directly in it, by
    /// name. Relative paths inside a file start from the file's own folder.
    ///
    /// # Errors
    /// A problem for each path that cannot be read, is too large or is not UTF-8.
    pub fn load(paths: &[PathBuf], environment: &dyn Environment) -> Result<Self, Vec<Problem>> {
        let mut files = Vec::new();
        let mut problems = Vec::new();
        for path in paths {
            let names = match list(path, environment) {
                Ok(names) => names,
                Err(error) => {
                    problems.push(unreadable(path, &error));
                    continue;
                }
            };
            for name in names {
                match read(&name, environment) {
                    Ok(source) if files.len() < MAX_FILES => files.push(source),
                    Ok(_) => {
                        problems.push(
                            Problem::new(codes::TOO_LARGE, None, "", format!("more than {MAX_FILES} files"))
                                .hint("put several objects into one file"),
                        );
                        return Err(problems);
                    }
                    Err(problem) => problems.push(problem),
                }
            }
        }
        if problems.is_empty() && files.is_empty() {
            let names: Vec<String> = paths.iter().map(|path| format!("`{}`", path.display())).collect();
            problems.push(
                Problem::new(codes::UNREADABLE, None, "", format!("no configuration in {}", names.join(", ")))
                    .hint("name a `.yaml` or `.json` file, or a folder that holds some"),
            );
        }
        if problems.is_empty() { Ok(Self { files, masks: Vec::new() }) } else { Err(problems) }
    }

    /// Every text, in order.
    #[must_use]
    pub fn files(&self) -> &[Source] {
        &self.files
    }

    /// The text that `span` lies in.
    #[must_use]
    pub fn file(&self, span: Span) -> Option<&Source> {
        self.files.get(usize::try_from(span.file).ok()?)
    }

    /// Line and column where `span` starts.
    #[must_use]
    pub fn position(&self, span: Span) -> Option<Position> {
        let text = &self.file(span)?.text;
        let start = floor(text, usize::try_from(span.start).ok()?);
        let before = text.get(..start)?;
        let line_start = before.rfind('\n').map_or(0, |at| at.saturating_add(1));
        Some(Position {
            line: memchr_lines(before).saturating_add(1),
            column: before.get(line_start..)?.chars().count().saturating_add(1),
        })
    }

    /// `file:line`, as a hint names a place.
    #[must_use]
    pub fn place(&self, span: Span) -> String {
        match (self.file(span), self.position(span)) {
            (Some(file), Some(at)) => format!("{}:{}", file.name, at.line),
            _ => String::from("elsewhere"),
        }
    }

    /// The line in words, relative to `from`: `line 5` in the same file, `other.yaml:5` in another.
    #[must_use]
    pub fn place_from(&self, from: Option<Span>, span: Span) -> String {
        match self.position(span) {
            Some(at) if from.is_none_or(|from| from.file == span.file) => format!("line {}", at.line),
            _ => self.place(span),
        }
    }

    /// Marks a part of a text as one that is never printed.
    pub(crate) fn mask(&mut self, span: Span) {
        self.masks.push(span);
    }

    /// What must never be printed.
    pub(crate) fn masks(&self) -> &[Span] {
        &self.masks
    }
}

/// The largest character boundary of `text` that is at most `at`.
pub(crate) fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at = at.saturating_sub(1);
    }
    at
}

fn memchr_lines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}

fn unreadable(path: &Path, error: &io::Error) -> Problem {
    let why = match error.kind() {
        io::ErrorKind::NotFound => String::from("it does not exist"),
        io::ErrorKind::PermissionDenied => String::from("no permission"),
        io::ErrorKind::InvalidData => String::from("it is not UTF-8 text"),
        _ => error.to_string(),
    };
    Problem::new(codes::UNREADABLE, None, "", format!("cannot read `{}`: {why}", path.display()))
        .hint("check the path and the file's permissions")
}

fn list(path: &Path, environment: &dyn Environment) -> io::Result<Vec<PathBuf>> {
    let Some(mut names) = environment.list(path)? else { return Ok(vec![path.to_path_buf()]) };
    names.retain(|name| {
        let extension = name.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        let hidden = name.file_name().and_then(|name| name.to_str()).is_none_or(|name| name.starts_with('.'));
        !hidden && matches!(extension, "yaml" | "yml" | "json")
    });
    names.sort();
    Ok(names)
}

fn read(path: &Path, environment: &dyn Environment) -> Result<Source, Problem> {
    let text = environment.read(path, MAX_FILE_BYTES).map_err(|error| match error.kind() {
        io::ErrorKind::FileTooLarge => Problem::new(
            codes::TOO_LARGE,
            None,
            "",
            format!("`{}` is larger than {} MiB", path.display(), MAX_FILE_BYTES / (1024 * 1024)),
        )
        .hint("split it: `-c` takes a folder of files"),
        _ => unreadable(path, &error),
    })?;
    let folder = path.parent().map_or_else(PathBuf::new, Path::to_path_buf);
    Ok(Source { name: path.display().to_string(), text, folder })
}
