//! `--name value` arguments, as both programs take them.

use std::{collections::BTreeMap, str::FromStr};

use anyhow::{Context, Result, bail};

/// The options of a command line; a name may come more than once.
#[derive(Debug, Default)]
pub struct Options(BTreeMap<String, Vec<String>>);

impl Options {
    /// Reads pairs of `--name value`.
    ///
    /// # Errors
    /// Where something stands in the place of a name that is none, or a value is missing.
    pub fn read(arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut options = Self::default();
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            let Some(name) = argument.strip_prefix("--") else {
                bail!("`{argument}` is no option: write --name value")
            };
            let value = arguments.next().with_context(|| format!("--{name} needs a value"))?;
            options.0.entry(name.to_owned()).or_default().push(value);
        }
        Ok(options)
    }

    /// The last value of `name`.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.last().map(String::as_str)
    }

    /// Every value of `name`, in order.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.get(name).into_iter().flatten().map(String::as_str)
    }

    /// The value of `name` as a number, or `otherwise` where it is not given.
    ///
    /// # Errors
    /// Where it is no such number.
    pub fn number<T: FromStr>(&self, name: &str, otherwise: T) -> Result<T> {
        match self.text(name) {
            None => Ok(otherwise),
            Some(text) => text.parse().ok().with_context(|| format!("--{name}: `{text}` is no number of its kind")),
        }
    }
}
