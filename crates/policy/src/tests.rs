//! The crate as a whole: what configurations and policies decide.

mod arguments;
mod compiling;
mod conditions;
mod deciding;
mod fixture;
mod hostile;
mod permits;
mod provider_api;
mod slices;
mod speed;
