//! The commands, a file each where they hold more than a few lines.

mod audit;
mod call;
mod catalog;
mod chat;
mod check;
mod connect;
mod dialects;
mod doctor;
mod import;
mod init;
pub(crate) mod key;
mod mcp;
mod objects;
mod policy;
mod run;
mod show;
mod tail;

use anyhow::Result;
use clap::CommandFactory as _;

use crate::{
    cli::{Cli, Command, examples, reference},
    client::Client,
    commands::objects::Kind,
    exit,
    output::{self, exit},
};

/// Runs one command.
pub(crate) async fn run(cli: Cli) -> Result<()> {
    match cli.command {
        Command::Up(arguments) => run::up(&arguments).await,
        Command::Serve(arguments) => run::serve(&arguments).await,
        Command::Sim { listen } => run::sim(listen).await,
        Command::Init(arguments) => init::run(&arguments).await,
        Command::Doctor(arguments) => doctor::run(&arguments).await,
        Command::Connect(arguments) => connect::connect(&arguments).await,
        Command::Disconnect(arguments) => connect::disconnect(&arguments).await,
        Command::Import(arguments) => import::run(&arguments),
        Command::Check(arguments) => check::check(&arguments),
        Command::Explain { what } => check::explain(&what),
        Command::Schema { cli: true, .. } => {
            output::raw(&reference::markdown(Cli::command()));
            Ok(())
        }
        Command::Schema { metrics: true, .. } => check::generated(&crate::reference::metrics()),
        Command::Schema { dashboard: true, .. } => check::generated(&format!("{:#}\n", crate::reference::dashboard())),
        Command::Schema { providers: true, .. } => check::providers(),
        Command::Schema { dialects: true, .. } => check::generated(&dialects::markdown()?),
        Command::Schema { openapi, .. } => check::schema(openapi),
        Command::Team(command) => objects::run(Kind::Team, command).await,
        Command::Provider(command) => objects::run(Kind::Provider, command).await,
        Command::Model(command) => objects::run(Kind::Model, command).await,
        Command::Guardrail(command) => objects::run(Kind::Guardrail, command).await,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut examples::with(Cli::command()), "tidegate", &mut script);
            output::raw(&String::from_utf8_lossy(&script));
            Ok(())
        }
        Command::Key(command) => key::run(command).await,
        Command::Chat(arguments) => chat::run(&arguments).await,
        Command::Call(arguments) => call::run(&arguments).await,
        Command::Tail(arguments) => tail::run(&arguments).await,
        Command::Calls(arguments) => show::calls(&arguments).await,
        Command::Why { call, admin } => show::why(&call, &admin).await,
        Command::Spend(arguments) => show::spend(&arguments).await,
        Command::Catalog(command) => catalog::run(command),
        Command::Status(admin) => show::status(&admin).await,
        Command::Policy(command) => policy::run(command).await,
        Command::Mcp(command) => mcp::run(command).await,
        Command::Audit(command) => audit::run(command),
        Command::Api { method, path, body, dry_run, admin } => {
            let method: http::Method = method.to_uppercase().parse()?;
            let body = body.map(|body| serde_json::from_str(&body)).transpose()?;
            let path = path.strip_prefix("/api/v1").unwrap_or(&path);
            let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
            if dry_run && method != http::Method::GET {
                return Err(exit(exit::PENDING, format!("{method} /api/v1{path} would be sent: nothing was done")));
            }
            let answer = Client::new(&admin)?.send(method, &path, body.as_ref()).await?;
            output::line(&serde_json::to_string_pretty(&answer)?);
            Ok(())
        }
    }
}
