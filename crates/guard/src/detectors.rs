//! The registry of detectors, built once per process from the code and the data files in `data/`.
//!
//! A detector is one folder here and one line in [`build`]. Never chooses what runs; that is the chain's.

mod card;
mod cue;
mod email;
mod iban;
mod ip;
mod national_id;
mod phone;
mod secrets;
mod shape;

use std::sync::LazyLock;

use crate::{chain::CompileError, guard::Detector};

/// How many detectors there are.
pub(crate) const COUNT: usize = crate::spec::DETECTORS.len();

type Registry = Vec<Box<dyn Detector>>;

static REGISTRY: LazyLock<Result<Registry, toml::de::Error>> = LazyLock::new(build);

/// In the order of `spec::DETECTORS`.
fn build() -> Result<Registry, toml::de::Error> {
    let mut registry: Registry = vec![
        Box::new(secrets::Secrets::load()?),
        Box::new(email::Email::load()?),
        Box::new(phone::Phone::load()?),
        Box::new(card::Card::load()?),
        Box::new(iban::Iban::load()?),
        Box::new(ip::Ip::load(false)?),
        Box::new(ip::Ip::load(true)?),
    ];
    for detector in national_id::NationalId::load_all()? {
        registry.push(Box::new(detector));
    }
    Ok(registry)
}

/// Every detector, in the order of `spec::DETECTORS`.
pub(crate) fn all() -> Result<&'static Registry, CompileError> {
    REGISTRY.as_ref().map_err(|error| CompileError::Data(error.to_string().into()))
}
