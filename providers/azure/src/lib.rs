//! Azure Key Vault as a leasehold provider.
//!
//! It logs in for an access token (the session), reads secrets, and certificates with their key. The
//! secrets client, the client secret and the client assertion are those of the official crates, over
//! the HTTP client that all providers share, with their retries off; a managed identity is asked by
//! ourselves, since the official one reads the process's environment. The only memory can be
//! forgotten without loss: which versions we have warned of.
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests wait on real clocks and write their own files")
)]

mod address;
mod auth;
mod backend;
mod challenge;
mod check;
mod config;
mod content;
mod error;
mod explain;
mod fetch;
mod identity;
mod reference;
mod session;
mod wire;

pub use auth::{RawAuth, RawMethod};
pub use config::{Raw, Settings};
pub use identity::identity;
