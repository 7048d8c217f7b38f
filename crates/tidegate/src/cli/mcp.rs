//! The arguments of `mcp`.

use std::path::PathBuf;

use clap::Subcommand;

use super::Admin;

#[derive(Debug, Subcommand)]
pub(crate) enum Mcp {
    /// List the MCP servers.
    List(Admin),
    /// Show a server with everything that the configuration says of it.
    Show {
        /// Its name.
        name: String,
        #[command(flatten)]
        admin: Admin,
    },
    /// Pinned tool definitions: list, export, refresh, rm.
    #[command(subcommand)]
    Pins(Pins),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Pins {
    /// List pinned tools, and what changed since they were pinned.
    List {
        /// Only this server's.
        server: Option<String>,
        /// Only tools that changed.
        #[arg(long)]
        changed: bool,
        #[command(flatten)]
        admin: Admin,
    },
    /// Write the file that `tidegate check --pins` reads.
    Export {
        /// Only this server's.
        server: Option<String>,
        /// Where to write; without it, standard output.
        #[arg(long)]
        file: Option<PathBuf>,
        #[command(flatten)]
        admin: Admin,
    },
    /// Ask a server for its tools and pin them as they are now, in a revision of its own.
    Refresh {
        /// The server.
        server: String,
        /// Only this tool.
        tool: Option<String>,
        /// Say only what would change; exits with 2 where something would.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        admin: Admin,
    },
    /// Forget the pin of a tool: the next list that names the tool pins it anew.
    Rm {
        /// The server.
        server: String,
        /// The tool.
        tool: String,
        #[command(flatten)]
        admin: Admin,
    },
}
