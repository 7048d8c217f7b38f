//! The crate as a whole: what configurations and policies decide.

mod arguments;
mod compiling;
mod deciding;
mod fixture;
mod hostile;
mod permits;
mod slices;
mod speed;
