//! The provider against real servers; and, for what no server does on demand, against a scripted one.
#![allow(clippy::disallowed_methods, reason = "tests wait on real clocks and write their own files")]
#![allow(clippy::unwrap_used, reason = "clippy takes only what stands in a test function for a test")]

mod cloud_login;
mod conformance;
mod errors;
mod given;
mod leases;
mod login;
mod quiet;
mod secrets;
mod sessions;
mod tls;
