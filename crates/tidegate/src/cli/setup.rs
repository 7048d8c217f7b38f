//! Arguments of the commands that set things up and look whether they are.

use std::path::PathBuf;

use clap::Args;

use super::{Admin, talk::DataPlane};

/// `tidegate init`.
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The file to write.
    #[arg(default_value = "tidegate.yaml")]
    pub(crate) file: PathBuf,
    /// Write over a file that is there; what it held is kept beside it.
    #[arg(long)]
    pub(crate) force: bool,
    /// Print the file instead of writing it. Ends with 2 where it would be written.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// `tidegate doctor`.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// A configuration file or folder; may stand more than once. Without, ./tidegate.yaml where there is one.
    #[arg(short, long = "config")]
    pub(crate) config: Vec<PathBuf>,
    /// Do not ask whether providers can be reached.
    #[arg(long)]
    pub(crate) offline: bool,
    #[command(flatten)]
    pub(crate) admin: Admin,
}

/// `tidegate connect`.
#[derive(Debug, Args)]
pub(crate) struct Connect {
    /// claude-code, claude-desktop, codex, cursor, gemini, opencode, vscode, openai-python, anthropic-python or
    /// google-python; without, they are listed.
    pub(crate) client: Option<String>,
    /// Print the lines for a shell instead of writing a file: eval "$(tidegate connect openai-python --print)".
    #[arg(long)]
    pub(crate) print: bool,
    /// Show what would be changed and change nothing. Ends with 2 where something would be.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask before a change.
    #[arg(short, long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) plane: DataPlane,
}

/// `tidegate disconnect`.
#[derive(Debug, Args)]
pub(crate) struct Disconnect {
    /// The client.
    pub(crate) client: String,
    /// Show what would be changed and change nothing. Ends with 2 where something would be.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask before a change.
    #[arg(short, long)]
    pub(crate) yes: bool,
}
