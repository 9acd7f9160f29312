//! The providers against moto; and, for what moto does not do, with scripted answers between.
#![allow(clippy::disallowed_methods, reason = "tests wait on real clocks and write their own files")]
#![allow(clippy::unwrap_used, reason = "clippy takes only what stands in a test function for a test")]

mod conformance;
mod credentials;
mod failures;
mod given;
mod identities;
mod parameters;
mod regions;
mod secrets;
mod tls;
