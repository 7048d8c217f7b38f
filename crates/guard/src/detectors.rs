//! The registry of detectors, built once per process from the code and the data files in `data/`.
//!
//! A detector is one folder here and one line in [`build`]. Never chooses what runs; that is the chain's.

mod card;
mod email;
mod iban;
mod secrets;

use std::sync::LazyLock;

use crate::{chain::CompileError, guard::Detector};

/// How many detectors there are.
pub(crate) const COUNT: usize = crate::spec::DETECTORS.len();

type Registry = [Box<dyn Detector>; COUNT];

static REGISTRY: LazyLock<Result<Registry, toml::de::Error>> = LazyLock::new(build);

/// In the order of `spec::DETECTORS`.
fn build() -> Result<Registry, toml::de::Error> {
    Ok([
        Box::new(secrets::Secrets::load()?),
        Box::new(email::Email::load()?),
        Box::new(card::Card::load()?),
        Box::new(iban::Iban::load()?),
    ])
}

/// Every detector, in the order of `spec::DETECTORS`.
pub(crate) fn all() -> Result<&'static Registry, CompileError> {
    REGISTRY.as_ref().map_err(|error| CompileError::Data(error.to_string().into()))
}
