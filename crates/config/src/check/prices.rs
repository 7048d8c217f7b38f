//! Reads price files. What they mean is the ledger's; where they stand and what is said of a wrong one is here.

use std::path::Path;

use tidegate_ledger::Catalog;

use super::Checker;
use crate::{
    codes,
    source::{MAX_FILE_BYTES, MAX_FILES},
};

/// What to do about a price file that cannot be used.
const HINT: &str = "name a `catalog.v1` file, or a folder of such `.json` files; `tidegate catalog import` writes one";

impl Checker<'_> {
    /// The prices of all price files; what cannot be used is reported.
    pub(super) fn prices(&mut self) -> Catalog {
        let mut files = Vec::new();
        for (at, path) in self.document.prices.0.iter().enumerate() {
            let at = if self.document.prices.0.len() == 1 { String::from("prices") } else { format!("prices[{at}]") };
            let span = self.written.places.value(&at);
            let folder = span.and_then(|span| self.written.sources.file(span)).map(|file| file.folder.clone());
            let named = folder.unwrap_or_default().join(path);
            self.watched.push(named.clone());
            match self.environment.list(&named) {
                Ok(None) => files.push((at, named)),
                Ok(Some(mut names)) => {
                    names.retain(|name| name.extension().is_some_and(|extension| extension == "json"));
                    names.sort();
                    files.extend(names.into_iter().map(|name| (at.clone(), name)));
                }
                Err(error) => {
                    let message = format!("cannot read prices at `{}`: {error}", named.display());
                    self.error(codes::PRICE_FILE, &at, message, HINT);
                }
            }
        }
        if files.len() > MAX_FILES {
            self.error(codes::TOO_LARGE, "prices", format!("more than {MAX_FILES} price files"), "put prices together");
            return Catalog::default();
        }
        let mut prices = Catalog::default();
        for (at, name) in files {
            self.price_file(&at, &name, &mut prices);
        }
        prices
    }

    fn price_file(&mut self, at: &str, name: &Path, prices: &mut Catalog) {
        let shown = name.display().to_string();
        match self.environment.read(name, MAX_FILE_BYTES) {
            Ok(text) => {
                if let Err(error) = prices.add(&shown, &text) {
                    self.error(codes::PRICE_FILE, at, error.to_string(), HINT);
                }
            }
            Err(error) => {
                self.error(codes::PRICE_FILE, at, format!("cannot read the price file `{shown}`: {error}"), HINT);
            }
        }
    }
}
