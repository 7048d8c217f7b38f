//! The commands, a file each where they hold more than a few lines.

mod audit;
mod call;
mod chat;
mod check;
mod key;
mod mcp;
mod policy;
mod run;
mod show;
mod tail;

use anyhow::Result;

use crate::{
    cli::{Cli, Command},
    client::Client,
    output,
};

/// Runs one command.
pub(crate) async fn run(cli: Cli) -> Result<()> {
    match cli.command {
        Command::Up(arguments) => run::up(&arguments).await,
        Command::Serve(arguments) => run::serve(&arguments).await,
        Command::Sim { listen } => run::sim(listen).await,
        Command::Check(arguments) => check::check(&arguments),
        Command::Explain { what } => check::explain(&what),
        Command::Schema { openapi } => check::schema(openapi),
        Command::Key(command) => key::run(command).await,
        Command::Chat(arguments) => chat::run(&arguments).await,
        Command::Call(arguments) => call::run(&arguments).await,
        Command::Tail(arguments) => tail::run(&arguments).await,
        Command::Calls(arguments) => show::calls(&arguments).await,
        Command::Why { call, admin } => show::why(&call, &admin).await,
        Command::Spend(arguments) => show::spend(&arguments).await,
        Command::Status(admin) => show::status(&admin).await,
        Command::Policy(command) => policy::run(command).await,
        Command::Mcp(command) => mcp::run(command).await,
        Command::Audit(command) => audit::run(command),
        Command::Api { method, path, body, admin } => {
            let method = method.to_uppercase().parse()?;
            let body = body.map(|body| serde_json::from_str(&body)).transpose()?;
            let path = path.strip_prefix("/api/v1").unwrap_or(&path);
            let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
            let answer = Client::new(&admin)?.send(method, &path, body.as_ref()).await?;
            output::line(&serde_json::to_string_pretty(&answer)?);
            Ok(())
        }
    }
}
