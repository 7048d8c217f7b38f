//! Arguments, and nothing else.

pub(crate) mod catalog;
pub(crate) mod examples;
pub(crate) mod import;
pub(crate) mod objects;
pub(crate) mod reference;
pub(crate) mod setup;
pub(crate) mod talk;

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand};

mod mcp;

pub(crate) use mcp::{Mcp, Pins};

use crate::output::Format;

/// The one gate that every model call, tool call and agent call of an organisation passes.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, propagate_version = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a gateway for yourself on this machine: finds providers, makes a key, asks nothing.
    Up(Run),
    /// Start a gateway in production. Refuses missing secrets, `sim`, and public listeners without `hosts`.
    Serve(Run),
    /// Write a commented tidegate.yaml of what was found.
    Init(setup::Init),
    /// Look whether everything is as it has to be: each line says what to do.
    Doctor(setup::Doctor),
    /// Connect a program to the gateway: shows the exact change of its settings, and keeps what was there.
    Connect(setup::Connect),
    /// Undo what `connect` did, to the byte where nobody changed it since.
    Disconnect(setup::Disconnect),
    /// Find every mistake in a configuration, offline and without secrets.
    Check(Check),
    /// Explain an error code (TG0217) or a place in the configuration (models.chat.fallback).
    Explain {
        /// A code or a path.
        what: String,
    },
    /// Print the JSON Schema of the configuration.
    Schema {
        /// Print the admin API's OpenAPI document instead.
        #[arg(long)]
        openapi: bool,
        /// Print the reference of all commands instead, in Markdown.
        #[arg(long, conflicts_with = "openapi")]
        cli: bool,
        /// Print the reference of the metrics instead.
        #[arg(long, conflicts_with = "openapi")]
        metrics: bool,
        /// Print the Grafana dashboard instead.
        #[arg(long, conflicts_with_all = ["openapi", "metrics"])]
        dashboard: bool,
        /// Print the table of the providers that are known instead, in Markdown.
        #[arg(long, conflicts_with_all = ["openapi", "metrics", "dashboard"])]
        providers: bool,
        /// Print what each pair of dialects carries, loses or refuses instead, in Markdown.
        #[arg(long, conflicts_with_all = ["openapi", "metrics", "dashboard", "providers"])]
        dialects: bool,
    },
    /// Keys: create, list, show, edit, issue, rotate, revoke, rm; print the one that this user calls with.
    #[command(subcommand)]
    Key(Key),
    /// Teams of the active revision.
    #[command(subcommand)]
    Team(objects::Listed),
    /// Providers of the active revision.
    #[command(subcommand)]
    Provider(objects::Listed),
    /// Models that callers may name.
    #[command(subcommand)]
    Model(objects::Listed),
    /// Guardrails of the active revision.
    #[command(subcommand)]
    Guardrail(objects::Listed),
    /// Talk to a model through the running gateway.
    Chat(talk::Chat),
    /// Call a tool through the running gateway; a server alone lists its tools.
    Call(talk::Call),
    /// Recent calls.
    Calls(Calls),
    /// Calls as they finish.
    Tail(talk::Tail),
    /// The whole story of one call: who, what, which policies, what each stage said.
    Why {
        /// The call's id, as in the header x-tidegate-call-id.
        call: String,
        #[command(flatten)]
        admin: Admin,
    },
    /// What was spent.
    Spend(Spend),
    /// Models and prices: what a list that others keep would change, and its import.
    #[command(subcommand)]
    Catalog(catalog::Catalog),
    /// Read another gateway's configuration, and write it anew for this one.
    Import(import::Import),
    /// The gateway's state: revision, providers, audit log, calls in flight.
    Status(Admin),
    /// Policies: check them, or show what the configuration compiles to.
    #[command(subcommand)]
    Policy(Policy),
    /// MCP servers of the active revision, and the definitions of their tools that are pinned.
    #[command(subcommand)]
    Mcp(Mcp),
    /// The audit log: verify it, or prove one entry.
    #[command(subcommand)]
    Audit(Audit),
    /// Run the scripted upstream on its own. Its ledger is at /__sim/ledger.
    Sim {
        /// Where to listen.
        #[arg(long, default_value = "127.0.0.1:8790")]
        listen: SocketAddr,
    },
    /// Print the completions of a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Call the admin API: `tidegate api GET /status`.
    Api {
        /// GET, POST, DELETE.
        method: String,
        /// The path below /api/v1.
        path: String,
        /// A JSON body.
        #[arg(long)]
        body: Option<String>,
        /// Say what would be sent and send nothing. Ends with 2.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        admin: Admin,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// A configuration file or folder; may stand more than once.
    #[arg(short, long = "config")]
    pub(crate) config: Vec<PathBuf>,
    /// Where models and tools are served.
    #[arg(long, default_value = "127.0.0.1:8787", env = "TIDEGATE_LISTEN")]
    pub(crate) listen: SocketAddr,
    /// Where the admin API is served.
    #[arg(long, default_value = "127.0.0.1:8788", env = "TIDEGATE_ADMIN_LISTEN")]
    pub(crate) admin_listen: SocketAddr,
    /// Where state is kept.
    #[arg(long, default_value = "./tidegate-data", env = "TIDEGATE_DATA_DIR")]
    pub(crate) data_dir: PathBuf,
    /// How much is logged on stderr: error, warn, info, debug, trace, or `info,tidegate_upstream=debug`. Without, as
    /// RUST_LOG says; without that, `up` logs warnings and `serve` information.
    #[arg(long, value_name = "FILTER", env = "TIDEGATE_LOG")]
    pub(crate) log: Option<String>,
    /// `json` prints one line when the gateway is ready.
    #[arg(short, long, default_value = "table")]
    pub(crate) output: Format,
}

