//! The arguments of `catalog`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::output::Format;

#[derive(Debug, Subcommand)]
pub(crate) enum Catalog {
    /// Show what a price list would change. Ends with 2 where it would change something.
    Diff {
        #[command(flatten)]
        list: List,
    },
    /// Write a price list as a price file, which `prices` in the configuration names. Refused while a finding about it
    /// is not accepted.
    Import {
        #[command(flatten)]
        list: List,
        /// Let a finding pass: its kind, or its kind and model as in moved=openai/gpt-5; may stand more than once.
        #[arg(long, value_name = "KIND[=MODEL]")]
        accept: Vec<String>,
        /// Where the prices were found; without, where the list is kept by those who keep it.
        #[arg(long)]
        source: Option<String>,
        /// Show what would be changed and write nothing. Ends with 2 where something would be.
        #[arg(long)]
        dry_run: bool,
    },
    /// Say what calls cost, or would have: a line of JSON each, as {"model": "openai/gpt-5", "usage": {"input": 1000,
    /// "cache_read": 0, "output": 200, "service": "flex"}}. Answers a line each, with the parts of the sum.
    Price {
        /// The lines; `-` reads stdin.
        #[arg(default_value = "-")]
        lines: PathBuf,
        /// A price file whose models count over the catalogue's; may stand more than once.
        #[arg(long)]
        file: Vec<PathBuf>,
    },
}

/// A list, and what it is held against.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// The list: LiteLLM's model_prices_and_context_window.json or genai-prices' data.json; `-` reads stdin.
    pub(crate) list: PathBuf,
    /// Whose form the list has; without, it is told by how it begins.
    #[arg(long)]
    pub(crate) from: Option<From>,
    /// The price file that is written, or would be.
    #[arg(long, default_value = "prices/imported.json")]
    pub(crate) file: PathBuf,
    /// Only models of this type of provider (openai, anthropic, google, …); may stand more than once.
    #[arg(long)]
    pub(crate) provider: Vec<String>,
    /// The day whose prices count, as 2026-03-21; without, today.
    #[arg(long)]
    pub(crate) date: Option<String>,
    /// The form of what is printed.
    #[arg(short, long, default_value = "table")]
    pub(crate) output: Format,
}

/// Whose form a list has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum From {
    /// One object, dollars for one token.
    Litellm,
    /// A list of providers, dollars for a million tokens.
    GenaiPrices,
}
