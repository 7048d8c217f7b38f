//! Arguments of the commands that talk through a running gateway.

use std::path::PathBuf;

use clap::Args;

use super::Admin;
use crate::output::Format;

/// Which gateway is called, and how the answer is printed.
#[derive(Debug, Args)]
pub(crate) struct DataPlane {
    /// The gateway's data plane; without, the gateway that runs over --data-dir.
    #[arg(long, env = "TIDEGATE_URL")]
    pub(crate) url: Option<String>,
    /// The data directory of a gateway on this machine, for its address and the key that it lends.
    #[arg(long, default_value = "./tidegate-data", env = "TIDEGATE_DATA_DIR")]
    pub(crate) data_dir: PathBuf,
    /// The form of what is printed.
    #[arg(short, long, default_value = "table")]
    pub(crate) output: Format,
}

/// `tidegate chat`.
#[derive(Debug, Args)]
pub(crate) struct Chat {
    /// What to say; without, it is read from stdin, and in a terminal you are asked again and again.
    pub(crate) prompt: Option<String>,
    /// The model; without, an alias of the configuration, else a model of a found provider, else sim/chat.
    #[arg(short, long, env = "TIDEGATE_MODEL")]
    pub(crate) model: Option<String>,
    /// Instructions that stand before the conversation.
    #[arg(short, long)]
    pub(crate) system: Option<String>,
    /// The most tokens of an answer.
    #[arg(long)]
    pub(crate) max_tokens: Option<u32>,
    #[command(flatten)]
    pub(crate) plane: DataPlane,
}

/// `tidegate call`.
#[derive(Debug, Args)]
pub(crate) struct Call {
    /// SERVER/TOOL or SERVER__TOOL; a server alone lists its tools.
    pub(crate) tool: String,
    /// An argument, name=value; a value is read as the tool's schema says. May stand more than once.
    #[arg(long = "arg", value_name = "NAME=VALUE")]
    pub(crate) arguments: Vec<String>,
    /// All arguments as a JSON object; `-` reads it from stdin.
    #[arg(long, value_name = "JSON", conflicts_with = "arguments")]
    pub(crate) json: Option<String>,
    #[command(flatten)]
    pub(crate) plane: DataPlane,
}

/// `tidegate tail`.
#[derive(Debug, Args)]
pub(crate) struct Tail {
    /// Only this key's.
    #[arg(long)]
    pub(crate) key: Option<String>,
    /// Only those that ended with this error code; `any` for every error.
    #[arg(long)]
    pub(crate) error: Option<String>,
    /// How many earlier calls are shown first.
    #[arg(short = 'n', long, default_value_t = 10)]
    pub(crate) last: usize,
    /// Stop after so many new calls.
    #[arg(long)]
    pub(crate) count: Option<usize>,
    #[command(flatten)]
    pub(crate) admin: Admin,
}