#[derive(Debug, Args)]
pub(crate) struct Admin {
    /// The gateway's control plane; without, that of the gateway that runs over --data-dir.
    #[arg(long, env = "TIDEGATE_ADMIN_URL")]
    pub(crate) admin_url: Option<String>,
    /// The gateway's data directory, for its admin token.
    #[arg(long, default_value = "./tidegate-data", env = "TIDEGATE_DATA_DIR")]
    pub(crate) data_dir: PathBuf,
    /// The form of what is printed.
    #[arg(short, long, default_value = "table")]
    pub(crate) output: Format,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Files or folders.
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Check as `up` would: the simulator is allowed.
    #[arg(long)]
    pub(crate) up: bool,
    /// Pinned tools that policies may name: a file of `tidegate mcp pins export`.
    #[arg(long)]
    pub(crate) pins: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Make a key and print it once.
    Create {
        /// Its name, unique among valid keys.
        name: String,
        /// Its team.
        #[arg(long)]
        team: Option<String>,
        /// A hard budget, for example '10 usd/month'; may stand more than once.
        #[arg(long)]
        budget: Vec<String>,
        /// What it may use: models=a,b or mcp_servers=x,y ('*' for all); may stand more than once.
        #[arg(long)]
        allow: Vec<String>,
        /// When it expires: 30d, 12h.
        #[arg(long)]
        expires: Option<String>,
        /// Guardrails that look at its calls.
        #[arg(long)]
        guardrail: Vec<String>,
        /// Say what would be done and do nothing. Ends with 2.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        admin: Admin,
    },
    /// List keys.
    List(Admin),
    /// Show a key: what it may, its budgets and how they stand.
    Show {
        /// The key's id or name.
        key: String,
        #[command(flatten)]
        admin: Admin,
    },
    /// Print a key to call with: for programs that run a helper. One that the gateway lends is valid for 12 hours.
    Print {
        /// The key, by its name, that the gateway over --data-dir lends; without, the one that this user's commands show.
        #[arg(long, value_name = "NAME")]
        of: Option<String>,
        /// Print a JSON object of headers instead.
        #[arg(long)]
        header: bool,
        #[command(flatten)]
        plane: talk::DataPlane,
    },
    /// Keep a key that is read from stdin, for commands and helpers of this user.
    Store,
    /// Make the secret of a key that the configuration declares, and print it once.
    Issue {
        /// The key's name.
        name: String,
        /// Say what would be done and do nothing. Ends with 2.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        admin: Admin,
    },
    /// Change what a key may do and spend: what is not named stays as it is.
    Edit(EditKey),
    /// Remove a key: it is refused from now on, its open streams are cut, and its name is free.
    Rm {
        /// The key's id or name.
        key: String,
        /// Say what would be done and do nothing. Ends with 2.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        admin: Admin,
    },
    /// Give a key a new secret; the old one is refused at once.
    Rotate {
        /// The key's id or name.
        key: String,
        /// Say what would be done and do nothing. Ends with 2.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        admin: Admin,
    },
    /// Refuse a key from now on, and cut its open streams.
    Revoke {
        /// The key's id or name.
        key: String,
        /// Say what would be done and do nothing. Ends with 2.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        admin: Admin,
    },
}

