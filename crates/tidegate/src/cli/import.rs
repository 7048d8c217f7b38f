//! The arguments of `import`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::output::Format;

/// Another gateway's configuration.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// Whose configuration it is.
    #[arg(value_enum)]
    pub(crate) from: Source,
    /// Its file; `-` is stdin.
    pub(crate) source: PathBuf,
    /// Where to write the configuration.
    #[arg(short = 'f', long, value_name = "FILE", default_value = "tidegate.yaml")]
    pub(crate) file: PathBuf,
    /// Replace a file that is there.
    #[arg(long)]
    pub(crate) force: bool,
    /// Show the configuration instead of writing it.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// How to print the report: as a table on stderr, or for scripts on stdout.
    #[arg(short, long, default_value = "table")]
    pub(crate) output: Format,
}

/// Gateways whose configuration can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Source {
    /// LiteLLM's config.yaml.
    Litellm,
    /// A Portkey config.
    Portkey,
    /// Bifrost's config.json.
    Bifrost,
    /// agentgateway's config.yaml.
    Agentgateway,
}
