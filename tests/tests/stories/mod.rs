//! The stories, one module each, and what they share.

mod budget;
mod canaries;
mod connect;
mod cuts;
mod gateway;
mod governed;
mod http;
mod incidents;
mod inputs;
mod kill;
mod leaving;
mod mcp;
mod native;
mod pins;
mod plain;
mod printed;
mod reload;
mod resilience;
mod revocation;
mod secrets;
mod setup;
mod stages;
mod streams;
mod telemetry;
mod terminal;
mod transcript;
