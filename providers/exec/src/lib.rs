//! Any program as a provider: it reads one request on standard input, writes one answer on standard
//! output, and ends.
//!
//! Request and answer are JSON of a version ([`Request`], [`Answer`]; their schema is in
//! `docs/exec-provider.schema.json`). The program is started anew for each request, through
//! [`leasehold_core::Spawn`]: without a shell, in a clean environment, bounded in time and output. It
//! needs to understand `fetch`; what else it understands is in the configuration, so that nothing is
//! sent that it would take for something else.
//!
//! Nothing that it writes is repeated anywhere, but for names, versions and lease ids, which are no
//! secrets; its messages are, where the configuration vouches for them ([`Messages`]).
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests stand for the engine, and read the documentation")
)]

mod answer;
mod backend;
mod call;
mod config;
mod environment;
mod error;
mod protocol;
mod words;

#[cfg(test)]
mod tests;

pub use config::{Messages, Operations, Raw, Settings};
pub use protocol::{Answer, Request, schema};
