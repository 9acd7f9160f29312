//! AWS Secrets Manager and Parameter Store as leasehold providers, on the official SDK.
//!
//! Both read: nothing is minted, leased or revoked, and what changes is found by polling, many secrets in one
//! request. The SDK signs, finds credentials (its whole default chain) and knows the endpoints; its requests
//! travel through our own client (see `wire`), its retries are off, and what it says in its own words is
//! never repeated. What is remembered can be forgotten without loss: credentials that still hold, whether
//! the role may ask in batches, which region does not answer.
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests wait on real clocks and write their own files")
)]

mod arn;
mod backend;
mod chain;
mod check;
mod config;
mod credentials;
mod error;
mod explain;
mod identity;
mod parameters;
mod reference;
mod regions;
mod secrets;
mod service;
mod value;
mod wire;

pub use config::{ParameterStore, Raw, RawRegion, SecretsManager};
pub use identity::identity;
