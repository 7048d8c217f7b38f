//! Reads price files. What they mean is the ledger's; where they stand and what is said of a wrong one is here.

use std::path::Path;

use tidegate_core::unit::{Unit, Word};
use tidegate_ledger::{
    Catalog,
    price::units::{example, parse_per_unit},
};

use super::Checker;
use crate::{
    codes,
    document::{Price, UnitPrice},
    node::join,
    problem::quote,
    source::{MAX_FILE_BYTES, MAX_FILES},
};

/// What to do about a price file that cannot be used.
const HINT: &str = "name a `catalog.v1` file, or a folder of such `.json` files; `tidegate catalog import` writes one";

impl Checker<'_> {
    /// A price that a model's entry states: it prices something, and every unit is one.
    pub(super) fn price(&mut self, path: &str, price: &Price) {
        // What is there and could not be read is reported already.
        let stands = |field: &str| self.written.places.has(&join(path, field));
        let by_tokens = (price.input.is_some() || stands("input"), price.output.is_some() || stands("output"));
        let caches = [price.cache_read, price.cache_write_5m, price.cache_write_1h];
        let nothing = price.units.is_empty() && price.pictures.is_empty();
        let half = by_tokens.0 != by_tokens.1;
        if half || (by_tokens == (false, false) && (nothing || caches.iter().any(Option::is_some))) {
            let field = if by_tokens.0 { "output" } else { "input" };
            let message = format!("`{field}` is missing");
            let hint = "write `input` and `output`, or `units` alone where the vendor charges by no token";
            self.error(codes::MISSING_FIELD, path, message, hint);
        }
        for (name, written) in &price.units {
            let at = join(&join(path, "units"), name);
            match Unit::named(name) {
                Some(unit) => self.unit_price(&at, unit, written),
                None => {
                    let names: Vec<&str> = Unit::ALL.into_iter().map(Unit::as_str).collect();
                    let message = format!("{} is no unit that is priced", quote(name));
                    self.error(codes::BAD_PRICE, &at, message, format!("write one of {}", names.join(", ")));
                }
            }
        }
        for (at, sort) in price.pictures.iter().enumerate() {
            let at = format!("{}[{at}]", join(path, "pictures"));
            self.unit_price(&join(&at, "price"), Unit::Image, &sort.price);
            for (name, text) in [("size", &sort.size), ("quality", &sort.quality)] {
                let none = |text: &str| matches!(Word::new(text), word if word.is_none() || word == Word::OTHER);
                if text.as_deref().is_some_and(none) {
                    let hint = "write it as calls name it, for example `1024x1024` or `hd`: at most twelve letters, digits and `-_.:`";
                    self.error(codes::BAD_PRICE, &join(&at, name), format!("this is no {name} of a picture"), hint);
                }
            }
        }
    }

    fn unit_price(&mut self, path: &str, unit: Unit, written: &UnitPrice) {
        if let Err(error) = parse_per_unit(unit, &written.0) {
            let message = format!("{} is no price of this unit: {}", quote(&written.0), error.problem);
            self.error(codes::BAD_PRICE, path, message, format!("write for example `{}`", example(unit)));
        }
    }

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
