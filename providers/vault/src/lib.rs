//! Vault and OpenBao as a leasehold provider.
//!
//! It logs in, reads and writes any path with the lease that comes back, and looks up, renews and
//! revokes both leases and the token itself. It calls nothing that only one of the two servers
//! has, and takes no text of an error as given. It keeps no token and retries nothing; the engine
//! decides what an error means. Its only memory can be forgotten without loss: what kind of engine
//! a mount is, when a version was made, which metadata we may not read.
//!
//! Request types and middleware come from vaultrs; the HTTP client is our own (see `client`).
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests wait on real clocks and write their own files")
)]

mod address;
mod api;
mod auth;
mod backend;
mod check;
mod client;
mod config;
mod endpoints;
mod error;
mod fetch;
mod grants;
mod kv;
mod lease;
mod mounts;
mod pki;
mod portrait;
mod reference;
mod rights;
mod session;

pub use auth::RawAuth;
pub use config::{Raw, RawTls, Settings};
