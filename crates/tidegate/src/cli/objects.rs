//! Arguments of the commands that show what the configuration names.

use clap::Subcommand;

use super::Admin;

/// `list` and `show` of one kind of object.
#[derive(Debug, Subcommand)]
pub(crate) enum Listed {
    /// List them.
    List(Admin),
    /// Show one with everything that the configuration says of it.
    Show {
        /// Its name.
        name: String,
        #[command(flatten)]
        admin: Admin,
    },
}
