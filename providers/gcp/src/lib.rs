//! Google Secret Manager as a leasehold provider.
//!
//! It speaks the published REST API over leasehold's own client, so that `tls` and `proxy` hold for
//! every request, the log-ins included. Google's own crates for Rust make HTTP clients of their own
//! that take neither a CA file nor a proxy; nothing of them is used.
//!
//! An access token is the provider's session: [`auth`] brings it from the credentials as they are at
//! that moment, the engine keeps it and asks for the next one before it ends. No token is kept here,
//! and nothing is retried. What is remembered can be forgotten without loss: the default project,
//! whether a token has served yet, and of which versions we may not ask the state.
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests wait on real clocks and write their own files")
)]

mod api;
mod auth;
mod backend;
mod check;
mod config;
mod error;
mod explain;
mod fetch;
mod identity;
mod reference;
mod store;
mod time;

pub use config::{Raw, Settings};
pub use identity::identity;
