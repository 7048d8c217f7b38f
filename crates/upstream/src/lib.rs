//! The only way out: whatever the gateway sends to a provider or a server leaves through this crate.
//!
//! Owns connections (with the SSRF guard), credentials, routes, the attempt engine, streams of events, the MCP client
//! and the built-in simulator. [`Upstream::dispatch`] is the only function that sends a caller's call, and it demands
//! the proofs of every stage before it; [`Upstream::relay`] carries frames of protocol sessions, [`Upstream::control`]
//! the gateway's own requests. Never decides whether a call may go, never shapes an answer for a surface. The proxy
//! calls it; the configuration builds its targets.

pub mod address;
mod answered;
mod attempt;
mod body;
pub mod breaker;
pub mod clocks;
pub mod connect;
pub mod credential;
mod dispatch;
mod events;
pub mod export;
mod failure;
mod headers;
mod health;
pub mod live;
mod llm;
mod load;
pub mod mcp;
mod native;
mod patience;
mod pool;
mod preview;
mod probe;
pub mod retry;
mod roots;
pub mod route;
mod scrub;
pub mod sim;
pub mod target;
pub mod task;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use crate::{
    answered::{AnswerBody, AnswerHead, Answered, Failed, ServedBy},
    attempt::Running,
    breaker::BreakerPolicy,
    clocks::{Clock, Timeouts},
    connect::{ConnectError, InMemoryService},
    credential::{
        AZURE_SCOPE, Auth, AwsIdentity, AwsKeys, AwsSigner, AwsSource, AzureIdentity, CredentialError, CredentialFile,
        GOOGLE_SCOPE, Tokens,
    },
    dispatch::{Destinations, Dispatch, Upstream, UpstreamOptions},
    events::{Event, EventStream},
    headers::asked_beside,
    health::{Availability, TargetView},
    live::{LegSender, LiveLeg, Said},
    native::RawStream,
    patience::Patience,
    pool::TlsSetupError,
    preview::Preview,
    probe::{ProbeError, Probed},
    retry::RetryPolicy,
    route::{Circumstances, Measure, Route, StickyBy},
    target::{Destination, McpServer, Paths, Provider, Target},
};