/// `tidegate key edit`.
#[derive(Debug, Args)]
pub(crate) struct EditKey {
    /// The key's id or name.
    pub(crate) key: String,
    /// Another team.
    #[arg(long)]
    pub(crate) team: Option<String>,
    /// A hard budget in place of all before, for example '10 usd/month'; may stand more than once.
    #[arg(long)]
    pub(crate) budget: Vec<String>,
    /// What it may use: models=a,b or mcp_servers=x,y ('*' for all, nothing behind the = for none); the other list
    /// stays. May stand more than once.
    #[arg(long)]
    pub(crate) allow: Vec<String>,
    /// A limit: requests=60/min, tokens=200000/min, concurrent=5; the others stay. May stand more than once.
    #[arg(long)]
    pub(crate) limit: Vec<String>,
    /// When it expires: 30d, 12h.
    #[arg(long)]
    pub(crate) expires: Option<String>,
    /// A guardrail that looks at its calls, in place of all before; may stand more than once.
    #[arg(long)]
    pub(crate) guardrail: Vec<String>,
    /// Take away all of a kind; may stand more than once.
    #[arg(long, value_parser = ["team", "budget", "limits", "expires", "guardrails"])]
    pub(crate) clear: Vec<String>,
    /// Say what would be done and do nothing. Ends with 2.
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) admin: Admin,
}

#[derive(Debug, Args)]
pub(crate) struct Calls {
    /// Only this key's.
    #[arg(long)]
    pub(crate) key: Option<String>,
    /// Only those that ended with this error code; `any` for every error.
    #[arg(long)]
    pub(crate) error: Option<String>,
    /// At most this many.
    #[arg(long, default_value_t = 20)]
    pub(crate) limit: usize,
    #[command(flatten)]
    pub(crate) admin: Admin,
}

#[derive(Debug, Args)]
pub(crate) struct Spend {
    /// What to sum by.
    #[arg(long, default_value = "key", value_parser = ["key", "team", "model", "provider"])]
    pub(crate) by: String,
    #[command(flatten)]
    pub(crate) admin: Admin,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// Find every mistake in a configuration's policies.
    Check(Check),
    /// Compare policies with a table of expected decisions. Exits with 1 where one differs.
    Test {
        /// The table: YAML with `tests`, each with `principal`, `action`, `resource`, `args`, `context`, `expect`, `by`.
        table: PathBuf,
        /// The configuration that is tested, in place of the one that the table names; may stand more than once.
        #[arg(short, long = "config")]
        config: Vec<PathBuf>,
        /// Pinned tools, in place of those that the table names: a file of `tidegate mcp pins export`.
        #[arg(long)]
        pins: Option<PathBuf>,
        /// The form of what is printed.
        #[arg(short, long, default_value = "table")]
        output: Format,
    },
    /// Show every policy, those that `allow` lists compile to among them.
    Show {
        /// Files or folders; without, the running gateway is asked.
        files: Vec<PathBuf>,
        /// Pinned tools that policies may name: a file of `tidegate mcp pins export`.
        #[arg(long, requires = "files")]
        pins: Option<PathBuf>,
        #[command(flatten)]
        admin: Admin,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// Verify a log offline: every file, every hash, the signature. Exits with 1 on the first thing that does not hold.
    Verify {
        /// The log's directory.
        #[arg(default_value = "./tidegate-data/audit")]
        dir: PathBuf,
        /// The log's public key (a vkey line or a file that holds one); without, DIR/log.pub.
        #[arg(long)]
        key: Option<String>,
        /// The form of what is printed.
        #[arg(short, long, default_value = "table")]
        output: Format,
    },
    /// Print a body that was kept, by the name that the call's outcome gives it.
    Body {
        /// The blob's name: 64 hexadecimal digits.
        digest: String,
        /// The gateway's data directory.
        #[arg(long, default_value = "./tidegate-data", env = "TIDEGATE_DATA_DIR")]
        data_dir: PathBuf,
    },
    /// Print the proof (.tlog-proof) of one entry: its leaf, as in the header x-tidegate-receipt.
    Prove {
        /// The leaf.
        leaf: u64,
        /// The log's directory.
        #[arg(default_value = "./tidegate-data/audit")]
        dir: PathBuf,
    },
}
