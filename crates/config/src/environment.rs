//! What a configuration may ask of the machine it runs on: variables and files. A port, so that checking is pure.
//!
//! Never runs a command and never reaches the network. The binary uses [`Machine`]; tests use [`Fixed`].

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

/// Variables and files.
pub trait Environment: Send + Sync {
    /// The environment variable `name`; `None` where it is not set or not UTF-8.
    fn variable(&self, name: &str) -> Option<String>;

    /// The text of the file at `path`.
    ///
    /// # Errors
    /// `FileTooLarge` where it has more than `most` bytes, `InvalidData` where it is not UTF-8, and what the file
    /// system says.
    fn read(&self, path: &Path, most: usize) -> io::Result<String>;

    /// The files directly in the folder at `path`, in any order; `None` where it is no folder.
    ///
    /// # Errors
    /// What the file system says.
    fn list(&self, path: &Path) -> io::Result<Option<Vec<PathBuf>>>;
}

/// The real environment of this process.
#[derive(Debug, Clone, Copy, Default)]
pub struct Machine;

impl Environment for Machine {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn read(&self, path: &Path, most: usize) -> io::Result<String> {
        let file = File::open(path)?;
        let mut bytes = Vec::new();
        let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
        file.take(limit).read_to_end(&mut bytes)?;
        if bytes.len() > most {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        String::from_utf8(bytes).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))
    }

    fn list(&self, path: &Path) -> io::Result<Option<Vec<PathBuf>>> {
        if !std::fs::metadata(path)?.is_dir() {
            return Ok(None);
        }
        let mut names = Vec::new();
        for entry in std::fs::read_dir(path)? {
            let path = entry?.path();
            if path.is_file() {
                names.push(path);
            }
        }
        Ok(Some(names))
    }
}

/// An environment that is made up: for tests, and for checking what somebody else's machine would say.
#[derive(Debug, Clone, Default)]
pub struct Fixed {
    /// Variables by name.
    pub variables: BTreeMap<String, String>,
    /// Files by path; a path that is the folder of one of them is a folder.
    pub files: BTreeMap<PathBuf, String>,
}

impl Fixed {
    /// The same with the variable `name`.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The same with the file at `path`.
    #[must_use]
    pub fn file(mut self, path: &str, text: &str) -> Self {
        self.files.insert(PathBuf::from(path), text.to_owned());
        self
    }
}

/// A path without its `.` parts.
fn plain(path: &Path) -> PathBuf {
    path.components().filter(|part| *part != std::path::Component::CurDir).collect()
}

impl Environment for Fixed {
    fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }

    fn read(&self, path: &Path, most: usize) -> io::Result<String> {
        let text = self.files.get(&plain(path)).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        if text.len() > most { Err(io::Error::from(io::ErrorKind::FileTooLarge)) } else { Ok(text.clone()) }
    }

    fn list(&self, path: &Path) -> io::Result<Option<Vec<PathBuf>>> {
        let path = plain(path);
        if self.files.contains_key(&path) {
            return Ok(None);
        }
        let names: Vec<PathBuf> = self.files.keys().filter(|name| name.parent() == Some(&path)).cloned().collect();
        if names.is_empty() { Err(io::Error::from(io::ErrorKind::NotFound)) } else { Ok(Some(names)) }
    }
}
